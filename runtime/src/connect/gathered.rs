//! Records on their way into the log, until there are enough for one append per partition.

use std::collections::BTreeMap;

use crate::log::{Log, LogError, NewRecord, Partition};

/// Records appended at once.
const RECORDS: usize = 2_000;
/// Bytes appended at once, about.
const BYTES: usize = 8 << 20;

/// Records by partition, each partition's in order.
#[derive(Debug, Default)]
pub struct Gathered {
    by_partition: BTreeMap<Partition, Vec<NewRecord>>,
    records: usize,
    bytes: usize,
}

impl Gathered {
    pub fn add(&mut self, partition: Partition, record: NewRecord) {
        self.records += 1;
        self.bytes += record.value.len();
        self.by_partition.entry(partition).or_default().push(record);
    }

    /// Whether it is time to append.
    pub fn is_full(&self) -> bool {
        self.records >= RECORDS || self.bytes >= BYTES
    }

    /// How many there are.
    pub fn records(&self) -> usize {
        self.records
    }

    /// What is to be appended, partition by partition; nothing is gathered any more.
    pub fn take(&mut self) -> BTreeMap<Partition, Vec<NewRecord>> {
        std::mem::take(self).by_partition
    }

    /// Appends everything; durable when it returns. On an error some of it may have been appended: to repeat it does no
    /// harm, for records keep their ids.
    pub async fn append<L: Log>(mut self, log: &L) -> Result<(), LogError> {
        for (partition, records) in self.take() {
            log.append(partition, records).await?;
        }
        Ok(())
    }
}
