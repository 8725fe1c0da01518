//! The audit trail: conflict rows chained by hashes, so that no row can change, vanish or move unseen.
//!
//! Knows what of a row is hashed and how. Does not know where rows are kept (the store) nor where the chain's end is
//! remembered (the checkpoint).
//!
//! `hash = SHA-256(previous hash || encoding)`. The encoding starts with its version and gives every text its length,
//! so no two rows share one. Changing it needs a new version: old rows keep the bytes under which they were hashed.

mod verify;

use sha2::{Digest, Sha256};
use smallvec::SmallVec;

use crate::log::{Offset, Partition};
use crate::rows::{AuditHead, ConflictRow, LogTime, stored_log_time};

pub use verify::{Finding, Problem, StoredClaim, StoredConflict, Verifier};

/// SHA-256.
pub type Hash = [u8; 32];

/// The version of [`encode`], its first byte.
const ENCODING: u8 = 1;

/// Hashes rows in their order and returns the chain's new end, with the hash after each row.
pub fn chain(mut head: AuditHead, rows: &[ConflictRow]) -> (AuditHead, Vec<Hash>) {
    let mut scratch = Vec::with_capacity(512);
    let hashes = rows
        .iter()
        .map(|row| {
            let hash = link(&head.hash, &Entry::from(row), &mut scratch);
            head = AuditHead { hash, rows: head.rows + 1, offset: row.offset, seq: row.seq };
            hash
        })
        .collect();
    (head, hashes)
}

/// The hash of a row that follows `previous`.
fn link(previous: &Hash, entry: &Entry<'_>, scratch: &mut Vec<u8>) -> Hash {
    scratch.clear();
    scratch.extend_from_slice(previous);
    encode(entry, scratch);
    Sha256::digest(&scratch).into()
}

/// A claim as it is hashed.
struct EntryClaim<'a> {
    source: &'a [u8],
    value: &'a [u8],
    revision: &'a [u8],
    offset: Offset,
}

/// A conflict row as it is hashed: every column but `recorded_at`, `prev_hash` and `hash`.
struct Entry<'a> {
    property: &'a [u8],
    /// Days since 1970-01-01.
    date: i32,
    room_type: &'a [u8],
    stay: &'a [u8],
    kind: &'a [u8],
    decision: &'a [u8],
    field: &'a [u8],
    claims: SmallVec<[EntryClaim<'a>; 4]>,
    winner_source: &'a [u8],
    winner_value: &'a [u8],
    rule_id: &'a [u8],
    rule_set: &'a [u8],
    reason: &'a [u8],
    cause: &'a [u8],
    plugin: &'a [u8],
    partition: Partition,
    offset: Offset,
    seq: u32,
    log_time: LogTime,
}

impl<'a> From<&'a ConflictRow> for Entry<'a> {
    fn from(row: &'a ConflictRow) -> Self {
        Entry {
            property: row.property.as_bytes(),
            date: row.date.0,
            room_type: row.room_type.as_bytes(),
            stay: row.stay.as_bytes(),
            kind: row.kind.as_str().as_bytes(),
            decision: row.decision.as_str().as_bytes(),
            field: row.field.as_bytes(),
            claims: row
                .claims
                .iter()
                .map(|claim| EntryClaim {
                    source: claim.source.as_bytes(),
                    value: claim.value.as_bytes(),
                    revision: claim.revision.as_bytes(),
                    offset: claim.offset,
                })
                .collect(),
            winner_source: row.winner_source.as_bytes(),
            winner_value: row.winner_value.as_bytes(),
            rule_id: row.rule_id.as_bytes(),
            rule_set: row.rule_set.as_bytes(),
            reason: row.reason.as_bytes(),
            cause: row.cause.as_str().as_bytes(),
            plugin: row.plugin.as_bytes(),
            partition: row.partition,
            offset: row.offset,
            seq: row.seq,
            log_time: stored_log_time(row.log_time),
        }
    }
}

/// Appends the canonical bytes: numbers little-endian, texts and lists after their length in 64 bits.
fn encode(entry: &Entry<'_>, out: &mut Vec<u8>) {
    fn text(out: &mut Vec<u8>, bytes: &[u8]) {
        out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        out.extend_from_slice(bytes);
    }
    out.push(ENCODING);
    text(out, entry.property);
    out.extend_from_slice(&entry.date.to_le_bytes());
    for bytes in [entry.room_type, entry.stay, entry.kind, entry.decision, entry.field] {
        text(out, bytes);
    }
    out.extend_from_slice(&(entry.claims.len() as u64).to_le_bytes());
    for claim in &entry.claims {
        for bytes in [claim.source, claim.value, claim.revision] {
            text(out, bytes);
        }
        out.extend_from_slice(&claim.offset.to_le_bytes());
    }
    for bytes in [
        entry.winner_source,
        entry.winner_value,
        entry.rule_id,
        entry.rule_set,
        entry.reason,
        entry.cause,
        entry.plugin,
    ] {
        text(out, bytes);
    }
    out.extend_from_slice(&entry.partition.to_le_bytes());
    out.extend_from_slice(&entry.offset.to_le_bytes());
    out.extend_from_slice(&entry.seq.to_le_bytes());
    out.extend_from_slice(&entry.log_time.to_le_bytes());
}
