//! TLS to the databases: whom a capture trusts, and what it says of others. `capture check` says the same.

use std::path::{Path, PathBuf};

use concord::capture::CaptureError;
use concord::capture::check::check;
use concord::config::CaptureTls;
use concord_tests::pipeline::with_clickhouse;
use concord_tests::servers::{Certificate, MariaDb, Postgres, installed};

use super::stage::Stage;

const MAPPED: &str = r#"
[[source.settings.tables]]
property = "hotel"
room_type = "kind"
date = "night"
row = "night"
"#;

/// The name that the certificates are for; the address is none of theirs.
const NAME: &str = "localhost";

fn authority(folder: &Path, name: &str, certificate: &Certificate) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, &certificate.authority).expect("written");
    path
}

/// Tries a server with a certificate for [`NAME`]: it is captured by its name under its authority, and not otherwise.
async fn tried(stage: &mut Stage, server: &str, trusted: &Path, other: &Path) {
    stage.catch_up().await.unwrap();
    assert_eq!(stage.nights().await, ["H1 2027-03-01 DBL 8 8 120.5"]);
    assert_eq!(stage.findings().await, []);
    let verify = |path: &Path| CaptureTls::Verify { ca_cert: Some(path.to_owned()) };
    let missing = other.with_file_name("missing.pem");
    let empty = other.with_file_name("empty.pem");
    std::fs::write(&empty, "nothing").unwrap();
    for (host, tls, words) in [
        (
            NAME,
            verify(other),
            [
                "no TLS with SERVER",
                "by an authority that is not trusted here",
                "other.pem has to be its authority's certificate",
            ],
        ),
        (
            NAME,
            CaptureTls::Verify { ca_cert: None },
            ["no TLS with SERVER", "by an authority that is not trusted here", "ca_cert = "],
        ),
        ("127.0.0.1", verify(trusted), ["no TLS with SERVER", "for another name", "host one of the names"]),
        (NAME, verify(&missing), ["missing.pem", "ca_cert", "name a PEM file"]),
        (NAME, verify(&empty), ["empty.pem", "there is no certificate in it", "name a PEM file"]),
        (NAME, CaptureTls::Off, ["", "", ""]),
    ] {
        let source = &mut stage.file.sources[0];
        let capture = source.capture.as_mut().expect("a captured source");
        (capture.host, capture.tls) = (host.to_owned(), tls);
        let place = format!("{server} at {host}:{}", capture.port);
        let checked = check(capture, &source.settings).await.expect_err("no connection");
        let captured = stage.catch_up().await.expect_err("no connection");
        for error in [checked, captured] {
            // Nothing that gets better by itself.
            assert!(matches!(error, CaptureError::Setup { .. }), "{error:?}");
            let said = error.to_string();
            for words in words {
                assert!(said.contains(&words.replace("SERVER", &place)), "{words}: {said}");
            }
        }
    }
}

#[test]
fn postgres_is_trusted_by_its_authority_and_its_name() {
    if !installed() {
        return;
    }
    with_clickhouse(async |lease| {
        let (certificate, folder) = (Certificate::of(NAME).unwrap(), tempfile::tempdir().unwrap());
        let server = Postgres::start_secured(&certificate).expect("PostgreSQL");
        server
            .console()
            .unwrap()
            .run(
                "CREATE TABLE nights (hotel int, kind text, night date, rooms int, price numeric(10,2), \
                 PRIMARY KEY (hotel, kind, night)); ALTER TABLE nights REPLICA IDENTITY FULL; \
                 GRANT SELECT ON nights TO concord; CREATE PUBLICATION concord FOR TABLE nights; \
                 INSERT INTO nights VALUES (12, 'DZ', '2027-03-01', 8, 120.5);",
            )
            .unwrap();
        let trusted = authority(folder.path(), "trusted.pem", &certificate);
        let other = authority(folder.path(), "other.pem", &Certificate::of(NAME).unwrap());
        let fields = "[source.settings.tables.fields]\ncapacity = \"rooms\"\nprice = { column = \"price\", currency = \"EUR\" }\n";
        let capture = format!(
            "kind = \"postgres\"\nhost = \"{NAME}\"\nport = {}\ndatabase = \"cloud\"\ntables = [\"nights\"]\n\
             ca_cert = {trusted:?}\n{MAPPED}table = \"public.nights\"\n{fields}",
            server.port()
        );
        let mut stage = Stage::new(lease, &capture).await;
        tried(&mut stage, "PostgreSQL", &trusted, &other).await;
    });
}

#[test]
fn mariadb_is_trusted_by_its_authority_and_its_name() {
    if !installed() {
        return;
    }
    with_clickhouse(async |lease| {
        let (certificate, folder) = (Certificate::of(NAME).unwrap(), tempfile::tempdir().unwrap());
        let server = MariaDb::start_secured(&certificate).expect("MariaDB");
        server
            .console()
            .unwrap()
            .run(
                "CREATE TABLE nights (hotel INT, kind CHAR(2), night DATE, rooms INT, price DECIMAL(10,2), \
                 PRIMARY KEY (hotel, kind, night)); INSERT INTO nights VALUES (12, 'DZ', '2027-03-01', 8, 120.5);",
            )
            .unwrap();
        let trusted = authority(folder.path(), "trusted.pem", &certificate);
        let other = authority(folder.path(), "other.pem", &Certificate::of(NAME).unwrap());
        let fields = "[source.settings.tables.fields]\ncapacity = \"rooms\"\nprice = { column = \"price\", currency = \"EUR\" }\n";
        let capture = format!(
            "kind = \"mysql\"\nhost = \"{NAME}\"\nport = {}\nheartbeat = \"1s\"\ntables = [\"hotel.nights\"]\n\
             ca_cert = {trusted:?}\n{MAPPED}table = \"hotel.nights\"\n{fields}",
            server.port()
        );
        let mut stage = Stage::new(lease, &capture).await;
        tried(&mut stage, "MySQL", &trusted, &other).await;
    });
}

#[test]
fn a_server_without_tls_is_named() {
    if !installed() {
        return;
    }
    with_clickhouse(async |lease| {
        let (postgres, mariadb) = (Postgres::start("").unwrap(), MariaDb::start(&["--skip-ssl"]).unwrap());
        for (server, port, rest) in [
            ("PostgreSQL", postgres.port(), "kind = \"postgres\"\ndatabase = \"cloud\"\ntables = [\"nights\"]"),
            ("MySQL", mariadb.port(), "kind = \"mysql\"\ntables = [\"hotel.nights\"]"),
        ] {
            let tables = format!("{MAPPED}table = \"nights\"\n[source.settings.tables.fields]\ncapacity = \"rooms\"\n");
            let stage = Stage::new(lease, &format!("{rest}\nport = {port}\ntls = \"verify\"\n{tables}")).await;
            let source = &stage.file.sources[0];
            let error = check(source.capture.as_ref().unwrap(), &source.settings).await.expect_err("no TLS");
            let said = error.to_string();
            assert!(said.contains(&format!("{server} at 127.0.0.1:{port} has no TLS")), "{said}");
            assert!(said.contains("tls = \"off\""), "{said}");
        }
    });
}
