//! `concord audit verify`: whether the record of disagreements is whole.

use std::collections::BTreeSet;
use std::io::IsTerminal;

use anyhow::Result;
use serde::Serialize;

use super::open::Pipeline;
use super::{Found, PipelineArgument, print, table};
use crate::audit::Finding;
use crate::log::Partition;
use crate::store::Store;
use crate::worker::checkpoint::{PartitionState, SUMMARY_KEYS};

const EXAMPLES: &str = "Examples:
  concord audit verify -c pipeline.toml
  concord audit verify -c pipeline.toml --partition 3 --json

Every conflict row carries a hash over itself and the row before it; the checkpoint remembers the last one. A
changed, missing, added or moved row is named with its position. Exit status 1 if anything is found.";

#[derive(clap::Subcommand)]
pub enum Command {
    /// Check the chain of every partition's conflict rows against its checkpoint
    #[command(after_help = EXAMPLES)]
    Verify(Arguments),
}

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    pipeline: PipelineArgument,
    /// Only this partition; all by default
    #[arg(long)]
    partition: Option<Partition>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// What is known of one partition's chain.
#[derive(Serialize)]
struct Verified {
    partition: Partition,
    /// Rows found.
    rows: u64,
    /// Rows that the checkpoint vouches for; absent without a checkpoint.
    expected: Option<u64>,
    findings: Vec<Finding>,
}

pub async fn run(command: Command) -> Result<Found> {
    let Command::Verify(arguments) = command;
    let pipeline = Pipeline::open(&arguments.pipeline)?;
    let opened = pipeline.written().await?;
    let verified = verify(&opened.store, arguments.partition).await;
    opened.close().await;
    let verified = verified?;
    let rows: u64 = verified.iter().map(|v| v.rows).sum();
    let findings: usize = verified.iter().map(|v| v.findings.len()).sum();
    if arguments.json {
        let result = serde_json::json!({ "rows": rows, "findings": findings, "partitions": verified });
        print(&format!("{result}\n"))?;
    } else {
        for verified in &verified {
            print(&text(verified))?;
        }
        let parts = verified.len();
        print(&match findings {
            0 => format!("{rows} conflict rows in {parts} partitions: the chain is whole\n"),
            n => format!("{rows} conflict rows in {parts} partitions: {}\n", table::count(n as u64, "finding")),
        })?;
    }
    Ok(if findings == 0 { Found::Fine } else { Found::Something })
}

async fn verify(store: &Store, only: Option<Partition>) -> Result<Vec<Verified>> {
    // Checkpoints first: rows that a running process writes meanwhile lie beyond them.
    let mut states = store.load_partitions(&SUMMARY_KEYS).await?;
    let mut partitions: BTreeSet<Partition> = states.keys().copied().collect();
    partitions.extend(store.audited_partitions().await?);
    if let Some(only) = only {
        if !partitions.contains(&only) {
            let known: Vec<String> = partitions.iter().map(ToString::to_string).collect();
            anyhow::bail!("nothing has been written for partition {only}; there are: {}", known.join(", "));
        }
        partitions.retain(|partition| *partition == only);
    }
    let progress = progress(partitions.len());
    let mut verified = Vec::new();
    for partition in partitions {
        progress.set_message(format!("partition {partition}"));
        let entries = states.remove(&partition).unwrap_or_default();
        let expected = PartitionState::read(&entries).map_err(anyhow::Error::msg)?.checkpoint.map(|c| c.audit);
        let (rows, findings) = store.verify_audit(partition, expected).await?;
        verified.push(Verified { partition, rows, expected: expected.map(|head| head.rows), findings });
        progress.inc(1);
    }
    progress.finish_and_clear();
    Ok(verified)
}

fn progress(partitions: usize) -> indicatif::ProgressBar {
    if !std::io::stderr().is_terminal() {
        return indicatif::ProgressBar::hidden();
    }
    let bar = super::terminal::bars().add(indicatif::ProgressBar::new(partitions as u64));
    if let Ok(style) =
        indicatif::ProgressStyle::with_template("{spinner} verifying {msg} ({pos} of {len} done, {elapsed})")
    {
        bar.set_style(style);
    }
    bar.enable_steady_tick(std::time::Duration::from_millis(200));
    bar
}

fn text(verified: &Verified) -> String {
    let Verified { partition, rows, expected, findings } = verified;
    let beyond = match expected {
        None => " (no checkpoint to compare with)".to_owned(),
        Some(expected) if rows > expected && findings.is_empty() => {
            format!(" ({} beyond the checkpoint: being written)", rows - expected)
        }
        Some(_) => String::new(),
    };
    if findings.is_empty() {
        return format!("partition {partition}: {rows} rows, whole{beyond}\n");
    }
    let expected = expected.map(|n| format!(", {n} expected")).unwrap_or_default();
    let mut text =
        format!("partition {partition}: {rows} rows{expected}, {}\n", table::count(findings.len() as u64, "finding"));
    for finding in findings {
        text.push_str(&format!("  {finding}\n"));
    }
    text
}
