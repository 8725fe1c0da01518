//! Opening and creating the embedded log's folder.
//!
//! Knows the folder's layout and who holds it: `lock` (an advisory lock, with the holder's process
//! id as text) and `records` (the storage crate's own). A new log is built aside and renamed, so a
//! half-made one is never opened.

use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use fjall::config::{BlockSizePolicy, FilterPolicy};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::{MAX_PARTITIONS, OpenError, OpenOptions, repair};
use crate::log::{Identity, Offset, Partition};

const LOCK: &str = "lock";
const RECORDS: &str = "records";
const UNFINISHED: &str = "records.unfinished";
const META: &str = "meta";
const IDENTITY: &str = "identity";
/// Of the folder as a whole; a newer one is refused.
const FORMAT: u32 = 1;
/// Memory for records that are in the journal only, over all partitions.
const WRITE_BUFFER: u64 = 64 << 20;
/// Bounds the journal that a start has to read again. The storage crate takes no less.
const JOURNAL: u64 = 64 << 20;

/// What the folder says about itself.
#[derive(serde::Serialize, serde::Deserialize)]
struct Card {
    format: u32,
    identity: Identity,
}

/// Held as long as the log is open; the lock goes with the process, however it ends.
pub(super) struct Lock {
    _file: File,
}

/// An open folder.
pub(super) struct Opened {
    pub identity: Identity,
    pub database: Database,
    pub meta: Keyspace,
    pub partitions: Vec<(Keyspace, Offset, Offset)>,
    pub lock: Lock,
}

pub(super) fn open(dir: &Path, options: &OpenOptions) -> Result<Opened, OpenError> {
    let wanted = options.partitions;
    if !(1..=MAX_PARTITIONS).contains(&wanted) {
        return Err(OpenError::PartitionCount { wanted });
    }
    fs::create_dir_all(dir).map_err(io_error(dir, "create the folder"))?;
    let lock = lock(dir)?;
    let records = dir.join(RECORDS);
    if !records.try_exists().map_err(io_error(dir, "look into the folder"))? {
        create(dir, options)?;
    }
    let database = open_or_repair(&records, options).map_err(storage_error(dir))?;
    let meta = keyspace(&database, META, wanted).map_err(storage_error(dir))?;
    let identity = identity(dir, &meta)?;
    if identity.partitions != wanted {
        return Err(OpenError::OtherPartitionCount { dir: dir.into(), has: identity.partitions, wanted });
    }
    let mut partitions = Vec::new();
    for partition in 0..wanted {
        let keyspace = keyspace(&database, &name(partition), wanted).map_err(storage_error(dir))?;
        let (first, next) = bounds(&meta, partition, &keyspace).map_err(storage_error(dir))?;
        partitions.push((keyspace, first, next));
    }
    Ok(Opened { identity, database, meta, partitions, lock })
}

/// Takes the folder's lock, or says who has it.
fn lock(dir: &Path) -> Result<Lock, OpenError> {
    let path = dir.join(LOCK);
    let failed = io_error(dir, "lock the folder");
    let mut file = File::options().read(true).write(true).create(true).truncate(false).open(&path).map_err(&failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => {
            let mut text = String::new();
            // Whoever holds it may be writing its number this moment: then it stays unknown.
            let _ = (&mut file).take(32).read_to_string(&mut text);
            return Err(OpenError::InUse { dir: dir.into(), holder: holder(text.trim()) });
        }
        Err(fs::TryLockError::Error(e)) => return Err(failed(e)),
    }
    let pid = format!("{}\n", std::process::id());
    file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(pid.as_bytes())).map_err(&failed)?;
    Ok(Lock { _file: file })
}

/// A process, in words.
fn holder(text: &str) -> String {
    let Ok(pid) = text.parse::<u32>() else { return "another process".into() };
    if pid == std::process::id() {
        return format!("this process ({pid}) itself");
    }
    match fs::read_to_string(format!("/proc/{pid}/comm")) {
        Ok(name) => format!("process {pid} ({})", name.trim()),
        Err(_) => format!("process {pid}"),
    }
}

/// Builds an empty log aside and moves it into place when it is durable.
fn create(dir: &Path, options: &OpenOptions) -> Result<(), OpenError> {
    let aside = dir.join(UNFINISHED);
    let failed = io_error(dir, "create the log");
    match fs::remove_dir_all(&aside) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(failed(e)),
        _ => {}
    }
    let identity = Identity { id: random_id().map_err(&failed)?, partitions: options.partitions };
    fill(&aside, options, &Card { format: FORMAT, identity }).map_err(storage_error(dir))?;
    fs::rename(&aside, dir.join(RECORDS)).map_err(&failed)?;
    sync_folder(dir).map_err(&failed)?;
    // The folder itself may be new, too.
    dir.parent().filter(|p| !p.as_os_str().is_empty()).map_or(Ok(()), sync_folder).map_err(&failed)
}

fn fill(aside: &Path, options: &OpenOptions, card: &Card) -> fjall::Result<()> {
    let database = database(aside, options)?;
    let meta = keyspace(&database, META, options.partitions)?;
    for partition in 0..options.partitions {
        keyspace(&database, &name(partition), options.partitions)?;
    }
    let json = serde_json::to_vec(card).map_err(io::Error::from)?;
    let mut batch = database.batch().durability(Some(PersistMode::SyncAll));
    batch.insert(&meta, IDENTITY, json);
    batch.commit()
}

fn sync_folder(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn random_id() -> io::Result<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|e| io::Error::other(e.to_string()))?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}

fn database(path: &Path, options: &OpenOptions) -> fjall::Result<Database> {
    Database::builder(path)
        .cache_size(options.cache_bytes)
        .max_journaling_size(JOURNAL)
        // Recovery compresses again to compare checksums: a later LZ4 that packs otherwise would find damage.
        .journal_compression(fjall::CompressionType::None)
        .worker_threads(2)
        .open()
}

/// Opens the storage; after a loss of power without the append that was under way (see `repair`).
fn open_or_repair(records: &Path, options: &OpenOptions) -> fjall::Result<Database> {
    let error = match database(records, options) {
        Err(error @ fjall::Error::JournalRecovery(_)) => error,
        other => return other,
    };
    let Some(cut) = repair::cut_last_batch(records)? else { return Err(error) };
    match database(records, options) {
        Ok(database) => {
            tracing::warn!(
                bytes = cut.bytes, copy = %cut.copy().display(),
                "the last append to the log was written in part only, by a loss of power most likely; it was never \
                 acknowledged and is dropped"
            );
            Ok(database)
        }
        Err(_) => {
            // The damage is elsewhere: among records that were acknowledged.
            cut.undo()?;
            Err(error)
        }
    }
}

/// A partition's records lie in offset order and are read in ranges: large blocks, no filters.
fn keyspace(database: &Database, name: &str, partitions: u32) -> fjall::Result<Keyspace> {
    let buffer = (WRITE_BUFFER / u64::from(partitions.max(1))).clamp(2 << 20, 16 << 20);
    database.keyspace(name, || {
        KeyspaceCreateOptions::default()
            .max_memtable_size(buffer)
            .data_block_size_policy(BlockSizePolicy::all(32 << 10))
            .filter_policy(FilterPolicy::disabled())
    })
}

fn name(partition: Partition) -> String {
    format!("p{partition}")
}

/// Where the meta keyspace keeps a partition's first offset.
pub(super) fn first_key(partition: Partition) -> String {
    format!("first/{partition}")
}

fn identity(dir: &Path, meta: &Keyspace) -> Result<Identity, OpenError> {
    let card = meta.get(IDENTITY).map_err(storage_error(dir))?;
    let card = card.and_then(|bytes| serde_json::from_slice::<Card>(&bytes).ok());
    match card {
        Some(Card { format: FORMAT, identity }) => Ok(identity),
        Some(Card { format, .. }) => Err(OpenError::Newer { dir: dir.into(), format }),
        None => Err(OpenError::NoLog { dir: dir.into() }),
    }
}

fn bounds(meta: &Keyspace, partition: Partition, keyspace: &Keyspace) -> fjall::Result<(Offset, Offset)> {
    let first = meta.get(first_key(partition))?.and_then(|bytes| number(&bytes)).unwrap_or(0);
    let last = keyspace.last_key_value().map(fjall::Guard::key).transpose()?;
    let next = last.and_then(|key| number(&key)).map_or(0, |last| last + 1);
    Ok((first, next.max(first)))
}

/// Offsets are stored as eight big-endian bytes, so that byte order is number order.
pub(super) fn number(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}

/// What went wrong in the storage crate, in words, down to the cause.
pub(super) fn describe(error: &fjall::Error) -> String {
    match error {
        fjall::Error::Poisoned => return "writing in the background failed before".into(),
        fjall::Error::InvalidVersion(_) => return "its files are of another version of the storage format".into(),
        fjall::Error::JournalRecovery(e) => return format!("its journal is damaged ({e:?})"),
        _ => {}
    }
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    match innermost.downcast_ref::<io::Error>() {
        Some(e) => e.to_string(),
        None => innermost.to_string(),
    }
}

fn storage_error(dir: &Path) -> impl Fn(fjall::Error) -> OpenError {
    let dir = PathBuf::from(dir);
    move |e| OpenError::Storage { dir: dir.clone(), reason: describe(&e) }
}

fn io_error(dir: &Path, what: &'static str) -> impl Fn(io::Error) -> OpenError {
    let dir = PathBuf::from(dir);
    move |source| OpenError::Io { dir: dir.clone(), what, source }
}
