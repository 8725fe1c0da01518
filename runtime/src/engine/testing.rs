//! An engine for tests: alone in its process, in a directory of its own.
//!
//! The library has one data directory per process, so tests take turns.

use std::net::SocketAddr;
use std::path::Path;

use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

use super::{Engine, Options, find_library};

static TURN: Mutex<()> = Mutex::const_new(());

pub(crate) const WRITER_PASSWORD: &str = "writer's own";
pub(crate) const READER_PASSWORD: &str = "reader's own";
pub(crate) const DATABASE: &str = "concord";

/// A running engine; the next test's turn comes when it is gone.
pub(crate) struct TestEngine {
    pub engine: Option<Engine>,
    pub address: SocketAddr,
    pub directory: TempDir,
    _turn: MutexGuard<'static, ()>,
}

/// Starts one; `None`, with a printed line, when this machine has no libchdb.
pub(crate) async fn start() -> Option<TestEngine> {
    if find_library(None).is_err() {
        println!("skipped: no libchdb");
        return None;
    }
    let turn = TURN.lock().await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let engine = Engine::start(options(directory.path())).await.expect("the engine starts");
    Some(TestEngine { address: engine.address(), engine: Some(engine), directory, _turn: turn })
}

pub(crate) fn options(path: &Path) -> Options {
    Options {
        library: find_library(None).expect("libchdb"),
        path: path.join("clickhouse"),
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        database: DATABASE.to_owned(),
        writer_password: WRITER_PASSWORD.to_owned(),
        reader_password: READER_PASSWORD.to_owned(),
    }
}

/// The processor's client of the engine at this address.
pub(crate) fn writer(address: SocketAddr) -> clickhouse::Client {
    client(address, super::WRITER, WRITER_PASSWORD)
}

fn client(address: SocketAddr, user: &str, password: &str) -> clickhouse::Client {
    clickhouse::Client::default()
        .with_url(format!("http://{address}"))
        .with_user(user)
        .with_password(password)
        .with_database(DATABASE)
}

impl TestEngine {
    /// The processor's client.
    pub(crate) fn writer(&self) -> clickhouse::Client {
        writer(self.address)
    }

    pub(crate) fn reader(&self) -> clickhouse::Client {
        client(self.address, super::READER, READER_PASSWORD)
    }

    /// Stops the engine and starts it again on the same directory.
    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        let engine = Engine::start(options(self.directory.path())).await.expect("the engine starts again");
        self.address = engine.address();
        self.engine = Some(engine);
    }

    /// To be called at the end of a test, so that the next one need not wait for the directory's lock.
    pub(crate) async fn stop(&mut self) {
        if let Some(engine) = self.engine.take() {
            engine.stop().await;
        }
    }
}
