//! A log whose positions do not begin at 0: it goes on where another log ended.
//!
//! State, tables and audit speak of positions, and what came later has a higher one. A log that takes over from another
//! (see `worker::migrate`) begins anew at 0; seen through this, its first record has the position that the pipeline's
//! file says (`log.first_position`). Knows addition; does not know what is migrated.

use super::{Identity, Log, LogError, NewRecord, Offset, Partition, Record};

/// The highest first position: room for as many records again before a version of 48 bits runs over.
pub const MOST_FIRST_POSITION: Offset = 1 << 47;

/// A log whose record 0 has the position `first`.
pub struct Shifted<L> {
    log: L,
    first: Offset,
}

impl<L> Shifted<L> {
    /// `first` is at most [`MOST_FIRST_POSITION`].
    pub fn new(log: L, first: Offset) -> Shifted<L> {
        Shifted { log, first: first.min(MOST_FIRST_POSITION) }
    }

    /// Places in an error, as positions.
    fn position(&self, error: LogError) -> LogError {
        let at = |offset: Offset| offset.saturating_add(self.first);
        match error {
            LogError::Gone { partition, wanted, first } => {
                LogError::Gone { partition, wanted: at(wanted), first: at(first) }
            }
            LogError::Beyond { partition, wanted, end } => {
                LogError::Beyond { partition, wanted: at(wanted), end: at(end) }
            }
            LogError::Replaced { partition, offset } => LogError::Replaced { partition, offset: at(offset) },
            other => other,
        }
    }
}

impl<L: Log> Log for Shifted<L> {
    /// The same log with another first position is another log: a checkpoint's positions mean something else there.
    fn identity(&self) -> Identity {
        let Identity { id, partitions } = self.log.identity();
        match self.first {
            0 => Identity { id, partitions },
            first => Identity { id: format!("{id}, positions from {first}"), partitions },
        }
    }

    fn first_position(&self) -> Offset {
        self.first
    }

    async fn append(&self, partition: Partition, records: Vec<NewRecord>) -> Result<Offset, LogError> {
        let first = self.log.append(partition, records).await;
        first.map(|first| first + self.first).map_err(|error| self.position(error))
    }

    async fn bounds(&self, partition: Partition) -> Result<(Offset, Offset), LogError> {
        let (first, end) = self.log.bounds(partition).await?;
        Ok((first + self.first, end + self.first))
    }

    async fn read(
        &self,
        partition: Partition,
        from: Offset,
        max_records: usize,
        max_bytes: usize,
    ) -> Result<Vec<Record>, LogError> {
        let Some(from) = from.checked_sub(self.first) else {
            let (first, _) = self.bounds(partition).await?;
            return Err(LogError::Gone { partition, wanted: from, first });
        };
        let mut records =
            self.log.read(partition, from, max_records, max_bytes).await.map_err(|error| self.position(error))?;
        for record in &mut records {
            record.offset += self.first;
        }
        Ok(records)
    }
}
