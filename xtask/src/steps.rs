//! Steps with headings and times, and the programs that they run.
//!
//! Knows how a step is shown and how a program's end becomes an error. Does not know what the steps are.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// A failed test or check, as opposed to what could not run at all: exit status 1.
#[derive(Debug)]
pub struct Finding(pub String);

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Finding {}

/// Shows what is being done and how long it took, on standard error.
pub struct Steps {
    started: Instant,
}

impl Steps {
    pub fn start() -> Steps {
        Steps { started: Instant::now() }
    }

    /// Does one step under a heading.
    pub fn step<T>(&mut self, title: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let before = Instant::now();
        eprintln!("==> {title}");
        let result = work();
        let (word, took) = (if result.is_ok() { "done" } else { "failed" }, show(before.elapsed()));
        eprintln!("    {word} in {took} ({} since the start)", show(self.started.elapsed()));
        result
    }

    pub fn finish(&self) {
        eprintln!("==> all done in {}", show(self.started.elapsed()));
    }
}

/// `4.2 s`, `3 min 20 s`.
fn show(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 60 {
        format!("{:.1} s", time.as_secs_f64())
    } else {
        format!("{} min {} s", seconds / 60, seconds % 60)
    }
}

/// Runs a program to its end; another status than 0 is an error that names the command line.
pub fn run(command: &mut Command) -> Result<()> {
    let line = line(command);
    let status = command.status().with_context(|| format!("cannot run `{line}`"))?;
    if status.success() { Ok(()) } else { anyhow::bail!("`{line}` ended with {status}") }
}

/// As [`run`], for programs whose failure is a finding: tests and checks.
pub fn check(command: &mut Command) -> Result<()> {
    let line = line(command);
    let status = command.status().with_context(|| format!("cannot run `{line}`"))?;
    if status.success() { Ok(()) } else { Err(Finding(format!("`{line}` ended with {status}")).into()) }
}

/// A program's standard output; its standard error becomes part of the error.
pub fn output(command: &mut Command) -> Result<String> {
    let line = line(command);
    let output = command.output().with_context(|| format!("cannot run `{line}`"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "`{line}` ended with {}: {}", output.status, said.trim());
    String::from_utf8(output.stdout).with_context(|| format!("`{line}` does not answer in UTF-8"))
}

/// The cargo that runs this.
pub fn cargo(root: &Path) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root);
    cargo
}

/// Where cargo builds: `CARGO_TARGET_DIR`, else the folder that this program was built into (cargo's own settings may
/// name any), else `target` in the repository.
pub fn target_dir(root: &Path) -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR").filter(|dir: &OsString| !dir.is_empty()) {
        // Relative to where cargo was called, as cargo has it.
        Some(dir) => std::path::absolute(&dir).unwrap_or_else(|_| dir.into()),
        None => own_target_dir().unwrap_or_else(|| root.join("target")),
    }
}

/// `TARGET` of `TARGET/debug/xtask`, which is this program when cargo runs it.
fn own_target_dir() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    let profile = program.parent()?;
    let is_ours = program.file_stem()? == "xtask" && profile.file_name()? == "debug";
    is_ours.then(|| profile.parent().map(Path::to_owned)).flatten()
}

fn line(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_check_is_a_finding_and_a_missing_program_is_not() {
        assert!(check(&mut Command::new("false")).unwrap_err().is::<Finding>());
        assert!(!run(&mut Command::new("false")).unwrap_err().is::<Finding>());
        let missing = check(&mut Command::new("no-such-program-here")).unwrap_err();
        assert!(!missing.is::<Finding>());
        assert!(missing.to_string().contains("no-such-program-here"));
        check(&mut Command::new("true")).unwrap();
    }

    #[test]
    fn times_are_short() {
        assert_eq!(show(Duration::from_millis(4_210)), "4.2 s");
        assert_eq!(show(Duration::from_secs(200)), "3 min 20 s");
    }
}
