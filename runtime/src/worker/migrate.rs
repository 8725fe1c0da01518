//! A pipeline moves to another log, with as many partitions or more: what is remembered moves along.
//!
//! A log cannot be laid out anew, so another one takes over: its positions begin after all of the old one's, the entities
//! of every property move to the property's new partition, and one atomic block of checkpoints makes the new log the one
//! that counts. Before that block nobody sees a difference; after it workers of the old log stop when they start. Every
//! step can be repeated. Knows state and logs; does not know what entities mean.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::checkpoint::{self, Checkpoint, Earlier, PartitionState};
use super::now_millis;
use crate::event::{self, Control, ControlKey, Key, Parsed};
use crate::log::partitioner::partition as home;
use crate::log::{Identity, Log, LogError, NewRecord, Offset, Partition, Record};
use crate::merge::row_version;
use crate::rows::{AuditHead, StateRow};
use crate::store::{STATE_BLOCK_BYTES, STATE_BLOCK_ROWS, Store, StoreError};

/// First positions are proposed in these steps: `3000017` is then seen to be record 17.
const STEP: Offset = 1_000_000;

/// Why nothing was moved, or not everything.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("the old log: {0}")]
    Old(LogError),
    #[error("the new log: {0}")]
    New(LogError),
    #[error("partition {partition}: {what}")]
    State { partition: Partition, what: String },
    #[error("nothing has been decided yet: point the pipeline to the new log and start it there")]
    Nothing,
    #[error(
        "partition {partition}: its checkpoint was made on log {found}, and neither the old log ({old}) nor the new one \
         is that"
    )]
    OtherLog { partition: Partition, found: String, old: String },
    #[error("both files name the same log")]
    SameLog,
    #[error("the new log has {new} partitions, the old one {old}: it needs at least as many")]
    Fewer { old: u32, new: u32 },
    #[error(
        "positions have to go on after those of the old log: write first_position = {least} under [log] in the new file \
         (it says {found})"
    )]
    FirstPosition { least: Offset, found: Offset },
    #[error(
        "partition {partition}: the record at {offset} is not decided yet. Stop what appends, let \
         `concord run --until-idle` end on the old log, and try again"
    )]
    Undecided { partition: Partition, offset: Offset },
    #[error("partition {partition}: a worker still works on the old log: stop it and try again")]
    Working { partition: Partition },
}

/// What was moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Whether the checkpoints had been moved before this call.
    pub before: bool,
    pub properties: usize,
    pub entities: usize,
    /// Records that came to the old log after the move and were copied to the new one.
    pub late: usize,
}

/// The two logs and what belongs to both.
pub struct Migration<'a, A, B> {
    pub store: &'a Store,
    pub old: &'a A,
    pub new: &'a B,
    pub key: &'a ControlKey,
    /// Who does it, in the old log's last owner records.
    pub author: &'a str,
}

impl<A: Log, B: Log> Migration<'_, A, B> {
    /// Moves everything. After an error the old log goes on as before, but for owner records that stop who worked on it,
    /// unless it comes from the clearing up that follows the move; in either case it can be called again.
    pub async fn run(&self) -> Result<Moved, MigrateError> {
        let (old, new) = (self.old.identity(), self.new.identity());
        if old == new {
            return Err(MigrateError::SameLog);
        }
        if new.partitions < old.partitions {
            return Err(MigrateError::Fewer { old: old.partitions, new: new.partitions });
        }
        let states = self.states().await?;
        let first = states.get(&0).and_then(|state| state.checkpoint.as_ref()).ok_or(MigrateError::Nothing)?;
        let mut moved = Moved { before: first.log == new, ..Moved::default() };
        let earlier = if moved.before {
            first.earlier.last().filter(|earlier| earlier.log == old).cloned()
        } else {
            let checkpoints = self.end_old_log(&states).await?;
            let earlier = Earlier { log: old.clone(), ends: ends(&checkpoints), resets: resets(&checkpoints) };
            self.copy_entities(&mut moved).await?;
            self.switch(&states, &checkpoints, &earlier).await?;
            Some(earlier)
        };
        let Some(earlier) = earlier else {
            let found = first.earlier.last().map_or_else(|| "no other".to_owned(), |earlier| text(&earlier.log));
            return Err(MigrateError::OtherLog { partition: 0, found, old: text(&old) });
        };
        self.clear(&mut moved).await?;
        self.carry_late(&earlier, &mut moved).await?;
        Ok(moved)
    }

    /// What there is of every partition as a whole.
    async fn states(&self) -> Result<BTreeMap<Partition, PartitionState>, MigrateError> {
        let mut states = BTreeMap::new();
        for partition in 0..self.new.identity().partitions {
            let entries = self.store.load_partition(partition).await?.entries;
            let state = PartitionState::read(&entries).map_err(|what| MigrateError::State { partition, what })?;
            if state.checkpoint.is_some() {
                states.insert(partition, state);
            }
        }
        Ok(states)
    }

    /// Makes sure that everything is decided and that nobody goes on deciding.
    async fn end_old_log(&self, states: &BTreeMap<Partition, PartitionState>) -> Result<Vec<Checkpoint>, MigrateError> {
        let old = self.old.identity();
        let mut checkpoints = Vec::new();
        for partition in 0..old.partitions {
            let found = states.get(&partition).and_then(|state| state.checkpoint.clone());
            let checkpoint = found.ok_or(MigrateError::Undecided { partition, offset: self.old.first_position() })?;
            if checkpoint.log != old {
                let found = text(&checkpoint.log);
                return Err(MigrateError::OtherLog { partition, found, old: text(&old) });
            }
            self.all_decided(partition, checkpoint.next).await?;
            checkpoints.push(checkpoint);
        }
        let mut least = 0;
        for partition in 0..old.partitions {
            least = least.max(self.fence(partition).await? + 1);
        }
        let found = self.new.first_position();
        if found < least {
            return Err(MigrateError::FirstPosition { least: least.next_multiple_of(STEP), found });
        }
        // Whoever worked until now has either written this checkpoint or finds the fence.
        let again = self.states().await?;
        for (partition, checkpoint) in (0..).zip(&checkpoints) {
            self.all_decided(partition, checkpoint.next).await?;
            if again.get(&partition).and_then(|state| state.checkpoint.as_ref()) != Some(checkpoint) {
                return Err(MigrateError::Working { partition });
            }
        }
        Ok(checkpoints)
    }

    /// Whether nothing follows that has to be decided: owners and ticks need not be.
    async fn all_decided(&self, partition: Partition, next: Offset) -> Result<(), MigrateError> {
        let mut rest = Rest::of(self.old, partition, next).await.map_err(MigrateError::Old)?;
        while let Some(records) = rest.next().await.map_err(MigrateError::Old)? {
            if let Some(record) = records.iter().find(|record| !self.is_passing(record)) {
                return Err(MigrateError::Undecided { partition, offset: record.offset });
            }
        }
        Ok(())
    }

    fn is_passing(&self, record: &Record) -> bool {
        let Parsed::Control(signed) = event::parse(&record.value, self.key) else { return false };
        matches!(signed.control, Control::Owner { .. } | Control::Tick { .. } | Control::Heartbeat { .. })
    }

    /// From this record on no worker of the old log works on the partition.
    async fn fence(&self, partition: Partition) -> Result<Offset, MigrateError> {
        let instance = format!("moved to {}", self.new.identity().id);
        let now = now_millis();
        let value = event::sign_and_write(
            &Control::Owner { instance },
            self.key,
            &format!("moved-{now}"),
            self.author,
            now.saturating_mul(1000),
        )
        .map_err(|why| MigrateError::State { partition, what: why.to_string() })?;
        let record = NewRecord { key: None, value, timestamp: now };
        self.old.append(partition, vec![record]).await.map_err(MigrateError::Old)
    }

    /// Version of everything that is moved: after all that was decided on the old log, before all on the new one.
    fn version(&self) -> u64 {
        row_version(self.new.first_position().saturating_sub(1))
    }

    /// Entities whose property lives elsewhere on the new log are copied to there.
    async fn copy_entities(&self, moved: &mut Moved) -> Result<(), MigrateError> {
        let (before, count) = (self.old.identity().partitions, self.new.identity().partitions);
        for partition in 0..before {
            let mut last: Option<Arc<str>> = None;
            let mut block = Block::new(self.store, self.version());
            let mut entities = self.store.entities(partition).await?;
            while let Some(row) = entities.next().await? {
                // What a call that broke off, or this one, has put here already is no entity of this partition.
                if home(row.property.as_bytes(), before) != partition {
                    continue;
                }
                let target = home(row.property.as_bytes(), count);
                moved.entities += usize::from(!row.value.is_empty());
                if last.as_ref() != Some(&row.property) {
                    last = Some(row.property.clone());
                    moved.properties += 1;
                }
                if target != partition {
                    block.add(target, row).await?;
                }
            }
            block.close().await?;
        }
        Ok(())
    }

    /// Configuration and plugins for partitions that are new, then all checkpoints in one block.
    async fn switch(
        &self,
        states: &BTreeMap<Partition, PartitionState>,
        checkpoints: &[Checkpoint],
        earlier: &Earlier,
    ) -> Result<(), MigrateError> {
        let identity = self.new.identity();
        let failed = |what| MigrateError::State { partition: 0, what };
        let first = states.get(&0).ok_or(MigrateError::Nothing)?;
        let mut block = Block::new(self.store, self.version());
        for partition in earlier.log.partitions..identity.partitions {
            for ((digest, part), piece) in &first.pieces {
                block.add(partition, checkpoint::piece_row(digest, *part, piece).map_err(failed)?).await?;
            }
            if let Some(active) = &first.active {
                block.add(partition, checkpoint::active_row(active).map_err(failed)?).await?;
            }
        }
        block.close().await?;
        let start = after(checkpoints, &identity, self.new.first_position(), earlier);
        let mut rows = Vec::new();
        for partition in 0..identity.partitions {
            let own = checkpoints.get(partition as usize);
            let checkpoint = Checkpoint {
                audit: own.map_or_else(AuditHead::default, |own| own.audit),
                counts: own.map(|own| own.counts).unwrap_or_default(),
                log_time: own.map_or(0, |own| own.log_time),
                ..start.clone()
            };
            rows.push((partition, checkpoint::checkpoint_row(&checkpoint).map_err(failed)?));
        }
        Ok(self.store.write_state(&rows, self.version()).await?)
    }

    /// Nobody reads the entities at their old place any more.
    async fn clear(&self, moved: &mut Moved) -> Result<(), MigrateError> {
        let count = self.new.identity().partitions;
        for partition in 0..self.old.identity().partitions {
            let mut block = Block::new(self.store, self.version());
            let mut entities = self.store.entities(partition).await?;
            while let Some(row) = entities.next().await? {
                if home(row.property.as_bytes(), count) != partition && !row.value.is_empty() {
                    block.add(partition, StateRow { value: Vec::new(), ..row }).await?;
                    moved.entities += usize::from(moved.before);
                }
            }
            block.close().await?;
        }
        Ok(())
    }

    /// Producers may not have heard of the move. What they append is copied; copied twice it is a duplicate.
    async fn carry_late(&self, earlier: &Earlier, moved: &mut Moved) -> Result<(), MigrateError> {
        let count = self.new.identity().partitions;
        for (partition, end) in (0..).zip(&earlier.ends) {
            let mut rest = Rest::of(self.old, partition, *end).await.map_err(MigrateError::Old)?;
            while let Some(records) = rest.next().await.map_err(MigrateError::Old)? {
                for record in records.into_iter().filter(|record| !self.is_passing(record)) {
                    // Without a key that says so nobody knows where it belongs; its worker does.
                    let key = Key::parse(record.key.as_deref());
                    let target = key.map_or(partition, |key| home(key.property.as_bytes(), count));
                    let copy = NewRecord { key: record.key, value: record.value, timestamp: record.timestamp };
                    self.new.append(target, vec![copy]).await.map_err(MigrateError::New)?;
                    moved.late += 1;
                }
            }
        }
        Ok(())
    }
}

/// Rows on their way to the state, in blocks of bounded size.
struct Block<'a> {
    store: &'a Store,
    version: u64,
    rows: Vec<(Partition, StateRow)>,
    bytes: usize,
}

impl<'a> Block<'a> {
    fn new(store: &'a Store, version: u64) -> Block<'a> {
        Block { store, version, rows: Vec::new(), bytes: 0 }
    }

    async fn add(&mut self, partition: Partition, row: StateRow) -> Result<(), StoreError> {
        let bytes = row.property.len() + row.key.len() + row.value.len() + 32;
        if self.rows.len() == STATE_BLOCK_ROWS || self.bytes + bytes > STATE_BLOCK_BYTES {
            self.write().await?;
        }
        self.bytes += bytes;
        self.rows.push((partition, row));
        Ok(())
    }

    async fn write(&mut self) -> Result<(), StoreError> {
        self.store.write_state(&self.rows, self.version).await?;
        self.rows.clear();
        self.bytes = 0;
        Ok(())
    }

    async fn close(mut self) -> Result<(), StoreError> {
        if self.rows.is_empty() { Ok(()) } else { self.write().await }
    }
}

/// What every partition of the new log begins with. Partition time is the latest of the old partitions': it never goes
/// back for anyone.
fn after(checkpoints: &[Checkpoint], log: &Identity, first: Offset, earlier: &Earlier) -> Checkpoint {
    let leader = checkpoints.first();
    let before = leader.map(|leader| leader.earlier.clone()).unwrap_or_default();
    Checkpoint {
        now: checkpoints.iter().map(|c| c.now).max().unwrap_or(0),
        first_tick: checkpoints.iter().map(|c| c.first_tick).filter(|tick| *tick != 0).min().unwrap_or(0),
        reset_sequence: checkpoints.iter().filter_map(|c| c.reset_sequence).max(),
        configuration: leader.and_then(|leader| leader.configuration),
        earlier: before.into_iter().chain([earlier.clone()]).collect(),
        ..Checkpoint::start(log.clone(), first)
    }
}

fn ends(checkpoints: &[Checkpoint]) -> Vec<Offset> {
    checkpoints.iter().map(|checkpoint| checkpoint.next).collect()
}

fn resets(checkpoints: &[Checkpoint]) -> BTreeMap<Partition, BTreeMap<Arc<str>, Offset>> {
    let had = (0..).zip(checkpoints).filter(|(_, checkpoint)| !checkpoint.resets.is_empty());
    had.map(|(partition, checkpoint)| (partition, checkpoint.resets.clone())).collect()
}

fn text(log: &Identity) -> String {
    format!("{} with {} partitions", log.id, log.partitions)
}

/// Everything from a position to the end as it was at first, some records at a time.
struct Rest<'a, L> {
    log: &'a L,
    partition: Partition,
    next: Offset,
    end: Offset,
}

impl<'a, L: Log> Rest<'a, L> {
    async fn of(log: &'a L, partition: Partition, next: Offset) -> Result<Rest<'a, L>, LogError> {
        let (_, end) = log.bounds(partition).await?;
        Ok(Rest { log, partition, next, end })
    }

    async fn next(&mut self) -> Result<Option<Vec<Record>>, LogError> {
        if self.next >= self.end {
            return Ok(None);
        }
        let records = self.log.read(self.partition, self.next, 1024, 4 << 20).await?;
        self.next = records.last().map_or(self.end, |record| record.offset + 1);
        Ok(Some(records))
    }
}
