//! The set-up that demo, test and bench share: the ClickHouse engine and the plugins.
//!
//! Does everything at most once and says what it does. Does not know who uses it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::libchdb;
use crate::steps::{Steps, target_dir};

/// What was set up.
pub struct Ready {
    /// The ClickHouse engine.
    libchdb: PathBuf,
    /// The folder of the built plugins.
    plugins: PathBuf,
}

impl Ready {
    /// The folder of the built plugins.
    pub fn plugins(&self) -> &Path {
        &self.plugins
    }

    /// Tells a program where things are: `CONCORD_LIBCHDB` and `CONCORD_PLUGINS`.
    pub fn tell<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("CONCORD_LIBCHDB", &self.libchdb).env("CONCORD_PLUGINS", &self.plugins)
    }
}

/// Brings everything that is not there yet.
pub fn run(root: &Path, steps: &mut Steps) -> Result<Ready> {
    let libchdb = steps.step("The ClickHouse engine (libchdb)", libchdb::bring)?;
    steps.step("The plugins (WebAssembly components)", || crate::guests::build(root))?;
    Ok(Ready { libchdb, plugins: target_dir(root).join("plugins") })
}
