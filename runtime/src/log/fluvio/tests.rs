//! Following a partition whose stream misbehaves on purpose: holes, repetitions, standing still, early ends,
//! batches larger than a fetch, brokers that go away, logs that are not what they were.
//!
//! Time is the test's own: nothing sleeps. The dice are seeded, and the seed is printed.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::follow::{Chunk, Cursor, QUIET, Source, Stream, Trouble};
use crate::log::{LogError, Offset, Record};

/// What a stream does next instead of delivering the next records.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Leaves out so many records.
    Skip(u64),
    /// Delivers so many again.
    Repeat(u64),
    /// Says nothing any more.
    Stall,
    End,
    Break,
    /// Delivers nothing of a batch before a fetch has so many bytes; what it says that it needs is half of that, as when
    /// the stream begins with another batch.
    Cut(u32),
}

/// A partition in memory and what its streams are to do.
#[derive(Default)]
struct Partition {
    first: Offset,
    end: Offset,
    /// Another log's records have another salt.
    salt: u8,
    faults: VecDeque<Fault>,
    /// Attempts to reach the broker that fail.
    away: u32,
    opened: Vec<(Offset, u32)>,
}

#[derive(Clone, Default)]
struct Fake(Arc<Mutex<Partition>>);

struct FakeStream {
    log: Fake,
    next: Offset,
    fetch: u32,
}

const AT_ONCE: u64 = 10;

fn record(offset: Offset, salt: u8) -> Record {
    Record { offset, timestamp: 0, key: None, value: Bytes::from(format!("{salt}:{offset}")) }
}

impl Fake {
    fn with(end: Offset, faults: impl IntoIterator<Item = Fault>) -> Fake {
        let fake = Fake::default();
        fake.change(|partition| {
            partition.end = end;
            partition.faults = faults.into_iter().collect();
        });
        fake
    }

    fn change<T>(&self, change: impl FnOnce(&mut Partition) -> T) -> T {
        change(&mut self.0.lock().unwrap())
    }
}

impl Source for Fake {
    type Stream = FakeStream;

    async fn bounds(&self) -> Result<(Offset, Offset), Trouble> {
        self.change(|partition| match partition.away {
            0 => Ok((partition.first, partition.end)),
            _ => {
                partition.away -= 1;
                Err(Trouble::Away("the broker is away".into()))
            }
        })
    }

    async fn open(&self, from: Offset, fetch: u32) -> Result<FakeStream, Trouble> {
        self.change(|partition| partition.opened.push((from, fetch)));
        Ok(FakeStream { log: self.clone(), next: from, fetch })
    }
}

impl FakeStream {
    fn deliver(&mut self, end: Offset, salt: u8) -> Chunk {
        let last = (self.next + AT_ONCE).min(end);
        let records = (self.next..last).map(|offset| record(offset, salt)).collect();
        self.next = last;
        Chunk { records, needs: None }
    }
}

impl Stream for FakeStream {
    async fn next(&mut self) -> Option<Result<Chunk, Trouble>> {
        let (end, salt, fault) = self.log.change(|p| (p.end, p.salt, p.faults.pop_front()));
        match fault {
            None if self.next >= end => std::future::pending().await,
            None => {}
            Some(Fault::Skip(count)) => self.next = (self.next + count).min(end),
            Some(Fault::Repeat(count)) => self.next = self.next.saturating_sub(count),
            Some(Fault::Stall) => std::future::pending().await,
            Some(Fault::End) => return None,
            Some(Fault::Break) => return Some(Err(Trouble::Away("the connection is gone".into()))),
            Some(Fault::Cut(needs)) if self.fetch < needs => {
                // It stays too small until a fetch is large enough.
                self.log.change(|p| p.faults.push_front(Fault::Cut(needs)));
                return Some(Ok(Chunk { records: Vec::new(), needs: Some(needs / 2) }));
            }
            Some(Fault::Cut(_)) => {}
        }
        Some(Ok(self.deliver(end, salt)))
    }
}

/// Reads to the end and checks that every record comes once and in order.
async fn read_to(fake: &Fake, cursor: &mut Cursor<FakeStream>, end: Offset) {
    while cursor.at() < end {
        let from = cursor.at();
        let records = cursor.read(fake, 7, usize::MAX).await.unwrap();
        assert!((1..=7).contains(&records.len()));
        for (offset, read) in (from..).zip(records) {
            assert_eq!(read, record(offset, 0));
        }
    }
    assert_eq!(cursor.at(), end);
}

#[tokio::test(start_paused = true)]
async fn whatever_a_stream_does_every_record_comes_once_and_in_order() {
    let given = std::env::var("CONCORD_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let first: u64 = given.unwrap_or_else(|| u64::from(std::process::id()) << 8);
    for seed in first..first + 500 {
        println!("CONCORD_TEST_SEED={seed}");
        let mut dice = seed;
        let mut draw = |below: u64| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (dice >> 33) % below
        };
        let faults: Vec<Fault> = (0..draw(40))
            .map(|_| match draw(7) {
                0 => Fault::Skip(1 + draw(30)),
                1 => Fault::Repeat(1 + draw(30)),
                2 => Fault::Stall,
                3 => Fault::End,
                4 => Fault::Break,
                5 => Fault::Cut(1000 + u32::try_from(draw(4000)).unwrap()),
                _ => Fault::Skip(0),
            })
            .collect();
        let fake = Fake::with(200, faults);
        fake.change(|p| p.away = u32::try_from(draw(5)).unwrap());
        let mut cursor = Cursor::new(3, draw(50), 1000);
        read_to(&fake, &mut cursor, 200).await;
        fake.change(|p| p.end = 230);
        read_to(&fake, &mut cursor, 230).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_hole_is_asked_for_at_the_first_missing_record() {
    let fake = Fake::with(100, [Fault::Skip(0), Fault::Skip(5)]);
    let mut cursor = Cursor::new(0, 0, 1000);
    read_to(&fake, &mut cursor, 100).await;
    // Ten came, then a hole of five. The last record proves that it is the same log.
    assert_eq!(fake.change(|p| p.opened.clone()), [(0, 1000), (9, 1000)]);
    assert_eq!(cursor.reopened, 1);
}

#[tokio::test(start_paused = true)]
async fn repetitions_are_passed_over_without_opening_anew() {
    let fake = Fake::with(100, [Fault::Skip(0), Fault::Repeat(10), Fault::Repeat(3)]);
    let mut cursor = Cursor::new(0, 0, 1000);
    read_to(&fake, &mut cursor, 100).await;
    assert_eq!(cursor.reopened, 0);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_stands_still_is_noticed_by_the_end() {
    let fake = Fake::with(100, [Fault::Skip(0), Fault::Stall]);
    let mut cursor = Cursor::new(0, 0, 1000);
    let started = Instant::now();
    read_to(&fake, &mut cursor, 100).await;
    assert_eq!((cursor.reopened, started.elapsed()), (1, QUIET));
}

#[tokio::test(start_paused = true)]
async fn at_the_end_it_waits_and_opens_nothing() {
    let fake = Fake::with(10, []);
    let mut cursor = Cursor::new(0, 0, 1000);
    read_to(&fake, &mut cursor, 10).await;
    let waited = tokio::time::timeout(Duration::from_secs(600), cursor.read(&fake, 1, 1)).await;
    assert!(waited.is_err());
    assert_eq!(cursor.reopened, 0);
    fake.change(|p| p.end = 11);
    assert_eq!(cursor.read(&fake, 1, 1).await.unwrap(), [record(10, 0)]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_larger_than_a_fetch_is_fetched_whole() {
    let fake = Fake::with(100, [Fault::Skip(0), Fault::Cut(70_000)]);
    let mut cursor = Cursor::new(0, 0, 1000);
    read_to(&fake, &mut cursor, 100).await;
    assert_eq!(fake.change(|p| p.opened.clone()), [(0, 1000), (9, 35_000), (9, 70_000)]);
    // The next ones are of the usual size.
    fake.change(|p| {
        p.end = 110;
        p.faults.push_back(Fault::Break);
    });
    read_to(&fake, &mut cursor, 110).await;
    assert_eq!(fake.change(|p| p.opened.last().copied()), Some((99, 1000)));
}

#[tokio::test(start_paused = true)]
async fn a_broker_away_for_ten_minutes_is_asked_seldom_and_waited_for() {
    let fake = Fake::with(100, [Fault::Skip(0), Fault::Break]);
    let mut cursor = Cursor::new(0, 0, 1000);
    read_to(&fake, &mut cursor, 10).await;
    fake.change(|p| p.away = u32::MAX);
    let away = tokio::time::timeout(Duration::from_secs(600), cursor.read(&fake, 1, 1)).await;
    assert!(away.is_err());
    let asked = u32::MAX - fake.change(|p| std::mem::take(&mut p.away));
    assert!((100..150).contains(&asked), "asked {asked} times");
    let back = Instant::now();
    read_to(&fake, &mut cursor, 100).await;
    assert!(back.elapsed() <= Duration::from_secs(5), "{:?}", back.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_read_given_up_takes_nothing_with_it() {
    let fake = Fake::with(100, [Fault::Skip(0), Fault::Stall, Fault::Break, Fault::End, Fault::Break]);
    let mut cursor = Cursor::new(0, 0, 1000);
    let mut given_up = 0;
    while cursor.at() < 100 {
        let from = cursor.at();
        match tokio::time::timeout(Duration::from_millis(30), cursor.read(&fake, 3, usize::MAX)).await {
            Ok(records) => {
                let expected: Vec<Record> = (from..).take(3).map(|offset| record(offset, 0)).collect();
                let records = records.unwrap();
                assert_eq!(records, expected[..records.len()]);
            }
            Err(_) => given_up += 1,
        }
    }
    assert!(given_up > 0);
}

#[tokio::test(start_paused = true)]
async fn what_retention_removed_is_an_error_with_the_range() {
    let fake = Fake::with(100, []);
    fake.change(|p| p.first = 40);
    let error = Cursor::new(2, 30, 1000).read(&fake, 1, 1).await.unwrap_err();
    assert_eq!(error, LogError::Gone { partition: 2, wanted: 30, first: 40 });
    assert!(error.to_string().contains("offsets 30 to 39 are gone"), "{error}");
    // Also under a reader that was there before.
    let mut cursor = Cursor::new(2, 40, 1000);
    read_to(&fake, &mut cursor, 50).await;
    fake.change(|p| {
        p.first = 60;
        p.faults.push_back(Fault::Break);
    });
    let error = cursor.read(&fake, 1, 1).await.unwrap_err();
    assert_eq!(error, LogError::Gone { partition: 2, wanted: 50, first: 60 });
}

#[tokio::test(start_paused = true)]
async fn a_place_beyond_the_end_is_an_error_at_once() {
    let fake = Fake::with(5, []);
    let error = Cursor::new(1, 6, 1000).read(&fake, 1, 1).await.unwrap_err();
    assert_eq!(error, LogError::Beyond { partition: 1, wanted: 6, end: 5 });
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_does_not_know_its_end_yet_gets_time() {
    let fake = Fake::with(100, [Fault::Skip(0), Fault::Break]);
    let mut cursor = Cursor::new(0, 0, 1000);
    read_to(&fake, &mut cursor, 10).await;
    fake.change(|p| p.end = 3);
    let waiting = tokio::time::timeout(Duration::from_secs(10), cursor.read(&fake, 1, 1)).await;
    assert!(waiting.is_err());
    fake.change(|p| p.end = 100);
    read_to(&fake, &mut cursor, 100).await;
    fake.change(|p| {
        p.end = 3;
        p.faults.push_back(Fault::Break);
    });
    let error = cursor.read(&fake, 1, 1).await.unwrap_err();
    assert_eq!(error, LogError::Beyond { partition: 0, wanted: 100, end: 3 });
}

#[tokio::test(start_paused = true)]
async fn another_log_in_its_place_is_noticed() {
    let fake = Fake::with(100, [Fault::Skip(0), Fault::Break]);
    let mut cursor = Cursor::new(4, 0, 1000);
    read_to(&fake, &mut cursor, 10).await;
    fake.change(|p| p.salt = 1);
    let error = cursor.read(&fake, 1, 1).await.unwrap_err();
    assert_eq!(error, LogError::Replaced { partition: 4, offset: 9 });
}
