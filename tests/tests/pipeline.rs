//! The whole pipeline where it is disturbed: configurations, misplaced and bad records, lost partitions, ClickHouse away.
//!
//! What is merged how, the golden cases show.

use std::sync::Arc;
use std::time::Instant;

use concord::config::{PluginRef, Proposal, Tuning};
use concord::event::{Control, Event};
use concord::log::partitioner::partition;
use concord::log::{Log, LogError, NewRecord, Offset, Partition};
use concord::worker::{self, Mode, WorkerError};
use concord_tests::pipeline::dump::Dump;
use concord_tests::pipeline::stage::{price, signed};
use concord_tests::pipeline::{
    Database, Files, OwnLog, Proxy, START, Stage, Window, alone_with_clickhouse, configuration, copy_folder,
    foreign_key, key, plugins_dir, process, proposal_records, start_engine, until_idle, until_idle_on, with_clickhouse,
};
use serde_json::Value;
use tokio::sync::watch;

const DAY: &str = "2026-03-01";

fn room_night<'a>(rows: &'a [Value], date: &str) -> &'a Value {
    rows.iter().find(|row| row["date"] == date).unwrap_or_else(|| panic!("no room night of {date} in {rows:?}"))
}

/// (partition, offset, kind) of every dead letter.
fn dead_letters(dump: &Dump) -> Vec<(u64, u64, String)> {
    let number = |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok()).expect("a number");
    let rows = dump.rows("dead_letters");
    let kind = |row: &Value| row["kind"].as_str().expect("a kind").to_owned();
    rows.iter().map(|row| (number(&row["partition"]), number(&row["offset"]), kind(row))).collect()
}

// Configuration

#[test]
fn files_change_nothing_until_they_are_applied() {
    with_clickhouse(async |lease| {
        let stage = Stage::new(lease, 1).await;
        let both = async |day: &str| {
            stage.send("pms", [&*price("H1", day, "100.00")]).await;
            stage.send("ota", [&*price("H1", day, "110.00")]).await;
            stage.run().await;
        };
        both("2026-03-01").await;
        stage.files.edit("rules.toml", r#"order = ["pms", "portal"]"#, r#"order = ["portal", "pms"]"#);
        stage.files.edit("rules.toml", r#"version = "1""#, r#"version = "2""#);
        both("2026-03-02").await;
        stage.apply().await;
        both("2026-03-03").await;
        let dump = stage.dump().await;
        let rows = dump.rows("room_nights");
        let winner = |day: &str| room_night(&rows, day)["sources"]["price"].as_str().unwrap_or("").to_owned();
        let rule_set = |day: &str| room_night(&rows, day)["rule_set"].as_str().unwrap_or("").to_owned();
        assert_eq!(["2026-03-01", "2026-03-02", "2026-03-03"].map(winner), ["pms", "pms", "ota"]);
        assert!(rule_set("2026-03-02").starts_with("golden@1#") && rule_set("2026-03-03").starts_with("golden@2#"));
        let changes = dump.rows("rule_changes");
        let versions: Vec<&str> = changes.iter().filter_map(|row| row["version"].as_str()).collect();
        assert_eq!(versions, ["1", "2"]);
        stage.dump_afresh(lease).await.assert_same(&dump, "the same log at once (-), and as it came (+)");
    });
}

#[test]
fn a_configuration_that_cannot_be_used_is_refused_and_the_one_before_stays() {
    with_clickhouse(async |lease| {
        let stage = Stage::new(lease, 1).await;
        stage.send("pms", [&*price("H1", "2026-03-01", "100.00")]).await;
        let file = stage.files.pipeline();
        let good = Proposal::read(&file).expect("files");

        let mut broken_rules = good.clone();
        broken_rules.document.rules.text = "[ruleset]\nname = \"x\"\n".to_owned();
        let mut broken_plugin = good.clone();
        let garbage = b"\0asm\x0d\0\x01\0this is no component".to_vec();
        let source = broken_plugin.document.sources.get_mut("pms").expect("pms");
        source.plugin = PluginRef::of(&garbage);
        broken_plugin.plugin_bytes.insert(source.plugin.digest, garbage.into());
        let mut missing_plugin = good.clone();
        missing_plugin.document.sources.get_mut("pms").expect("pms").plugin = PluginRef::of(b"nowhere");
        let mut wrong_world = good.clone();
        wrong_world.document.precedence = good.document.sources["pms"].plugin;
        let follows = stage.configured();
        let newer =
            Control::Configuration { sequence: None, follows, reason: None, document: br#"{"format":999}"#[..].into() };
        let other = Control::Configuration { sequence: None, follows, reason: None, document: b"[1,2]"[..].into() };

        let mut refused = Vec::new();
        for proposal in [&broken_rules, &broken_plugin, &missing_plugin, &wrong_world] {
            let records = proposal_records(proposal, stage.configured(), START);
            let last = records.len() as u64 - 1;
            refused.push(stage.put(0, records).await + last);
        }
        for control in [newer, other] {
            refused.push(stage.put(0, vec![signed(&control, &key())]).await);
        }
        // The first one again, as somebody who copies records could append it: it is signed, and it is old.
        let again = configuration(&stage.files, None, START).pop().expect("a configuration");
        refused.push(stage.put(0, vec![again]).await);
        stage.send("pms", [&*price("H1", "2026-03-02", "200.00")]).await;
        let counts = stage.run().await;
        let dump = stage.dump().await;
        let expected: Vec<_> = refused.into_iter().map(|offset| (0, offset, "rejected".to_owned())).collect();
        assert_eq!(dead_letters(&dump), expected);
        let reasons = dump.rows("dead_letters");
        let reason = |at: usize| reasons[at]["reason"].as_str().unwrap_or("").to_owned();
        println!("{:#?}", (0..expected.len()).map(reason).collect::<Vec<_>>());
        assert!(reason(0).contains("rules.toml:1:"), "{}", reason(0));
        assert!(reason(2).contains("not in the log"), "{}", reason(2));
        assert!(reason(4).contains("999"), "{}", reason(4));
        assert_eq!(room_night(&dump.rows("room_nights"), "2026-03-02")["sources"]["price"], "pms");
        assert_eq!(dump.rows("rule_changes").len(), 1);
        assert_eq!((counts.merged, counts.dead_letters), (2, 7));
        stage.dump_afresh(lease).await.assert_same(&dump, "again (-) and first (+)");
    });
}

#[test]
fn forged_control_records_are_dead_letters() {
    with_clickhouse(async |lease| {
        let stage = Stage::new(lease, 1).await;
        let document = Proposal::read(&stage.files.pipeline()).expect("files").document;
        let follows = stage.configured();
        let configuration =
            Control::Configuration { sequence: None, follows, reason: None, document: document.to_bytes().into() };
        let tick = Control::Tick { millis: i64::MAX };
        let owner = Control::Owner { instance: "thief".to_owned() };
        let event = Event {
            source: "pms".into(),
            id: "1".into(),
            r#type: "delivery".into(),
            data: price("H1", DAY, "1.00").into(),
            ..Event::default()
        };
        let retry = Control::Retry { origin: 0, key: None, value: event.write().expect("event") };
        let mut records: Vec<NewRecord> =
            [&configuration, &tick, &owner, &retry].map(|control| signed(control, &foreign_key())).into();
        // Signed by the right key, and changed since; unsigned; of no type that there is.
        let changed = signed(&Control::Tick { millis: 1_000 }, &key());
        let text = String::from_utf8(changed.value.to_vec()).expect("text").replace("1000", "2000");
        records.push(NewRecord { value: text.into(), ..changed });
        let unsigned = r#"{"specversion":"1.0","id":"1","source":"pms","type":"concord.owner","instance":"thief"}"#;
        records.push(NewRecord { key: None, value: unsigned.as_bytes().to_vec().into(), timestamp: START });
        let unknown = r#"{"specversion":"1.0","id":"1","source":"pms","type":"concord.surprise"}"#;
        records.push(NewRecord { key: None, value: unknown.as_bytes().to_vec().into(), timestamp: START });
        let count = records.len() as u64;
        let first = stage.put(0, records.clone()).await;
        stage.send("pms", [&*price("H1", DAY, "100.00")]).await;
        let counts = stage.run().await;
        let dump = stage.dump().await;
        let expected: Vec<_> = (first..first + count).map(|offset| (0, offset, "forged".to_owned())).collect();
        assert_eq!(dead_letters(&dump), expected);
        for (row, record) in dump.rows("dead_letters").iter().zip(&records) {
            assert_eq!(row["payload"].as_str().map(str::as_bytes), Some(&record.value[..]));
        }
        assert_eq!((counts.merged, counts.dead_letters), (1, count));
        assert_eq!(dump.rows("rule_changes").len(), 1);
    });
}

// Partitions

/// A partition that `property` does not live on.
fn elsewhere(property: &str, partitions: u32) -> (Partition, Partition) {
    let home = partition(property.as_bytes(), partitions);
    (home, (home + 1) % partitions)
}

#[test]
fn a_record_on_the_wrong_partition_is_copied_once_also_across_a_crash() {
    with_clickhouse(async |lease| {
        let stage = Stage::new(lease, 3).await;
        let (home, wrong) = elsewhere("H1", 3);
        // Partition 0 alone brings the configuration to the others.
        until_idle_on(&stage.process("first").await, 0..1).await.expect("partition 0");
        let [delivered] = <[_; 1]>::try_from(stage.deliver("pms", [&*price("H1", DAY, "100.00")])).expect("one");
        let record = delivered.records[0].1.clone();
        stage.put(wrong, vec![record]).await;
        let (_, before) = stage.own.log.bounds(home).await.expect("bounds");

        // The copy is durable; ClickHouse never hears of the commit that moves past the original.
        let proxy = Proxy::before(lease).await;
        proxy.hold("state");
        let through = stage.database.at(&proxy.address);
        let shared = process(stage.own.log.clone(), &through, "crashes", Tuning::default()).await;
        let task = tokio::spawn(async move { until_idle_on(&shared, wrong..wrong + 1).await });
        stage.own.log.read(home, before, 1, 1).await.expect("the copy");
        proxy.held().await;
        proxy.shut();
        task.abort();
        // The writer of the crashed process goes on alone, and ClickHouse is closed to it for good.

        let counts = stage.run().await;
        let records = stage.own.records().await;
        let parsed = records[home as usize].iter().map(|record| concord::event::parse(&record.value, &key()));
        let copies = parsed.filter(
            |parsed| matches!(parsed, concord::event::Parsed::Control(c) if matches!(c.control, Control::Copy { .. })),
        );
        assert_eq!(copies.count(), 2, "the crash made the worker copy again");
        assert_eq!((counts.merged, counts.duplicate, counts.rerouted, counts.dead_letters), (1, 1, 1, 0));
        let dump = stage.dump().await;
        assert_eq!(room_night(&dump.rows("room_nights"), DAY)["sources"]["price"], "pms");
        stage.dump_afresh(lease).await.assert_same(&dump, "again (-) and across the crash (+)");
    });
}

#[test]
fn a_copy_that_is_wrong_again_is_misrouted() {
    with_clickhouse(async |lease| {
        let stage = Stage::new(lease, 3).await;
        let (_, wrong) = elsewhere("H1", 3);
        let [delivered] = <[_; 1]>::try_from(stage.deliver("pms", [&*price("H1", DAY, "100.00")])).expect("one");
        let NewRecord { key: property, value, .. } = delivered.records[0].1.clone();
        let copy = Control::Copy { origin_partition: 0, origin_offset: 1, key: property, value: value.clone() };
        let offset = stage.put(wrong, vec![signed(&copy, &key())]).await;
        let counts = stage.run().await;
        let dump = stage.dump().await;
        assert_eq!(dead_letters(&dump), [(u64::from(wrong), offset, "misrouted".to_owned())]);
        let payload = dump.rows("dead_letters")[0]["payload"].clone();
        assert_eq!(payload.as_str().map(str::as_bytes), Some(&value[..]), "the original, not its wrapping");
        assert_eq!((counts.merged, counts.rerouted, counts.dead_letters), (0, 0, 1));
    });
}

#[test]
fn a_worker_that_lost_its_partition_stops_and_says_to_whom() {
    with_clickhouse(async |lease| {
        let stage = Stage::new(lease, 1).await;
        stage.send("pms", [&*price("H1", "2026-03-01", "100.00")]).await;
        let (earlier, later) = (stage.process("earlier").await, stage.process("later").await);
        let (_keep, never) = watch::channel(false);
        let mode = Mode { until_idle: false, tick: None };
        // Its own owner record stands in the log once it works.
        let (_, end) = stage.own.log.bounds(0).await.expect("bounds");
        let running = tokio::spawn(worker::run(earlier.clone(), 0..1, mode, never));
        stage.own.log.read(0, end, 1, 1).await.expect("the earlier one's owner record");
        until_idle(&later).await.expect("the later one goes on");
        match running.await.expect("no panic") {
            Err(error @ WorkerError::Lost { .. }) => {
                println!("{error}");
                assert!(error.to_string().contains("worker later") && error.to_string().contains("nothing is lost"));
            }
            other => panic!("{other:?}"),
        }
        stage.send("pms", [&*price("H1", "2026-03-02", "100.00")]).await;
        stage.run().await;
        let dump = stage.dump().await;
        stage.dump_afresh(lease).await.assert_same(&dump, "one worker (-), several (+)");
    });
}

#[test]
fn a_worker_paused_while_it_writes_and_woken_later_harms_nothing() {
    with_clickhouse(async |lease| {
        for table in ["conflicts", "dead_letters", "reservations", "room_nights", "state"] {
            paused_in(lease, table).await;
        }
    });
}

/// Holds the earlier worker in its insert into `table`, lets a later one do everything and more, then wakes it.
async fn paused_in(lease: &concord_tests::pipeline::Lease, table: &str) {
    let stage = Stage::new(lease, 1).await;
    let booking = |id: u32, status: &str| {
        format!(
            r#"{{"property":"H1","reservation":{{"id":"{id}","lines":[{{"line":"1","status":"{status}","arrival":"{DAY}",
               "departure":"2026-03-03","room_type":"SGL"}}]}}}}"#
        )
    };
    let both = async |round: u32| {
        stage.send("pms", [&*price("H1", DAY, &format!("{round}.00")), &*booking(round, "confirmed"), "{}"]).await;
        stage.send("ota", [&*price("H1", DAY, &format!("{round}.50"))]).await;
    };
    both(1).await;
    let proxy = Proxy::before(lease).await;
    let through = stage.database.at(&proxy.address);
    let earlier = process(stage.own.log.clone(), &through, "earlier", Tuning::default()).await;
    proxy.hold(table);
    let (_keep, never) = watch::channel(false);
    let running = tokio::spawn(worker::run(earlier, 0..1, Mode { until_idle: false, tick: None }, never));
    proxy.held().await;
    both(2).await;
    stage.send("pms", [&*booking(1, "cancelled")]).await;
    stage.run().await;
    let before = stage.dump().await;
    proxy.release();
    let ended = running.await.expect("no panic");
    let expected = matches!(ended, Err(WorkerError::Lost { .. } | WorkerError::Ahead { .. }));
    assert!(expected, "paused in {table}: {ended:?}");
    let after = stage.dump().await;
    before.assert_same(&after, &format!("paused in {table}: before it woke (-), after (+)"));
    stage.dump_afresh(lease).await.assert_same(&after, &format!("paused in {table}: one worker (-), two (+)"));
    println!("paused in {table}: {}", ended.expect_err("lost"));
}

// Bad input

/// An event in CloudEvents form with this body.
fn event(source: &str, data: &str) -> String {
    format!(r#"{{"specversion":"1.0","id":"x","source":"{source}","type":"delivery","data":{data}}}"#)
}

#[test]
fn every_bad_record_is_one_dead_letter_and_its_neighbours_are_merged() {
    let line = |fields: &str| {
        format!(
            r#"{{"property":"H1","reservation":{{"id":"1","lines":[{{"line":"1","status":"confirmed",{fields}}}]}}}}"#
        )
    };
    let night = |fields: &str| {
        format!(
            r#"{{"property":"H1","inventory":{{"room_type":"DBL","nights":"2026-03-01/2026-03-02","fields":{fields}}}}}"#
        )
    };
    let key = Some("H1/2026-03-01".as_bytes().to_vec());
    let pms = |data: String| event("pms", &data).into_bytes();
    let bad: Vec<(&str, &str, Option<Vec<u8>>, Vec<u8>)> = vec![
        // Which, kind, key, value.
        ("nothing at all", "rejected", key.clone(), Vec::new()),
        ("no JSON", "rejected", key.clone(), b"<xml/>".to_vec()),
        ("half of a JSON", "rejected", key.clone(), pms(night(r#"{"capacity":1}"#))[..60].to_vec()),
        ("nested 100,000 deep", "rejected", key.clone(), [vec![b'['; 100_000], vec![b']'; 100_000]].concat()),
        ("data nested 200 deep", "rejected", key.clone(), pms(format!("{}{}", "[".repeat(200), "]".repeat(200)))),
        ("data nested 100 deep", "rejected", key.clone(), pms(format!("{}{}", "[".repeat(100), "]".repeat(100)))),
        (
            "Latin-1",
            "rejected",
            key.clone(),
            pms(line(r#""room_type":"Z?""#)).iter().map(|b| if *b == b'?' { 0xfc } else { *b }).collect(),
        ),
        ("UTF-16", "rejected", key.clone(), pms(line("")).iter().flat_map(|b| [*b, 0]).collect()),
        ("a lone surrogate", "rejected", key.clone(), pms(line(r#""room_type":"\ud800""#))),
        ("no CloudEvent", "rejected", key.clone(), night(r#"{"capacity":1}"#).into_bytes()),
        (
            "no id",
            "rejected",
            key.clone(),
            br#"{"specversion":"1.0","source":"pms","type":"delivery","data":{}}"#.to_vec(),
        ),
        (
            "another specversion",
            "rejected",
            key.clone(),
            br#"{"specversion":"0.3","id":"1","source":"pms","type":"delivery","data":{}}"#.to_vec(),
        ),
        (
            "bad Base64",
            "rejected",
            key.clone(),
            br#"{"specversion":"1.0","id":"1","source":"pms","type":"delivery","data_base64":"*"}"#.to_vec(),
        ),
        ("an unknown source", "rejected", key.clone(), event("nobody", "{}").into_bytes()),
        ("no key", "rejected", None, pms(night(r#"{"capacity":1}"#))),
        ("an empty key", "rejected", Some(Vec::new()), pms(night(r#"{"capacity":1}"#))),
        ("a key without a date", "rejected", Some(b"H1".to_vec()), pms(night(r#"{"capacity":1}"#))),
        (
            "a key with a date that is none",
            "rejected",
            Some(b"H1/0000-00-00".to_vec()),
            pms(night(r#"{"capacity":1}"#)),
        ),
        ("a key that is no text", "rejected", Some(vec![0xff, b'/']), pms(night(r#"{"capacity":1}"#))),
        (
            "departure before arrival",
            "rejected",
            key.clone(),
            pms(line(r#""arrival":"2026-03-04","departure":"2026-03-01","room_type":"DBL""#)),
        ),
        (
            "departure at arrival",
            "rejected",
            key.clone(),
            pms(line(r#""arrival":"2026-03-01","departure":"2026-03-01","room_type":"DBL""#)),
        ),
        (
            "3,000 nights",
            "rejected",
            key.clone(),
            pms(line(r#""arrival":"2026-03-01","departure":"2034-05-18","room_type":"DBL""#)),
        ),
        ("no property", "rejected", key.clone(), pms(r#"{"reservation":{"id":"1","lines":[]}}"#.into())),
        ("0000-00-00", "rejected", key.clone(), pms(line(r#""arrival":"0000-00-00","departure":"2026-03-01""#))),
        (
            "the 30th of February",
            "rejected",
            key.clone(),
            pms(line(r#""arrival":"2026-02-30","departure":"2026-03-01""#)),
        ),
        (
            "the year 9999",
            "rejected",
            key.clone(),
            pms(line(r#""arrival":"9999-12-30","departure":"9999-12-31","room_type":"DBL""#)),
        ),
        (
            "an unknown key",
            "rejected",
            key.clone(),
            pms(r#"{"property":"H1","colour":"blue","snapshot":"begin"}"#.into()),
        ),
        ("a field that is not declared", "rejected", key.clone(), pms(night(r#"{"colour":"blue"}"#))),
        ("a field of another type", "rejected", key.clone(), pms(night(r#"{"price":true}"#))),
        ("a capacity that does not fit", "rejected", key.clone(), pms(night(r#"{"capacity":99999999999999999999}"#))),
        ("a negative capacity", "rejected", key.clone(), pms(night(r#"{"capacity":-1}"#))),
        ("a broken capacity", "rejected", key.clone(), pms(night(r#"{"capacity":1.5}"#))),
        (
            "an amount that does not fit",
            "rejected",
            key.clone(),
            pms(night(r#"{"price":{"amount":"1e300","currency":"EUR"}}"#)),
        ),
        ("five decimals", "rejected", key.clone(), pms(night(r#"{"price":{"amount":"1.00001","currency":"EUR"}}"#))),
        ("no currency", "rejected", key.clone(), pms(night(r#"{"price":{"amount":"1.00","currency":"euro"}}"#))),
        (
            "an unknown status",
            "rejected",
            key.clone(),
            pms(r#"{"property":"H1","line":{"reservation":"1","line":"1","status":"maybe"}}"#.into()),
        ),
        (
            "a property that the key is not about",
            "fault",
            Some(b"H2/2026-03-01".to_vec()),
            pms(night(r#"{"capacity":1}"#)),
        ),
        ("a body of 2 MiB", "too-large", key.clone(), pms(format!("\"{}\"", "x".repeat(2 << 20)))),
    ];
    with_clickhouse(async |lease| {
        let stage = Stage::new(lease, 1).await;
        let mut expected = Vec::new();
        let good = async |number: usize| stage.send("pms", [&*price("H1", DAY, &format!("{number}.00"))]).await;
        for (number, (name, kind, key, value)) in bad.iter().enumerate() {
            good(number).await;
            let record = NewRecord { key: key.clone().map(Into::into), value: value.clone().into(), timestamp: START };
            expected.push((*name, stage.put(0, vec![record]).await, *kind, value));
        }
        good(bad.len()).await;
        let counts = stage.run().await;
        let dump = stage.dump().await;
        let rows = dump.rows("dead_letters");
        for (name, offset, kind, value) in &expected {
            let at = |row: &&Value| row["offset"].as_str().map(str::to_owned).unwrap_or(row["offset"].to_string());
            let found: Vec<&Value> = rows.iter().filter(|row| at(row) == offset.to_string()).collect();
            let [row] = found[..] else { panic!("{name}: {found:?}") };
            let (found, reason) = (row["kind"].as_str().unwrap_or(""), row["reason"].as_str().unwrap_or(""));
            println!("{name}: {found}: {}", reason.chars().take(150).collect::<String>());
            assert_eq!(found, *kind, "{name}: {reason}");
            assert!(!reason.is_empty(), "{name}");
            assert_eq!(row["payload"].as_str(), Some(&*String::from_utf8_lossy(value)), "{name}");
        }
        assert_eq!(rows.len(), expected.len());
        assert_eq!(counts.merged, bad.len() as u64 + 1, "the good ones between them");
        let last = room_night(&dump.rows("room_nights"), DAY)["price"].clone();
        assert_eq!(last.as_f64().or_else(|| last.as_str()?.parse().ok()), Some(bad.len() as f64));
        stage.dump_afresh(lease).await.assert_same(&dump, "again (-) and first (+)");
    });
}

#[test]
fn a_record_of_50_mib_passes_no_door_and_a_foreign_one_is_too_large() {
    with_clickhouse(async |lease| {
        let huge = format!(r#"{{"property":"H1","note":"{}"}}"#, "x".repeat(50 << 20));
        let mut stage = Stage::new(lease, 1).await;
        for delivered in stage.deliver("pms", [&*huge]) {
            assert!(delivered.records.is_empty());
            println!("the door says: {:?}", delivered.refused);
            assert!(delivered.refused[0].contains("log.max_record_bytes"));
        }
        let record =
            NewRecord { key: Some("H1/2026-03-01".into()), value: event("pms", &huge).into(), timestamp: START };
        let refused = stage.own.log.append(0, vec![record.clone()]).await;
        assert!(matches!(refused, Err(LogError::TooLarge { .. })), "{refused:?}");

        // A log that somebody else runs may take it.
        stage.begin_log(OwnLog::with_limit(1, 64 << 20)).await;
        stage.send("pms", [&*price("H1", "2026-03-01", "1.00")]).await;
        let offset = stage.put(0, vec![record.clone()]).await;
        stage.send("pms", [&*price("H1", "2026-03-02", "2.00")]).await;
        let counts = stage.run().await;
        assert_eq!((counts.merged, counts.dead_letters), (2, 1));
        let store = stage.database.store().await;
        let query = "SELECT offset, kind, reason, length(payload) AS bytes FROM dead_letters";
        let rows = store.query_json(query, &[]).await.expect("dead letters");
        println!("{rows:?}");
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0]["kind"], "too-large");
        let number = |name: &str| rows[0][name].as_u64().or_else(|| rows[0][name].as_str()?.parse().ok());
        assert_eq!(number("offset"), Some(offset));
        assert_eq!(number("bytes"), Some(record.value.len() as u64));
    });
}

// ClickHouse

#[test]
fn while_clickhouse_is_away_reading_stops_and_afterwards_the_worker_catches_up() {
    /// Each sets four nights, so 2,500 of them fill a commit.
    const RECORDS: usize = 10_000;
    const BATCH: usize = 512;
    with_clickhouse(async |lease| {
        let stage = Stage::new(lease, 1).await;
        stage.send("pms", [&*price("H1", "2020-01-01", "1.00")]).await;
        let proxy = Proxy::before(lease).await;
        let log = Arc::new(Window::new(stage.own.log.clone(), vec![Offset::MAX]));
        let tuning = Tuning { batch_records: BATCH, ..Tuning::default() };
        let shared = process(log.clone(), &stage.database.at(&proxy.address), "worker", tuning).await;
        let (stop, stopped) = watch::channel(false);
        let mode = Mode { until_idle: false, tick: None };
        let (_, end) = stage.own.log.bounds(0).await.expect("bounds");
        let running = tokio::spawn(worker::run(shared.clone(), 0..1, mode, stopped));
        // What is there is written, its own owner record too; then ClickHouse goes away.
        written(&shared, end + 1, &running).await;
        proxy.shut();
        // Many room types and one month: an insert over many months takes ClickHouse long.
        let body = |number: usize| {
            let (first, room_type) = (number % 7 * 4 + 1, number / 7);
            format!(
                r#"{{"property":"H1","inventory":{{"room_type":"T{room_type}","nights":"2026-03-{first:02}/2026-03-{:02}","fields":{{"min_stay":{}}}}}}}"#,
                first + 4,
                number % 5
            )
        };
        let bodies: Vec<String> = (0..RECORDS).map(body).collect();
        stage.send("pms", bodies.iter().map(String::as_str)).await;
        proxy.refused(6).await;
        let (read, (_, end)) = (log.read_to(), stage.own.log.bounds(0).await.expect("bounds"));
        println!("{read} of {end} records read while ClickHouse turned 6 connections away");
        // One commit on its way, one gathered, and a batch read beyond it.
        let most = 16 + 2 * 2_500 + 2 * BATCH as u64;
        assert!(read <= most, "{read} records read, at most {most} may be in memory");
        assert!(shared.progress(0).next().is_none_or(|next| next < read || next <= 8), "nothing is written");
        proxy.open();
        written(&shared, end, &running).await;
        stop.send(true).expect("the worker runs");
        running.await.expect("no panic").expect("a clean end");
        let dump = stage.dump().await;
        assert_eq!(dump.rows("room_nights").len(), RECORDS * 4 + 1);
        stage.dump_afresh(lease).await.assert_same(&dump, "without (-) and with an outage (+)");
    });
}

/// Waits until a running worker has written up to `end`.
async fn written<L: Log>(
    shared: &worker::Shared<L>,
    end: Offset,
    running: &tokio::task::JoinHandle<Result<(), WorkerError>>,
) {
    while shared.progress(0).next().is_none_or(|next| next < end) {
        assert!(!running.is_finished(), "the worker ended before it had written up to {end}");
        tokio::task::yield_now().await;
    }
}

// Machines

#[test]
fn another_machine_goes_on_with_log_and_clickhouse_alone() {
    alone_with_clickhouse(async |library| {
        let files = Files::new();
        let (one, other) = (tempfile::tempdir().expect("folder"), tempfile::tempdir().expect("folder"));
        let own = OwnLog::new(1);
        own.log.append(0, configuration(&files, None, START)).await.expect("append");
        let mut deliverer = concord_tests::pipeline::golden::deliverer(&files, "pms", 1);
        let mut other_source = concord_tests::pipeline::golden::deliverer(&files, "ota", 1);
        for number in 1..=20 {
            for deliverer in [&mut deliverer, &mut other_source] {
                let body = price("H1", &format!("2026-03-{:02}", number % 9 + 1), &format!("{number}.00"));
                let content_type = "application/json".to_owned();
                let delivery = concord::plugin::Delivery { content_type, attributes: Vec::new(), body: body.into() };
                for (partition, record) in deliverer.deliver(delivery, None, START).expect("host").records {
                    own.log.append(partition, vec![record]).await.expect("append");
                }
            }
        }
        let (_, end) = own.log.bounds(0).await.expect("bounds");

        let engine = start_engine(library, one.path()).await;
        let database = Database::on(&engine.address().to_string());
        let half = Arc::new(Window::new(own.log.clone(), vec![end / 2]));
        let shared = process(half.clone(), &database, "one", Tuning::default()).await;
        until_idle(&shared).await.expect("half of it");
        drop((shared, half));
        engine.stop().await;

        let own = own.moved();
        copy_folder(one.path(), other.path());
        drop(one);
        let engine = start_engine(library, other.path()).await;
        let moved = database.at(&engine.address().to_string());
        until_idle(&process(own.log.clone(), &moved, "other", Tuning::default()).await).await.expect("the rest");
        let straight = Database::on(&engine.address().to_string());
        until_idle(&process(own.log.clone(), &straight, "straight", Tuning::default()).await).await.expect("all");
        let (moved, straight) = (Dump::read(&moved.store().await).await, Dump::read(&straight.store().await).await);
        assert!(!moved.rows("conflicts").is_empty());
        straight.assert_same(&moved, "one machine (-), two (+)");
        engine.stop().await;
    });
}

#[test]
fn a_start_reads_little_however_large_the_state() {
    /// Of each hotel, a year of nights: as many room nights as one record may set.
    const ROOM_TYPES: usize = 54;
    const HOTELS: usize = 10;
    with_clickhouse(async |lease| {
        let stage = Stage::new(lease, 1).await;
        let body = |hotel: usize| {
            let nights = |room_type: usize| {
                format!(
                    r#"{{"inventory":{{"room_type":"T{room_type}","nights":"2026-01-01/2027-01-01","fields":{{"capacity":9}}}}}}"#
                )
            };
            let changes: Vec<String> = (0..ROOM_TYPES).map(nights).collect();
            format!(r#"{{"property":"X{hotel}","changes":[{}]}}"#, changes.join(","))
        };
        let bodies: Vec<String> = (0..HOTELS).map(body).collect();
        stage.send("pms", bodies.iter().map(String::as_str)).await;
        stage.run().await;
        let begin = Instant::now();
        let shared = stage.process("later").await;
        let opened = begin.elapsed();
        until_idle(&shared).await.expect("a start");
        println!(
            "{} room nights of state: tables ready after {opened:?}, its owner record written after {:?}",
            HOTELS * ROOM_TYPES * 365,
            begin.elapsed()
        );
        let begin = Instant::now();
        stage.send("pms", [&*price("X1", "2026-03-01", "5.00")]).await;
        stage.run().await;
        println!(
            "a record for a hotel of {} room nights written {:?} after the start",
            ROOM_TYPES * 365,
            begin.elapsed()
        );
        let store = stage.database.store().await;
        let rows = store.query_json("SELECT count() AS n FROM room_nights FINAL", &[]).await.expect("count");
        let count = rows[0]["n"].as_u64().or_else(|| rows[0]["n"].as_str()?.parse().ok());
        assert_eq!(count, Some((HOTELS * ROOM_TYPES * 365) as u64 + 1));
    });
}

/// Without it, every test here would say "skipped" where only the plugins are missing.
#[test]
fn the_plugins_are_there() {
    for plugin in ["native.wasm", "precedence.wasm"] {
        assert!(plugins_dir().join(plugin).is_file(), "{plugin}: run `cargo xtask guests`");
    }
}
