//! The journal of what a record changes in a property, so that it can be taken back.
//!
//! Keeps what was there before each first change. Does not know why anything is changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;

use super::floors::{FloorKey, ScopeFloor};
use super::nights::Earlier;
use super::state::{
    EntityKey, Line, LineId, Night, Property, Reservation, ReservationId, RoomNight, SourceInfo, reservation_of,
};
use crate::log::Offset;

/// What a record has changed so far, so that it can be taken back.
#[derive(Debug, Default)]
pub struct Journal {
    pub nights: BTreeMap<Night, Option<Earlier>>,
    pub lines: BTreeMap<LineId, Option<Box<Line>>>,
    pub reservations: BTreeMap<ReservationId, Option<Reservation>>,
    pub sources: BTreeMap<Arc<str>, Option<SourceInfo>>,
    pub floors: BTreeMap<FloorKey, Option<Vec<ScopeFloor>>>,
}

impl Journal {
    /// The room night, to be changed.
    pub fn night<'p>(&mut self, property: &'p mut Property, night: &Night) -> &'p mut RoomNight {
        if !self.nights.contains_key(night) {
            self.nights.insert(night.clone(), property.nights.earlier(night));
        }
        property.nights.entry(night)
    }

    /// The line, to be changed; made at `first` if it is new.
    pub fn line<'p>(
        &mut self,
        property: &'p mut Property,
        id: &LineId,
        first: (Offset, u32),
        order: Offset,
    ) -> &'p mut Line {
        if !self.lines.contains_key(id) {
            self.lines.insert(id.clone(), property.lines.get(id).cloned());
        }
        property.lines.entry(id.clone()).or_insert_with(|| Box::new(Line::new(id.clone(), first, order)))
    }

    /// The reservation, to be changed.
    pub fn reservation<'p>(&mut self, property: &'p mut Property, id: &ReservationId) -> &'p mut Reservation {
        if !self.reservations.contains_key(id) {
            self.reservations.insert(id.clone(), property.reservations.get(id).cloned());
        }
        property.reservations.entry(id.clone()).or_default()
    }

    /// What is remembered of a source, to be changed.
    pub fn source<'p>(&mut self, property: &'p mut Property, source: &Arc<str>) -> &'p mut SourceInfo {
        if !self.sources.contains_key(source) {
            self.sources.insert(source.clone(), property.sources.get(source).cloned());
        }
        property.sources.entry(source.clone()).or_default()
    }

    /// Floors of one source, to be changed.
    pub fn floors<'p>(&mut self, property: &'p mut Property, key: &FloorKey) -> &'p mut Vec<ScopeFloor> {
        if !self.floors.contains_key(key) {
            self.floors.insert(key.clone(), property.floors.get(key).cloned());
        }
        property.floors.entry(key.clone()).or_default()
    }

    /// How many room nights, lines, reservations and groups of floors differ.
    pub fn entities(&self) -> usize {
        self.nights.len() + self.lines.len() + self.reservations.len() + self.floors.len()
    }

    /// Takes everything back: the record is merged as a whole or not at all (rule 8).
    pub fn roll_back(self, property: &mut Property) {
        fn restore<K: Eq + std::hash::Hash, V>(map: &mut HashMap<K, V>, old: BTreeMap<K, Option<V>>) {
            for (key, value) in old {
                match value {
                    Some(value) => drop(map.insert(key, value)),
                    None => drop(map.remove(&key)),
                }
            }
        }
        fn restore_sorted<K: Ord, V>(map: &mut BTreeMap<K, V>, old: BTreeMap<K, Option<V>>) {
            for (key, value) in old {
                match value {
                    Some(value) => drop(map.insert(key, value)),
                    None => drop(map.remove(&key)),
                }
            }
        }
        for (night, earlier) in self.nights {
            property.nights.restore(&night, earlier);
        }
        restore_sorted(&mut property.sources, self.sources);
        restore_sorted(&mut property.floors, self.floors);
        restore(&mut property.lines, self.lines);
        restore(&mut property.reservations, self.reservations);
    }

    /// Marks what was changed as different from the `state` table.
    pub fn mark(&self, property: &mut Property) {
        let dirty = &mut property.dirty;
        dirty.extend(self.nights.keys().map(|n| EntityKey::RoomNight(n.clone())));
        dirty.extend(self.sources.keys().map(|s| EntityKey::Source(s.clone())));
        dirty.extend(self.floors.keys().map(|f| EntityKey::Floors(f.clone())));
        dirty.extend(self.reservations.keys().map(|r| EntityKey::Reservation(r.clone())));
        dirty.extend(self.lines.keys().map(|l| EntityKey::Reservation(reservation_of(l))));
    }
}
