//! The command line: what a person types, and what it prints.
//!
//! Exit status 0: fine; 1: something was found (differences, rejected deliveries, a broken chain); 2:
//! the command could not do its work, and standard error says what to do. All commands work while
//! `concord run` is up and while it is not.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod append;
mod apply;
mod audit;
mod capture;
mod dead_letters;
mod inlets;
mod log;
pub mod open;
mod plugin;
mod rules;
mod run;
mod sql;
mod status;
mod table;
mod terminal;
mod why;

/// What a command found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Exit status 0.
    Fine,
    /// Exit status 1.
    Something,
}

#[derive(Parser)]
#[command(
    name = "concord",
    version,
    about = "One answer per room night: merges what a hotel's systems say, by rules, with an audit",
    max_term_width = 110
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// The pipeline file, for every command.
#[derive(clap::Args, Clone, Debug)]
pub struct PipelineArgument {
    /// The pipeline file
    #[arg(short = 'c', long = "config", value_name = "FILE", default_value = "concord.toml", env = "CONCORD_CONFIG")]
    pub config: PathBuf,
    /// Another place for what a worker keeps, in place of pipeline.data_dir: for several on one machine
    #[arg(long, value_name = "DIR", env = "CONCORD_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
}

impl PipelineArgument {
    /// The file alone; everything else as it says.
    pub fn file(config: impl Into<PathBuf>) -> PipelineArgument {
        PipelineArgument { config: config.into(), data_dir: None }
    }
}

#[derive(Subcommand)]
enum Command {
    /// Run the pipeline: read the log, merge, decide, write to ClickHouse
    #[command(after_help = run::EXAMPLES)]
    Run(run::Arguments),
    /// Put deliveries from files or standard input into the log
    #[command(after_help = append::EXAMPLES)]
    Append(append::Arguments),
    /// Show what the files would change, and put it into force through the log
    #[command(after_help = apply::EXAMPLES)]
    Apply(apply::Arguments),
    /// The log's topic, where the log is Fluvio's
    #[command(subcommand)]
    Log(log::Command),
    /// Ask ClickHouse
    #[command(after_help = sql::EXAMPLES)]
    Sql(sql::Arguments),
    /// Show how far the pipeline is, what is in force, and what needs attention
    #[command(after_help = status::EXAMPLES)]
    Status(status::Arguments),
    /// Explain a room night or a reservation: each source's claim, the rule, the log positions
    #[command(after_help = why::EXAMPLES)]
    Why(why::Arguments),
    /// The rule set
    #[command(subcommand)]
    Rules(rules::Command),
    /// The record of every disagreement
    #[command(subcommand)]
    Audit(audit::Command),
    /// Records that could not be merged
    #[command(subcommand)]
    DeadLetters(dead_letters::Command),
    /// Databases whose changes are captured
    #[command(subcommand)]
    Capture(capture::Command),
    /// Plugins, before they are part of a pipeline
    #[command(subcommand)]
    Plugin(plugin::Command),
}

/// Parses the command line, runs the command, says what went wrong.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    log_to_stderr();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&anyhow::Error::new(error).context("cannot start threads")),
    };
    let result = runtime.block_on(dispatch(arguments.command));
    // Whatever still blocks a thread (a read of a terminal, say) must not keep the process.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    match result {
        Ok(Found::Fine) => ExitCode::SUCCESS,
        Ok(Found::Something) => ExitCode::from(1),
        Err(error) => fail(&error),
    }
}

async fn dispatch(command: Command) -> anyhow::Result<Found> {
    match command {
        Command::Run(arguments) => run::run(arguments).await,
        Command::Append(arguments) => append::run(arguments).await,
        Command::Apply(arguments) => apply::run(arguments).await,
        Command::Log(command) => log::run(command).await,
        Command::Sql(arguments) => sql::run(arguments).await,
        Command::Status(arguments) => status::run(arguments).await,
        Command::Why(arguments) => why::run(arguments).await,
        Command::Rules(command) => rules::run(command).await,
        Command::Audit(command) => audit::run(command).await,
        Command::DeadLetters(command) => dead_letters::run(command).await,
        Command::Capture(command) => capture::run(command).await,
        Command::Plugin(command) => plugin::run(command),
    }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    // Standard error may be closed; there is nobody left to tell then.
    let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("concord: {}\n", chain(error)));
    ExitCode::from(2)
}

/// An error with its causes, none of them twice: many say their cause themselves.
fn chain(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |said, cause| match said.as_str() {
        "" => cause,
        known if known.contains(&cause) => said,
        _ => format!("{said}: {cause}"),
    })
}

/// Log lines go to standard error: readable on a terminal, JSON where `CONCORD_LOG_FORMAT=json`.
/// `CONCORD_LOG` takes filters such as `debug` or `concord::worker=trace`.
fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("CONCORD_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn,concord=info"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(terminal::lines);
    let json = std::env::var("CONCORD_LOG_FORMAT").is_ok_and(|format| format == "json");
    if json {
        lines.json().init();
    } else if std::io::stderr().is_terminal() {
        // Whoever watches knows what time it is.
        lines.with_ansi(true).with_target(false).without_time().init();
    } else {
        lines.with_ansi(false).with_target(false).init();
    }
}

/// Prints to standard output; a reader that has gone away ends the program quietly.
pub fn print(text: &str) -> anyhow::Result<()> {
    use std::io::Write;
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => crate::engine::leave_at_once(0),
        written => Ok(written?),
    }
}
