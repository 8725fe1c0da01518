//! Rows decided and not yet handed to the writer.
//!
//! Within one commit only the last row of a room night or of a stay's night is written: fewer rows,
//! the same tables. Does not know when it is written.

use std::sync::Arc;

use hashbrown::hash_map::Entry;
use hashbrown::{HashMap, HashSet};

use crate::log::{Offset, Partition};
use crate::merge::Effects;
use crate::rows::{
    AuditHead, ConflictRow, DeadLetterRow, Decided, FreshnessRow, PropertyRow, ReservationRow, RoomNightRow,
    RuleChangeRow, StateRow,
};
use crate::types::Day;

/// State rows from which on a commit is closed; the last record may add as many again.
const STATE_ROWS: usize = 10_000;
/// Rows of any table from which on a commit is closed.
const ROWS: usize = 60_000;

type NightKey = (Arc<str>, Day, Arc<str>);

/// The commit that gathers while another one is on its way.
#[derive(Debug, Default)]
pub struct Pending {
    pub first: Offset,
    pub next: Offset,
    room_nights: Latest<NightKey, RoomNightRow>,
    reservations: Latest<(NightKey, Arc<str>), ReservationRow>,
    conflicts: Vec<ConflictRow>,
    dead_letters: Vec<DeadLetterRow>,
    /// Bytes of the dead letters' payloads.
    payload_bytes: usize,
    pub rule_changes: Vec<RuleChangeRow>,
    pub properties: Vec<PropertyRow>,
    freshness: Latest<(Arc<str>, Arc<str>), FreshnessRow>,
    /// Rows of the partition as a whole, the checkpoint apart.
    pub state: Vec<StateRow>,
    /// Properties with entities to be written, or with room nights to be packed.
    pub touched: HashSet<Arc<str>>,
    /// About how many entities those are.
    pub entities: usize,
}

/// Rows of which a later one replaces an earlier one of the same key. The rows lie apart from the keys: they are large,
/// and a growing table moves what it holds.
#[derive(Debug)]
struct Latest<K, R> {
    places: HashMap<K, usize>,
    rows: Vec<R>,
}

impl<K, R> Default for Latest<K, R> {
    fn default() -> Self {
        Latest { places: HashMap::new(), rows: Vec::new() }
    }
}

impl<K: Eq + std::hash::Hash, R> Latest<K, R> {
    fn insert(&mut self, key: K, row: R) {
        match self.places.entry(key) {
            Entry::Occupied(place) => {
                if let Some(earlier) = self.rows.get_mut(*place.get()) {
                    *earlier = row;
                }
            }
            Entry::Vacant(place) => {
                place.insert(self.rows.len());
                self.rows.push(row);
            }
        }
    }
}

impl Pending {
    /// The commit that begins at `first`.
    pub fn new(first: Offset) -> Pending {
        Pending { first, next: first, ..Pending::default() }
    }

    pub fn is_empty(&self) -> bool {
        self.next == self.first
    }

    /// Whether it is large enough to be written before anything is added.
    pub fn is_full(&self) -> bool {
        let state_bytes: usize = self.state.iter().map(|row| row.value.len()).sum();
        self.entities + self.state.len() >= STATE_ROWS
            || self.rows() >= ROWS
            || state_bytes >= 8 << 20
            || self.payload_bytes >= 16 << 20
    }

    fn rows(&self) -> usize {
        self.room_nights.rows.len() + self.reservations.rows.len() + self.conflicts.len() + self.dead_letters.len()
    }

    /// Takes a dead letter.
    pub fn add_dead_letter(&mut self, row: DeadLetterRow) {
        self.payload_bytes += row.payload.len();
        self.dead_letters.push(row);
    }

    /// Takes a record's rows; later ones replace earlier ones of the same night.
    pub fn add(&mut self, effects: &mut Effects) {
        for row in effects.room_nights.drain(..) {
            self.room_nights.insert((row.property.clone(), row.date, row.room_type.clone()), row);
        }
        for row in effects.reservations.drain(..) {
            let night = (row.property.clone(), row.date, row.room_type.clone());
            self.reservations.insert((night, row.stay.clone()), row);
        }
        self.conflicts.append(&mut effects.conflicts);
    }

    /// Takes a heartbeat; a later one replaces an earlier one.
    pub fn add_heartbeat(&mut self, row: FreshnessRow) {
        self.freshness.insert((row.source.clone(), row.property.clone()), row);
    }

    pub fn conflicts(&self) -> &[ConflictRow] {
        &self.conflicts
    }

    /// The commit as the writer takes it. `state` are the touched properties' rows and the checkpoint.
    pub fn close(
        self,
        partition: Partition,
        audit_before: AuditHead,
        hashes: Vec<crate::audit::Hash>,
        mut state: Vec<StateRow>,
        state_version: u64,
    ) -> Decided {
        state.extend(self.state);
        Decided {
            partition,
            first: self.first,
            next: self.next,
            audit_before,
            conflicts: self.conflicts,
            conflict_hashes: hashes,
            dead_letters: self.dead_letters,
            reservations: self.reservations.rows,
            room_nights: self.room_nights.rows,
            rule_changes: self.rule_changes,
            properties: self.properties,
            freshness: self.freshness.rows,
            state,
            state_version,
        }
    }
}
