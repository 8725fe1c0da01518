//! `cargo xtask`: set-up, demo, test, bench and the checks of CI, on a machine with rustup and npm.
//!
//! Knows the commands and their exit statuses: 0 fine, 1 a finding (a test failed, a check found something), 2 cannot
//! run. What each command does stands in its module.

mod bench;
mod demo;
mod guests;
mod libchdb;
mod lint;
mod setup;
mod steps;
mod test;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

use steps::{Finding, Steps};

/// Set-up, demo, test and bench of Concord.
#[derive(Parser)]
#[command(bin_name = "cargo xtask", after_help = "Example: cargo xtask demo")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Bring what building and running needs: the ClickHouse engine (once) and the plugins
    #[command(after_help = "Environment: CONCORD_LIBCHDB names a libchdb.so to use instead of fetching one;\n\
                            CONCORD_CACHE is the folder for what is fetched (default: ~/.cache/concord)")]
    Setup,
    /// Build the plugins of `plugins/` into `<target>/plugins`
    Guests,
    /// Set up, then show Concord at work
    #[command(after_help = "Example: cargo xtask demo -- --exit")]
    Demo(demo::Arguments),
    /// Set up, then run every test
    #[command(after_help = "Example: cargo xtask test -- config::")]
    Test {
        /// Handed to `cargo test` of the host
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Set up, then measure a release build
    Bench {
        /// Handed to the benchmark
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Check what the compiler does not: who imports what, file heads, stray paths
    Lint,
    /// Run what CI runs (`.ci/run`)
    Ci,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(if error.is::<Finding>() { 1 } else { 2 })
        }
    }
}

fn run(command: Command) -> Result<()> {
    let root = root()?;
    let mut steps = Steps::start();
    match command {
        Command::Setup => setup::run(&root, &mut steps).map(drop),
        Command::Guests => guests::build(&root).map(drop),
        Command::Demo(arguments) => demo::run(&root, &mut steps, &arguments),
        Command::Test { arguments } => test::run(&root, &mut steps, &arguments),
        Command::Bench { arguments } => bench::run(&root, &mut steps, &arguments),
        Command::Lint => lint::run(&root, &mut steps),
        Command::Ci => steps::check(std::process::Command::new(root.join(".ci/run")).current_dir(&root)),
    }?;
    steps.finish();
    Ok(())
}

/// The repository: cargo says where this crate lies when it runs it.
fn root() -> Result<PathBuf> {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").context("run it as `cargo xtask`, inside the repository")?;
    Path::new(&manifest).parent().map(Path::to_owned).context("xtask has to lie in the repository")
}
