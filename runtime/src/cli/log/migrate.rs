//! `concord log migrate`: a pipeline moves to another log, with more partitions or of another kind.
//!
//! Two pipeline files name the two logs; all else that they name has to be the same. Does not know how it is moved.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::super::open::{self, OpenStore, Pipeline};
use super::super::{Found, PipelineArgument, print};
use crate::config::{ClickHousePlace, PipelineFile};
use crate::event::ControlKey;
use crate::worker::migrate::{Migration, Moved};

pub const HELP: &str = "Examples:
  concord log create -c pipeline-16.toml --partitions 16
  concord run -c pipeline.toml --until-idle
  concord log migrate -c pipeline.toml --to pipeline-16.toml

The new file is a copy of the old one with another [log]: another topic, other partitions, and
first_position, which goes on after the positions of the old log (the command says which number
to write). Tables, audit and state go on; offsets in tables are positions from then on.

  1. Stop what appends and all workers; let `concord run --until-idle` decide what is left.
  2. Migrate. It can be repeated, also after a crash half-way.
  3. Start workers and doors with the new file. What a producer still appended to the old topic
     is copied by calling the command once more.";

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    pipeline: PipelineArgument,
    /// The pipeline's new file
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
    /// Who does it, for the old log's last records; else pipeline.author, else the user's name
    #[arg(long)]
    author: Option<String>,
}

pub async fn run(arguments: Arguments) -> Result<Found> {
    let old = Pipeline::open(&arguments.pipeline)?;
    let argument = PipelineArgument { config: arguments.to.clone(), data_dir: arguments.pipeline.data_dir.clone() };
    let new = Pipeline::open(&argument)?;
    let key = common(&old, &new)?;
    if old.running.is_some() || new.running.is_some() {
        bail!("a process runs this pipeline: end it first (Ctrl-C, or SIGTERM)");
    }
    if !old.has_log() || !old.has_store() {
        bail!("{} has no log or no tables yet: start with the new file, there is nothing to move", show(&old.file));
    }
    let opened = old.own_store(true).await?;
    let author = open::author(arguments.author.as_deref(), &old.file);
    let moved = migrate(&old, &new, &opened, &key, &author).await;
    opened.close().await;
    let moved = moved.with_context(|| format!("from {} to {}", show(&old.file), show(&new.file)))?;
    print(&if arguments.json { json(moved) } else { text(moved, &new.file) })?;
    Ok(Found::Fine)
}

async fn migrate(old: &Pipeline, new: &Pipeline, opened: &OpenStore, key: &ControlKey, author: &str) -> Result<Moved> {
    opened.store.migrate(&[]).await?;
    let (from, to) = (old.own_log().await?, new.own_log().await?);
    let migration = Migration { store: &opened.store, old: &*from, new: &*to, key, author };
    Ok(migration.run().await?)
}

/// The pipeline's key, if both files describe one pipeline.
fn common(old: &Pipeline, new: &Pipeline) -> Result<ControlKey> {
    let (from, to) = (&old.file, &new.file);
    let differs = |what: &str| format!("{what} differs between {} and {}: only [log] may", show(from), show(to));
    if from.log == to.log {
        bail!("{} and {} name the same log", show(from), show(to));
    }
    if from.name != to.name {
        bail!(differs("pipeline.name"));
    }
    let embedded = matches!(from.clickhouse.place, ClickHousePlace::Embedded { .. });
    if from.clickhouse != to.clickhouse || embedded && from.data_dir != to.data_dir {
        bail!(differs("the place of ClickHouse"));
    }
    if std::fs::read(&from.key_file).ok() != std::fs::read(&to.key_file).ok() {
        bail!(differs("the key file"));
    }
    Ok(ControlKey::load(&from.key_file)?)
}

fn show(file: &PipelineFile) -> String {
    file.path.display().to_string()
}

fn json(moved: Moved) -> String {
    let Moved { before, properties, entities, late } = moved;
    let object = serde_json::json!({
        "moved_before": before, "properties": properties, "entities": entities, "late_records": late,
    });
    format!("{object}\n")
}

fn text(moved: Moved, new: &PipelineFile) -> String {
    let Moved { before, properties, entities, late } = moved;
    let first = match before {
        true => "The pipeline had been moved before.".to_owned(),
        false => format!("Moved: {properties} properties with {entities} entities."),
    };
    let late = match late {
        0 => String::new(),
        late => format!(" Copied {late} records that came to the old log after the move."),
    };
    format!("{first}{late}\nStart workers and doors with -c {}.\n", show(new))
}
