//! `concord dead-letters`: records that could not be merged, and trying them again.
//!
//! A retry is a control record on the dead letter's own partition. It carries the original key and value as the log
//! has them, and the original offset: that stays the record's place among what its source said.

use std::collections::{BTreeMap, HashSet};
use std::io::IsTerminal;

use anyhow::{Result, bail};
use bytes::Bytes;
use serde_json::Value;

use super::open::{OpenLog, Pipeline, author};
use super::{Found, PipelineArgument, print, table};
use crate::event::{self, Control, ControlKey, Parsed};
use crate::log::{NewRecord, Offset, Partition, Record};
use crate::store::Store;
use crate::worker::now_millis;

const LIST: &str = "Examples:
  concord dead-letters list -c pipeline.toml
  concord dead-letters list -c pipeline.toml --source ota --kind unmapped --limit 10
  concord dead-letters list -c pipeline.toml --json | jq -r .payload

The newest come first. A dead letter stays in the list after it was retried: the table is never changed.";

const RETRY: &str = "Examples:
  concord dead-letters retry -c pipeline.toml --kind unmapped --dry-run
  concord dead-letters retry -c pipeline.toml --kind unmapped         after `concord apply` of the missing mapping
  concord dead-letters retry -c pipeline.toml --partition 3 --offset 1207
  concord dead-letters retry -c pipeline.toml --all

A retried record keeps its place in its source's order: what the source has said since still holds. To retry what was
merged in the meantime does no harm: it counts as duplicate or stale. Exit status 1 if some could not be retried.";

const KINDS: [&str; 6] = ["rejected", "fault", "unmapped", "misrouted", "forged", "too-large"];
/// Bytes appended to a partition at once, about; well below what the door takes, in Base64 too.
const BYTES_AT_ONCE: usize = 4 << 20;
const RECORDS_AT_ONCE: usize = 1_000;

#[derive(clap::Subcommand)]
pub enum Command {
    /// Show them
    #[command(after_help = LIST)]
    List(ListArguments),
    /// Put them into the log again
    #[command(after_help = RETRY)]
    Retry(RetryArguments),
}

/// Which dead letters.
#[derive(clap::Args)]
struct Filter {
    /// Only of this source
    #[arg(long)]
    source: Option<String>,
    /// Only of this kind
    #[arg(long, value_parser = KINDS)]
    kind: Option<String>,
    /// Only of this partition
    #[arg(long)]
    partition: Option<Partition>,
    /// Only the one at this offset of the partition
    #[arg(long, requires = "partition")]
    offset: Option<Offset>,
}

#[derive(clap::Args)]
pub struct ListArguments {
    #[command(flatten)]
    pipeline: PipelineArgument,
    #[command(flatten)]
    filter: Filter,
    /// At most so many
    #[arg(long, default_value_t = 50)]
    limit: u64,
    /// Print them as JSON, one per line, with their payloads
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub struct RetryArguments {
    #[command(flatten)]
    pipeline: PipelineArgument,
    #[command(flatten)]
    filter: Filter,
    /// All dead letters
    #[arg(long, conflicts_with_all = ["source", "kind", "partition", "offset"])]
    all: bool,
    /// Show what would be retried, and append nothing
    #[arg(long)]
    dry_run: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

impl Filter {
    fn is_empty(&self) -> bool {
        self.source.is_none() && self.kind.is_none() && self.partition.is_none()
    }

    /// The condition and its values.
    fn condition(&self) -> (String, Vec<(&'static str, String)>) {
        let mut parts = vec!["1".to_owned()];
        let mut values = Vec::new();
        let given = [
            ("source", "String", self.source.clone()),
            ("kind", "String", self.kind.clone()),
            ("partition", "UInt32", self.partition.map(|n| n.to_string())),
            ("offset", "UInt64", self.offset.map(|n| n.to_string())),
        ];
        for (column, of, value) in given {
            if let Some(value) = value {
                parts.push(format!("{column} = {{{column}:{of}}}"));
                values.push((column, value));
            }
        }
        (parts.join(" AND "), values)
    }

    async fn ask(&self, store: &Store, select: &str, rest: &str) -> Result<Vec<Value>> {
        let (condition, values) = self.condition();
        let values: Vec<(&str, &str)> = values.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let sql = format!("SELECT {select} FROM dead_letters WHERE {condition} {rest}");
        Ok(store.query_json(&sql, &values).await?)
    }
}

/// A number of a JSON row, whether ClickHouse quotes 64 bits or not.
pub fn number(value: &Value) -> u64 {
    value.as_u64().or_else(|| value.as_str().and_then(|text| text.parse().ok())).unwrap_or(0)
}

fn text_of<'v>(row: &'v Value, name: &str) -> &'v str {
    row[name].as_str().unwrap_or_default()
}

fn place(row: &Value) -> (Partition, Offset) {
    (Partition::try_from(number(&row["partition"])).unwrap_or(0), number(&row["offset"]))
}

pub async fn run(command: Command) -> Result<Found> {
    match command {
        Command::List(arguments) => list(arguments).await,
        Command::Retry(arguments) => retry(arguments).await,
    }
}

async fn list(arguments: ListArguments) -> Result<Found> {
    let pipeline = Pipeline::open(&arguments.pipeline)?;
    let opened = pipeline.written().await?;
    let asked = async {
        let columns =
            "toString(toDateTime64(log_time, 0)) AS time, partition, offset, source, id, kind, reason, plugin";
        let payload = if arguments.json { ", payload" } else { "" };
        let rest = format!("ORDER BY log_time DESC, partition, offset DESC LIMIT {}", arguments.limit);
        let rows = arguments.filter.ask(&opened.store, &format!("{columns}{payload}"), &rest).await?;
        let total = arguments.filter.ask(&opened.store, "count() AS n", "").await?;
        anyhow::Ok((rows, total.first().map_or(0, |row| number(&row["n"]))))
    }
    .await;
    opened.close().await;
    let (rows, total) = asked?;
    if arguments.json {
        print(&rows.iter().map(|row| format!("{row}\n")).collect::<String>())?;
        return Ok(Found::Fine);
    }
    let lines: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let (partition, offset) = place(row);
            let cell = |name, most| table::line(text_of(row, name), most);
            vec![
                cell("time", 19),
                partition.to_string(),
                offset.to_string(),
                cell("source", 24),
                cell("kind", 12),
                cell("id", 24),
                cell("reason", 160),
            ]
        })
        .collect();
    if lines.is_empty() {
        print("no dead letters\n")?;
    } else {
        print(&table::table(&["time", "partition", "offset", "source", "kind", "id", "reason"], &lines))?;
    }
    if total > rows.len() as u64 {
        print(&format!("\n{} of {total}; --limit shows more\n", rows.len()))?;
    }
    Ok(Found::Fine)
}

/// A dead letter to be put into the log again.
struct Again {
    partition: Partition,
    /// Its place among what its source said.
    origin: Offset,
    key: Option<Bytes>,
    value: Bytes,
}

/// What a retry does, in numbers.
#[derive(Default, serde::Serialize)]
struct Tally {
    selected: u64,
    retried: u64,
    /// Retries of a record that is retried already in this call.
    repeated: u64,
    refused: u64,
}

async fn retry(arguments: RetryArguments) -> Result<Found> {
    if arguments.filter.is_empty() && !arguments.all {
        bail!("say which: --kind, --source, --partition with --offset, or --all; --dry-run only shows them");
    }
    let pipeline = Pipeline::open(&arguments.pipeline)?;
    let opened = pipeline.written().await?;
    // The payloads stay where they are: the log has the records, byte for byte.
    let columns = "DISTINCT partition, offset, source, kind, reason";
    let rows = arguments.filter.ask(&opened.store, columns, "ORDER BY partition, offset").await;
    opened.close().await;
    let rows = rows?;
    let mut retrying = Retrying {
        key: pipeline.key()?,
        log: pipeline.log().await?,
        author: author(None, &pipeline.file),
        dry_run: arguments.dry_run,
        seen: HashSet::new(),
        gathered: BTreeMap::new(),
        bytes: 0,
        tally: Tally { selected: rows.len() as u64, ..Tally::default() },
    };
    let bar = progress(rows.len());
    for row in &rows {
        retrying.row(row, arguments.json).await?;
        bar.inc(1);
    }
    retrying.flush().await?;
    bar.finish_and_clear();
    report(&retrying.tally, &pipeline, &arguments)?;
    Ok(if retrying.tally.refused == 0 { Found::Fine } else { Found::Something })
}

fn report(tally: &Tally, pipeline: &Pipeline, arguments: &RetryArguments) -> Result<()> {
    if arguments.json {
        return print(&format!("{}\n", serde_json::to_string(tally)?));
    }
    let Tally { selected, retried, repeated, refused } = tally;
    if *selected == 0 {
        return print("no dead letters match\n");
    }
    let verb = if arguments.dry_run { "would be retried" } else { "put into the log again" };
    let repeated = if *repeated > 0 { format!(", {repeated} are retries of these") } else { String::new() };
    let refused = if *refused > 0 { format!(", {refused} cannot be retried") } else { String::new() };
    let selected = table::count(*selected, "dead letter");
    print(&format!("{selected}: {retried} {verb}{repeated}{refused}\n"))?;
    if *retried > 0 && !arguments.dry_run && pipeline.running.is_none() {
        print(&format!("`concord run -c {}` decides them\n", pipeline.file.path.display()))?;
    }
    Ok(())
}

struct Retrying {
    key: ControlKey,
    log: OpenLog,
    author: String,
    dry_run: bool,
    /// Original places that are retried in this call.
    seen: HashSet<(Partition, Offset)>,
    gathered: BTreeMap<Partition, Vec<NewRecord>>,
    bytes: usize,
    tally: Tally,
}

impl Retrying {
    async fn row(&mut self, row: &Value, quiet: bool) -> Result<()> {
        let (partition, offset) = place(row);
        let again = match self.log.record(partition, offset).await? {
            Some(record) => original(partition, &record, &self.key),
            None => Err("the log does not have the record any more; its payload stands in `dead_letters` (until \
                         retention.dead_letters is over): correct it if need be and hand it in with `concord append`"
                .to_owned()),
        };
        let again = match again {
            Ok(again) => again,
            Err(why) => {
                self.tally.refused += 1;
                eprintln!("partition {partition}, offset {offset}: not retried: {why}");
                return Ok(());
            }
        };
        if !self.seen.insert((partition, again.origin)) {
            self.tally.repeated += 1;
            return Ok(());
        }
        self.tally.retried += 1;
        if self.dry_run {
            if !quiet {
                let (source, kind) = (text_of(row, "source"), text_of(row, "kind"));
                let reason = table::line(text_of(row, "reason"), 120);
                print(&format!("  partition {partition}, offset {offset}, {source}, {kind}: {reason}\n"))?;
            }
            return Ok(());
        }
        self.gather(again, offset)?;
        if self.bytes >= BYTES_AT_ONCE || self.gathered.values().map(Vec::len).sum::<usize>() >= RECORDS_AT_ONCE {
            self.flush().await?;
        }
        Ok(())
    }

    fn gather(&mut self, again: Again, offset: Offset) -> Result<()> {
        let Again { partition, origin, key, value } = again;
        let now = now_millis();
        let control = Control::Retry { origin, key: key.clone(), value };
        let id = format!("retry-{partition}-{offset}-{now}");
        let value = event::sign_and_write(&control, &self.key, &id, &self.author, now.saturating_mul(1000))?;
        self.bytes += value.len();
        self.gathered.entry(partition).or_default().push(NewRecord { key, value, timestamp: now });
        Ok(())
    }

    /// Appends what is gathered; durable when it returns.
    async fn flush(&mut self) -> Result<()> {
        self.bytes = 0;
        for (partition, records) in std::mem::take(&mut self.gathered) {
            self.log.append(partition, records).await?;
        }
        Ok(())
    }
}

/// The source's record behind a dead letter. Of a copy or an earlier retry it is what these carried; a retry keeps
/// the place that the first one had.
fn original(partition: Partition, record: &Record, key: &ControlKey) -> Result<Again, String> {
    let (origin, key, value) = match event::parse(&record.value, key) {
        Parsed::Event(_) => (record.offset, record.key.clone(), record.value.clone()),
        Parsed::Control(signed) => match signed.control {
            Control::Retry { origin, key, value } => (origin, key, value),
            Control::Copy { key, value, .. } => (record.offset, key, value),
            Control::Configuration { .. } => {
                return Err("it is a configuration: correct the files and use `concord apply`".to_owned());
            }
            _ => return Err("it is a control record: these are not tried again".to_owned()),
        },
        Parsed::Forged(why) => return Err(format!("it is no record of a source ({why})")),
        Parsed::Invalid(why) => return Err(format!("it is no event, now as then: {why}")),
    };
    Ok(Again { partition, origin, key, value })
}

fn progress(rows: usize) -> indicatif::ProgressBar {
    if !std::io::stderr().is_terminal() || rows < 200 {
        return indicatif::ProgressBar::hidden();
    }
    let bar = super::terminal::bars().add(indicatif::ProgressBar::new(rows as u64));
    if let Ok(style) = indicatif::ProgressStyle::with_template("{spinner} {pos} of {len} dead letters ({elapsed})") {
        bar.set_style(style);
    }
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> ControlKey {
        let dir = tempfile::tempdir().expect("a directory");
        ControlKey::load_or_create(&dir.path().join("key")).expect("a key")
    }

    fn record(offset: Offset, key: Option<&'static str>, value: Bytes) -> Record {
        Record { offset, timestamp: 0, key: key.map(|k| Bytes::from_static(k.as_bytes())), value }
    }

    fn event() -> Bytes {
        let event = event::Event {
            source: "pms".into(),
            id: "1".into(),
            r#type: "delivery".into(),
            data: Bytes::from_static(b"{}"),
            ..event::Event::default()
        };
        event.write().expect("an event")
    }

    #[test]
    fn a_retry_of_a_retry_keeps_the_first_place_and_a_copy_has_its_own() {
        let (secret, value) = (key(), event());
        let original_key = Some(Bytes::from_static(b"H1/2026-03-01"));
        let plain = original(3, &record(7, Some("H1/2026-03-01"), value.clone()), &secret).expect("an event");
        assert_eq!((plain.origin, &plain.key, &plain.value), (7, &original_key, &value));

        let retry = Control::Retry { origin: 7, key: original_key.clone(), value: value.clone() };
        let carried = event::sign_and_write(&retry, &secret, "r", "me", 0).expect("signed");
        let again = original(3, &record(50, None, carried), &secret).expect("a retry");
        assert_eq!((again.origin, again.key, again.value), (7, original_key.clone(), value.clone()));

        let copy =
            Control::Copy { origin_partition: 1, origin_offset: 2, key: original_key.clone(), value: value.clone() };
        let carried = event::sign_and_write(&copy, &secret, "c", "me", 0).expect("signed");
        let copied = original(3, &record(60, None, carried.clone()), &secret).expect("a copy");
        assert_eq!((copied.origin, copied.key, copied.value), (60, original_key, value));

        assert!(original(3, &record(61, None, carried), &key()).is_err(), "signed by another key");
        assert!(original(3, &record(62, None, Bytes::from_static(b"\xff")), &secret).is_err(), "no event");
        let tick = event::sign_and_write(&Control::Tick { millis: 1 }, &secret, "t", "me", 0).expect("signed");
        assert!(original(3, &record(63, None, tick), &secret).is_err(), "not a source's");
    }
}
