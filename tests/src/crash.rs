//! The real process, killed again and again: a pipeline in a folder, `concord run` on it, deliveries through its door.
//!
//! Knows processes, signals and what was acknowledged. Does not know what the right tables are: the same log read by
//! a process that nobody kills gives them.

pub mod feed;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use concord::config::{RunFile, Running};
use concord::door::{DoorClient, LogStatus};
use concord::event::{self, ControlKey, Event, Key, Parsed};
use concord::log::embedded::{EmbeddedLog, OpenOptions};
use concord::log::partitioner::partition;
use concord::log::{Log, NewRecord};
use concord::store::{self, Store};
use concord::types::Day;
use concord::worker::checkpoint::{Checkpoint, PartitionState};

use crate::pipeline::{copy_folder, dump, dump::Dump, plugins_dir};
use feed::Feed;

/// Partitions of the log under test.
pub const PARTITIONS: u32 = 4;
/// A hang is a failure; nothing else here looks at the clock.
const HANG: Duration = Duration::from_secs(120);

/// A pipeline's folder and the program that works on it.
pub struct Place {
    pub folder: PathBuf,
    program: PathBuf,
}

/// `concord run`, killed when it is dropped.
pub struct Process(Child);

impl Place {
    /// A new pipeline in an empty folder.
    pub fn new(folder: &Path, program: &Path) -> Place {
        std::fs::create_dir_all(folder).expect("folder");
        let place = Place { folder: folder.to_owned(), program: program.to_owned() };
        let plugins = plugins_dir();
        assert!(plugins.join("native.wasm").exists(), "no plugins in {}: run `cargo xtask guests`", plugins.display());
        let sources: String = feed::SOURCES
            .iter()
            .map(|name| {
                format!("[[source]]\nname = \"{name}\"\nplugin = {:?}\nidentity = true\n", plugins.join("native.wasm"))
            })
            .collect();
        let pipeline = format!(
            "[pipeline]\nname = \"crash\"\ndata_dir = \"data\"\nkey_file = \"data/control.key\"\n\
             [log]\nkind = \"embedded\"\npartitions = {PARTITIONS}\n\
             [clickhouse]\nkind = \"embedded\"\nlisten = \"127.0.0.1:0\"\ndatabase = \"concord\"\n\
             [properties]\nfile = \"properties.toml\"\n[fields]\nprice = \"money\"\n\
             [rules]\nfile = \"rules.toml\"\nplugin = {:?}\n{sources}\
             [limits]\nbatch_records = 32\ncall_records = 16\n",
            plugins.join("precedence.wasm")
        );
        let hotels: String = (0..feed::HOTELS)
            .map(|hotel| {
                format!(
                    "[[property]]\nid = \"H{hotel}\"\nname = \"House {hotel}\"\nregion = \"north\"\n\
                     time_zone = \"Europe/Berlin\"\nroom_types = {{ DBL = 2, SGL = 1 }}\n\
                     rooms = {{ DBL = [\"1\", \"2\"], SGL = [\"3\"] }}\n"
                )
            })
            .collect();
        std::fs::write(place.file(), pipeline).expect("pipeline.toml");
        std::fs::write(folder.join("properties.toml"), hotels).expect("properties.toml");
        place.rules(0);
        place
    }

    /// Another rule set: every second one believes the website first and sells a room more than there is.
    pub fn rules(&self, number: usize) {
        let order =
            if number.is_multiple_of(2) { "\"pms\", \"booking-com\", \"website\"" } else { "\"website\", \"*\"" };
        let rules = format!(
            "[ruleset]\nname = \"crash\"\nversion = \"{number}\"\n\
             [classes]\nall = [\"*\"]\n\
             [[field]]\nid = \"field\"\nfields = [\"*\"]\norder = [{order}]\n\
             [[stay.status]]\nid = \"status\"\norder = [\"checked-out@pms\", \"checked-in@pms\", \"reinstated@*\", \"cancelled@booking-com\", \"*@*\"]\n\
             [[stay.field]]\nid = \"stay\"\nfields = [\"placement\", \"money\", \"guests\"]\norder = [{order}]\n\
             [stay]\nno_show = \"release\"\n\
             [[capacity]]\nid = \"rooms\"\norder = [\"checked-in@pms\", \"confirmed@*\", \"*@*\"]\noverbook = {}\n",
            number % 2
        );
        std::fs::write(self.folder.join("rules.toml"), rules).expect("rules.toml");
    }

    /// The same log and files with an empty store, as another machine sees them.
    pub fn only_the_log(&self, folder: &Path) -> Place {
        let place = Place::new(folder, &self.program);
        let data = folder.join("data");
        std::fs::create_dir_all(&data).expect("folder");
        copy_folder(&self.data().join("log"), &data.join("log"));
        std::fs::copy(self.data().join("control.key"), data.join("control.key")).expect("key");
        place
    }

    fn file(&self) -> PathBuf {
        self.folder.join("pipeline.toml")
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// What the processes said, for messages.
    pub fn said(&self) -> String {
        let text = std::fs::read_to_string(self.folder.join("stderr.txt")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    /// A command of the program; its standard error goes to a file.
    pub fn spawn(&self, words: &[&str], input: Stdio) -> Process {
        let stderr = std::fs::OpenOptions::new().create(true).append(true).open(self.folder.join("stderr.txt"));
        let mut command = Command::new(&self.program);
        command.args(words).arg("-c").arg(self.file());
        command.stdin(input).stdout(Stdio::null()).stderr(stderr.expect("stderr.txt"));
        Process(command.spawn().expect("the program starts"))
    }

    /// The running process's door, as soon as it is open. `None` if the process ends before.
    pub async fn door(&self, process: &mut Process) -> Option<(DoorClient, Box<RunFile>)> {
        let started = Instant::now();
        loop {
            // A file that is just being replaced, or that a killed process left, is none.
            if let Ok(Running::Yes(run)) = RunFile::find(&self.data())
                && run.pid == process.0.id()
            {
                return Some((DoorClient::new(run.door.clone()), run));
            }
            if process.has_ended() {
                return None;
            }
            assert!(started.elapsed() < HANG, "the process does not come up:\n{}", self.said());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Works until all is decided, reads everything, and ends the process by Ctrl-C.
    pub async fn finish(&self) -> Finished {
        let mut process = self.spawn(&["run"], Stdio::null());
        let (door, run) =
            self.door(&mut process).await.unwrap_or_else(|| panic!("concord run ended:\n{}", self.said()));
        let started = Instant::now();
        while !door.status().await.is_ok_and(|status| is_idle(&status)) {
            assert!(!process.has_ended(), "concord run ended:\n{}", self.said());
            assert!(started.elapsed() < HANG, "concord run does not come to the log's end:\n{}", self.said());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let options = store::Options {
            url: run.address.clone(),
            user: run.user.clone(),
            password: run.password.clone(),
            database: run.database.clone(),
            ..store::Options::default()
        };
        let store = Store::connect(options).await.expect("the store");
        dump::check(&store, PARTITIONS).await;
        let dump = Dump::read(&store).await;
        let mut checkpoints = Vec::new();
        for partition in 0..PARTITIONS {
            let entries = store.load_partition(partition).await.expect("state").entries;
            checkpoints.push(PartitionState::read(&entries).expect("state").checkpoint.expect("a checkpoint"));
        }
        let sql = "SELECT count() AS rows, uniqExact(partition, offset, seq) AS positions FROM conflicts";
        let counts = store.query_json(sql, &[]).await.expect("conflicts");
        process.signal(libc::SIGINT);
        let status = process.wait();
        assert!(status.success(), "Ctrl-C: {status}\n{}", self.said());
        Finished { dump, checkpoints, rows_and_positions: (counts[0]["rows"].clone(), counts[0]["positions"].clone()) }
    }

    /// Every delivery in the log by its id, and how many records there are. Fails on a record that is not whole.
    pub async fn read_log(&self) -> (HashMap<String, usize>, u64) {
        let key = ControlKey::load(&self.data().join("control.key")).expect("key");
        let options = OpenOptions { partitions: PARTITIONS, max_record_bytes: 16 << 20, ..OpenOptions::default() };
        let log = EmbeddedLog::open(&self.data().join("log"), options).expect("log");
        let (mut found, mut records) = (HashMap::new(), 0);
        for partition in 0..PARTITIONS {
            let (mut at, end) = log.bounds(partition).await.expect("bounds");
            while at < end {
                for record in log.read(partition, at, 4096, 16 << 20).await.expect("read") {
                    assert_eq!(record.offset, at, "a gap in partition {partition}");
                    at += 1;
                    records += 1;
                    match event::parse(&record.value, &key) {
                        Parsed::Event(event) => *found.entry(event.id).or_default() += 1,
                        Parsed::Control(_) => {}
                        broken => panic!("partition {partition}, offset {}: {broken:?}", record.offset),
                    }
                }
            }
        }
        (found, records)
    }
}

/// What a pipeline comes to.
pub struct Finished {
    pub dump: Dump,
    pub checkpoints: Vec<Checkpoint>,
    /// Of conflict rows: how many there are, and how many positions they have.
    rows_and_positions: (serde_json::Value, serde_json::Value),
}

impl Finished {
    /// Panics unless both have the same tables, audit and outcomes, and every conflict once.
    #[track_caller]
    pub fn assert_same(&self, undisturbed: &Finished, what: &str) {
        undisturbed.dump.assert_same(&self.dump, what);
        for (partition, (ours, theirs)) in self.checkpoints.iter().zip(&undisturbed.checkpoints).enumerate() {
            let told =
                |c: &Checkpoint| (c.counts.merged, c.counts.stale, c.counts.dead_letters, c.audit, c.configuration);
            assert_eq!(told(ours), told(theirs), "{what}: partition {partition}");
            assert_eq!(ours.counts.total(), ours.next, "{what}: partition {partition}: a record without an outcome");
        }
        let (rows, positions) = &self.rows_and_positions;
        assert_eq!(rows, positions, "{what}: a conflict stands there more than once");
    }

    pub fn conflicts(&self) -> usize {
        self.dump.0["conflicts"].len()
    }
}

fn is_idle(status: &LogStatus) -> bool {
    status.partitions.iter().all(|partition| partition.next == Some(partition.end))
}

impl Process {
    pub fn has_ended(&mut self) -> bool {
        self.0.try_wait().expect("wait").is_some()
    }

    /// Its standard input, once.
    pub fn input(&mut self) -> Option<std::process::ChildStdin> {
        self.0.stdin.take()
    }

    pub fn signal(&self, signal: libc::c_int) {
        let pid = i32::try_from(self.0.id()).expect("a process id");
        // SAFETY: the process is our child and not waited for yet, so the number is still its own.
        unsafe { libc::kill(pid, signal) };
    }

    /// Its end; a hang is a failure.
    pub fn wait(&mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.0.try_wait().expect("wait") {
                return status;
            }
            assert!(started.elapsed() < HANG, "the process does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What was sent, and what of it was acknowledged.
#[derive(Default)]
pub struct Sent {
    pub acknowledged: HashMap<String, usize>,
    /// Sent without an answer, or on its way when the process was killed: it may be there.
    pub unanswered: HashMap<String, usize>,
    number: usize,
}

impl Sent {
    /// Sends `batches` small batches through the door; stops when nobody answers any more.
    pub async fn through(&mut self, door: &DoorClient, feed: &mut Feed, batches: usize) {
        for _ in 0..batches {
            let target = u32::try_from(feed.random.below(PARTITIONS as usize)).unwrap_or(0);
            let mut batch = Vec::new();
            for _ in 0..1 + feed.random.below(24) {
                let (id, home, record) = self.record(feed);
                // A foreign producer may hit the wrong partition; most of ours go home.
                if home == target || feed.random.percent(5) {
                    batch.push((id, record));
                }
            }
            let records: Vec<NewRecord> = batch.iter().map(|(_, record)| record.clone()).collect();
            // Whoever is interrupted while waiting does not know what became of it.
            self.note(batch.iter().map(|(id, _)| id), false);
            if door.append(target, &records).await.is_err() {
                return;
            }
            for (id, _) in &batch {
                *self.unanswered.get_mut(id).expect("just noted") -= 1;
            }
            self.note(batch.iter().map(|(id, _)| id), true);
        }
    }

    /// Writes down what was sent.
    pub fn note<'a>(&mut self, ids: impl IntoIterator<Item = &'a String>, acknowledged: bool) {
        let book = if acknowledged { &mut self.acknowledged } else { &mut self.unanswered };
        for id in ids {
            *book.entry(id.clone()).or_default() += 1;
        }
    }

    /// Deliveries for `concord append --lines`, all of one source; their ids are those that the command gives them.
    pub fn lines(&mut self, feed: &mut Feed, source: &str, count: usize) -> (String, Vec<String>) {
        let (mut text, mut ids) = (String::new(), Vec::new());
        while ids.len() < count {
            let (from, line) = feed.next_delivery();
            if from == source {
                ids.push(content_id(source, &line));
                text += &line;
                text.push('\n');
            }
        }
        (text, ids)
    }

    fn record(&mut self, feed: &mut Feed) -> (String, u32, NewRecord) {
        let (source, text) = feed.next_delivery();
        self.number += 1;
        // Some senders have delivery ids of their own.
        let id = if feed.random.percent(30) { format!("d{}", self.number) } else { content_id(source, &text) };
        let hotel = serde_json::from_str::<serde_json::Value>(&text)
            .ok()
            .and_then(|d| Some(d["property"].as_str()?.to_owned()));
        let hotel = hotel.unwrap_or_else(|| "H1".to_owned());
        let event = Event {
            source: source.to_owned(),
            id: id.clone(),
            r#type: "delivery".to_owned(),
            datacontenttype: Some("application/json".to_owned()),
            data: text.into(),
            ..Event::default()
        };
        let key = Key::new(hotel.as_str(), Day::EPOCH).expect("a key").to_bytes();
        let value = event.write().expect("an event");
        let timestamp = 1_800_000_000_000 + self.number as i64;
        (id, partition(hotel.as_bytes(), PARTITIONS), NewRecord { key: Some(key), value, timestamp })
    }

    /// Panics unless what was acknowledged is in the log, and nothing more than was sent.
    pub fn assert_in(&self, found: &HashMap<String, usize>) {
        for (id, count) in &self.acknowledged {
            let there = found.get(id).copied().unwrap_or(0);
            let unsure = self.unanswered.get(id).copied().unwrap_or(0);
            assert!(there >= *count, "{id}: {count} times acknowledged, {there} times in the log");
            assert!(there <= count + unsure, "{id}: sent {} times, {there} times in the log", count + unsure);
        }
        let known = |id: &String| self.acknowledged.contains_key(id) || self.unanswered.contains_key(id);
        let stranger = found.keys().find(|id| !known(id));
        assert!(stranger.is_none(), "{stranger:?} is in the log and was never sent");
    }
}

fn content_id(source: &str, text: &str) -> String {
    let media = Some("application/json");
    let body = event::trim_json(&text.to_owned().into(), media);
    event::content_id(source, media, &[], &body)
}
