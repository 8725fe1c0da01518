//! `concord status`: how far a pipeline is, what is in force, and what needs attention.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;

use super::open::{OpenLog, Pipeline};
use super::{Found, PipelineArgument, print, table};
use crate::capture::progress::{CaptureState, CaptureStatus, remembered};
use crate::config::{Document, Proposal, RunFile, Running, SourceSettings, difference};
use crate::door::{DoorClient, LogStatus};
use crate::log::{Identity, LogError, Offset, Partition};
use crate::store::Store;
use crate::worker::checkpoint::{Checkpoint, Counts, PartitionState, SUMMARY_KEYS};

pub const EXAMPLES: &str = "Examples:
  concord status -c pipeline.toml
  concord status -c pipeline.toml --json

Of a captured database: the position up to which everything is in the log, how many bytes of the database's own log come after
it, and the last change that was taken, with the time until it was in the log. `slot NAME` means that PostgreSQL keeps it.

Exit status 1 if something needs attention: the log is away, records wait and nobody runs the pipeline, the checkpoint
belongs to another log, a partition is done but under an older configuration than partition 0, or a database cannot be
captured. Dead letters, and files that
differ from what is in force, are shown and are no reason: both may be meant.";

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    pipeline: PipelineArgument,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Default, Serialize)]
struct Status {
    pipeline: String,
    /// The process that runs it.
    running: Option<u32>,
    /// A process that ended without closing.
    died: Option<u32>,
    /// ClickHouse's HTTP interface while it is up.
    clickhouse: Option<String>,
    schema_version: Option<u32>,
    log: Option<Identity>,
    partitions: Vec<PartitionLine>,
    totals: Counts,
    lag: u64,
    configuration: Option<Configuration>,
    captures: Vec<CaptureStatus>,
    tables: Vec<TableLine>,
    attention: Vec<String>,
}

#[derive(Serialize)]
struct PartitionLine {
    partition: Partition,
    first: Offset,
    end: Offset,
    /// The next record to be written; absent while nothing is known of it.
    next: Option<Offset>,
    /// Records that are not written yet.
    lag: u64,
    /// Sequence number of the configuration in force.
    configuration: Option<Offset>,
    records: Counts,
}

#[derive(Serialize)]
struct Configuration {
    sequence: Offset,
    rule_set: String,
    author: String,
    applied: String,
    /// What the files would change; empty if nothing.
    proposed: Vec<String>,
    /// Why the files could not be read.
    files_error: Option<String>,
}

#[derive(Serialize)]
struct TableLine {
    table: String,
    /// Older versions that no merge has removed yet included.
    rows: u64,
}

pub async fn run(arguments: Arguments) -> Result<Found> {
    let pipeline = Pipeline::open(&arguments.pipeline)?;
    let status = status(&pipeline).await?;
    if arguments.json {
        print(&format!("{}\n", serde_json::to_string(&status)?))?;
    } else {
        print(&text(&status))?;
    }
    Ok(if status.attention.is_empty() { Found::Fine } else { Found::Something })
}

async fn status(pipeline: &Pipeline) -> Result<Status> {
    let mut status = Status {
        pipeline: pipeline.file.name.clone(),
        running: pipeline.running.as_ref().map(|run| run.pid),
        clickhouse: pipeline.running.as_ref().map(|run| run.address.clone()),
        ..Status::default()
    };
    if let Running::Stale { pid } = RunFile::find(&pipeline.file.data_dir)? {
        status.died = Some(pid);
    }
    status.captures = captures(pipeline).await?;
    let log = if pipeline.has_log() { Some(pipeline.log().await?) } else { None };
    let log = match &log {
        Some(log) => match log.status().await {
            Ok(found) => Some((found, matches!(log, OpenLog::There(_)))),
            // What is written can be shown all the same.
            Err(error @ LogError::Unavailable(_)) => {
                status.attention.push(format!("{error}; workers wait for it"));
                None
            }
            Err(error) => return Err(error.into()),
        },
        None => None,
    };
    let mut states = BTreeMap::new();
    if pipeline.has_store() {
        let opened = pipeline.reader().await?;
        let read = read_store(&opened.store, &mut status).await;
        opened.close().await;
        states = read?;
    }
    if let Some((log, running)) = log {
        partitions(&mut status, &log, running, &states);
        status.log = Some(log.identity);
    }
    if let Some(active) = states.get(&0).and_then(|state| state.active.as_ref()) {
        let document = Document::from_bytes(&active.document)?;
        let (name, version) = document.rules.header();
        let files = Proposal::read(&pipeline.file);
        status.configuration = Some(Configuration {
            sequence: active.sequence,
            rule_set: format!("{name}@{version}#{}", document.rules.digest().short()),
            author: active.author.clone(),
            applied: table::time(active.log_time),
            proposed: files.as_ref().map_or(Vec::new(), |files| difference(Some(&document), &files.document)),
            files_error: files.err().map(|error| error.to_string()),
        });
    }
    attention(&mut status, pipeline, &states);
    Ok(status)
}

/// As the process that captures them says, else what this machine remembers.
async fn captures(pipeline: &Pipeline) -> Result<Vec<CaptureStatus>> {
    if let Some(run) = &pipeline.running {
        return Ok(DoorClient::new(run.door.clone()).captures().await?);
    }
    let of = |source: &SourceSettings| {
        source.capture.as_ref().map(|settings| remembered(&source.name, settings, &pipeline.file.data_dir))
    };
    Ok(pipeline.file.sources.iter().filter_map(of).collect())
}

async fn read_store(store: &Store, status: &mut Status) -> Result<BTreeMap<Partition, PartitionState>> {
    // No table yet is version 0: `run` makes them.
    let version = store.schema_version().await.unwrap_or(0);
    status.schema_version = Some(version);
    if version == 0 {
        return Ok(BTreeMap::new());
    }
    let sql = "SELECT name, toString(ifNull(total_rows, 0)) AS rows FROM system.tables \
               WHERE database = currentDatabase() AND engine LIKE '%MergeTree' AND name != 'schema_migrations' \
               ORDER BY name";
    for row in store.query_json(sql, &[]).await? {
        let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        status.tables.push(TableLine { table: text("name"), rows: text("rows").parse().unwrap_or(0) });
    }
    let loaded = store.load_partitions(&SUMMARY_KEYS).await?;
    let read = |(partition, entries): (Partition, Vec<_>)| {
        PartitionState::read(&entries).map(|state| (partition, state)).map_err(anyhow::Error::msg)
    };
    loaded.into_iter().map(read).collect()
}

fn partitions(status: &mut Status, log: &LogStatus, running: bool, states: &BTreeMap<Partition, PartitionState>) {
    for (partition, now) in (0..).zip(&log.partitions) {
        let checkpoint = states.get(&partition).and_then(|state| state.checkpoint.as_ref());
        // Counts are in the checkpoint, too; the process knows them a little earlier.
        let known = if running { now.next } else { None };
        let next = known.or(checkpoint.map(|c| c.next));
        let records = match (known, checkpoint) {
            (Some(_), _) => now.counts,
            (None, Some(checkpoint)) => checkpoint.counts,
            (None, None) => Counts::default(),
        };
        let lag = now.end.saturating_sub(next.unwrap_or(now.first));
        status.totals.add(&records);
        status.lag += lag;
        status.partitions.push(PartitionLine {
            partition,
            first: now.first,
            end: now.end,
            next,
            lag,
            configuration: checkpoint.and_then(|c| c.configuration),
            records,
        });
    }
}

fn attention(status: &mut Status, pipeline: &Pipeline, states: &BTreeMap<Partition, PartitionState>) {
    let config = pipeline.file.path.display();
    if status.running.is_none() && status.lag > 0 {
        let (lag, verb) = (table::count(status.lag, "record"), if status.lag == 1 { "waits" } else { "wait" });
        status.attention.push(format!("{lag} {verb} and nobody runs the pipeline: `concord run -c {config}`"));
    }
    let other = |checkpoint: &Checkpoint| status.log.as_ref().is_some_and(|log| *log != checkpoint.log);
    if states.values().filter_map(|state| state.checkpoint.as_ref()).any(other) {
        status.attention.push(
            "the checkpoint was made on another log: point the pipeline to that log, move it by `concord log migrate`, or \
             start with an empty database"
                .to_owned(),
        );
    }
    for capture in &status.captures {
        let CaptureStatus { source, database, error, failing_since, .. } = capture;
        if let (CaptureState::Failing, Some(error)) = (capture.state, error) {
            let since = failing_since.map_or_else(String::new, |since| format!(" since {}", table::time(since)));
            status.attention.push(format!("source {source}: nothing is captured of {database}{since}: {error}"));
        }
    }
    let newest = status.partitions.first().and_then(|line| line.configuration);
    for line in status.partitions.iter().filter(|line| line.lag == 0 && line.configuration < newest) {
        let (partition, ours) = (line.partition, line.configuration.map_or("none".to_owned(), |n| n.to_string()));
        status.attention.push(format!(
            "partition {partition} decides under configuration {ours}, partition 0 under {}: \
             `concord dead-letters list -c {config} --partition {partition}` shows why it was refused",
            newest.unwrap_or(0)
        ));
    }
}

fn text(status: &Status) -> String {
    let mut text = match (status.running, status.died) {
        (Some(pid), _) => format!("pipeline {}: running, process {pid}\n", status.pipeline),
        (None, Some(pid)) => {
            format!(
                "pipeline {}: not running (process {pid} ended without closing; nothing is lost)\n",
                status.pipeline
            )
        }
        (None, None) => format!("pipeline {}: not running\n", status.pipeline),
    };
    if let Some(address) = &status.clickhouse {
        text.push_str(&format!("ClickHouse at {address}\n"));
    }
    text.push('\n');
    text.push_str(&configuration(status));
    if status.partitions.is_empty() && !status.attention.is_empty() {
        // What is wrong with the log stands at the end.
    } else if status.partitions.is_empty() {
        text.push_str("no log yet: nothing has been appended and nothing has run\n");
    } else {
        text.push_str(&partition_table(status));
    }
    if !status.captures.is_empty() {
        text.push_str(&format!("\ncaptured databases\n{}", capture_table(&status.captures)));
    }
    if let Some(version) = status.schema_version {
        let rows: Vec<Vec<String>> = status.tables.iter().map(|t| vec![t.table.clone(), t.rows.to_string()]).collect();
        text.push_str(&format!(
            "\ntables (schema version {version}; rows count older versions until they are merged)\n"
        ));
        text.push_str(&table::table(&["table", "rows"], &rows));
    }
    for line in &status.attention {
        text.push_str(&format!("\nattention: {line}\n"));
    }
    text
}

fn configuration(status: &Status) -> String {
    let Some(active) = &status.configuration else {
        return "no configuration has been applied yet\n\n".to_owned();
    };
    let Configuration { sequence, rule_set, author, applied, proposed, files_error } = active;
    let files = match files_error {
        Some(error) => format!("cannot be read: {error}"),
        None if proposed.is_empty() => "are what is in force".to_owned(),
        None => {
            let lines: String = proposed.iter().map(|line| format!("\n    {line}")).collect();
            format!("differ; `concord apply` puts them into force:{lines}")
        }
    };
    format!("configuration {sequence}, applied {applied} by {author}\n  rules   {rule_set}\n  files   {files}\n\n")
}

fn partition_table(status: &Status) -> String {
    let header = [
        "partition",
        "first",
        "end",
        "next",
        "lag",
        "merged",
        "stale",
        "duplicate",
        "re-routed",
        "control",
        "dead letters",
    ];
    let counts = |c: &Counts| [c.merged, c.stale, c.duplicate, c.rerouted, c.control, c.dead_letters];
    let line = |line: &PartitionLine| {
        let next = line.next.map_or_else(|| "-".to_owned(), |next| next.to_string());
        let place = [line.partition.to_string(), line.first.to_string(), line.end.to_string(), next];
        let rest = [line.lag].into_iter().chain(counts(&line.records)).map(|n| n.to_string());
        place.into_iter().chain(rest).collect::<Vec<_>>()
    };
    let mut rows: Vec<Vec<String>> = status.partitions.iter().map(line).collect();
    let mut total = vec![String::new(); 4];
    total.extend([status.lag].into_iter().chain(counts(&status.totals)).map(|n| n.to_string()));
    rows.push(total);
    table::table(&header, &rows)
}

fn capture_table(captures: &[CaptureStatus]) -> String {
    let line = |capture: &CaptureStatus| {
        let or = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        vec![
            capture.source.clone(),
            capture.database.clone(),
            capture.state.name().to_owned(),
            or(capture.position.clone()),
            or(capture.behind_bytes.map(|bytes| bytes.to_string())),
            or(capture.last_change.map(table::time)),
            or(capture.delay_millis.map(|millis| format!("{millis} ms"))),
        ]
    };
    let header = ["source", "database", "state", "position", "bytes behind", "last change", "in the log after"];
    table::table(&header, &captures.iter().map(line).collect::<Vec<_>>())
}
