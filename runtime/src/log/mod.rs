//! The partitioned log: what every log promises, whoever keeps it.
//!
//! Knows offsets, partitions and durability. Does not know what a record means.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;

pub mod embedded;
pub mod partitioner;

/// A partition's number, from 0.
pub type Partition = u32;
/// A record's place in its partition, from 0, without gaps.
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

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Reading from before what retention has kept: records are lost for the reader.
    #[error(
        "partition {partition}: offsets {wanted} to {first} are gone from the log (retention); \
             raise the retention, restore them, or accept the loss with a new checkpoint"
    )]
    Gone { partition: Partition, wanted: Offset, first: Offset },
    #[error(
        "partition {partition}: offset {wanted} is beyond the log's end {end}: this is not the log that the checkpoint was made on"
    )]
    Beyond { partition: Partition, wanted: Offset, end: Offset },
    #[error("no partition {0} in this log")]
    NoPartition(Partition),
    #[error("a record of {size} bytes is over the limit of {limit} bytes (log.max_record_bytes)")]
    TooLarge { size: usize, limit: usize },
    /// Worth trying again: the log is away for the moment.
    #[error("the log is unavailable: {0}")]
    Unavailable(String),
    /// No retry can repair it.
    #[error("the log failed: {0}")]
    Failed(String),
}

/// A partitioned, durable log. Every implementation passes one conformance suite
/// (`tests/tests/log_conformance.rs`).
pub trait Log: Send + Sync + 'static {
    fn identity(&self) -> Identity;

    /// Appends in order, all to one partition, and returns the first offset. When it returns, the
    /// records are durable. On an error none, some or all of them may have been appended.
    fn append(
        &self,
        partition: Partition,
        records: Vec<NewRecord>,
    ) -> impl Future<Output = Result<Offset, LogError>> + Send;

    /// First kept offset and the offset that the next record will get.
    fn bounds(&self, partition: Partition) -> impl Future<Output = Result<(Offset, Offset), LogError>> + Send;

    /// Records from `from` on, without a gap: at most `max_records` and about `max_bytes`, at least
    /// one. Waits until there is one. Cancel-safe.
    fn read(
        &self,
        partition: Partition,
        from: Offset,
        max_records: usize,
        max_bytes: usize,
    ) -> impl Future<Output = Result<Vec<Record>, LogError>> + Send;
}

/// A log shared between tasks.
pub type Shared<L> = Arc<L>;
