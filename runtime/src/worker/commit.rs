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

/// Commits that may follow each other without a pause.
const BURST: u32 = 8;
/// After a burst, one commit per this time: ClickHouse merges parts more slowly than it takes them.
const PACE: Duration = Duration::from_millis(60);
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
    let (mut burst, mut refilled) = (BURST, Instant::now());
    while let Some(first) = commits.recv().await {
        let refill = (refilled.elapsed().as_millis() / PACE.as_millis()).min(u128::from(BURST)) as u32;
        if refill > 0 {
            burst = (burst + refill).min(BURST);
            refilled = Instant::now();
        }
        if burst == 0 {
            tokio::time::sleep_until(refilled + PACE).await;
            (burst, refilled) = (1, Instant::now());
        }
        burst -= 1;
        let (mut batches, mut waiting) = (vec![first.decided], vec![first.done]);
        let mut rows = weight(batches.first());
        while rows < ROWS {
            let Ok(more) = commits.try_recv() else { break };
            rows += weight(Some(&more.decided));
            batches.push(more.decided);
            waiting.push(more.done);
        }
        with_retry("write to ClickHouse", Backoff::default(), || store.write(&batches)).await?;
        for done in waiting {
            // The partition may have ended by itself; its rows are written all the same.
            let _ = done.send(());
        }
    }
    Ok(())
}

fn weight(decided: Option<&Decided>) -> usize {
    decided.map_or(0, |d| d.conflicts.len() + d.reservations.len() + d.room_nights.len() + d.state.len())
}
