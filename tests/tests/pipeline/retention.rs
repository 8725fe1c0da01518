//! The log forgets what is old, decided and written, and nothing else.

use concord::event::Control;
use concord::log::{Log, LogError};
use concord::worker::retention::once;
use concord_tests::pipeline::stage::{Stage, price, signed};
use concord_tests::pipeline::{Database, START, foreign_key, key, until_idle, with_clickhouse};

use super::DAY;

fn tick(minute: i64) -> Control {
    Control::Tick { millis: START + minute * 60_000 }
}

#[test]
fn what_is_old_and_written_is_given_up() {
    with_clickhouse(async |lease| {
        let stage = Stage::new(lease, 1).await;
        let mut ticks = Vec::new();
        for minute in 0..5 {
            stage.send("pms", [&*price("H1", DAY, &format!("{minute}.00"))]).await;
            ticks.push(stage.put(0, vec![signed(&tick(minute), &key())]).await);
        }
        let shared = stage.process("worker").await;
        let first = async || stage.own.log.bounds(0).await.expect("bounds").0;
        let at = |minute: i64| START + minute * 60_000;
        // Nothing is known to be written yet.
        assert_eq!(once(&shared, 0, at(9)).await, Ok(None));
        until_idle(&shared).await.expect("a run to the end");
        // What stands behind the last tick before that time may be younger.
        assert_eq!(once(&shared, 0, at(2)).await, Ok(Some(ticks[1] + 1)));
        assert_eq!((first().await, once(&shared, 0, at(2)).await), (ticks[1] + 1, Ok(None)));
        // Neither a stranger's tick nor an old one repeated makes anything older.
        stage.put(0, vec![signed(&tick(0), &key()), signed(&Control::Tick { millis: 1 }, &foreign_key())]).await;
        until_idle(&shared).await.expect("a run to the end");
        assert_eq!(once(&shared, 0, at(3)).await, Ok(Some(ticks[2] + 1)));
        // What is kept is decided on as ever, also by a process that begins now.
        stage.send("pms", [&*price("H1", DAY, "7.00")]).await;
        let next = stage.process("next").await;
        until_idle(&next).await.expect("a run to the end");
        let price = &stage.dump().await.rows("room_nights")[0]["price"];
        assert_eq!(price.as_f64(), Some(7.0), "{price}");
        // An empty database cannot be filled from a log that has forgotten: that is said, and nothing is decided.
        let fresh = Database::fresh(lease);
        let late = concord_tests::pipeline::process(stage.own.log.clone(), &fresh, "late", Default::default()).await;
        let error = until_idle(&late).await.expect_err("records are gone");
        let concord::worker::WorkerError::Log { error, .. } = error else { panic!("{error}") };
        assert!(matches!(error, LogError::Gone { wanted: 0, .. }), "{error}");
    });
}

#[test]
fn what_is_not_written_yet_is_kept_however_old() {
    with_clickhouse(async |lease| {
        let stage = Stage::new(lease, 1).await;
        let shared = stage.process("worker").await;
        until_idle(&shared).await.expect("a run to the end");
        let written = shared.progress(0).next().expect("it works");
        stage.send("pms", [&*price("H1", DAY, "1.00")]).await;
        stage.put(0, vec![signed(&tick(0), &key())]).await;
        assert_eq!(once(&shared, 0, i64::MAX).await, Ok(Some(written - 1)));
        until_idle(&shared).await.expect("a run to the end");
        assert_eq!(stage.dump().await.rows("room_nights").len(), 1);
    });
}
