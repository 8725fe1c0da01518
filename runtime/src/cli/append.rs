//! `concord append`: deliveries from files or standard input into the log.
//!
//! A delivery that its plugin cannot split goes into the log as it is, so that it becomes a dead
//! letter with its reason and nothing is lost; the exit status is 1 then.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use bytes::Bytes;

use super::open::{OpenLog, Pipeline, author, check_proposal, configuration_records};
use super::{Found, PipelineArgument, print};
use crate::config::{Document, Proposal};
use crate::connect::{Gathered, content_type_of};
use crate::deliver::{Deliverer, Masked};
use crate::plugin::Delivery;
use crate::worker::now_millis;

pub const EXAMPLES: &str = "Examples:
  concord append -c pipeline.toml --source pms booking.json      one delivery per file
  concord append -c pipeline.toml --source pms --lines < feed.jsonl
  concord append -c pipeline.toml --source ota --attribute property=H1 message.xml";

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    pipeline: PipelineArgument,
    /// Whose deliveries they are: a source of the pipeline
    #[arg(long)]
    source: String,
    /// Files; standard input where there are none, or for `-`
    files: Vec<PathBuf>,
    /// One delivery per line instead of one per file; empty lines are passed over
    #[arg(long)]
    lines: bool,
    /// What the transport would say of the delivery; names are lower-case letters and digits
    #[arg(long = "attribute", value_name = "NAME=VALUE", value_parser = attribute)]
    attributes: Vec<(String, String)>,
    /// Media type; by the file's ending if not given, else JSON
    #[arg(long)]
    content_type: Option<String>,
    /// The sender's delivery id; with several deliveries each gets its number added
    #[arg(long)]
    id: Option<String>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

fn attribute(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    if plain { Ok((name.to_owned(), value.to_owned())) } else { Err("names are lower-case letters and digits".into()) }
}

/// What has been done so far.
#[derive(Default, serde::Serialize)]
struct Tally {
    deliveries: u64,
    records: u64,
    /// Deliveries that the plugin could not split: dead letters.
    rejected: u64,
    /// Deliveries that no log takes.
    refused: u64,
    /// Card data that was left out.
    masked: Masked,
}

struct Appender {
    log: OpenLog,
    deliverer: Deliverer,
    attributes: Vec<(String, String)>,
    gathered: Gathered,
    tally: Tally,
}

pub async fn run(arguments: Arguments) -> Result<Found> {
    let pipeline = Pipeline::open(&arguments.pipeline)?;
    pipeline.prepare()?;
    let (document, plugin, log) = active(&pipeline, &arguments.source).await?;
    let partitions = log.status().await?.identity.partitions;
    let deliverer = Deliverer::new(&pipeline.host()?, &document, &arguments.source, &plugin, partitions)?;
    let mut appender = Appender {
        log,
        // `active` has looked for the source.
        deliverer: deliverer.context("the source is not in the configuration")?,
        attributes: arguments.attributes.clone(),
        gathered: Gathered::default(),
        tally: Tally::default(),
    };
    let stdin = vec![PathBuf::from("-")];
    let files = if arguments.files.is_empty() { &stdin } else { &arguments.files };
    for file in files {
        appender.file(file, &arguments).await?;
    }
    appender.flush().await?;
    let tally = &appender.tally;
    if arguments.json {
        print(&format!("{}\n", serde_json::to_string(tally)?))?;
    } else {
        let Tally { deliveries, records, rejected, refused, masked } = tally;
        print(&format!(
            "{deliveries} deliveries, {records} records appended, {rejected} rejected, {refused} refused\n"
        ))?;
        if masked.any() {
            let Masked { cards, codes } = masked;
            print(&format!("masked before the log: {cards} card numbers, {codes} security codes\n"))?;
        }
    }
    let clean = appender.tally.rejected == 0 && appender.tally.refused == 0;
    Ok(if clean { Found::Fine } else { Found::Something })
}

/// The configuration in force, the source's plugin, and the log. Seeds an empty log with the files.
async fn active(pipeline: &Pipeline, source: &str) -> Result<(Document, Bytes, OpenLog)> {
    let key = pipeline.key()?;
    let log = pipeline.log().await?;
    let opened = if pipeline.has_store() { Some(pipeline.store().await?) } else { None };
    let found = pipeline.active(opened.as_ref().map(|o| &o.store), &log, &key).await;
    if let Some(opened) = opened {
        opened.close().await;
    }
    let unknown = |document: &Document| {
        let names: Vec<&str> = document.sources.keys().map(|s| &**s).collect();
        format!("no source is named `{source}`; the configuration in force has {}", names.join(", "))
    };
    if let Some(active) = found? {
        let Some(settings) = active.document.sources.get(source) else { bail!(unknown(&active.document)) };
        let plugin = active.state.plugin(&settings.plugin.digest.to_string());
        return Ok((active.document.clone(), plugin.context("the source's plugin is not in the log")?, log));
    }
    let proposal = Proposal::read(&pipeline.file)?;
    let Some(settings) = proposal.document.sources.get(source) else { bail!(unknown(&proposal.document)) };
    let plugin = proposal.plugin_bytes.get(&settings.plugin.digest).context("the source's plugin")?.clone();
    check_proposal(&pipeline.host()?, &proposal, &pipeline.file)?;
    let records = configuration_records(&proposal, None, &key, &author(None, &pipeline.file), Some("first start"))?;
    log.append(0, records).await?;
    Ok((proposal.document, plugin, log))
}

impl Appender {
    async fn file(&mut self, file: &Path, arguments: &Arguments) -> Result<()> {
        let name = file.display().to_string();
        let content_type =
            arguments.content_type.clone().unwrap_or_else(|| content_type_of(&file.to_string_lossy()).to_owned());
        if !arguments.lines {
            let mut body = Vec::new();
            open(file)?.read_to_end(&mut body).with_context(|| name.clone())?;
            return self.delivery(&name, body.into(), &content_type, arguments).await;
        }
        let mut reader = std::io::BufReader::with_capacity(1 << 20, open(file)?);
        for number in 1.. {
            let mut line = Vec::new();
            let read = std::io::BufRead::read_until(&mut reader, b'\n', &mut line).with_context(|| name.clone())?;
            if read == 0 {
                break;
            }
            while line.last().is_some_and(|b| matches!(b, b'\n' | b'\r')) {
                line.pop();
            }
            if !line.is_empty() {
                self.delivery(&format!("{name}:{number}"), line.into(), &content_type, arguments).await?;
            }
        }
        Ok(())
    }

    /// One delivery: split, put into events, gathered.
    async fn delivery(&mut self, name: &str, body: Bytes, content_type: &str, arguments: &Arguments) -> Result<()> {
        self.tally.deliveries += 1;
        let id = match &arguments.id {
            Some(id) if arguments.lines || arguments.files.len() > 1 => Some(format!("{id}-{}", self.tally.deliveries)),
            id => id.clone(),
        };
        let delivery = Delivery { content_type: content_type.to_owned(), attributes: self.attributes.clone(), body };
        let delivered = self.deliverer.deliver(delivery, id.as_deref(), now_millis())?;
        self.tally.masked.add(delivered.masked);
        if let Some(reason) = delivered.rejected {
            self.tally.rejected += 1;
            eprintln!("{name}: {reason}");
        }
        for reason in delivered.refused {
            self.tally.refused += 1;
            eprintln!("{name}: {reason}; not appended");
        }
        for (target, record) in delivered.records {
            self.gathered.add(target, record);
        }
        if self.gathered.is_full() {
            self.flush().await?;
        }
        Ok(())
    }

    /// Appends what is gathered; durable when it returns.
    async fn flush(&mut self) -> Result<()> {
        for (partition, records) in self.gathered.take() {
            self.tally.records += records.len() as u64;
            self.log.append(partition, records).await?;
        }
        Ok(())
    }
}

fn open(file: &Path) -> Result<Box<dyn Read>> {
    if file == Path::new("-") {
        return Ok(Box::new(std::io::stdin()));
    }
    let opened = std::fs::File::open(file).with_context(|| format!("{} cannot be read", file.display()))?;
    Ok(Box::new(opened))
}
