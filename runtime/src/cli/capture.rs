//! `concord capture check`: whether the databases of a pipeline can be captured, and what to run where not.

use anyhow::{Result, bail};

use super::{Found, PipelineArgument, print};
use crate::capture::check::{Checked, State, check};
use crate::config::{PipelineFile, SourceSettings};

pub const EXAMPLES: &str = "Examples:
  concord capture check -c pipeline.toml
  concord capture check -c pipeline.toml --source legacy --json

Looks and changes nothing. Exit status: 0 all is well, 1 something has to be repaired, 2 a database cannot be reached.";

#[derive(clap::Subcommand)]
pub enum Command {
    /// Look whether the sources' databases can be captured; say what to run where they cannot
    #[command(after_help = EXAMPLES)]
    Check(Arguments),
}

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    pipeline: PipelineArgument,
    /// This source alone
    #[arg(long)]
    source: Option<String>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(Command::Check(arguments): Command) -> Result<Found> {
    let file = PipelineFile::read(&arguments.pipeline.config)?;
    let wanted = |source: &&SourceSettings| arguments.source.as_deref().is_none_or(|name| *name == *source.name);
    let captured: Vec<&SourceSettings> =
        file.sources.iter().filter(|source| source.capture.is_some()).filter(wanted).collect();
    if captured.is_empty() {
        match arguments.source {
            Some(name) => {
                bail!("there is no source `{name}` with a section [source.capture]")
            }
            None => bail!("no source has a section [source.capture]: there is nothing to check"),
        }
    }
    let (mut found, mut unreachable, mut reports) = (Found::Fine, Vec::new(), Vec::new());
    for source in captured {
        let Some(capture) = &source.capture else { continue };
        match check(capture, &source.settings).await {
            Ok(all) => {
                if all.iter().any(|checked| checked.state == State::Finding) {
                    found = Found::Something;
                }
                reports.push(serde_json::json!({ "source": source.name, "checks": all }));
                if !arguments.json {
                    print(&text(&source.name, &all))?;
                }
            }
            Err(error) => unreachable.push(format!("source {}: {error}", source.name)),
        }
    }
    if arguments.json {
        print(&format!("{}\n", serde_json::Value::from(reports)))?;
    }
    if unreachable.is_empty() { Ok(found) } else { bail!(unreachable.join("\n")) }
}

fn text(source: &str, all: &[Checked]) -> String {
    let mut text = format!("{source}\n");
    for checked in all {
        let mark = match checked.state {
            State::Fine => "ok",
            State::Note => "--",
            State::Finding => "!!",
        };
        text.push_str(&format!("  {mark}  {}\n", checked.what));
        for line in &checked.repair {
            text.push_str(&format!("        {line}\n"));
        }
    }
    text
}
