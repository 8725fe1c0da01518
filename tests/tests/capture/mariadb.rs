//! MariaDB: snapshot and changes without gap or overlap, positions, lost binlogs, what is missing.

use concord_tests::pipeline::with_clickhouse;
use concord_tests::servers::{Console, MariaDb, installed};

use super::stage::Stage;

const TABLE: &str = "CREATE TABLE kontingente (id INT PRIMARY KEY AUTO_INCREMENT, haus INT, art CHAR(2), von DATE, bis DATE, \
                     zimmer SMALLINT UNSIGNED, preis DECIMAL(8,2), zu ENUM('N', 'J') DEFAULT 'N', notiz VARCHAR(50), \
                     stand TIMESTAMP(3) DEFAULT CURRENT_TIMESTAMP(3)) ENGINE = InnoDB DEFAULT CHARSET = latin1; \
                     CREATE TABLE anderes (id INT PRIMARY KEY AUTO_INCREMENT, text TEXT) ENGINE = InnoDB;";

fn capture(server: &MariaDb) -> String {
    format!(
        r#"kind = "mysql"
port = {}
heartbeat = "1s"
tables = ["hotel.kontingente"]
[[source.settings.tables]]
table = "hotel.kontingente"
row = "period"
property = "haus"
room_type = "art"
first = "von"
last = "bis"
[source.settings.tables.fields]
capacity = "zimmer"
price = {{ column = "preis", currency = "EUR" }}
closed = {{ column = "zu", words = {{ J = true, N = false }} }}
"#,
        server.port()
    )
}

fn server() -> (MariaDb, Console) {
    let server = MariaDb::start(&[]).expect("MariaDB");
    let mut console = server.console().expect("a console");
    console.run(TABLE).expect("tables");
    (server, console)
}

const INSERT: &str = "INSERT INTO kontingente (haus, art, von, bis, zimmer, preis, notiz) VALUES";

#[test]
fn a_snapshot_and_every_change_after_it() {
    if !installed() {
        return;
    }
    with_clickhouse(async |lease| {
        let (server, mut console) = server();
        console.run(&format!("{INSERT} (12, 'DZ', '2027-03-01', '2027-03-02', 40000, 120.50, 'Küche');")).unwrap();
        let stage = Stage::new(lease, &capture(&server)).await;
        stage.catch_up().await.unwrap();
        let two = ["H1 2027-03-01 DBL 40000 40000 120.5", "H1 2027-03-02 DBL 40000 40000 120.5"];
        assert_eq!(stage.nights().await, two);
        console
            .run(&format!(
                "BEGIN; UPDATE kontingente SET bis = '2027-03-01', zimmer = 7; SAVEPOINT a; DELETE FROM kontingente; \
                 ROLLBACK TO a; {INSERT} (13, 'EZ', '2027-03-02', '2027-03-02', 3, 0.05, NULL); COMMIT; \
                 FLUSH BINARY LOGS; UPDATE kontingente SET zu = 'J' WHERE haus = 13; \
                 {INSERT} (12, 'DZ', '2027-03-09', '2027-03-09', 1, 1, 'weg'); DELETE FROM kontingente WHERE notiz = 'weg'; \
                 INSERT INTO anderes (text) VALUES ('x');"
            ))
            .unwrap();
        stage.catch_up().await.unwrap();
        assert_eq!(stage.nights().await, ["H1 2027-03-01 DBL 7 7 120.5", "H2 2027-03-02 SGL 3 0 0.05"]);
        assert_eq!(stage.dead_letters().await, [] as [String; 0]);
        let records = stage.records().await;
        stage.catch_up().await.unwrap();
        assert_eq!(stage.records().await, records + 2, "the owners of a new start alone");
    });
}

#[test]
fn the_snapshot_and_the_binlog_tell_a_row_alike() {
    if !installed() {
        return;
    }
    with_clickhouse(async |lease| {
        let (server, mut console) = server();
        console.run(&format!("{INSERT} (12, 'DZ', '2027-03-01', '2027-03-01', 8, 234567.05, 'Größe €');")).unwrap();
        let stage = Stage::new(lease, &capture(&server)).await;
        stage.catch_up().await.unwrap();
        console.run("UPDATE kontingente SET zimmer = 9; UPDATE kontingente SET zimmer = 8;").unwrap();
        stage.catch_up().await.unwrap();
        let rows: Vec<serde_json::Value> = bodies(&stage).await.into_iter().map(|body| body["after"].clone()).collect();
        assert_eq!(rows.len(), 3, "{rows:?}");
        assert_eq!(rows[0], rows[2], "as it was read first");
        assert_eq!((&rows[0]["notiz"], &rows[0]["preis"]), (&"Größe €".into(), &"234567.05".into()));
    });
}

/// What the log has of rows.
async fn bodies(stage: &Stage) -> Vec<serde_json::Value> {
    let records = stage.own.records().await.into_iter().flatten();
    let event = |record: concord::log::Record| serde_json::from_slice::<serde_json::Value>(&record.value).ok();
    records.filter_map(event).map(|event| event["data"].clone()).filter(|data| data["op"].is_string()).collect()
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
        let before = std::fs::read(stage.memory()).unwrap();
        console
            .run(&format!(
                "{INSERT} (12, 'DZ', '2027-03-01', '2027-03-01', 8, 1, NULL); UPDATE kontingente SET zimmer = 9;"
            ))
            .unwrap();
        stage.catch_up().await.unwrap();
        let nights = stage.nights().await;
        // As after kill -9 between the log and the file.
        std::fs::write(stage.memory(), before).unwrap();
        stage.catch_up().await.unwrap();
        assert_eq!((stage.nights().await, stage.counts().await.duplicate), (nights, 2));
    });
}

#[test]
fn lost_positions_are_replaced_by_an_initial_load() {
    if !installed() {
        return;
    }
    with_clickhouse(async |lease| {
        let (server, mut console) = server();
        console.run(&format!("{INSERT} (12, 'DZ', '2027-03-01', '2027-03-03', 8, 1, NULL);")).unwrap();
        let stage = Stage::new(lease, &capture(&server)).await;
        stage.catch_up().await.unwrap();
        // The binlog that comes next is gone.
        console.run("UPDATE kontingente SET bis = '2027-03-02'; FLUSH BINARY LOGS; FLUSH BINARY LOGS; PURGE BINARY LOGS BEFORE NOW() + INTERVAL 1 DAY;").unwrap();
        stage.catch_up().await.unwrap();
        let two = ["H1 2027-03-01 DBL 8 8 1", "H1 2027-03-02 DBL 8 8 1"];
        assert_eq!(stage.nights().await, two, "what is there no more is taken back");
        // It counts anew: lower positions are newer all the same.
        console.run("RESET MASTER; UPDATE kontingente SET zimmer = 5;").unwrap();
        stage.catch_up().await.unwrap();
        let five = two.map(|night| night.replace(" 8 8 ", " 5 5 "));
        assert_eq!(stage.nights().await, five);
        std::fs::remove_file(stage.memory()).unwrap();
        console.run("UPDATE kontingente SET bis = '2027-03-01';").unwrap();
        stage.catch_up().await.unwrap();
        assert_eq!(stage.nights().await, five[..1]);
    });
}

#[test]
fn changes_that_the_binlog_does_not_tell_are_read_anew() {
    if !installed() {
        return;
    }
    with_clickhouse(async |lease| {
        let (server, mut console) = server();
        console.run(&format!("{INSERT} (12, 'DZ', '2027-03-01', '2027-03-01', 8, 1, NULL);")).unwrap();
        let stage = Stage::new(lease, &capture(&server)).await;
        stage.catch_up().await.unwrap();
        console.run("SET SESSION binlog_format = 'STATEMENT'; UPDATE kontingente SET zimmer = 6; SET SESSION binlog_format = 'ROW';").unwrap();
        stage.catch_up().await.unwrap();
        assert_eq!(stage.nights().await, ["H1 2027-03-01 DBL 6 6 1"], "a statement");
        console.run("SET GLOBAL binlog_row_metadata = 'NO_LOG'; UPDATE kontingente SET zimmer = 5;").unwrap();
        let refused = stage.catch_up().await.unwrap_err().to_string();
        assert!(refused.contains("SET GLOBAL binlog_row_metadata = 'FULL';"), "{refused}");
        console.run("SET GLOBAL binlog_row_metadata = 'FULL';").unwrap();
        stage.catch_up().await.unwrap();
        assert_eq!(stage.nights().await, ["H1 2027-03-01 DBL 5 5 1"], "rows without names");
        console
            .run("ALTER TABLE kontingente ADD neu INT FIRST, DROP notiz; UPDATE kontingente SET zimmer = 4;")
            .unwrap();
        stage.catch_up().await.unwrap();
        assert_eq!(stage.nights().await, ["H1 2027-03-01 DBL 4 4 1"], "another schema");
        console.run("TRUNCATE kontingente;").unwrap();
        stage.catch_up().await.unwrap();
        let told = stage.dead_letters().await;
        assert!(told.len() == 1 && told[0].contains("a truncated table names no hotel"), "{told:?}");
    });
}

#[test]
fn what_is_missing_is_named_and_its_repair_helps() {
    if !installed() {
        return;
    }
    with_clickhouse(async |lease| {
        let (server, mut console) = server();
        console
            .run(
                "REVOKE BINLOG MONITOR ON *.* FROM 'concord'@'127.0.0.1'; ALTER TABLE kontingente ENGINE = MyISAM; \
                 SET GLOBAL binlog_format = 'MIXED'; SET GLOBAL binlog_row_image = 'MINIMAL';",
            )
            .unwrap();
        let stage = Stage::new(lease, &capture(&server)).await;
        let findings = stage.findings().await;
        let told: Vec<&str> = findings.iter().map(|(what, _)| what.as_str()).collect();
        assert_eq!(
            told,
            [
                "binlog_format is MIXED, ROW is needed",
                "binlog_row_image is MINIMAL, FULL is needed",
                "concord has not the right BINLOG MONITOR",
                "the engine of hotel.kontingente (MyISAM) has no snapshots",
            ]
        );
        assert!(stage.catch_up().await.is_err());
        for repair in findings.iter().flat_map(|(_, repair)| repair).filter(|line| !line.starts_with("--")) {
            console.run(repair).unwrap();
        }
        assert_eq!(stage.findings().await, []);
    });
}
