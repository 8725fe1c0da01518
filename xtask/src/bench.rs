//! `cargo xtask bench`: measures a release build.
//!
//! Knows how the benchmark is built and called. Does not know what it measures: `tests/src/bin/bench` does.

use std::path::Path;

use anyhow::Result;

use crate::setup;
use crate::steps::{Steps, cargo, run as run_program};

/// Sets up, builds with the release profile and runs the benchmark with `arguments`.
pub fn run(root: &Path, steps: &mut Steps, arguments: &[String]) -> Result<()> {
    let ready = setup::run(root, steps)?;
    let release = ["--release", "--locked", "--package", "concord-tests", "--features", "bench", "--bin", "bench"];
    // And the program itself, which the benchmark runs on the example `two-systems`.
    let program = ["--bin", "concord-under-test"];
    steps.step("A release build", || run_program(cargo(root).arg("build").args(release).args(program)))?;
    steps.step("The benchmark", || {
        let mut bench = cargo(root);
        run_program(ready.tell(bench.args(["run", "--quiet"]).args(release).arg("--").args(arguments)))
    })
}
