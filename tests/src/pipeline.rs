//! The real pipeline in one process: embedded log, real plugins through the plugin host, embedded ClickHouse, workers.
//!
//! One engine per process, a database per run. Knows how to start, stop and look; does not know what the right tables are.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use concord::cli::open::{check_proposal, configuration_records};
use concord::config::{PipelineFile, Proposal, Tuning};
use concord::engine::{self, Engine};
use concord::event::ControlKey;
use concord::log::embedded::{EmbeddedLog, OpenOptions};
use concord::log::{Log, NewRecord, Partition, Record};
use concord::plugin::Host;
use concord::store::{self, Store};
use concord::worker::{self, Mode, Shared, WorkerError};
use tempfile::TempDir;
use tokio::sync::watch;

pub mod dump;
pub mod files;
pub mod golden;
pub mod proxy;
pub mod stage;
pub mod window;

pub use files::Files;
pub use proxy::Proxy;
pub use stage::Stage;
pub use window::Window;

/// The engine of this process and who uses it.
struct Running {
    engine: Engine,
    runtime: tokio::runtime::Runtime,
    _directory: TempDir,
    users: usize,
}

static RUNNING: Mutex<Option<Running>> = Mutex::new(None);

/// The right to use the engine; the last one stops it.
pub struct Lease {
    /// Where it listens, `127.0.0.1:port`.
    pub address: String,
}

impl Lease {
    /// Starts the engine if nobody has. `None`, said on standard output, without libchdb.
    fn take() -> Option<Lease> {
        let library = match engine::find_library(None) {
            Ok(library) => library,
            Err(_) => {
                println!("skipped: no libchdb");
                return None;
            }
        };
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        if running.is_none() {
            let directory = tempfile::tempdir().expect("temporary directory");
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
            let runtime = runtime.expect("threads");
            let engine = runtime.block_on(start_engine(&library, &directory.path().join("clickhouse")));
            *running = Some(Running { engine, runtime, _directory: directory, users: 0 });
        }
        running.as_mut().map(|running| {
            running.users += 1;
            Lease { address: running.engine.address().to_string() }
        })
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut last) = running.take() {
            last.users -= 1;
            if last.users == 0 {
                last.runtime.block_on(last.engine.stop());
            } else {
                *running = Some(last);
            }
        }
    }
}

/// Held by every test that uses the common engine, and by the one that needs engines of its own.
static ALONE: RwLock<()> = RwLock::new(());

/// Runs a test that starts and stops engines by itself: the library holds one data directory at a time.
pub fn alone_with_clickhouse(test: impl AsyncFnOnce(&Path)) {
    let Ok(library) = engine::find_library(None) else { return println!("skipped: no libchdb") };
    let _alone = ALONE.write().unwrap_or_else(PoisonError::into_inner);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("threads").block_on(test(&library));
}

/// An engine on this folder.
pub async fn start_engine(library: &Path, folder: &Path) -> Engine {
    let options = engine::Options {
        library: library.to_owned(),
        path: folder.to_owned(),
        listen: "127.0.0.1:0".parse().expect("address"),
        database: "default".to_owned(),
        writer_password: "writer".to_owned(),
        reader_password: "reader".to_owned(),
    };
    Engine::start(options).await.expect("engine")
}

/// Runs a test that needs ClickHouse, on threads of its own; says so and returns without libchdb.
pub fn with_clickhouse(test: impl AsyncFnOnce(&Lease)) {
    let _together = ALONE.read().unwrap_or_else(PoisonError::into_inner);
    let Some(lease) = Lease::take() else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("threads").block_on(test(&lease));
}

/// A database of its own.
#[derive(Clone)]
pub struct Database {
    pub options: store::Options,
}

impl Database {
    /// A name that no other database of this process has.
    pub fn fresh(lease: &Lease) -> Database {
        Database::on(&lease.address)
    }

    /// The same for any engine.
    pub fn on(address: &str) -> Database {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        Database {
            options: store::Options {
                url: format!("http://{address}"),
                user: engine::WRITER.to_owned(),
                password: "writer".to_owned(),
                database: format!("run_{}", NUMBER.fetch_add(1, Ordering::Relaxed)),
                embedded: true,
                ..store::Options::default()
            },
        }
    }

    /// The same database at another address.
    pub fn at(&self, address: &str) -> Database {
        Database { options: store::Options { url: format!("http://{address}"), ..self.options.clone() } }
    }

    /// A store that knows nothing of what was written before, as a new process has it.
    pub async fn store(&self) -> Store {
        let store = Store::connect(self.options.clone()).await.expect("connect");
        store.migrate(&[]).await.expect("migrate");
        store
    }
}

/// `target` of this build.
pub fn target_dir() -> PathBuf {
    let program = std::env::current_exe().expect("this program");
    // Tests lie one folder deeper than programs.
    let depth = if program.parent().is_some_and(|folder| folder.ends_with("deps")) { 3 } else { 2 };
    program.ancestors().nth(depth).expect("a target directory").to_owned()
}

/// The plugins' folder.
pub fn plugins_dir() -> PathBuf {
    std::env::var_os("CONCORD_PLUGINS").map_or_else(|| target_dir().join("plugins"), PathBuf::from)
}

/// The one host of this process; compiled plugins stay on disk for the next run.
pub fn host() -> Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(|| Host::new(&target_dir().join("compiled-for-tests")).expect("plugin host")).clone()
}

/// The key of every pipeline in these tests.
pub fn key() -> ControlKey {
    ControlKey::from_bytes(&[7; 32]).expect("32 bytes")
}

/// Another pipeline's key.
pub fn foreign_key() -> ControlKey {
    ControlKey::from_bytes(&[8; 32]).expect("32 bytes")
}

/// Log time 0 of these tests: 2026-01-01T00:00:00Z in milliseconds.
pub const START: i64 = 1_767_225_600_000;

/// A new embedded log in a folder of its own.
pub struct OwnLog {
    pub log: Arc<EmbeddedLog>,
    directory: TempDir,
    max_record_bytes: usize,
}

impl OwnLog {
    pub fn new(partitions: u32) -> OwnLog {
        OwnLog::with_limit(partitions, 16 << 20)
    }

    /// With another bound for key and value of a record.
    pub fn with_limit(partitions: u32, max_record_bytes: usize) -> OwnLog {
        let directory = tempfile::tempdir().expect("temporary directory");
        let log = OwnLog::open(directory.path(), partitions, max_record_bytes);
        OwnLog { log, directory, max_record_bytes }
    }

    fn open(directory: &Path, partitions: u32, max_record_bytes: usize) -> Arc<EmbeddedLog> {
        let options = OpenOptions { partitions, max_record_bytes, ..OpenOptions::default() };
        Arc::new(EmbeddedLog::open(directory, options).expect("log"))
    }

    /// The same log as another machine sees it: its files copied elsewhere and opened there.
    pub fn moved(self) -> OwnLog {
        let OwnLog { log, directory, max_record_bytes } = self;
        let partitions = log.identity().partitions;
        assert_eq!(Arc::strong_count(&log), 1, "somebody still uses the log");
        drop(log);
        let elsewhere = tempfile::tempdir().expect("temporary directory");
        copy_folder(directory.path(), elsewhere.path());
        drop(directory);
        let log = OwnLog::open(elsewhere.path(), partitions, max_record_bytes);
        OwnLog { log, directory: elsewhere, max_record_bytes }
    }

    /// A new log with these records.
    pub async fn of(partitions: &[Vec<NewRecord>]) -> OwnLog {
        let own = OwnLog::new(u32::try_from(partitions.len()).expect("partitions"));
        for (partition, records) in (0..).zip(partitions) {
            own.log.append(partition, records.clone()).await.expect("append");
        }
        own
    }

    /// Everything that stands in it.
    pub async fn records(&self) -> Vec<Vec<Record>> {
        let mut all = Vec::new();
        for partition in 0..self.log.identity().partitions {
            let (mut at, end) = self.log.bounds(partition).await.expect("bounds");
            let mut records = Vec::new();
            while at < end {
                records.extend(self.log.read(partition, at, 4096, 64 << 20).await.expect("read"));
                at = records.last().map_or(end, |record: &Record| record.offset + 1);
            }
            all.push(records);
        }
        all
    }
}

/// Copies a folder with all that is in it.
pub fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("folder");
    for entry in std::fs::read_dir(from).expect("folder") {
        let entry = entry.expect("entry");
        let target = to.join(entry.file_name());
        let kind = entry.file_type().expect("kind");
        if kind.is_symlink() {
            // The engine's own are relative to its folder.
            let to = std::fs::read_link(entry.path()).expect("link");
            assert!(to.is_relative(), "{} leaves the folder", to.display());
            std::os::unix::fs::symlink(to, target).expect("link");
        } else if kind.is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copy");
        }
    }
}

/// What a process shares, on any log: it knows nothing of earlier ones but log and ClickHouse.
pub async fn process<L: Log>(log: Arc<L>, database: &Database, instance: &str, tuning: Tuning) -> Arc<Shared<L>> {
    let store = database.store().await;
    Arc::new(Shared::new(log, store, host(), key(), instance.to_owned(), tuning))
}

/// Works on all partitions until they are read to their ends and written.
pub async fn until_idle<L: Log>(shared: &Arc<Shared<L>>) -> Result<(), WorkerError> {
    let partitions = 0..shared.log.identity().partitions;
    until_idle_on(shared, partitions).await
}

/// The same for some partitions.
pub async fn until_idle_on<L: Log>(
    shared: &Arc<Shared<L>>,
    partitions: impl IntoIterator<Item = Partition>,
) -> Result<(), WorkerError> {
    let (_keep, never) = watch::channel(false);
    worker::run(shared.clone(), partitions, Mode { until_idle: true, tick: None }, never).await
}

/// The records that put the files as they are into force in place of the configuration with the number `follows`,
/// with a timestamp of the test's.
pub fn configuration(files: &Files, follows: Option<u64>, timestamp: i64) -> Vec<NewRecord> {
    let file = files.pipeline();
    let proposal = Proposal::read(&file).expect("files that can be applied");
    check_proposal(&host(), &proposal, &file).expect("plugins and rules that can be applied");
    proposal_records(&proposal, follows, timestamp)
}

/// The same without looking at what is proposed.
pub fn proposal_records(proposal: &Proposal, follows: Option<u64>, timestamp: i64) -> Vec<NewRecord> {
    let mut records = configuration_records(proposal, follows, &key(), "tester", None).expect("records");
    for record in &mut records {
        record.timestamp = timestamp;
    }
    records
}

/// The pipeline file, read.
pub fn read_pipeline(path: &Path) -> PipelineFile {
    PipelineFile::read(path).expect("a pipeline file")
}
