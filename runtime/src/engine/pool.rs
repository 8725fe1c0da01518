//! Connections to the running engine, each with a database and settings of its own.
//!
//! A connection is used again only by a request with exactly the same database and settings, so no
//! setting outlives its request. Opening one costs about a third of a millisecond. Does not know HTTP.

use std::sync::{Arc, Mutex, PoisonError};

use super::gate::Catalog;
use super::library::{Connection, Library, StatementError};

/// What a connection is set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub database: String,
    /// In this order: `readonly` must come last.
    pub settings: Vec<(String, String)>,
}

/// Idle connections that are kept; each costs little, and a request rarely needs another setting.
const IDLE: usize = 16;

/// A setting that is different for every statement, so a connection with it is not worth keeping.
const ONE_TIME: &str = "insert_deduplication_token";

pub(super) struct Pool {
    library: Arc<Library>,
    arguments: Vec<String>,
    idle: Mutex<Vec<(Key, Connection)>>,
    /// Keeps the engine running while no request is.
    _anchor: Mutex<Connection>,
    pub catalog: Catalog,
    pub timezone: String,
}

impl Pool {
    /// Takes the engine's first connection, makes the database, and learns the engine's names.
    pub fn new(
        library: Arc<Library>,
        arguments: Vec<String>,
        mut first: Connection,
        database: &str,
    ) -> Result<Self, StatementError> {
        first.query(&format!("CREATE DATABASE IF NOT EXISTS {} ENGINE = Atomic", identifier(database)), "Null", &[])?;
        let mut names = |sql: &str| -> Result<Vec<String>, StatementError> {
            let answer = first.query(sql, "TSVRaw", &[])?;
            Ok(String::from_utf8_lossy(answer.bytes()).lines().map(str::to_owned).collect())
        };
        let catalog = Catalog {
            table_functions: names("SELECT lower(name) FROM system.table_functions")?.into_iter().collect(),
            settings: names("SELECT name FROM system.settings")?.into_iter().collect(),
        };
        let timezone = names("SELECT timezone()")?;
        let timezone = timezone.into_iter().next().unwrap_or_default();
        Ok(Self { library, arguments, idle: Mutex::default(), _anchor: Mutex::new(first), catalog, timezone })
    }

    /// A connection that is set to `key`.
    pub fn take(&self, key: &Key) -> Result<Connection, StatementError> {
        let kept = {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.iter().rposition(|(other, _)| other == key).map(|at| idle.swap_remove(at))
        };
        if let Some((_, connection)) = kept {
            return Ok(connection);
        }
        let refused =
            || StatementError("Code: 210. DB::Exception: The engine opens no connection. (NETWORK_ERROR)".to_owned());
        let mut connection = self.library.connect(&self.arguments).ok_or_else(refused)?;
        connection.query(&format!("USE {}", identifier(&key.database)), "Null", &[])?;
        if !key.settings.is_empty() {
            let list: Vec<String> =
                key.settings.iter().map(|(name, value)| format!("{name} = {}", literal(value))).collect();
            connection.query(&format!("SET {}", list.join(", ")), "Null", &[])?;
        }
        Ok(connection)
    }

    /// Takes a connection back after a statement that went well.
    pub fn give(&self, key: Key, connection: Connection) {
        if key.settings.iter().any(|(name, _)| name == ONE_TIME) {
            return;
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push((key, connection));
        let surplus = (idle.len() > IDLE).then(|| idle.remove(0));
        // Closing takes the engine's locks; not while holding ours.
        drop(idle);
        drop(surplus);
    }
}

fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}

fn literal(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}
