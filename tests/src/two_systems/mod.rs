//! The example `two-systems`: an old MariaDB and a new PostgreSQL that both change, captured and merged into one room count.
//!
//! Starts private servers, works on both at once, stops one of them and kills Concord meanwhile, and compares what Concord says
//! with what the rules say, computed from the two databases by the example's SQL. What is changed, `load` knows; what is right,
//! `compare`.

mod compare;
mod latency;
mod load;
mod runner;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

pub use compare::Found;
pub use latency::Figure;

use crate::pipeline::{copy_folder, plugins_dir};
use crate::servers::{MariaDb, PASSWORD, Postgres};
use load::{Cloud, Legacy, Price};
use runner::Runner;

/// Each system's load: a transaction in this time, at most. A back office does less.
const PACE: Duration = Duration::from_millis(10);
/// What Concord says when it follows both.
const FOLLOWING: [&str; 2] = ["following MySQL", "following PostgreSQL"];

/// How much is done.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub seed: u64,
    /// Transactions on each system in each of the phases.
    pub transactions: u32,
    /// Changes whose way is timed, on each system.
    pub probes: u32,
    /// A port for the embedded ClickHouse; 0 takes a free one.
    pub port: u16,
}

/// What the two systems and Concord came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub transactions: u64,
    pub found: Found,
    pub legacy: Figure,
    pub cloud: Figure,
}

/// The servers, and the example's pipeline on them.
pub struct Stage {
    folder: PathBuf,
    pub legacy: MariaDb,
    pub cloud: Postgres,
    runner: Runner,
    options: Options,
    /// Prices that were committed while both systems were followed: each of them has to be in `conflicts`.
    prices: Vec<Price>,
    transactions: u64,
}

impl Stage {
    /// Starts the servers with the example's tables and rows, and copies its pipeline into `folder`, which is empty.
    pub fn new(folder: &Path, options: Options) -> Result<Stage> {
        let legacy = MariaDb::start(&[]).context("MariaDB")?;
        let cloud = Postgres::start("").context("PostgreSQL")?;
        let example =
            Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the repository")?.join("examples/two-systems");
        copy_folder(&example, folder);
        std::fs::create_dir_all(folder.join("plugins"))?;
        for plugin in ["debezium.wasm", "precedence.wasm"] {
            std::fs::copy(plugins_dir().join(plugin), folder.join("plugins").join(plugin))
                .context("the built plugins")?;
        }
        std::fs::write(folder.join("cloud.password"), format!("{PASSWORD}\n"))?;
        let file = folder.join("pipeline.toml");
        let text = std::fs::read_to_string(&file)?
            .replace("port = 3306", &format!("port = {}", legacy.port()))
            .replace(
                "host = \"127.0.0.1\"\nport = 5432",
                &format!("host = \"{}\"\nport = {}", cloud.host(), cloud.port()),
            )
            .replace("listen = \"127.0.0.1:8123\"", &format!("listen = \"127.0.0.1:{}\"", options.port));
        std::fs::write(&file, text)?;
        let sql = |name: &str| std::fs::read_to_string(folder.join("sql").join(name));
        legacy.console()?.run(&sql("legacy.sql")?)?;
        cloud.console()?.run(&sql("cloud.sql")?)?;
        Legacy::fill(&mut legacy.console()?)?;
        Cloud::fill(&mut cloud.console()?)?;
        let runner = Runner::new(folder);
        Ok(Stage { folder: folder.to_owned(), legacy, cloud, runner, options, prices: Vec::new(), transactions: 0 })
    }

    /// Both systems change at once; `meanwhile` happens in the middle of it.
    fn both(&mut self, phase: u64, noted: bool, meanwhile: impl FnOnce(&mut Runner) -> Result<()>) -> Result<()> {
        let (seed, transactions) = (self.options.seed ^ (phase << 32), self.options.transactions);
        let (mut legacy, mut cloud) =
            (Legacy::new(self.legacy.console()?, seed)?, Cloud::new(self.cloud.console()?, seed)?);
        let (runner, over) = (&mut self.runner, AtomicBool::new(false));
        let (happened, old, new) = std::thread::scope(|scope| {
            let old = scope.spawn(|| on(transactions, &over, |count| legacy.work(count)));
            let new = scope.spawn(|| on(transactions, &over, |count| cloud.work(count)));
            let happened = meanwhile(runner);
            over.store(true, Ordering::Release);
            let broken = || anyhow::anyhow!("a load broke off");
            (happened, old.join().map_err(|_| broken()), new.join().map_err(|_| broken()))
        });
        happened?;
        for (count, prices) in [old??, new??] {
            self.transactions += u64::from(count);
            if noted {
                self.prices.extend(prices);
            }
        }
        Ok(())
    }

    /// The whole story; `tell` hears what happens.
    ///
    /// # Errors
    /// Something that must not happen.
    pub fn play(&mut self, tell: &mut dyn FnMut(&str)) -> Result<Outcome> {
        tell("Both systems change while Concord reads them for the first time; nobody is locked out.");
        self.both(1, false, |runner| runner.start())?;
        self.runner.wait_for(&FOLLOWING)?;
        tell("Both change at once; the way of single changes is timed.");
        let (legacy, cloud, _) = self.timed(2)?;
        tell("MariaDB is stopped; PostgreSQL goes on.");
        self.legacy.stop()?;
        let mut alone = Cloud::new(self.cloud.console()?, self.options.seed ^ 3)?;
        let told = alone.work(self.options.transactions)?;
        self.transactions += u64::from(self.options.transactions);
        self.prices.extend(told);
        self.runner.wait_for(&["trying again"])?;
        self.legacy.up()?;
        tell("It is back. Both change while Concord is killed (-9) and started again.");
        self.both(4, true, |runner| {
            runner.kill()?;
            runner.start()?;
            runner.wait_for(&FOLLOWING)
        })?;
        tell("Concord is killed once more, and both go on without it.");
        self.runner.kill()?;
        self.both(5, true, |_| Ok(()))?;
        tell("Concord reads what it missed, to the end, and stops.");
        self.runner.until_idle()?;
        let (mut legacy_console, mut cloud_console) = (self.legacy.console()?, self.cloud.console()?);
        let found =
            compare::compare(&self.folder, &self.runner, &mut legacy_console, &mut cloud_console, &self.prices)?;
        Ok(Outcome { transactions: self.transactions, found, legacy, cloud })
    }

    /// Both change; single changes among them are watched until ClickHouse shows them. How long all of it took comes with it.
    fn timed(&mut self, phase: u64) -> Result<(Figure, Figure, Duration)> {
        let begun = Instant::now();
        let (mut legacy, mut cloud) = (self.legacy.console()?, self.cloud.console()?);
        let (probes, watch) = (self.options.probes, self.runner.watch()?);
        let mut figures = None;
        self.both(phase, true, |_| {
            let old = latency::probe(&watch, probes, |round| load::mark_legacy(&mut legacy, round))?;
            let new = latency::probe(&watch, probes, |round| load::mark_cloud(&mut cloud, round))?;
            figures = Some((old, new));
            Ok(())
        })?;
        let (legacy, cloud) = figures.context("the timed changes")?;
        Ok((legacy, cloud, begun.elapsed()))
    }

    /// Concord as it runs, for whoever wants to watch.
    pub fn up(&mut self) -> Result<()> {
        self.runner.start()?;
        self.runner.wait_for(&FOLLOWING)
    }

    /// Both change for a while, and how far the answer is behind.
    pub fn watch(&mut self, round: u64) -> Result<(Figure, Figure, Duration)> {
        self.timed(100 + round)
    }

    /// Transactions on both systems so far.
    pub fn transactions(&self) -> u64 {
        self.transactions
    }

    /// What `concord status` says, with its exit status: the words for people, and the JSON.
    pub fn status(&self) -> Result<(i32, String, serde_json::Value)> {
        let (_, words) = self.runner.asked(&["status"])?;
        let (code, json) = self.runner.asked(&["status", "--json"])?;
        Ok((code, words, serde_json::from_str(&json)?))
    }

    /// Waits until Concord has said this.
    pub fn wait_for(&mut self, words: &str) -> Result<()> {
        self.runner.wait_for(&[words])
    }

    /// Ends Concord as Ctrl-C does.
    pub fn down(&mut self) -> Result<()> {
        self.runner.stop()
    }
}

/// Works until it is over, and at least so many transactions. How many there were, and what they set.
fn on(least: u32, over: &AtomicBool, mut work: impl FnMut(u32) -> Result<Vec<Price>>) -> Result<(u32, Vec<Price>)> {
    let (mut count, mut prices) = (0, Vec::new());
    while count < least || !over.load(Ordering::Acquire) {
        let begun = Instant::now();
        prices.extend(work(1)?);
        count += 1;
        std::thread::sleep(PACE.saturating_sub(begun.elapsed()));
    }
    Ok((count, prices))
}
