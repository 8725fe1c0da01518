//! `cargo xtask test`: every test of the host and of the guests.
//!
//! Knows the workspaces. Does not know the tests.

use std::path::Path;

use anyhow::Result;

use crate::setup;
use crate::steps::{Steps, cargo, check, target_dir};

/// Sets up and runs all tests; `arguments` go to the host's tests and, when given, leave out the guests'.
pub fn run(root: &Path, steps: &mut Steps, arguments: &[String]) -> Result<()> {
    let ready = setup::run(root, steps)?;
    // Guests with a standard library of their own are tried as well.
    crate::guests::ensure_target(root, "wasm32-wasip2")?;
    steps.step("Tests of the host", || {
        let mut tests = cargo(root);
        check(ready.tell(tests.args(["test", "--workspace", "--locked"]).args(arguments)))
    })?;
    let guests = root.join("plugins");
    if !arguments.is_empty() || !guests.join("Cargo.toml").exists() {
        return Ok(());
    }
    steps.step("Tests of the plugins", || {
        // Natively, in a directory of their own: their profile and features are not the host's.
        let target = target_dir(root).join("guests");
        check(cargo(&guests).args(["test", "--workspace", "--locked", "--target-dir"]).arg(target))
    })
}
