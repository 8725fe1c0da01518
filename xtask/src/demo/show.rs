//! The demo's course: the hand-written story, half a year in weekly waves while `concord run` is up, the report.
//!
//! Knows when what is shown. Does not know what the numbers mean.

use std::collections::BTreeMap;
use std::fs;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};

use super::Options;
use super::deliveries::{self, Delivery, FIRST_DAY};
use super::formats::content_type;
use super::pipeline::{Appended, Pipeline, Running};
use super::report;

const SEED: u64 = 2027;
/// A week in minutes.
const WAVE: i64 = 7 * 24 * 60;
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// Shows the example to its end, or until Ctrl-C.
pub fn run(pipeline: &Pipeline, options: Options) -> Result<()> {
    let mut running = pipeline.start()?;
    // The first start puts the configuration into force, for the deliveries to come.
    settle(pipeline, &mut running)?;
    let mut sent = Sent::default();
    let started = Instant::now();
    let story = story(pipeline)?;
    println!(
        "\nFive systems talk about three hotels, each in its own format. What they deliver goes through the log while `concord run` is up.\n"
    );
    for (source, text, lines) in &story {
        sent.add(source, pipeline.append(source, text, content_type(source), *lines)?);
    }
    settle(pipeline, &mut running)?;
    println!("{}", state_of(pipeline, "the story of the README", &sent)?);
    year(pipeline, &mut running, &mut sent)?;
    let took = started.elapsed();
    let status = running.status()?;
    let fine = report::print(pipeline, &running.run_file, &status, &sent, took)?;
    if options.exit {
        running.stop()?;
    } else {
        println!("\nConcord and its ClickHouse stay up for you; Ctrl-C ends them.");
        running.wait()?;
    }
    if fine { Ok(()) } else { Err(crate::steps::Finding("a check of the demo failed".to_owned()).into()) }
}

/// What was delivered so far.
#[derive(Default)]
pub struct Sent {
    pub deliveries: u64,
    /// A delivery about several hotels is several records.
    pub records: u64,
    pub by_source: BTreeMap<String, u64>,
}

impl Sent {
    fn add(&mut self, source: &str, appended: Appended) {
        self.deliveries += appended.deliveries;
        self.records += appended.records;
        *self.by_source.entry(source.to_owned()).or_default() += appended.deliveries;
    }
}

/// The example's own deliveries, in the order of the files: source, text, and whether each line is one.
fn story(pipeline: &Pipeline) -> Result<Vec<(String, String, bool)>> {
    let folder = pipeline.folder.join("deliveries");
    let mut files: Vec<_> = fs::read_dir(&folder)?.collect::<Result<_, _>>()?;
    files.sort_by_key(|file| file.file_name());
    let read = |file: &fs::DirEntry| {
        let path = file.path();
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let (_, source) =
            name.split_once('-').context("a file of deliveries is named NUMBER-SOURCE.xml, .json or .jsonl")?;
        let lines = path.extension().is_some_and(|ending| ending == "jsonl");
        Ok((source.to_owned(), fs::read_to_string(&path)?, lines))
    };
    files.iter().map(read).collect()
}

/// Half a year, week by week.
fn year(pipeline: &Pipeline, running: &mut Running, sent: &mut Sent) -> Result<()> {
    let deliveries = deliveries::generate(SEED);
    let bar = bar(deliveries.len() as u64);
    let mut month = None;
    for wave in deliveries.chunk_by(|a, b| a.at / WAVE == b.at / WAVE) {
        let at = wave.first().map_or(0, |delivery| delivery.at);
        let (year, number, _) = deliveries::Date(FIRST_DAY.0 + at / (24 * 60)).civil();
        let name = format!("{} {year}", MONTHS.get(number as usize - 1).copied().unwrap_or_default());
        if let Some(last) = month.replace(name.clone()).filter(|last| *last != name) {
            settle(pipeline, running)?;
            let line = state_of(pipeline, &last, sent)?;
            bar.suspend(|| println!("{line}"));
        }
        bar.set_message(name);
        for (source, lines) in by_source(wave) {
            pipeline.still_up(running)?;
            let appended = pipeline.append(source, &lines, content_type(source), true)?;
            bar.inc(appended.deliveries);
            sent.add(source, appended);
        }
    }
    settle(pipeline, running)?;
    bar.finish_and_clear();
    println!("{}", state_of(pipeline, &month.unwrap_or_default(), sent)?);
    Ok(())
}

/// The portals and the website first: the PMS hears of their bookings later.
fn by_source(wave: &[Delivery]) -> Vec<(&'static str, String)> {
    let mut lines: BTreeMap<&'static str, String> = BTreeMap::new();
    for delivery in wave {
        let text = lines.entry(delivery.source).or_default();
        text.push_str(&delivery.body);
        text.push('\n');
    }
    let mut waves: Vec<_> = lines.into_iter().collect();
    waves.sort_by_key(|(source, _)| *source == "pms");
    waves
}

fn bar(deliveries: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(deliveries);
    if let Ok(style) = ProgressStyle::with_template("  {spinner} {msg:<16} {bar:32} {pos} of {len} deliveries") {
        bar.set_style(style);
    }
    bar
}

/// Waits until everything in the log is decided and written.
fn settle(pipeline: &Pipeline, running: &mut Running) -> Result<()> {
    let started = Instant::now();
    loop {
        let status = running.status()?;
        let partitions = status["partitions"].as_array().context("the running process tells no partitions")?;
        if partitions.iter().all(|partition| partition["next"] == partition["end"]) {
            return Ok(());
        }
        pipeline.still_up(running)?;
        ensure!(
            started.elapsed() < Duration::from_secs(120),
            "concord does not come to an end; see {}",
            pipeline.log_file().display()
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// One calm line: where things stand after `what`.
fn state_of(pipeline: &Pipeline, what: &str, sent: &Sent) -> Result<String> {
    let query = "SELECT (SELECT uniqExact(property, stay) FROM reservations FINAL WHERE outcome = 'accepted') AS accepted, \
                 (SELECT uniqExact(property, stay) FROM reservations FINAL WHERE outcome = 'displaced') AS displaced, \
                 (SELECT count() FROM conflicts) AS conflicts, (SELECT count() FROM dead_letters) AS dead_letters";
    let rows = pipeline.rows(query)?;
    let row = rows.first().context("no answer")?;
    let number = |name: &str| report::grouped(report::number(&row[name]));
    Ok(format!(
        "  {what:<24} {:>6} deliveries so far  {:>5} stays accepted  {:>3} displaced  {:>6} conflict rows  {:>2} dead letters",
        report::grouped(sent.deliveries),
        number("accepted"),
        number("displaced"),
        number("conflicts"),
        number("dead_letters"),
    ))
}
