//! Checks a partition's chain of conflict rows, row by row, in bounded memory.
//!
//! Knows what a sound chain looks like and what each kind of tampering leaves behind. Does not know where the rows
//! come from. A live worker may have written rows that its checkpoint does not cover yet: rows beyond the checkpoint
//! are checked like all others, but needed by nobody.

use std::collections::HashMap;
use std::fmt;

use serde::Serialize;

use super::{Entry, EntryClaim, Hash, link};
use crate::log::{Offset, Partition};
use crate::rows::{AuditHead, LogTime};

/// Findings kept per partition: a table that was rewritten as a whole needs no million lines.
const MAX_FINDINGS: usize = 1000;

/// A claim of a stored conflict row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredClaim {
    pub source: Vec<u8>,
    pub value: Vec<u8>,
    pub revision: Vec<u8>,
    pub offset: Offset,
}

/// A conflict row as the table holds it, whoever wrote it: any bytes in any column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredConflict {
    pub property: Vec<u8>,
    /// Days since 1970-01-01.
    pub date: i32,
    pub room_type: Vec<u8>,
    pub stay: Vec<u8>,
    pub kind: Vec<u8>,
    pub decision: Vec<u8>,
    pub field: Vec<u8>,
    pub claims: Vec<StoredClaim>,
    pub winner_source: Vec<u8>,
    pub winner_value: Vec<u8>,
    pub rule_id: Vec<u8>,
    pub rule_set: Vec<u8>,
    pub reason: Vec<u8>,
    pub cause: Vec<u8>,
    pub plugin: Vec<u8>,
    pub partition: Partition,
    pub offset: Offset,
    pub seq: u32,
    pub log_time: LogTime,
    pub prev_hash: Hash,
    pub hash: Hash,
}

impl<'a> From<&'a StoredConflict> for Entry<'a> {
    fn from(row: &'a StoredConflict) -> Self {
        let claim = |claim: &'a StoredClaim| EntryClaim {
            source: &claim.source,
            value: &claim.value,
            revision: &claim.revision,
            offset: claim.offset,
        };
        Entry {
            property: &row.property,
            date: row.date,
            room_type: &row.room_type,
            stay: &row.stay,
            kind: &row.kind,
            decision: &row.decision,
            field: &row.field,
            claims: row.claims.iter().map(claim).collect(),
            winner_source: &row.winner_source,
            winner_value: &row.winner_value,
            rule_id: &row.rule_id,
            rule_set: &row.rule_set,
            reason: &row.reason,
            cause: &row.cause,
            plugin: &row.plugin,
            partition: row.partition,
            offset: row.offset,
            seq: row.seq,
            log_time: row.log_time,
        }
    }
}

/// What is wrong at a place of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Problem {
    /// The row's content does not give the row's hash.
    Changed,
    /// Rows are gone between the row named as `after` and this one, or the row named as `after` was rewritten
    /// together with its hash.
    Missing,
    /// The chain ends before the checkpoint's end.
    Truncated,
    /// The row is no part of the chain.
    Extra,
    /// The row stands twice.
    Duplicate,
    /// The row belongs to another place of the chain.
    Moved,
    /// The chain is sound in itself but not the one that the checkpoint remembers.
    Rewritten,
}

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub partition: Partition,
    /// Position of the row concerned; of the expected end if the tail is missing.
    pub offset: Offset,
    pub seq: u32,
    pub problem: Problem,
    /// The last sound row before it.
    pub after: Option<(Offset, u32)>,
    /// For people: what it means.
    pub detail: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "partition {}, offset {}, seq {}: {}", self.partition, self.offset, self.seq, self.detail)
    }
}

/// What of a row the check needs once its content is hashed.
#[derive(Clone, Copy)]
struct Link {
    position: (Offset, u32),
    prev: Hash,
    hash: Hash,
    /// Its content gives its hash.
    sound: bool,
}

/// Checks the rows of one partition, given in the order (offset, seq).
pub struct Verifier {
    partition: Partition,
    expected: Option<AuditHead>,
    /// Hash of the last row that is part of the chain.
    tip: Hash,
    last: Option<(Offset, u32)>,
    /// Rows that are part of the chain.
    rows: u64,
    /// Waits for its successor, which tells whether it belongs to the chain.
    pending: Option<Link>,
    /// Hashes that a row names as its predecessor and nobody had: by the row's position.
    wanted: HashMap<Hash, (Offset, u32)>,
    /// The checkpoint's end was passed.
    expected_seen: bool,
    findings: Vec<Finding>,
    scratch: Vec<u8>,
}

impl Verifier {
    /// `expected` is the end of the chain that the partition's checkpoint remembers; without it a missing tail and a
    /// chain rewritten from end to end cannot be told.
    pub fn new(partition: Partition, expected: Option<AuditHead>) -> Verifier {
        Verifier {
            partition,
            expected: expected.filter(|head| head.rows > 0),
            tip: [0; 32],
            last: None,
            rows: 0,
            pending: None,
            wanted: HashMap::new(),
            expected_seen: false,
            findings: Vec::new(),
            scratch: Vec::with_capacity(1024),
        }
    }

    /// The next row.
    pub fn row(&mut self, row: &StoredConflict) {
        let computed = link(&row.prev_hash, &Entry::from(row), &mut self.scratch);
        let next =
            Link { position: (row.offset, row.seq), prev: row.prev_hash, hash: row.hash, sound: computed == row.hash };
        if let Some(pending) = self.pending.replace(next) {
            self.settle(pending, Some(next));
        }
    }

    /// No more rows: how many belong to the chain, and what is wrong.
    pub fn finish(mut self) -> (u64, Vec<Finding>) {
        if let Some(pending) = self.pending.take() {
            self.settle(pending, None);
        }
        if let Some(expected) = self.expected.filter(|_| !self.expected_seen) {
            let rows = self.rows;
            self.find((expected.offset, expected.seq), Problem::Truncated, || {
                format!(
                    "the chain ends after {rows} rows; the checkpoint remembers {} up to here: the last rows are missing",
                    expected.rows
                )
            });
        }
        (self.rows, self.findings)
    }

    /// Decides what a row is, now that its successor is known.
    fn settle(&mut self, row: Link, next: Option<Link>) {
        self.pass_expected(row.position);
        if row.prev == self.tip {
            // Two rows may name the same predecessor: the one that the chain goes on from is the real one.
            let impostor = next.is_some_and(|next| next.prev == self.tip && next.prev != row.hash && !row.sound);
            if !impostor {
                return self.accept(row);
            }
        }
        if row.hash == self.tip && row.sound {
            let detail = || "the row stands twice".to_owned();
            return self.find(row.position, Problem::Duplicate, detail);
        }
        if let Some(&(offset, seq)) = self.wanted.get(&row.hash) {
            let detail = || format!("the row was moved: it belongs before offset {offset}, seq {seq}");
            return self.find(row.position, Problem::Moved, detail);
        }
        let continues = match next {
            Some(next) if next.prev == self.tip => false,
            Some(next) if next.prev == row.hash => true,
            _ => row.sound,
        };
        if !continues {
            let detail = || "the row is no part of the chain: somebody added or moved it".to_owned();
            return self.find(row.position, Problem::Extra, detail);
        }
        let gap = match self.last {
            Some((offset, seq)) => format!(
                "rows between offset {offset}, seq {seq} and this one are missing, or that row was rewritten with its hash"
            ),
            None => "rows before this one are missing".to_owned(),
        };
        self.find(row.position, Problem::Missing, || gap);
        if self.wanted.len() < MAX_FINDINGS {
            self.wanted.insert(row.prev, row.position);
        }
        self.accept(row);
    }

    fn accept(&mut self, row: Link) {
        if !row.sound {
            let detail = || "the row was changed: its content does not give its hash".to_owned();
            self.find(row.position, Problem::Changed, detail);
        }
        self.tip = row.hash;
        self.last = Some(row.position);
        self.rows += 1;
        if let Some(expected) = self.expected.filter(|e| !self.expected_seen && row.position == (e.offset, e.seq)) {
            self.expected_seen = true;
            if row.hash != expected.hash {
                let detail = || "the checkpoint remembers another hash here: the chain was rewritten".to_owned();
                self.find(row.position, Problem::Rewritten, detail);
            } else if self.rows != expected.rows && self.findings.is_empty() {
                let rows = self.rows;
                let detail =
                    || format!("the chain has {rows} rows up to here; the checkpoint remembers {}", expected.rows);
                self.find(row.position, Problem::Missing, detail);
            }
        }
    }

    /// A row beyond the checkpoint's end, whose own row never came.
    fn pass_expected(&mut self, position: (Offset, u32)) {
        if let Some(expected) = self.expected.filter(|e| !self.expected_seen && position > (e.offset, e.seq)) {
            self.expected_seen = true;
            let detail = || "the row that the checkpoint remembers as the last is missing".to_owned();
            self.find((expected.offset, expected.seq), Problem::Missing, detail);
        }
    }

    fn find(&mut self, position: (Offset, u32), problem: Problem, detail: impl FnOnce() -> String) {
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(Finding {
                partition: self.partition,
                offset: position.0,
                seq: position.1,
                problem,
                after: self.last,
                detail: detail(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashed(previous: &Hash, row: &StoredConflict) -> Hash {
        link(previous, &Entry::from(row), &mut Vec::new())
    }

    /// A sound chain of `count` rows.
    fn chain(count: u64) -> (Vec<StoredConflict>, AuditHead) {
        let mut head = AuditHead::default();
        let mut rows = Vec::new();
        for offset in 0..count {
            let mut row = StoredConflict {
                property: b"H1".to_vec(),
                offset: offset * 3,
                claims: vec![StoredClaim { value: offset.to_string().into_bytes(), ..Default::default() }],
                prev_hash: head.hash,
                ..Default::default()
            };
            row.hash = hashed(&head.hash, &row);
            head = AuditHead { hash: row.hash, rows: head.rows + 1, offset: row.offset, seq: 0 };
            rows.push(row);
        }
        (rows, head)
    }

    fn check(rows: &[StoredConflict], head: AuditHead) -> Vec<(Offset, Problem)> {
        let mut verifier = Verifier::new(0, Some(head));
        rows.iter().for_each(|row| verifier.row(row));
        verifier.finish().1.iter().map(|finding| (finding.offset, finding.problem)).collect()
    }

    #[test]
    fn a_sound_chain_has_no_findings_even_beyond_the_checkpoint() {
        let (rows, head) = chain(10);
        assert_eq!(check(&rows, head), []);
        let (_, earlier) = chain(6);
        assert_eq!(check(&rows, earlier), []);
        assert_eq!(check(&[], AuditHead::default()), []);
    }

    #[test]
    fn each_kind_of_tampering_is_named() {
        let (rows, head) = chain(10);

        let mut changed = rows.clone();
        changed[4].reason = b"nothing to see".to_vec();
        assert_eq!(check(&changed, head), [(12, Problem::Changed)]);

        let mut rehashed = changed.clone();
        rehashed[4].hash = hashed(&rehashed[4].prev_hash, &rehashed[4]);
        assert_eq!(check(&rehashed, head), [(15, Problem::Missing)]);

        let mut missing = rows.clone();
        missing.remove(4);
        assert_eq!(check(&missing, head), [(15, Problem::Missing)]);
        assert_eq!(check(&rows[1..], head), [(3, Problem::Missing)]);

        assert_eq!(check(&rows[..7], head), [(27, Problem::Truncated)]);
        assert_eq!(check(&[], head), [(27, Problem::Truncated)]);

        let mut duplicate = rows.clone();
        duplicate.insert(5, rows[4].clone());
        assert_eq!(check(&duplicate, head), [(12, Problem::Duplicate)]);

        let mut extra = rows.clone();
        extra.insert(5, StoredConflict { offset: 13, hash: [7; 32], ..rows[4].clone() });
        assert_eq!(check(&extra, head), [(13, Problem::Extra)]);

        let mut moved = rows.clone();
        let mut row = moved.remove(4);
        row.offset = 22;
        moved.insert(7, row);
        assert_eq!(check(&moved, head), [(15, Problem::Missing), (22, Problem::Moved)]);

        let mut swapped = rows.clone();
        (swapped[3].reason, swapped[4].claims) = (b"x".to_vec(), Vec::new());
        assert_eq!(check(&swapped, head), [(9, Problem::Changed), (12, Problem::Changed)]);
    }

    #[test]
    fn a_chain_rewritten_from_end_to_end_is_not_the_checkpoints() {
        let (mut rows, head) = chain(3);
        let mut previous = [0; 32];
        for row in &mut rows {
            row.reason = b"rewritten".to_vec();
            row.prev_hash = previous;
            row.hash = hashed(&previous, row);
            previous = row.hash;
        }
        assert_eq!(check(&rows, head), [(6, Problem::Rewritten)]);
    }

    #[test]
    fn texts_cannot_flow_into_each_other() {
        let bytes = |room_type: &[u8], stay: &[u8]| {
            let row = StoredConflict { room_type: room_type.to_vec(), stay: stay.to_vec(), ..Default::default() };
            hashed(&[0; 32], &row)
        };
        assert_ne!(bytes(b"DBL", b"1"), bytes(b"DB", b"L1"));
    }
}
