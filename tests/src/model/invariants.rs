//! What holds of the model's tables for every log (design section 11), and that the random logs reach everything.

use std::collections::{BTreeMap, BTreeSet};

use concord::change::Action;
use concord::rows::{ConflictKind, Decision};
use concord::types::{Day, Value};

use super::*;
use crate::generate::{World, changing_world, faulty_world, shrink, world};
use crate::invariants;
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

#[test]
fn the_tables_keep_the_invariants() {
    never(|world, log, tables| {
        let rules = last_rules(world, log);
        invariants::broken(&rules, tables).or_else(|| invariants::unclaimed(log, tables))
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
