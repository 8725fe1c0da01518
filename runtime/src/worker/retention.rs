//! How long the log keeps what is decided and written, where that is Concord's own business.
//!
//! A record's age cannot be told by its timestamp: that is its producer's word. What Concord itself has signed (ticks, every
//! minute) carries its own clock: whatever stands before such a record is older. Knows ages and checkpoints; what is given
//! up is the log's to delete.

use std::sync::Arc;
use std::time::Duration;

use super::{Shared, now_millis};
use crate::event::{self, Control, ControlKey, Parsed};
use crate::log::{Log, LogError, Offset, Partition, Record};

/// How often is looked.
const EVERY: Duration = Duration::from_secs(3_600);
const RECORDS: usize = 1_024;
const BYTES: usize = 4 << 20;

/// Gives up, again and again, what is older than `keep` on these partitions and behind their checkpoints; never returns.
pub async fn run<L: Log>(shared: Arc<Shared<L>>, partitions: Vec<Partition>, keep: Duration) {
    let mut interval = tokio::time::interval(EVERY);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let keep = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
        for partition in partitions.iter().copied() {
            match once(&shared, partition, now_millis().saturating_sub(keep)).await {
                Ok(None) => {}
                Ok(Some(first)) => tracing::info!(partition, "the log begins at offset {first} now (retention.log)"),
                Err(error) => tracing::warn!(partition, "old records stay for now: {error}"),
            }
        }
    }
}

/// Gives up the records of a partition that are in the log since before `since` (milliseconds since 1970), as far as what
/// they became is written. The last decided record stays: by it a restart knows the log. Says where the log begins
/// then, if that has changed.
pub async fn once<L: Log>(shared: &Shared<L>, partition: Partition, since: i64) -> Result<Option<Offset>, LogError> {
    let Some(written) = shared.progress(partition).next() else { return Ok(None) };
    let (first, _) = shared.log.bounds(partition).await?;
    let last = written.saturating_sub(1);
    let (mut at, mut cut) = (first, Cut { first, newest: i64::MIN });
    while at < last {
        let records = shared.log.read(partition, at, RECORDS, BYTES).await?;
        at = records.last().map_or(last, |record| record.offset + 1);
        if !records.iter().all(|record| cut.passes(record, &shared.key, since)) {
            break;
        }
    }
    let cut = cut.first.min(last);
    if cut <= first {
        return Ok(None);
    }
    shared.log.retain(partition, cut).await?;
    Ok(Some(cut))
}

/// Where the log is to begin, as far as it was looked at.
struct Cut {
    first: Offset,
    /// The newest of Concord's own times so far: an old record that somebody repeats is no reason to give up others.
    newest: i64,
}

impl Cut {
    /// Takes the next record; `false` once it and what follows may be young.
    fn passes(&mut self, record: &Record, key: &ControlKey, since: i64) -> bool {
        let Parsed::Control(signed) = event::parse(&record.value, key) else { return true };
        // What is copied from another partition, and what people sign, has a time of somebody else's.
        let time = match &signed.control {
            Control::Tick { millis } => *millis,
            Control::Owner { .. } => signed.time.unwrap_or(i64::MAX).div_euclid(1000),
            _ => return true,
        };
        self.newest = self.newest.max(time);
        if self.newest < since {
            self.first = record.offset + 1;
        }
        self.newest < since
    }
}
