//! What holds of the tables for every log (design section 11), whoever made them.
//!
//! Looks at rows only. Each check gives in words what is wrong, if anything is.

use std::collections::{BTreeMap, BTreeSet};

use concord::change::Action;
use concord::rows::{ConflictRow, Outcome, ReservationRow, RoomNightRow};
use concord::types::{Day, Status, Value};

use crate::fixed_rules::FixedRules;
use crate::model::{Input, What};
use crate::tables::Tables;

/// Property, date, room type.
type Night<'a> = (&'a str, Day, &'a str);

/// Everything that can be said without knowing the log.
pub fn broken(rules: &FixedRules, tables: &Tables) -> Option<String> {
    within_limits(rules, tables)
        .or_else(|| whole(tables))
        .or_else(|| waits_though_there_are_rooms(rules, tables))
        .or_else(|| one_guest_per_room(tables))
        .or_else(|| a_line_in_two_stays(tables))
        .or_else(|| disorder(tables))
}

fn rows(tables: &Tables) -> impl Iterator<Item = &ReservationRow> {
    tables.reservations.iter().filter(|row| !row.is_deleted)
}

fn accepted(tables: &Tables) -> BTreeMap<Night<'_>, Vec<&ReservationRow>> {
    let mut nights: BTreeMap<Night<'_>, Vec<&ReservationRow>> = BTreeMap::new();
    for row in rows(tables).filter(|row| row.outcome == Outcome::Accepted) {
        nights.entry((&row.property, row.date, &row.room_type)).or_default().push(row);
    }
    nights
}

fn limit(rules: &FixedRules, row: &RoomNightRow) -> Option<usize> {
    row.capacity.map(|rooms| usize::try_from(rooms).unwrap_or(0) + rules.overbook as usize)
}

/// Invariant 2, and that `booked` and `available` tell the truth.
pub fn within_limits(rules: &FixedRules, tables: &Tables) -> Option<String> {
    let mut taken = accepted(tables);
    for row in &tables.room_nights {
        let there = taken.remove(&(&*row.property, row.date, &*row.room_type)).unwrap_or_default();
        let over = limit(rules, row).is_some_and(|limit| there.len() > limit);
        if over && there.iter().any(|stay| !stay.status.in_house()) {
            return Some(format!("overbooked: {row:?}"));
        }
        let free = limit(rules, row).map(|limit| limit.saturating_sub(there.len()));
        let promised = row.available.is_some_and(|n| n < 0 || free.is_some_and(|free| n as usize > free));
        if there.len() != row.booked as usize || promised {
            return Some(format!("{} are there: {row:?}", there.len()));
        }
    }
    taken.keys().next().map(|night| format!("{night:?} is occupied and has no row"))
}

/// Invariant 3, and a row for every night of a stay and for no other.
pub fn whole(tables: &Tables) -> Option<String> {
    let mut stays: BTreeMap<(&str, &str), Vec<&ReservationRow>> = BTreeMap::new();
    for row in rows(tables) {
        stays.entry((&row.property, &row.stay)).or_default().push(row);
    }
    stays.into_iter().find_map(|((_, stay), rows)| {
        let first = rows.iter().min_by_key(|row| row.date)?;
        let nights: BTreeSet<Day> = rows.iter().map(|row| row.date).collect();
        let all = (first.arrival.0..first.departure.0).map(Day).eq(nights.iter().copied());
        let no_show = first.status == Status::NoShow;
        let same = rows.iter().all(|row| row.outcome == first.outcome || no_show && row.outcome == Outcome::NoShow);
        (!all || !same || nights.len() != rows.len()).then(|| format!("{stay} is not whole: {rows:?}"))
    })
}

/// Rule 14: free rooms go to displaced stays, where the policy can rank them.
pub fn waits_though_there_are_rooms(rules: &FixedRules, tables: &Tables) -> Option<String> {
    if rules.failing.contains("rank") || rules.failing_share > 0 {
        return None;
    }
    let taken = accepted(tables);
    let limits: BTreeMap<Night<'_>, Option<usize>> =
        tables.room_nights.iter().map(|row| ((&*row.property, row.date, &*row.room_type), limit(rules, row))).collect();
    let full = |row: &ReservationRow| {
        let night = (&*row.property, row.date, &*row.room_type);
        let limit = limits.get(&night).copied().flatten();
        limit.is_some_and(|limit| taken.get(&night).map_or(0, Vec::len) >= limit)
    };
    let mut waiting: BTreeMap<(&str, &str), bool> = BTreeMap::new();
    for row in rows(tables).filter(|row| row.outcome == Outcome::Displaced) {
        *waiting.entry((&row.property, &row.stay)).or_default() |= full(row);
    }
    waiting.into_iter().find_map(|((_, stay), full)| (!full).then(|| format!("{stay} waits though there are rooms")))
}

/// Rule 17: a room is assigned once on any night.
pub fn one_guest_per_room(tables: &Tables) -> Option<String> {
    let occupying = |row: &&ReservationRow| matches!(row.outcome, Outcome::Accepted | Outcome::Displaced);
    let mut rooms: BTreeMap<(&str, Day, &str), &str> = BTreeMap::new();
    rows(tables).filter(occupying).filter(|row| !row.room.is_empty()).find_map(|row| {
        let other = rooms.insert((&row.property, row.date, &row.room), &row.stay)?;
        Some(format!("room {} is assigned to {other} and {} on {}", row.room, row.stay, row.date))
    })
}

/// Rule 10: a line is in one stay.
pub fn a_line_in_two_stays(tables: &Tables) -> Option<String> {
    let mut stays: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    for row in rows(tables).filter(|row| row.outcome != Outcome::Merged) {
        for line in &row.lines {
            let other = stays.insert((&row.property, line), &row.stay);
            if other.is_some_and(|other| other != &*row.stay) {
                return Some(format!("{line} is in {} and in another stay", row.stay));
            }
        }
    }
    None
}

/// Rule 23: rows in the order of their records, numbered from 0, ordered by kind and place.
pub fn disorder(tables: &Tables) -> Option<String> {
    let key = |row: &ConflictRow| (row.kind, row.property.clone(), row.date, row.room_type.clone(), row.stay.clone());
    let begins = tables.conflicts.first().is_some_and(|row| row.seq != 0);
    let wrong = |pair: &[ConflictRow]| match pair {
        [a, b] if a.offset == b.offset => b.seq != a.seq + 1 || key(b) < key(a),
        [a, b] => b.seq != 0 || b.offset < a.offset,
        _ => false,
    };
    let found = tables.conflicts.windows(2).find(|pair| wrong(pair));
    found.map(|pair| format!("{pair:?}")).or_else(|| begins.then(|| "the first row is not numbered 0".into()))
}

/// Invariant 4 for the declared fields: the source that is named claimed the value at some time.
pub fn unclaimed(log: &[Input], tables: &Tables) -> Option<String> {
    let mut claimed: BTreeSet<(&str, &str, &Value)> = BTreeSet::new();
    for record in log {
        let What::Changes { changes, .. } = &record.what else { continue };
        for change in changes {
            let sets = match &change.action {
                Action::InventorySet(set) => std::slice::from_ref(set),
                Action::InventoryReplace { nights, .. } => nights,
                _ => continue,
            };
            for field in sets.iter().flat_map(|set| &set.fields) {
                claimed.extend(field.value.as_ref().map(|value| (&*record.source, &*field.name, value)));
            }
        }
    }
    tables.room_nights.iter().find_map(|row| {
        let source = |field: &str| row.sources.iter().find(|(name, _)| &**name == field).map(|(_, source)| source);
        let known = |(field, value): &&(std::sync::Arc<str>, Value)| {
            source(field).is_some_and(|source| claimed.contains(&(&**source, &**field, value)))
        };
        let unclaimed = row.fields.iter().find(|pair| !known(pair));
        unclaimed.map(|(field, value)| format!("{field}={value} on {} was not claimed", row.date))
    })
}
