//! What holds of the model's tables for every log (design section 11), and that the random logs reach everything.

use std::collections::{BTreeMap, BTreeSet};

use concord::change::Action;
use concord::rows::{ConflictKind, Decision, Outcome, ReservationRow};
use concord::types::{Day, Value};

use super::*;
use crate::generate::{World, changing_world, faulty_world, shrink, world};
use crate::tables::{assert_same, log as show};

/// Worlds tried; `CONCORD_SEEDS` asks for another number.
const SEEDS: u64 = 150;

fn seeds() -> std::ops::Range<u64> {
    let asked = std::env::var("CONCORD_SEEDS").ok().and_then(|text| text.parse().ok());
    0..asked.unwrap_or(SEEDS)
}

fn run_world(world: &World, log: &[Input]) -> Tables {
    run(&world.setup, &mut world.rules.clone(), log)
}

/// The rules in force at the end of the log.
fn last_rules(world: &World, log: &[Input]) -> FixedRules {
    let last = log.iter().rev().find_map(|record| match &record.what {
        What::Configure(configuration) => Some(configuration.rules.clone()),
        _ => None,
    });
    last.unwrap_or(world.rules.clone())
}

/// Panics with the shortest log on which `wrong` finds something to say.
fn never(wrong: impl Fn(&World, &[Input], &Tables) -> Option<String>) {
    for seed in seeds() {
        let world = [world, changing_world, faulty_world][seed as usize % 3](seed);
        let find = |log: &[Input]| wrong(&world, log, &run_world(&world, log));
        if find(&world.log).is_some() {
            let short = shrink(&world.log, |log| find(log).is_some());
            let tables = run_world(&world, &short);
            let text = find(&short).unwrap_or_default();
            panic!("seed {seed}: {text}\nthe log:\n{}\n{}", show(&short), tables.show());
        }
    }
}

type Night<'a> = (&'a str, Day, &'a str);

fn accepted(tables: &Tables) -> BTreeMap<Night<'_>, Vec<&ReservationRow>> {
    let mut nights: BTreeMap<Night<'_>, Vec<&ReservationRow>> = BTreeMap::new();
    for row in tables.reservations.iter().filter(|row| row.outcome == Outcome::Accepted) {
        nights.entry((&row.property, row.date, &row.room_type)).or_default().push(row);
    }
    nights
}

#[test]
fn accepted_stays_never_exceed_the_limit_but_for_guests_in_the_house() {
    never(|world, log, tables| {
        let taken = accepted(tables);
        tables.room_nights.iter().find_map(|row| {
            let there = taken.get(&(&*row.property, row.date, &*row.room_type)).map_or(&[][..], Vec::as_slice);
            let limit = row.capacity.map(|rooms| rooms as usize + last_rules(world, log).overbook as usize);
            let over = limit.is_some_and(|limit| there.len() > limit);
            let displaceable = there.iter().any(|stay| !stay.status.in_house());
            ((over && displaceable) || there.len() != row.booked as usize).then(|| format!("overbooked: {row:?}"))
        })
    });
}

#[test]
fn a_stay_is_accepted_for_all_its_nights_or_none_and_nobody_who_fits_waits() {
    never(|world, log, tables| {
        let taken = accepted(tables);
        let limits: BTreeMap<Night<'_>, Option<i32>> =
            tables.room_nights.iter().map(|row| ((&*row.property, row.date, &*row.room_type), row.capacity)).collect();
        let mut stays: BTreeMap<(&str, &str), Vec<&ReservationRow>> = BTreeMap::new();
        for row in tables.reservations.iter().filter(|row| row.outcome != Outcome::NoShow) {
            stays.entry((&row.property, &row.stay)).or_default().push(row);
        }
        stays.into_iter().find_map(|((_, stay), rows)| {
            if rows.iter().any(|row| row.outcome != rows[0].outcome) {
                return Some(format!("{stay} has several outcomes"));
            }
            let full = |row: &&ReservationRow| {
                let night = (&*row.property, row.date, &*row.room_type);
                let limit = limits
                    .get(&night)
                    .copied()
                    .flatten()
                    .map(|rooms| rooms as usize + last_rules(world, log).overbook as usize);
                limit.is_some_and(|limit| taken.get(&night).map_or(0, Vec::len) >= limit)
            };
            let failed = last_rules(world, log).failing.contains("rank");
            let waits = !failed && rows[0].outcome == Outcome::Displaced && !rows.iter().any(full);
            waits.then(|| format!("{stay} waits though there are rooms"))
        })
    });
}

#[test]
fn every_published_value_was_claimed_by_the_source_that_is_named() {
    never(|_, log, tables| {
        let mut claimed: BTreeSet<(String, String, Value)> = BTreeSet::new();
        for record in log {
            let What::Changes { changes, .. } = &record.what else { continue };
            for change in changes {
                let sets = match &change.action {
                    Action::InventorySet(set) => std::slice::from_ref(set),
                    Action::InventoryReplace { nights, .. } => nights,
                    _ => continue,
                };
                for field in sets.iter().flat_map(|set| &set.fields) {
                    if let Some(value) = &field.value {
                        claimed.insert((record.source.clone(), field.name.to_string(), value.clone()));
                    }
                }
            }
        }
        tables.room_nights.iter().find_map(|row| {
            let source = |field: &str| {
                row.sources.iter().find(|(name, _)| &**name == field).map(|(_, source)| source.to_string())
            };
            let unclaimed = row.fields.iter().find(|(field, value)| {
                let key = source(field).map(|source| (source, field.to_string(), value.clone()));
                !key.is_some_and(|key| claimed.contains(&key))
            });
            unclaimed.map(|(field, value)| format!("{field}={value} on {} was not claimed", row.date))
        })
    });
}

#[test]
fn the_same_log_gives_the_same_tables_and_its_beginning_the_same_history() {
    for seed in seeds() {
        let world = world(seed);
        let whole = run_world(&world, &world.log);
        assert_same(&whole, &run_world(&world, &world.log), &format!("seed {seed}"), &world.log);
        assert_eq!(whole.outcomes.len(), world.log.len());
        let half = &world.log[..world.log.len() / 2];
        let first = run_world(&world, half);
        assert!(whole.outcomes.starts_with(&first.outcomes), "seed {seed}");
        assert!(whole.conflicts.starts_with(&first.conflicts), "seed {seed}");
    }
}

#[test]
fn a_record_that_changes_nothing_leaves_no_trace() {
    for seed in seeds() {
        let world = world(seed);
        let whole = run_world(&world, &world.log);
        let idle = |outcome: &RecordOutcome| matches!(outcome, RecordOutcome::Stale | RecordOutcome::Duplicate);
        for (offset, _) in whole.outcomes.iter().filter(|(_, outcome)| idle(outcome)) {
            assert!(whole.conflicts.iter().all(|row| row.offset != *offset), "seed {seed}, record {offset}");
        }
    }
}

#[test]
fn conflict_rows_are_numbered_from_0_and_ordered_by_kind() {
    never(|_, _, tables| {
        let wrong = tables.conflicts.windows(2).find(|pair| {
            let (a, b) = (&pair[0], &pair[1]);
            if a.offset == b.offset { b.seq != a.seq + 1 || b.kind < a.kind } else { b.seq != 0 }
        });
        wrong.map(|pair| format!("{pair:?}"))
    });
}

#[test]
fn random_logs_reach_every_outcome_and_decision() {
    let mut outcomes: BTreeMap<RecordOutcome, u64> = BTreeMap::new();
    let mut decisions: BTreeMap<(ConflictKind, Decision, String), u64> = BTreeMap::new();
    let mut stays: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in seeds() {
        let world = world(seed);
        let tables = run_world(&world, &world.log);
        for (_, outcome) in &tables.outcomes {
            *outcomes.entry(*outcome).or_default() += 1;
        }
        for row in &tables.conflicts {
            *decisions.entry((row.kind, row.decision, row.field.to_string())).or_default() += 1;
        }
        for row in &tables.reservations {
            let key = if row.lines.len() > 1 { "of several lines" } else { row.outcome.as_str() };
            *stays.entry(key).or_default() += 1;
        }
    }
    println!("{outcomes:?}\n{decisions:#?}\n{stays:?}");
    assert_eq!(outcomes.len(), 5);
    let seen: BTreeSet<Decision> = decisions.keys().map(|(_, decision, _)| *decision).collect();
    let all = [
        Decision::Contest,
        Decision::Agreement,
        Decision::Displaced,
        Decision::Promoted,
        Decision::Excess,
        Decision::AssignmentLost,
        Decision::Doubt,
    ];
    assert!(all.iter().all(|decision| seen.contains(decision)), "{seen:?}");
    assert_eq!(stays.len(), 6);
}

#[test]
fn a_record_about_something_else_leaves_every_stay_alone() {
    never(|world, log, tables| {
        let offset = log.last().map_or(0, |record| record.offset + 1);
        let mut longer = log.to_vec();
        for property in ["H1", "H2"] {
            let text = format!("audit-{property}");
            let fields = vec![concord::change::FieldChange { name: "min_stay".into(), value: Some(Value::Integer(1)) }];
            let nights = concord::types::Days { first: Day(30_000), end: Day(30_001) };
            let set = concord::change::RoomNights { room_type: "XXX".into(), nights, fields };
            let change = Change { revision: None, action: Action::InventorySet(set) };
            let what = What::Changes { property: property.into(), changes: vec![change] };
            longer.push(Input { offset, source: "audit".into(), id: text, order: offset, log_time: 0, what });
        }
        let after = run_world(world, &longer);
        let same = after.reservations == tables.reservations && after.conflicts == tables.conflicts;
        (!same).then(|| after.differences(tables))
    });
}

#[test]
fn a_failing_log_shrinks_to_what_makes_it_fail() {
    let world = world(1);
    let displaced =
        |log: &[Input]| run_world(&world, log).conflicts.iter().any(|row| row.decision == Decision::Displaced);
    assert!(displaced(&world.log), "this seed displaces somebody");
    let short = shrink(&world.log, displaced);
    assert!(displaced(&short));
    assert!(short.len() <= 4, "{}", show(&short));
}
