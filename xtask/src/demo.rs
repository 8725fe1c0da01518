//! `cargo xtask demo`: Concord at work, on the pipelines of `examples/`.
//!
//! Sets up and builds the `concord` program. What is shown then stands in `show`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::setup::{self, Ready};
use crate::steps::{Steps, cargo, run as run_program, target_dir};

#[derive(clap::Args)]
pub struct Arguments {
    /// A folder of `examples/`
    pub name: Option<String>,
    #[command(flatten)]
    pub options: Options,
    /// The same options after `--`
    #[arg(last = true, hide = true)]
    pub rest: Vec<String>,
}

/// How the demo is shown.
#[derive(clap::Args, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// End when all is shown, instead of going on until Ctrl-C
    #[arg(long)]
    pub exit: bool,
}

impl Arguments {
    /// The options, wherever they stood.
    fn options(&self) -> Result<Options> {
        let mut options = self.options;
        for word in &self.rest {
            match word.as_str() {
                "--exit" => options.exit = true,
                other => anyhow::bail!("unknown option `{other}` of the demo; there is `--exit`"),
            }
        }
        Ok(options)
    }
}

/// Sets up, builds `concord` and shows an example.
pub fn run(root: &Path, steps: &mut Steps, arguments: &Arguments) -> Result<()> {
    let options = arguments.options()?;
    let example = example(root, arguments.name.as_deref())?;
    let ready = setup::run(root, steps)?;
    steps.step("The concord program", || {
        run_program(cargo(root).args(["build", "--locked", "--package", "concord-runtime", "--bin", "concord"]))
    })?;
    let concord = target_dir(root).join("debug/concord");
    steps.step("The demo", || show(&concord, &example, &ready, options))
}

/// The folder of the example: the one named, or the only one, or the first in alphabetical order.
fn example(root: &Path, name: Option<&str>) -> Result<PathBuf> {
    let folder = root.join("examples");
    let entries =
        std::fs::read_dir(&folder).with_context(|| format!("there are no examples in {}", folder.display()))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok())
        .filter(|entry| entry.path().is_dir())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    let chosen = match name {
        Some(name) => names.iter().find(|other| *other == name),
        None => names.first(),
    };
    let chosen = chosen.with_context(|| format!("no such example; there are: {}", names.join(", ")))?;
    Ok(folder.join(chosen))
}

/// Runs the example's pipeline: the program is built and everything it needs is there.
fn show(concord: &Path, example: &Path, ready: &Ready, options: Options) -> Result<()> {
    let mut command = std::process::Command::new(concord);
    command.arg("run").arg("-c").arg(example.join("pipeline.toml"));
    if options.exit {
        command.arg("--until-idle");
    }
    run_program(ready.tell(&mut command))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_count_before_and_after_the_dashes() {
        let of = |exit, rest: &[&str]| {
            let rest = rest.iter().map(|word| (*word).to_owned()).collect();
            Arguments { name: None, options: Options { exit }, rest }.options().map(|options| options.exit)
        };
        assert!(!of(false, &[]).unwrap());
        assert!(of(true, &[]).unwrap());
        assert!(of(false, &["--exit"]).unwrap());
        assert!(of(false, &["--exti"]).unwrap_err().to_string().contains("--exti"));
    }
}
