//! The workers of a process: one per partition, one writer for all.
//!
//! Workers are disposable: whatever they know they read from ClickHouse and the log, on this machine
//! or another. Knows start, idleness and end; the stages are in the modules below.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::config::{Digest, Document, Tuning};
use crate::event::{Control, ControlKey};
use crate::log::{Log, LogError, NewRecord, Offset, Partition};
use crate::plugin::{Host, HostError};
use crate::store::{Store, StoreError};

pub mod active;
mod cache;
pub mod checkpoint;
mod commit;
mod govern;
pub mod migrate;
mod partition;
mod pending;
mod prepare;
pub mod retention;
pub mod share;
mod start;

use checkpoint::{Checkpoint, Counts};

/// Why a worker ended before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    #[error("partition {partition}, offset {offset}: {error}")]
    Log { partition: Partition, offset: Offset, error: LogError },
    #[error("partition {partition}: {error}")]
    Store { partition: Partition, error: StoreError },
    #[error("{0}")]
    Write(StoreError),
    #[error("partition {partition}: the plugin host failed: {error}")]
    Plugin { partition: Partition, error: HostError },
    #[error("partition {partition}: {what}")]
    State { partition: Partition, what: String },
    #[error("partition {partition}: the log's first configuration cannot be used: {error}")]
    Configuration { partition: Partition, error: active::ActivateError },
    #[error(
        "partition {partition}: the checkpoint was made on log {expected}, this is log {found}; point the pipeline to the \
         log it was made on, move it by `concord log migrate`, or start with an empty database"
    )]
    OtherLog { partition: Partition, expected: String, found: String },
    #[error("partition {partition} belongs to worker {to} since offset {offset}; this worker stops, nothing is lost")]
    Lost { partition: Partition, to: String, offset: Offset },
    #[error(
        "partition {partition}: another worker has written past offset {offset}; this worker stops, nothing is lost"
    )]
    Ahead { partition: Partition, offset: Offset },
    /// The writer ended first; its own error is the one to report.
    #[error("the writer has ended")]
    WriterGone,
    #[error("a task failed: {0}")]
    Task(String),
}

/// How far a partition is written, for whoever asks.
#[derive(Debug, Default)]
pub struct Progress {
    ready: AtomicBool,
    committed: AtomicU64,
    counts: Mutex<Counts>,
}

impl Progress {
    fn committed(&self, next: Offset, checkpoint: &Checkpoint) {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner) = checkpoint.counts;
        self.committed.store(next, Ordering::Release);
        self.ready.store(true, Ordering::Release);
    }

    /// The next offset, once the partition works.
    pub fn next(&self) -> Option<Offset> {
        self.ready.load(Ordering::Acquire).then(|| self.committed.load(Ordering::Acquire))
    }

    /// What became of the records. May be a commit ahead of [`Progress::next`].
    pub fn counts(&self) -> Counts {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What all workers of a process share.
pub struct Shared<L> {
    pub log: Arc<L>,
    pub store: Store,
    pub host: Host,
    pub key: ControlKey,
    /// Names this process in owner records.
    pub instance: String,
    pub tuning: Tuning,
    progress: Vec<Progress>,
    in_force: watch::Sender<Option<Arc<InForce>>>,
    /// Doors that may still append.
    held: AtomicUsize,
}

/// As long as it lives the process is not idle, however far its partitions are read.
pub struct Hold<L>(Arc<Shared<L>>);

impl<L> Drop for Hold<L> {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The configuration in force and the plugins of its sources, for whoever takes deliveries in this process.
#[derive(Debug)]
pub struct InForce {
    /// As the first of this process's partitions to apply it knows it.
    pub sequence: u64,
    pub document: Document,
    pub plugins: BTreeMap<Digest, Bytes>,
}

impl<L: Log> Shared<L> {
    pub fn new(log: Arc<L>, store: Store, host: Host, key: ControlKey, instance: String, tuning: Tuning) -> Shared<L> {
        let progress = (0..log.identity().partitions).map(|_| Progress::default()).collect();
        Shared {
            log,
            store,
            host,
            key,
            instance,
            tuning,
            progress,
            in_force: watch::Sender::new(None),
            held: AtomicUsize::new(0),
        }
    }

    /// Appends, waiting while the log is away. What is appended has to be recognizable when it comes twice.
    pub async fn append(&self, partition: Partition, records: Vec<NewRecord>) -> Result<Offset, LogError> {
        let mut wait = Duration::from_millis(50);
        loop {
            match self.log.append(partition, records.clone()).await {
                // What a worker appends is recognized when it comes twice.
                Err(error @ (LogError::Unavailable(_) | LogError::Unknown { .. })) => {
                    tracing::warn!(partition, "appending again: {error}");
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(Duration::from_secs(5));
                }
                done => return done,
            }
        }
    }
}

impl<L: Log> Shared<L> {
    /// The partition's bounds, waiting while the log is away.
    async fn bounds(&self, partition: Partition) -> Result<(Offset, Offset), LogError> {
        let mut wait = Duration::from_millis(50);
        loop {
            match self.log.bounds(partition).await {
                Err(LogError::Unavailable(why)) => {
                    tracing::warn!(partition, "waiting for the log: {why}");
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(Duration::from_secs(5));
                }
                done => return done,
            }
        }
    }
}

impl<L> Shared<L> {
    /// The configuration in force, and whatever follows it.
    pub fn in_force(&self) -> watch::Receiver<Option<Arc<InForce>>> {
        self.in_force.subscribe()
    }

    /// Keeps the process from being idle: somebody has not yet appended all that it is to wait for.
    pub fn hold(self: &Arc<Self>) -> Hold<L> {
        self.held.fetch_add(1, Ordering::AcqRel);
        Hold(self.clone())
    }

    /// A partition has applied this configuration.
    fn applied(&self, sequence: u64, document: &Document, plugin: impl Fn(&Digest) -> Option<Bytes>) {
        self.in_force.send_if_modified(|known| {
            if known.as_ref().is_some_and(|known| known.sequence >= sequence) {
                return false;
            }
            let digests = document.sources.values().map(|source| source.plugin.digest);
            let plugins = digests.filter_map(|digest| Some((digest, plugin(&digest)?))).collect();
            *known = Some(Arc::new(InForce { sequence, document: document.clone(), plugins }));
            true
        });
    }

    /// How far a partition of this log is written.
    pub fn progress(&self, partition: Partition) -> &Progress {
        static NONE: Progress =
            Progress { ready: AtomicBool::new(false), committed: AtomicU64::new(0), counts: Mutex::new(NO_COUNTS) };
        self.progress.get(partition as usize).unwrap_or(&NONE)
    }

    /// All partitions, in order.
    pub fn all_progress(&self) -> &[Progress] {
        &self.progress
    }
}

const NO_COUNTS: Counts = Counts { merged: 0, stale: 0, duplicate: 0, rerouted: 0, control: 0, dead_letters: 0 };

/// When [`run`] ends and what it appends by itself.
#[derive(Clone, Copy, Debug)]
pub struct Mode {
    /// End when every partition is read to its end and written.
    pub until_idle: bool,
    /// How often partition time is appended.
    pub tick: Option<Duration>,
}

/// Works on these partitions until `stop` turns true, all is idle (if wanted), or an error that no
/// retry repairs. What was in flight is written before it returns.
pub async fn run<L: Log>(
    shared: Arc<Shared<L>>,
    partitions: impl IntoIterator<Item = Partition>,
    mode: Mode,
    mut stop: watch::Receiver<bool>,
) -> Result<(), WorkerError> {
    let partitions: Arc<[Partition]> = partitions.into_iter().collect();
    if partitions.is_empty() && !mode.until_idle {
        // More workers than partitions: this one stands by, until it is told to end (or nobody can tell it any more).
        let _ = stop.wait_for(|stop| *stop).await;
        return Ok(());
    }
    let (halt, halted) = watch::channel(false);
    let (commits, queue) = mpsc::channel(partitions.len().max(1));
    let writer = tokio::spawn(commit::run(shared.store.clone(), queue));
    let mut workers = JoinSet::new();
    for partition in partitions.iter().copied() {
        let (shared, commits, halted) = (shared.clone(), commits.clone(), halted.clone());
        let parts = partitions.len();
        workers.spawn(async move {
            match start::open(shared, partition, parts, commits, halted).await? {
                Some(worker) => worker.run().await,
                None => Ok(()),
            }
        });
    }
    drop(commits);
    let mut result = Ok(());
    let idle = idle(shared.clone(), partitions.clone(), mode.until_idle);
    let ticks = tick(shared.clone(), partitions, mode.tick);
    tokio::pin!(idle, ticks);
    loop {
        tokio::select! {
            ended = workers.join_next() => match ended {
                None => break,
                Some(ended) => {
                    let ended = ended.unwrap_or_else(|error| Err(WorkerError::Task(error.to_string())));
                    if ended.is_err() && (result.is_ok() || matches!(result, Err(WorkerError::WriterGone))) {
                        result = ended;
                    }
                    // Without one of them the process is no worker for its share: the others end as well.
                    let _ = halt.send(true);
                }
            },
            changed = stop.changed(), if !*halted.borrow() => {
                if changed.is_err() || *stop.borrow() {
                    let _ = halt.send(true);
                }
            }
            () = &mut idle, if !*halted.borrow() => { let _ = halt.send(true); }
            error = &mut ticks, if !*halted.borrow() => {
                result = Err(error);
                let _ = halt.send(true);
            }
        }
    }
    match writer.await {
        Ok(Ok(())) => result,
        Ok(Err(error)) => Err(WorkerError::Write(error)),
        Err(error) => Err(WorkerError::Task(error.to_string())),
    }
}

/// Ends when all partitions are written to their ends: nothing can be on its way then, since what a
/// worker appends elsewhere is durable there before it moves on itself.
async fn idle<L: Log>(shared: Arc<Shared<L>>, partitions: Arc<[Partition]>, wanted: bool) {
    if !wanted {
        std::future::pending::<()>().await;
    }
    let mut last: Option<Vec<Offset>> = None;
    loop {
        let now = ends_if_idle(&shared, &partitions).await;
        if now.is_some() && now == last {
            return;
        }
        // Two looks in a row have to agree: one alone could have missed an append between two partitions.
        let pause = if now.is_some() { Duration::ZERO } else { Duration::from_millis(10) };
        last = now;
        tokio::time::sleep(pause).await;
    }
}

async fn ends_if_idle<L: Log>(shared: &Shared<L>, partitions: &[Partition]) -> Option<Vec<Offset>> {
    // Looked at first: what was appended before it was let go is in the bounds below.
    if shared.held.load(Ordering::Acquire) > 0 {
        return None;
    }
    let mut ends = Vec::new();
    for partition in partitions.iter().copied() {
        let (_, end) = shared.log.bounds(partition).await.ok()?;
        if shared.progress(partition).next()? != end {
            return None;
        }
        ends.push(end);
    }
    Some(ends)
}

/// Appends partition time to every partition; returns only with an error.
async fn tick<L: Log>(shared: Arc<Shared<L>>, partitions: Arc<[Partition]>, every: Option<Duration>) -> WorkerError {
    let Some(every) = every else { return std::future::pending().await };
    let mut interval = tokio::time::interval(every);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let millis = now_millis();
        for partition in partitions.iter().copied() {
            if shared.progress(partition).next().is_none() {
                continue;
            }
            let tick = Control::Tick { millis };
            let records = match govern::sign(&shared, &[tick], &format!("tick-{millis}"), &shared.instance, millis) {
                Ok(records) => records,
                Err(why) => return WorkerError::State { partition, what: why.to_string() },
            };
            if let Err(error) = shared.append(partition, records).await {
                return WorkerError::Log { partition, offset: 0, error };
            }
        }
    }
}

/// The wall clock in milliseconds since 1970-01-01T00:00:00Z: for what is written into the log, never
/// for a decision.
pub fn now_millis() -> i64 {
    let nanos = time::OffsetDateTime::now_utc().unix_timestamp_nanos();
    i64::try_from(nanos / 1_000_000).unwrap_or(i64::MAX)
}
