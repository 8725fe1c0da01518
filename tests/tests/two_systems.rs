//! The example `two-systems` on real servers: two databases that change at once, one stopped for a while, Concord killed twice.
//!
//! The unified view and the record of conflicts are compared with the rules' answer, computed from the two databases by plain SQL.

use concord_tests::servers::installed;
use concord_tests::two_systems::{Options, Stage};

#[test]
fn one_room_count_of_two_systems() {
    if !installed() {
        return;
    }
    if concord::engine::find_library(None).is_err() {
        return println!("skipped: no libchdb");
    }
    let options = Options { seed: 20_261_124, transactions: 120, probes: 10, port: 0 };
    println!("seed {}", options.seed);
    let folder = tempfile::tempdir().expect("a folder");
    let mut stage = Stage::new(folder.path(), options).expect("servers and pipeline");
    let outcome = stage.play(&mut |line| println!("{line}")).expect("the view that the rules say");
    println!("{outcome:?}");
    assert!(outcome.found.contested > 100, "systems that differ");
}
