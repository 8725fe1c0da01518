//! Golden cases: a folder with a pipeline's pieces, an input and the tables that it must give.
//!
//! A case lives in `tests/golden/NAME`: `input.jsonl`, `expected.txt`, and whatever differs from the defaults beside
//! the folders. Each line of the input is one of
//!
//! ```text
//! {"source": "pms", "delivery": {...}}           a delivery; also "raw": "text", "id": "...", "attributes": {...},
//!                                                "partition": 1 where it does not belong
//! {"source": "ota", "file": "new.xml"}           a delivery from a file of the case; XML by its name. With
//!                                                "but": {"old": "new"}, each old text (which must be there) replaced
//! {"apply": {"rules.toml": "rules-2.toml"}}      a configuration with these files in place of those
//! {"tick": "2026-01-31T00:00:00Z"}               partition time
//! {"reset": "pms"}                               the source begins anew
//! {"retry": 3}                                   the record of line 3 again
//! ```
//!
//! Lines that begin with `//` say what happens. `CONCORD_GOLDEN=refresh` writes `expected.txt` anew: read what changed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use concord::config::{DEFAULT_PARTITIONS, Tuning};
use concord::deliver::Deliverer;
use concord::event::{self, Control, Parsed};
use concord::log::{Log, NewRecord, Offset, Partition};
use concord::plugin::Delivery;
use concord::worker::checkpoint::Counts;
use serde_json::value::RawValue;

use super::dump::{self, Dump, Labels};
use super::files::{Files, golden_dir};
use super::{Database, Lease, OwnLog, START, Window, configuration, host, key, process, until_idle, until_idle_on};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    source: Option<String>,
    delivery: Option<Box<RawValue>>,
    raw: Option<String>,
    file: Option<String>,
    #[serde(default)]
    but: BTreeMap<String, String>,
    id: Option<String>,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
    partition: Option<Partition>,
    apply: Option<BTreeMap<String, String>>,
    tick: Option<String>,
    reset: Option<String>,
    retry: Option<usize>,
}

/// A case's log as it stands before any worker runs.
pub struct Input {
    pub partitions: Vec<Vec<NewRecord>>,
    pub labels: Labels,
}

impl Input {
    /// From a case's folder.
    pub fn read(folder: &Path) -> Input {
        let files = Files::with(folder);
        let text = std::fs::read_to_string(folder.join("input.jsonl")).expect("input.jsonl");
        let mut builder = Builder::new(files, folder);
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with("//"));
        for (number, line) in (1..).zip(lines) {
            let line: Line = serde_json::from_str(line).unwrap_or_else(|error| panic!("line {number}: {error}"));
            builder.line(number, line);
        }
        Input { partitions: builder.partitions, labels: builder.labels }
    }
}

/// Makes records of lines.
struct Builder {
    files: Files,
    folder: PathBuf,
    partitions: Vec<Vec<NewRecord>>,
    labels: Labels,
    deliverers: BTreeMap<String, Deliverer>,
    /// Where the records of each line stand.
    places: BTreeMap<usize, Vec<(Partition, Offset)>>,
    /// Offset of the last configuration: the one that the next follows.
    configured: Option<Offset>,
}

impl Builder {
    fn new(files: Files, folder: &Path) -> Builder {
        let partitions = files.pipeline().log.partitions.unwrap_or(DEFAULT_PARTITIONS) as usize;
        let (labels, deliverers, places) = Default::default();
        let partitions = vec![Vec::new(); partitions];
        let mut builder =
            Builder { files, folder: folder.to_owned(), partitions, labels, deliverers, places, configured: None };
        builder.apply(0);
        builder
    }

    fn put(&mut self, number: usize, label: String, partition: Partition, record: NewRecord) {
        let records = &mut self.partitions[partition as usize];
        let place = (partition, records.len() as Offset);
        records.push(record);
        self.labels.insert(place, label);
        self.places.entry(number).or_default().push(place);
    }

    fn apply(&mut self, number: usize) {
        let label = if number == 0 { "start".to_owned() } else { format!("#{number}") };
        for record in configuration(&self.files, self.configured, at(number)) {
            self.configured = Some(self.partitions[0].len() as Offset);
            self.put(number, label.clone(), 0, record);
        }
        self.deliverers.clear();
    }

    fn control(&mut self, number: usize, partition: Partition, control: &Control) {
        let id = format!("control-{number}");
        let value = event::sign_and_write(control, &key(), &id, "tester", at(number) * 1000).expect("control record");
        self.put(number, format!("#{number}"), partition, NewRecord { key: None, value, timestamp: at(number) });
    }

    fn line(&mut self, number: usize, line: Line) {
        if let Some(files) = line.apply {
            for (file, proposal) in files {
                let text = self.files.read(&proposal);
                self.files.write(&file, text);
            }
            return self.apply(number);
        }
        if let Some(tick) = line.tick {
            let time = time::OffsetDateTime::parse(&tick, &time::format_description::well_known::Rfc3339);
            let millis = time.expect("a time").unix_timestamp() * 1000;
            for partition in 0..self.partitions.len() as Partition {
                self.control(number, partition, &Control::Tick { millis });
            }
            return;
        }
        if let Some(source) = line.reset {
            return self.control(number, 0, &Control::Reset { source, sequence: None });
        }
        if let Some(origin) = line.retry {
            for (partition, offset) in self.places[&origin].clone() {
                let NewRecord { key, value, .. } = self.partitions[partition as usize][offset as usize].clone();
                self.control(number, partition, &Control::Retry { origin: offset, key, value });
            }
            return;
        }
        self.delivery(number, line);
    }

    /// A file of the case with some of its text replaced.
    fn file(&self, number: usize, file: &str, but: &BTreeMap<String, String>) -> String {
        let path = self.folder.join(file);
        let mut text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for (old, new) in but {
            assert!(text.contains(old.as_str()), "line {number}: {file} holds no `{old}`");
            text = text.replace(old.as_str(), new);
        }
        text
    }

    fn delivery(&mut self, number: usize, line: Line) {
        let source = line.source.unwrap_or_else(|| panic!("line {number}: no source"));
        let from_file = line.file.as_ref().map(|file| self.file(number, file, &line.but));
        let body = line.delivery.map(|json| json.get().to_owned()).or(line.raw).or(from_file);
        let body = body.unwrap_or_else(|| panic!("line {number}: no delivery"));
        if !self.deliverers.contains_key(&source) {
            let deliverer = deliverer(&self.files, &source, self.partitions.len() as u32);
            self.deliverers.insert(source.clone(), deliverer);
        }
        let is_xml = line.file.is_some_and(|file| file.ends_with(".xml"));
        let delivery = Delivery {
            content_type: if is_xml { "application/xml" } else { "application/json" }.to_owned(),
            attributes: line.attributes.into_iter().collect(),
            body: body.into(),
        };
        let delivered = self.deliverers.get_mut(&source).expect("a deliverer");
        let delivered = delivered.deliver(delivery, line.id.as_deref(), at(number)).expect("host");
        assert!(delivered.refused.is_empty(), "line {number}: {:?}", delivered.refused);
        let several = delivered.records.len() > 1;
        for (part, (target, record)) in (1..).zip(delivered.records) {
            let label = if several { format!("#{number}/{part}") } else { format!("#{number}") };
            self.put(number, label, line.partition.unwrap_or(target), record);
        }
    }
}

/// The log time of a line, in milliseconds.
fn at(number: usize) -> i64 {
    START + number as i64 * 1000
}

/// Takes a source's deliveries under the files as they are.
pub fn deliverer(files: &Files, source: &str, partitions: u32) -> Deliverer {
    let proposal = concord::config::Proposal::read(&files.pipeline()).expect("files");
    let settings = proposal.document.sources.get(source).unwrap_or_else(|| panic!("no source {source}"));
    let component = proposal.plugin_bytes[&settings.plugin.digest].clone();
    let made = Deliverer::new(&host(), &proposal.document, source, &component, partitions).expect("plugin");
    made.expect("a source")
}

/// Runs a case in every way and compares its tables with each other and with what is expected.
pub async fn check(lease: &Lease, name: &str) {
    let folder = golden_dir().join(name);
    let input = Input::read(&folder);
    let (log, straight, counts) = straight(lease, &input).await;
    let labels = all_labels(&input.labels, &log);
    let partitions = log.len() as u32;
    let log: Vec<Vec<NewRecord>> = log.into_iter().map(|records| records.into_iter().map(again).collect()).collect();

    for (batch_records, call_records, cache_bytes) in [(1, 1, 1), (3, 2, 256 << 20), (7, 128, 1)] {
        let tuning = Tuning { batch_records, call_records, cache_bytes };
        let dump = variant(lease, &log, tuning).await;
        straight.assert_same(&dump, &format!("{name}: straight (-) and with {tuning:?} (+)"));
    }
    let (resumed, outcomes) = resumed(lease, &log, &labels).await;
    straight.assert_same(&resumed, &format!("{name}: straight (-) and stopped after every record (+)"));
    let partition_of = |property: &str| concord::log::partitioner::partition(property.as_bytes(), partitions);
    let Counts { merged, stale, duplicate, rerouted, dead_letters, .. } = counts;
    let text = format!(
        "records: {merged} merged, {stale} stale, {duplicate} duplicates, {rerouted} re-routed, {dead_letters} dead letters\n{}{}",
        outcomes.iter().map(|line| format!("  {line}\n")).collect::<String>(),
        dump::readable(&straight, &labels, partition_of)
    );
    let dead = straight.rows("dead_letters").len() as u64;
    assert_eq!(counts.dead_letters, dead, "{name}: dead letters counted and written");
    compare(&folder.join("expected.txt"), &text);
}

/// Whether a case has the same tables when its log stands elsewhere and workers share the partitions: one for each
/// handle on that log.
pub async fn check_on<L: Log>(lease: &Lease, name: &str, log_of: impl AsyncFnOnce(&[Vec<NewRecord>]) -> Vec<Arc<L>>) {
    let (log, straight, _) = straight(lease, &Input::read(&golden_dir().join(name))).await;
    let log: Vec<Vec<NewRecord>> = log.into_iter().map(|records| records.into_iter().map(again).collect()).collect();
    let handles = log_of(&log).await;
    let (database, of) = (Database::fresh(lease), handles.len());
    let mut workers = tokio::task::JoinSet::new();
    for (index, handle) in handles.into_iter().enumerate() {
        let shared = process(handle, &database, &format!("worker-{index}"), Tuning::default()).await;
        let share: Vec<Partition> = (0..log.len() as Partition).filter(|p| *p as usize % of == index).collect();
        workers.spawn(async move { until_idle_on(&shared, share).await });
    }
    while let Some(ended) = workers.join_next().await {
        ended.expect("no panic").expect("a run to the end");
    }
    let store = database.store().await;
    dump::check(&store, log.len() as u32).await;
    straight.assert_same(&Dump::read(&store).await, &format!("{name}: embedded (-) and elsewhere (+)"));
}

fn again(record: concord::log::Record) -> NewRecord {
    NewRecord { key: record.key, value: record.value, timestamp: record.timestamp }
}

/// One partition after the other, so that what workers append stands in one order. Gives the whole log too.
async fn straight(lease: &Lease, input: &Input) -> (Vec<Vec<concord::log::Record>>, Dump, Counts) {
    let own = OwnLog::of(&input.partitions).await;
    let partitions = input.partitions.len() as u32;
    let database = Database::fresh(lease);
    // Twice where there are several: what the later ones copy to the earlier ones waits there.
    for _ in 0..partitions.min(2) {
        for partition in 0..partitions {
            let shared = process(own.log.clone(), &database, "straight", Tuning::default()).await;
            until_idle_on(&shared, partition..partition + 1).await.expect("a run to the end");
        }
    }
    let shared = process(own.log.clone(), &database, "last", Tuning::default()).await;
    until_idle(&shared).await.expect("a run to the end");
    let (log, mut counts) = (own.records().await, Counts::default());
    shared.all_progress().iter().for_each(|progress| counts.add(&progress.counts()));
    let ends: usize = log.iter().map(Vec::len).sum();
    assert_eq!(counts.total(), ends as u64, "every record has one outcome: {counts:?}");
    let store = database.store().await;
    dump::check(&store, partitions).await;
    (log, Dump::read(&store).await, counts)
}

/// The same log at once, on all partitions.
async fn variant(lease: &Lease, log: &[Vec<NewRecord>], tuning: Tuning) -> Dump {
    let own = OwnLog::of(log).await;
    let database = Database::fresh(lease);
    let shared = process(own.log.clone(), &database, "variant", tuning).await;
    until_idle(&shared).await.expect("a run to the end");
    let store = database.store().await;
    dump::check(&store, log.len() as u32).await;
    Dump::read(&store).await
}

/// The same log by processes that each decide one record per partition and end; says what became of each record.
async fn resumed(lease: &Lease, log: &[Vec<NewRecord>], labels: &Labels) -> (Dump, Vec<String>) {
    let own = OwnLog::of(log).await;
    let database = Database::fresh(lease);
    let end = log.iter().map(Vec::len).max().unwrap_or(0) as Offset;
    let first: Vec<Offset> = log.iter().map(|records| first_configuration(records)).collect();
    let mut before: Vec<Counts> = vec![Counts::default(); log.len()];
    let mut outcomes = BTreeMap::new();
    for shown in 0..=end {
        let ends: Vec<Offset> =
            log.iter().zip(&first).map(|(records, first)| shown.max(first + 1).min(records.len() as Offset)).collect();
        let window = std::sync::Arc::new(Window::new(own.log.clone(), ends.clone()));
        let shared = process(window, &database, &format!("resumed-{shown}"), Tuning::default()).await;
        until_idle(&shared).await.expect("a run to the window's end");
        for (partition, before) in (0..).zip(&mut before) {
            let now = shared.progress(partition).counts();
            assert_eq!(now.total(), ends[partition as usize], "every record has one outcome");
            if now.total() == before.total() + 1 {
                outcomes.insert((partition, before.total()), outcome(before, &now));
            }
            *before = now;
        }
    }
    let store = database.store().await;
    dump::check(&store, log.len() as u32).await;
    let mut named: Vec<(usize, String)> = Vec::new();
    for (place, outcome) in outcomes {
        let label = labels.get(&place).cloned().unwrap_or_default();
        let number = label.trim_start_matches("copy of ").trim_start_matches('#').split('/').next().map(str::parse);
        if let Some(Ok(number)) = number {
            named.push((number, format!("{label} {outcome}")));
        }
    }
    named.sort_by_key(|(number, _)| *number);
    named.dedup();
    (Dump::read(&store).await, named.into_iter().map(|(_, line)| line).collect())
}

fn outcome(before: &Counts, now: &Counts) -> &'static str {
    match now {
        _ if now.merged > before.merged => "merged",
        _ if now.stale > before.stale => "stale",
        _ if now.duplicate > before.duplicate => "duplicate",
        _ if now.rerouted > before.rerouted => "re-routed",
        _ if now.control > before.control => "control",
        _ => "dead letter",
    }
}

fn first_configuration(records: &[NewRecord]) -> Offset {
    let is_configuration = |record: &NewRecord| match event::parse(&record.value, &key()) {
        Parsed::Control(signed) => matches!(signed.control, Control::Configuration { .. }),
        _ => false,
    };
    records.iter().position(is_configuration).map_or(0, |at| at as Offset)
}

/// Names also what the workers have appended.
fn all_labels(labels: &Labels, log: &[Vec<concord::log::Record>]) -> Labels {
    let mut all = labels.clone();
    for (partition, records) in (0..).zip(log) {
        for record in records {
            if labels.contains_key(&(partition, record.offset)) {
                continue;
            }
            let Parsed::Control(signed) = event::parse(&record.value, &key()) else { continue };
            let label = match signed.control {
                Control::Copy { origin_partition, origin_offset, .. } => {
                    format!("copy of {}", labels[&(origin_partition, origin_offset)])
                }
                Control::Owner { .. } => "owner".to_owned(),
                _ => "copied control".to_owned(),
            };
            all.insert((partition, record.offset), label);
        }
    }
    all
}

/// Compares with the file, or writes it.
#[track_caller]
fn compare(file: &Path, text: &str) {
    if std::env::var("CONCORD_GOLDEN").is_ok_and(|wish| wish == "refresh") {
        return std::fs::write(file, text).expect("write");
    }
    let expected = std::fs::read_to_string(file).unwrap_or_default();
    let (left, right): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), text.lines().collect());
    let differences = dump::differences(&file.display().to_string(), &left, &right);
    assert!(expected == text, "not as expected (-), but (+)\n{differences}\nCONCORD_GOLDEN=refresh writes it anew");
}
