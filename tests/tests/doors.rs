//! What comes in by webhooks and by `append`, through the real program: nothing that was answered is lost, a redelivery does
//! no harm, and no card data lies anywhere afterwards.
//!
//! Without libchdb the tests say so and pass.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use concord::config::Proposal;
use concord::deliver::{Delivered, Deliverer};
use concord::plugin::Delivery;
use concord_tests::pipeline::{host, plugins_dir, read_pipeline};
use concord_tests::program::{Up, say};
use serde_json::Value;

const TOKEN: &str = "t0ken-of-the-pms";

const RULES: &str = "[ruleset]\nname = \"test\"\nversion = \"1\"\n[classes]\nall = [\"*\"]\n\
[[field]]\nid = \"fields\"\nfields = [\"*\"]\norder = [\"pms\"]\n[[stay.status]]\nid = \"status\"\norder = [\"*@*\"]\n\
[[stay.field]]\nid = \"details\"\nfields = [\"placement\", \"money\", \"guests\"]\norder = [\"pms\"]\n[stay]\nno_show = \"release\"\n\
[[capacity]]\nid = \"rooms\"\norder = [\"*@*\"]\noverbook = 0\n";

/// A pipeline in a folder of its own; `None` without libchdb.
fn pipeline() -> Option<tempfile::TempDir> {
    if let Err(error) = concord::engine::find_library(None) {
        eprintln!("not tested: {error}");
        return None;
    }
    let folder = tempfile::tempdir().expect("a folder");
    write_pipeline(folder.path());
    Some(folder)
}

fn write_pipeline(folder: &Path) {
    let plugins = plugins_dir();
    let plugins = plugins.display();
    let text = format!(
        "[pipeline]\nname = \"doors\"\n[log]\npartitions = 2\n[clickhouse]\nlisten = \"127.0.0.1:0\"\n\
         [rules]\nfile = \"rules.toml\"\nplugin = \"{plugins}/precedence.wasm\"\n[gateway]\nlisten = \"127.0.0.1:0\"\n\
         [[source]]\nname = \"pms\"\nplugin = \"{plugins}/native.wasm\"\nidentity = true\n\
         [source.gateway]\nauth = {{ kind = \"bearer\", secrets = [\"file:token\"] }}\n"
    );
    for (name, content) in [("pipeline.toml", text.as_str()), ("rules.toml", RULES), ("token", TOKEN)] {
        std::fs::write(folder.join(name), content).expect(name);
    }
}

fn booking(id: &str, more: &str) -> String {
    format!(
        "{{\"property\":\"H1\",\"reservation\":{{\"id\":\"{id}\",\"lines\":[{{\"line\":\"1\",\"status\":\"confirmed\",\
         \"arrival\":\"2026-03-01\",\"departure\":\"2026-03-03\",\"room_type\":\"DBL\"{more}}}]}}}}"
    )
}

/// Posts a delivery and gives the answer's status.
fn post(up: &Up, id: &str, body: &str) -> u16 {
    let mut stream = TcpStream::connect(up.webhooks()).expect("a connection");
    let length = body.len();
    let request = format!(
        "POST /pms HTTP/1.1\r\nhost: concord\r\nconnection: close\r\nauthorization: Bearer {TOKEN}\r\n\
         content-type: application/json\r\nwebhook-id: {id}\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{answer}"))
}

fn run_until_idle(folder: &Path) -> Value {
    let said = say(folder, &["run", "--until-idle", "--json"]).with(0);
    serde_json::from_str::<Value>(&said).expect("JSON")["records"].clone()
}

/// The first configuration may not be in force yet, and asking again and again uses up what a sender may send.
fn post_when_ready(up: &Up, id: &str, body: &str) -> u16 {
    loop {
        match post(up, id, body) {
            503 | 429 => std::thread::yield_now(),
            status => return status,
        }
    }
}

#[test]
fn what_was_answered_survives_a_kill_and_a_redelivery_is_a_duplicate() {
    let Some(folder) = pipeline() else { return };
    let folder = folder.path();
    let up = Up::start(folder);
    assert_eq!(post_when_ready(&up, "d-1", &booking("R1", "")), 200);
    assert_eq!(post(&up, "d-2", &booking("R2", "")), 200);
    up.kill();
    let up = Up::start(folder);
    assert_eq!(post_when_ready(&up, "d-1", &booking("R1", "")), 200);
    assert_eq!(post(&up, "d-3", "{\"property\""), 422);
    up.kill();
    let counts = run_until_idle(folder);
    assert_eq!((&counts["merged"], &counts["duplicate"], &counts["dead_letters"]), (&2.into(), &1.into(), &1.into()));
    let stays = say(folder, &["sql", "SELECT stay FROM reservations FINAL GROUP BY stay ORDER BY stay"]).with(0);
    assert!(stays.contains("pms:R1/1") && stays.contains("pms:R2/1"), "{stays}");
}

/// Every file below a folder, as it lies there.
fn files(folder: &Path, all: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, all);
        } else if path.is_file() {
            all.push((path.display().to_string(), std::fs::read(&path).expect("a file")));
        }
    }
}

/// A sender's id with a card in it is no id; a capture's is made of positions, whatever they look like.
#[test]
fn an_id_of_concords_own_stays_as_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    write_pipeline(folder.path());
    let proposal = Proposal::read(&read_pipeline(&folder.path().join("pipeline.toml"))).expect("files");
    let source = &proposal.document.sources["pms"];
    let plugin = &proposal.plugin_bytes[&source.plugin.digest];
    let mut deliverer =
        Deliverer::new(&host(), &proposal.document, "pms", plugin, 2).expect("a plugin").expect("a source");
    let delivery = || Delivery {
        content_type: "application/json".to_owned(),
        attributes: Vec::new(),
        body: booking("R1", "").into(),
    };
    let id = |delivered: Delivered| {
        let event: Value = serde_json::from_slice(&delivered.records[0].1.value).expect("an event");
        event["id"].as_str().expect("an id").to_owned()
    };
    let own = "17:bin.000003:4111111111111111:0";
    assert_eq!(id(deliverer.deliver_own(delivery(), own, 0).expect("split")), own);
    let sent = deliverer.deliver(delivery(), Some(own), 0).expect("split");
    assert_eq!(sent.masked.cards, 1);
    assert_eq!(id(sent), id(deliverer.deliver(delivery(), None, 0).expect("split")));
}

#[test]
fn no_card_data_lies_anywhere() {
    let Some(folder) = pipeline() else { return };
    let folder = folder.path();
    // In words, in an unknown field, as a JSON number, in what nobody can read; with marks that do have to be there.
    let (card, spaced, code) = ("5555555555554444", "4111 1111 1111 1111", "\"cvv\":\"973\"");
    let ids = format!(",\"references\":[{{\"type\":\"note\",\"issuer\":\"kept-{card}\",\"value\":\"kept {spaced}\"}}]");
    let (escaped, pair) = ("\\u0035555555555554444", "\"name\":\"cvc\",\"value\":\"864\"");
    let unread =
        format!("{{\"kept\":{card}, {code}, \"note\":\"{spaced}\", \"e\":\"{escaped}\", \"p\":{{{pair}}}, \"more\":{{");
    let deliveries = [booking("R1", &ids), unread.clone(), booking("R2", &format!(",\"card\":{card},{code}"))];
    let up = Up::start(folder);
    for (number, body) in deliveries.iter().enumerate() {
        let status = post_when_ready(&up, &format!("d-{number}"), body);
        assert!(matches!(status, 200 | 422), "{status}");
    }
    assert_eq!(up.interrupt(), Some(0));
    std::fs::write(folder.join("letter.json"), &unread).expect("a delivery");
    let said = say(folder, &["append", "--source", "pms", "letter.json"]).with(1);
    assert!(said.contains("masked before the log: 3 card numbers, 2 security codes"), "{said}");
    std::fs::remove_file(folder.join("letter.json")).expect("gone");
    run_until_idle(folder);
    let tables = ["dead_letters", "reservations", "conflicts", "state", "room_nights"];
    let mut seen: Vec<(String, Vec<u8>)> = tables
        .iter()
        .map(|table| (table.to_string(), say(folder, &["sql", &format!("SELECT * FROM {table}")]).with(0).into_bytes()))
        .collect();
    files(&folder.join("data"), &mut seen);
    let holds = |bytes: &[u8], text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    for (name, bytes) in &seen {
        for secret in [card, spaced, "4111111111111111", code, escaped, pair] {
            assert!(!holds(bytes, secret), "{name} holds {secret}");
        }
    }
    // The search finds what is there: the masked rest, in the log's files and in the dead letters.
    assert!(seen.iter().any(|(name, bytes)| name.contains("/log/") && holds(bytes, "************4444")));
    assert!(holds(&seen[0].1, "************4444"), "{}", String::from_utf8_lossy(&seen[0].1));
}
