//! `concord sql`: a query to ClickHouse, running or not.

use std::io::IsTerminal;

use anyhow::{Result, bail};

use super::open::Pipeline;
use super::{Found, PipelineArgument, print};
use crate::store::StoreError;

pub const EXAMPLES: &str = "Examples:
  concord sql -c pipeline.toml \"SELECT * FROM room_nights_now WHERE property = 'H1' AND date = '2026-03-01'\"
  concord sql -c pipeline.toml --format JSONEachRow \"SELECT * FROM conflicts ORDER BY log_time DESC LIMIT 5\"";

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    pipeline: PipelineArgument,
    /// A SELECT, SHOW, DESCRIBE or EXPLAIN
    query: String,
    /// Any format of ClickHouse; PrettyCompact on a terminal, else TSVWithNames
    #[arg(long)]
    format: Option<String>,
    /// The same as --format JSONEachRow
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

pub async fn run(arguments: Arguments) -> Result<Found> {
    let pipeline = Pipeline::open(&arguments.pipeline)?;
    if !pipeline.has_store() {
        bail!("nothing has been written yet: run `concord run -c {}`", arguments.pipeline.config.display());
    }
    let plain = if std::io::stdout().is_terminal() { "PrettyCompact" } else { "TSVWithNames" };
    let format = if arguments.json { "JSONEachRow" } else { arguments.format.as_deref().unwrap_or(plain) };
    let opened = pipeline.reader().await?;
    let result = stream(&opened.store, &arguments.query, format).await;
    opened.close().await;
    match result {
        Ok(()) => Ok(Found::Fine),
        // It is the user's own statement: the remedy for a damaged database would mislead.
        Err(error) => match error.downcast::<StoreError>() {
            Ok(StoreError::Refused(why)) => bail!("ClickHouse refuses the query: {why}"),
            Ok(other) => Err(other.into()),
            Err(error) => Err(error),
        },
    }
}

async fn stream(store: &crate::store::Store, query: &str, format: &str) -> Result<()> {
    let mut answer = store.query_raw(query, format)?;
    let mut last = b'\n';
    while let Some(chunk) = answer.next().await? {
        last = chunk.last().copied().unwrap_or(last);
        print(&String::from_utf8_lossy(&chunk))?;
    }
    if last == b'\n' { Ok(()) } else { print("\n") }
}
