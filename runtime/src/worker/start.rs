//! How a worker starts: from the checkpoint in ClickHouse, or from the log's beginning.
//!
//! Reads a handful of rows, however large the state. Records before the first configuration are
//! decided under it, so a fresh partition looks ahead for one.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::active::Active;
use super::cache::Cache;
use super::checkpoint::{Checkpoint, PartitionState, Piece};
use super::commit::Commit;
use super::govern::{declare_fields, sign};
use super::partition::Worker;
use super::pending::Pending;
use super::{Shared, WorkerError, now_millis};
use crate::config::Document;
use crate::event::{self, Control, Parsed};
use crate::log::{Log, LogError, Partition};
use crate::store::{Backoff, with_retry};

/// Where the configuration that a worker starts with was found.
struct Found {
    sequence: u64,
    document: Document,
}

/// Opens a partition. `None` if told to stop while it was waiting for a configuration. The cache's memory is
/// divided into `parts`.
pub(super) async fn open<L: Log>(
    shared: Arc<Shared<L>>,
    partition: Partition,
    parts: usize,
    commits: mpsc::Sender<Commit>,
    mut stop: watch::Receiver<bool>,
) -> Result<Option<Worker<L>>, WorkerError> {
    let failed = |what: String| WorkerError::State { partition, what };
    let loaded = with_retry("read the checkpoint from ClickHouse", Backoff::default(), || {
        shared.store.load_partition(partition)
    })
    .await
    .map_err(|error| WorkerError::Store { partition, error })?;
    let mut state = PartitionState::read(&loaded.entries).map_err(failed)?;
    let checkpoint = state
        .checkpoint
        .take()
        .unwrap_or_else(|| Checkpoint::start(shared.log.identity(), shared.log.first_position()));
    check(&*shared, partition, &checkpoint).await?;
    let found = match &state.active {
        Some(active) => {
            let document = Document::from_bytes(&active.document).map_err(|e| failed(e.to_string()))?;
            Found { sequence: active.sequence, document }
        }
        None => {
            let looked = tokio::select! {
                found = look_ahead(&shared, partition, &mut state) => found?,
                _ = stop.wait_for(|stop| *stop) => return Ok(None),
            };
            looked
        }
    };
    declare_fields(&shared, &found.document, partition).await?;
    let active = tokio::task::block_in_place(|| {
        let plugin = |digest: &crate::config::Digest| state.plugin(&digest.to_string());
        Active::load(&shared.host, found.sequence, found.document, partition, plugin)
    })
    .map_err(|error| WorkerError::Configuration { partition, error })?;
    shared.applied(active.sequence, &active.document, |digest| state.plugin(&digest.to_string()));
    let mut worker = Worker {
        cache: Cache::new(usize::try_from(shared.tuning.cache_bytes).unwrap_or(usize::MAX) / parts.max(1)),
        pending: Pending::new(checkpoint.next),
        partition,
        checkpoint,
        state,
        active,
        epoch: None,
        queue: Default::default(),
        prepared: Default::default(),
        in_flight: None,
        commits,
        stop,
        shared,
    };
    worker.take_over().await?;
    let next = worker.checkpoint.next;
    worker.shared.progress(partition).committed(next, &worker.checkpoint);
    Ok(Some(worker))
}

/// Whether the checkpoint belongs to this log and lies within it.
async fn check<L: Log>(shared: &Shared<L>, partition: Partition, checkpoint: &Checkpoint) -> Result<(), WorkerError> {
    let found = shared.log.identity();
    if checkpoint.log != found {
        let text = |log: &crate::log::Identity| format!("{} with {} partitions", log.id, log.partitions);
        return Err(WorkerError::OtherLog { partition, expected: text(&checkpoint.log), found: text(&found) });
    }
    let log_error = |error| WorkerError::Log { partition, offset: checkpoint.next, error };
    let (first, end) = shared.bounds(partition).await.map_err(log_error)?;
    if checkpoint.next < first {
        return Err(log_error(LogError::Gone { partition, wanted: checkpoint.next, first }));
    }
    if checkpoint.next > end {
        return Err(log_error(LogError::Beyond { partition, wanted: checkpoint.next, end }));
    }
    // Where retention has removed the last record there is nothing to compare with.
    if let (Some(print), Some(offset)) = (checkpoint.last, checkpoint.next.checked_sub(1).filter(|o| *o >= first)) {
        let last = shared.log.read(partition, offset, 1, 1).await.map_err(log_error)?;
        if last.first().is_none_or(|record| record.fingerprint() != print) {
            return Err(log_error(LogError::Replaced { partition, offset }));
        }
    }
    Ok(())
}

/// Reads from the beginning until the first configuration, keeping the plugins before it. Nothing is consumed.
async fn look_ahead<L: Log>(
    shared: &Shared<L>,
    partition: Partition,
    state: &mut PartitionState,
) -> Result<Found, WorkerError> {
    let log_error = |offset, error| WorkerError::Log { partition, offset, error };
    let (mut offset, _) = shared.bounds(partition).await.map_err(|e| log_error(0, e))?;
    let mut foreign = false;
    loop {
        let records = shared.log.read(partition, offset, 1024, 4 << 20).await.map_err(|e| log_error(offset, e))?;
        for record in records {
            offset = record.offset + 1;
            let signed = match event::parse(&record.value, &shared.key) {
                Parsed::Control(signed) => signed,
                Parsed::Forged(_) if !std::mem::replace(&mut foreign, true) => {
                    tracing::warn!(
                        partition,
                        offset = record.offset,
                        "control records of another key: if this is a new worker, give it the pipeline's key file \
                         (pipeline.key_file)"
                    );
                    continue;
                }
                _ => continue,
            };
            match signed.control {
                Control::Plugin { digest, part, parts, bytes } => {
                    state.pieces.insert((digest, part), Piece { parts, bytes });
                }
                Control::Configuration { sequence, document, .. } => {
                    let sequence = if partition == 0 { Some(record.offset) } else { sequence };
                    // One that cannot be read is refused when its turn comes; the next may be better.
                    let document = Document::from_bytes(&document);
                    if let (Some(sequence), Ok(document)) = (sequence, document) {
                        return Ok(Found { sequence, document });
                    }
                }
                _ => {}
            }
        }
    }
}

impl<L: Log> Worker<L> {
    /// From here on this worker writes the partition; the record's offset is its epoch.
    async fn take_over(&mut self) -> Result<(), WorkerError> {
        let owner = Control::Owner { instance: self.shared.instance.clone() };
        let id = format!("owner-{}", self.shared.instance);
        let records = sign(&self.shared, &[owner], &id, &self.shared.instance, now_millis())
            .map_err(|why| self.state_error(why.to_string()))?;
        let offset = self.shared.append(self.partition, records).await.map_err(|error| self.log_error(error))?;
        self.epoch = Some(offset);
        Ok(())
    }
}
