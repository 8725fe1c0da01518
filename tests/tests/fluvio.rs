//! The log on a real Fluvio cluster: the suite that every log passes, and what only this one has to stand.
//!
//! Runs where `CONCORD_FLUVIO` names the controller (`host:port`); elsewhere each test prints "skipped: no Fluvio".
//! Every test makes a topic of its own and leaves it there: a controller that removes one may take a minute to make the
//! next. `CONCORD_FLUVIO_RESTART` may name a program that kills the
//! broker and starts it again: then that is tried, too.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use concord::config::FluvioPlace;
use concord::log::fluvio::{self as adapter, FluvioLog, NewTopic, OpenError, OpenOptions};
use concord::log::partitioner;
use concord::log::{Log, LogError, NewRecord, Offset};
use concord_tests::log_suite::{self as suite, PARTITIONS, Random, Subject, assert_belongs, record_at, records_at};
use fluvio::metadata::topic::TopicSpec;
use fluvio::{Fluvio, FluvioClusterConfig, RecordKey, TopicProducerConfigBuilder};

/// A topic that goes with the test.
struct Topic {
    endpoint: String,
    name: String,
}

impl Topic {
    /// `None` where there is no cluster.
    async fn new(what: &str) -> Option<Topic> {
        Topic::with(what, PARTITIONS).await
    }

    async fn with(what: &str, partitions: u32) -> Option<Topic> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let Ok(endpoint) = std::env::var("CONCORD_FLUVIO") else {
            println!("skipped: no Fluvio");
            return None;
        };
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("test-{}-{number}-{}", std::process::id(), what.replace('_', "-"));
        let topic = Topic { endpoint, name: name.chars().take(60).collect() };
        topic.create(partitions).await;
        Some(topic)
    }

    fn place(&self) -> FluvioPlace {
        FluvioPlace::Endpoint { address: self.endpoint.clone(), tls: None }
    }

    async fn create(&self, partitions: u32) {
        let new = NewTopic { name: self.name.clone(), partitions, replication: 1, retention: None };
        adapter::create(&self.place(), &new).await.expect("a topic");
    }

    fn options(&self) -> OpenOptions {
        OpenOptions {
            place: self.place(),
            topic: self.name.clone(),
            partitions: None,
            max_record_bytes: (2 << 20) + (64 << 10),
        }
    }

    async fn client(&self) -> Fluvio {
        let client = Fluvio::connect_with_config(&FluvioClusterConfig::new(&self.endpoint)).await;
        client.expect("a client")
    }

    async fn delete(&self) {
        self.client().await.admin().await.delete::<TopicSpec>(self.name.clone()).await.expect("deleted");
    }
}

impl Subject for Topic {
    type Log = FluvioLog;

    async fn open(&self) -> FluvioLog {
        FluvioLog::open(&self.options()).await.expect("the log opens")
    }
}

macro_rules! conformance {
    ($($name:ident),* $(,)?) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let Some(topic) = Topic::new(stringify!($name)).await else { return };
                let started = Instant::now();
                suite::$name(&topic).await;
                println!("conformance on Fluvio: {} passed in {:?}", stringify!($name), started.elapsed());
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

/// Batches larger than a fetch, plain and compressed, as other producers may make them. The client's own stream leaves
/// records out at such places; here none may be missing, from wherever the reading begins.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn holes_made_on_purpose_are_filled() {
    let Some(topic) = Topic::with("holes", 1).await else { return };
    let client = topic.client().await;
    const COUNT: u64 = 12_000;
    for (round, compression) in [fluvio::Compression::None, fluvio::Compression::Lz4].into_iter().enumerate() {
        let config = TopicProducerConfigBuilder::default()
            .batch_size(3 << 20)
            .max_request_size(16 << 20)
            .linger(std::time::Duration::from_millis(200))
            .compression(compression)
            .build()
            .expect("a configuration");
        let producer = client.topic_producer_with_config(&topic.name, config).await.expect("a producer");
        for number in 0..COUNT {
            let mut value = format!("{round}:{number}:").into_bytes();
            value.resize(520, b'.');
            producer.send(RecordKey::NULL, value).await.expect("sent");
        }
        producer.flush().await.expect("flushed");
    }
    let log = topic.open().await;
    let end = 2 * COUNT;
    assert_eq!(log.bounds(0).await, Ok((0, end)));
    let mut random = Random::from_environment();
    for from in [0, COUNT, random.below(end), random.below(end), end - 1] {
        let records = suite::read_all(&log, 0, from, end, 5000, 4 << 20).await;
        assert_eq!(records.len() as u64, end - from);
        for record in &records {
            let (round, number) = (record.offset / COUNT, record.offset % COUNT);
            assert!(record.value.starts_with(format!("{round}:{number}:").as_bytes()), "{}", record.offset);
        }
    }
    println!(
        "the client's own stream left out {} of {end} records; this log none",
        left_out(&client, &topic, end).await
    );
}

/// How many records the client's own stream leaves out on the way to the last one that it gives.
async fn left_out(client: &Fluvio, topic: &Topic, end: u64) -> u64 {
    use futures::StreamExt;
    let config = fluvio::consumer::ConsumerConfigExtBuilder::default()
        .topic(topic.name.clone())
        .partition(0)
        .offset_start(fluvio::Offset::beginning())
        .build()
        .expect("a configuration");
    let mut stream = client.consumer_with_config(config).await.expect("a stream");
    let (mut expected, mut missing) = (0, 0);
    let quiet = std::time::Duration::from_secs(2);
    while expected < end {
        // It may stand still before the end.
        let Ok(Some(Ok(record))) = tokio::time::timeout(quiet, stream.next()).await else { break };
        let offset = u64::try_from(record.offset()).expect("an offset");
        missing += offset - expected;
        expected = offset + 1;
    }
    missing + (end - expected)
}

/// Records of the client's own producer, keyed by the property alone, lie where Concord expects them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_producers_that_key_by_property_land_right() {
    let Some(topic) = Topic::with("keys", 8).await else { return };
    let client = topic.client().await;
    let producer = client.topic_producer(&topic.name).await.expect("a producer");
    let properties: Vec<String> = (0..200).map(|i| format!("H{i}")).chain(["Zürich".into(), "a/b".into()]).collect();
    for property in &properties {
        producer.send(property.as_str(), "{}").await.expect("sent");
    }
    producer.flush().await.expect("flushed");
    let log = topic.open().await;
    let mut seen = 0;
    for partition in 0..8 {
        let (_, end) = log.bounds(partition).await.expect("bounds");
        for record in suite::read_all(&log, partition, 0, end, 1000, usize::MAX).await {
            assert_eq!(partitioner::partition(record.key.as_deref().expect("a key"), 8), partition);
            seen += 1;
        }
    }
    assert_eq!(seen, properties.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_said() {
    let Some(topic) = Topic::with("wrong", 3).await else { return };
    let said = async |options: OpenOptions| match FluvioLog::open(&options).await {
        Ok(_) => panic!("opened"),
        Err(error) => error,
    };
    let missing = said(OpenOptions { topic: "no-such-topic".into(), ..topic.options() }).await;
    assert!(missing.to_string().contains("there is no topic no-such-topic"), "{missing}");
    let other = said(OpenOptions { partitions: Some(4), ..topic.options() }).await.to_string();
    assert!(other.contains("has 3 partitions, expected are 4") && other.contains("set log.partitions = 3"), "{other}");
    let nobody = FluvioPlace::Endpoint { address: "127.0.0.1:1".into(), tls: None };
    let away = said(OpenOptions { place: nobody, ..topic.options() }).await.to_string();
    assert!(away.contains("127.0.0.1:1 cannot be reached") && away.contains("check log.endpoint"), "{away}");
    let again = NewTopic { name: topic.name.clone(), partitions: 3, replication: 1, retention: None };
    assert!(matches!(adapter::create(&topic.place(), &again).await, Err(OpenError::Exists { .. })));
    let described = adapter::describe(&topic.place(), &topic.name).await.expect("a description");
    assert_eq!(described.partitions.iter().map(|p| (p.first, p.end)).collect::<Vec<_>>(), [(Some(0), Some(0)); 3]);
}

/// A topic deleted and made anew under a reader: noticed, whether it is shorter or as long as before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_made_anew_is_noticed() {
    let Some(topic) = Topic::with("anew", 1).await else { return };
    let log = topic.open().await;
    log.append(0, records_at(0, 0..10)).await.expect("appended");
    suite::read_all(&log, 0, 0, 10, 100, usize::MAX).await;
    topic.delete().await;
    let error = log.read(0, 10, 1, 1).await.expect_err("the topic is gone");
    println!("deleted: {error}");
    assert!(matches!(&error, LogError::Failed(why) if why.contains("deleted") || why.contains("no topic")), "{error}");
    topic.create(1).await;
    let log = topic.open().await;
    assert_eq!(log.read(0, 10, 1, 1).await, Err(LogError::Beyond { partition: 0, wanted: 10, end: 0 }));
}

/// This binary again, as a writer that is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_process() {
    let Ok(name) = std::env::var("CONCORD_FLUVIO_CHILD") else { return };
    let topic = Topic { endpoint: std::env::var("CONCORD_FLUVIO").expect("an endpoint"), name };
    let log = topic.open().await;
    let (_, mut next) = log.bounds(0).await.expect("bounds");
    let mut random = Random::from_environment();
    while next < Offset::MAX {
        let count = if random.below(20) == 0 { 3000 } else { 1 + random.below(30) };
        assert_eq!(log.append(0, records_at(0, next..next + count)).await, Ok(next));
        next += count;
        println!("durable {next}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_the_writer_leaves_whole_records_and_all_that_was_acknowledged() {
    let Some(topic) = Topic::with("killed", 1).await else { return };
    let mut random = Random::from_environment();
    for round in 0..5 {
        let mut child = Command::new(std::env::current_exe().expect("this binary"));
        child.args(["--exact", "child_process", "--nocapture", "--test-threads=1"]);
        child.env("CONCORD_FLUVIO_CHILD", &topic.name).env("CONCORD_TEST_SEED", random.draw().to_string());
        let mut process = child.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("a child runs");
        let lines = BufReader::new(process.stdout.take().expect("its output")).lines();
        let durable = lines.map_while(Result::ok).filter_map(|line| line.strip_prefix("durable ")?.parse::<u64>().ok());
        let acknowledged = durable.take(1 + random.below(80) as usize).last().expect("something durable");
        process.kill().expect("killed");
        process.wait().expect("ended");
        let log = topic.open().await;
        // What was under way may still arrive.
        let (_, end) = log.bounds(0).await.expect("bounds");
        println!("round {round}: {acknowledged} acknowledged, {end} there");
        assert!(end >= acknowledged);
        assert_belongs(0, 0, &suite::read_all(&log, 0, 0, end, 10_000, 8 << 20).await);
    }
}

/// Appends and reads go on while the broker is killed and started again, three times. An append without an answer is
/// repeated, so a record may stand twice; none is missing, and order is kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_broker_is_killed_and_comes_back() {
    const COUNT: u64 = 30_000;
    let Some(topic) = Topic::with("broker", 1).await else { return };
    let Ok(restart) = std::env::var("CONCORD_FLUVIO_RESTART") else {
        println!("skipped: CONCORD_FLUVIO_RESTART names no program");
        return;
    };
    let log = Arc::new(topic.open().await);
    let reader = {
        let log = Arc::clone(&log);
        tokio::spawn(async move {
            let (mut next, mut highest, mut repeated) = (0, None, 0_u64);
            while highest != Some(COUNT - 1) {
                for record in log.read(0, next, 1000, 1 << 20).await.expect("records") {
                    assert_eq!(record.offset, next);
                    next += 1;
                    let number = u64::from_le_bytes(record.value[..8].try_into().expect("a number"));
                    match highest {
                        Some(before) if number <= before => repeated += 1,
                        _ => {
                            assert_eq!(number, highest.map_or(0, |before| before + 1), "offset {}", record.offset);
                            highest = Some(number);
                        }
                    }
                }
            }
            (next, repeated)
        })
    };
    let record = |number: u64| {
        let mut value = number.to_le_bytes().to_vec();
        value.resize(500, b'.');
        NewRecord { key: None, value: value.into(), timestamp: 0 }
    };
    let (mut next, mut failed, mut longest) = (0, Vec::new(), std::time::Duration::ZERO);
    let mut restarts = Vec::new();
    while next < COUNT {
        if restarts.len() < 3 && next >= (restarts.len() as u64 + 1) * COUNT / 4 {
            let mut command = tokio::process::Command::new(&restart);
            restarts.push(tokio::spawn(async move { command.status().await }));
        }
        let started = Instant::now();
        let batch: Vec<NewRecord> = (next..(next + 10).min(COUNT)).map(record).collect();
        let count = batch.len() as u64;
        match log.append(0, batch).await {
            Ok(_) => next += count,
            Err(error @ (LogError::Unavailable(_) | LogError::Unknown { .. })) => {
                failed.push(error.to_string());
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
            Err(error) => panic!("{error}"),
        }
        longest = longest.max(started.elapsed());
    }
    let killed = restarts.len();
    for restart in restarts {
        assert!(restart.await.expect("a task").expect("a program").success());
    }
    let (end, repeated) = reader.await.expect("the reader");
    failed.dedup();
    println!(
        "broker killed and restarted {killed} times during {COUNT} records: {end} in the log, {repeated} of them repeated, \
         none missing; the longest append took {longest:?}; said meanwhile:"
    );
    failed.iter().take(5).for_each(|line| println!("  {line}"));
}

/// What one record takes from its append to a reader that waits for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_arrives_at_once() {
    let Some(topic) = Topic::with("latency", 1).await else { return };
    let log = topic.open().await;
    let (mut appends, mut arrivals) = (Vec::new(), Vec::new());
    for offset in 0..300 {
        let started = Instant::now();
        let appended = async {
            assert_eq!(log.append(0, vec![record_at(0, offset)]).await, Ok(offset));
            started.elapsed()
        };
        let (read, appended) = tokio::join!(log.read(0, offset, 10, usize::MAX), appended);
        arrivals.push(started.elapsed());
        appends.push(appended);
        assert_belongs(0, offset, &read.expect("the record"));
    }
    appends.sort();
    arrivals.sort();
    println!("append and acknowledgement: {:?} median, {:?} 99 %", appends[150], appends[297]);
    println!("append to a waiting reader: {:?} median, {:?} 99 %", arrivals[150], arrivals[297]);
}
