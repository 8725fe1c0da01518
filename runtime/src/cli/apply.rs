//! `concord apply`: what the files propose against what is in force, then through the log.

use anyhow::Result;

use super::open::{Pipeline, author, check_proposal, configuration_records};
use super::{Found, PipelineArgument, print};
use crate::config::{Proposal, difference};

pub const EXAMPLES: &str = "Examples:
  concord apply -c pipeline.toml --dry-run                   only show what would change (exit status 1 if anything)
  concord apply -c pipeline.toml --reason \"summer rules\"

A configuration holds for the records after it. What was decided before stays decided.";

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    pipeline: PipelineArgument,
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Why, for the record
    #[arg(long)]
    reason: Option<String>,
    /// Who, for the record; else pipeline.author, else the user's name
    #[arg(long)]
    author: Option<String>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: Arguments) -> Result<Found> {
    let pipeline = Pipeline::open(&arguments.pipeline)?;
    pipeline.prepare()?;
    let proposal = Proposal::read(&pipeline.file)?;
    check_proposal(&pipeline.host()?, &proposal, &pipeline.file)?;
    let key = pipeline.key()?;
    let log = pipeline.log().await?;
    let opened = if pipeline.has_store() { Some(pipeline.store().await?) } else { None };
    let found = pipeline.active(opened.as_ref().map(|o| &o.store), &log, &key).await;
    if let Some(opened) = opened {
        opened.close().await;
    }
    let found = found?;
    let changes = difference(found.as_ref().map(|f| &f.document), &proposal.document);
    let sequence = if changes.is_empty() || arguments.dry_run {
        None
    } else {
        let follows = found.as_ref().map(|f| f.sequence);
        let author = author(arguments.author.as_deref(), &pipeline.file);
        let mut records = configuration_records(&proposal, follows, &key, &author, arguments.reason.as_deref())?;
        // By itself, since its offset is the number; somebody else's record may come between it and large plugins.
        let configuration = records.split_off(records.len().saturating_sub(1));
        if !records.is_empty() {
            log.append(0, records).await?;
        }
        Some(log.append(0, configuration).await?)
    };
    if arguments.json {
        let result = serde_json::json!({ "changes": changes, "sequence": sequence });
        print(&format!("{result}\n"))?;
    } else if changes.is_empty() {
        print("nothing to apply: the files are what is in force\n")?;
    } else {
        print(&changes.iter().map(|line| format!("  {line}\n")).collect::<String>())?;
        match sequence {
            Some(sequence) => {
                print(&format!("applied with sequence number {sequence}: it holds for the records after it\n"))?
            }
            None => print("nothing was changed (--dry-run)\n")?,
        }
    }
    let finding = arguments.dry_run && !changes.is_empty();
    Ok(if finding { Found::Something } else { Found::Fine })
}
