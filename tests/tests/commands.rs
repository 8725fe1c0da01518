//! Every command of the real program, while `concord run` is up and while it is not.
//!
//! Without libchdb the tests say so and pass. `CONCORD_BIN` names another program than the one of this build.

use std::path::Path;

use concord::cli::PipelineArgument;
use concord::cli::open::Pipeline;
use concord_tests::pipeline::plugins_dir;
use concord_tests::program::{Up, say};
use serde_json::Value;

const PIPELINE: &str = r#"
[pipeline]
name = "hotels"
data_dir = "data"
key_file = "data/control.key"
author = "anna"
[log]
kind = "embedded"
partitions = 3
[clickhouse]
kind = "embedded"
listen = "127.0.0.1:0"
database = "concord"
[fields]
price = "money"
[rules]
file = "rules.toml"
plugin = "PLUGINS/precedence.wasm"
[[source]]
name = "pms"
plugin = "PLUGINS/native.wasm"
identity = true
[[source]]
name = "ota"
plugin = "PLUGINS/native.wasm"
mapping = "ota.toml"
"#;

const RULES: &str = r#"
[ruleset]
name = "test"
version = "1"
[classes]
all = ["*"]
[[field]]
id = "fields"
fields = ["*"]
order = ["pms", "ota"]
[[stay.status]]
id = "status"
order = ["*@*"]
[[stay.field]]
id = "details"
fields = ["placement", "money", "guests"]
order = ["pms", "ota"]
[stay]
no_show = "release"
[[capacity]]
id = "rooms"
order = ["confirmed@pms", "*@*"]
overbook = 0
"#;

const MAPPING: &str = "[properties]\n\"7\" = \"H1\"\n[room_types]\nDBL = \"DBL\"\n";

/// What the systems say first: two claims to one room, prices that differ, one broken line, two codes that nobody maps.
const PMS: &str = r#"{"property":"H1","inventory":{"room_type":"DBL","nights":"2026-03-01/2026-03-03","fields":{"capacity":1,"price":{"amount":"120.00","currency":"EUR"}}}}
{"property":"H1","reservation":{"id":"4711","lines":[{"line":"1","status":"confirmed","arrival":"2026-03-01","departure":"2026-03-03","room_type":"DBL","guests":2,"references":[{"type":"ota","issuer":"ota","value":"9"}]}]}}
{"broken
"#;
const OTA: &str = r#"{"property":"7","inventory":{"room_type":"DBL","nights":"2026-03-01/2026-03-02","fields":{"price":{"amount":"119.00","currency":"EUR"}}}}
{"property":"7","reservation":{"id":"9","lines":[{"line":"1","status":"confirmed","arrival":"2026-03-01","departure":"2026-03-03","room_type":"DBL","guests":3,"references":[{"type":"ota","issuer":"ota","value":"9"}]}]}}
{"property":"7","reservation":{"id":"10","lines":[{"line":"1","status":"confirmed","arrival":"2026-03-02","departure":"2026-03-03","room_type":"DBL"}]}}
{"property":"7","inventory":{"room_type":"QUEEN","nights":"2026-03-01/2026-03-02","fields":{"price":{"amount":"140.00","currency":"EUR"}}}}
{"property":"7","reservation":{"id":"11","lines":[{"line":"1","status":"confirmed","arrival":"2026-03-05","departure":"2026-03-06","room_type":"QUEEN"}]}}
"#;
/// Said once the code is mapped, before the dead letter is tried again: newer, so it stays.
const LATER: &str = r#"{"property":"7","inventory":{"room_type":"QUEEN","nights":"2026-03-01/2026-03-02","fields":{"price":{"amount":"150.00","currency":"EUR"}}}}
"#;

/// A pipeline in a folder of its own; `None` without libchdb.
fn pipeline() -> Option<tempfile::TempDir> {
    if let Err(error) = concord::engine::find_library(None) {
        eprintln!("not tested: {error}");
        return None;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let plugins = plugins_dir();
    for (name, text) in [
        ("pipeline.toml", PIPELINE.replace("PLUGINS", &plugins.display().to_string()).as_str()),
        ("rules.toml", RULES),
        ("ota.toml", MAPPING),
        ("pms.jsonl", PMS),
        ("ota.jsonl", OTA),
        ("later.jsonl", LATER),
    ] {
        std::fs::write(folder.path().join(name), text).expect(name);
    }
    Some(folder)
}

/// What the commands that only look say: status, output; equal whoever has log and engine open.
fn look(folder: &Path) -> Vec<(i32, String)> {
    let questions: [&[&str]; 12] = [
        &["sql", "SELECT date, room_type, available, price FROM room_nights FINAL ORDER BY date, room_type"],
        &["sql", "--json", "SELECT stay, outcome FROM reservations FINAL ORDER BY stay, date"],
        &["sql", "DROP TABLE conflicts"],
        &["why", "H1", "2026-03-02"],
        &["why", "H1", "2026-03-02", "DBL", "--json"],
        &["why", "--reservation", "ota:9"],
        &["why", "--stay", "ota:10/1", "--json"],
        &["why", "--reservation", "ota:99"],
        &["why", "H11", "2026-03-02"],
        &["why", "H1", "2031-03-02"],
        &["dead-letters", "list", "--json"],
        &["audit", "verify", "--json"],
    ];
    questions.iter().map(|arguments| say(folder, arguments)).map(|said| (said.status, said.out)).collect()
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn dead_letters(folder: &Path, arguments: &[&str]) -> Vec<Value> {
    let listed = say(folder, &[&["dead-letters", "list", "--json"], arguments].concat()).with(0);
    listed.lines().map(json).collect()
}

fn retry(folder: &Path, arguments: &[&str]) -> Value {
    json(&say(folder, &[&["dead-letters", "retry", "--json"], arguments].concat()).with(0))
}

fn run_until_idle(folder: &Path) -> Value {
    json(&say(folder, &["run", "--until-idle", "--json"]).with(0))["records"].clone()
}

#[test]
fn commands_answer_alike_while_run_is_up_and_while_it_is_not() {
    let Some(folder) = pipeline() else { return };
    let folder = folder.path();
    // Nothing is there yet, and nothing is made by looking.
    say(folder, &["status"]).with(0);
    assert_eq!(say(folder, &["why", "H1", "2026-03-01"]).status, 2);
    assert!(say(folder, &["rules", "check"]).with(0).contains("test@1#"));
    assert!(!folder.join("data").exists(), "looking made a data directory");

    assert!(say(folder, &["append", "--source", "pms", "--lines", "pms.jsonl"]).with(1).contains("1 rejected"));
    say(folder, &["append", "--source", "ota", "--lines", "ota.jsonl"]).with(0);
    assert!(say(folder, &["status"]).with(1).contains("records wait and nobody runs the pipeline"));
    let records = run_until_idle(folder);
    assert_eq!((&records["merged"], &records["dead_letters"]), (&5.into(), &3.into()), "{records}");

    let status = json(&say(folder, &["status", "--json"]).with(0));
    assert_eq!((&status["running"], &status["lag"]), (&Value::Null, &0.into()), "{status}");
    assert_eq!(status["configuration"]["author"], "anna");
    assert_eq!(status["configuration"]["proposed"], serde_json::json!([]));

    let down = look(folder);
    what_is_said(&down);
    let up = Up::start(folder);
    let status = json(&say(folder, &["status", "--json"]).out);
    assert!(status["running"].is_u64() && status["clickhouse"].is_string(), "{status}");
    assert_eq!(look(folder), down);
    assert_eq!(say(folder, &["run"]).status, 2, "two at once");
    assert_eq!(up.interrupt(), Some(0));
    assert!(!folder.join("data/run.json").exists());
}

#[test]
fn a_command_waits_for_a_process_that_is_just_starting_or_ending() {
    let Some(folder) = pipeline() else { return };
    let folder = folder.path();
    say(folder, &["append", "--source", "ota", "--lines", "ota.jsonl"]).with(0);
    run_until_idle(folder);
    let up = Up::begin(folder, |folder| {
        // It has its lock, and nobody can reach it yet.
        assert!(!folder.join("data/run.json").exists());
        assert_eq!(say(folder, &["sql", "--format", "TSV", "SELECT 1"]).with(0), "1\n");
        let status = json(&say(folder, &["status", "--json"]).out);
        assert!(status["running"].is_u64(), "{status}");
    });
    // A new one waits for the old one's end.
    let ending = std::thread::spawn(move || up.interrupt());
    while folder.join("data/run.json").exists() {
        std::thread::yield_now();
    }
    let again = Up::start(folder);
    assert_eq!(ending.join().expect("it ends"), Some(0));
    assert_eq!(again.interrupt(), Some(0));
}

/// The answers of [`look`], by content.
fn what_is_said(said: &[(i32, String)]) {
    let statuses: Vec<i32> = said.iter().map(|(status, _)| *status).collect();
    assert_eq!(statuses, [0, 0, 2, 0, 0, 0, 0, 1, 1, 1, 0, 0], "{said:#?}");
    assert!(said[0].1.contains("2026-03-01\tDBL\t0\t120"), "{}", said[0].1);
    let outcomes: Vec<Value> = said[1].1.lines().map(json).collect();
    assert_eq!(outcomes[0], serde_json::json!({ "stay": "ota:10/1", "outcome": "displaced" }));

    let night = &said[3].1;
    for expected in ["available 0 = 1 rooms (claimed) + 0 overbooking - 1 booked", "pms:4711/1", "ota:10/1"] {
        assert!(night.contains(expected), "no `{expected}` in\n{night}");
    }
    let night = &json(&said[4].1)[0];
    assert_eq!(
        (&night["stays"][0]["outcome"], &night["stays"][1]["outcome"]),
        (&"accepted".into(), &"displaced".into())
    );

    let guests = "guests  2 from pms by rule details";
    for expected in ["in stay pms:4711/1", "linked by ota:ota:9", guests, "field contest: ota = 3, pms = 2"] {
        assert!(said[5].1.contains(expected), "no `{expected}` in\n{}", said[5].1);
    }
    let waiting = &json(&said[6].1)[0];
    assert_eq!(waiting["stays"][0]["outcome"], "displaced");
    let decisions: Vec<&Value> =
        waiting["conflicts"].as_array().expect("rows").iter().map(|r| &r["decision"]).collect();
    assert_eq!(decisions, ["displaced"]);

    assert!(said[7].1.contains("there is no reservation ota:99") && said[7].1.contains("  ota:9\n"), "{}", said[7].1);
    assert!(said[8].1.contains("nothing is known of property H11") && said[8].1.contains("  H1\n"), "{}", said[8].1);
    assert!(said[9].1.contains("DBL between 2026-03-01 and 2026-03-03"), "{}", said[9].1);
    let mut kinds: Vec<Value> = said[10].1.lines().map(|line| json(line)["kind"].clone()).collect();
    kinds.sort_by_key(ToString::to_string);
    assert_eq!(kinds, ["rejected", "unmapped", "unmapped"]);
    let audit = json(&said[11].1);
    assert!(audit["rows"].as_u64() > Some(0) && audit["findings"] == 0, "{audit}");
}

#[test]
fn dead_letters_come_again_in_their_old_place() {
    let Some(folder) = pipeline() else { return };
    let folder = folder.path();
    say(folder, &["append", "--source", "ota", "--lines", "ota.jsonl"]).with(0);
    run_until_idle(folder);
    let unmapped = dead_letters(folder, &["--kind", "unmapped", "--source", "ota"]);
    assert_eq!(unmapped.len(), 2, "{unmapped:?}");
    assert_eq!(say(folder, &["dead-letters", "retry"]).status, 2, "which ones has to be said");
    assert_eq!(retry(folder, &["--kind", "fault"])["selected"], 0);

    // Without the mapping they fail again, as new dead letters.
    let dry = say(folder, &["dead-letters", "retry", "--kind", "unmapped", "--dry-run"]).with(0);
    assert!(dry.contains("2 would be retried"), "{dry}");
    assert_eq!(retry(folder, &["--kind", "unmapped"])["retried"], 2);
    run_until_idle(folder);
    assert_eq!(dead_letters(folder, &["--kind", "unmapped"]).len(), 4);

    // The mapping comes while `run` is up, and so does a newer price; the old one is tried again by its second
    // dead letter, and has its first place.
    let up = Up::start(folder);
    std::fs::write(folder.join("ota.toml"), format!("{MAPPING}QUEEN = \"DBL2\"\n")).expect("write");
    assert!(say(folder, &["apply", "--dry-run"]).with(1).contains("QUEEN"));
    say(folder, &["apply", "--reason", "queens"]).with(0);
    assert_eq!(up.interrupt(), Some(0));
    run_until_idle(folder);
    say(folder, &["append", "--source", "ota", "--lines", "later.jsonl"]).with(0);
    let up = Up::start(folder);
    let prices = |letters: Vec<Value>| {
        let price = |letter: &Value| letter["payload"].as_str().is_some_and(|payload| payload.contains("140.00"));
        letters.into_iter().filter(price).collect::<Vec<_>>()
    };
    let again = prices(dead_letters(folder, &["--kind", "unmapped"]));
    let newest = again.iter().max_by_key(|letter| letter["offset"].to_string().parse::<u64>().ok()).expect("one");
    let (partition, offset) = (newest["partition"].to_string(), newest["offset"].to_string());
    assert_eq!(retry(folder, &["--partition", &partition, "--offset", &offset])["retried"], 1);
    let all = retry(folder, &["--kind", "unmapped"]);
    assert_eq!((&all["selected"], &all["retried"], &all["repeated"]), (&4.into(), &2.into(), &2.into()), "{all}");
    assert_eq!(up.interrupt(), Some(0));
    let records = run_until_idle(folder);
    assert_eq!(records["dead_letters"], 4, "none came anew: {records}");

    let queens = "SELECT toString(price) FROM room_nights FINAL WHERE room_type = 'DBL2' AND price IS NOT NULL";
    assert_eq!(say(folder, &["sql", "--format", "TSV", queens]).with(0), "150\n");
    let booked = "SELECT stay, outcome FROM reservations FINAL WHERE room_type = 'DBL2'";
    assert_eq!(say(folder, &["sql", "--format", "TSV", booked]).with(0), "ota:11/1\taccepted\n");
}

#[test]
fn a_changed_conflict_row_is_named() {
    let Some(folder) = pipeline() else { return };
    let folder = folder.path();
    say(folder, &["append", "--source", "pms", "--lines", "pms.jsonl"]).with(1);
    say(folder, &["append", "--source", "ota", "--lines", "ota.jsonl"]).with(0);
    run_until_idle(folder);
    assert!(say(folder, &["audit", "verify"]).with(0).contains("the chain is whole"));

    let place = "SELECT partition, offset, seq FROM conflicts WHERE field = 'price' LIMIT 1";
    let place = json(&say(folder, &["sql", "--json", place]).with(0));
    let (partition, offset, seq) = (&place["partition"], &place["offset"], &place["seq"]);
    tamper(
        &folder.join("pipeline.toml"),
        &format!(
            "ALTER TABLE conflicts UPDATE reason = 'nobody knows' \
             WHERE partition = {partition} AND offset = {offset} AND seq = {seq} SETTINGS mutations_sync = 2"
        ),
    );
    let named = format!("partition {partition}, offset {offset}, seq {seq}: ");
    let found = say(folder, &["audit", "verify"]).with(1);
    assert!(found.contains(&named) && found.contains("1 finding\n"), "no `{named}` in\n{found}");
    let up = Up::start(folder);
    assert_eq!(say(folder, &["audit", "verify"]).with(1), found);
    let other = (1..=3).map(|n| (partition.as_u64().expect("a number") + n) % 3).find(|n| partition != *n);
    let other = other.expect("another partition").to_string();
    assert!(say(folder, &["audit", "verify", "--partition", &other]).with(0).contains("whole"));
    assert_eq!(up.interrupt(), Some(0));
}

/// Changes the tables behind the program's back.
fn tamper(config: &Path, statement: &str) {
    let threads = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads");
    threads.block_on(async {
        let pipeline = Pipeline::open(&PipelineArgument::file(config)).expect("the pipeline");
        let opened = pipeline.own_store(true).await.expect("the engine");
        let mut answer = opened.store.query_raw(statement, "TSV").expect("sent");
        while answer.next().await.expect("done").is_some() {}
        opened.close().await;
    });
}
