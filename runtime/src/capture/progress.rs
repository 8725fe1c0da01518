//! How far captures are, for people: noted as it happens, told when somebody asks.
//!
//! Where the database's own log ends is asked only then, on a connection of its own: following costs nothing more for it. Nothing
//! here decides anything.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::memory::{Memory, Stage};
use super::{CaptureError, mysql, postgres};
use crate::config::{Capture as Settings, CapturedDatabase};
use crate::worker::now_millis;

/// For the database to say where its log ends.
const ANSWER: Duration = Duration::from_secs(3);

/// What a capture is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CaptureState {
    #[default]
    Connecting,
    /// The initial load.
    Loading,
    /// It reads changes as they are committed.
    Following,
    /// It cannot; it tries again, less and less often.
    Failing,
    /// Nobody captures: the pipeline does not run here, or the capture has ended.
    Stopped,
}

impl CaptureState {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            CaptureState::Connecting => "connecting",
            CaptureState::Loading => "loading",
            CaptureState::Following => "following",
            CaptureState::Failing => "failing",
            CaptureState::Stopped => "stopped",
        }
    }
}

/// One source's capture. Times are milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureStatus {
    pub source: String,
    /// Which database, and where.
    pub database: String,
    pub state: CaptureState,
    /// In the database's log: everything before it is durable in Concord's.
    pub position: Option<String>,
    /// Where the database's log ends, if it could be asked.
    pub end: Option<String>,
    /// Bytes of the database's log between the two, where they can be counted; most of them may be about other tables.
    pub behind_bytes: Option<u64>,
    /// When the last change that was taken was committed, by the database's clock. MySQL tells seconds.
    pub last_change: Option<i64>,
    /// Until that change was durable in Concord's log, milliseconds.
    pub delay_millis: Option<i64>,
    /// Since this process began.
    pub records: u64,
    /// Why it fails, and since when.
    pub error: Option<String>,
    pub failing_since: Option<i64>,
}

/// What one capture notes about itself.
#[derive(Debug)]
pub(super) struct Progress(Mutex<CaptureStatus>);

impl Progress {
    pub fn new(source: &str, settings: &Settings) -> Arc<Progress> {
        Arc::new(Progress(Mutex::new(described(source, settings))))
    }

    fn noted(&self) -> MutexGuard<'_, CaptureStatus> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It has come so far that it works.
    pub fn works(&self, state: CaptureState) {
        let mut noted = self.noted();
        noted.state = state;
        (noted.error, noted.failing_since) = (None, None);
    }

    /// A session has failed; the next one comes by itself.
    pub fn fails(&self, error: &CaptureError) {
        let mut noted = self.noted();
        noted.state = CaptureState::Failing;
        noted.error = Some(error.to_string());
        noted.failing_since.get_or_insert_with(now_millis);
    }

    pub fn stops(&self) {
        self.noted().state = CaptureState::Stopped;
    }

    /// An initial load has come so far.
    pub fn loads(&self, records: u64) {
        self.noted().records = records;
    }

    /// Everything before `position` is durable; `committed`, if a change was among it, is the last one's time.
    pub fn takes(&self, position: String, committed: Option<i64>, records: u64) {
        let mut noted = self.noted();
        (noted.position, noted.records) = (Some(position), records);
        if let Some(committed) = committed {
            noted.last_change = Some(committed);
            // Two clocks: the other one may be ahead.
            noted.delay_millis = Some(now_millis().saturating_sub(committed).max(0));
        }
    }
}

/// Tells how far one capture is.
#[derive(Clone)]
pub struct Monitor {
    pub(super) settings: Settings,
    pub(super) password: String,
    pub(super) progress: Arc<Progress>,
}

impl Monitor {
    /// What is known, with the end of the database's log if it answers soon.
    pub async fn status(&self) -> CaptureStatus {
        let mut status = self.progress.noted().clone();
        // One that fails says why; asking once more would only take time.
        if !matches!(status.state, CaptureState::Loading | CaptureState::Following) {
            return status;
        }
        let position = status.position.clone();
        if let Ok(Ok((end, behind))) = tokio::time::timeout(ANSWER, self.end(position.as_deref())).await {
            (status.end, status.behind_bytes) = (Some(end), behind);
        }
        status
    }

    async fn end(&self, position: Option<&str>) -> Result<(String, Option<u64>), CaptureError> {
        match &self.settings.database {
            CapturedDatabase::Postgres { database, .. } => {
                postgres::end(&self.settings, database, &self.password, position).await
            }
            CapturedDatabase::MySql { .. } => mysql::end(&self.settings, &self.password, position).await,
        }
    }
}

fn described(source: &str, settings: &Settings) -> CaptureStatus {
    let database = match &settings.database {
        CapturedDatabase::Postgres { database, .. } => {
            format!("PostgreSQL {database} at {}", postgres::place(settings))
        }
        CapturedDatabase::MySql { .. } => format!("MySQL at {}", mysql::place(settings)),
    };
    CaptureStatus { source: source.to_owned(), database, ..CaptureStatus::default() }
}

/// What a machine remembers of a capture while nobody captures.
pub fn remembered(source: &str, settings: &Settings, data_dir: &Path) -> CaptureStatus {
    let memory = Memory::read(&super::memory_file(data_dir, source));
    let position = match (&settings.database, memory.map(|memory| memory.stage)) {
        (_, Some(Stage::Following { position: Some(position) })) => Some(position.to_string()),
        // The server keeps it.
        (CapturedDatabase::Postgres { slot, .. }, Some(Stage::Following { .. })) => Some(format!("slot {slot}")),
        _ => None,
    };
    CaptureStatus { state: CaptureState::Stopped, position, ..described(source, settings) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::CaptureTls;

    fn settings() -> Settings {
        Settings {
            database: CapturedDatabase::MySql { server_id: 7 },
            host: "127.0.0.1".into(),
            port: 3306,
            user: "concord".into(),
            password: None,
            tables: Vec::new(),
            tls: CaptureTls::Off,
            heartbeat: Duration::from_secs(10),
        }
    }

    #[test]
    fn a_failure_is_told_from_its_beginning_until_it_works_again() {
        let progress = Progress::new("legacy", &settings());
        progress.works(CaptureState::Following);
        progress.takes("bin.000003:484".into(), Some(now_millis() + 60_000), 7);
        progress.fails(&CaptureError::Away("no route".into()));
        let first = progress.noted().clone();
        progress.fails(&CaptureError::Away("no route to host".into()));
        let second = progress.noted().clone();
        assert_eq!((second.state, second.failing_since), (CaptureState::Failing, first.failing_since));
        assert_eq!(second.error.as_deref(), Some("no route to host"));
        assert_eq!((second.position.as_deref(), second.delay_millis), (Some("bin.000003:484"), Some(0)));
        progress.works(CaptureState::Following);
        let again = progress.noted().clone();
        assert_eq!((again.error, again.failing_since, again.records), (None, None, 7));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_remembered_is_told_while_nobody_captures() {
        let folder = tempfile::tempdir().unwrap();
        let told = remembered("legacy", &settings(), folder.path());
        assert_eq!((told.database.as_str(), told.state), ("MySQL at 127.0.0.1:3306", CaptureState::Stopped));
        assert_eq!(told.position, None);
        let mut memory = Memory::loading(None, "s", crate::log::Identity { id: "l".into(), partitions: 1 });
        let position = super::super::memory::BinlogPosition { file: "bin.000003".into(), pos: 484 };
        memory.stage = Stage::Following { position: Some(position) };
        memory.write(&folder.path().join("capture/legacy.json")).unwrap();
        assert_eq!(remembered("legacy", &settings(), folder.path()).position.as_deref(), Some("bin.000003:484"));
    }
}
