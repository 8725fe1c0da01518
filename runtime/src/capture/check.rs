//! Whether a database is set up for being captured, and what to run where it is not.
//!
//! Changes nothing. Knows findings; what there is to look at, the modules of the databases know.

use serde::Serialize;

use super::{CaptureError, mysql, postgres};
use crate::config::{Capture, CapturedDatabase, TableName};

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Fine,
    /// Worth knowing; nothing has to be done.
    Note,
    /// Has to be repaired.
    Finding,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checked {
    pub state: State,
    pub what: String,
    /// To paste into the database's console, or to write into its configuration, line by line.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub repair: Vec<String>,
}

impl Checked {
    pub(super) fn fine(what: impl Into<String>) -> Checked {
        Checked { state: State::Fine, what: what.into(), repair: Vec::new() }
    }

    pub(super) fn note(what: impl Into<String>) -> Checked {
        Checked { state: State::Note, what: what.into(), repair: Vec::new() }
    }

    pub(super) fn finding(what: impl Into<String>, repair: &[&str]) -> Checked {
        let repair = repair.iter().map(|line| (*line).to_owned()).collect();
        Checked { state: State::Finding, what: what.into(), repair }
    }

    /// A setting that has to have one value.
    pub(super) fn setting(name: &str, found: &str, wanted: &str, repair: &[&str]) -> Checked {
        match found.eq_ignore_ascii_case(wanted) {
            true => Checked::fine(format!("{name} is {wanted}")),
            false => Checked::finding(format!("{name} is {found}, {wanted} is needed"), repair),
        }
    }
}

/// What a source's settings say about its tables, as far as the database has to know.
#[derive(Clone, Debug, Default)]
pub(super) struct Mapped {
    still: Vec<String>,
}

impl Mapped {
    /// From the source's settings, a JSON object.
    fn of(settings: &str) -> Mapped {
        let settings: serde_json::Value = serde_json::from_str(settings).unwrap_or_default();
        let tables = settings["tables"].as_array().map(Vec::as_slice).unwrap_or_default();
        let still = |table: &&serde_json::Value| table["moves"] == serde_json::Value::Bool(false);
        let name = |table: &serde_json::Value| Some(table["table"].as_str()?.to_owned());
        Mapped { still: tables.iter().filter(still).filter_map(name).collect() }
    }

    /// Whether its rows always speak about the same: updates need not tell what was before.
    pub fn is_still(&self, table: &TableName) -> bool {
        let full = table.to_string();
        self.still.iter().any(|name| *name == full || *name == table.name || name.ends_with(&format!(".{full}")))
    }
}

/// Looks at a source's database. `settings` are the source's, a JSON object.
///
/// # Errors
/// It cannot be looked at: no password, no connection.
pub async fn check(capture: &Capture, settings: &str) -> Result<Vec<Checked>, CaptureError> {
    let password = super::password(capture)?;
    let mapped = Mapped::of(settings);
    match &capture.database {
        CapturedDatabase::Postgres { database, publication, slot } => {
            postgres::check::check(capture, &password, database, publication, slot, &mapped).await
        }
        CapturedDatabase::MySql { .. } => mysql::check::check(capture, &password).await,
    }
}
