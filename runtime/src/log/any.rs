//! The log that a pipeline's file names, whichever it is.
//!
//! Passes everything on; knows nothing of its own.

use super::embedded::EmbeddedLog;
use super::fluvio::FluvioLog;
use super::{Identity, Log, LogError, NewRecord, Offset, Partition, Record, Shifted};

/// A log of either kind.
pub enum AnyLog {
    Embedded(Shifted<EmbeddedLog>),
    Fluvio(Box<Shifted<FluvioLog>>),
}

impl Log for AnyLog {
    fn identity(&self) -> Identity {
        match self {
            AnyLog::Embedded(log) => log.identity(),
            AnyLog::Fluvio(log) => log.identity(),
        }
    }

    fn first_position(&self) -> Offset {
        match self {
            AnyLog::Embedded(log) => log.first_position(),
            AnyLog::Fluvio(log) => log.first_position(),
        }
    }

    async fn append(&self, partition: Partition, records: Vec<NewRecord>) -> Result<Offset, LogError> {
        match self {
            AnyLog::Embedded(log) => log.append(partition, records).await,
            AnyLog::Fluvio(log) => log.append(partition, records).await,
        }
    }

    async fn bounds(&self, partition: Partition) -> Result<(Offset, Offset), LogError> {
        match self {
            AnyLog::Embedded(log) => log.bounds(partition).await,
            AnyLog::Fluvio(log) => log.bounds(partition).await,
        }
    }

    async fn read(
        &self,
        partition: Partition,
        from: Offset,
        max_records: usize,
        max_bytes: usize,
    ) -> Result<Vec<Record>, LogError> {
        match self {
            AnyLog::Embedded(log) => log.read(partition, from, max_records, max_bytes).await,
            AnyLog::Fluvio(log) => log.read(partition, from, max_records, max_bytes).await,
        }
    }
}
