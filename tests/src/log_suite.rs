//! What every log has to do: one suite over any `Log`.
//!
//! Knows the trait's promises. Does not know how a log is kept: a [`Subject`] opens it. Each function
//! takes a subject whose log is new.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::task::Poll;

use concord::log::{Batch, Log, LogError, NewRecord, Offset, Partition, Record};

/// The suite needs at least this many partitions.
pub const PARTITIONS: u32 = 3;

/// A log under test.
pub trait Subject: Sync {
    type Log: Log;
    /// Opens the same log each time, with [`PARTITIONS`] partitions and a limit of at least 1 MiB + 1 KiB
    /// and below 16 MiB. The log opened before has been dropped.
    fn open(&self) -> impl Future<Output = Self::Log>;
}

/// A seeded generator (SplitMix64): enough for choosing sizes.
pub struct Random(u64);

impl Random {
    /// From `CONCORD_TEST_SEED`, else anew; printed, so that a failure can be repeated.
    pub fn from_environment() -> Random {
        let given = std::env::var("CONCORD_TEST_SEED").ok().and_then(|text| text.parse().ok());
        let seed = given.unwrap_or_else(|| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            u64::try_from(now.as_nanos() % u128::from(u64::MAX)).unwrap_or(0)
        });
        println!("CONCORD_TEST_SEED={seed}");
        Random(seed)
    }

    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.draw() % end
    }
}

/// The one record that belongs at this place: key, size, bytes and timestamp follow from it.
pub fn record_at(partition: Partition, offset: Offset) -> NewRecord {
    let mut random = Random::new((u64::from(partition) << 40) ^ offset);
    let size = match random.below(100) {
        0 => 0,
        1 => 100_000,
        2..5 => 1,
        _ => random.below(1000),
    };
    let mut value = format!("{partition}:{offset}:").into_bytes();
    value.extend((0..size).map(|i| (i ^ offset).to_le_bytes()[0]));
    let key = match random.below(4) {
        0 => None,
        1 => Some(Vec::new()),
        _ => Some(format!("H{}/2026-03-01", random.below(50)).into_bytes()),
    };
    let timestamp = i64::from_le_bytes(random.draw().to_le_bytes());
    NewRecord { key: key.map(Into::into), value: value.into(), timestamp }
}

pub fn records_at(partition: Partition, offsets: std::ops::Range<Offset>) -> Vec<NewRecord> {
    offsets.map(|offset| record_at(partition, offset)).collect()
}

/// Fails unless each record is the one that belongs at its place.
pub fn assert_belongs(partition: Partition, from: Offset, records: &[Record]) {
    for (offset, record) in (from..).zip(records) {
        let NewRecord { key, value, timestamp } = record_at(partition, offset);
        assert_eq!(record.offset, offset, "partition {partition}: a gap");
        assert!(
            *record == Record { offset, timestamp, key, value },
            "partition {partition}, offset {offset}: another record, of {} bytes",
            record.value.len()
        );
    }
}

/// Reads `from..to` in calls of at most `max_records` and `max_bytes`.
pub async fn read_all<L: Log>(
    log: &L,
    partition: Partition,
    from: Offset,
    to: Offset,
    max_records: usize,
    max_bytes: usize,
) -> Vec<Record> {
    let mut all = Vec::new();
    let mut next = from;
    while next < to {
        let records = log.read(partition, next, max_records, max_bytes).await.expect("records before the end");
        assert!(records.len() <= max_records, "{} records, asked for {max_records}", records.len());
        let batch = Batch::new(partition, next, records).expect("no gap");
        next = batch.next();
        all.extend(batch.into_records());
    }
    all
}

/// Offsets begin at 0, have no gap, and are counted per partition.
pub async fn offsets_have_no_gap<S: Subject>(subject: &S) {
    let log = subject.open().await;
    assert!(log.identity().partitions >= PARTITIONS);
    let mut next = vec![0; PARTITIONS as usize];
    for round in 0..20_u64 {
        for partition in 0..PARTITIONS {
            let count = (round * 7 + u64::from(partition)) % 5;
            let first = next[partition as usize];
            let given = log.append(partition, records_at(partition, first..first + count)).await;
            assert_eq!(given, Ok(first), "partition {partition}");
            next[partition as usize] = first + count;
            assert_eq!(log.bounds(partition).await, Ok((0, first + count)));
        }
    }
    for partition in 0..PARTITIONS {
        let end = next[partition as usize];
        assert_belongs(partition, 0, &read_all(&log, partition, 0, end, 3, usize::MAX).await);
    }
}

/// What is acknowledged is there after opening again, and it is the same log.
pub async fn records_outlive_the_process<S: Subject>(subject: &S) {
    let mut identity = None;
    for round in 0..4 {
        let log = subject.open().await;
        assert_eq!(*identity.get_or_insert_with(|| log.identity()), log.identity());
        for partition in 0..PARTITIONS {
            let end = round * 50;
            assert_eq!(log.bounds(partition).await, Ok((0, end)));
            assert_belongs(partition, 0, &read_all(&log, partition, 0, end, 1000, usize::MAX).await);
            assert_eq!(log.append(partition, records_at(partition, end..end + 50)).await, Ok(end));
        }
    }
}

/// Every offset is a place to begin; the bounds of a read hold, and one record always comes.
pub async fn reads_begin_anywhere<S: Subject>(subject: &S) {
    let mut log = subject.open().await;
    log.append(1, records_at(1, 0..300)).await.expect("appended");
    for fresh in [true, false] {
        if !fresh {
            drop(log);
            log = subject.open().await;
        }
        for from in 0..300 {
            let one = log.read(1, from, 1, usize::MAX).await.expect("a record");
            assert_eq!(one.len(), 1);
            assert_belongs(1, from, &one);
        }
        let tiny = log.read(1, 0, 100, 0).await.expect("a record although none fits");
        assert_eq!(tiny.len(), 1);
        for max_bytes in [1, 1000, 10_000, 1_000_000] {
            let all = read_all(&log, 1, 0, 300, 1000, max_bytes).await;
            assert_belongs(1, 0, &all);
            let records = log.read(1, 0, 1000, max_bytes).await.expect("records");
            let bytes: usize = records.iter().map(|r| r.value.len()).sum();
            let last = records.last().map_or(0, |r| r.value.len());
            assert!(bytes - last <= max_bytes, "{bytes} bytes for {max_bytes}");
        }
    }
}

/// Large records and empty ones.
pub async fn sizes_do_not_matter<S: Subject>(subject: &S) {
    let log = subject.open().await;
    let sizes = [0, 1, 1 << 20, 0, 1000, 1 << 20, 1];
    let record = |size: usize| NewRecord { key: None, value: vec![b'x'; size].into(), timestamp: 0 };
    log.append(0, sizes.iter().map(|size| record(*size)).collect()).await.expect("appended");
    let read = read_all(&log, 0, 0, sizes.len() as u64, 100, 1 << 20).await;
    assert_eq!(read.iter().map(|r| r.value.len()).collect::<Vec<_>>(), sizes);
    drop(log);
    let log = subject.open().await;
    let read = read_all(&log, 0, 0, sizes.len() as u64, 100, usize::MAX).await;
    assert_eq!(read.iter().map(|r| r.value.len()).collect::<Vec<_>>(), sizes);
}

/// Errors name the place, and nothing of a refused append is there.
pub async fn refusals_are_clear<S: Subject>(subject: &S) {
    let log = subject.open().await;
    let beyond = log.identity().partitions;
    log.append(0, records_at(0, 0..5)).await.expect("appended");
    assert_eq!(log.append(beyond, records_at(0, 5..6)).await, Err(LogError::NoPartition(beyond)));
    assert_eq!(log.bounds(beyond).await, Err(LogError::NoPartition(beyond)));
    assert_eq!(log.read(beyond, 0, 1, 1).await, Err(LogError::NoPartition(beyond)));
    let too_far = log.read(0, 6, 1, 1).await;
    assert_eq!(too_far, Err(LogError::Beyond { partition: 0, wanted: 6, end: 5 }));
    let huge = NewRecord { key: None, value: vec![0; 16 << 20].into(), timestamp: 0 };
    let refused = log.append(0, vec![record_at(0, 5), huge]).await;
    assert!(matches!(refused, Err(LogError::TooLarge { .. })), "{refused:?}");
    assert_eq!(log.bounds(0).await, Ok((0, 5)));
    assert_eq!(log.append(0, Vec::new()).await, Ok(5));
}

/// A read at the end waits; one that is given up takes nothing with it.
pub async fn reads_wait<S: Subject>(subject: &S) {
    let log = subject.open().await;
    for offset in 0..50 {
        {
            let mut given_up = std::pin::pin!(log.read(2, offset, 10, usize::MAX));
            let state = std::future::poll_fn(|context| Poll::Ready(given_up.as_mut().poll(context))).await;
            assert!(state.is_pending(), "nothing is there yet");
        }
        let (read, appended) =
            tokio::join!(log.read(2, offset, 10, usize::MAX), log.append(2, records_at(2, offset..offset + 1)));
        assert_eq!(appended, Ok(offset));
        assert_belongs(2, offset, &read.expect("the record"));
    }
}

/// Readers follow a log that grows, each at its own pace, and see everything once.
pub async fn readers_follow<S: Subject>(subject: &S) {
    const END: Offset = 5000;
    let log = Arc::new(subject.open().await);
    let readers: Vec<_> = [1, 7, 1000]
        .map(|max_records| {
            let log = Arc::clone(&log);
            tokio::spawn(async move {
                let mut next = 0;
                while next < END {
                    let records = log.read(0, next, max_records, 100_000).await.expect("records");
                    assert_belongs(0, next, &records);
                    next += records.len() as u64;
                    tokio::task::yield_now().await;
                }
            })
        })
        .into();
    let mut next = 0;
    while next < END {
        let count = 1 + next % 97;
        let end = (next + count).min(END);
        assert_eq!(log.append(0, records_at(0, next..end)).await, Ok(next));
        next = end;
    }
    for reader in readers {
        reader.await.expect("a reader");
    }
}

/// A reader that stops in the middle of a large log slows nobody, and goes on later where it was.
pub async fn a_slow_reader_slows_nobody<S: Subject>(subject: &S) {
    const END: Offset = 20_000;
    let log = subject.open().await;
    let mut next = 0;
    while next < END {
        assert_eq!(log.append(0, records_at(0, next..next + 2000)).await, Ok(next));
        next += 2000;
    }
    let begun = log.read(0, 0, 3, usize::MAX).await.expect("records");
    assert_belongs(0, 0, &begun);
    let from = begun.len() as u64;
    assert_belongs(0, 100, &read_all(&log, 0, 100, END, 1000, usize::MAX).await);
    assert_eq!(log.append(1, records_at(1, 0..10)).await, Ok(0));
    assert_belongs(1, 0, &read_all(&log, 1, 0, 10, 1, usize::MAX).await);
    assert_belongs(0, from, &read_all(&log, 0, from, END, 700, usize::MAX).await);
}

/// 100,000 records at speed and a reader that begins late. Prints how long it took.
pub async fn hundred_thousand<S: Subject>(subject: &S) {
    const COUNT: u64 = 100_000;
    const AT_ONCE: u64 = 5_000;
    let mut log = subject.open().await;
    let record = |offset: u64| {
        let mut value = offset.to_le_bytes().to_vec();
        value.resize(500, b'.');
        NewRecord { key: Some(b"H1/2026-03-01".to_vec().into()), value: value.into(), timestamp: 0 }
    };
    let batches: Vec<Vec<NewRecord>> =
        (0..COUNT / AT_ONCE).map(|batch| (0..AT_ONCE).map(|i| record(batch * AT_ONCE + i)).collect()).collect();
    let started = std::time::Instant::now();
    for (i, batch) in (0..).zip(batches) {
        assert_eq!(log.append(0, batch).await, Ok(i * AT_ONCE));
    }
    println!("appended {COUNT} records of 500 bytes, {AT_ONCE} at a time, in {:?}", started.elapsed());
    for opened in ["at once", "after opening again"] {
        if opened != "at once" {
            drop(log);
            let started = std::time::Instant::now();
            log = subject.open().await;
            println!("opened again in {:?}", started.elapsed());
        }
        let started = std::time::Instant::now();
        let mut next = 0;
        while next < COUNT {
            let records = log.read(0, next, 5000, 4 << 20).await.expect("records");
            for record in &records {
                assert_eq!(record.offset, next);
                assert_eq!(record.value[..8], next.to_le_bytes());
                next += 1;
            }
        }
        println!("read {COUNT} records {opened} in {:?}", started.elapsed());
    }
}

/// Appenders at the same time: each one's records stand in its own order, none is lost.
pub async fn appenders_keep_their_order<S: Subject>(subject: &S) {
    const APPENDERS: u64 = 16;
    const APPENDS: u64 = 60;
    let log = Arc::new(subject.open().await);
    let record = |appender: u64, n: u64| NewRecord {
        key: None,
        value: format!("{appender}:{n}").into_bytes().into(),
        timestamp: 0,
    };
    let mut lone: Vec<_> = Vec::new();
    for offset in 0..100 {
        let started = std::time::Instant::now();
        log.append(1, records_at(1, offset..offset + 1)).await.expect("appended");
        lone.push(started.elapsed());
    }
    lone.sort();
    println!("a lone durable append: {:?} median, {:?} 99 %", lone[50], lone[98]);
    let started = std::time::Instant::now();
    let appenders: Vec<_> = (0..APPENDERS)
        .map(|appender| {
            let log = Arc::clone(&log);
            tokio::spawn(async move {
                for n in 0..APPENDS {
                    let both = vec![record(appender, 2 * n), record(appender, 2 * n + 1)];
                    log.append(0, both).await.expect("appended");
                }
            })
        })
        .collect();
    for appender in appenders {
        appender.await.expect("an appender");
    }
    let appends = APPENDERS * APPENDS;
    println!("{appends} durable appends by {APPENDERS} appenders in {:?}", started.elapsed());
    let mut counts: BTreeMap<u64, u64> = BTreeMap::new();
    let records = read_all(&*log, 0, 0, 2 * appends, 1000, usize::MAX).await;
    for pair in records.chunks(2) {
        let texts = [0, 1].map(|i| std::str::from_utf8(&pair[i].value).expect("text"));
        let (appender, n) = texts[0].split_once(':').expect("appender and number");
        let (appender, n): (u64, u64) = (appender.parse().expect("a number"), n.parse().expect("a number"));
        let count = counts.entry(appender).or_default();
        assert_eq!(*count, n, "appender {appender}");
        assert_eq!(texts[1], format!("{appender}:{}", n + 1), "an append stands together");
        *count += 2;
    }
    assert!(counts.values().all(|count| *count == 2 * APPENDS));
}
