//! A log for one machine, on the storage crate `fjall`.
//!
//! Knows how records become durable, how readers wait and how the folder is guarded. Does not know
//! what a record means. One process at a time; appends share fsyncs (`writer`), readers take the
//! newest records from memory and older ones from disk on blocking threads.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc as std_mpsc};
use std::thread::JoinHandle;

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use self::writer::{Append, Command, Writer};
use super::{Identity, Log, LogError, NewRecord, Offset, Partition, Record};

mod open;
mod record;
mod repair;
mod writer;

/// Each partition costs memory and open files.
pub const MAX_PARTITIONS: u32 = 1024;
/// Key and value of a record together.
pub const DEFAULT_MAX_RECORD_BYTES: usize = 2 << 20;
/// The newest records of a partition that stay in memory.
const TAIL_BYTES: usize = 1 << 20;
/// Appends under way, over all partitions, in KiB; beyond it appenders wait.
const BUDGET_KIB: u32 = 64 << 10;
/// Records removed per batch when retention moves.
const REMOVE_AT_ONCE: usize = 10_000;

/// How to open the log.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// 1 to [`MAX_PARTITIONS`]; has to be that of an existing log.
    pub partitions: u32,
    /// The limit of a record's key and value together; with room for copies of the largest record
    /// (see [`crate::event::wrapped_bytes`]).
    pub max_record_bytes: usize,
    /// Memory for blocks read from disk.
    pub cache_bytes: u64,
}

impl Default for OpenOptions {
    fn default() -> OpenOptions {
        OpenOptions { partitions: 8, max_record_bytes: DEFAULT_MAX_RECORD_BYTES, cache_bytes: 16 << 20 }
    }
}

/// Why a log's folder could not be opened, with the remedy.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the log in {} is in use by {holder}: stop it first, or give this pipeline a data_dir of its own", dir.display())]
    InUse { dir: PathBuf, holder: String },
    #[error(
        "the log in {} has {has} partitions; the configuration says {wanted}. A log keeps its partitions: \
         set log.partitions = {has}, or begin a new log in another data_dir", dir.display()
    )]
    OtherPartitionCount { dir: PathBuf, has: u32, wanted: u32 },
    #[error("log.partitions = {wanted}: give a number from 1 to {MAX_PARTITIONS}")]
    PartitionCount { wanted: u32 },
    #[error(
        "the log in {} has format {format}, which a newer Concord wrote: use that version, or another data_dir",
        dir.display()
    )]
    Newer { dir: PathBuf, format: u32 },
    #[error("{} holds files that are no log of Concord: move them away, or choose another data_dir", dir.display())]
    NoLog { dir: PathBuf },
    #[error("cannot {what} {}: {source}; check the path, its permissions and the space on the disk", dir.display())]
    Io { dir: PathBuf, what: &'static str, source: std::io::Error },
    #[error(
        "cannot open the log in {}: {reason}; check permissions and space on the disk, or restore the folder from a copy",
        dir.display()
    )]
    Storage { dir: PathBuf, reason: String },
}

/// What readers of a partition may see.
#[derive(Clone, Debug)]
struct Bounds {
    first: Offset,
    /// Everything before it is durable.
    next: Offset,
    /// Why nothing more will come.
    stopped: Option<LogError>,
}

/// The newest records of a partition: consecutive, the last is the newest.
#[derive(Default)]
struct Tail {
    records: VecDeque<Record>,
    bytes: usize,
}

/// A partition as it stands.
struct PartitionState {
    keyspace: fjall::Keyspace,
    bounds: watch::Sender<Bounds>,
    tail: Mutex<Tail>,
}

/// The open folder. Fields are dropped in this order: the lock goes after the database.
struct Store {
    partitions: Vec<PartitionState>,
    meta: fjall::Keyspace,
    database: fjall::Database,
    _lock: open::Lock,
    /// Tells whoever closes the log that nobody uses the folder any more.
    _released: std_mpsc::Sender<()>,
}

/// A durable log in a folder of this machine.
pub struct EmbeddedLog {
    identity: Identity,
    limit: usize,
    store: Option<Arc<Store>>,
    commands: Option<mpsc::Sender<Command>>,
    writer: Option<JoinHandle<()>>,
    budget: Arc<Semaphore>,
    released: Mutex<std_mpsc::Receiver<()>>,
}

impl PartitionState {
    fn bounds(&self) -> Bounds {
        self.bounds.borrow().clone()
    }

    /// Durable records become visible: first in memory, then to those who wait.
    fn publish(&self, fresh: Vec<Record>) {
        let Some(last) = fresh.last() else { return };
        let next = last.offset + 1;
        self.tail.lock().unwrap_or_else(PoisonError::into_inner).push(fresh);
        self.bounds.send_modify(|bounds| bounds.next = next);
    }

    /// Retention moved.
    fn begin_at(&self, first: Offset) {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner).forget_before(first);
        self.bounds.send_modify(|bounds| bounds.first = first);
    }
}

impl Tail {
    fn push(&mut self, fresh: Vec<Record>) {
        for record in fresh {
            self.bytes += cost(&record);
            self.records.push_back(record);
        }
        while self.bytes > TAIL_BYTES && self.records.len() > 1 {
            self.pop();
        }
    }

    fn pop(&mut self) {
        if let Some(record) = self.records.pop_front() {
            self.bytes -= cost(&record);
        }
    }

    fn forget_before(&mut self, first: Offset) {
        while self.records.front().is_some_and(|record| record.offset < first) {
            self.pop();
        }
    }

    /// `None` when `from` is not in memory.
    fn read(&self, from: Offset, max_records: usize, max_bytes: usize) -> Option<Vec<Record>> {
        let oldest = self.records.front()?.offset;
        let skip = usize::try_from(from.checked_sub(oldest)?).ok()?;
        let mut taken = Taken::new(max_records, max_bytes);
        for record in self.records.range(skip.min(self.records.len())..) {
            if !taken.take(record.clone()) {
                break;
            }
        }
        (!taken.records.is_empty()).then_some(taken.records)
    }
}

/// Memory that a record takes, roughly.
fn cost(record: &Record) -> usize {
    record.key.as_ref().map_or(0, Bytes::len) + record.value.len() + 64
}

/// The answer to a read, within its bounds.
struct Taken {
    records: Vec<Record>,
    max_records: usize,
    bytes_left: usize,
}

impl Taken {
    fn new(max_records: usize, max_bytes: usize) -> Taken {
        Taken { records: Vec::new(), max_records: max_records.max(1), bytes_left: max_bytes }
    }

    /// Whether there may be room for another. The first is always taken.
    fn take(&mut self, record: Record) -> bool {
        let bytes = record.key.as_ref().map_or(0, Bytes::len) + record.value.len();
        if bytes > self.bytes_left && !self.records.is_empty() {
            return false;
        }
        self.bytes_left = self.bytes_left.saturating_sub(bytes);
        self.records.push(record);
        self.bytes_left > 0 && self.records.len() < self.max_records
    }
}

impl Store {
    fn partition(&self, partition: Partition) -> Result<&PartitionState, LogError> {
        self.partitions.get(partition as usize).ok_or(LogError::NoPartition(partition))
    }

    /// Nothing more will come; what is there can still be read.
    fn stop(&self, why: &LogError) {
        for partition in &self.partitions {
            partition.bounds.send_modify(|bounds| {
                bounds.stopped.get_or_insert_with(|| why.clone());
            });
        }
    }

    /// Reads from disk; blocks. Without a gap, or an error.
    fn read(&self, partition: Partition, from: Offset, taken: Taken) -> Result<Vec<Record>, LogError> {
        let state = self.partition(partition)?;
        let next = state.bounds().next;
        let mut taken = taken;
        let range = from.to_be_bytes()..next.to_be_bytes();
        for (expected, guard) in (from..next).zip(state.keyspace.range(range)) {
            let (key, value) = guard.into_inner().map_err(|e| read_failed(partition, expected, &open::describe(&e)))?;
            if open::number(&key) != Some(expected) {
                return self.hole(partition, expected, taken);
            }
            let record = record::decode(expected, &Bytes::copy_from_slice(&value))
                .ok_or_else(|| read_failed(partition, expected, "it is damaged"))?;
            if !taken.take(record) {
                break;
            }
        }
        if taken.records.is_empty() { self.hole(partition, from, taken) } else { Ok(taken.records) }
    }

    /// A record is not where it should be: what was read before it, or the reason.
    fn hole(&self, partition: Partition, missing: Offset, taken: Taken) -> Result<Vec<Record>, LogError> {
        let first = self.partition(partition)?.bounds().first;
        if !taken.records.is_empty() {
            Ok(taken.records)
        } else if missing < first {
            Err(LogError::Gone { partition, wanted: missing, first })
        } else {
            Err(read_failed(partition, missing, "it is missing"))
        }
    }

    /// Removes what retention has given up; blocks.
    fn remove_before(&self, partition: Partition, first: Offset) -> fjall::Result<()> {
        let keyspace = &self.partition(partition).map_err(|_| fjall::Error::Unrecoverable)?.keyspace;
        let mut old = keyspace.range(..first.to_be_bytes());
        loop {
            let mut batch = self.database.batch();
            for guard in old.by_ref().take(REMOVE_AT_ONCE) {
                batch.remove(keyspace, guard.key()?);
            }
            if batch.is_empty() {
                return Ok(());
            }
            batch.commit()?;
        }
    }
}

fn read_failed(partition: Partition, offset: Offset, why: &str) -> LogError {
    LogError::Failed(format!(
        "partition {partition}, offset {offset} cannot be read: {why}; check the disk and restore the log from a copy"
    ))
}

impl EmbeddedLog {
    /// Opens the log in `dir`, or creates it there with a new identity. Blocks for some milliseconds
    /// (longer after a crash: up to 64 MiB are read again).
    pub fn open(dir: &Path, options: OpenOptions) -> Result<EmbeddedLog, OpenError> {
        let opened = open::open(dir, &options)?;
        let (released_sender, released) = std_mpsc::channel();
        let partitions = opened.partitions.into_iter().map(|(keyspace, first, next)| PartitionState {
            keyspace,
            bounds: watch::Sender::new(Bounds { first, next, stopped: None }),
            tail: Mutex::default(),
        });
        let store = Arc::new(Store {
            partitions: partitions.collect(),
            meta: opened.meta,
            database: opened.database,
            _lock: opened.lock,
            _released: released_sender,
        });
        let (commands, receiver) = mpsc::channel(1024);
        let writer = Writer { dir: dir.into(), store: Arc::clone(&store), commands: receiver, failed: None };
        let writer = std::thread::Builder::new()
            .name("log-writer".into())
            .spawn(|| writer.run())
            .map_err(|source| OpenError::Io { dir: dir.into(), what: "start a thread for", source })?;
        Ok(EmbeddedLog {
            identity: opened.identity,
            limit: options.max_record_bytes,
            store: Some(store),
            commands: Some(commands),
            writer: Some(writer),
            budget: Arc::new(Semaphore::new(BUDGET_KIB as usize)),
            released: Mutex::new(released),
        })
    }

    /// Gives up the records before `first`: from now on, and for every later opening, reading them
    /// is [`LogError::Gone`]. The disk space comes back in the background. Going backwards does nothing.
    pub async fn retain(&self, partition: Partition, first: Offset) -> Result<(), LogError> {
        let store = Arc::clone(self.store()?);
        store.partition(partition)?;
        let (reply, answer) = oneshot::channel();
        self.send(Command::Retain { partition, first, reply }).await?;
        answer.await.map_err(|_| closed())??;
        let removed = tokio::task::spawn_blocking(move || store.remove_before(partition, first)).await;
        match removed {
            Ok(Ok(())) => Ok(()),
            Ok(Err(e)) => Err(LogError::Failed(format!("removing old records failed: {}", open::describe(&e)))),
            Err(e) => Err(LogError::Failed(e.to_string())),
        }
    }

    fn store(&self) -> Result<&Arc<Store>, LogError> {
        self.store.as_ref().ok_or_else(closed)
    }

    async fn send(&self, command: Command) -> Result<(), LogError> {
        let commands = self.commands.as_ref().ok_or_else(closed)?;
        commands.send(command).await.map_err(|_| closed())
    }
}

fn closed() -> LogError {
    LogError::Unavailable("the log was closed".into())
}

impl Log for EmbeddedLog {
    fn identity(&self) -> Identity {
        self.identity.clone()
    }

    async fn append(&self, partition: Partition, records: Vec<NewRecord>) -> Result<Offset, LogError> {
        let state = self.store()?.partition(partition)?;
        let sizes = records.iter().map(record::size);
        if let Some(size) = sizes.clone().find(|size| *size > self.limit) {
            return Err(LogError::TooLarge { size, limit: self.limit });
        }
        if records.is_empty() {
            return Ok(state.bounds().next);
        }
        let bytes: usize = sizes.map(|size| size + 64).sum();
        let share = u32::try_from(bytes.div_ceil(1024)).unwrap_or(BUDGET_KIB).min(BUDGET_KIB);
        let budget = Arc::clone(&self.budget).acquire_many_owned(share).await.map_err(|_| closed())?;
        let (reply, answer) = oneshot::channel();
        self.send(Command::Append(Append { partition, records, bytes, reply, _budget: budget })).await?;
        answer.await.map_err(|_| closed())?
    }

    async fn bounds(&self, partition: Partition) -> Result<(Offset, Offset), LogError> {
        let bounds = self.store()?.partition(partition)?.bounds();
        Ok((bounds.first, bounds.next))
    }

    async fn read(
        &self,
        partition: Partition,
        from: Offset,
        max_records: usize,
        max_bytes: usize,
    ) -> Result<Vec<Record>, LogError> {
        let store = self.store()?;
        let state = store.partition(partition)?;
        let mut changes = state.bounds.subscribe();
        loop {
            let bounds = changes.borrow_and_update().clone();
            if from < bounds.first {
                return Err(LogError::Gone { partition, wanted: from, first: bounds.first });
            }
            if from > bounds.next {
                return Err(LogError::Beyond { partition, wanted: from, end: bounds.next });
            }
            if from < bounds.next {
                break;
            }
            if let Some(why) = bounds.stopped {
                return Err(why);
            }
            changes.changed().await.map_err(|_| closed())?;
        }
        let tail = state.tail.lock().unwrap_or_else(PoisonError::into_inner).read(from, max_records, max_bytes);
        if let Some(records) = tail {
            return Ok(records);
        }
        let store = Arc::clone(store);
        tokio::task::spawn_blocking(move || store.read(partition, from, Taken::new(max_records, max_bytes)))
            .await
            .map_err(|e| LogError::Failed(format!("reading the log failed: {e}")))?
    }

    async fn retain(&self, partition: Partition, first: Offset) -> Result<(), LogError> {
        EmbeddedLog::retain(self, partition, first).await
    }
}

impl Drop for EmbeddedLog {
    /// Commits what was sent, and waits until the folder is free: opening it again succeeds at once.
    fn drop(&mut self) {
        self.commands = None;
        if let Some(writer) = self.writer.take() {
            // A panic there was reported where it happened.
            let _ = writer.join();
        }
        self.store = None;
        let released = self.released.get_mut().unwrap_or_else(PoisonError::into_inner);
        // Reads under way on blocking threads end first; then the sender is gone.
        let _ = released.recv();
    }
}
