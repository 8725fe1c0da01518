//! A decided batch becomes rows: first the outputs, then one atomic block of state with the checkpoint.
//!
//! Knows in which order what must be acknowledged. Does not know what was decided.
//!
//! Every step may run again: room nights, reservations and state are replaced by their versions, conflicts and dead
//! letters are compared before they are appended. So a batch that failed anywhere is written again as a whole.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::audit;
use crate::log::Partition;
use crate::rows::{Decided, StateRow};
use crate::store::append::{Block, Journal};
use crate::store::error::StoreError;
use crate::store::{Insert, Store, tables};

/// A block of state is cut off, between two partitions, before it gets larger than this.
pub const STATE_BLOCK_ROWS: usize = 50_000;
/// The same in bytes.
pub const STATE_BLOCK_BYTES: usize = 32 << 20;

impl Store {
    /// Writes what was decided, of any number of partitions; of one partition several batches in their order. When
    /// it returns, everything is durable and the checkpoints have moved. After an error nothing is promised but
    /// that the same batch can be written again; see [`StoreError::retryable`].
    pub async fn write(&self, batches: &[Decided]) -> Result<(), StoreError> {
        let conflicts = conflict_blocks(batches)?;
        let dead_letters = dead_letter_blocks(batches);
        let state = state_blocks(batches);
        // All of them are awaited whatever happens to one: no insert is left on its way when this returns.
        let (a, b, c, d, e, f) = tokio::join!(
            self.append(Journal::Conflicts, conflicts),
            self.append(Journal::DeadLetters, dead_letters),
            self.write_reservations(batches),
            self.write_room_nights(batches),
            self.write_rule_changes(batches),
            self.write_properties(batches),
        );
        a.and(b).and(c).and(d).and(e).and(f)?;
        // A state on disk whose outputs are not would be believed: they are made durable first.
        self.sync().await?;
        for block in state {
            self.insert(Insert::new("state", tables::STATE, block).exact()).await?;
        }
        self.sync().await
    }

    /// Writes state rows of any partitions, all with one version, as one block: whole or not at all. At most 50,000 rows
    /// and 32 MiB.
    pub async fn write_state(&self, rows: &[(Partition, StateRow)], version: u64) -> Result<(), StoreError> {
        let mut body = Vec::new();
        for (partition, row) in rows {
            tables::state(&mut body, *partition, row, version);
        }
        self.insert(Insert::new("state", tables::STATE, body.into()).exact()).await?;
        self.sync().await
    }

    /// One insert for rows that free rooms and rows that take them. It arrives month by month, but a month's rows are
    /// one part, so whoever reads in between sees all of what was decided about a night or nothing: never a room
    /// too many.
    async fn write_reservations(&self, batches: &[Decided]) -> Result<(), StoreError> {
        let rows = batches.iter().flat_map(|batch| &batch.reservations);
        self.insert(Insert::new("reservations", tables::RESERVATIONS, encode(rows, 256, tables::reservation))).await
    }

    async fn write_room_nights(&self, batches: &[Decided]) -> Result<(), StoreError> {
        let fields = self.fields();
        let mut body = Vec::new();
        for batch in batches {
            body.reserve(batch.room_nights.len() * 160);
            for row in &batch.room_nights {
                tables::room_night(&mut body, row, &fields)
                    .map_err(|detail| StoreError::Batch { partition: batch.partition, detail })?;
            }
        }
        self.insert(Insert::new("room_nights", &tables::room_night_columns(&fields), body.into())).await
    }

    /// Rare, and only by the owner of partition 0: what stands already is asked for each time.
    async fn write_rule_changes(&self, batches: &[Decided]) -> Result<(), StoreError> {
        for row in batches.iter().flat_map(|batch| &batch.rule_changes) {
            let sql = format!("SELECT sequence FROM rule_changes WHERE sequence = {} LIMIT 1", row.sequence);
            if self.exact_rows(&sql)?.next(|found| found.u64()).await?.is_some() {
                continue;
            }
            let body = encode([row], 4096, tables::rule_change);
            let token = format!("rule_changes/{}", row.sequence);
            self.insert(Insert::new("rule_changes", tables::RULE_CHANGES, body).with_token(token)).await?;
        }
        Ok(())
    }

    async fn write_properties(&self, batches: &[Decided]) -> Result<(), StoreError> {
        let rows = batches.iter().flat_map(|batch| &batch.properties);
        let body = encode(rows, 128, tables::property);
        self.insert(Insert::new("properties", tables::PROPERTIES, body)).await
    }
}

fn encode<T>(rows: impl IntoIterator<Item = T>, size: usize, put: impl Fn(&mut Vec<u8>, T)) -> Bytes {
    let rows = rows.into_iter();
    let mut body = Vec::with_capacity(rows.size_hint().0 * size);
    rows.for_each(|row| put(&mut body, row));
    body.into()
}

/// One block per partition, chained to the end that its first batch found.
fn conflict_blocks(batches: &[Decided]) -> Result<Vec<Block>, StoreError> {
    let mut blocks: BTreeMap<Partition, Block> = BTreeMap::new();
    for batch in batches {
        let block =
            blocks.entry(batch.partition).or_insert_with(|| Block::new(batch.partition, Some(batch.audit_before)));
        let wrong = |detail: &str| StoreError::Batch { partition: batch.partition, detail: detail.to_owned() };
        if block.end() != Some(batch.audit_before.hash) {
            return Err(wrong("its audit chain does not go on from the batch before"));
        }
        let computed;
        let hashes = if batch.conflict_hashes.is_empty() {
            (_, computed) = audit::chain(batch.audit_before, &batch.conflicts);
            &computed
        } else {
            &batch.conflict_hashes
        };
        if hashes.len() != batch.conflicts.len() {
            return Err(wrong("it has not one hash per conflict row"));
        }
        let mut previous = batch.audit_before.hash;
        for (row, hash) in batch.conflicts.iter().zip(hashes) {
            block.push((row.offset, row.seq), *hash, |out| tables::conflict(out, row, &previous, hash));
            previous = *hash;
        }
    }
    Ok(blocks.into_values().collect())
}

fn dead_letter_blocks(batches: &[Decided]) -> Vec<Block> {
    let mut blocks: BTreeMap<Partition, Block> = BTreeMap::new();
    for batch in batches {
        let block = blocks.entry(batch.partition).or_insert_with(|| Block::new(batch.partition, None));
        for row in &batch.dead_letters {
            block.push((row.offset, row.seq), Default::default(), |out| tables::dead_letter(out, row));
        }
    }
    blocks.into_values().collect()
}

/// Blocks that are each written whole or not at all: a batch is never cut, for its checkpoint is true only with all
/// of its rows.
fn state_blocks(batches: &[Decided]) -> Vec<Bytes> {
    let mut blocks = Vec::new();
    let (mut rows, mut body) = (0, Vec::new());
    for batch in batches {
        let bytes: usize = batch.state.iter().map(tables::state_size).sum();
        if rows > 0 && (rows + batch.state.len() > STATE_BLOCK_ROWS || body.len() + bytes > STATE_BLOCK_BYTES) {
            blocks.push(Bytes::from(std::mem::take(&mut body)));
            rows = 0;
        }
        body.reserve(bytes);
        for row in &batch.state {
            tables::state(&mut body, batch.partition, row, batch.state_version);
        }
        rows += batch.state.len();
    }
    blocks.push(Bytes::from(body));
    blocks
}
