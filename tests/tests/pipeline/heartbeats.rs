//! Heartbeats of connectors: visible, where they belong, and without a trace in what is merged.

use std::sync::Arc;

use concord::event::Control;
use concord::heartbeat::{Connector, Heard, records};
use concord::log::NewRecord;
use concord_tests::pipeline::dump::Dump;
use concord_tests::pipeline::stage::{Stage, price, signed};
use concord_tests::pipeline::{START, foreign_key, key, with_clickhouse};
use serde_json::Value;

use super::DAY;

/// Property and time of what is known of a source's heartbeats.
fn heard(rows: &[Value], source: &str) -> Vec<(String, String)> {
    let text = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    rows.iter()
        .filter(|row| row["source"] == source)
        .map(|row| (text(row, "property"), text(row, "last_heartbeat")))
        .collect()
}

/// The room nights without their positions in the log.
fn answers(dump: &Dump) -> Vec<Value> {
    let mut rows = dump.rows("room_nights");
    rows.iter_mut().filter_map(Value::as_object_mut).for_each(|row| _ = row.remove("version"));
    rows
}

#[test]
fn heartbeats_are_seen_and_change_nothing_else() {
    with_clickhouse(async |lease| {
        let (quiet, stage) = (Stage::new(lease, 4).await, Stage::new(lease, 4).await);
        let key = key();
        let connector = Connector { source: "pms", name: "webhooks@w1", key: &key, partitions: 4 };
        for (round, amount) in [(0, "100.00"), (1, "110.00"), (2, "100.00")] {
            for stage in [&quiet, &stage] {
                stage.send("pms", [&*price("H1", DAY, amount), &*price("H2", DAY, amount)]).await;
            }
            let mut since = Heard::default();
            let now = (START + round * 60_000) * 1000;
            ["H1", "H2"].map(Arc::from).into_iter().take(2 - usize::from(round == 2)).for_each(|p| since.note(p, now));
            for (partition, record) in records(connector, &since, now).expect("heartbeats") {
                // Twice does no harm.
                stage.put(partition, vec![record.clone(), record]).await;
            }
        }
        let (counts, plain) = (stage.run().await, quiet.run().await);
        assert_eq!((counts.merged, counts.duplicate, counts.dead_letters), (plain.merged, plain.duplicate, 0));
        assert_eq!(counts.control, plain.control + 2 * (3 + 3 + 2));
        let dump = stage.dump().await;
        let at = |minute: u32| format!("2026-01-01 00:0{minute}:00.000");
        let expected = [("", 2), ("H1", 2), ("H2", 1)].map(|(property, minute)| (property.to_owned(), at(minute)));
        assert_eq!(heard(&dump.rows("source_freshness"), "pms"), expected);
        // Positions aside, the answer is that of a log without them.
        assert_eq!(answers(&dump), answers(&quiet.dump().await));
        stage.dump_afresh(lease).await.assert_same(&dump, "again (-) and first (+)");
    });
}

#[test]
fn a_heartbeat_vouches_for_what_it_may() {
    with_clickhouse(async |lease| {
        let stage = Stage::new(lease, 4).await;
        let key = key();
        let mut since = Heard::default();
        since.note("H1".into(), START * 1000);
        let of = |source| Connector { source, name: "poll", key: &key, partitions: 4 };
        let own: Vec<(u32, NewRecord)> = records(of("pms"), &since, START * 1000).expect("heartbeats");
        // A source that is not configured; a property of another partition; a foreign signature.
        for (partition, record) in records(of("nobody"), &since, START * 1000).expect("heartbeats") {
            stage.put(partition, vec![record]).await;
        }
        let (home, record) = own[1].clone();
        stage.put((home + 1) % 4, vec![record]).await;
        let control = Control::Heartbeat { source: "pms".into(), property: Some("H1".into()), time: i64::MAX };
        stage.put(home, vec![signed(&control, &foreign_key())]).await;
        let counts = stage.run().await;
        assert_eq!(counts.dead_letters, 1);
        assert!(stage.dump().await.rows("source_freshness").is_empty());
        // The same where it belongs, and a time that no table holds.
        stage.put(home, vec![own[1].1.clone(), signed(&control, &key)]).await;
        stage.run().await;
        let rows = stage.dump().await.rows("source_freshness");
        assert_eq!(heard(&rows, "pms"), [("H1".to_owned(), "2299-12-31 23:59:59.999".to_owned())]);
    });
}
