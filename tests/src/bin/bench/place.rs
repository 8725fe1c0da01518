//! A pipeline to measure: its files, its log, its store.
//!
//! Everything is real: the pipeline file that `concord run` reads, the repository's rule set, the built plugins, the
//! embedded log and the embedded ClickHouse. Knows how they are opened, not what is measured.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use concord::cli::PipelineArgument;
use concord::cli::open::{OpenStore, Pipeline, configuration_records};
use concord::config::Proposal;

use concord::log::{AnyLog, Log, NewRecord, Partition};
use concord::worker::{self, Mode, Shared, WorkerError};
use tokio::sync::watch;

use crate::workload::{Message, ROOM_TYPES, ROOMS, SOURCES, property};

pub const PARTITIONS: u32 = 8;

/// Where the built plugins are.
fn plugins() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("CONCORD_PLUGINS") {
        return Ok(folder.into());
    }
    let program = std::env::current_exe()?;
    let target = program.parent().and_then(Path::parent).context("where is the target directory?")?;
    Ok(target.join("plugins"))
}

/// What every request to a gateway proves itself with.
pub const TOKEN: &str = "bench-token";

/// Writes a pipeline's files into `dir` and opens it.
pub fn pipeline(dir: &Path, properties: u64, limits: &str) -> Result<Pipeline> {
    written(dir, properties, limits, false)
}

/// The same, with a gateway on a free port: each source's webhooks come to the path of its name.
pub fn pipeline_with_doors(dir: &Path, properties: u64) -> Result<Pipeline> {
    written(dir, properties, "", true)
}

fn written(dir: &Path, properties: u64, limits: &str, doors: bool) -> Result<Pipeline> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the repository")?;
    let plugins = plugins()?;
    let mut master = String::new();
    for number in 0..properties {
        let types: Vec<String> = ROOM_TYPES.iter().map(|t| format!("{t} = {ROOMS}")).collect();
        let id = property(number);
        writeln!(
            master,
            "[[property]]\nid = \"{id}\"\nname = \"Hotel {id}\"\nroom_types = {{ {} }}",
            types.join(", ")
        )?;
    }
    std::fs::write(dir.join("properties.toml"), master)?;
    let mut text = format!(
        "[pipeline]\nname = \"bench\"\n[log]\npartitions = {PARTITIONS}\n[clickhouse]\nlisten = \"127.0.0.1:0\"\n\
         [properties]\nfile = \"properties.toml\"\n[fields]\nprice = \"money\"\nmin_stay = \"integer\"\n\
         [limits]\n{limits}\n[rules]\nfile = {rules:?}\nplugin = {precedence:?}\n",
        rules = repository.join("rules/hotels.toml"),
        precedence = plugins.join("precedence.wasm"),
    );
    for source in SOURCES {
        let native = plugins.join("native.wasm");
        writeln!(text, "[[source]]\nname = \"{source}\"\nplugin = {native:?}\nidentity = true")?;
        if doors {
            let auth = "{ kind = \"bearer\", secrets = [\"file:token\"] }";
            writeln!(text, "[source.gateway]\npath = \"/{source}\"\nrate = 1000000\nauth = {auth}")?;
        }
    }
    if doors {
        std::fs::write(dir.join("token"), TOKEN)?;
        text.push_str("[gateway]\nlisten = \"127.0.0.1:0\"\n");
    }
    let file = dir.join("pipeline.toml");
    std::fs::write(&file, text)?;
    let pipeline = Pipeline::open(&PipelineArgument::file(&file))?;
    pipeline.prepare()?;
    Ok(pipeline)
}

/// A pipeline that is open.
pub struct Open {
    pub pipeline: Pipeline,
    pub log: Arc<AnyLog>,
    pub store: OpenStore,
    pub shared: Arc<Shared<AnyLog>>,
}

impl Open {
    /// Opens log and engine and makes the tables; puts the files' configuration into force if the log is empty.
    pub async fn new(pipeline: Pipeline) -> Result<Open> {
        let log = pipeline.own_log().await?;
        let store = pipeline.own_store(true).await?;
        store.store.migrate(&[]).await?;
        let key = pipeline.key()?;
        if log.bounds(0).await?.1 == 0 {
            let proposal = Proposal::read(&pipeline.file)?;
            log.append(0, configuration_records(&proposal, None, &key, "bench", Some("bench"))?).await?;
        }
        let host = pipeline.host()?;
        let tuning = pipeline.file.tuning;
        let shared = Shared::new(log.clone(), store.store.clone(), host, key, "bench".to_owned(), tuning);
        Ok(Open { pipeline, log, store, shared: Arc::new(shared) })
    }

    /// Appends messages, as many at once as come.
    pub async fn append(&self, messages: impl IntoIterator<Item = Message>) -> Result<()> {
        let mut gathered: BTreeMap<Partition, Vec<NewRecord>> = BTreeMap::new();
        for message in messages {
            let (partition, record) = message.record(PARTITIONS)?;
            let records = gathered.entry(partition).or_default();
            records.push(record);
            if records.len() >= 2_000 {
                self.log.append(partition, std::mem::take(records)).await?;
            }
        }
        for (partition, records) in gathered {
            self.log.append(partition, records).await?;
        }
        Ok(())
    }

    /// Works until everything in the log is written.
    pub async fn until_idle(&self) -> Result<()> {
        let (_stop, stopped) = watch::channel(false);
        worker::run(self.shared.clone(), 0..PARTITIONS, Mode { until_idle: true, tick: None }, stopped).await?;
        Ok(())
    }

    /// Works in the background until told to stop.
    pub fn run(&self) -> Running {
        let (stop, stopped) = watch::channel(false);
        let mode = Mode { until_idle: false, tick: None };
        Running { stop, task: tokio::spawn(worker::run(self.shared.clone(), 0..PARTITIONS, mode, stopped)) }
    }

    /// A query's answer as text.
    pub async fn ask(&self, sql: &str) -> Result<String> {
        let mut answer = self.store.store.query_raw(sql, "TSV")?;
        let mut text = Vec::new();
        while let Some(chunk) = answer.next().await? {
            text.extend_from_slice(&chunk);
        }
        Ok(String::from_utf8_lossy(&text).trim_end().to_owned())
    }

    pub async fn number(&self, sql: &str) -> Result<f64> {
        self.ask(sql).await?.parse().with_context(|| sql.to_owned())
    }

    /// Closes everything, so that it can be opened again.
    pub async fn close(self) -> Pipeline {
        let Open { pipeline, log, store, shared } = self;
        store.close().await;
        drop((shared, log));
        pipeline
    }
}

/// Workers in the background.
pub struct Running {
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<Result<(), WorkerError>>,
}

impl Running {
    pub async fn stop(self) -> Result<()> {
        // They may have ended by themselves; then their error is the news.
        let _ = self.stop.send(true);
        Ok(self.task.await??)
    }
}
