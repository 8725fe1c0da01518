//! The pipeline file: what a pipeline consists of and where it runs.
//!
//! Knows the file's sections, their defaults and bounds. Does not open the files that it names (see `proposal`),
//! and does not know which of them is active: that stands in the log.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::types::FieldType;

use super::capture::Capture;
use super::connect::{Folder, Poll};
use super::diagnostic::{ConfigErrors, Findings, TextFile};
use super::document::{Limits, Policies};
use super::gateway::Gateway;
use super::raw;

/// A pipeline file, checked. Every path is relative to the working directory, not to the file.
#[derive(Clone, Debug, PartialEq)]
pub struct PipelineFile {
    /// As it was given.
    pub path: PathBuf,
    pub name: String,
    /// Where the log, the embedded store and `run.json` live.
    pub data_dir: PathBuf,
    /// Of the key that signs control records; made on first start.
    pub key_file: PathBuf,
    /// Who stands in `rule_changes`; `None` leaves it to the command line or the user's name.
    pub author: Option<String>,
    pub log: LogSettings,
    pub clickhouse: ClickHouse,
    /// Master data.
    pub properties: Option<PathBuf>,
    /// Declared inventory fields beyond capacity, availability and closed, by name.
    pub fields: BTreeMap<Arc<str>, FieldType>,
    pub rules: RuleFiles,
    /// In the order of the file, at least one; names are unique.
    pub sources: Vec<SourceSettings>,
    /// Part of the configuration in the log: decisions depend on them.
    pub limits: Limits,
    /// Part of the configuration in the log.
    pub policies: Policies,
    /// Of this machine: no decision depends on it.
    pub tuning: Tuning,
    /// Where webhooks come in; likewise of this machine.
    pub gateway: Option<Gateway>,
    /// How long guests' raw data is kept.
    pub retention: Retention,
}

/// How long guests' raw data is kept at least; `None` keeps it for good. No decision depends on it, but whoever wants to
/// replay needs the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Records of the log that are decided and written.
    pub log: Option<Duration>,
    /// Payloads of dead letters; the rows themselves stay.
    pub dead_letters: Option<Duration>,
}

/// Partitions of a new log where the file names no number.
pub const DEFAULT_PARTITIONS: u32 = 8;

/// Which log, and its shape. The partition count of an existing log stays what it was when it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    pub kind: LogKind,
    /// 1 to 1,024. `None`: the file does not say; a new log gets [`DEFAULT_PARTITIONS`].
    pub partitions: Option<u32>,
    /// 16 KiB to 16 MiB; also [`Limits::max_record_bytes`].
    pub max_record_bytes: usize,
    /// The position of every partition's first record: 0, unless the log goes on where another one ended.
    pub first_position: u64,
}

/// The logs that there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogKind {
    /// One machine, in the data directory.
    Embedded,
    /// A topic on a Fluvio cluster, for any number of workers.
    Fluvio(FluvioSettings),
}

/// A topic and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FluvioSettings {
    pub place: FluvioPlace,
    pub topic: String,
}

/// Where a Fluvio cluster is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FluvioPlace {
    /// The controller's `host:port`.
    Endpoint { address: String, tls: Option<FluvioTls> },
    /// A profile in Fluvio's own configuration file; `None` takes the current one.
    Profile(Option<String>),
}

/// TLS with a client certificate, as in a Fluvio profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FluvioTls {
    /// The name that the cluster's certificates are for.
    pub domain: String,
    /// PEM files.
    pub ca_cert: PathBuf,
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// The database of the outputs and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClickHouse {
    pub database: String,
    pub place: Place,
}

/// Where ClickHouse runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In this process.
    Embedded {
        /// A loopback address; port 0 takes a free one (`run.json` says which).
        listen: SocketAddr,
        /// libchdb; `None` looks at `CONCORD_LIBCHDB` and the cache of `cargo xtask setup`.
        library: Option<PathBuf>,
    },
    /// A server or a cluster.
    Server {
        /// `http://` or `https://`, without user and path.
        url: String,
        user: String,
        /// Holds the password; a final line break is not part of it.
        password_file: Option<PathBuf>,
        /// For `ON CLUSTER`.
        cluster: Option<String>,
    },
}

/// The rule set and the plugin that holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleFiles {
    pub file: PathBuf,
    pub plugin: PathBuf,
}

/// One source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceSettings {
    pub name: Arc<str>,
    pub plugin: PathBuf,
    /// `None` is the identity.
    pub mapping: Option<PathBuf>,
    /// The `settings` table as JSON with sorted keys; `{}` when there is none.
    pub settings: String,
    /// Whether the source may send inventory. With `false`, several of its codes may mean one room type.
    pub inventory: bool,
    /// Where its files appear; of this machine alone.
    pub folder: Option<Folder>,
    /// Where it is asked; likewise.
    pub poll: Option<Poll>,
    /// The database whose changes its records are; of this machine: no decision depends on it.
    pub capture: Option<Capture>,
}

/// What a machine may tune: speed and memory, never an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// Records per decided batch, 1 to 65,536.
    pub batch_records: usize,
    /// Events per call of a normalizer, 1 to 256.
    pub call_records: usize,
    /// Memory for the state of properties, in bytes, at least 1 MiB.
    pub cache_bytes: u64,
}

impl Place {
    /// The server's password; empty for the embedded ClickHouse and where no file is named.
    pub fn password(&self) -> Result<String, ConfigErrors> {
        let Place::Server { password_file: Some(path), .. } = self else { return Ok(String::new()) };
        let mut found = Findings::default();
        let expected = "the password of the ClickHouse user, and nothing else (clickhouse.password_file)";
        let text = TextFile::read(path, expected, &mut found).map(|file| file.text);
        found.finish_with(text.map(|text| text.trim_end_matches(['\r', '\n']).to_owned()))
    }
}

impl Default for Tuning {
    fn default() -> Self {
        Tuning { batch_records: 4096, call_records: 128, cache_bytes: 256 << 20 }
    }
}

impl PipelineFile {
    /// Reads and checks a pipeline file; reports everything that is wrong in it. The files it names are not opened.
    pub fn read(path: &Path) -> Result<PipelineFile, ConfigErrors> {
        let mut found = Findings::default();
        let expected = "a pipeline file in TOML (-c FILE), with at least [pipeline], [rules] and one [[source]]";
        let file = TextFile::read(path, expected, &mut found);
        let pipeline = file.and_then(|file| raw::pipeline(&file, &mut found));
        found.finish_with(pipeline)
    }

    /// As [`PipelineFile::read`], from a text; `path` names it in messages and is what its paths are relative to.
    pub fn parse(path: &Path, text: &str) -> Result<PipelineFile, ConfigErrors> {
        let mut found = Findings::default();
        let pipeline = raw::pipeline(&TextFile { path: path.into(), text: text.into() }, &mut found);
        found.finish_with(pipeline)
    }
}
