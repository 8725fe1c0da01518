//! One writer for all partitions of the process: what is decided while a commit is on its way goes
//! into the next one together.
//!
//! A lone record is written at once; under load commits are spaced so that ClickHouse's parts do not
//! pile up. Does not know what it writes.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::rows::Decided;
use crate::store::{Backoff, Store, StoreError, with_retry};

/// Commits that may follow each other without a pause, if they are quick.
const BURST: u32 = 8;
/// After a burst, one commit per this time: ClickHouse merges parts more slowly than it takes them.
const PACE: Duration = Duration::from_millis(60);
/// The longest pause after a commit.
const LONGEST_REST: Duration = Duration::from_millis(250);
/// A commit of so many rows is worth what it costs: no pause is made after it.
const LARGE: usize = 20_000;
/// Rows from which on no further partition is added to a commit.
const ROWS: usize = 200_000;

/// A partition's batch and whom to tell when it is durable.
pub struct Commit {
    pub decided: Decided,
    pub done: oneshot::Sender<()>,
}

/// Writes commits until every partition has gone away. Retries what can pass for ever; an error that
/// no retry repairs ends it.
pub async fn run(store: Store, mut commits: mpsc::Receiver<Commit>) -> Result<(), StoreError> {
    let mut pace = Pace::new(Instant::now());
    while let Some(first) = commits.recv().await {
        tokio::time::sleep_until(pace.next(Instant::now())).await;
        let started = Instant::now();
        let (mut batches, mut waiting) = (vec![first.decided], vec![first.done]);
        let mut rows = weight(batches.first());
        while rows < ROWS {
            let Ok(more) = commits.try_recv() else { break };
            rows += weight(Some(&more.decided));
            batches.push(more.decided);
            waiting.push(more.done);
        }
        with_retry("write to ClickHouse", Backoff::default(), || store.write(&batches)).await?;
        pace.wrote(started, Instant::now(), rows);
        for done in waiting {
            // The partition may have ended by itself; its rows are written all the same.
            let _ = done.send(());
        }
    }
    Ok(())
}

/// When the next commit may begin. Much of what a commit costs is the same however small it is, so one that takes long
/// is followed by a pause as long, in which more gathers.
struct Pace {
    /// When the commits so far will be paid for.
    paid: Instant,
}

impl Pace {
    fn new(now: Instant) -> Pace {
        Pace { paid: now }
    }

    /// Commits may be begun ahead of their time, but not by more than a burst.
    fn next(&self, now: Instant) -> Instant {
        now.max(self.paid.checked_sub(PACE * (BURST - 1)).unwrap_or(now))
    }

    fn wrote(&mut self, started: Instant, ended: Instant, rows: usize) {
        let took = ended.duration_since(started);
        let rest = if rows < LARGE { took.min(LONGEST_REST) } else { Duration::ZERO };
        self.paid = self.paid.max(started) + (took + rest).max(PACE);
    }
}

fn weight(decided: Option<&Decided>) -> usize {
    decided.map_or(0, |d| d.conflicts.len() + d.reservations.len() + d.room_nights.len() + d.state.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Duration = Duration::from_millis(5);

    #[test]
    fn lone_commits_begin_at_once_and_a_stream_of_them_is_spaced() {
        let begin = Instant::now();
        let mut pace = Pace::new(begin);
        let mut now = begin;
        for _ in 0..BURST {
            assert_eq!(pace.next(now), now);
            pace.wrote(now, now + QUICK, 1);
            now += QUICK;
        }
        for nth in 1..5 {
            now = pace.next(now);
            assert_eq!(now, begin + PACE * nth);
            pace.wrote(now, now + QUICK, 1);
        }
        let later = now + PACE * BURST * 2;
        assert_eq!(pace.next(later), later);
    }

    #[test]
    fn small_commits_that_take_long_leave_half_of_the_time() {
        let begin = Instant::now();
        let (mut pace, mut now, slow) = (Pace::new(begin), begin, PACE * 3);
        for _ in 0..100 {
            now = pace.next(now);
            pace.wrote(now, now + slow, 100);
            now += slow;
        }
        assert!(now - begin >= slow * 2 * 95, "{:?}", now - begin);
    }

    #[test]
    fn large_commits_follow_each_other_without_a_pause() {
        let begin = Instant::now();
        let (mut pace, mut now) = (Pace::new(begin), begin);
        for _ in 0..100 {
            assert_eq!(pace.next(now), now);
            pace.wrote(now, now + PACE * 3, LARGE);
            now += PACE * 3;
        }
    }
}
