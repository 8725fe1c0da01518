//! `concord run`: all roles in one process.

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::inlets::Inlets;
use super::open::{self, OpenLog, OpenStore, Pipeline};
use super::{Found, PipelineArgument, print};
use crate::capture::{CaptureError, Captures};
use crate::config::{ClickHousePlace, Door, LogKind, Proposal, RunFile, difference};
use crate::door;
use crate::engine;
use crate::event::ControlKey;
use crate::health;
use crate::log::{AnyLog, Log};
use crate::worker::checkpoint::Counts;
use crate::worker::share::Share;
use crate::worker::{self, Mode, Shared, retention};

pub const EXAMPLES: &str = "Examples:
  concord run -c pipeline.toml                 until Ctrl-C
  concord run -c pipeline.toml --until-idle    read the log to its end, write, and end: backfills, tests;
                                               captured databases first, up to what they have when it starts
  concord run -c pipeline.toml --instance 0/4  one of four workers: partitions 0, 4, 8, ...

Until Ctrl-C it also takes in what the pipeline file names: webhooks ([gateway]), folders ([source.folder]) and endpoints
([source.poll]), says every minute which of them are alive, and forgets what [retention] does not keep.

Ctrl-C ends cleanly; a second one ends at once. Nothing is lost either way.";

/// How often partition time is appended.
const TICK: Duration = Duration::from_secs(60);

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    pipeline: PipelineArgument,
    /// End when every partition is read to its end and written
    #[arg(long)]
    until_idle: bool,
    /// Which of N workers this is, from 0: it takes every N-th partition. A name that ends in -I will do for I
    #[arg(long, value_name = "I/N", env = "CONCORD_INSTANCE", default_value_t = Share::WHOLE)]
    instance: Share,
    /// Answer /healthz and /readyz here, such as 0.0.0.0:9090; nothing else is served there
    #[arg(long, value_name = "ADDRESS", env = "CONCORD_HEALTH")]
    health: Option<SocketAddr>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: Arguments) -> Result<Found> {
    let pipeline = Pipeline::open_to_run(&arguments.pipeline)?;
    if let Some(run) = &pipeline.running {
        bail!("process {} already runs this pipeline; stop it first, or give this one a data_dir of its own", run.pid);
    }
    shareable(&pipeline, arguments.instance)?;
    pipeline.prepare()?;
    // Let go when everything is closed.
    let _held = pipeline.hold()?;
    let key = pipeline.key()?;
    let host = pipeline.host()?;
    // Whatever is wrong with the files is said before anything is opened, if they are what would start.
    let proposal = Proposal::read(&pipeline.file);
    let log = pipeline.own_log().await?;
    let opened = pipeline.own_store(false).await?;
    let result = async {
        opened.store.migrate(&[]).await?;
        opened.store.keep_payloads(pipeline.file.retention.dead_letters).await?;
        configure(&pipeline, arguments.instance, &opened, &log, &key, &host, proposal).await?;
        let tuning = pipeline.file.tuning;
        // Of this start alone: a pod comes back under its name, and with the same process number.
        let start = open::secret()?;
        let instance = format!("{}-{}-{}", hostname(), std::process::id(), start.get(..6).unwrap_or(&start));
        let shared = Arc::new(Shared::new(log, opened.store.clone(), host, key, instance, tuning));
        work(&pipeline, &opened, shared, &arguments).await
    }
    .await;
    opened.close().await;
    result
}

/// Whether several workers can share what the pipeline's file names.
fn shareable(pipeline: &Pipeline, share: Share) -> Result<()> {
    if share.workers() == 1 {
        return Ok(());
    }
    if matches!(pipeline.file.log.kind, LogKind::Embedded) {
        bail!("--instance {share}: the embedded log has one process; workers share a log of kind = \"fluvio\"");
    }
    if matches!(pipeline.file.clickhouse.place, ClickHousePlace::Embedded { .. }) {
        bail!("--instance {share}: the embedded ClickHouse has one process; workers share one of kind = \"server\"");
    }
    Ok(())
}

/// Seeds the log with the files' configuration on the first start; says later when the files differ.
async fn configure(
    pipeline: &Pipeline,
    share: Share,
    opened: &OpenStore,
    log: &Arc<AnyLog>,
    key: &ControlKey,
    host: &crate::plugin::Host,
    proposal: Result<Proposal, crate::config::ConfigErrors>,
) -> Result<()> {
    let handle = OpenLog::Here(log.clone());
    let config = pipeline.file.path.display();
    match pipeline.active(Some(&opened.store), &handle, key).await? {
        // One of them alone, or the second would be refused.
        None if !share.has(0) => tracing::info!("waiting for the worker of partition 0 to begin"),
        None => {
            let proposal = proposal?;
            open::check_proposal(host, &proposal, &pipeline.file)?;
            let records = open::configuration_records(
                &proposal,
                None,
                key,
                &open::author(None, &pipeline.file),
                Some("first start"),
            )?;
            log.append(0, records).await?;
        }
        Some(active) => match proposal {
            Ok(proposal) => {
                let changes = difference(Some(&active.document), &proposal.document);
                if !changes.is_empty() {
                    tracing::warn!(
                        "the files differ from the configuration in force in {} places; \
                         `concord apply -c {config}` shows them and puts them into force",
                        changes.len()
                    );
                }
            }
            Err(errors) => {
                tracing::warn!("the files cannot be applied as they are; what is in force goes on: {errors}")
            }
        },
    }
    Ok(())
}

async fn work<L: Log>(
    pipeline: &Pipeline,
    opened: &OpenStore,
    shared: Arc<Shared<L>>,
    arguments: &Arguments,
) -> Result<Found> {
    // Before anybody can know of this process, so that no signal meets it unprepared.
    let heard = Signals::listen()?;
    let token = open::secret()?;
    let mut captures = captures(pipeline, &shared, arguments)?;
    let served = door::serve(shared.clone(), captures.monitors(), token.clone()).await;
    let (address, serve) = served.context("the door cannot be opened")?;
    let serving = tokio::spawn(serve);
    let door = Door { address: format!("http://{address}"), token };
    let user = match pipeline.file.clickhouse.place {
        ClickHousePlace::Embedded { .. } => engine::READER.to_owned(),
        ClickHousePlace::Server { ref user, .. } => user.clone(),
    };
    let database = pipeline.file.clickhouse.database.clone();
    // What only reads the log to its end takes nothing in.
    let inlets = match arguments.until_idle {
        true => None,
        false => Some(Inlets::open(&pipeline.file, &shared, arguments.instance, captures.pulses()).await?),
    };
    let run_file =
        RunFile::of_this_process(opened.address.clone(), database, user, opened.reader_password.clone(), door);
    let _guard = run_file.write(&pipeline.file.data_dir)?;
    tracing::info!(clickhouse = %opened.address, "pipeline {} runs", pipeline.file.name);
    let (stop, stopped) = watch::channel(false);
    let stop = Arc::new(stop);
    let signals = tokio::spawn(heard.pass_on(stop.clone()));
    let started = std::time::Instant::now();
    let mode = Mode { until_idle: arguments.until_idle, tick: (!arguments.until_idle).then_some(TICK) };
    let partitions = arguments.instance.of(shared.log.identity().partitions);
    if partitions.is_empty() {
        let (share, count) = (arguments.instance, shared.log.identity().partitions);
        tracing::warn!("worker {share} has nothing to do: the log has {count} partitions");
    }
    let forgetting = pipeline.file.retention.log.filter(|_| !arguments.until_idle);
    let forgetting = forgetting.map(|keep| tokio::spawn(retention::run(shared.clone(), partitions.clone(), keep)));
    let health = match arguments.health {
        None => None,
        Some(address) => {
            let served = health::serve(shared.clone(), partitions.clone(), address).await;
            let (address, serve) = served.with_context(|| format!("--health {address}: nobody can listen there"))?;
            tracing::info!("/healthz and /readyz at http://{address}");
            Some(tokio::spawn(serve))
        }
    };
    let progress = progress(shared.clone());
    let mut failed = None;
    let result = tokio::select! {
        result = worker::run(shared.clone(), partitions, mode, stopped) => result,
        () = progress => Ok(()),
        () = fails(&mut captures, &mut failed, &stop) => Ok(()),
    };
    if let Some(inlets) = inlets {
        inlets.close().await;
    }
    captures.close().await;
    signals.abort();
    serving.abort();
    health.inspect(tokio::task::JoinHandle::abort);
    forgetting.inspect(tokio::task::JoinHandle::abort);
    result?;
    if let Some((source, error)) = failed {
        return Err(anyhow::Error::new(error).context(format!("source {source}")));
    }
    report(&shared, started.elapsed(), arguments)?;
    Ok(Found::Fine)
}

/// Begins to capture the sources that are databases. Of several workers only one does: a database tells everything to one.
fn captures<L: Log>(pipeline: &Pipeline, shared: &Arc<Shared<L>>, arguments: &Arguments) -> Result<Captures> {
    let sources = if arguments.instance.has(0) { &pipeline.file.sources[..] } else { &[] };
    Captures::start(sources, &pipeline.file.data_dir, shared, arguments.until_idle)
        .map_err(|(source, error)| anyhow::Error::new(error).context(format!("source {source}")))
}

/// Has the workers end where a capture can't be waited for; never returns.
async fn fails(captures: &mut Captures, failed: &mut Option<(Arc<str>, CaptureError)>, stop: &watch::Sender<bool>) {
    *failed = Some(captures.failed().await);
    // Nobody listens any more only if they have ended by themselves.
    let _ = stop.send(true);
    std::future::pending().await
}

fn report<L: Log>(shared: &Shared<L>, elapsed: Duration, arguments: &Arguments) -> Result<()> {
    let mut counts = Counts::default();
    for progress in shared.all_progress() {
        counts.add(&progress.counts());
    }
    if arguments.json {
        let report = serde_json::json!({ "seconds": elapsed.as_secs_f64(), "records": counts });
        return print(&format!("{report}\n"));
    }
    if arguments.until_idle {
        let Counts { merged, stale, duplicate, rerouted, control, dead_letters } = counts;
        print(&format!(
            "{} records so far: {merged} merged, {stale} stale, {duplicate} duplicates, {rerouted} re-routed, \
             {control} control, {dead_letters} dead letters; ready after {:.1} s\n",
            counts.total(),
            elapsed.as_secs_f64()
        ))?;
    } else {
        tracing::info!(
            records = counts.total(),
            merged = counts.merged,
            dead_letters = counts.dead_letters,
            "ended; everything decided is written"
        );
    }
    Ok(())
}

/// What ends the process: Ctrl-C, or whoever manages it.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> Result<Signals> {
        let of = |kind| signal(kind).context("signals cannot be listened to");
        Ok(Signals { interrupt: of(SignalKind::interrupt())?, terminate: of(SignalKind::terminate())? })
    }

    /// The first signal ends cleanly, the second at once.
    async fn pass_on(mut self, stop: Arc<watch::Sender<bool>>) {
        for round in 0.. {
            tokio::select! {
                _ = self.interrupt.recv() => {}
                _ = self.terminate.recv() => {}
            }
            if round > 0 {
                engine::leave_at_once(130);
            }
            tracing::info!(
                "ending: what is in flight is written first; once more ends at once, and loses nothing either"
            );
            // Nobody listens any more only if the work has ended by itself.
            let _ = stop.send(true);
        }
    }
}

/// Shows on a terminal how far the work is; never returns.
async fn progress<L: Log>(shared: Arc<Shared<L>>) {
    if !std::io::stderr().is_terminal() {
        return std::future::pending().await;
    }
    let bar = indicatif::ProgressBar::new(0).with_finish(indicatif::ProgressFinish::AndClear);
    let bar = super::terminal::bars().add(bar);
    let style = "{spinner} {pos} of {len} records ({per_sec})";
    if let Ok(style) = indicatif::ProgressStyle::with_template(style) {
        bar.set_style(style);
    }
    let mut every = tokio::time::interval(Duration::from_millis(200));
    loop {
        every.tick().await;
        let Ok(status) = door::log_status(&shared).await else { continue };
        bar.set_length(status.partitions.iter().map(|p| p.end - p.first).sum());
        bar.set_position(status.partitions.iter().map(|p| p.next.unwrap_or(p.first) - p.first).sum());
    }
}

fn hostname() -> String {
    std::fs::read_to_string("/etc/hostname").map_or_else(|_| "concord".to_owned(), |name| name.trim().to_owned())
}
