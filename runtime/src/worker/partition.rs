//! One partition's worker: reads, prepares, merges, and hands commits to the writer.
//!
//! Memory may be ahead of what is written; offsets move only with the checkpoint that is written
//! together with what it stands for. Knows the stages' order, not their insides.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap;
use tokio::sync::{mpsc, oneshot, watch};

use super::active::Active;
use super::cache::Cache;
use super::checkpoint::{ActiveRecord, Checkpoint, PartitionState, checkpoint_row};
use super::commit::Commit;
use super::pending::Pending;
use super::prepare::{self, Changes, Dead, Place, Prepared, Work};
use super::{Shared, WorkerError};
use crate::event::is_content_id;
use crate::log::{Batch, Log, NewRecord, Offset, Partition, Record};
use crate::merge::{Clock, Effects, Incoming, Judged, Merge, Refusal, codec, row_version};
use crate::rows::{DeadLetterKind, DeadLetterRow};
use crate::store::{Backoff, with_retry};

/// Bytes asked of the log at once, about.
const READ_BYTES: usize = 4 << 20;

/// A commit on its way, and where the partition stands once it is durable.
pub(super) struct InFlight {
    done: oneshot::Receiver<()>,
    next: Offset,
    touched: Vec<Arc<str>>,
}

/// The worker of one partition.
pub struct Worker<L> {
    pub(super) shared: Arc<Shared<L>>,
    pub(super) partition: Partition,
    pub(super) checkpoint: Checkpoint,
    pub(super) state: PartitionState,
    pub(super) active: Active,
    /// Offset of this worker's own `concord.owner`; `None` before it is appended.
    pub(super) epoch: Option<Offset>,
    pub(super) cache: Cache,
    /// Read and not prepared.
    pub(super) queue: VecDeque<Record>,
    /// Prepared and not merged.
    pub(super) prepared: VecDeque<Prepared>,
    pub(super) pending: Pending,
    pub(super) in_flight: Option<InFlight>,
    pub(super) commits: mpsc::Sender<Commit>,
    pub(super) stop: watch::Receiver<bool>,
}

/// Why the loop woke up.
enum Woken {
    Read(Result<Vec<Record>, crate::log::LogError>),
    Durable(bool),
    Stopping,
}

impl<L: Log> Worker<L> {
    /// Works until it is told to stop, loses the partition, or meets what no retry repairs.
    pub async fn run(mut self) -> Result<(), WorkerError> {
        loop {
            if self.in_flight.is_none() && !self.pending.is_empty() {
                self.hand_over().await?;
            }
            let idle = self.prepared.is_empty() && self.queue.is_empty();
            let stopping = *self.stop.borrow();
            if stopping && self.in_flight.is_none() {
                return Ok(());
            }
            if !idle && !stopping && !self.pending.is_full() {
                self.step().await?;
                self.poll_durable()?;
                continue;
            }
            let from = self.next_to_read();
            let shared = self.shared.clone();
            let read = shared.log.read(self.partition, from, shared.tuning.batch_records, READ_BYTES);
            let woken = tokio::select! {
                biased;
                done = wait(&mut self.in_flight) => Woken::Durable(done),
                _ = self.stop.changed(), if !stopping => Woken::Stopping,
                records = read, if idle && !stopping && !self.pending.is_full() => Woken::Read(records),
            };
            match woken {
                Woken::Durable(done) => self.durable(done)?,
                Woken::Stopping => {}
                Woken::Read(records) => {
                    let records = records.map_err(|error| self.log_error(error))?;
                    let batch = Batch::new(self.partition, from, records).map_err(|error| self.log_error(error))?;
                    self.queue.extend(batch.into_records());
                }
            }
        }
    }

    fn next_to_read(&self) -> Offset {
        self.queue
            .back()
            .map(|r| r.offset + 1)
            .or(self.prepared.back().map(|p| p.offset + 1))
            .unwrap_or(self.pending.next)
    }

    pub(super) fn log_error(&self, error: crate::log::LogError) -> WorkerError {
        WorkerError::Log { partition: self.partition, offset: self.pending.next, error }
    }

    /// One step of work: prepares if nothing is prepared, then merges what fits into the commit.
    async fn step(&mut self) -> Result<(), WorkerError> {
        if self.prepared.is_empty() {
            let place =
                Place { partition: self.partition, partitions: self.checkpoint.log.partitions, key: &self.shared.key };
            let (queue, active) = (&mut self.queue, &mut self.active);
            let call = self.shared.tuning.call_records;
            self.prepared = tokio::task::block_in_place(|| prepare::prepare(queue, active, &place, call))
                .map_err(|error| WorkerError::Plugin { partition: self.partition, error })?
                .into();
        }
        self.load_missing().await?;
        let copies = tokio::task::block_in_place(|| self.merge_prepared())?;
        // What goes elsewhere is durable there before this partition moves past it.
        for (target, records) in copies {
            self.shared.append(target, records).await.map_err(|error| self.log_error(error))?;
        }
        if let Some(control) = self.prepared.pop_front_if(|p| matches!(p.work, Work::Control(_))) {
            self.control(control).await?;
        }
        Ok(())
    }

    /// Loads the properties of prepared records that are not in memory, all in one query.
    async fn load_missing(&mut self) -> Result<(), WorkerError> {
        let mut missing: Vec<Arc<str>> = Vec::new();
        for prepared in &self.prepared {
            if let Work::Merge(changes) = &prepared.work
                && !self.cache.contains(&changes.property)
                && !missing.contains(&changes.property)
            {
                missing.push(changes.property.clone());
            }
        }
        for names in missing.chunks(64) {
            let texts: Vec<&str> = names.iter().map(|name| &**name).collect();
            let store = &self.shared.store;
            let loaded = with_retry("read the state from ClickHouse", Backoff::default(), || {
                store.load_properties(self.partition, &texts)
            });
            let loaded = loaded.await.map_err(|error| WorkerError::Store { partition: self.partition, error })?;
            let newest = row_version(self.pending.next);
            for (name, loaded) in names.iter().zip(loaded) {
                if loaded.version > newest {
                    return Err(WorkerError::Ahead { partition: self.partition, offset: self.pending.next });
                }
                let property = codec::load(name.clone(), &loaded.entries)
                    .map_err(|error| WorkerError::State { partition: self.partition, what: error.to_string() })?;
                self.cache.insert(property);
            }
        }
        Ok(())
    }

    /// Merges prepared records until the commit is full or a control record comes. Returns the
    /// records to be appended elsewhere.
    fn merge_prepared(&mut self) -> Result<HashMap<Partition, Vec<NewRecord>>, WorkerError> {
        let mut copies: HashMap<Partition, Vec<NewRecord>> = HashMap::new();
        let resets: HashMap<Arc<str>, Offset> = self.checkpoint.resets.iter().map(|(s, o)| (s.clone(), *o)).collect();
        let mut effects = Effects::default();
        while !self.pending.is_full() {
            let Some(prepared) = self.prepared.pop_front_if(|p| !matches!(p.work, Work::Control(_))) else { break };
            let (offset, log_time, print) = (prepared.offset, prepared.log_time, prepared.print);
            if self.taken_before(prepared.origin) {
                self.checkpoint.counts.duplicate += 1;
            } else {
                match prepared.work {
                    Work::Merge(changes) => {
                        self.merge(&changes, offset, log_time, prepared.value, &resets, &mut effects)
                    }
                    Work::Dead(dead) => self.dead_letter(dead, offset, log_time, prepared.value),
                    Work::Reroute { target, key } => {
                        let from = (self.partition, offset);
                        let shared = &self.shared;
                        let copy =
                            prepare::copy_record(&shared.key, &shared.instance, from, key, prepared.value, log_time);
                        let copy = copy.map_err(|why| WorkerError::State {
                            partition: self.partition,
                            what: format!("record {offset} cannot be copied: {why}"),
                        })?;
                        copies.entry(target).or_default().push(copy);
                        self.checkpoint.counts.rerouted += 1;
                    }
                    Work::Control(_) => {}
                }
            }
            self.pending.add(&mut effects);
            self.advance(offset, log_time, print);
        }
        if let Some(error) = self.active.precedence.take_failure() {
            return Err(WorkerError::Plugin { partition: self.partition, error });
        }
        Ok(copies)
    }

    /// Whether a copied record was taken over before; if not, it is from now on.
    fn taken_before(&mut self, origin: Option<(Partition, Offset)>) -> bool {
        let Some((partition, offset)) = origin else { return false };
        let highest = self.checkpoint.origins.get(&partition);
        if highest.is_some_and(|highest| offset <= *highest) {
            return true;
        }
        self.checkpoint.origins.insert(partition, offset);
        false
    }

    pub(super) fn advance(&mut self, offset: Offset, log_time: i64, print: u64) {
        self.checkpoint.last = Some(print);
        self.pending.next = offset + 1;
        self.checkpoint.next = offset + 1;
        self.checkpoint.log_time = self.checkpoint.log_time.max(log_time);
    }

    fn merge(
        &mut self,
        changes: &Changes,
        offset: Offset,
        log_time: i64,
        value: Bytes,
        resets: &HashMap<Arc<str>, Offset>,
        effects: &mut Effects,
    ) {
        let Some(property) = self.cache.touch(&changes.property, offset) else {
            // Every property of a prepared record was loaded before.
            debug_assert!(false, "property {} is not in memory", changes.property);
            return;
        };
        let incoming = Incoming {
            source: changes.source.clone(),
            id: &changes.id,
            content_id: is_content_id(&changes.id),
            order: changes.order,
            position: offset,
            log_time,
            changes: &changes.changes,
        };
        let mut merge = Merge {
            policy: &mut self.active.precedence,
            master: &self.active.document.master,
            setup: &self.active.setup,
        };
        let before = property.unsettled();
        let own;
        let resets = if self.checkpoint.earlier.is_empty() {
            resets
        } else {
            own = self.checkpoint.resets_of(&changes.property);
            &own
        };
        let clock = Clock { now: self.checkpoint.now, first: self.checkpoint.first_tick, resets };
        let judged = merge.record(property, &incoming, clock, effects);
        self.pending.entities += property.unsettled() - before;
        if property.unsettled() > 0 {
            self.pending.touched.insert(changes.property.clone());
        }
        let counts = &mut self.checkpoint.counts;
        let (kind, reason) = match judged {
            Judged::Merged => return counts.merged += 1,
            Judged::Stale => return counts.stale += 1,
            Judged::Duplicate => return counts.duplicate += 1,
            Judged::Refused(Refusal::Rejected(reason)) => (DeadLetterKind::Rejected, reason),
            Judged::Refused(Refusal::TooLarge(reason)) => (DeadLetterKind::TooLarge, reason),
        };
        let (source, id, plugin) = (changes.source.clone(), changes.id.clone(), changes.plugin.clone());
        self.dead_letter(Dead { source, id, kind, reason, plugin }, offset, log_time, value);
    }

    pub(super) fn dead_letter(&mut self, dead: Dead, offset: Offset, log_time: i64, value: Bytes) {
        self.checkpoint.counts.dead_letters += 1;
        tracing::debug!(
            partition = self.partition,
            offset,
            kind = dead.kind.as_str(),
            reason = dead.reason,
            "dead letter"
        );
        self.pending.add_dead_letter(DeadLetterRow {
            source: dead.source,
            id: dead.id,
            kind: dead.kind,
            reason: dead.reason,
            payload: String::from_utf8_lossy(&value).into_owned(),
            plugin: dead.plugin,
            partition: self.partition,
            offset,
            seq: 0,
            log_time,
        });
    }

    /// A control record is dealt with; the commit goes past it.
    pub(super) fn pass(&mut self, prepared: &Prepared) {
        self.checkpoint.counts.control += 1;
        self.advance(prepared.offset, prepared.log_time, prepared.print);
    }

    /// Closes the gathered commit and hands it to the writer.
    async fn hand_over(&mut self) -> Result<(), WorkerError> {
        let pending = std::mem::replace(&mut self.pending, Pending::new(self.checkpoint.next));
        let touched: Vec<Arc<str>> = pending.touched.iter().cloned().collect();
        let failed = |what: String| WorkerError::State { partition: self.partition, what };
        let before = self.checkpoint.audit;
        let mut state = Vec::with_capacity(pending.entities + 1);
        let hashes = tokio::task::block_in_place(|| {
            for name in &touched {
                let rows = self.cache.get_mut(name).map(codec::drain).transpose().map_err(|e| e.to_string())?;
                state.extend(rows.into_iter().flatten());
            }
            let (audit, hashes) = crate::audit::chain(before, pending.conflicts());
            self.checkpoint.audit = audit;
            state.push(checkpoint_row(&self.checkpoint)?);
            Ok(hashes)
        })
        .map_err(failed)?;
        let version = row_version(pending.next);
        let decided = pending.close(self.partition, before, hashes, state, version);
        let (done, receiver) = oneshot::channel();
        self.in_flight = Some(InFlight { done: receiver, next: decided.next, touched });
        let sent = self.commits.send(Commit { decided, done }).await;
        sent.map_err(|_| WorkerError::WriterGone)
    }

    /// Looks whether the commit on its way has arrived, without waiting.
    fn poll_durable(&mut self) -> Result<(), WorkerError> {
        let Some(in_flight) = &mut self.in_flight else { return Ok(()) };
        match in_flight.done.try_recv() {
            Ok(()) => self.durable(true),
            Err(oneshot::error::TryRecvError::Empty) => Ok(()),
            Err(oneshot::error::TryRecvError::Closed) => self.durable(false),
        }
    }

    fn durable(&mut self, done: bool) -> Result<(), WorkerError> {
        let Some(in_flight) = self.in_flight.take().filter(|_| done) else { return Err(WorkerError::WriterGone) };
        self.cache.settle(&in_flight.touched, in_flight.next);
        self.shared.progress(self.partition).committed(in_flight.next, &self.checkpoint);
        Ok(())
    }

    /// The active configuration's row, to be written with the next commit.
    pub(super) fn keep_active(&mut self, record: ActiveRecord) -> Result<(), WorkerError> {
        let row = super::checkpoint::active_row(&record)
            .map_err(|what| WorkerError::State { partition: self.partition, what })?;
        self.pending.state.push(row);
        self.state.active = Some(record);
        Ok(())
    }
}

/// Waits for the commit on its way; for ever if there is none.
async fn wait(in_flight: &mut Option<InFlight>) -> bool {
    match in_flight {
        Some(in_flight) => (&mut in_flight.done).await.is_ok(),
        None => std::future::pending().await,
    }
}
