//! One writer for all partitions of the process: what is decided while a commit is on its way goes
//! into the next one together.
//!
//! A lone record is written at once; under load commits are spaced so that ClickHouse's parts do not
//! pile up. Does not know what it writes.

use std::convert::Infallible;
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
/// How long the next commit waits for partitions that were in the last one and have gathered more meanwhile.
const GRACE: Duration = Duration::from_millis(30);

/// A partition's batch and whom to tell when it is durable.
pub struct Commit {
    pub decided: Decided,
    pub done: oneshot::Sender<Turn>,
}

/// Comes to a partition with the news that its batch is durable. While it is held, the writer expects another batch; it is
/// let go once that is handed over, or when there is none.
///
/// Without it the partitions would fall apart into two groups that take turns: who is told at the end of a commit
/// would always come too late for the next one. Each commit costs much the same whoever takes part in it.
#[derive(Clone, Debug)]
pub struct Turn {
    _held: mpsc::Sender<Infallible>,
}

/// The writer's end of the turns that it gave out.
struct Turns {
    let_go: mpsc::Receiver<Infallible>,
    until: Instant,
}

impl Turns {
    fn give_out(now: Instant) -> (Turn, Turns) {
        let (held, let_go) = mpsc::channel(1);
        (Turn { _held: held }, Turns { let_go, until: now + GRACE })
    }

    /// The next batch, as long as one can be expected.
    async fn next(&mut self, commits: &mut mpsc::Receiver<Commit>) -> Option<Commit> {
        tokio::select! {
            biased;
            next = commits.recv() => next,
            _ = self.let_go.recv() => commits.try_recv().ok(),
            () = tokio::time::sleep_until(self.until) => None,
        }
    }
}

/// Writes commits until every partition has gone away. Retries what can pass for ever; an error that
/// no retry repairs ends it.
pub async fn run(store: Store, mut commits: mpsc::Receiver<Commit>) -> Result<(), StoreError> {
    let mut pace = Pace::new(Instant::now());
    let (_, mut turns) = Turns::give_out(Instant::now());
    while let Some(first) = commits.recv().await {
        tokio::time::sleep_until(pace.next(Instant::now())).await;
        let (batches, waiting) = gather(first, &mut commits, &mut turns).await;
        let rows = batches.iter().map(weight).sum();
        let started = Instant::now();
        with_retry("write to ClickHouse", Backoff::default(), || store.write(&batches)).await?;
        let ended = Instant::now();
        pace.wrote(started, ended, rows);
        let (turn, given_out) = Turns::give_out(ended);
        turns = given_out;
        for done in waiting {
            // The partition may have ended by itself; its rows are written all the same.
            let _ = done.send(turn.clone());
        }
    }
    Ok(())
}

/// What goes into one commit, and whom to tell.
async fn gather(
    first: Commit,
    commits: &mut mpsc::Receiver<Commit>,
    turns: &mut Turns,
) -> (Vec<Decided>, Vec<oneshot::Sender<Turn>>) {
    let mut rows = weight(&first.decided);
    let (mut batches, mut waiting) = (vec![first.decided], vec![first.done]);
    while rows < ROWS {
        let Some(more) = turns.next(commits).await else { break };
        rows += weight(&more.decided);
        batches.push(more.decided);
        waiting.push(more.done);
    }
    (batches, waiting)
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

fn weight(decided: &Decided) -> usize {
    decided.conflicts.len() + decided.reservations.len() + decided.room_nights.len() + decided.state.len()
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

    fn commit(partition: u32) -> (Commit, oneshot::Receiver<Turn>) {
        let (done, told) = oneshot::channel();
        (Commit { decided: Decided { partition, ..Decided::default() }, done }, told)
    }

    fn partitions(batches: &[Decided]) -> Vec<u32> {
        batches.iter().map(|batch| batch.partition).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn partitions_of_the_last_commit_that_gathered_more_are_in_the_next_one() {
        let (sender, mut commits) = mpsc::channel(8);
        let (turn, mut turns) = Turns::give_out(Instant::now());
        let busy = tokio::spawn({
            let (sender, turn) = (sender.clone(), turn.clone());
            async move {
                tokio::time::sleep(GRACE / 2).await;
                sender.send(commit(2).0).await.expect("taken");
                drop(turn);
            }
        });
        let idle = turn;
        drop(idle);
        let begin = Instant::now();
        let (batches, waiting) = gather(commit(1).0, &mut commits, &mut turns).await;
        assert_eq!((partitions(&batches), waiting.len()), (vec![1, 2], 2));
        assert_eq!(begin.elapsed(), GRACE / 2, "nobody else is waited for");
        busy.await.expect("sent");
    }

    #[tokio::test(start_paused = true)]
    async fn a_partition_that_takes_long_is_not_waited_for() {
        let (_sender, mut commits) = mpsc::channel(8);
        let (_held, mut turns) = Turns::give_out(Instant::now());
        let begin = Instant::now();
        let (batches, _) = gather(commit(1).0, &mut commits, &mut turns).await;
        assert_eq!((partitions(&batches), begin.elapsed()), (vec![1], GRACE));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lone_record_is_written_at_once() {
        let (sender, mut commits) = mpsc::channel(8);
        let (turn, mut turns) = Turns::give_out(Instant::now());
        drop(turn);
        let begin = Instant::now();
        let (batches, _) = gather(commit(1).0, &mut commits, &mut turns).await;
        assert_eq!((partitions(&batches), begin.elapsed()), (vec![1], Duration::ZERO));
        drop(sender);
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
