//! Configuration comes through the log: nothing else changes a decision, and what cannot be used is refused.

use concord::config::{PluginRef, Proposal};
use concord::event::{Control, Event};
use concord::log::NewRecord;
use concord_tests::pipeline::stage::{price, signed};
use concord_tests::pipeline::{START, Stage, configuration, foreign_key, key, proposal_records, with_clickhouse};

use crate::{DAY, dead_letters, room_night};

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
