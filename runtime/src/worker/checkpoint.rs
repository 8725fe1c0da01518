//! What a partition's worker needs to go on anywhere: its checkpoint and its active configuration.
//!
//! Both are rows of the `state` table with an empty property, written in the same block as the
//! entities that they belong to. Does not know ClickHouse.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use crate::log::partitioner::partition;
use crate::log::{Identity, Offset, Partition};
use crate::merge::codec;
use crate::rows::{AuditHead, StateRow};
use crate::store::StateEntry;

/// What became of the records so far; every record counts once (invariant 6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub merged: u64,
    pub stale: u64,
    pub duplicate: u64,
    pub rerouted: u64,
    pub control: u64,
    pub dead_letters: u64,
}

impl Counts {
    /// All records.
    pub fn total(&self) -> u64 {
        self.merged + self.stale + self.duplicate + self.rerouted + self.control + self.dead_letters
    }

    /// Adds another partition's counts.
    pub fn add(&mut self, other: &Counts) {
        self.merged += other.merged;
        self.stale += other.stale;
        self.duplicate += other.duplicate;
        self.rerouted += other.rerouted;
        self.control += other.control;
        self.dead_letters += other.dead_letters;
    }
}

/// How far a partition is decided and written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    pub log: Identity,
    /// The first record that is not decided.
    pub next: Offset,
    pub audit: AuditHead,
    pub counts: Counts,
    /// Partition time in milliseconds.
    pub now: i64,
    /// Partition time of the first tick; 0 before it.
    pub first_tick: i64,
    /// Highest origin taken over, per partition.
    pub origins: BTreeMap<Partition, Offset>,
    /// Position of the last reset per source, and the highest sequence number of a reset.
    pub resets: BTreeMap<Arc<str>, Offset>,
    pub reset_sequence: Option<u64>,
    /// Sequence number of the last configuration applied; `None` before the first.
    pub configuration: Option<u64>,
    /// Epoch of the last owner seen.
    pub owner: Option<Offset>,
    /// Of the highest record of the log's timestamps, in milliseconds: for people, not for decisions.
    pub log_time: i64,
    /// Print of the last record decided ([`crate::log::Record::fingerprint`]): by it a log that was made anew under
    /// the same name is noticed.
    pub last: Option<u64>,
    /// The logs that this one goes on from, the first one first.
    pub earlier: Vec<Earlier>,
}

/// A log that was left for another one (see [`super::migrate`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Earlier {
    pub log: Identity,
    /// The first record not decided, per partition.
    pub ends: Vec<Offset>,
    /// Position of the last reset per source, per partition that had one: properties have moved, what was forgotten
    /// about them has not.
    pub resets: BTreeMap<Partition, BTreeMap<Arc<str>, Offset>>,
}

impl Checkpoint {
    /// Before the first record, which has the position `first`.
    pub fn start(log: Identity, first: Offset) -> Checkpoint {
        Checkpoint {
            log,
            next: first,
            audit: AuditHead::default(),
            counts: Counts::default(),
            now: 0,
            first_tick: 0,
            origins: BTreeMap::new(),
            resets: BTreeMap::new(),
            reset_sequence: None,
            configuration: None,
            owner: None,
            log_time: 0,
            last: None,
            earlier: Vec::new(),
        }
    }

    /// Position of the last reset per source as it concerns a property: of this log, else of the last one before that
    /// had one on the property's partition there.
    pub fn resets_of(&self, property: &str) -> HashMap<Arc<str>, Offset> {
        let there = |earlier: &'_ Earlier| partition(property.as_bytes(), earlier.log.partitions);
        let before = self.earlier.iter().filter_map(|earlier| earlier.resets.get(&there(earlier)));
        before.chain([&self.resets]).flatten().map(|(source, at)| (source.clone(), *at)).collect()
    }

    /// Partition time goes on to `millis`; it never goes back.
    pub fn tick(&mut self, millis: i64) {
        if self.first_tick == 0 {
            self.first_tick = millis;
        }
        self.now = self.now.max(millis);
    }
}

/// The configuration in force, as the log gave it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActiveRecord {
    /// Offset of its control record on partition 0.
    pub sequence: u64,
    pub document: Vec<u8>,
    pub author: String,
    /// Milliseconds, of the control record.
    pub log_time: i64,
}

/// The keys of the checkpoint and the active configuration: a partition without its plugins.
pub const SUMMARY_KEYS: [&str; 2] = ["c", "a"];

const CHECKPOINT: &[u8] = b"c";
const ACTIVE: &[u8] = b"a";
const PIECE: u8 = b'b';

/// Everything kept about a partition as a whole.
#[derive(Debug, Default)]
pub struct PartitionState {
    pub checkpoint: Option<Checkpoint>,
    pub active: Option<ActiveRecord>,
    /// Pieces of plugins, by digest and part.
    pub pieces: BTreeMap<(String, u32), Piece>,
}

/// A piece of a plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    pub parts: u32,
    pub bytes: Bytes,
}

impl PartitionState {
    /// Reads the partition's rows.
    pub fn read(entries: &[StateEntry]) -> Result<PartitionState, String> {
        let mut state = PartitionState::default();
        for (key, value) in entries {
            match key.as_slice() {
                CHECKPOINT => state.checkpoint = Some(codec::read(value)?),
                ACTIVE => state.active = Some(codec::read(value)?),
                [PIECE, name @ ..] => {
                    let name = String::from_utf8_lossy(name);
                    let (digest, part) = name.rsplit_once('/').ok_or("a plugin piece without a part number")?;
                    let part = part.parse().map_err(|_| "a plugin piece with a wrong part number")?;
                    state.pieces.insert((digest.to_owned(), part), codec::read(value)?);
                }
                other => return Err(format!("unknown entry `{}`", String::from_utf8_lossy(other))),
            }
        }
        Ok(state)
    }

    /// The whole plugin, if every piece is there.
    pub fn plugin(&self, digest: &str) -> Option<Bytes> {
        let first = self.pieces.get(&(digest.to_owned(), 0))?;
        let pieces = (0..first.parts).map(|part| self.pieces.get(&(digest.to_owned(), part)));
        let whole: Option<Vec<u8>> =
            pieces.map(|p| p.map(|p| p.bytes.clone())).collect::<Option<Vec<_>>>().map(|all| all.concat());
        whole.map(Bytes::from)
    }
}

fn row<T: Serialize>(key: Vec<u8>, value: &T) -> Result<StateRow, String> {
    let value = codec::versioned(value).map_err(|e| e.to_string())?;
    Ok(StateRow { property: "".into(), key, value })
}

/// The checkpoint's row.
pub fn checkpoint_row(checkpoint: &Checkpoint) -> Result<StateRow, String> {
    row(CHECKPOINT.to_vec(), checkpoint)
}

/// The active configuration's row.
pub fn active_row(active: &ActiveRecord) -> Result<StateRow, String> {
    row(ACTIVE.to_vec(), active)
}

fn piece_key(digest: &str, part: u32) -> Vec<u8> {
    [&[PIECE], digest.as_bytes(), b"/", part.to_string().as_bytes()].concat()
}

/// A plugin piece's row.
pub fn piece_row(digest: &str, part: u32, piece: &Piece) -> Result<StateRow, String> {
    row(piece_key(digest, part), piece)
}

/// The row that removes a plugin piece.
pub fn no_piece_row(digest: &str, part: u32) -> StateRow {
    StateRow { property: "".into(), key: piece_key(digest, part), value: Vec::new() }
}
