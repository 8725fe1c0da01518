//! Opening what a command needs: log, store, engine and configuration, running or not.
//!
//! While `concord run` is up, commands reach it by `run.json`; otherwise they open log and engine
//! themselves. Knows no command.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::PipelineArgument;
use crate::config::{
    ClickHousePlace, DEFAULT_PARTITIONS, Document, LogKind, PipelineFile, Proposal, RunFile, RunLock, Running, settled,
};
use crate::door::{self, DoorClient, LogStatus, PartitionStatus};
use crate::engine::{self, Engine};
use crate::event::{self, Control, ControlKey, Parsed};
use crate::log::embedded::{self, EmbeddedLog};
use crate::log::fluvio::{FluvioLog, OpenError, OpenOptions as FluvioOptions};
use crate::log::{AnyLog, Log, LogError, NewRecord, Offset, Partition, Record, Shifted};
use crate::plugin::Host;
use crate::store::{self, Store};
use crate::worker::checkpoint::{PartitionState, Piece};

/// For a process that starts: the first start of a large database takes a while.
const STARTING: Duration = Duration::from_secs(120);
/// For a process that ends: it writes what is in flight.
const ENDING: Duration = Duration::from_secs(10);

/// A pipeline as its file describes it, and the process that runs it, if one does.
pub struct Pipeline {
    pub file: PipelineFile,
    pub running: Option<Box<RunFile>>,
}

/// A store, and the engine behind it if this process runs one.
pub struct OpenStore {
    pub store: Store,
    engine: Option<Engine>,
    /// For `run.json`.
    pub address: String,
    pub reader_password: String,
}

impl OpenStore {
    /// Closes the engine, so that another process can open it at once.
    pub async fn close(self) {
        if let Some(engine) = self.engine {
            engine.stop().await;
        }
    }
}

/// A log to append to, here or in the running process.
pub enum OpenLog {
    Here(Arc<AnyLog>),
    There(DoorClient),
}

impl OpenLog {
    /// As [`Log::append`].
    pub async fn append(&self, partition: Partition, records: Vec<NewRecord>) -> Result<Offset, LogError> {
        match self {
            OpenLog::Here(log) => log.append(partition, records).await,
            OpenLog::There(door) => door.append(partition, &records).await,
        }
    }

    /// The record at this place; `None` when the log does not have it (any more).
    pub async fn record(&self, partition: Partition, offset: Offset) -> Result<Option<Record>, LogError> {
        match self {
            OpenLog::Here(log) => door::one_record(&**log, partition, offset).await,
            OpenLog::There(door) => door.record(partition, offset).await,
        }
    }

    /// What the log is; how far it is written only if somebody runs it.
    pub async fn status(&self) -> Result<LogStatus, LogError> {
        match self {
            OpenLog::There(door) => door.status().await,
            OpenLog::Here(log) => {
                let identity = log.identity();
                let mut partitions = Vec::new();
                for partition in 0..identity.partitions {
                    let (first, end) = log.bounds(partition).await?;
                    partitions.push(PartitionStatus { first, end, next: None, counts: Default::default() });
                }
                Ok(LogStatus { identity, partitions })
            }
        }
    }
}

/// The configuration in force, with its plugins.
pub struct ActiveFound {
    pub sequence: Offset,
    pub document: Document,
    pub state: PartitionState,
}

impl Pipeline {
    /// Reads the pipeline file and looks for the process that runs it. One that is just starting or ending is waited for: log
    /// and engine are its own, and nobody can reach it yet.
    pub fn open(argument: &PipelineArgument) -> Result<Pipeline> {
        let mut pipeline = Pipeline::open_to_run(argument)?;
        let embedded = matches!(pipeline.file.log.kind, LogKind::Embedded)
            || matches!(pipeline.file.clickhouse.place, ClickHousePlace::Embedded { .. });
        if pipeline.running.is_none() && embedded {
            let tell = |pid: Option<u32>| {
                let pid = pid.map_or_else(String::new, |pid| format!(" {pid}"));
                tracing::info!("process{pid} is just starting this pipeline, or ending it: waiting for it");
            };
            if let Running::Yes(run) = settled(&pipeline.file.data_dir, STARTING, tell)? {
                pipeline.running = Some(run);
            }
        }
        Ok(pipeline)
    }

    /// The same without waiting, for whoever wants to be that process.
    pub fn open_to_run(argument: &PipelineArgument) -> Result<Pipeline> {
        let mut file = PipelineFile::read(&argument.config)?;
        // The key stays where it is: all workers sign with it.
        if let Some(dir) = &argument.data_dir {
            file.data_dir.clone_from(dir);
        }
        let running = match RunFile::find(&file.data_dir)? {
            Running::Yes(run) => Some(run),
            Running::No | Running::Stale { .. } => None,
        };
        Ok(Pipeline { file, running })
    }

    /// Keeps other processes from running this pipeline in this data directory, until it is dropped. Waits for one that ends.
    pub fn hold(&self) -> Result<RunLock> {
        Ok(RunLock::take(&self.file.data_dir, ENDING)?)
    }

    /// Makes the data directory, for the user alone.
    pub fn prepare(&self) -> Result<()> {
        use std::os::unix::fs::DirBuilderExt;
        let dir = &self.file.data_dir;
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).with_context(|| {
            format!("pipeline.data_dir {} cannot be made; name a directory that is yours to write", dir.display())
        })
    }

    /// The key that signs control records, made if it is not there.
    pub fn key(&self) -> Result<ControlKey> {
        Ok(ControlKey::load_or_create(&self.file.key_file)?)
    }

    /// The plugin host; compiled plugins are kept in the data directory.
    pub fn host(&self) -> Result<Host> {
        Ok(Host::new(&self.file.data_dir.join("plugins"))?)
    }

    /// Opens the log here; an embedded one must not be open anywhere else.
    pub async fn own_log(&self) -> Result<Arc<AnyLog>> {
        let settings = &self.file.log;
        // A record that is copied or tried again travels inside another one.
        let max_record_bytes = settings.max_record_bytes * 2 + (64 << 10);
        Ok(Arc::new(match &settings.kind {
            LogKind::Embedded => {
                let partitions = settings.partitions.unwrap_or(DEFAULT_PARTITIONS);
                let options = embedded::OpenOptions { partitions, max_record_bytes, ..Default::default() };
                let log = EmbeddedLog::open(&self.file.data_dir.join("log"), options)?;
                AnyLog::Embedded(Shifted::new(log, settings.first_position))
            }
            LogKind::Fluvio(fluvio) => {
                let options = FluvioOptions {
                    place: fluvio.place.clone(),
                    topic: fluvio.topic.clone(),
                    partitions: settings.partitions,
                    max_record_bytes,
                };
                let log = FluvioLog::open(&options).await.map_err(|error| self.fluvio_error(&error))?;
                AnyLog::Fluvio(Box::new(Shifted::new(log, settings.first_position)))
            }
        }))
    }

    /// With the pipeline's file in place of the word for it.
    pub fn fluvio_error(&self, error: &OpenError) -> anyhow::Error {
        anyhow::anyhow!(error.to_string().replace("-c FILE", &format!("-c {}", self.file.path.display())))
    }

    /// The log, here or in the running process.
    pub async fn log(&self) -> Result<OpenLog> {
        match &self.running {
            Some(run) => Ok(OpenLog::There(DoorClient::new(run.door.clone()))),
            None => Ok(OpenLog::Here(self.own_log().await?)),
        }
    }

    /// Whether there is a log yet; opening an embedded one makes it.
    pub fn has_log(&self) -> bool {
        let here = matches!(self.file.log.kind, LogKind::Embedded);
        !here || self.running.is_some() || self.file.data_dir.join("log").exists()
    }

    /// The store to read, for commands that have nothing to do without one. With a reader's rights where the engine
    /// is embedded.
    pub async fn written(&self) -> Result<OpenStore> {
        if !self.has_store() {
            bail!("nothing has been written yet: run `concord run -c {}`", self.file.path.display());
        }
        let opened = self.reader().await?;
        match opened.store.schema_version().await {
            Ok(version) if version > 0 => Ok(opened),
            found => {
                opened.close().await;
                let database = &self.file.clickhouse.database;
                let config = self.file.path.display();
                let context = format!("database {database} has no tables yet: run `concord run -c {config}`");
                found.map_err(|error| anyhow::Error::new(error).context(context.clone()))?;
                bail!(context)
            }
        }
    }

    fn engine_dir(&self) -> PathBuf {
        self.file.data_dir.join("clickhouse")
    }

    /// Whether there can be anything in ClickHouse yet.
    pub fn has_store(&self) -> bool {
        self.running.is_some()
            || !matches!(self.file.clickhouse.place, ClickHousePlace::Embedded { .. })
            || self.engine_dir().exists()
    }

    /// The store, to read: of the running process, of the server, or an engine opened here.
    pub async fn store(&self) -> Result<OpenStore> {
        match (&self.running, &self.file.clickhouse.place) {
            (Some(run), ClickHousePlace::Embedded { .. }) => {
                let options = store::Options {
                    url: run.address.clone(),
                    user: run.user.clone(),
                    password: run.password.clone(),
                    database: run.database.clone(),
                    ..store::Options::default()
                };
                let store = Store::connect(options).await?;
                Ok(OpenStore {
                    store,
                    engine: None,
                    address: run.address.clone(),
                    reader_password: run.password.clone(),
                })
            }
            _ => self.own_store(true).await,
        }
    }

    /// The store with a reader's rights, for queries that people write.
    pub async fn reader(&self) -> Result<OpenStore> {
        let mut opened = self.store().await?;
        if opened.engine.is_some() {
            let options = store::Options {
                url: opened.address.clone(),
                user: engine::READER.to_owned(),
                password: opened.reader_password.clone(),
                database: self.file.clickhouse.database.clone(),
                ..store::Options::default()
            };
            opened.store = Store::connect(options).await?;
        }
        Ok(opened)
    }

    /// The store, to write. Starts the engine if it is embedded; `any_port` where nobody asked for it by number.
    pub async fn own_store(&self, any_port: bool) -> Result<OpenStore> {
        let clickhouse = &self.file.clickhouse;
        let database = clickhouse.database.clone();
        match &clickhouse.place {
            ClickHousePlace::Embedded { listen, library } => {
                self.prepare()?;
                let (writer_password, reader_password) = (secret()?, secret()?);
                let mut listen = *listen;
                if any_port {
                    listen.set_port(0);
                }
                let options = engine::Options {
                    library: engine::find_library(library.as_deref())?,
                    path: self.engine_dir(),
                    listen,
                    database: database.clone(),
                    writer_password: writer_password.clone(),
                    reader_password: reader_password.clone(),
                };
                let engine = Engine::start(options).await?;
                let url = format!("http://{}", engine.address());
                let options = store::Options {
                    url: url.clone(),
                    user: engine::WRITER.to_owned(),
                    password: writer_password,
                    database,
                    embedded: true,
                    data_dir: Some(self.engine_dir()),
                    ..store::Options::default()
                };
                let store = Store::connect(options).await?;
                Ok(OpenStore { store, engine: Some(engine), address: url, reader_password })
            }
            ClickHousePlace::Server { url, user, cluster, .. } => {
                let password = clickhouse.place.password().context("clickhouse.password_file")?;
                let options = store::Options {
                    url: url.clone(),
                    user: user.clone(),
                    password: password.clone(),
                    database,
                    cluster: cluster.clone(),
                    ..store::Options::default()
                };
                let store = Store::connect(options).await?;
                Ok(OpenStore { store, engine: None, address: url.clone(), reader_password: password })
            }
        }
    }

    /// The configuration in force as partition 0 has it: in ClickHouse, and after it in the log's part that is
    /// not yet decided. `None` before the first start.
    pub async fn active(&self, store: Option<&Store>, log: &OpenLog, key: &ControlKey) -> Result<Option<ActiveFound>> {
        // A process that has just started writes its first configuration within moments.
        for _ in 0..300 {
            match self.active_now(store, log, key).await? {
                None if matches!(log, OpenLog::There(_)) => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                found => return Ok(found),
            }
        }
        bail!("the running process has had no configuration for half a minute; look at what it prints")
    }

    async fn active_now(&self, store: Option<&Store>, log: &OpenLog, key: &ControlKey) -> Result<Option<ActiveFound>> {
        let mut found = None;
        let mut next = None;
        if let Some(store) = store
            && store.schema_version().await.unwrap_or(0) > 0
        {
            let state = PartitionState::read(&store.load_partition(0).await?.entries).map_err(anyhow::Error::msg)?;
            next = state.checkpoint.as_ref().map(|c| c.next);
            if let Some(active) = &state.active {
                let document = Document::from_bytes(&active.document)?;
                found = Some(ActiveFound { sequence: active.sequence, document, state });
            }
        }
        match log {
            OpenLog::Here(log) => later_configuration(&**log, key, next, found).await,
            OpenLog::There(_) => Ok(found),
        }
    }
}

/// What the rest of partition 0 makes of the configuration found so far.
async fn later_configuration<L: Log>(
    log: &L,
    key: &ControlKey,
    next: Option<Offset>,
    mut found: Option<ActiveFound>,
) -> Result<Option<ActiveFound>> {
    let (first, end) = log.bounds(0).await?;
    let mut offset = next.unwrap_or(first).max(first);
    let mut pieces = found.as_ref().map(|f| f.state.pieces.clone()).unwrap_or_default();
    while offset < end {
        for record in log.read(0, offset, 1024, 4 << 20).await? {
            offset = record.offset + 1;
            let Parsed::Control(signed) = event::parse(&record.value, key) else { continue };
            match signed.control {
                Control::Plugin { digest, part, parts, bytes } => {
                    pieces.insert((digest, part), Piece { parts, bytes });
                }
                Control::Configuration { follows, document, .. } if follows == found.as_ref().map(|f| f.sequence) => {
                    let state = PartitionState { pieces: pieces.clone(), ..PartitionState::default() };
                    let document = Document::from_bytes(&document)?;
                    found = Some(ActiveFound { sequence: record.offset, document, state });
                }
                _ => {}
            }
        }
    }
    Ok(found)
}

/// The records that put a proposal into force in place of the configuration with the number `follows`: its
/// plugins, then the configuration.
pub fn configuration_records(
    proposal: &Proposal,
    follows: Option<u64>,
    key: &ControlKey,
    author: &str,
    reason: Option<&str>,
) -> Result<Vec<NewRecord>> {
    let now = crate::worker::now_millis();
    let mut controls = Vec::new();
    for bytes in proposal.plugin_bytes.values() {
        controls.extend(event::cut(bytes)?.1);
    }
    controls.push(Control::Configuration {
        sequence: None,
        follows,
        reason: reason.map(str::to_owned),
        document: proposal.document.to_bytes().into(),
    });
    let id = format!("configuration-{}-{now}", proposal.document.digest().short());
    controls
        .iter()
        .map(|control| {
            let value = event::sign_and_write(control, key, &id, author, now.saturating_mul(1000))?;
            Ok(NewRecord { key: None, value, timestamp: now })
        })
        .collect()
}

/// Checks what only the plugins can: that they load and that the rules hold.
pub fn check_proposal(host: &Host, proposal: &Proposal, file: &PipelineFile) -> Result<()> {
    use crate::worker::active::{ActivateError, normalizer, precedence};
    let document = &proposal.document;
    let mut wrong = Vec::new();
    for source in &file.sources {
        let loaded = document.sources.get(&source.name).and_then(|s| proposal.plugin_bytes.get(&s.plugin.digest));
        if let Some(bytes) = loaded
            && let Err(error) = normalizer(host, document, bytes)
        {
            wrong.push(format!("source {}: {}: {error}", source.name, source.plugin.display()));
        }
    }
    if let Some(bytes) = proposal.plugin_bytes.get(&document.precedence.digest) {
        match precedence(host, document, bytes) {
            Ok(_) => {}
            Err(ActivateError::Rules { list, .. }) => {
                let file = file.rules.file.display().to_string();
                wrong.push(ActivateError::Rules { file, list }.to_string());
            }
            Err(error) => wrong.push(format!("{}: {error}", file.rules.plugin.display())),
        }
    }
    if wrong.is_empty() { Ok(()) } else { bail!("{}", wrong.join("\n")) }
}

/// Who acts: the option, the pipeline file, the user's name.
pub fn author(option: Option<&str>, file: &PipelineFile) -> String {
    let user = || std::env::var("USER").ok().filter(|user| !user.is_empty());
    option.map(str::to_owned).or(file.author.clone()).or_else(user).unwrap_or_else(|| "unknown".to_owned())
}

/// A random password or token: 24 bytes in hexadecimal.
pub fn secret() -> Result<String> {
    let mut bytes = [0; 24];
    getrandom::fill(&mut bytes).map_err(|e| anyhow::anyhow!("no random numbers: {e}"))?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}
