//! Connectors: sources that come in by themselves.
//!
//! ```text
//! folder, poll (gateway stands beside them) -> desk (split, under the configuration in force) -> gathered -> log
//!                                                                       pulse (what was heard) -> heartbeats -> log
//! ```
//!
//! What a source says becomes a record with an id that stays the same when it is said again, and nothing is put away before it
//! is durable; so a crash at any place costs a repetition, which is a duplicate. Does not know formats, nor what becomes
//! of records.

pub(crate) mod body;
mod desk;
mod folder;
mod gathered;
mod poll;
mod pulse;
mod secret;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

pub use desk::{Desk, DeskError};
pub use folder::{FolderError, content_type_of};
pub use gathered::Gathered;
pub use poll::PollError;
pub use pulse::{Pulse, beat};
pub use secret::{Secret, SecretError, Secrets, read_secret};

use crate::config::SourceSettings;
use crate::log::Log;
use crate::plugin::Host;
use crate::worker::InForce;

/// Why a connector cannot begin, with the remedy.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("source {name}: {why}")]
    Folder { name: Arc<str>, why: FolderError },
    #[error("source {name}: {why}")]
    Poll { name: Arc<str>, why: PollError },
}

/// What connectors need of the process that they live in.
pub struct Place<'a, L> {
    pub log: Arc<L>,
    pub host: &'a Host,
    pub in_force: watch::Receiver<Option<Arc<InForce>>>,
    /// Of this pipeline on this machine: what endpoints have told so far is remembered here.
    pub data_dir: &'a Path,
}

/// The folders and endpoints of a pipeline at work; dropping them ends them at once.
pub struct Connectors {
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    pulses: Vec<Arc<Pulse>>,
}

impl Connectors {
    /// Looks at folders, secrets and remembered places, and begins.
    ///
    /// # Errors
    /// Whatever keeps one of them from beginning at all. What goes wrong later is said in the process's own log and tried
    /// again.
    pub fn open<L: Log>(sources: &[SourceSettings], place: &Place<'_, L>) -> Result<Connectors, OpenError> {
        let (stop, stopped) = watch::channel(false);
        let mut connectors = Connectors { stop, tasks: JoinSet::new(), pulses: Vec::new() };
        let partitions = place.log.identity().partitions;
        for source in sources {
            let name = &source.name;
            let inlet = |kind: &'static str| Inlet {
                log: place.log.clone(),
                desk: Arc::new(Desk::new(name.clone(), place.host.clone(), partitions, place.in_force.clone())),
                pulse: Pulse::new(name.clone(), kind),
            };
            if let Some(settings) = &source.folder {
                let inlet = inlet("folder");
                connectors.pulses.push(inlet.pulse.clone());
                let watched = folder::Watch::open(settings.clone(), inlet, stopped.clone());
                let watched = watched.map_err(|why| OpenError::Folder { name: name.clone(), why })?;
                connectors.tasks.spawn(watched.run());
            }
            if let Some(settings) = &source.poll {
                let inlet = inlet("poll");
                connectors.pulses.push(inlet.pulse.clone());
                let asked = poll::Asking::open(settings.clone(), inlet, place.data_dir, stopped.clone());
                let asked = asked.map_err(|why| OpenError::Poll { name: name.clone(), why })?;
                connectors.tasks.spawn(asked.run());
            }
        }
        Ok(connectors)
    }

    /// Of each of them.
    pub fn pulses(&self) -> Vec<Arc<Pulse>> {
        self.pulses.clone()
    }

    /// Begins nothing more, and waits until what was begun is in the log or given up: it begins anew at the next start.
    pub async fn close(mut self) {
        // Nobody listens any more only if all have ended by themselves.
        let _ = self.stop.send(true);
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!("a connector ended before its time: {error}");
            }
        }
    }
}

/// One source's way into the log.
pub(crate) struct Inlet<L> {
    log: Arc<L>,
    desk: Arc<Desk>,
    pulse: Arc<Pulse>,
}

/// Waits for this time, or until told to stop; says whether to go on.
async fn rest(time: Duration, stop: &mut watch::Receiver<bool>) -> bool {
    tokio::select! {
        () = tokio::time::sleep(time) => true,
        // Also when nobody is left to tell.
        _ = stop.wait_for(|stop| *stop) => false,
    }
}

/// The pause after this many failures in a row of what is otherwise done `every` so often: twice as long each time, from
/// a second at most to five minutes.
fn backoff(every: Duration, failures: u32) -> Duration {
    let first = every.min(Duration::from_secs(1));
    first.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(Duration::from_secs(300))
}
