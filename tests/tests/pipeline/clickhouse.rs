//! ClickHouse away, moved to another machine, and full.

use std::sync::Arc;
use std::time::Instant;

use concord::config::Tuning;
use concord::log::{Log, Offset};
use concord::plugin::Delivery;
use concord::worker::{self, Mode, WorkerError};
use concord_tests::pipeline::dump::Dump;
use concord_tests::pipeline::golden::deliverer;
use concord_tests::pipeline::stage::price;
use concord_tests::pipeline::{
    Database, Files, OwnLog, Proxy, START, Stage, Window, alone_with_clickhouse, configuration, copy_folder, process,
    start_engine, until_idle, with_clickhouse,
};
use tokio::sync::watch;

use crate::number;

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

#[test]
fn another_machine_goes_on_with_log_and_clickhouse_alone() {
    alone_with_clickhouse(async |library| {
        let files = Files::new();
        let (one, other) = (tempfile::tempdir().expect("folder"), tempfile::tempdir().expect("folder"));
        let own = OwnLog::new(1);
        own.log.append(0, configuration(&files, None, START)).await.expect("append");
        let mut pms = deliverer(&files, "pms", 1);
        let mut ota = deliverer(&files, "ota", 1);
        for number in 1..=20 {
            for deliverer in [&mut pms, &mut ota] {
                let body = price("H1", &format!("2026-03-{:02}", number % 9 + 1), &format!("{number}.00"));
                let content_type = "application/json".to_owned();
                let delivery = Delivery { content_type, attributes: Vec::new(), body: body.into() };
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
        assert_eq!(number(&rows[0]["n"]), Some((HOTELS * ROOM_TYPES * 365) as u64 + 1));
    });
}
