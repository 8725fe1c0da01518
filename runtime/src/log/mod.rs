//! The partitioned log: what every log promises, whoever keeps it.
//!
//! Knows offsets, partitions and durability. Does not know what a record means.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;

mod any;
pub mod embedded;
pub mod fluvio;
pub mod partitioner;
mod shifted;

pub use any::AnyLog;
pub use shifted::{MOST_FIRST_POSITION, Shifted};

/// A partition's number, from 0.
pub type Partition = u32;
/// A record's place in its partition, without gaps: from 0, or from [`Log::first_position`].
pub type Offset = u64;

/// A record as the log keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub offset: Offset,
    /// Milliseconds since 1970-01-01T00:00:00Z, set by whoever appended it: data, not order.
    pub timestamp: i64,
    /// `property/date`; foreign producers may leave it out or write anything.
    pub key: Option<Bytes>,
    pub value: Bytes,
}

impl Record {
    /// A short print of the record, to notice another one in its place: a log that was deleted and made anew. Hashes
    /// timestamp, length and the value's first and last 64 bytes.
    pub fn fingerprint(&self) -> u64 {
        use std::hash::Hasher;
        const END: usize = 64;
        let mut hasher = siphasher::sip::SipHasher13::new();
        hasher.write_i64(self.timestamp);
        hasher.write_usize(self.value.len());
        hasher.write(&self.value[..self.value.len().min(END)]);
        hasher.write(&self.value[self.value.len().saturating_sub(END)..]);
        hasher.finish()
    }
}

/// A record about to be appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRecord {
    pub key: Option<Bytes>,
    pub value: Bytes,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub timestamp: i64,
}

/// Which log this is: a checkpoint made on another one is worthless here.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Identity {
    /// Changes when the log is created anew.
    pub id: String,
    pub partitions: u32,
}

/// What a log answers instead of records.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// Reading from before what retention has kept: records are lost for the reader.
    #[error(
        "partition {partition}: offsets {wanted} to {last} are gone from the log (retention); \
         raise the retention, restore them, or accept the loss with a new checkpoint",
        last = first.saturating_sub(1)
    )]
    Gone { partition: Partition, wanted: Offset, first: Offset },
    /// Reading from after the end: the reader comes from another log, or this one was cut.
    #[error(
        "partition {partition}: offset {wanted} is beyond the log's end {end}: \
         this is not the log that the checkpoint was made on"
    )]
    Beyond { partition: Partition, wanted: Offset, end: Offset },
    /// The log was deleted and made anew under a reader.
    #[error(
        "partition {partition}: the record at offset {offset} is not the one that was read before: the log was deleted \
         and made anew. Point the pipeline to the log that it was made on, or start with an empty database"
    )]
    Replaced { partition: Partition, offset: Offset },
    /// The partition's number is not below [`Identity::partitions`].
    #[error("no partition {0} in this log")]
    NoPartition(Partition),
    /// Nothing was appended. Sizes are key and value together.
    #[error("a record of {size} bytes is over the limit of {limit} bytes (log.max_record_bytes)")]
    TooLarge { size: usize, limit: usize },
    /// Worth trying again: the log is away for the moment. Nothing was appended.
    #[error("the log is unavailable: {0}")]
    Unavailable(String),
    /// Nobody knows whether the records were appended. Worth trying again where a repetition does no harm.
    #[error("partition {partition}: whether the records were appended is unknown: {why}")]
    Unknown { partition: Partition, why: String },
    /// No retry can repair it.
    #[error("the log failed: {0}")]
    Failed(String),
}

/// A partitioned, durable log. Every implementation passes one conformance suite
/// (`tests/tests/log_conformance.rs`).
pub trait Log: Send + Sync + 'static {
    /// Which log this is; never changes while the log is open.
    fn identity(&self) -> Identity;

    /// The place of every partition's first record: 0, unless this log goes on where another one ended ([`Shifted`]).
    fn first_position(&self) -> Offset {
        0
    }

    /// Appends in order, all to one partition at consecutive offsets, and returns the first of them
    /// (of nothing: the offset that the next record will get). When it returns, the records are
    /// durable. On an error none, some or all of them may have been appended: a prefix, each record
    /// whole. The same holds when the future is dropped.
    fn append(
        &self,
        partition: Partition,
        records: Vec<NewRecord>,
    ) -> impl Future<Output = Result<Offset, LogError>> + Send;

    /// First kept offset and the offset that the next record will get.
    fn bounds(&self, partition: Partition) -> impl Future<Output = Result<(Offset, Offset), LogError>> + Send;

    /// Records from `from` on, without a gap: at most `max_records` and about `max_bytes`, at least
    /// one. Waits until there is one. Cancel-safe. Any number of readers.
    ///
    /// Errors: [`LogError::Gone`], [`LogError::Beyond`]; a failed log still gives what is durable.
    fn read(
        &self,
        partition: Partition,
        from: Offset,
        max_records: usize,
        max_bytes: usize,
    ) -> impl Future<Output = Result<Vec<Record>, LogError>> + Send;
}

impl<L: Log> Log for Arc<L> {
    fn identity(&self) -> Identity {
        (**self).identity()
    }

    fn first_position(&self) -> Offset {
        (**self).first_position()
    }

    async fn append(&self, partition: Partition, records: Vec<NewRecord>) -> Result<Offset, LogError> {
        (**self).append(partition, records).await
    }

    async fn bounds(&self, partition: Partition) -> Result<(Offset, Offset), LogError> {
        (**self).bounds(partition).await
    }

    async fn read(
        &self,
        partition: Partition,
        from: Offset,
        max_records: usize,
        max_bytes: usize,
    ) -> Result<Vec<Record>, LogError> {
        (**self).read(partition, from, max_records, max_bytes).await
    }
}

/// A log shared between tasks.
pub type Shared<L> = Arc<L>;

/// Consecutive records of one partition: what the first stage hands to the next, by value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    partition: Partition,
    records: Vec<Record>,
}

impl Batch {
    /// Takes records that begin at `from`. A gap is [`LogError::Failed`]: offsets are processed
    /// without one, whatever a log delivers.
    pub fn new(partition: Partition, from: Offset, records: Vec<Record>) -> Result<Batch, LogError> {
        if records.is_empty() {
            return Err(LogError::Failed(format!("partition {partition}: an empty batch at offset {from}")));
        }
        for (expected, record) in (from..).zip(&records) {
            if record.offset != expected {
                return Err(LogError::Failed(format!(
                    "partition {partition}: offset {expected} is missing, the log delivered {} instead",
                    record.offset
                )));
            }
        }
        Ok(Batch { partition, records })
    }

    pub fn partition(&self) -> Partition {
        self.partition
    }

    /// The first record's offset.
    pub fn first(&self) -> Offset {
        self.records.first().map_or(0, |r| r.offset)
    }

    /// The offset after the last record.
    pub fn next(&self) -> Offset {
        self.records.last().map_or(0, |r| r.offset + 1)
    }

    /// In offset order; never empty.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    pub fn into_records(self) -> Vec<Record> {
        self.records
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_has_no_gap() {
        let record = |offset| Record { offset, timestamp: 0, key: None, value: Bytes::new() };
        let batch = Batch::new(2, 7, vec![record(7), record(8)]).expect("consecutive");
        assert_eq!((batch.partition(), batch.first(), batch.next()), (2, 7, 9));
        for offsets in [&[][..], &[6], &[8], &[7, 9], &[7, 7]] {
            let records = offsets.iter().map(|offset| record(*offset)).collect();
            assert!(matches!(Batch::new(2, 7, records), Err(LogError::Failed(_))), "{offsets:?}");
        }
    }
}
