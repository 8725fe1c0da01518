//! `concord rules check`: whether a rule file holds, said by the precedence plugin itself.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::open::Pipeline;
use super::plugin::Scratch;
use super::{Found, PipelineArgument, print};
use crate::config::{BUILT_IN_FIELDS, Digest, PipelineFile};
use crate::plugin::{Diagnostic, Host, Summary, Vocabulary};
use crate::worker::active::plugin_limits;

const EXAMPLES: &str = "Examples:
  concord rules check -c pipeline.toml                   the rule file that the pipeline names
  concord rules check -c pipeline.toml rules/new.toml    another file, for the same sources and fields

Needs neither log nor ClickHouse. Exit status 1 with findings, each as file:line:column: message; proposal.";

#[derive(clap::Subcommand)]
pub enum Command {
    /// Check a rule file with the pipeline's precedence plugin
    #[command(after_help = EXAMPLES)]
    Check(Arguments),
}

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    pipeline: PipelineArgument,
    /// The rule file; the pipeline's own if not given
    rules: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(command: Command) -> Result<Found> {
    let Command::Check(arguments) = command;
    let pipeline = Pipeline::open(&arguments.pipeline)?;
    let file = arguments.rules.as_ref().unwrap_or(&pipeline.file.rules.file);
    let name = file.display();
    let bytes = std::fs::read(file).with_context(|| format!("{name} cannot be read: name a rule file in TOML"))?;
    let Ok(text) = String::from_utf8(bytes) else { bail!("{name} is not UTF-8: save it as UTF-8") };
    let checked = check(&pipeline, &text)?;
    if arguments.json {
        let result = match &checked {
            Ok(Summary { name: set, version, rules }) => serde_json::json!({
                "file": name.to_string(), "name": set, "version": version,
                "hash": Digest::of(text.as_bytes()), "rules": rules, "diagnostics": [],
            }),
            Err(list) => serde_json::json!({ "file": name.to_string(), "diagnostics": list }),
        };
        print(&format!("{result}\n"))?;
    } else {
        match &checked {
            Ok(Summary { name: set, version, rules }) => {
                let hash = Digest::of(text.as_bytes()).short();
                print(&format!("{name}: rule set {set}@{version}#{hash}, {} rules, nothing to find\n", rules.len()))?;
            }
            Err(list) => {
                let lines = list.iter().map(|Diagnostic { line, column, message, proposal }| {
                    let proposal = proposal.as_ref().map(|p| format!("; {p}")).unwrap_or_default();
                    format!("{name}:{line}:{column}: {message}{proposal}\n")
                });
                print(&lines.collect::<String>())?;
            }
        }
    }
    Ok(if checked.is_ok() { Found::Fine } else { Found::Something })
}

fn check(pipeline: &Pipeline, text: &str) -> Result<Result<Summary, Vec<Diagnostic>>> {
    let file = &pipeline.file;
    let plugin = &file.rules.plugin;
    let component = std::fs::read(plugin)
        .with_context(|| format!("{} cannot be read: rules.plugin names the precedence plugin", plugin.display()))?;
    // A check leaves nothing behind where no pipeline has run.
    let scratch = if file.data_dir.exists() { None } else { Some(Scratch::new()?) };
    let host = match &scratch {
        Some(scratch) => Host::new(scratch.path())?,
        None => pipeline.host()?,
    };
    let loaded = host.precedence(&component, plugin_limits(&file.limits), text, &vocabulary(file));
    let loaded = loaded.with_context(|| plugin.display().to_string())?;
    Ok(loaded.map(|precedence| precedence.summary().clone()))
}

/// What rules may speak about in this pipeline.
fn vocabulary(file: &PipelineFile) -> Vocabulary {
    let built_in = BUILT_IN_FIELDS.iter().map(|field| (*field).to_owned());
    let mut sources: Vec<String> = file.sources.iter().map(|source| source.name.to_string()).collect();
    // In the order that the configuration in the log gives them.
    sources.sort();
    Vocabulary { sources, fields: built_in.chain(file.fields.keys().map(ToString::to_string)).collect() }
}
