//! The real merge gives the tables of the reference model, for random logs and wherever batches are cut.
//!
//! `CONCORD_TEST_ROUNDS=20000` tries more worlds than usual, `CONCORD_TEST_SEED=17` begins with that one (alone, unless
//! rounds are given too). A failure prints the seed, the first differing rows and the shortest log found on which they
//! differ.
//!
//! Left out on purpose: logs that change rules or master data. The real merge does not decide existing rows again under
//! another configuration yet; `real::run` gives nothing for such logs.

use std::panic::{AssertUnwindSafe, catch_unwind};

use concord_tests::generate::{Random, World, large_world, shrink, stumbling_world, world};
use concord_tests::invariants;
use concord_tests::model::{self, Input};
use concord_tests::real;
use concord_tests::tables::{Tables, log};

/// Worlds that every test tries when nothing else is asked for.
const ROUNDS: u64 = 1500;
/// Records of a world that is too large for the model: one such world for every hundred small ones.
const LARGE: usize = 4000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

fn seeds() -> std::ops::Range<u64> {
    let first = number("CONCORD_TEST_SEED");
    let rounds = number("CONCORD_TEST_ROUNDS").unwrap_or(if first.is_some() { 1 } else { ROUNDS });
    let first = first.unwrap_or(0);
    println!("seeds {first} to {}", first + rounds - 1);
    first..first + rounds
}

/// The real merge's tables, or the panic that came instead.
fn real_tables(world: &World, records: &[Input], cuts: &[usize]) -> Result<Tables, String> {
    let run = || real::run(&world.setup, &world.rules, records, cuts).expect("one configuration");
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_else(|| "a panic".into())
    })
}

/// In words how the two differ; empty when they do not.
fn difference(world: &World, records: &[Input], cuts: &[usize]) -> String {
    match real_tables(world, records, cuts) {
        Ok(tables) => model::run(&world.setup, &mut world.rules.clone(), records).differences(&tables),
        Err(panic) => format!("the merge panicked: {panic}\n"),
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

/// Cut anywhere, by the seed alone: also when the shrinker takes records away.
fn anywhere(seed: u64, records: &[Input]) -> Vec<usize> {
    let mut random = Random::new(seed ^ 0xc07);
    let percent = random.pick(&[5, 20, 50]);
    (1..records.len()).filter(|_| random.chance(percent)).collect()
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
        compare(&world(seed), |records| anywhere(seed, records));
    }
}

#[test]
fn the_policy_fails_on_some_questions() {
    for seed in seeds() {
        compare(&stumbling_world(seed), |records| anywhere(seed, records));
    }
}

/// Where the model would be too slow, the invariants hold at every batch's end, and the rows are the same to the byte,
/// versions included, wherever batches are cut.
#[test]
fn large_worlds_keep_the_invariants() {
    let seeds = seeds();
    let count = (seeds.end - seeds.start).div_ceil(100);
    for seed in seeds.start..seeds.start + count {
        let world = large_world(seed, LARGE);
        let mut random = Random::new(seed ^ 0xba7c);
        let cuts: Vec<usize> = (0..12).map(|_| random.below(LARGE as u64) as usize).collect();
        let check = |tables: &Tables| {
            let wrong = invariants::broken(&world.rules, tables).or_else(|| invariants::unclaimed(&world.log, tables));
            assert!(wrong.is_none(), "large world {seed}: {}", wrong.unwrap_or_default());
        };
        let mut rules = world.rules.clone();
        let cut = real::raw_watched(&world.setup, &mut rules, &world.log, &cuts, check);
        check(&cut);
        let whole = real::raw(&world.setup, &mut rules, &world.log, &[]);
        assert!(cut == whole, "large world {seed}, cut before {cuts:?}:\n{}", whole.differences(&cut));
    }
}
