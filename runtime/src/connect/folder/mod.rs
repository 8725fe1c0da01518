//! A watched folder: each file becomes deliveries, and is put away when they are durable.
//!
//! ```text
//! NAME (still) -> .taken/NAME -> in the log -> done/NAME
//!                                           -> failed/NAME, failed/NAME.reason.txt
//! ```
//!
//! A file is taken by renaming it: nobody writes into it any more, and after a crash it is found there and read again, under
//! the same ids. Knows when a file is taken and where it ends; `files` knows the folder, `pieces` what is in a file.

mod files;
mod pieces;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use self::files::{Still, Taken};
pub use self::pieces::content_type_of;
use self::pieces::{Pieces, ReadError};
use super::desk::{Desk, DeskError};
use super::{Gathered, Inlet, backoff, rest};
use crate::config::Folder;
use crate::deliver::Masked;
use crate::event::sha256_hex;
use crate::log::{Log, LogError};
use crate::plugin::Delivery;
use crate::worker::now_millis;

/// How often what was kept for long enough is deleted.
const TIDYING: Duration = Duration::from_secs(600);
/// Reasons that are written down for one file.
const REASONS: usize = 100;

/// Why a folder cannot be watched, or a file of it not be taken now.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    #[error("{} cannot be {what}: {why}", path.display())]
    Files { path: PathBuf, what: &'static str, why: std::io::Error },
    #[error("{} and {} are on different file systems: files are moved from one to the other", one.display(), other.display())]
    Apart { one: PathBuf, other: PathBuf },
    #[error(transparent)]
    Desk(#[from] DeskError),
    #[error("the log does not take anything: {0}")]
    Log(#[from] LogError),
    #[error("a file could not be looked at: {0}")]
    Task(String),
}

/// One source's folder.
pub(super) struct Watch<L> {
    settings: Arc<Folder>,
    inlet: Inlet<L>,
    stop: watch::Receiver<bool>,
    still: Still,
    /// When the folders of what is put away were last looked through.
    tidied: Option<Instant>,
}

/// What became of a file's deliveries so far.
#[derive(Debug, Default)]
struct Tally {
    deliveries: u64,
    records: u64,
    masked: Masked,
    /// Deliveries of which nothing could be made, or not everything.
    wrong: u64,
    reasons: Vec<String>,
}

impl Tally {
    fn wrong(&mut self, reason: String) {
        self.wrong += 1;
        if self.reasons.len() < REASONS {
            self.reasons.push(reason);
        }
    }
}

/// A file that is being read.
struct Reading {
    name: String,
    pieces: Pieces,
    tally: Tally,
    gathered: Gathered,
    heard: std::collections::BTreeSet<Arc<str>>,
    ended: bool,
}

impl<L: Log> Watch<L> {
    /// Makes the folders that are not there.
    pub fn open(settings: Folder, inlet: Inlet<L>, stop: watch::Receiver<bool>) -> Result<Watch<L>, FolderError> {
        files::prepare(&settings)?;
        Ok(Watch { settings: Arc::new(settings), inlet, stop, still: Still::default(), tidied: None })
    }

    /// Until told to stop.
    pub async fn run(mut self) {
        let mut failures = 0;
        loop {
            let round = self.round().await;
            self.inlet.pulse.alive(round.is_ok());
            let wait = match round {
                Ok(()) => {
                    failures = 0;
                    self.settings.every
                }
                Err(why) => {
                    failures += 1;
                    let path = self.settings.path.display();
                    // At the start there is a moment without a configuration.
                    if failures > 1 || !matches!(why, FolderError::Desk(DeskError::NotYet)) {
                        tracing::warn!("{path}: trying again: {why}");
                    }
                    backoff(self.settings.every, failures)
                }
            };
            if !rest(wait, &mut self.stop).await {
                return;
            }
        }
    }

    /// Takes all that is complete, in the order of its last changes.
    async fn round(&mut self) -> Result<(), FolderError> {
        // What was taken and not put away comes first: it is older.
        for taken in self.blocking(|settings, _| files::taken(settings)).await? {
            if !self.file(taken).await? {
                return Ok(());
            }
        }
        for name in self.blocking(|settings, still| files::complete(settings, still, Instant::now())).await? {
            let Some(taken) = self.blocking(move |settings, _| files::take(settings, &name)).await? else { continue };
            if !self.file(taken).await? {
                return Ok(());
            }
        }
        // They may hold very many.
        if self.tidied.is_none_or(|tidied| tidied.elapsed() >= TIDYING) {
            self.blocking(|settings, _| files::tidy(settings, std::time::SystemTime::now())).await?;
            self.tidied = Some(Instant::now());
        }
        Ok(())
    }

    /// Off the threads that serve everything else.
    async fn blocking<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&Folder, &mut Still) -> Result<T, FolderError> + Send + 'static,
    ) -> Result<T, FolderError> {
        let (settings, mut still) = (self.settings.clone(), std::mem::take(&mut self.still));
        let work = move || {
            let done = work(&settings, &mut still);
            (done, still)
        };
        let (done, still) =
            tokio::task::spawn_blocking(work).await.map_err(|error| FolderError::Task(error.to_string()))?;
        self.still = still;
        done
    }

    /// One file into the log, and away. `false` if told to stop before its end: it stays taken.
    async fn file(&mut self, taken: Taken) -> Result<bool, FolderError> {
        let tally = match self.deliver(&taken).await? {
            Some(tally) => tally,
            None => return Ok(false),
        };
        let name = taken.name.to_string_lossy().into_owned();
        let Tally { deliveries, records, wrong, masked, .. } = &tally;
        if *wrong == 0 {
            tracing::info!("{name}: {deliveries} deliveries, {records} records in the log");
        } else {
            tracing::warn!(
                "{name}: {wrong} of {deliveries} deliveries are wrong; the file is in failed, with the reasons"
            );
        }
        if masked.any() {
            tracing::warn!(
                "{name}: masked before the log: {} card numbers, {} security codes",
                masked.cards,
                masked.codes
            );
        }
        self.blocking(move |settings, _| match tally.wrong {
            0 => files::put_away(&settings.done, &taken),
            _ => {
                files::write_reason(&settings.failed, &taken, &reason(&tally))?;
                files::put_away(&settings.failed, &taken)
            }
        })
        .await?;
        Ok(true)
    }

    /// `None` if told to stop before the end.
    async fn deliver(&mut self, taken: &Taken) -> Result<Option<Tally>, FolderError> {
        let opened = {
            let taken = taken.clone();
            self.blocking(move |settings, _| Ok(Pieces::open(&taken, settings))).await?
        };
        let unreadable = |why| FolderError::Files { path: taken.path.clone(), what: "read", why };
        let mut reading = Reading {
            name: taken.id(),
            pieces: match opened {
                Ok(pieces) => pieces,
                // Somebody else has taken it out of our hands: there is nothing to put away.
                Err(why) => return Err(unreadable(why)),
            },
            tally: Tally::default(),
            gathered: Gathered::default(),
            heard: Default::default(),
            ended: false,
        };
        while !reading.ended {
            let (desk, settings) = (self.inlet.desk.clone(), self.settings.clone());
            let step = tokio::task::spawn_blocking(move || step(&desk, &settings, reading)).await;
            reading = match step.map_err(|error| FolderError::Task(error.to_string()))? {
                Ok(reading) => reading,
                Err(StepError::Desk(why)) => return Err(why.into()),
                Err(StepError::Read(why)) => return Err(unreadable(why)),
            };
            std::mem::take(&mut reading.gathered).append(&*self.inlet.log).await?;
            self.inlet.pulse.hear(std::mem::take(&mut reading.heard));
            if *self.stop.borrow() && !reading.ended {
                return Ok(None);
            }
        }
        Ok(Some(reading.tally))
    }
}

enum StepError {
    Desk(DeskError),
    Read(std::io::Error),
}

/// Reads and splits until there is enough for an append, or the file ends.
fn step(desk: &Desk, settings: &Folder, mut reading: Reading) -> Result<Reading, StepError> {
    while !reading.gathered.is_full() {
        let (place, body) = match reading.pieces.next() {
            Ok(Some(piece)) => piece,
            Ok(None) => {
                reading.ended = true;
                break;
            }
            Err(ReadError::Unfit(why)) => {
                reading.tally.wrong(format!("{why}; nothing from here on is in the log"));
                reading.ended = true;
                break;
            }
            Err(ReadError::Io(why)) => return Err(StepError::Read(why)),
        };
        let content_type = reading.pieces.content_type().to_owned();
        let delivery = Delivery { content_type, attributes: settings.attributes.clone(), body };
        // The content as well: some who write files set the same time on all of them.
        let print = sha256_hex(&delivery.body);
        let id = format!("{}:{place}-{}", reading.name, &print[..12]);
        let delivered = desk.deliver(delivery, Some(&id), now_millis()).map_err(StepError::Desk)?;
        let tally = &mut reading.tally;
        tally.deliveries += 1;
        tally.masked.add(delivered.masked);
        let line = if place == 0 { String::new() } else { format!("line {place}: ") };
        if let Some(reason) = delivered.rejected {
            tally.wrong(format!("{line}{reason} (it is among the dead letters)"));
        } else if !delivered.refused.is_empty() {
            tally.wrong(format!("{line}not in the log: {}", delivered.refused.join("; ")));
        }
        tally.records += delivered.records.len() as u64;
        delivered.records.into_iter().for_each(|(partition, record)| reading.gathered.add(partition, record));
        reading.heard.extend(delivered.heard);
    }
    Ok(reading)
}

/// What the file beside a failed one says.
fn reason(tally: &Tally) -> String {
    let Tally { deliveries, records, wrong, reasons, .. } = tally;
    let mut text = format!("{deliveries} deliveries, {records} records in the log, {wrong} wrong\n\n");
    reasons.iter().for_each(|reason| text.extend([reason.as_str(), "\n"]));
    let more = wrong.saturating_sub(reasons.len() as u64);
    if more > 0 {
        text.push_str(&format!("... and {more} more\n"));
    }
    text.push_str(
        "\nPut into the watched folder again, the file is read from its beginning: unchanged, what was taken is a duplicate; \
         changed, all of it counts as said anew.\n",
    );
    text
}
