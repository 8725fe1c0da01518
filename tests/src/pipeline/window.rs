//! A log whose end can be held back, so that a run stops after exactly this many records.
//!
//! Appends go through to the real end. Does not know what a record means.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use concord::log::{Identity, Log, LogError, NewRecord, Offset, Partition, Record};
use tokio::sync::watch;

/// A log of which only a beginning can be seen.
pub struct Window<L> {
    log: Arc<L>,
    /// Per partition: the offset that cannot be seen any more.
    ends: watch::Sender<Vec<Offset>>,
    /// The highest offset that was read, on any partition, and one more.
    read_to: AtomicU64,
}

impl<L: Log> Window<L> {
    pub fn new(log: Arc<L>, ends: Vec<Offset>) -> Window<L> {
        Window { log, ends: watch::Sender::new(ends), read_to: AtomicU64::new(0) }
    }

    /// Shows more.
    pub fn show(&self, ends: Vec<Offset>) {
        self.ends.send_replace(ends);
    }

    /// The highest offset that was read, and one more.
    pub fn read_to(&self) -> Offset {
        self.read_to.load(Ordering::SeqCst)
    }

    fn end(&self, partition: Partition) -> Offset {
        self.ends.borrow().get(partition as usize).copied().unwrap_or(Offset::MAX)
    }
}

impl<L: Log> Log for Window<L> {
    fn identity(&self) -> Identity {
        self.log.identity()
    }

    async fn append(&self, partition: Partition, records: Vec<NewRecord>) -> Result<Offset, LogError> {
        self.log.append(partition, records).await
    }

    async fn bounds(&self, partition: Partition) -> Result<(Offset, Offset), LogError> {
        let (first, end) = self.log.bounds(partition).await?;
        Ok((first, end.min(self.end(partition))))
    }

    async fn read(
        &self,
        partition: Partition,
        from: Offset,
        max_records: usize,
        max_bytes: usize,
    ) -> Result<Vec<Record>, LogError> {
        let mut ends = self.ends.subscribe();
        let end = |ends: &Vec<Offset>| ends.get(partition as usize).copied().unwrap_or(Offset::MAX);
        let end = match ends.wait_for(|ends| end(ends) > from).await {
            Ok(ends) => end(&ends),
            Err(_) => return Err(LogError::Failed("the window is closed".to_owned())),
        };
        let room = usize::try_from(end - from).unwrap_or(usize::MAX);
        let records = self.log.read(partition, from, max_records.min(room), max_bytes).await?;
        self.read_to.fetch_max(records.last().map_or(0, |record| record.offset + 1), Ordering::SeqCst);
        Ok(records)
    }

    async fn retain(&self, partition: Partition, first: Offset) -> Result<(), LogError> {
        self.log.retain(partition, first).await
    }
}
