//! The embedded log's one writer: a thread that commits in groups.
//!
//! While one group is on its way to the disk the next gathers, so concurrent appends share one
//! fsync and a lone one waits for nobody. Knows offsets and durability; readers see a record only
//! when it is durable.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use fjall::PersistMode;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::{Store, open, record};
use crate::log::{LogError, NewRecord, Offset, Partition, Record};

/// A group takes no further append beyond this. One append is never divided.
const GROUP_BYTES: usize = 8 << 20;

/// Records on their way into one partition.
pub(super) struct Append {
    pub partition: Partition,
    pub records: Vec<NewRecord>,
    pub bytes: usize,
    pub reply: oneshot::Sender<Result<Offset, LogError>>,
    /// Its share of the memory for appends under way.
    pub _budget: OwnedSemaphorePermit,
}

pub(super) enum Command {
    Append(Append),
    /// From now on the partition begins at `first`.
    Retain {
        partition: Partition,
        first: Offset,
        reply: oneshot::Sender<Result<(), LogError>>,
    },
}

pub(super) struct Writer {
    pub dir: PathBuf,
    pub store: Arc<Store>,
    pub commands: mpsc::Receiver<Command>,
    /// Set by the first failure: after a failed fsync nobody knows what the disk holds.
    pub failed: Option<LogError>,
}

impl Drop for Writer {
    /// However the thread ends, nobody waits for it for ever.
    fn drop(&mut self) {
        self.store.stop(&super::closed());
    }
}

impl Writer {
    /// Until nobody can send any more.
    pub fn run(mut self) {
        while let Some(command) = self.commands.blocking_recv() {
            let mut next = Some(command);
            let mut group = Vec::new();
            let mut bytes = 0;
            while let Some(command) = next.take() {
                match command {
                    Command::Append(append) => {
                        bytes += append.bytes;
                        group.push(append);
                    }
                    Command::Retain { partition, first, reply } => {
                        self.commit(std::mem::take(&mut group));
                        let _ = reply.send(self.retain(partition, first));
                    }
                }
                if bytes < GROUP_BYTES {
                    next = self.commands.try_recv().ok();
                }
            }
            self.commit(group);
        }
    }

    fn commit(&mut self, group: Vec<Append>) {
        if group.is_empty() {
            return;
        }
        if let Some(error) = &self.failed {
            for append in group {
                let _ = append.reply.send(Err(error.clone()));
            }
            return;
        }
        let (batch, fresh, firsts) = self.stage(&group);
        let result = batch.commit().map_err(|e| self.fail(&e));
        if result.is_ok() {
            for (partition, records) in self.store.partitions.iter().zip(fresh) {
                partition.publish(records);
            }
        }
        for (append, first) in group.into_iter().zip(firsts) {
            // Whoever asked may be gone: the records stay.
            let _ = append.reply.send(result.clone().map(|()| first));
        }
    }

    /// Gives every record its offset and puts it into one atomic batch.
    fn stage(&self, group: &[Append]) -> (fjall::OwnedWriteBatch, Vec<Vec<Record>>, Vec<Offset>) {
        let mut batch = self.store.database.batch().durability(Some(PersistMode::SyncData));
        let mut fresh: Vec<Vec<Record>> = self.store.partitions.iter().map(|_| Vec::new()).collect();
        let mut firsts = Vec::with_capacity(group.len());
        for append in group {
            let index = append.partition as usize;
            let (partition, fresh) = (&self.store.partitions[index], &mut fresh[index]);
            let first = fresh.last().map_or_else(|| partition.bounds().next, |last| last.offset + 1);
            firsts.push(first);
            for (offset, new) in (first..).zip(&append.records) {
                let bytes: Bytes = record::encode(new);
                batch.insert(&partition.keyspace, offset.to_be_bytes(), &*bytes);
                fresh.extend(record::decode(offset, &bytes));
            }
        }
        (batch, fresh, firsts)
    }

    fn retain(&mut self, partition: Partition, first: Offset) -> Result<(), LogError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let state = &self.store.partitions[partition as usize];
        let bounds = state.bounds();
        if first > bounds.next {
            return Err(LogError::Beyond { partition, wanted: first, end: bounds.next });
        }
        if first > bounds.first {
            let mut batch = self.store.database.batch().durability(Some(PersistMode::SyncAll));
            batch.insert(&self.store.meta, open::first_key(partition), first.to_be_bytes());
            batch.commit().map_err(|e| self.fail(&e))?;
            self.store.partitions[partition as usize].begin_at(first);
        }
        Ok(())
    }

    /// Remembers the failure and tells everyone who waits.
    fn fail(&mut self, error: &fjall::Error) -> LogError {
        let error = LogError::Failed(format!(
            "writing to {} failed: {}. Nothing that was acknowledged is lost; make sure that the disk is sound \
             and has room, then start again",
            self.dir.display(),
            open::describe(error)
        ));
        tracing::error!(%error, "the log takes no more records until it is opened again");
        self.store.stop(&error);
        self.failed = Some(error.clone());
        error
    }
}
