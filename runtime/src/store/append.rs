//! Compare-and-append: tables whose rows must stand once, though the same batch may be written again after a crash,
//! cut differently, or by a deposed worker at the same time.
//!
//! Knows positions, hashes and insert tokens. Does not know what the rows say.
//!
//! A partition's rows form one sequence, the same whoever decides it. A block is appended with a token made of the
//! row before it, so of two writers that see the same end only one gets through; ClickHouse drops the other's block
//! as a repetition. Then the end is read back. If our last row is there and nothing beyond it, we are the only
//! writer and the next batch may be appended at once. If rows beyond it are there, somebody is ahead: the next batch
//! first looks at what exists. If our last row is missing, our block was dropped: what exists is looked at, and the
//! rest appended. A row at one of our positions with another hash means that two workers decided differently or
//! that somebody tampered: nothing may be written any more.

use std::collections::HashMap;

use bytes::Bytes;
use futures::future::join_all;

use crate::audit::Hash;
use crate::log::{Offset, Partition};
use crate::rows::AuditHead;
use crate::store::error::StoreError;
use crate::store::{Insert, Store};

/// The tables written this way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Journal {
    Conflicts,
    DeadLetters,
}

impl Journal {
    fn table(self) -> &'static str {
        match self {
            Journal::Conflicts => "conflicts",
            Journal::DeadLetters => "dead_letters",
        }
    }

    fn columns(self) -> &'static str {
        match self {
            Journal::Conflicts => crate::store::tables::CONFLICTS,
            Journal::DeadLetters => crate::store::tables::DEAD_LETTERS,
        }
    }

    /// What is compared besides the position. Dead letters have no hash: their position decides.
    fn hash(self) -> &'static str {
        match self {
            Journal::Conflicts => "hash",
            Journal::DeadLetters => "toFixedString('', 32)",
        }
    }
}

/// (offset, seq).
type Position = (Offset, u32);

/// The rows that one partition appends, encoded.
pub(crate) struct Block {
    partition: Partition,
    /// The chain's end before the first row, where the checkpoint remembers one.
    before: Option<AuditHead>,
    rows: Vec<(Position, Hash)>,
    /// Where each row begins in `body`.
    starts: Vec<usize>,
    body: Vec<u8>,
}

impl Block {
    pub(crate) fn new(partition: Partition, before: Option<AuditHead>) -> Block {
        Block { partition, before, rows: Vec::new(), starts: Vec::new(), body: Vec::new() }
    }

    /// Appends a row; `encode` writes its bytes. Rows come in the order of their positions.
    pub(crate) fn push(&mut self, position: Position, hash: Hash, encode: impl FnOnce(&mut Vec<u8>)) {
        self.rows.push((position, hash));
        self.starts.push(self.body.len());
        encode(&mut self.body);
    }

    /// The hash after the last row.
    pub(crate) fn end(&self) -> Option<Hash> {
        self.rows.last().map(|(_, hash)| *hash).or(self.before.map(|head| head.hash))
    }
}

/// A block on its way: how many of its rows are known to stand.
struct Work {
    partition: Partition,
    before: Option<AuditHead>,
    rows: Vec<(Position, Hash)>,
    starts: Vec<usize>,
    body: Bytes,
    done: usize,
    /// `done` when it was last sent, and how often in a row nothing came of that.
    sent: Option<usize>,
    stalled: u32,
    /// Whether `done` must be found out before anything is sent.
    unsure: bool,
}

impl Work {
    fn last(&self) -> (Position, Hash) {
        self.rows.last().copied().unwrap_or_default()
    }

    fn rest(&self) -> Bytes {
        self.body.slice(self.starts.get(self.done).copied().unwrap_or(self.body.len())..)
    }

    /// Names the row before the first one to send: equal for every writer that sees the same end.
    fn token(&self, journal: Journal) -> String {
        let partition = self.partition;
        match journal {
            Journal::Conflicts => {
                let before = self.before.map(|head| head.hash).unwrap_or_default();
                let previous = self.done.checked_sub(1).map_or(before, |at| self.rows[at].1);
                let hex: String = previous.iter().map(|byte| format!("{byte:02x}")).collect();
                format!("conflicts/{partition}/{hex}")
            }
            // The sequence is the same for everybody, so its next row stands for the one before it.
            Journal::DeadLetters => {
                let ((offset, seq), _) = self.rows.get(self.done).copied().unwrap_or_default();
                format!("dead_letters/{partition}/{offset}/{seq}")
            }
        }
    }

    fn differs(&self, position: Position, detail: &str) -> StoreError {
        StoreError::Audit { partition: self.partition, offset: position.0, seq: position.1, detail: detail.to_owned() }
    }
}

/// What the end of a partition looks like after an append.
enum End {
    /// Our last row, and nothing beyond it.
    Ours,
    /// Our last row, and more: another writer is ahead.
    Beyond,
    /// Our last row is not there.
    Missing,
}

/// The last row that this process appended and read back, per partition.
pub(crate) type Tails = HashMap<(Journal, Partition), Hash>;

/// How often a block may vanish without a single row of another writer in its place.
const MAX_STALLED: u32 = 3;

impl Store {
    /// Appends every block; each row stands once when it returns. Partitions go in parallel.
    pub(crate) async fn append(&self, journal: Journal, blocks: Vec<Block>) -> Result<(), StoreError> {
        let blocks = blocks.into_iter().filter(|block| !block.rows.is_empty());
        let mut open: Vec<Work> = blocks.map(|block| self.start(journal, block)).collect();
        while !open.is_empty() {
            let looks = open.iter_mut().filter(|work| work.unsure).map(|work| self.look(journal, work));
            join_all(looks).await.into_iter().collect::<Result<(), _>>()?;
            open.retain(|work| work.done < work.rows.len());
            self.send(journal, &open).await?;
            let ends = self.read_back(journal, &open).await?;
            let mut missing = Vec::new();
            for (mut work, end) in open.into_iter().zip(ends) {
                match end {
                    End::Ours => self.settle(journal, &work),
                    End::Beyond => {}
                    End::Missing => {
                        work.stalled = if work.sent == Some(work.done) { work.stalled + 1 } else { 0 };
                        if work.stalled >= MAX_STALLED {
                            let detail = "rows vanish when they are written: they were deleted before";
                            return Err(work.differs(work.last().0, detail));
                        }
                        (work.sent, work.unsure) = (Some(work.done), true);
                        missing.push(work);
                    }
                }
            }
            open = missing;
        }
        Ok(())
    }

    /// From here on until it is settled nobody may trust what is remembered of the partition's end.
    fn start(&self, journal: Journal, block: Block) -> Work {
        let known = self.tails().remove(&(journal, block.partition));
        let unsure = match (known, block.before) {
            (Some(hash), Some(before)) => hash != before.hash,
            (known, _) => known.is_none(),
        };
        Work {
            partition: block.partition,
            before: block.before,
            rows: block.rows,
            starts: block.starts,
            body: Bytes::from(block.body),
            done: 0,
            sent: None,
            stalled: 0,
            unsure,
        }
    }

    fn settle(&self, journal: Journal, work: &Work) {
        self.tails().insert((journal, work.partition), work.last().1);
    }

    /// Finds out how many rows stand already, from the end that the checkpoint remembers on. They must be ours, in
    /// order and without a gap.
    async fn look(&self, journal: Journal, work: &mut Work) -> Result<(), StoreError> {
        let head = work.before.filter(|head| head.rows > 0);
        // A chain without a checkpointed row begins with ours; where no end is remembered, what is earlier is not asked.
        let from = match (head, work.before) {
            (Some(head), _) => (head.offset, head.seq),
            (None, Some(_)) => Position::default(),
            (None, None) => work.rows[0].0,
        };
        let sql = format!(
            "SELECT offset, seq, {} FROM {} WHERE partition = {} AND offset >= {} AND offset <= {} ORDER BY offset, seq",
            journal.hash(),
            journal.table(),
            work.partition,
            from.0,
            work.last().0.0
        );
        work.done = 0;
        let mut anchor = head;
        let mut rows = self.exact_rows(&sql)?;
        while let Some((position, hash)) = rows.next(|row| Some(((row.u64()?, row.u32()?), row.fixed()?))).await? {
            if position < from || position > work.last().0 {
                continue;
            }
            if let Some(head) = anchor.take() {
                if (position, hash) != (from, head.hash) {
                    return Err(work.differs(from, "the checkpoint's last row is missing or has another hash"));
                }
                continue;
            }
            // A row that stands twice is for `audit verify` to report: it is no reason to stop.
            let repeated =
                work.done.checked_sub(1).map_or(head.map(|head| (from, head.hash)), |at| Some(work.rows[at]));
            if repeated == Some((position, hash)) {
                continue;
            }
            match work.rows.get(work.done) {
                Some(&(ours, our_hash)) if ours == position && our_hash == hash => work.done += 1,
                Some(&(ours, _)) if ours == position => return Err(work.differs(position, "its hash is another one")),
                _ => return Err(work.differs(position, "nothing was decided here, or rows before it are missing")),
            }
        }
        match anchor {
            Some(_) => Err(work.differs(from, "the row that the checkpoint remembers as the last is missing")),
            None => Ok(()),
        }
    }

    /// One insert per partition; side by side, except in a cluster, where a quorum takes one insert at a time.
    async fn send(&self, journal: Journal, open: &[Work]) -> Result<(), StoreError> {
        let inserts = open.iter().map(|work| {
            let token = work.token(journal);
            self.insert(Insert::new(journal.table(), journal.columns(), work.rest()).with_token(token))
        });
        if self.one_exact_insert_at_a_time() {
            for insert in inserts {
                insert.await?;
            }
            return Ok(());
        }
        join_all(inserts).await.into_iter().collect()
    }

    /// What stands from our last row on, for all partitions in one query.
    async fn read_back(&self, journal: Journal, open: &[Work]) -> Result<Vec<End>, StoreError> {
        if open.is_empty() {
            return Ok(Vec::new());
        }
        let place = |work: &Work| {
            let ((offset, seq), _) = work.last();
            format!("(partition = {} AND offset >= {offset} AND (offset > {offset} OR seq >= {seq}))", work.partition)
        };
        let sql = format!(
            "SELECT partition, offset, seq, {} FROM {} WHERE {} ORDER BY partition, offset, seq LIMIT 2 BY partition",
            journal.hash(),
            journal.table(),
            open.iter().map(place).collect::<Vec<_>>().join(" OR "),
        );
        let mut found: HashMap<Partition, Vec<(Position, Hash)>> = HashMap::new();
        let mut rows = self.exact_rows(&sql)?;
        while let Some((partition, row)) =
            rows.next(|row| Some((row.u32()?, ((row.u64()?, row.u32()?), row.fixed()?)))).await?
        {
            found.entry(partition).or_default().push(row);
        }
        let end = |work: &Work| match found.get(&work.partition).map(Vec::as_slice) {
            Some([first, beyond @ ..]) if *first == work.last() => {
                Ok(if beyond.is_empty() { End::Ours } else { End::Beyond })
            }
            Some([first, ..]) if first.0 == work.last().0 => Err(work.differs(first.0, "its hash is another one")),
            _ => Ok(End::Missing),
        };
        open.iter().map(end).collect()
    }
}
