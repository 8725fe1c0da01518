//! `cargo xtask demo`: Concord at work, on the pipelines of `examples/`.
//!
//! Sets up, builds the `concord` program and starts a copy of the example afresh, under the build folder. What is
//! delivered stands in `deliveries` and in the example's own folder, what is shown at the end in `report`.

mod deliveries;
mod formats;
mod pipeline;
mod report;
mod show;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::setup;
use crate::steps::{Steps, cargo, check, run as run_program, target_dir};

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
    /// Where ClickHouse listens on 127.0.0.1, instead of the example's own port; 0 takes a free one
    #[arg(long)]
    pub port: Option<u16>,
}

impl Arguments {
    /// The options, wherever they stood.
    fn options(&self) -> Result<Options> {
        let mut options = self.options;
        let mut rest = self.rest.iter();
        while let Some(word) = rest.next() {
            match word.as_str() {
                "--exit" => options.exit = true,
                "--port" => {
                    let port = rest.next().and_then(|port| port.parse().ok());
                    options.port = Some(port.context("--port takes a number up to 65535")?);
                }
                other => anyhow::bail!("unknown option `{other}` of the demo; there are `--exit` and `--port N`"),
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
        // As the tests build it: another selection of packages would build the dependencies once more.
        run_program(cargo(root).args(["build", "--locked", "--workspace", "--bin", "concord", "--bin", ON_SERVERS]))
    })?;
    let concord = target_dir(root).join("debug/concord");
    if example.ends_with(ON_SERVERS) {
        return steps.step("The demo", || on_servers(root, &concord, &ready, options));
    }
    let folder = target_dir(root).join("demo").join(example.file_name().unwrap_or_default());
    let pipeline = pipeline::Pipeline::prepare(&concord, &example, &folder, ready, options)?;
    steps.step("The demo", || show::run(&pipeline, options))
}

/// The example that is shown where none is named.
const USUAL: &str = "three-sources";

/// The example that needs database servers, and the program of the tests that plays it.
const ON_SERVERS: &str = "two-systems";

/// Plays the example on private servers, in a folder afresh.
fn on_servers(root: &Path, concord: &Path, ready: &setup::Ready, options: Options) -> Result<()> {
    let folder = target_dir(root).join("demo").join(ON_SERVERS);
    match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("the last demo's {} cannot be removed", folder.display()));
        }
        _ => {}
    }
    std::fs::create_dir_all(&folder)?;
    let mut program = std::process::Command::new(target_dir(root).join("debug").join(ON_SERVERS));
    program.arg(&folder).args(options.exit.then_some("--exit")).env("CONCORD_BIN", concord);
    program.args(["--port", &options.port.unwrap_or(0).to_string()]);
    // Whoever watches it ends it with Ctrl-C, which it hears itself.
    if !options.exit {
        // SAFETY: ignoring a signal installs no code; the program sets its own handler.
        unsafe { libc::signal(libc::SIGINT, libc::SIG_IGN) };
    }
    check(ready.tell(&mut program))
}

/// The folder of the example: the one named, or the usual one.
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
        None => names.iter().find(|other| *other == USUAL),
    };
    let chosen = chosen.with_context(|| format!("no such example; there are: {}", names.join(", ")))?;
    Ok(folder.join(chosen))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_count_before_and_after_the_dashes() {
        let of = |exit, rest: &[&str]| {
            let rest = rest.iter().map(|word| (*word).to_owned()).collect();
            Arguments { name: None, options: Options { exit, port: None }, rest }.options().map(|options| options.exit)
        };
        assert!(!of(false, &[]).unwrap());
        assert!(of(true, &[]).unwrap());
        assert!(of(false, &["--exit"]).unwrap());
        assert!(of(false, &["--exti"]).unwrap_err().to_string().contains("--exti"));
        assert!(of(false, &["--port", "x"]).is_err());
        assert!(of(false, &["--port", "8124", "--exit"]).unwrap());
    }
}
