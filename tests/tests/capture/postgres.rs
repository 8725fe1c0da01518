//! PostgreSQL: snapshot and changes without gap or overlap, positions, lost slots, what is missing.

use concord::capture::CaptureError;
use concord::log::partitioner::partition;
use concord_tests::pipeline::with_clickhouse;
use concord_tests::servers::{Console, Postgres, installed};

use super::stage::Stage;

const TABLE: &str = "CREATE TABLE nights (hotel int, kind text, night date, rooms int, price numeric(10,2), closed boolean, \
                     note text, PRIMARY KEY (hotel, kind, night)); ALTER TABLE nights REPLICA IDENTITY FULL; \
                     CREATE TABLE other (id serial PRIMARY KEY, note text); \
                     GRANT SELECT ON nights TO concord; CREATE PUBLICATION concord FOR TABLE nights;";

fn capture(server: &Postgres) -> String {
    format!(
        r#"kind = "postgres"
host = "{}"
port = {}
database = "cloud"
tables = ["nights"]
[[source.settings.tables]]
table = "public.nights"
row = "night"
property = "hotel"
room_type = "kind"
date = "night"
[source.settings.tables.fields]
capacity = "rooms"
price = {{ column = "price", currency = "EUR" }}
closed = "closed"
"#,
        server.host(),
        server.port()
    )
}

/// A server with the table, and its console.
fn server() -> (Postgres, Console) {
    let server = Postgres::start("").expect("PostgreSQL");
    let mut console = server.console().expect("a console");
    console.run(TABLE).expect("tables");
    (server, console)
}

fn confirmed(console: &mut Console) -> String {
    console.run("SELECT confirmed_flush_lsn FROM pg_replication_slots;").expect("slots").join(",")
}

#[test]
fn heartbeats_vouch_for_the_hotels_whose_rows_were_read() {
    if !installed() {
        return;
    }
    with_clickhouse(async |lease| {
        let (server, mut console) = server();
        console.run("INSERT INTO nights VALUES (12, 'DZ', '2027-03-01', 8, 120.5, false), (13, 'EZ', '2027-03-01', 2, 70, true);").unwrap();
        let stage = Stage::new(lease, &capture(&server)).await;
        let mut said = stage.catch_up_and_beat().await;
        said.sort();
        let on = |property: &str| partition(property.as_bytes(), 2);
        let of = |property: &str| (Some(property.to_owned()), on(property));
        assert_eq!(said, [(None, 0), of("H1"), of("H2")], "the session has ended: of what it read it still tells");
    });
}

#[test]
fn a_snapshot_and_every_change_after_it() {
    if !installed() {
        return;
    }
    with_clickhouse(async |lease| {
        let (server, mut console) = server();
        console.run("INSERT INTO nights VALUES (12, 'DZ', '2027-03-01', 8, 120.5, false), (13, 'EZ', '2027-03-01', 2, 70, true);").unwrap();
        let stage = Stage::new(lease, &capture(&server)).await;
        stage.catch_up().await.unwrap();
        assert_eq!(stage.nights().await, ["H1 2027-03-01 DBL 8 8 120.5", "H2 2027-03-01 SGL 2 0 70"]);
        console
            .run(
                "UPDATE nights SET rooms = 7 WHERE hotel = 12; \
                 BEGIN; INSERT INTO nights VALUES (12, 'EZ', '2027-03-02', 3, 80, false); \
                 SAVEPOINT a; DELETE FROM nights; ROLLBACK TO a; UPDATE nights SET closed = true WHERE kind = 'EZ'; COMMIT; \
                 DELETE FROM nights WHERE hotel = 13; \
                 UPDATE nights SET night = '2027-03-05' WHERE rooms = 7;",
            )
            .unwrap();
        stage.catch_up().await.unwrap();
        assert_eq!(stage.nights().await, ["H1 2027-03-02 SGL 3 0 80", "H1 2027-03-05 DBL 7 7 120.5"]);
        assert_eq!(stage.dead_letters().await, [] as [String; 0]);
        let records = stage.records().await;
        stage.catch_up().await.unwrap();
        // The owners of a new start, and nothing else.
        assert_eq!(stage.records().await, records + 2, "nothing has changed");
        assert_eq!(stage.counts().await.duplicate, 0);
    });
}

#[test]
fn what_comes_again_is_a_duplicate() {
    if !installed() {
        return;
    }
    with_clickhouse(async |lease| {
        let (server, mut console) = server();
        let stage = Stage::new(lease, &capture(&server)).await;
        stage.catch_up().await.unwrap();
        // A slot beside it keeps what the first one has let go: it stands for a position that was never told.
        console.run("SELECT pg_copy_logical_replication_slot('concord_db', 'before');").unwrap();
        console
            .run("INSERT INTO nights VALUES (12, 'DZ', '2027-03-01', 8, 120, false); UPDATE nights SET rooms = 9;")
            .unwrap();
        stage.catch_up().await.unwrap();
        let nights = stage.nights().await;
        console
            .run(
                "SELECT pg_drop_replication_slot('concord_db'); \
                 SELECT pg_copy_logical_replication_slot('before', 'concord_db');",
            )
            .unwrap();
        stage.catch_up().await.unwrap();
        assert_eq!((stage.nights().await, stage.counts().await.duplicate), (nights, 2));
    });
}

#[test]
fn a_lost_slot_is_replaced_by_an_initial_load() {
    if !installed() {
        return;
    }
    with_clickhouse(async |lease| {
        let (server, mut console) = server();
        console.run("INSERT INTO nights SELECT 12, 'DZ', DATE '2027-03-01' + n, 8, 100, false FROM generate_series(0, 2) n;").unwrap();
        let stage = Stage::new(lease, &capture(&server)).await;
        stage.catch_up().await.unwrap();
        console.run("SELECT pg_drop_replication_slot('concord_db');").unwrap();
        console.run("DELETE FROM nights WHERE night = '2027-03-02'; UPDATE nights SET rooms = 5 WHERE night = '2027-03-01';").unwrap();
        stage.catch_up().await.unwrap();
        let expected = ["H1 2027-03-01 DBL 5 5 100", "H1 2027-03-03 DBL 8 8 100"];
        assert_eq!(stage.nights().await, expected, "what is there no more is taken back");
        std::fs::remove_file(stage.memory()).unwrap();
        stage.catch_up().await.unwrap();
        assert_eq!(stage.nights().await, expected, "what is remembered may be lost");
        // As after kill -9 in the middle: the log has a beginning, and rows that are there no more.
        let text = std::fs::read_to_string(stage.memory()).unwrap();
        let (head, _) = text.split_once("\"stage\"").unwrap();
        std::fs::write(stage.memory(), format!("{head}\"stage\": {{\"loading\": {{\"begun\": [\"12\"]}}}}}}")).unwrap();
        console.run("DELETE FROM nights WHERE night = '2027-03-03';").unwrap();
        stage.catch_up().await.unwrap();
        assert_eq!(stage.nights().await, ["H1 2027-03-01 DBL 5 5 100"]);
        // The end of a beginning that never came to the log.
        assert_eq!(stage.dead_letters().await.len(), 1, "{:?}", stage.dead_letters().await);
    });
}

#[test]
fn a_changed_schema_and_large_values() {
    if !installed() {
        return;
    }
    with_clickhouse(async |lease| {
        let (server, mut console) = server();
        let large = "(SELECT string_agg(md5(n::text), '') FROM generate_series(1, 1000) n)";
        console.run(&format!("ALTER TABLE nights ALTER note SET STORAGE EXTERNAL; INSERT INTO nights VALUES (12, 'DZ', '2027-03-01', 8, 100, false, {large});")).unwrap();
        let stage = Stage::new(lease, &capture(&server)).await;
        stage.catch_up().await.unwrap();
        console
            .run(
                "ALTER TABLE nights ADD extra int DEFAULT 5; ALTER TABLE nights DROP note; UPDATE nights SET rooms = 6; \
                 INSERT INTO nights VALUES (12, 'DZ', '2027-03-02', 4, 90, true, 7);",
            )
            .unwrap();
        stage.catch_up().await.unwrap();
        assert_eq!(stage.nights().await, ["H1 2027-03-01 DBL 6 6 100", "H1 2027-03-02 DBL 4 0 90"]);
        console
            .run("ALTER TABLE nights RENAME rooms TO zimmer; UPDATE nights SET zimmer = 1 WHERE night = '2027-03-01';")
            .unwrap();
        stage.catch_up().await.unwrap();
        let told = stage.dead_letters().await;
        assert!(told.len() == 1 && told[0].contains("the column rooms is not in the row"), "{told:?}");
        let memory = std::fs::read_to_string(stage.memory()).unwrap();
        assert!(memory.contains("\"zimmer\"") && !memory.contains("\"rooms\""), "{memory}");
    });
}

#[test]
fn the_slot_moves_on_when_no_captured_table_changes() {
    if !installed() {
        return;
    }
    with_clickhouse(async |lease| {
        let (server, mut console) = server();
        let stage = Stage::new(lease, &capture(&server)).await;
        stage.catch_up().await.unwrap();
        let before = confirmed(&mut console);
        console.run("INSERT INTO other (note) SELECT 'x' FROM generate_series(1, 1000);").unwrap();
        let records = stage.records().await;
        stage.catch_up().await.unwrap();
        assert_eq!(stage.records().await, records + 2, "the owners of a new start alone");
        let moved = format!("SELECT confirmed_flush_lsn > '{before}' FROM pg_replication_slots;");
        assert_eq!(console.run(&moved).unwrap(), ["t"]);
    });
}

#[test]
fn what_is_missing_is_named_and_its_repair_helps() {
    if !installed() {
        return;
    }
    with_clickhouse(async |lease| {
        let server = Postgres::start("").expect("PostgreSQL");
        let mut console = server.console().unwrap();
        let table = TABLE.split("GRANT").next().unwrap().replace("ALTER TABLE nights REPLICA IDENTITY FULL;", "");
        console
            .run(&format!(
                "{table} ALTER ROLE concord NOREPLICATION; CREATE PUBLICATION concord WITH (publish = 'insert');"
            ))
            .unwrap();
        let stage = Stage::new(lease, &capture(&server)).await;
        let findings = stage.findings().await;
        let told: Vec<&str> = findings.iter().map(|(what, _)| what.as_str()).collect();
        assert_eq!(
            told,
            [
                "concord may not replicate (the right REPLICATION)",
                "concord may not read public.nights",
                "public.nights does not tell what was before: updates and deletions become dead letters",
                "the publication concord leaves out changes",
                "the publication concord does not have public.nights",
            ]
        );
        let refused = stage.catch_up().await.unwrap_err();
        assert!(matches!(refused, CaptureError::Setup { .. }), "{refused}");
        for repair in findings.iter().flat_map(|(_, repair)| repair) {
            console.run(repair).unwrap();
        }
        assert_eq!(stage.findings().await, []);
        console.run("INSERT INTO nights VALUES (12, 'DZ', '2027-03-01', 8, 120, false);").unwrap();
        stage.catch_up().await.unwrap();
        assert_eq!(stage.nights().await, ["H1 2027-03-01 DBL 8 8 120"]);
    });
}

#[test]
fn a_server_without_logical_decoding_says_what_to_do() {
    if !installed() {
        return;
    }
    with_clickhouse(async |lease| {
        let server = Postgres::start("wal_level = 'replica'").expect("PostgreSQL");
        server.console().unwrap().run(TABLE).unwrap();
        let stage = Stage::new(lease, &capture(&server)).await;
        let findings = stage.findings().await;
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!(findings[0].1, ["ALTER SYSTEM SET wal_level = 'logical';", "-- then restart the server"]);
        let refused = stage.catch_up().await.unwrap_err().to_string();
        assert!(refused.contains("wal_level"), "{refused}");
        assert!(!refused.contains("only-for-tests"), "no password in it");
    });
}
