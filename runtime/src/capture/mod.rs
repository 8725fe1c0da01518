//! Change data capture: what two kinds of databases commit becomes records of the log.
//!
//! ```text
//! first snapshot, then replication (postgres, mysql) -> envelope -> split and append (intake) -> position (memory, slot)
//! ```
//!
//! Writes Debezium's envelope, so that one plugin reads captured and foreign events alike. A record's id is made of its
//! position: one that comes again, since the position is kept after the records, is a `duplicate`. Every initial load raises
//! the epoch, the first number of each revision: after it, whatever a restored or replaced server counts, its rows are newer.
//!
//! Knows databases and how to stay connected to them. Does not know what a column means.

pub mod check;
mod envelope;
mod intake;
mod memory;
mod mysql;
mod postgres;
pub mod progress;
mod snapshot;
mod tls;

use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::config::{Capture as Settings, CapturedDatabase, SourceSettings};
use crate::connect::{DeskError, Pulse, SecretError, read_secret};
use crate::log::{Log, LogError};
use crate::plugin::{HostError, LoadError};
use crate::worker::Shared;
use intake::Intake;
use progress::{Monitor, Progress};

/// The first wait before a database is tried again.
const SOON: Duration = Duration::from_millis(200);
/// And the longest.
const LATE: Duration = Duration::from_secs(30);
/// For a session to end by itself.
const GRACE: Duration = Duration::from_secs(3);
/// The longest wait where somebody waits for the end.
const PATIENCE: Duration = Duration::from_secs(3);

/// Why a capture ended. Messages say what to do; no password is in them.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    #[error(transparent)]
    Password(#[from] SecretError),
    /// The database does not answer, or ended the connection.
    #[error("{0}")]
    Away(String),
    /// It answers, but is not set up for this.
    #[error("{what}: {remedy}")]
    Setup { what: String, remedy: String },
    /// What was read cannot be understood.
    #[error("{0}")]
    Protocol(String),
    /// The changes since the kept position cannot be had any more: everything has to be read anew.
    #[error("{0}")]
    Gap(String),
    #[error("{path}: {error}; this folder has to be writable, it keeps how far the capture is")]
    Memory { path: PathBuf, error: std::io::Error },
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("the source is not in the configuration in force: `concord apply` puts it there")]
    NoSource,
    #[error("the source's plugin cannot be loaded: {0}")]
    Load(#[from] LoadError),
    #[error(transparent)]
    Host(#[from] HostError),
}

impl CaptureError {
    fn setup(what: impl Into<String>, remedy: impl Into<String>) -> CaptureError {
        CaptureError::Setup { what: what.into(), remedy: remedy.into() }
    }
}

impl From<DeskError> for CaptureError {
    fn from(error: DeskError) -> CaptureError {
        match error {
            // Whoever captures has waited for it.
            DeskError::NotYet => CaptureError::Away(error.to_string()),
            DeskError::NoSource => CaptureError::NoSource,
            DeskError::Load(error) => CaptureError::Load(error),
            DeskError::Host(error) => CaptureError::Host(error),
        }
    }
}

/// Why a session ended without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// Somebody wants it so.
    Stopped,
    /// What was committed when the session began has been taken.
    Caught,
}

/// What one source's session knows and needs.
struct Job<L> {
    name: Arc<str>,
    settings: Settings,
    password: String,
    /// Of this machine: what is known about this capture.
    memory: PathBuf,
    intake: Intake<L>,
    /// End once everything that was committed at the beginning is taken.
    until_caught: bool,
    stop: watch::Receiver<bool>,
    progress: Arc<Progress>,
    /// This session came as far as reading changes: the next failure is a new one.
    worked: bool,
}

/// The captures of a process. Dropping it ends them at once.
pub struct Captures {
    pulses: Vec<Arc<Pulse>>,
    monitors: Vec<Monitor>,
    tasks: JoinSet<Result<(), (Arc<str>, CaptureError)>>,
    stop: watch::Sender<bool>,
}

impl Captures {
    /// Reads the passwords and begins to capture each source that has a database. With `until_caught` the process is kept
    /// from being idle until each has taken what was committed before.
    ///
    /// # Errors
    /// A password that cannot be read, and whose it is.
    pub fn start<L: Log>(
        sources: &[SourceSettings],
        data_dir: &Path,
        shared: &Arc<Shared<L>>,
        until_caught: bool,
    ) -> Result<Captures, (Arc<str>, CaptureError)> {
        let (stop, stopped) = watch::channel(false);
        let mut captures = Captures { pulses: Vec::new(), monitors: Vec::new(), tasks: JoinSet::new(), stop };
        for source in sources {
            let Some(settings) = &source.capture else { continue };
            let name = source.name.clone();
            let password = password(settings).map_err(|why| (name.clone(), why))?;
            let pulse = Pulse::new(name.clone(), "capture");
            captures.pulses.push(pulse.clone());
            let progress = Progress::new(&name, settings);
            let (settings, known) = (settings.clone(), password.clone());
            captures.monitors.push(Monitor { settings: settings.clone(), password: known, progress: progress.clone() });
            let job = Job {
                intake: Intake::new(name.clone(), shared.clone(), pulse),
                memory: memory_file(data_dir, &name),
                settings,
                password,
                until_caught,
                stop: stopped.clone(),
                progress,
                worked: false,
                name,
            };
            let held = until_caught.then(|| shared.hold());
            captures.tasks.spawn(async move {
                let _held = held;
                keep(job).await
            });
        }
        Ok(captures)
    }

    /// Whoever wants to know how far they are asks these.
    pub fn monitors(&self) -> Vec<Monitor> {
        self.monitors.clone()
    }

    /// What their heartbeats are made of.
    pub fn pulses(&self) -> Vec<Arc<Pulse>> {
        self.pulses.clone()
    }

    /// The first capture that failed for good: there is one only where [`Captures::start`] was told to end.
    pub async fn failed(&mut self) -> (Arc<str>, CaptureError) {
        while let Some(ended) = self.tasks.join_next().await {
            match ended {
                Ok(Ok(())) => {}
                Ok(Err(failed)) => return failed,
                Err(error) => return ("?".into(), CaptureError::Protocol(format!("a capture broke off: {error}"))),
            }
        }
        std::future::pending().await
    }

    /// Ends them; what they have read is in the log then, and their positions are kept.
    pub async fn close(mut self) {
        // Nobody listens any more only if all have ended by themselves.
        let _ = self.stop.send(true);
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(Duration::from_secs(5), all).await.is_err() {
            tracing::warn!("a capture did not end in time; it will repeat a little");
        }
    }
}

/// Where this machine remembers a source's capture.
fn memory_file(data_dir: &Path, source: &str) -> PathBuf {
    data_dir.join("capture").join(format!("{source}.json"))
}

/// One session after the other, until it is to end.
async fn keep<L: Log>(job: Job<L>) -> Result<(), (Arc<str>, CaptureError)> {
    let progress = job.progress.clone();
    let ended = sessions(job).await;
    progress.stops();
    ended
}

async fn sessions<L: Log>(mut job: Job<L>) -> Result<(), (Arc<str>, CaptureError)> {
    let mut wait = SOON;
    loop {
        job.worked = false;
        let mut stop = job.stop.clone();
        // What a server sends is read by code of others: where it breaks, this source alone starts again.
        let session = AssertUnwindSafe(session(&mut job)).catch_unwind();
        let ended = tokio::select! {
            ended = session => ended.unwrap_or_else(|_| Err(CaptureError::Protocol("the capture broke off".to_owned()))),
            // A session that reads looks for itself, and keeps its position; this ends one that waits for a server.
            () = async { stopped(&mut stop).await; tokio::time::sleep(GRACE).await } => Ok(Ended::Stopped),
        };
        job.intake.pulse.alive(false);
        match ended {
            Ok(Ended::Stopped | Ended::Caught) => return Ok(()),
            // A server that starts, or still has the connection of a process that was killed, is given some seconds.
            Err(error) if job.until_caught && (wait > PATIENCE || !matches!(error, CaptureError::Away(_))) => {
                return Err((job.name, error));
            }
            Err(error) => {
                job.progress.fails(&error);
                if job.worked {
                    wait = SOON;
                }
                let after = wait.as_secs_f32();
                match error {
                    CaptureError::Setup { .. } | CaptureError::Gap(_) | CaptureError::NoSource => {
                        tracing::error!(source = %job.name, "nothing is captured: {error}; trying again in {after} s");
                    }
                    _ => tracing::warn!(source = %job.name, "{error}; trying again in {after} s"),
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stopped(&mut stop) => return Ok(()),
        }
        wait = (wait * 2).min(LATE);
    }
}

/// Ends when somebody wants an end.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // Without a sender the process ends.
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn session<L: Log>(job: &mut Job<L>) -> Result<Ended, CaptureError> {
    match job.settings.database.clone() {
        CapturedDatabase::Postgres { database, publication, slot } => {
            postgres::session(job, &database, &publication, &slot).await
        }
        CapturedDatabase::MySql { server_id } => mysql::session(job, server_id).await,
    }
}

/// The password as the connection needs it; empty where there is none.
fn password(settings: &Settings) -> Result<String, CaptureError> {
    let Some(place) = &settings.password else { return Ok(String::new()) };
    let secret = read_secret(place)?;
    String::from_utf8(secret.bytes().to_vec())
        .map_err(|_| CaptureError::setup(format!("{place} holds no text"), "write the password into it"))
}

/// Where somebody who has to change it finds it.
fn place_of_password(settings: &Settings) -> String {
    match &settings.password {
        None => "user: there is no password_file or password_env".to_owned(),
        Some(place) => format!("the password in {place}"),
    }
}
