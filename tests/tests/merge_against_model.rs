//! The real merge gives the tables of the reference model, for random logs and wherever batches are cut.
//!
//! `CONCORD_SEEDS=2000` tries more worlds than usual, `CONCORD_SEED=17` only that one. A failure prints the seed, the
//! first differing rows and the shortest log found on which they differ.

use std::panic::{AssertUnwindSafe, catch_unwind};

use concord_tests::generate::{Random, World, changing_world, faulty_world, shrink, world};
use concord_tests::model::{self, Input};
use concord_tests::real;
use concord_tests::tables::{Tables, log};

/// Worlds tried when nothing else is asked for.
const SEEDS: u64 = 300;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

fn seeds() -> Vec<u64> {
    match number("CONCORD_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("CONCORD_SEEDS").unwrap_or(SEEDS)).collect(),
    }
}

fn expected(world: &World, records: &[Input]) -> Tables {
    model::run(&world.setup, &mut world.rules.clone(), records)
}

/// The real merge's tables, or the panic that came instead.
fn found(world: &World, records: &[Input], cuts: &[usize]) -> Option<Result<Tables, String>> {
    let run = || real::run(&world.setup, &world.rules, records, cuts);
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(tables) => tables.map(Ok),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Some(Err(text.unwrap_or_else(|| "a panic".into())))
        }
    }
}

/// In words how the two differ; empty when they do not.
fn difference(world: &World, records: &[Input], cuts: &[usize]) -> String {
    match found(world, records, cuts) {
        None => String::new(),
        Some(Ok(tables)) => expected(world, records).differences(&tables),
        Some(Err(panic)) => format!("the merge panicked: {panic}\n"),
    }
}

/// Panics with a short log if the real merge differs from the model on the world's log.
fn compare(world: &World, cuts_of: impl Fn(&[Input]) -> Vec<usize>) {
    let differ = |records: &[Input]| !difference(world, records, &cuts_of(records)).is_empty();
    if !differ(&world.log) {
        return;
    }
    let short = shrink(&world.log, differ);
    let cuts = cuts_of(&short);
    panic!(
        "seed {} (model left, real right)\n{}\nbatches end before {cuts:?}, the log:\n{}\n{:?}\n{:?}",
        world.seed,
        difference(world, &short, &cuts),
        log(&short),
        world.setup,
        world.rules
    );
}

#[test]
fn one_batch() {
    for seed in seeds() {
        compare(&world(seed), |_| Vec::new());
    }
}

#[test]
fn a_batch_per_record() {
    for seed in seeds() {
        compare(&world(seed), |records| (1..records.len()).collect());
    }
}

#[test]
fn batches_cut_anywhere() {
    for seed in seeds() {
        compare(&world(seed), |records| {
            let mut random = Random::new(seed ^ 0xc07);
            (1..records.len()).filter(|_| random.chance(20)).collect()
        });
    }
}

#[test]
fn rules_and_master_data_change() {
    for seed in seeds() {
        compare(&changing_world(seed), |_| Vec::new());
    }
}

#[test]
fn the_policy_fails_now_and_then() {
    for seed in seeds() {
        compare(&faulty_world(seed), |_| Vec::new());
    }
}
