//! Records where they do not belong, and two workers where one should be.

use std::sync::Arc;

use concord::config::Tuning;
use concord::event::{Control, Parsed, parse};
use concord::log::embedded::EmbeddedLog;
use concord::log::partitioner::partition;
use concord::log::{Identity, Log, LogError, NewRecord, Offset, Partition, Record};
use concord::worker::{self, Mode, WorkerError};
use concord_tests::pipeline::stage::{price, signed};
use concord_tests::pipeline::{Lease, OwnLog, Proxy, Stage, key, process, until_idle, until_idle_on, with_clickhouse};
use tokio::sync::watch;

use crate::{DAY, dead_letters, room_night};

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
        let parsed = records[home as usize].iter().map(|record| parse(&record.value, &key()));
        let copies =
            parsed.filter(|parsed| matches!(parsed, Parsed::Control(c) if matches!(c.control, Control::Copy { .. })));
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
async fn paused_in(lease: &Lease, table: &str) {
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

/// A log that has a name and nothing else to tell it from another one, as a topic has.
struct Named(Arc<EmbeddedLog>);

impl Log for Named {
    fn identity(&self) -> Identity {
        Identity { id: "topic".to_owned(), partitions: self.0.identity().partitions }
    }

    async fn append(&self, partition: Partition, records: Vec<NewRecord>) -> Result<Offset, LogError> {
        self.0.append(partition, records).await
    }

    async fn bounds(&self, partition: Partition) -> Result<(Offset, Offset), LogError> {
        self.0.bounds(partition).await
    }

    async fn read(
        &self,
        partition: Partition,
        from: Offset,
        max_records: usize,
        max_bytes: usize,
    ) -> Result<Vec<Record>, LogError> {
        self.0.read(partition, from, max_records, max_bytes).await
    }

    async fn retain(&self, partition: Partition, first: Offset) -> Result<(), LogError> {
        self.0.retain(partition, first).await
    }
}

#[test]
fn a_log_made_anew_under_the_same_name_is_noticed() {
    with_clickhouse(async |lease| {
        let mut stage = Stage::new(lease, 1).await;
        stage.send("pms", [&*price("H1", DAY, "100.00")]).await;
        for worker in ["first", "again"] {
            let log = Arc::new(Named(stage.own.log.clone()));
            let shared = process(log, &stage.database, worker, Tuning::default()).await;
            until_idle(&shared).await.expect("a run to the end");
        }
        stage.begin_log(OwnLog::new(1)).await;
        for day in 1..20 {
            stage.send("pms", [&*price("H1", &format!("2026-03-{day:02}"), "90.00")]).await;
        }
        let log = Arc::new(Named(stage.own.log.clone()));
        let shared = process(log, &stage.database, "later", Tuning::default()).await;
        match until_idle(&shared).await {
            Err(error @ WorkerError::Log { error: LogError::Replaced { partition: 0, .. }, .. }) => {
                println!("{error}");
                assert!(error.to_string().contains("the log was deleted and made anew"));
            }
            other => panic!("{other:?}"),
        }
    });
}
