//! A pipeline that moves to another log with more partitions: the same answers as if nothing had moved.

use std::collections::BTreeSet;
use std::sync::Arc;

use concord::config::Tuning;
use concord::event::Control;
use concord::log::embedded::EmbeddedLog;
use concord::log::partitioner::partition;
use concord::log::{Log, Shifted};
use concord::plugin::Delivery;
use concord::worker::WorkerError;
use concord::worker::migrate::{MigrateError, Migration, Moved};
use concord_tests::pipeline::dump::{self, Dump};
use concord_tests::pipeline::golden::deliverer;
use concord_tests::pipeline::stage::{price, signed};
use concord_tests::pipeline::{Database, Lease, OwnLog, START, Stage, key, process, until_idle, with_clickhouse};

use crate::{DAY, number};

const HOTELS: u32 = 12;
const FIRST: u64 = 2_000_000;

type NewLog = Shifted<Arc<EmbeddedLog>>;

/// What two sources say about every hotel, first and later: bookings that collide, prices that differ, what is refused.
fn said(round: u32) -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    for hotel in 0..HOTELS {
        let property = format!("H{hotel}");
        all.push(("pms", price(&property, DAY, &format!("{}.00", 100 + round + hotel))));
        all.push(("ota", price(&property, DAY, &format!("{}.50", 100 + hotel))));
        for source in ["ota", "pms"] {
            all.push((source, booking(&property, round * 10 + u32::from(source == "pms"), "confirmed")));
        }
        if round > 0 {
            all.push(("ota", booking(&property, 0, "cancelled")));
        }
        all.push(("pms", format!(r#"{{"property":"{property}","reservation":{{"id":"{round}","lines":7}}}}"#)));
    }
    all
}

fn booking(property: &str, id: u32, status: &str) -> String {
    format!(
        r#"{{"property":"{property}","reservation":{{"id":"{id}","lines":[{{"line":"1","status":"{status}","arrival":"{DAY}",
           "departure":"2026-03-03","room_type":"SGL"}}]}}}}"#
    )
}

/// Appends deliveries where they belong in a log; all have the same log time.
async fn send(stage: &Stage, log: &impl Log, said: &[(&str, String)]) {
    let partitions = log.identity().partitions;
    for (source, body) in said {
        let delivery = Delivery {
            content_type: "application/json".to_owned(),
            attributes: Vec::new(),
            body: body.clone().into_bytes().into(),
        };
        let delivered = deliverer(&stage.files, source, partitions).deliver(delivery, None, START).expect("host");
        for (partition, record) in delivered.records {
            log.append(partition, vec![record]).await.expect("append");
        }
    }
}

/// The tables without the places of records: where they stand is what moves.
fn answers(dump: &Dump) -> BTreeSet<String> {
    const PLACES: [&str; 7] = ["version", "partition", "offset", "seq", "prev_hash", "hash", "log_time"];
    let mut answers = BTreeSet::new();
    for table in ["room_nights", "reservations", "conflicts", "dead_letters"] {
        for mut row in dump.rows(table) {
            let object = row.as_object_mut().expect("an object");
            PLACES.iter().for_each(|place| {
                object.remove(*place);
            });
            for claim in object.get_mut("claims").and_then(|c| c.as_array_mut()).into_iter().flatten() {
                claim.as_object_mut().expect("a claim").remove("offset");
            }
            answers.insert(format!("{table} {row}"));
        }
    }
    answers
}

async fn run(log: &Arc<impl Log>, database: &Database, instance: &str) -> Result<(), WorkerError> {
    until_idle(&process(log.clone(), database, instance, Tuning::default()).await).await
}

async fn migrate(stage: &Stage, new: &NewLog) -> Result<Moved, MigrateError> {
    let store = stage.database.store().await;
    Migration { store: &store, old: &*stage.own.log, new, key: &key(), author: "tester" }.run().await
}

/// A stage of three partitions on which the first round is decided, and a reset that only some properties need.
async fn first_round(lease: &Lease) -> Stage {
    let stage = Stage::new(lease, 3).await;
    let revised = r#"{"property":"H1","revision":50,"inventory":{"room_type":"DBL","nights":"2026-04-01/2026-04-02","fields":{"price":{"amount":"50.00","currency":"EUR"}}}}"#;
    send(&stage, &stage.own.log, &[("pms", revised.to_owned())]).await;
    stage.put(0, vec![signed(&Control::Reset { source: "pms".to_owned(), sequence: None }, &key())]).await;
    stage.run().await;
    send(&stage, &stage.own.log, &said(0)).await;
    stage.run().await;
    stage
}

/// Revision 3 is news only because a reset forgot revision 50.
const AFTER_RESET: &str = r#"{"property":"H1","revision":3,"inventory":{"room_type":"DBL","nights":"2026-04-01/2026-04-02","fields":{"price":{"amount":"3.00","currency":"EUR"}}}}"#;

fn new_log(first: u64) -> NewLog {
    // The folder lives as long as the test's process.
    let own = Box::leak(Box::new(OwnLog::new(8)));
    Shifted::new(own.log.clone(), first)
}

#[test]
fn a_pipeline_that_moved_gives_the_answers_of_one_that_did_not() {
    with_clickhouse(async |lease| {
        let stayed = first_round(lease).await;
        let mut second = said(1);
        second.push(("pms", AFTER_RESET.to_owned()));
        send(&stayed, &stayed.own.log, &second).await;
        stayed.run().await;

        let stage = first_round(lease).await;
        let new = Arc::new(new_log(FIRST));
        let moved = migrate(&stage, &new).await.expect("moved");
        println!("{moved:?}");
        assert!(!moved.before && moved.properties == HOTELS as usize && moved.late == 0);
        let elsewhere = (0..HOTELS).filter(|n| {
            let property = format!("H{n}");
            partition(property.as_bytes(), 3) != partition(property.as_bytes(), 8)
        });
        assert!(elsewhere.count() > 3, "some of them have to move for this to show anything");
        send(&stage, &*new, &second).await;
        run(&new, &stage.database, "after").await.expect("the new log");

        let store = stage.database.store().await;
        dump::check(&store, 8).await;
        let (here, there) = (Dump::read(&store).await, stayed.dump().await);
        let missing: Vec<_> = answers(&there).difference(&answers(&here)).cloned().collect();
        let extra: Vec<_> = answers(&here).difference(&answers(&there)).cloned().collect();
        assert!(missing.is_empty() && extra.is_empty(), "missing {missing:#?}\nextra {extra:#?}");
        let price = here.rows("room_nights").into_iter().find(|row| row["date"] == "2026-04-01").expect("the night");
        assert_eq!(price["price"].to_string().trim_matches('"').parse::<f64>().ok(), Some(3.0), "{price}");
        // Positions go on: nothing of the new log stands before anything of the old one.
        let offsets = here.rows("conflicts").into_iter().filter_map(|row| number(&row["offset"]));
        let (after, before): (Vec<u64>, Vec<u64>) = offsets.partition(|offset| *offset >= FIRST);
        assert!(!after.is_empty() && !before.is_empty());
        // Nothing is left where nobody looks.
        let state = here.rows("state");
        let lost: Vec<_> = state
            .iter()
            .filter(|row| {
                let property = row["property"].as_str().expect("a property");
                number(&row["partition"]) != Some(u64::from(partition(property.as_bytes(), 8)))
            })
            .collect();
        assert!(lost.is_empty(), "{lost:?}");
    });
}

#[test]
fn the_old_log_is_closed_and_what_comes_late_is_carried_over_once() {
    with_clickhouse(async |lease| {
        let stage = first_round(lease).await;
        let new = Arc::new(new_log(FIRST));
        migrate(&stage, &new).await.expect("moved");
        match run(&stage.own.log, &stage.database, "old").await {
            Err(error @ WorkerError::OtherLog { .. }) => {
                println!("{error}");
                assert!(error.to_string().contains("concord log migrate"));
            }
            other => panic!("{other:?}"),
        }
        send(&stage, &stage.own.log, &[("pms", price("H5", "2026-05-05", "55.00"))]).await;
        for late in [1, 1] {
            let moved = migrate(&stage, &new).await.expect("again");
            assert!(moved.before && moved.late == late, "{moved:?}");
        }
        run(&new, &stage.database, "new").await.expect("the new log");
        let store = stage.database.store().await;
        dump::check(&store, 8).await;
        let rows = Dump::read(&store).await.rows("room_nights");
        let night = rows.iter().find(|row| row["date"] == "2026-05-05").expect("the late price");
        assert_eq!(night["sources"]["price"], "pms");
    });
}

#[test]
fn what_cannot_be_moved_is_said_before_anything_changes() {
    with_clickhouse(async |lease| {
        let empty = Stage::new(lease, 3).await;
        assert!(matches!(migrate(&empty, &new_log(FIRST)).await, Err(MigrateError::Nothing)));

        let stage = first_round(lease).await;
        let before = stage.dump().await;
        let same = Shifted::new(stage.own.log.clone(), 0);
        assert!(matches!(migrate(&stage, &same).await, Err(MigrateError::SameLog)));
        let smaller = Shifted::new(OwnLog::new(2).log, FIRST);
        assert!(matches!(migrate(&stage, &smaller).await, Err(MigrateError::Fewer { old: 3, new: 2 })));
        match migrate(&stage, &new_log(3)).await {
            Err(error @ MigrateError::FirstPosition { least: 1_000_000, found: 3 }) => println!("{error}"),
            other => panic!("{other:?}"),
        }
        send(&stage, &stage.own.log, &[("pms", price("H5", "2026-05-05", "55.00"))]).await;
        match migrate(&stage, &new_log(FIRST)).await {
            Err(error @ MigrateError::Undecided { .. }) => println!("{error}"),
            other => panic!("{other:?}"),
        }
        stage.run().await;
        let after = stage.dump().await;
        assert_eq!(answers(&before).difference(&answers(&after)).count(), 0, "everything is still there");
        migrate(&stage, &new_log(FIRST)).await.expect("now all is decided");
    });
}
