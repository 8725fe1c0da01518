//! What a capture remembers over a restart, in a file of the data directory.
//!
//! PostgreSQL keeps the position itself, in the slot; MySQL keeps none, so that it stands here. A file and not a record of the log:
//! it is rewritten a few times a second, no decision depends on it, and losing it costs one initial load and nothing else, since an
//! initial load raises the epoch and says what is there no more. It is replaced whole and synced; one that cannot be read counts
//! as lost.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::CaptureError;
use crate::config::TableName;
use crate::log::Identity;

/// What is known about one capture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Memory {
    /// Of this layout.
    version: u32,
    /// Which server: another one counts positions of its own.
    pub server: String,
    /// The log that holds the records so far.
    pub log: Identity,
    /// Raised by every initial load. Milliseconds since 1970-01-01T00:00:00Z, unless the clock went back.
    pub epoch: u64,
    /// Those of the last initial load, with their columns as they are now.
    pub tables: BTreeMap<String, Vec<String>>,
    pub stage: Stage,
}

/// How far it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stage {
    /// An initial load has begun. The log may have its beginning for these properties, in the source's codes.
    Loading { begun: BTreeSet<String> },
    /// Changes are read.
    Following { position: Option<BinlogPosition> },
}

/// A place between two transactions of a binlog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BinlogPosition {
    pub file: String,
    /// In bytes.
    pub pos: u64,
}

impl std::fmt::Display for BinlogPosition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file, self.pos)
    }
}

impl Memory {
    const VERSION: u32 = 1;

    /// At the beginning of an initial load, after `before`.
    pub fn loading(before: Option<&Memory>, server: &str, log: Identity) -> Memory {
        let now = u64::try_from(crate::worker::now_millis()).unwrap_or(0);
        let begun = match before {
            // Only in the same log can something have begun.
            Some(Memory { stage: Stage::Loading { begun }, log: known, .. }) if *known == log => begun.clone(),
            _ => BTreeSet::new(),
        };
        Memory {
            version: Memory::VERSION,
            server: server.to_owned(),
            log,
            epoch: before.map_or(now, |before| now.max(before.epoch + 1)),
            tables: BTreeMap::new(),
            stage: Stage::Loading { begun },
        }
    }

    /// What is remembered; `None` if nothing is, or nothing that can be read.
    pub fn read(path: &Path) -> Option<Memory> {
        let text = std::fs::read(path).ok()?;
        let memory: Memory = match serde_json::from_slice(&text) {
            Ok(memory) => memory,
            Err(why) => {
                tracing::warn!("{} cannot be read ({why}): an initial load takes its place", path.display());
                return None;
            }
        };
        (memory.version == Memory::VERSION).then_some(memory)
    }

    /// Writes it; durable when it returns.
    pub fn write(&self, path: &Path) -> Result<(), CaptureError> {
        tokio::task::block_in_place(|| self.replace(path))
            .map_err(|error| CaptureError::Memory { path: path.to_owned(), error })
    }

    fn replace(&self, path: &Path) -> std::io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)?;
        let new = path.with_extension("new");
        let mut file = std::fs::File::create(&new)?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        file.sync_all()?;
        std::fs::rename(&new, path)?;
        std::fs::File::open(folder)?.sync_all()
    }

    /// Whether an initial load of these tables is in this log, so that only changes are needed.
    pub fn has(&self, tables: &[TableName], server: &str, log: &Identity) -> Result<(), String> {
        if self.server != server {
            return Err("it is another server than before".to_owned());
        }
        if self.log != *log {
            return Err("the log is another one than before".to_owned());
        }
        if let Stage::Loading { .. } = self.stage {
            return Err("the one before was cut off".to_owned());
        }
        match tables.iter().find(|table| !self.tables.contains_key(&table.to_string())) {
            Some(table) => Err(format!("the table {table} was not captured before")),
            None => Ok(()),
        }
    }

    /// Notes a table's columns; says how they differ from those before.
    pub fn columns(&mut self, table: &TableName, columns: Vec<String>) -> Option<String> {
        let before = self.tables.insert(table.to_string(), columns.clone()).filter(|before| *before != columns)?;
        let missing = |of: &[String], from: &[String]| {
            from.iter().filter(|name| !of.contains(name)).cloned().collect::<Vec<_>>().join(", ")
        };
        let (gone, new) = (missing(&columns, &before), missing(&before, &columns));
        Some(match (gone.is_empty(), new.is_empty()) {
            (true, true) => "its columns stand in another order".to_owned(),
            (true, false) => format!("new columns: {new}"),
            (false, true) => format!("columns that are gone: {gone}"),
            (false, false) => format!("new columns: {new}; columns that are gone: {gone}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(id: &str) -> Identity {
        Identity { id: id.to_owned(), partitions: 4 }
    }

    fn table(name: &str) -> TableName {
        TableName { schema: "hotel".into(), name: name.into() }
    }

    fn following() -> Memory {
        let mut memory = Memory::loading(None, "s1", log("l1"));
        assert_eq!(memory.columns(&table("a"), vec!["id".into()]), None, "the first are no change");
        memory.stage = Stage::Following { position: None };
        memory
    }

    #[test]
    fn only_the_same_server_and_log_go_on() {
        let memory = following();
        assert_eq!(memory.has(&[table("a")], "s1", &log("l1")), Ok(()));
        for (tables, server, id, words) in [
            (vec![table("a")], "s2", "l1", "another server"),
            (vec![table("a")], "s1", "l2", "the log is another one"),
            (vec![table("a"), table("b")], "s1", "l1", "hotel.b was not captured"),
        ] {
            assert!(memory.has(&tables, server, &log(id)).unwrap_err().contains(words));
        }
        let mut cut_off = memory;
        cut_off.stage = Stage::Loading { begun: ["12".to_owned()].into() };
        assert!(cut_off.has(&[table("a")], "s1", &log("l1")).unwrap_err().contains("cut off"));
        let next = Memory::loading(Some(&cut_off), "s2", log("l1"));
        assert_eq!(next.stage, cut_off.stage, "what has begun in this log has no second beginning");
        assert!(next.epoch > cut_off.epoch);
        assert_eq!(Memory::loading(Some(&cut_off), "s1", log("l2")).stage, Stage::Loading { begun: [].into() });
    }

    #[test]
    fn a_changed_schema_is_told() {
        let mut memory = following();
        assert_eq!(memory.columns(&table("a"), vec!["id".into()]), None);
        let told = memory.columns(&table("a"), vec!["nr".into()]).unwrap();
        assert_eq!(told, "new columns: nr; columns that are gone: id");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("capture/legacy.json");
        assert_eq!(Memory::read(&path), None);
        let mut memory = following();
        memory.stage = Stage::Following { position: Some(BinlogPosition { file: "bin.000003".into(), pos: 484 }) };
        memory.write(&path).unwrap();
        assert_eq!(Memory::read(&path), Some(memory));
        std::fs::write(&path, "{").unwrap();
        assert_eq!(Memory::read(&path), None, "as if it were lost");
    }
}
