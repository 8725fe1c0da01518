//! The conformance suite of logs, run for the embedded log, and what only that one promises.
//!
//! Processes that are killed, or that meet a full disk, are this test binary again, told by
//! `CONCORD_LOG_CHILD` what to do.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use concord::log::embedded::{EmbeddedLog, OpenError, OpenOptions};
use concord::log::{Log, LogError, NewRecord, Offset};
use concord_tests::log_suite::{self as suite, PARTITIONS, Random, Subject, assert_belongs, records_at};

/// An embedded log in a folder that goes with the test.
struct Embedded(tempfile::TempDir);

impl Embedded {
    fn new() -> Embedded {
        Embedded(tempfile::tempdir().expect("a folder"))
    }

    fn folder(&self) -> PathBuf {
        self.0.path().join("log")
    }
}

impl Subject for Embedded {
    type Log = EmbeddedLog;

    async fn open(&self) -> EmbeddedLog {
        open(&self.folder())
    }
}

fn open(folder: &Path) -> EmbeddedLog {
    EmbeddedLog::open(folder, options(PARTITIONS)).expect("the log opens")
}

fn options(partitions: u32) -> OpenOptions {
    OpenOptions { partitions, ..OpenOptions::default() }
}

macro_rules! conformance {
    ($($name:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                suite::$name(&Embedded::new()).await;
            }
        )*
    };
}

conformance!(
    offsets_have_no_gap,
    records_outlive_the_process,
    reads_begin_anywhere,
    sizes_do_not_matter,
    refusals_are_clear,
    reads_wait,
    readers_follow,
    a_slow_reader_slows_nobody,
    hundred_thousand,
    appenders_keep_their_order,
);

#[tokio::test]
async fn retention_is_durable_and_says_what_is_gone() {
    let subject = Embedded::new();
    let log = subject.open().await;
    log.append(0, records_at(0, 0..100)).await.expect("appended");
    log.append(1, records_at(1, 0..5)).await.expect("appended");
    assert_eq!(log.retain(0, 101).await, Err(LogError::Beyond { partition: 0, wanted: 101, end: 100 }));
    log.retain(0, 40).await.expect("retained");
    log.retain(0, 30).await.expect("going back does nothing");
    log.retain(1, 5).await.expect("all of it");
    let check = async |log: &EmbeddedLog| {
        assert_eq!(log.bounds(0).await, Ok((40, 100)));
        let gone = log.read(0, 39, 1, 1).await;
        assert_eq!(gone, Err(LogError::Gone { partition: 0, wanted: 39, first: 40 }));
        assert_belongs(0, 40, &suite::read_all(log, 0, 40, 100, 1000, usize::MAX).await);
        assert_eq!(log.bounds(1).await, Ok((5, 5)));
    };
    check(&log).await;
    drop(log);
    let log = subject.open().await;
    check(&log).await;
    assert_eq!(log.append(1, records_at(1, 5..6)).await, Ok(5));
    let message = LogError::Gone { partition: 0, wanted: 39, first: 40 }.to_string();
    assert!(message.contains("offsets 39 to 39 are gone"), "{message}");
}

#[tokio::test]
async fn a_log_keeps_its_partitions_and_another_folder_is_another_log() {
    let subject = Embedded::new();
    let identity = subject.open().await.identity();
    let other = EmbeddedLog::open(&subject.folder(), options(PARTITIONS + 1)).err().expect("refused");
    assert!(matches!(other, OpenError::OtherPartitionCount { has: PARTITIONS, .. }));
    let message = other.to_string();
    assert!(message.contains("has 3 partitions; the configuration says 4"), "{message}");
    assert!(message.contains("set log.partitions = 3"), "{message}");
    assert!(matches!(EmbeddedLog::open(&subject.folder(), options(0)), Err(OpenError::PartitionCount { .. })));
    assert_eq!(subject.open().await.identity(), identity);
    assert_ne!(Embedded::new().open().await.identity().id, identity.id);
}

#[tokio::test]
async fn a_folder_has_one_user_who_is_named() {
    let subject = Embedded::new();
    let log = subject.open().await;
    let refused = EmbeddedLog::open(&subject.folder(), options(PARTITIONS)).err().expect("refused");
    let message = refused.to_string();
    assert!(message.contains(&format!("in use by this process ({}) itself", std::process::id())), "{message}");
    let child = child("open", &subject.folder(), 0).output().expect("a child runs");
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(said.contains(&format!("in use by process {} (", std::process::id())), "{said}");
    drop(log);
    subject.open().await;
}

#[tokio::test]
async fn a_half_made_log_is_made_anew() {
    let subject = Embedded::new();
    std::fs::create_dir_all(subject.folder().join("records.unfinished/rest")).expect("a folder");
    std::fs::write(subject.folder().join("records.unfinished/0.jnl"), "half").expect("a file");
    assert_eq!(subject.open().await.bounds(0).await, Ok((0, 0)));
    let foreign = Embedded::new();
    std::fs::create_dir_all(foreign.folder().join("records")).expect("a folder");
    let refused = EmbeddedLog::open(&foreign.folder(), options(PARTITIONS)).err();
    assert!(matches!(refused, Some(OpenError::NoLog { .. })), "{refused:?}");
}

/// Appends three times to a new log and damages one of the appends: what lies on the disk then.
async fn damaged(append: u8) -> (Embedded, PathBuf) {
    let subject = Embedded::new();
    let log = subject.open().await;
    for letter in [b'a', b'b', b'c'] {
        let record = NewRecord { key: None, value: vec![letter; 50_000].into(), timestamp: 0 };
        log.append(0, vec![record; 2]).await.expect("appended");
    }
    drop(log);
    let journal = subject.folder().join("records/0.jnl");
    let mut bytes = std::fs::read(&journal).expect("a journal");
    let start = bytes.windows(50).position(|window| window == [append; 50]).expect("the append");
    // A page that did not reach the disk.
    bytes[start + 10_000..start + 14_096].fill(0);
    std::fs::write(&journal, bytes).expect("written");
    (subject, journal)
}

#[tokio::test]
async fn an_append_torn_by_a_loss_of_power_is_dropped_whole() {
    let (subject, _) = damaged(b'c').await;
    let log = subject.open().await;
    assert_eq!(log.bounds(0).await, Ok((0, 4)));
    let values: Vec<_> = suite::read_all(&log, 0, 0, 4, 10, usize::MAX).await.into_iter().map(|r| r.value).collect();
    assert_eq!(values.iter().map(|value| value[49_999]).collect::<Vec<_>>(), *b"aabb");
    log.append(0, records_at(0, 4..6)).await.expect("appended");
    drop(log);
    assert_eq!(subject.open().await.bounds(0).await, Ok((0, 6)));
}

#[tokio::test]
async fn damage_among_acknowledged_records_is_reported_and_left_alone() {
    let (subject, journal) = damaged(b'b').await;
    let before = std::fs::read(&journal).expect("a journal");
    let refused = EmbeddedLog::open(&subject.folder(), options(PARTITIONS)).err().expect("refused");
    let message = refused.to_string();
    assert!(message.contains("its journal is damaged") && message.contains("restore the folder"), "{message}");
    assert!(std::fs::read(&journal).expect("a journal") == before);
}

/// This binary again, doing `task` with the log in `folder`.
fn child(task: &str, folder: &Path, seed: u64) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this binary"));
    command.args(["--exact", "child_process", "--nocapture", "--test-threads=1"]);
    command.env("CONCORD_LOG_CHILD", task).env("CONCORD_LOG_FOLDER", folder);
    command.env("CONCORD_TEST_SEED", seed.to_string());
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

/// The other side of [`child`]; does nothing when the suite runs it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_process() {
    let Ok(task) = std::env::var("CONCORD_LOG_CHILD") else { return };
    let folder = PathBuf::from(std::env::var("CONCORD_LOG_FOLDER").expect("a folder"));
    match task.as_str() {
        "open" => {
            let refused = EmbeddedLog::open(&folder, options(PARTITIONS)).err().expect("refused");
            println!("{refused}");
        }
        "write" => write_until_killed(&folder).await,
        "fill" => meet_a_full_disk(&folder).await,
        other => panic!("no task {other}"),
    }
}

/// Appends to all partitions at once for ever; says what is durable.
async fn write_until_killed(folder: &Path) {
    let log = std::sync::Arc::new(open(folder));
    let seed = Random::from_environment().draw();
    let writers = (0..PARTITIONS).map(|partition| {
        let log = std::sync::Arc::clone(&log);
        tokio::spawn(async move {
            let mut random = Random::new(seed ^ u64::from(partition));
            let (_, mut next) = log.bounds(partition).await.expect("bounds");
            while next < Offset::MAX {
                let count = if random.below(20) == 0 { 3000 } else { 1 + random.below(30) };
                let first = log.append(partition, records_at(partition, next..next + count)).await;
                assert_eq!(first, Ok(next));
                next += count;
                println!("durable {partition} {next}");
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.expect("a writer");
    }
}

#[tokio::test]
async fn killing_the_writer_leaves_whole_records_and_all_that_was_acknowledged() {
    let subject = Embedded::new();
    let mut random = Random::from_environment();
    let rounds = std::env::var("CONCORD_TEST_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(8);
    for round in 0..rounds {
        let mut process = child("write", &subject.folder(), random.draw()).spawn().expect("a child runs");
        let mut lines = BufReader::new(process.stdout.take().expect("its output")).lines();
        let mut durable = [0_u64; PARTITIONS as usize];
        let mut note = |line: String| {
            let mut words = line.split(' ');
            if words.next() != Some("durable") {
                return false;
            }
            let mut number = || words.next().and_then(|word| word.parse::<u64>().ok()).expect("a number");
            let partition = usize::try_from(number()).expect("a partition");
            durable[partition] = number();
            true
        };
        let kill_after = 1 + random.below(120);
        let mut seen = 0;
        while seen < kill_after {
            let line = lines.next().expect("the child goes on").expect("text");
            seen += u64::from(note(line));
        }
        process.kill().expect("killed");
        // Complete lines that were on their way were durable, too; the last one may be cut.
        let rest: Vec<String> = lines.map_while(Result::ok).collect();
        for line in rest.into_iter().rev().skip(1).rev() {
            note(line);
        }
        process.wait().expect("ended");
        let log = subject.open().await;
        for partition in 0..PARTITIONS {
            let (first, end) = log.bounds(partition).await.expect("bounds");
            let acknowledged = durable[partition as usize];
            println!("round {round}, partition {partition}: {acknowledged} acknowledged, {end} there");
            assert_eq!(first, 0);
            assert!(end >= acknowledged, "{acknowledged} acknowledged, {end} there");
            let records = suite::read_all(&log, partition, 0, end, 10_000, 8 << 20).await;
            assert_belongs(partition, 0, &records);
        }
    }
}

#[test]
fn a_full_disk_stops_the_log_until_it_is_opened_again() {
    let subject = Embedded::new();
    let child = child("fill", &subject.folder(), 1).output().expect("a child runs");
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && said.contains("as promised"), "{said}");
}

/// A limit on the size of files stands in for the full disk.
async fn meet_a_full_disk(folder: &Path) {
    let log = open(folder);
    limit_file_size(2 << 20);
    let mut next = 0;
    let failed = loop {
        match log.append(0, records_at(0, next..next + 50)).await {
            Ok(first) => {
                assert_eq!(first, next);
                next += 50;
            }
            Err(e) => break e,
        }
    };
    assert!(next > 0, "something fits");
    let LogError::Failed(message) = &failed else { panic!("{failed}") };
    assert!(message.contains("start again"), "{message}");
    assert_eq!(log.append(1, records_at(1, 0..1)).await, Err(failed.clone()));
    assert_eq!(log.read(0, next, 1, 1).await, Err(failed.clone()));
    assert_belongs(0, 0, &suite::read_all(&log, 0, 0, next, 1000, usize::MAX).await);
    drop(log);
    limit_file_size(libc::RLIM_INFINITY);
    let log = open(folder);
    let (_, end) = log.bounds(0).await.expect("bounds");
    assert!(end >= next);
    assert_eq!(log.append(0, records_at(0, end..end + 50)).await, Ok(end));
    assert_belongs(0, 0, &suite::read_all(&log, 0, 0, end + 50, 1000, usize::MAX).await);
    println!("as promised: {message}");
}

/// Of this process; writing beyond it fails instead of ending the process.
fn limit_file_size(bytes: libc::rlim_t) {
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the child runs nothing else; both calls take plain values.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit), 0);
    }
}
