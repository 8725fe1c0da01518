//! A small pipeline for one test: files, a log, a database, and short words for what tests do with them.
//!
//! Does not know what is tested.

use std::sync::{Arc, Mutex, PoisonError};

use concord::config::Tuning;
use concord::deliver::Delivered;
use concord::event::{self, Control, ControlKey};
use concord::log::embedded::EmbeddedLog;
use concord::log::{Log, NewRecord, Offset, Partition};
use concord::plugin::Delivery;
use concord::worker::Shared;
use concord::worker::checkpoint::Counts;

use super::dump::{self, Dump};
use super::golden::deliverer;
use super::{Database, Files, Lease, OwnLog, START, configuration, process, until_idle};

/// Everything that a pipeline consists of.
pub struct Stage {
    pub files: Files,
    pub own: OwnLog,
    pub database: Database,
    /// Number of the last configuration applied.
    configured: Mutex<Option<Offset>>,
}

impl Stage {
    /// With the default files in force, on so many partitions.
    pub async fn new(lease: &Lease, partitions: u32) -> Stage {
        let files = Files::new();
        files.edit("pipeline.toml", "partitions = 1", &format!("partitions = {partitions}"));
        let (own, database) = (OwnLog::new(partitions), Database::fresh(lease));
        let stage = Stage { files, own, database, configured: Mutex::default() };
        stage.apply().await;
        stage
    }

    pub fn partitions(&self) -> u32 {
        self.own.log.identity().partitions
    }

    /// Number of the configuration in force.
    pub fn configured(&self) -> Option<Offset> {
        *self.configured.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts the files as they are into force.
    pub async fn apply(&self) {
        let records = configuration(&self.files, self.configured(), START);
        let count = records.len() as Offset;
        let first = self.put(0, records).await;
        *self.configured.lock().unwrap_or_else(PoisonError::into_inner) = Some(first + count - 1);
    }

    /// A new, empty log with the files in force.
    pub async fn begin_log(&mut self, own: OwnLog) {
        self.own = own;
        self.configured = Mutex::default();
        self.apply().await;
    }

    /// Appends, and says where the first one stands.
    pub async fn put(&self, partition: Partition, records: Vec<NewRecord>) -> Offset {
        self.own.log.append(partition, records).await.expect("append")
    }

    /// What a door makes of deliveries of a source, under the files as they are.
    pub fn deliver<'a>(&self, source: &str, bodies: impl IntoIterator<Item = &'a str>) -> Vec<Delivered> {
        let mut deliverer = deliverer(&self.files, source, self.partitions());
        let deliver = |body: &str| {
            let content_type = "application/json".to_owned();
            let body = body.as_bytes().to_vec().into();
            deliverer.deliver(Delivery { content_type, attributes: Vec::new(), body }, None, START).expect("host")
        };
        bodies.into_iter().map(deliver).collect()
    }

    /// Appends deliveries where they belong.
    pub async fn send<'a>(&self, source: &str, bodies: impl IntoIterator<Item = &'a str>) {
        let delivered = self.deliver(source, bodies).into_iter().flat_map(|delivered| {
            assert!(delivered.refused.is_empty(), "{:?}", delivered.refused);
            delivered.records
        });
        let mut by_partition = vec![Vec::new(); self.partitions() as usize];
        delivered.for_each(|(partition, record)| by_partition[partition as usize].push(record));
        for (partition, records) in (0..).zip(by_partition) {
            self.put(partition, records).await;
        }
    }

    /// A worker process on this pipeline.
    pub async fn process(&self, instance: &str) -> Arc<Shared<EmbeddedLog>> {
        process(self.own.log.clone(), &self.database, instance, Tuning::default()).await
    }

    /// Works until everything is written; every record has one outcome then (invariant 6).
    pub async fn run(&self) -> Counts {
        let shared = self.process("worker").await;
        until_idle(&shared).await.expect("a run to the end");
        let mut counts = Counts::default();
        shared.all_progress().iter().for_each(|progress| counts.add(&progress.counts()));
        let mut ends = 0;
        for partition in 0..self.partitions() {
            ends += self.own.log.bounds(partition).await.expect("bounds").1;
        }
        assert_eq!(counts.total(), ends, "every record has one outcome: {counts:?}");
        counts
    }

    /// The tables, after checking what always holds.
    pub async fn dump(&self) -> Dump {
        let store = self.database.store().await;
        dump::check(&store, self.partitions()).await;
        Dump::read(&store).await
    }

    /// The tables of the same log, decided at once by one worker on an empty database.
    pub async fn dump_afresh(&self, lease: &Lease) -> Dump {
        let log = self.own.records().await.into_iter();
        let again = |r: concord::log::Record| NewRecord { key: r.key, value: r.value, timestamp: r.timestamp };
        let log: Vec<Vec<NewRecord>> = log.map(|records| records.into_iter().map(again).collect()).collect();
        let (own, database) = (OwnLog::of(&log).await, Database::fresh(lease));
        let shared = process(own.log.clone(), &database, "afresh", Tuning::default()).await;
        until_idle(&shared).await.expect("a run to the end");
        let store = database.store().await;
        dump::check(&store, self.partitions()).await;
        Dump::read(&store).await
    }
}

/// A control record signed with a key.
pub fn signed(control: &Control, key: &ControlKey) -> NewRecord {
    let value = event::sign_and_write(control, key, "control", "tester", START * 1000).expect("control record");
    NewRecord { key: None, value, timestamp: START }
}

/// A delivery in the native form: a price for one room night.
pub fn price(property: &str, date: &str, amount: &str) -> String {
    let next = concord::types::Day(concord::types::Day::parse(date).expect("a date").0 + 1);
    format!(
        r#"{{"property":"{property}","inventory":{{"room_type":"DBL","nights":"{date}/{next}","fields":{{"price":{{"amount":"{amount}","currency":"EUR"}}}}}}}}"#
    )
}
