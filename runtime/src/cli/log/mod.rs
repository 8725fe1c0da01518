//! `concord log create`, `describe` and `migrate`: the topic that a pipeline's log is.
//!
//! An embedded log makes itself; a topic on Fluvio is shared, so it is made on purpose. Does not know records.

mod migrate;

use anyhow::{Result, bail};
use clap::Subcommand;

use super::open::Pipeline;
use super::{Found, PipelineArgument, print, table};
use crate::config::{DEFAULT_PARTITIONS, FluvioSettings, LogKind, parse_duration};
use crate::log::fluvio::{self as topics, Description, NewTopic};

#[derive(Subcommand)]
pub enum Command {
    /// Make the topic that the pipeline's file names
    #[command(after_help = CREATE)]
    Create(CreateArguments),
    /// Show the topic: partitions, brokers, offsets
    #[command(after_help = DESCRIBE)]
    Describe(DescribeArguments),
    /// Move the pipeline to another log, with more partitions or of another kind
    #[command(after_help = migrate::HELP)]
    Migrate(migrate::Arguments),
}

const CREATE: &str = "Examples:
  concord log create -c pipeline.toml
  concord log create -c pipeline.toml --partitions 32 --replication 3 --retention 30d

A topic keeps its partitions: choose enough for the workers that may once be needed. To more of them a pipeline
moves by `concord log migrate`.
Retention has to be longer than the longest time that nobody reads; what is in ClickHouse does not need the log any more.";

const DESCRIBE: &str = "Examples:
  concord log describe -c pipeline.toml
  concord log describe -c pipeline.toml --json

Exit status 1 if a partition has no leader.";

#[derive(clap::Args)]
pub struct CreateArguments {
    #[command(flatten)]
    pipeline: PipelineArgument,
    /// 1 to 1024; else log.partitions, else 8
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1024))]
    partitions: Option<u32>,
    /// Copies of every record, each on another broker
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=16))]
    replication: u32,
    /// How long records are kept at least, such as 30d; else as the cluster is set up (7d)
    #[arg(long, value_name = "TIME", value_parser = retention)]
    retention: Option<u32>,
}

#[derive(clap::Args)]
pub struct DescribeArguments {
    #[command(flatten)]
    pipeline: PipelineArgument,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// In seconds.
fn retention(text: &str) -> Result<u32, String> {
    let seconds = parse_duration(text).and_then(|time| u32::try_from(time.as_secs()).ok());
    seconds.filter(|seconds| *seconds >= 10).ok_or_else(|| "write a time such as 30d, from 10s to 49710d".to_owned())
}

pub async fn run(command: Command) -> Result<Found> {
    match command {
        Command::Create(arguments) => create(arguments).await,
        Command::Describe(arguments) => describe(arguments).await,
        Command::Migrate(arguments) => migrate::run(arguments).await,
    }
}

fn topic(pipeline: &Pipeline) -> Result<&FluvioSettings> {
    match &pipeline.file.log.kind {
        LogKind::Fluvio(settings) => Ok(settings),
        LogKind::Embedded => bail!(
            "the log of {} is the embedded one: it makes itself on first start, and `concord status` shows it",
            pipeline.file.path.display()
        ),
    }
}

async fn create(arguments: CreateArguments) -> Result<Found> {
    let pipeline = Pipeline::open(&arguments.pipeline)?;
    let settings = topic(&pipeline)?;
    let named = pipeline.file.log.partitions;
    if let (Some(wanted), Some(named)) = (arguments.partitions, named)
        && wanted != named
    {
        bail!("--partitions {wanted}, but the file says log.partitions = {named}: make them equal, or remove one");
    }
    let new = NewTopic {
        name: settings.topic.clone(),
        partitions: arguments.partitions.or(named).unwrap_or(DEFAULT_PARTITIONS),
        replication: arguments.replication,
        retention: arguments.retention,
    };
    topics::create(&settings.place, &new).await.map_err(|error| pipeline.fluvio_error(&error))?;
    let NewTopic { name, partitions, replication, .. } = new;
    let partitions = table::count(u64::from(partitions), "partition");
    print(&format!("topic {name} made: {partitions}, {replication} on as many brokers each\n"))?;
    Ok(Found::Fine)
}

async fn describe(arguments: DescribeArguments) -> Result<Found> {
    let pipeline = Pipeline::open(&arguments.pipeline)?;
    let settings = topic(&pipeline)?;
    let described =
        topics::describe(&settings.place, &settings.topic).await.map_err(|error| pipeline.fluvio_error(&error))?;
    if arguments.json {
        print(&format!("{}\n", serde_json::to_string(&described)?))?;
    } else {
        print(&text(&described))?;
    }
    let whole = described.partitions.iter().all(|partition| partition.online);
    Ok(if whole { Found::Fine } else { Found::Something })
}

fn text(described: &Description) -> String {
    let Description { topic, endpoint, partitions, compression, retention } = described;
    let kept = match *retention {
        seconds if seconds >= 48 * 3600 => format!("{} days", seconds / 86_400),
        seconds if seconds >= 2 * 3600 => format!("{} h", seconds / 3600),
        seconds => format!("{seconds} s"),
    };
    let rows: Vec<Vec<String>> = partitions
        .iter()
        .map(|p| {
            let replicas: Vec<String> = p.replicas.iter().map(ToString::to_string).collect();
            let offset = |offset: Option<u64>| offset.map_or_else(|| "-".to_owned(), |offset| offset.to_string());
            let state = if p.online { "online" } else { "no leader" };
            let place = [p.partition.to_string(), p.leader.to_string(), replicas.join(" "), state.to_owned()];
            place.into_iter().chain([offset(p.first), offset(p.end)]).collect()
        })
        .collect();
    let header = ["partition", "leader", "replicas", "state", "first", "end"];
    let head = format!("topic {topic} at {endpoint}; records kept {kept}; compression {compression}\n\n");
    head + &table::table(&header, &rows)
}
