//! The whole pipeline on a real Fluvio cluster: the same tables as on the embedded log, also when workers share the
//! partitions, are killed, replaced, paused and woken.
//!
//! Runs where `CONCORD_FLUVIO` names the controller; elsewhere each test prints "skipped: no Fluvio". Needs libchdb and
//! the built plugins.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use concord::config::{FluvioPlace, Tuning};
use concord::door::DoorClient;
use concord::event::{Control, ControlKey, Parsed, parse};
use concord::log::fluvio::{self as adapter, FluvioLog, NewTopic, OpenOptions};
use concord::log::{Log, NewRecord, Partition};
use concord::worker::checkpoint::PartitionState;
use concord::worker::{self, Mode, Shared};
use concord_tests::crash::feed::Feed;
use concord_tests::pipeline::dump::{self, Dump};
use concord_tests::pipeline::files::golden_dir;
use concord_tests::pipeline::{Database, Lease, Proxy, golden, host, plugins_dir, with_clickhouse};

const PROGRAM: &str = env!("CARGO_BIN_EXE_concord-under-test");
/// A hang is a failure; nothing else here looks at the clock.
const HANG: Duration = Duration::from_secs(120);
const PARTITIONS: u32 = 8;

/// Where the controller is; `None`, said on standard output, where there is none.
fn endpoint() -> Option<String> {
    let endpoint = std::env::var("CONCORD_FLUVIO").ok();
    if endpoint.is_none() {
        println!("skipped: no Fluvio");
    }
    endpoint
}

/// A new topic.
async fn topic(endpoint: &str, what: &str, partitions: u32) -> OpenOptions {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = format!("pipeline-{}-{number}-{}", std::process::id(), what.replace('_', "-"));
    let place = FluvioPlace::Endpoint { address: endpoint.to_owned(), tls: None };
    let new = NewTopic { name: name.clone(), partitions, replication: 1, retention: None };
    adapter::create(&place, &new).await.expect("a topic");
    OpenOptions { place, topic: name, partitions: Some(partitions), max_record_bytes: 32 << 20 }
}

async fn open(options: &OpenOptions) -> Arc<FluvioLog> {
    Arc::new(FluvioLog::open(options).await.expect("the log opens"))
}

#[test]
fn golden_cases_have_the_same_tables() {
    let Some(endpoint) = endpoint() else { return };
    with_clickhouse(async |lease| {
        let entries = std::fs::read_dir(golden_dir()).expect("cases").map(|entry| entry.expect("entry"));
        let cases = entries.filter(|entry| entry.path().is_dir()).map(|e| e.file_name().to_string_lossy().into_owned());
        let mut cases: Vec<String> = cases.collect();
        cases.sort();
        for (number, name) in cases.iter().enumerate() {
            let workers = 1 + number % 2;
            golden::check_on(lease, name, async |log: &[Vec<NewRecord>]| {
                let options = topic(&endpoint, name, log.len() as u32).await;
                let first = open(&options).await;
                for (partition, records) in (0..).zip(log) {
                    first.append(partition, records.clone()).await.expect("appended");
                }
                let mut handles = vec![first];
                while handles.len() < workers.min(log.len()) {
                    handles.push(open(&options).await);
                }
                handles
            })
            .await;
        }
        println!("golden cases on Fluvio: {} with the same tables as on the embedded log", cases.len());
    });
}

/// A pipeline's folder for workers that are processes, and a ClickHouse that they share.
struct Place {
    folder: tempfile::TempDir,
    database: Database,
    options: OpenOptions,
}

/// `concord run`, killed when it is dropped.
struct Worker {
    child: Child,
    data: PathBuf,
    errors: PathBuf,
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Place {
    async fn new(lease: &Lease, endpoint: &str, what: &str) -> Place {
        let options = topic(endpoint, what, PARTITIONS).await;
        let (folder, database) = (tempfile::tempdir().expect("a folder"), Database::fresh(lease));
        std::fs::write(folder.path().join("password"), &database.options.password).expect("password");
        let place = Place { folder, database, options };
        place.write(&place.database.options.url, endpoint);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The pipeline's files, with ClickHouse at this address.
    fn write(&self, clickhouse: &str, endpoint: &str) {
        let plugins = plugins_dir();
        let sources: String = concord_tests::crash::feed::SOURCES
            .iter()
            .map(|name| {
                format!("[[source]]\nname = \"{name}\"\nplugin = {:?}\nidentity = true\n", plugins.join("native.wasm"))
            })
            .collect();
        let (topic, store) = (&self.options.topic, &self.database.options);
        let pipeline = format!(
            "[pipeline]\nname = \"shared\"\n[log]\nkind = \"fluvio\"\nendpoint = \"{endpoint}\"\ntopic = \"{topic}\"\n\
             [clickhouse]\nkind = \"server\"\nurl = \"{clickhouse}\"\nuser = \"{}\"\npassword_file = \"password\"\n\
             database = \"{}\"\n[properties]\nfile = \"properties.toml\"\n[fields]\nprice = \"money\"\n\
             [rules]\nfile = \"rules.toml\"\nplugin = {:?}\n{sources}[limits]\nbatch_records = 16\n",
            store.user,
            store.database,
            plugins.join("precedence.wasm"),
        );
        let hotels: String = (0..concord_tests::crash::feed::HOTELS)
            .map(|hotel| {
                format!(
                    "[[property]]\nid = \"H{hotel}\"\nname = \"House {hotel}\"\nregion = \"north\"\n\
                     time_zone = \"Europe/Berlin\"\nroom_types = {{ DBL = 2, SGL = 1 }}\n\
                     rooms = {{ DBL = [\"1\", \"2\"], SGL = [\"3\"] }}\n"
                )
            })
            .collect();
        let order = "\"pms\", \"booking-com\", \"website\"";
        let rules = format!(
            "[ruleset]\nname = \"shared\"\nversion = \"1\"\n[classes]\nall = [\"*\"]\n\
             [[field]]\nid = \"field\"\nfields = [\"*\"]\norder = [{order}]\n\
             [[stay.status]]\nid = \"status\"\norder = [\"checked-in@pms\", \"cancelled@booking-com\", \"*@*\"]\n\
             [[stay.field]]\nid = \"stay\"\nfields = [\"placement\", \"money\", \"guests\"]\norder = [{order}]\n\
             [stay]\nno_show = \"release\"\n\
             [[capacity]]\nid = \"rooms\"\norder = [\"confirmed@*\", \"*@*\"]\noverbook = 0\n"
        );
        std::fs::write(self.path("pipeline.toml"), pipeline).expect("pipeline.toml");
        std::fs::write(self.path("properties.toml"), hotels).expect("properties.toml");
        std::fs::write(self.path("rules.toml"), rules).expect("rules.toml");
    }

    /// A worker with what it keeps in a folder of its own, as on a machine of its own.
    fn worker(&self, name: &str, share: &str) -> Worker {
        let (data, errors) = (self.path(name), self.path(&format!("{name}.txt")));
        let stderr = std::fs::File::create(&errors).expect("a file");
        let mut command = Command::new(PROGRAM);
        command.arg("run").arg("-c").arg(self.path("pipeline.toml")).arg("--data-dir").arg(&data);
        command.env("CONCORD_INSTANCE", share).env_remove("CONCORD_CONFIG");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr).spawn().expect("it starts");
        Worker { child, data, errors }
    }

    /// Deliveries through `concord append`, straight into the topic.
    fn append(&self, feed: &mut Feed, deliveries: usize) {
        let mut by_source: std::collections::BTreeMap<&str, String> = std::collections::BTreeMap::new();
        for _ in 0..deliveries {
            let (source, text) = feed.next_delivery();
            let lines = by_source.entry(source).or_default();
            lines.push_str(&text);
            lines.push('\n');
        }
        for (source, lines) in by_source {
            std::fs::write(self.path("lines"), lines).expect("lines");
            let mut command = Command::new(PROGRAM);
            command
                .arg("append")
                .arg("-c")
                .arg(self.path("pipeline.toml"))
                .arg("--data-dir")
                .arg(self.path("appending"));
            let done = command.args(["--source", source, "--lines"]).arg(self.path("lines")).output().expect("it runs");
            // 1: some deliveries are broken on purpose.
            let code = done.status.code();
            assert!(matches!(code, Some(0 | 1)), "{code:?}: {}", String::from_utf8_lossy(&done.stderr));
        }
    }

    /// Records decided and written so far, over all partitions.
    async fn written(&self) -> Vec<u64> {
        let store = self.database.store().await;
        let mut next = Vec::new();
        for partition in 0..PARTITIONS {
            let entries = store.load_partition(partition).await.expect("state").entries;
            let checkpoint = PartitionState::read(&entries).expect("state").checkpoint;
            next.push(checkpoint.map_or(0, |checkpoint| checkpoint.next));
        }
        next
    }

    /// Waits until everything is written.
    async fn settled(&self, workers: &mut [&mut Worker]) {
        let (log, started) = (open(&self.options).await, Instant::now());
        loop {
            let mut ends = Vec::new();
            for partition in 0..PARTITIONS {
                ends.push(log.bounds(partition).await.expect("bounds").1);
            }
            let written = self.written().await;
            if ends == written {
                return;
            }
            for worker in &mut *workers {
                assert!(worker.ended().is_none(), "a worker has ended:\n{}", worker.said());
            }
            assert!(started.elapsed() < HANG, "{written:?} of {ends:?} are written");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The tables, after checking what always holds.
    async fn dump(&self) -> Dump {
        let store = self.database.store().await;
        dump::check(&store, PARTITIONS).await;
        Dump::read(&store).await
    }

    /// The tables of the same topic, decided at once by one worker on an empty database.
    async fn dump_afresh(&self, lease: &Lease) -> Dump {
        let database = Database::fresh(lease);
        let key = ControlKey::load(&self.path("data/control.key")).expect("the key");
        let store = database.store().await;
        let log = open(&self.options).await;
        let shared = Arc::new(Shared::new(log, store.clone(), host(), key, "afresh".into(), Tuning::default()));
        let (_keep, never) = tokio::sync::watch::channel(false);
        let mode = Mode { until_idle: true, tick: None };
        worker::run(shared, 0..PARTITIONS, mode, never).await.expect("a run to the end");
        dump::check(&store, PARTITIONS).await;
        Dump::read(&store).await
    }
}

impl Worker {
    fn said(&self) -> String {
        std::fs::read_to_string(&self.errors).unwrap_or_default()
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a status")
    }

    fn signal(&self, signal: libc::c_int) {
        let pid = libc::pid_t::try_from(self.child.id()).expect("a number");
        // SAFETY: sends a signal to a child that has not been waited for.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
    }

    fn wait(&mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            assert!(started.elapsed() < HANG, "it does not end:\n{}", self.said());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Its door, as soon as it works.
    async fn door(&mut self) -> DoorClient {
        let started = Instant::now();
        loop {
            if let Ok(concord::config::Running::Yes(run)) = concord::config::RunFile::find(&self.data) {
                return DoorClient::new(run.door.clone());
            }
            assert!(self.ended().is_none(), "it has ended:\n{}", self.said());
            assert!(started.elapsed() < HANG, "it does not come up:\n{}", self.said());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Two workers share eight partitions; one is killed in the middle and replaced elsewhere, later the number of workers
/// changes. The tables are those of one worker that nobody disturbed.
#[test]
fn workers_share_a_topic_and_one_is_killed_and_replaced() {
    let Some(endpoint) = endpoint() else { return };
    with_clickhouse(async |lease| {
        let seed = std::env::var("CONCORD_TEST_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(std::process::id());
        println!("CONCORD_TEST_SEED={seed}");
        let place = Place::new(lease, &endpoint, "shared").await;
        let mut feed = Feed::new(u64::from(seed));
        let mut first = place.worker("first", "0/2");
        first.door().await;
        let mut second = place.worker("second", "concord-1/2");
        second.door().await;
        let mut kills = 0;
        for round in 0..6 {
            place.append(&mut feed, 150);
            let before: u64 = place.written().await.iter().sum();
            place.append(&mut feed, 150);
            if round % 2 == 0 {
                // In the middle of its work, and replaced by one that has nothing of it.
                second.signal(libc::SIGKILL);
                second.wait();
                kills += 1;
                second = place.worker(&format!("second-{round}"), "1/2");
                second.door().await;
            }
            println!("round {round}: {before} records were written");
        }
        place.settled(&mut [&mut first, &mut second]).await;
        // Another number of workers goes on where these were.
        for worker in [&mut first, &mut second] {
            worker.signal(libc::SIGTERM);
            assert!(worker.wait().success(), "{}", worker.said());
        }
        let mut three: Vec<Worker> = (0..3).map(|i| place.worker(&format!("third-{i}"), &format!("{i}/3"))).collect();
        place.append(&mut feed, 100);
        place.settled(&mut three.iter_mut().collect::<Vec<_>>()).await;
        drop(three);
        let (shared, afresh) = (place.dump().await, place.dump_afresh(lease).await);
        afresh.assert_same(&shared, "one worker (-), several, killed and replaced (+)");
        let written: u64 = place.written().await.iter().sum();
        let conflicts = shared.rows("conflicts").len();
        println!(
            "{written} records on {PARTITIONS} partitions, {kills} kills, 2 then 3 workers, {conflicts} conflict rows: equal tables"
        );
    });
}

/// A worker is stopped (SIGSTOP) while its insert is on its way; another takes its share over and does everything; then
/// the first wakes up. It says that it lost the partition and ends with 2; the tables are as if it had never been.
#[test]
fn a_worker_stopped_in_a_write_and_woken_later_harms_nothing() {
    let Some(endpoint) = endpoint() else { return };
    with_clickhouse(async |lease| {
        for table in ["conflicts", "state"] {
            let place = Place::new(lease, &endpoint, "stopped").await;
            let mut feed = Feed::new(7);
            let proxy = Proxy::before(lease).await;
            // The first worker's way to ClickHouse can be held; the later ones go straight.
            place.write(&format!("http://{}", proxy.address), &endpoint);
            let mut earlier = place.worker("earlier", "0/1");
            earlier.door().await;
            place.write(&place.database.options.url, &endpoint);
            place.append(&mut feed, 60);
            proxy.hold(table);
            place.append(&mut feed, 200);
            proxy.held().await;
            earlier.signal(libc::SIGSTOP);
            let mut later = place.worker("later", "0/1");
            later.door().await;
            place.append(&mut feed, 100);
            place.settled(&mut [&mut later]).await;
            let before = place.dump().await;
            proxy.release();
            earlier.signal(libc::SIGCONT);
            let status = earlier.wait();
            let said = earlier.said();
            let said = said.lines().last().unwrap_or_default();
            println!("stopped in {table}, woken later: {said}");
            assert_eq!(status.code(), Some(2), "{said}");
            assert!(said.contains("this worker stops, nothing is lost"), "{said}");
            let after = place.dump().await;
            before.assert_same(&after, &format!("stopped in {table}: before it woke (-), after (+)"));
            place.dump_afresh(lease).await.assert_same(&after, &format!("stopped in {table}: one worker (-), two (+)"));
        }
    });
}

/// Records that another producer put anywhere are copied once to where they belong, also faster than they are moved.
#[test]
fn records_of_a_foreign_partitioner_are_moved_once() {
    let Some(endpoint) = endpoint() else { return };
    with_clickhouse(async |lease| {
        let place = Place::new(lease, &endpoint, "foreign").await;
        let log = open(&place.options).await;
        let mut first = place.worker("first", "0/2");
        first.door().await;
        let mut second = place.worker("second", "1/2");
        second.door().await;
        const COUNT: u32 = 3000;
        for number in 0..COUNT {
            let (hotel, day) = (number % 6, 1 + number % 28);
            let data = format!(
                r#"{{"property":"H{hotel}","inventory":{{"room_type":"DBL","nights":"2026-03-{day:02}/2026-03-{:02}","fields":{{"price":{{"amount":"{number}.00","currency":"EUR"}}}}}}}}"#,
                day + 1
            );
            let value = format!(
                r#"{{"specversion":"1.0","type":"delivery","source":"pms","id":"d{number}","datacontenttype":"application/json","data":{data}}}"#
            );
            let key = Some(format!("H{hotel}/2026-03-{day:02}").into_bytes().into());
            let record = NewRecord { key, value: value.into(), timestamp: 1_772_000_000_000 };
            log.append(number % PARTITIONS, vec![record]).await.expect("appended");
        }
        // A null key and no CloudEvent: dead letters, and nobody stops.
        let bad = NewRecord { key: None, value: "no event".into(), timestamp: 0 };
        log.append(3, vec![bad]).await.expect("appended");
        place.settled(&mut [&mut first, &mut second]).await;
        drop((first, second));
        let key = ControlKey::load(&place.path("data/control.key")).expect("the key");
        let mut copies = 0;
        for partition in 0..PARTITIONS {
            copies += count_copies(&log, partition, &key).await;
        }
        let dump = place.dump().await;
        assert_eq!(dump.rows("dead_letters").len(), 1, "{:?}", dump.rows("dead_letters"));
        println!("{COUNT} records anywhere: {copies} moved, 1 dead letter");
        assert!(copies > 0 && copies < COUNT);
        place.dump_afresh(lease).await.assert_same(&dump, "afresh (-), while they came (+)");
    });
}

async fn count_copies(log: &FluvioLog, partition: Partition, key: &ControlKey) -> u32 {
    let (mut at, end) = log.bounds(partition).await.expect("bounds");
    let mut copies = 0;
    while at < end {
        for record in log.read(partition, at, 4096, 16 << 20).await.expect("records") {
            at = record.offset + 1;
            let parsed = parse(&record.value, key);
            copies += u32::from(matches!(parsed, Parsed::Control(c) if matches!(c.control, Control::Copy { .. })));
        }
    }
    copies
}

/// The files that come with the example of a cluster are what the program understands.
#[test]
fn the_cluster_example_is_read() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/cluster/pipeline.toml");
    concord_tests::pipeline::read_pipeline(&example);
}
