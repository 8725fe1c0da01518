//! Embedded ClickHouse: the engine as a library, served over its own HTTP interface on loopback.
//!
//! Knows how to find, start and stop libchdb. Does not know Concord's tables: the store speaks to
//! this engine as it speaks to a ClickHouse server, and any ClickHouse client can do the same.
//!
//! Two users: `concord` writes, `reader` reads; what either may say is `gate`'s business.

mod format;
mod gate;
#[cfg(test)]
mod gate_cases;
mod http;
mod lexer;
mod library;
mod pool;
mod request;
mod respond;
mod settings;
mod statement;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod wire;

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use library::Library;
pub use library::leave_at_once;
use pool::Pool;

/// The user that the processor is.
pub const WRITER: &str = "concord";
/// The user for everyone else.
pub const READER: &str = "reader";

/// The version of libchdb that is fetched and that this module was tested with.
pub const LIBRARY_VERSION: &str = "26.7.3-stable.1";

/// Where the engine finds its data and whom it serves.
#[derive(Clone, Debug)]
pub struct Options {
    /// libchdb.so; see [`find_library`].
    pub library: PathBuf,
    /// The data directory; made when it is not there. One process at a time holds it.
    pub path: PathBuf,
    /// A loopback address; port 0 takes any free port.
    pub listen: SocketAddr,
    /// The database that requests use when they name none; made when it is not there.
    pub database: String,
    /// Of the user [`WRITER`]; not empty.
    pub writer_password: String,
    /// Of the user [`READER`]; not empty.
    pub reader_password: String,
}

/// Why the engine does not run.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// No libchdb where it could be.
    #[error(
        "no ClickHouse engine found (looked at {looked}). Bring it with `cargo xtask setup`, or run `npm pack \
         @chdb/lib-linux-x64-gnu@{LIBRARY_VERSION}`, unpack it and set CONCORD_LIBCHDB to its libchdb.so; or use a \
         ClickHouse server: clickhouse.kind = \"server\""
    )]
    NotFound {
        /// The places, in order.
        looked: String,
    },
    /// The file is no library that this program can use.
    #[error("{path} cannot be loaded as the ClickHouse engine: {reason}. Wanted is libchdb {LIBRARY_VERSION}")]
    Library {
        /// The file.
        path: PathBuf,
        /// The loader's own words.
        reason: String,
    },
    /// Another process, or another engine of this one, has the data directory open.
    #[error(
        "the data directory {path} is in use by {holder}. Stop that process, or ask it over HTTP instead of opening \
         its directory"
    )]
    InUse {
        /// The data directory.
        path: PathBuf,
        /// Process id and command, as far as known.
        holder: String,
    },
    /// The engine gave no first connection although the directory is free.
    #[error("the ClickHouse engine did not start on {path}; its reason stands on standard error above")]
    Refused {
        /// The data directory.
        path: PathBuf,
    },
    /// The engine started and then could not do what it needs first.
    #[error("the ClickHouse engine cannot prepare its database: {0}")]
    Prepare(String),
    /// The data directory or the address.
    #[error("{what}: {source}")]
    Io {
        /// What was tried, with its object.
        what: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The engine has no encryption, so it stays on this machine.
    #[error("{0} is no loopback address: the embedded ClickHouse listens on 127.0.0.1 or [::1] only")]
    NotLoopback(SocketAddr),
    /// A user without a password would let in every program of this machine.
    #[error("the embedded ClickHouse needs a password for each user")]
    NoPassword,
}

/// Looks for libchdb.so: `configured`, the environment variable CONCORD_LIBCHDB, next to this
/// program, then the user's cache directory.
///
/// # Errors
/// [`EngineError::NotFound`] names every place. A place that was named explicitly (`configured`, the
/// variable) and holds no file is an error at once: silently taking another would surprise.
pub fn find_library(configured: Option<&Path>) -> Result<PathBuf, EngineError> {
    let named = configured.map(Path::to_owned).or_else(|| std::env::var_os("CONCORD_LIBCHDB").map(PathBuf::from));
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| std::env::home_dir().map(|home| home.join(".cache")));
    let places: Vec<PathBuf> = match named {
        Some(named) => vec![named],
        None => [
            std::env::current_exe().ok().map(|program| program.with_file_name("libchdb.so")),
            cache.map(|cache| cache.join("concord/libchdb").join(LIBRARY_VERSION).join("libchdb.so")),
        ]
        .into_iter()
        .flatten()
        .collect(),
    };
    let looked = || places.iter().map(|place| place.display().to_string()).collect::<Vec<_>>().join(", ");
    places.iter().find(|place| place.is_file()).cloned().ok_or_else(|| EngineError::NotFound { looked: looked() })
}

/// A running engine, serving until it is stopped or dropped.
pub struct Engine {
    address: SocketAddr,
    version: String,
    server: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Engine {
    /// Loads the library, opens the data directory and serves. Takes 0.2 s; when another process has
    /// the directory open it waits for it for 10 s, since the lock outlives its process by a second or two.
    ///
    /// # Errors
    /// See [`EngineError`].
    pub async fn start(options: Options) -> Result<Engine, EngineError> {
        Self::start_within(options, LOCK_WAIT).await
    }

    /// As [`Engine::start`], waiting up to `wait` for the directory.
    async fn start_within(options: Options, wait: Duration) -> Result<Engine, EngineError> {
        if !options.listen.ip().is_loopback() {
            return Err(EngineError::NotLoopback(options.listen));
        }
        if options.writer_password.is_empty() || options.reader_password.is_empty() {
            return Err(EngineError::NoPassword);
        }
        let listener = TcpListener::bind(options.listen).await.map_err(|source| EngineError::Io {
            what: format!(
                "cannot listen on {}; if another program or pipeline uses the port, give clickhouse.listen another one \
                     (0 takes any)",
                options.listen
            ),
            source,
        })?;
        let address = listener
            .local_addr()
            .map_err(|source| EngineError::Io { what: "cannot read the address".to_owned(), source })?;
        let (opened, ready) = oneshot::channel();
        let (library, path, database) = (options.library.clone(), options.path.clone(), options.database.clone());
        // A thread of its own: the library's start blocks SIGPIPE in the thread it runs on, and all that
        // such a thread starts would inherit it.
        std::thread::Builder::new()
            .name("clickhouse-start".to_owned())
            .spawn(move || drop(opened.send(open(&library, path, &database, wait))))
            .map_err(|source| EngineError::Io { what: "cannot start a thread".to_owned(), source })?;
        let (pool, claim) = ready.await.map_err(|_| EngineError::Refused { path: options.path.clone() })??;
        let version = claim.version.clone();
        let shared = Arc::new(http::Shared::new(pool, claim, &options));
        let (stop, stopped) = oneshot::channel();
        let server = tokio::spawn(http::serve(listener, shared, stopped));
        Ok(Engine { address, version, server: Some((stop, server)) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The library's version, e.g. `26.7.3`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Takes no more requests, lets those under way end, and closes the engine, so that another process
    /// can open the data directory. Requests that last longer than 10 s are cut off.
    pub async fn stop(mut self) {
        if let Some((stop, server)) = self.server.take() {
            // The server may have ended by itself.
            let _ = stop.send(());
            if server.await.is_err() {
                tracing::warn!("the engine's server ended with a panic");
            }
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Some((stop, _)) = self.server.take() {
            let _ = stop.send(());
        }
    }
}

/// This process's engine: the library has one data directory at a time.
static RUNNING: Mutex<Option<PathBuf>> = Mutex::new(None);

/// Held as long as anything of the engine lives.
struct Claim {
    version: String,
}

impl Drop for Claim {
    fn drop(&mut self) {
        *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

const LOCK_WAIT: Duration = Duration::from_secs(10);
const LOCK_PAUSE: Duration = Duration::from_millis(200);

/// Opens the engine; blocks, up to `wait` for the directory's lock.
fn open(library: &Path, path: PathBuf, database: &str, wait: Duration) -> Result<(Pool, Claim), EngineError> {
    // Bookings are nobody else's business.
    let mut directory = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut directory, 0o700);
    directory
        .recursive(true)
        .create(&path)
        .map_err(|source| EngineError::Io { what: format!("cannot make the directory {}", path.display()), source })?;
    let path = path
        .canonicalize()
        .map_err(|source| EngineError::Io { what: format!("cannot open the directory {}", path.display()), source })?;
    let library = Library::load(library)?;
    let deadline = Instant::now() + wait;
    let claim = loop {
        match claim(&path, library.version()) {
            Err(_) if Instant::now() < deadline => std::thread::sleep(LOCK_PAUSE),
            other => break other?,
        }
    };
    let arguments = match path.to_str() {
        Some(path) => vec![format!("--path={path}")],
        None => {
            let source = std::io::Error::new(std::io::ErrorKind::InvalidInput, "the engine takes only UTF-8 paths");
            return Err(EngineError::Io { what: format!("cannot open the directory {}", path.display()), source });
        }
    };
    let first = [&arguments[..], &server_settings()].concat();
    let first = library.connect(&first).ok_or_else(|| EngineError::Refused { path: path.clone() })?;
    tracing::debug!(library = %library.path().display(), version = claim.version, path = %path.display(), "engine open");
    let pool =
        Pool::new(library, arguments, first, database).map_err(|error| EngineError::Prepare(error.to_string()))?;
    Ok((pool, claim))
}

/// A small server next to a busy process: few background threads, small caches, half of the memory.
fn server_settings() -> Vec<String> {
    [
        "background_pool_size=2",
        "background_merges_mutations_concurrency_ratio=2",
        "background_common_pool_size=2",
        "background_move_pool_size=1",
        "background_fetches_pool_size=1",
        "background_schedule_pool_size=4",
        "background_buffer_flush_schedule_pool_size=1",
        "background_message_broker_schedule_pool_size=1",
        "background_distributed_schedule_pool_size=1",
        "max_thread_pool_free_size=32",
        "max_io_thread_pool_free_size=4",
        "max_server_memory_usage_to_ram_ratio=0.5",
        "mark_cache_size=134217728",
        "uncompressed_cache_size=0",
    ]
    .iter()
    .map(|setting| format!("--{setting}"))
    .collect()
}

/// Takes the directory for this process, if no other engine and no other process has it.
fn claim(path: &Path, version: String) -> Result<Claim, EngineError> {
    let in_use = |holder: String| EngineError::InUse { path: path.to_owned(), holder };
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(other) = &*running {
        return Err(in_use(format!("this process, whose engine is open on {}", other.display())));
    }
    // The engine locks this file; asking first keeps its own complaint off standard error.
    let status = path.join("status");
    if let Ok(file) = File::open(&status)
        && matches!(file.try_lock(), Err(std::fs::TryLockError::WouldBlock))
    {
        return Err(in_use(holder(&status)));
    }
    *running = Some(path.to_owned());
    Ok(Claim { version })
}

/// Who wrote the status file: the process that holds the directory.
fn holder(status: &Path) -> String {
    let text = std::fs::read_to_string(status).unwrap_or_default();
    let Some(pid) = text.lines().find_map(|line| line.strip_prefix("PID: ")).map(str::trim) else {
        return "another process".to_owned();
    };
    match std::fs::read(format!("/proc/{pid}/cmdline")) {
        Ok(command) if !command.is_empty() => {
            let words: Vec<_> = command.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
            format!("process {pid} ({})", words.join(" ").trim())
        }
        _ => format!("process {pid}"),
    }
}
