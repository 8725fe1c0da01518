//! The merge: one record's changes into the memory of its property, and the decisions that follow.
//!
//! Pure and synchronous: no clock, no I/O, no randomness. The same records in the same order give
//! the same rows, whatever is in memory already. Knows everything about claims, lines, stays and
//! rooms; asks the [`Policy`] which claim holds; keeps what must never happen from happening
//! (invariants 2, 3 and 4), whatever the policy answers.
//!
//! A record goes through `apply` (its claims), `stays` (linking and fields), `rooms` (who gets one)
//! and `emit` (rows), in this order.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::log::{Offset, Partition};
use crate::policy::Policy;
use crate::rows::{ConflictRow, ReservationRow, RoomNightRow};

mod apply;
pub mod codec;
mod contest;
mod decide;
mod emit;
pub mod explain;
mod floors;
mod inventory;
mod journal;
mod lines;
mod link;
pub mod names;
pub mod nights;
mod order;
mod rooms;
pub mod state;
mod stays;

pub use apply::{Bounds, Incoming, Refusal};
pub use order::content_hash;
pub use state::{EntityKey, Property};

/// The inventory field that says how many rooms there are.
pub const CAPACITY: &str = "capacity";
/// The inventory field that says how many are free, by a source's own count.
pub const AVAILABILITY: &str = "availability";
/// The inventory field that closes a room night.
pub const CLOSED: &str = "closed";

/// Whether the field has a meaning of its own and no column of its own.
pub fn is_built_in(field: &str) -> bool {
    matches!(field, CAPACITY | AVAILABILITY | CLOSED)
}

/// The version of rows that a record causes. It grows with the log, also where one log goes on from another: positions
/// do ([`crate::log::Shifted`]).
pub fn row_version(position: Offset) -> u64 {
    position + 1
}

/// The group's own data that deciding needs.
pub trait MasterData: Send + Sync {
    /// Rooms of the type where no source claims a capacity; `None`: unlimited.
    fn default_capacity(&self, property: &str, room_type: &str) -> Option<u32>;
    /// The type of a room, if it is known.
    fn room_type_of(&self, property: &str, room: &str) -> Option<Arc<str>>;
}

/// What holds for all records decided under one configuration.
#[derive(Clone, Debug)]
pub struct Setup {
    pub partition: Partition,
    /// `name@version#hash`.
    pub rule_set: Arc<str>,
    /// `name@version` of the precedence plugin.
    pub plugin: Arc<str>,
    pub bounds: Bounds,
    /// How long delivery ids are remembered, in milliseconds of partition time.
    pub dedup_span: i64,
}

/// What the partition knows beyond its properties.
#[derive(Clone, Copy, Debug)]
pub struct Clock<'a> {
    /// Partition time: milliseconds, the running maximum over tick records.
    pub now: i64,
    /// Partition time of the first tick, 0 before it: no time has passed until then.
    pub first: i64,
    /// Position of the last reset of each source.
    pub resets: &'a HashMap<Arc<str>, Offset>,
}

impl Clock<'_> {
    /// Whether a delivery merged at partition time `time` is still remembered.
    fn within(&self, time: i64, setup: &Setup) -> bool {
        self.now.saturating_sub(time.max(self.first)) <= setup.dedup_span
    }
}

/// What became of a record (merge rule 8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judged {
    Merged,
    Stale,
    Duplicate,
    Refused(Refusal),
}

/// The rows that a record causes.
#[derive(Debug, Default)]
pub struct Effects {
    pub room_nights: Vec<RoomNightRow>,
    pub reservations: Vec<ReservationRow>,
    pub conflicts: Vec<ConflictRow>,
}

/// The merge of one partition under one configuration.
pub struct Merge<'a> {
    pub policy: &'a mut dyn Policy,
    pub master: &'a dyn MasterData,
    pub setup: &'a Setup,
}

impl Merge<'_> {
    /// Merges one record and decides what it touches. Its rows are added to `effects`.
    pub fn record(
        &mut self,
        property: &mut Property,
        incoming: &Incoming<'_>,
        clock: Clock<'_>,
        effects: &mut Effects,
    ) -> Judged {
        let reset = clock.resets.get(&incoming.source).copied();
        let delivery = delivery_hash(incoming);
        let redelivered = !incoming.content_id && property.knows_delivery(delivery, clock, self.setup, reset);
        if redelivered && !property.in_snapshot(&incoming.source) {
            return Judged::Duplicate;
        }
        if redelivered {
            return property.mention(incoming);
        }
        let (journal, touched, tally) = match apply::apply(property, incoming, self.setup.bounds, reset) {
            Ok(applied) => applied,
            Err(refusal) => return Judged::Refused(refusal),
        };
        journal.mark(property);
        if !touched.fields.is_empty() || !touched.lines.is_empty() {
            let mut deciding = decide::Deciding::new(property, self, incoming, clock.resets, &journal);
            deciding.decide(&touched);
            deciding.emit(&touched.lines, effects);
        }
        match tally {
            apply::Tally { taken: true, .. } => {
                if !incoming.content_id {
                    property.remember_delivery(delivery, incoming.position, clock, self.setup);
                }
                Judged::Merged
            }
            apply::Tally { stale: true, .. } => Judged::Stale,
            apply::Tally { .. } => Judged::Duplicate,
        }
    }
}

/// Source and id as the merge remembers them.
fn delivery_hash(incoming: &Incoming<'_>) -> u128 {
    let low = content_hash(&(0_u8, &*incoming.source, incoming.id));
    let high = content_hash(&(1_u8, &*incoming.source, incoming.id));
    u128::from(high) << 64 | u128::from(low)
}

impl Property {
    fn in_snapshot(&self, source: &str) -> bool {
        self.sources.get(source).is_some_and(|s| s.in_snapshot)
    }

    /// Rule 1: whether the delivery was merged within the span, and since the source's last reset.
    fn knows_delivery(&self, hash: u128, clock: Clock<'_>, setup: &Setup, reset: Option<Offset>) -> bool {
        let known = self.index.delivered.get(&hash);
        known.is_some_and(|(offset, time)| clock.within(*time, setup) && reset.is_none_or(|at| *offset > at))
    }

    fn remember_delivery(&mut self, hash: u128, offset: Offset, clock: Clock<'_>, setup: &Setup) {
        let now = clock.now;
        self.index.delivered.insert(hash, (offset, now));
        let chunk = offset / state::DELIVERIES_PER_ENTITY;
        self.deliveries.entry(chunk).or_default().push(state::Delivery { hash, offset, time: now });
        self.dirty.insert(EntityKey::Deliveries(chunk));
        // What is older than the span can never be asked for again.
        while let Some((&oldest, entries)) = self.deliveries.first_key_value() {
            if oldest == chunk || entries.iter().any(|d| clock.within(d.time, setup)) {
                break;
            }
            for delivery in entries {
                // The same id may have been merged again since: that one is remembered.
                if self.index.delivered.get(&delivery.hash).is_some_and(|(at, _)| *at == delivery.offset) {
                    self.index.delivered.remove(&delivery.hash);
                }
            }
            self.deliveries.remove(&oldest);
            self.dirty.insert(EntityKey::Deliveries(oldest));
        }
    }

    /// A redelivery says nothing new, but during an initial load it mentions what it is about (rule 6).
    fn mention(&mut self, incoming: &Incoming<'_>) -> Judged {
        apply::mention(self, incoming);
        Judged::Duplicate
    }
}
