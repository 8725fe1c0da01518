//! What whole replacements of inventory said about room nights that are not known yet (merge rule 5).
//!
//! Kept by a few days, so that neither the work for a record nor what it writes grows with the property; only long
//! scopes stand together. Knows scopes and which is newer. Does not know claims.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::journal::Journal;
use super::order::Stamp;
use super::state::{Night, Property};
use crate::log::Offset;
use crate::types::{Day, Days, Revision};

/// Days kept together.
const BUCKET: i32 = 8;
/// A scope that reaches into more buckets is a long one.
const MOST_BUCKETS: i32 = 4;
/// The bucket of long scopes.
const LONG: i32 = i32::MIN;

/// Source and bucket.
pub type FloorKey = (Arc<str>, i32);

/// A whole replacement of inventory, or its part that lies in one bucket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScopeFloor {
    /// Empty: all.
    pub room_types: Vec<Arc<str>>,
    pub nights: Days,
    /// Empty: all.
    pub fields: Vec<Arc<str>>,
    pub revision: Option<Revision>,
    pub order: Offset,
    /// Position of the record that set it, and place within the record.
    pub position: (Offset, u32),
}

impl ScopeFloor {
    pub fn contains(&self, night: &Night, field: &str) -> bool {
        self.nights.contains(night.1)
            && (self.room_types.is_empty() || self.room_types.contains(&night.0))
            && (self.fields.is_empty() || self.fields.iter().any(|f| **f == *field))
    }

    /// Whether these room types and fields lie within this one's.
    pub fn spans(&self, room_types: &[Arc<str>], fields: &[Arc<str>]) -> bool {
        let within = |mine: &[Arc<str>], theirs: &[Arc<str>]| {
            mine.is_empty() || !theirs.is_empty() && theirs.iter().all(|t| mine.contains(t))
        };
        within(&self.room_types, room_types) && within(&self.fields, fields)
    }

    /// What was said of everything that it did not list, as a stamp; a reset forgets the revision.
    pub fn stamp(&self, reset: Option<Offset>) -> Stamp<'_> {
        let revision = self.revision.as_ref().filter(|_| reset.is_none_or(|at| self.position.0 > at));
        Stamp { revision, order: self.order, position: self.position.0 }
    }

    /// Whether the other, said after this one, changes nothing: all of it is as old, by its revision.
    fn silences(&self, other: &ScopeFloor, reset: Option<Offset>) -> bool {
        let within = self.nights.first <= other.nights.first && other.nights.end <= self.nights.end;
        let revisions = (self.stamp(reset).revision, other.stamp(reset).revision);
        let older = matches!(revisions, (Some(mine), Some(new)) if new.compare(mine).is_some_and(|o| o.is_le()));
        within && older && self.spans(&other.room_types, &other.fields)
    }

    /// Whether this one, said after the other, holds wherever both speak.
    fn is_newer(&self, other: &ScopeFloor, reset: Option<Offset>) -> bool {
        match (self.stamp(reset).revision, other.stamp(reset).revision) {
            (Some(new), Some(old)) => new.compare(old).is_some_and(std::cmp::Ordering::is_gt),
            (Some(_), None) => true,
            (None, _) => self.order >= other.order,
        }
    }

    /// Whether nothing of the other counts any more where this one speaks, given that this one is the newest there.
    fn replaces(&self, other: &ScopeFloor, reset: Option<Offset>) -> bool {
        // A highest revision outlives what is said without one (rule 2).
        let outlives = self.revision.is_none() && other.stamp(reset).revision.is_some();
        !outlives && self.spans(&other.room_types, &other.fields)
    }

    /// What it covers before and after other nights.
    fn outside(&self, nights: Days) -> impl Iterator<Item = ScopeFloor> + use<> {
        let before = Days { first: self.nights.first, end: self.nights.end.min(nights.first) };
        let after = Days { first: self.nights.first.max(nights.end), end: self.nights.end };
        let part = |nights: Days| (!nights.is_empty()).then(|| ScopeFloor { nights, ..self.clone() });
        [part(before), part(after)].into_iter().flatten()
    }
}

fn bucket(day: Day) -> i32 {
    day.0.div_euclid(BUCKET)
}

/// First and last bucket of some nights.
fn buckets(nights: Days) -> (i32, i32) {
    (bucket(nights.first), bucket(Day(nights.end.0 - 1)))
}

/// Splits a floor by buckets, unless it is a long one.
fn split(floor: ScopeFloor) -> Vec<(i32, ScopeFloor)> {
    if floor.nights.is_empty() {
        return Vec::new();
    }
    let (first, last) = buckets(floor.nights);
    if last - first >= MOST_BUCKETS {
        return vec![(LONG, floor)];
    }
    let part = |at: i32| {
        let first = floor.nights.first.max(Day(at * BUCKET));
        let end = floor.nights.end.min(Day((at + 1) * BUCKET));
        (at, ScopeFloor { nights: Days { first, end }, ..floor.clone() })
    };
    (first..=last).map(part).collect()
}

impl Property {
    /// The floors of a source that speak about any of the nights, in the order in which they were said.
    pub fn floors_on(&self, source: &Arc<str>, nights: Days) -> Vec<&ScopeFloor> {
        if nights.is_empty() {
            return Vec::new();
        }
        let (first, last) = buckets(nights);
        let long = self.floors.get(&(source.clone(), LONG));
        let short = self.floors.range((source.clone(), first)..=(source.clone(), last)).map(|(_, floors)| floors);
        let mut found: Vec<&ScopeFloor> =
            long.into_iter().chain(short).flatten().filter(|floor| floor.nights.overlaps(nights)).collect();
        found.sort_by_key(|floor| floor.position);
        found
    }

    /// Keeps what a replacement said, and drops what it makes needless.
    pub fn add_floor(&mut self, journal: &mut Journal, source: &Arc<str>, new: ScopeFloor, reset: Option<Offset>) {
        for (at, part) in split(new) {
            if self.floors_on(source, part.nights).iter().any(|old| old.silences(&part, reset)) {
                continue;
            }
            let (first, last) = buckets(part.nights);
            let reached = self.floors.range((source.clone(), first)..=(source.clone(), last));
            let mut reached: Vec<i32> = reached.map(|((_, bucket), _)| *bucket).collect();
            if at == LONG {
                reached.push(LONG);
            }
            for bucket in reached {
                self.drop_needless(journal, (source.clone(), bucket), &part, reset);
            }
            journal.floors(self, &(source.clone(), at)).push(part);
        }
    }

    /// Drops the floors of one bucket, or parts of them, that count no more after a newer one.
    fn drop_needless(&mut self, journal: &mut Journal, key: FloorKey, new: &ScopeFloor, reset: Option<Offset>) {
        let floors = self.floors.get(&key).map_or(&[][..], Vec::as_slice);
        let reach =
            floors.iter().map(|f| f.nights).reduce(|a, b| Days { first: a.first.min(b.first), end: a.end.max(b.end) });
        let Some(reach) = reach else { return };
        // Only where it is the newest of all it is sure to hold; the others' order among each other counts then no more.
        let reach = Days { first: reach.first.max(new.nights.first), end: reach.end.min(new.nights.end) };
        let newest = |old: &&ScopeFloor| new.is_newer(old, reset);
        if reach.is_empty() || !self.floors_on(&key.0, reach).iter().all(newest) {
            return;
        }
        if !floors.iter().any(|old| old.nights.overlaps(reach) && new.replaces(old, reset)) {
            return;
        }
        let mut kept: Vec<ScopeFloor> = Vec::new();
        for old in std::mem::take(journal.floors(self, &key)) {
            match new.replaces(&old, reset) {
                true => kept.extend(old.outside(new.nights)),
                false => kept.push(old),
            }
        }
        // What is left of a long one may be a short one.
        for (at, part) in kept.into_iter().flat_map(split) {
            journal.floors(self, &(key.0.clone(), at)).push(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The floors that are left after replacements of these nights of one room type, each with a higher revision.
    fn after(scopes: impl Iterator<Item = Days>) -> Property {
        let (mut property, source): (_, Arc<str>) = (Property::new("H1".into()), "pms".into());
        for (nights, n) in scopes.zip(1..) {
            let room_types = vec!["DBL".into()];
            let (revision, position) = (Some(Revision::Sequence([n].into())), (n, 0));
            let floor = ScopeFloor { room_types, nights, fields: Vec::new(), revision, order: n, position };
            property.add_floor(&mut Journal::default(), &source, floor, None);
        }
        property
    }

    fn days(first: i32, end: i32) -> Days {
        Days { first: Day(first), end: Day(end) }
    }

    fn count(property: &Property) -> usize {
        property.floors.values().map(Vec::len).sum()
    }

    #[test]
    fn a_newer_replacement_takes_the_place_of_older_ones() {
        assert_eq!(count(&after((0..1000).map(|n| days(n % 10, n % 10 + 1)))), 10);
        assert_eq!(count(&after((0..1000).map(|_| days(5, 500)))), 1);
        assert_eq!(count(&after((0..1000).map(|n| days(n % 100, n % 100 + 1)).chain([days(-5, 500)]))), 1);
    }

    #[test]
    fn what_a_window_leaves_behind_as_it_moves_is_kept_by_days() {
        let property = after((0..1000).map(|n| days(n, n + 365)));
        let source: Arc<str> = "pms".into();
        let long = property.floors.get(&(source.clone(), LONG)).map_or(0, Vec::len);
        assert_eq!(long, 1);
        let revision_on = |day: i32| {
            let floors = property.floors_on(&source, days(day, day + 1));
            floors.iter().map(|floor| floor.order).max()
        };
        assert_eq!((revision_on(-1), revision_on(0), revision_on(998)), (None, Some(1), Some(999)));
        assert_eq!((revision_on(1363), revision_on(1364)), (Some(1000), None));
    }

    #[test]
    fn an_older_replacement_takes_nothing_away() {
        let mut property = after([days(0, 10)].into_iter());
        let older = ScopeFloor {
            room_types: Vec::new(),
            nights: days(-100, 100),
            fields: Vec::new(),
            revision: Some(Revision::Sequence([0].into())),
            order: 5,
            position: (5, 0),
        };
        property.add_floor(&mut Journal::default(), &"pms".into(), older, None);
        let on: Vec<u64> = property.floors_on(&"pms".into(), days(3, 4)).iter().map(|floor| floor.order).collect();
        assert_eq!(on, [1, 5], "in the order in which they were said");
    }
}
