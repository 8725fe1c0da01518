//! `cargo xtask bench`: first figures of a release build, each against something measured in the same run.
//!
//! Every measurement is a process of its own (this program again, with `run` as its first argument), so that none
//! inherits another's memory, threads or engine. Knows what is run how often and how it is printed.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

mod alone;
mod captured;
mod flow;
mod machine;
mod place;
mod visible;
mod webhooks;
mod workload;
mod wrk;

use flow::Size;

const HELP: &str = "Usage: bench [OPTION=VALUE]...
  runs=N         runs per figure, of which the median is printed (3)
  records=N      records of the throughput runs (300000)
  properties=N   hotels (200)
  probes=N       single confirmations per latency figure (300)
  rate=N         webhooks per second under which single ones are timed (500)
  only=LIST      of: wasm, stages, throughput, latency, webhooks, visible, capture, memory, start (all)
  seed=N         of the records (1)
  limits=TEXT    lines of the pipeline's [limits], separated by `;`
Example: cargo xtask bench -- runs=5 only=throughput,latency";

/// What the command line asks for.
struct Options {
    runs: usize,
    size: Size,
    probes: usize,
    rate: u64,
    only: Vec<String>,
    limits: String,
}

impl Options {
    fn read(words: &[String]) -> Result<Options> {
        let size = Size { seed: 1, properties: 200, records: 300_000 };
        let mut options = Options { runs: 3, size, probes: 300, rate: 500, only: Vec::new(), limits: String::new() };
        for word in words {
            let Some((name, value)) = word.split_once('=') else { bail!("what is `{word}`?\n{HELP}") };
            let number = || value.parse::<u64>().with_context(|| format!("{name} takes a number\n{HELP}"));
            match name {
                "runs" => options.runs = number()?.max(1) as usize,
                "records" => options.size.records = number()?.max(1),
                "properties" => options.size.properties = number()?.max(1),
                "probes" => options.probes = number()?.max(1) as usize,
                "rate" => options.rate = number()?.max(1),
                "seed" => options.size.seed = number()?,
                "only" => options.only = value.split(',').map(str::to_owned).collect(),
                "limits" => options.limits = value.replace(';', "\n"),
                _ => bail!("there is no option `{name}`\n{HELP}"),
            }
        }
        Ok(options)
    }

    fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }
}

fn main() -> Result<()> {
    let begin = Instant::now();
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.iter().any(|word| word == "--help" || word == "-h") {
        println!("{HELP}");
        return Ok(());
    }
    match words.split_first() {
        Some((first, rest)) if first == "run" => {
            let (name, rest) = rest.split_first().context("run what?")?;
            let (dir, rest) = rest.split_first().context("where?")?;
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            let answer = runtime.block_on(run(name, Path::new(dir), rest, begin))?;
            println!("{answer}");
            Ok(())
        }
        _ => report(&Options::read(&words)?),
    }
}

/// One measurement in this process.
async fn run(name: &str, dir: &Path, rest: &[String], begin: Instant) -> Result<Value> {
    let (first, rest) = match rest.split_first() {
        Some((rate, rest)) if name == "latency" => (rate.parse()?, rest),
        _ => (0, rest),
    };
    let Options { size, probes, rate, limits, .. } = Options::read(rest)?;
    // 4 room types times 1,000 nights: with 250 hotels a million room nights.
    let (hotels, nights) = (250, 1_000);
    match name {
        "throughput" => flow::throughput(dir, size, &limits).await,
        "latency" => flow::latency(dir, size, first, probes, &limits).await,
        "webhooks" => webhooks::webhooks(dir, size).await,
        "visible" => visible::visible(dir, size, rate, probes).await,
        "capture" => captured::captured(dir, size, probes),
        "stages" => alone::stages(dir, size).await,
        "wasm" => alone::wasm(dir, size),
        "memory" => alone::memory(hotels, nights),
        "fill" => flow::fill(dir, hotels, nights).await,
        "start" => flow::start(dir, hotels, begin).await,
        other => bail!("there is no measurement `{other}`"),
    }
}

/// Runs a measurement in a process of its own, in `dir`.
fn child(name: &str, dir: &Path, more: &[String]) -> Result<Value> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("run").arg(name).arg(dir).args(more).stderr(std::process::Stdio::inherit());
    // The example on two databases runs the program itself; cargo has built it beside this one.
    if let Some(concord) = std::env::current_exe()?.parent().map(|folder| folder.join("concord-under-test")) {
        command.env("CONCORD_BIN", concord);
    }
    let output = command.output()?;
    ensure!(output.status.success(), "the measurement {name} failed");
    serde_json::from_slice(&output.stdout).with_context(|| format!("what the measurement {name} printed"))
}

fn words(size: Size, options: &Options) -> Vec<String> {
    let Size { seed, properties, records } = size;
    let mut words = vec![format!("seed={seed}"), format!("properties={properties}"), format!("records={records}")];
    words.push(format!("probes={}", options.probes));
    words.push(format!("rate={}", options.rate));
    words.push(format!("limits={}", options.limits));
    words
}

/// The middle one; of an even number the lower of the two.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}

/// The value that so many of a hundred are below.
pub fn percentile(values: impl Iterator<Item = f64>, percent: usize) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get((values.len() * percent / 100).min(values.len().saturating_sub(1))).copied()
}

fn at(value: &Value, path: &str) -> f64 {
    value.pointer(path).and_then(Value::as_f64).unwrap_or(f64::NAN)
}

/// The median of a figure over several runs.
fn middle(runs: &[Value], path: &str) -> f64 {
    median(&mut runs.iter().map(|run| at(run, path)).collect::<Vec<_>>())
}

fn line(what: &str, figure: &str, aim: &str) {
    println!("  {what:<58} {figure:>24}   {aim}");
}

/// `runs` measurements, each in a fresh directory.
fn repeat(name: &str, options: &Options, more: &[String]) -> Result<Vec<Value>> {
    let run = |number| {
        let dir = tempfile::tempdir()?;
        let answer = child(name, dir.path(), more)?;
        eprintln!("{name}, run {number} of {}, load {}: {answer}", options.runs, machine::load());
        Ok(answer)
    };
    (1..=options.runs).map(run).collect()
}

fn report(options: &Options) -> Result<()> {
    let dir = tempfile::tempdir()?;
    println!("Machine");
    for line in machine::describe(dir.path())? {
        println!("  {line}");
    }
    let Size { seed, properties, records } = options.size;
    println!(
        "  runs        {} per figure, medians printed; {records} records, {properties} hotels, seed {seed}",
        options.runs
    );
    if cfg!(debug_assertions) {
        println!("  NOT A RELEASE BUILD: these figures say nothing");
    }
    let everything = words(options.size, options);
    let few = words(Size { records: records.min(100_000), ..options.size }, options);
    if options.wants("wasm") {
        let runs = repeat("wasm", options, &few)?;
        let (guest, plain) = (middle(&runs, "/wasm"), middle(&runs, "/native"));
        println!("Normalizing, one thread, microseconds of processor per record");
        line("as a component, calls of 128, lifted and checked", &format!("{guest:.2}"), "");
        line("the same Rust code compiled natively", &format!("{plain:.2}"), "");
        line("ratio", &format!("{:.2}", guest / plain), "aim 2");
    }
    let mut alone = None;
    if options.wants("stages") {
        let runs = repeat("stages", options, &few)?;
        println!("Stages, each alone, microseconds per record (wall clock / processor)");
        let figures = |name: &str| {
            let of = |kind: &str| middle(&runs, &format!("/{name}/{kind}"));
            format!("{:.2} / {:.2}", of("wall"), of("cpu"))
        };
        for (name, what) in [
            ("log", "read from the log"),
            ("envelope", "read the CloudEvents envelope"),
            ("normalize", "normalize (native.wasm)"),
            ("merge", "merge, rules in plain Rust, no rows kept"),
            ("merge_wasm", "merge, rules in precedence.wasm"),
            ("store", "write decided batches to ClickHouse"),
        ] {
            line(what, &figures(name), "");
        }
        for table in ["conflicts", "reservations", "room_nights", "state"] {
            line(
                &format!("rows of {table} per record, written"),
                &format!("{:.2}", middle(&runs, &format!("/rows/{table}"))),
                "",
            );
        }
        alone = Some((1e6 / middle(&runs, "/store/wall"), 1e6 / middle(&runs, "/merge/wall")));
    }
    let mut rate = 20_000.0;
    if options.wants("throughput") {
        let runs = repeat("throughput", options, &everything)?;
        let records = middle(&runs, "/records");
        rate = records / middle(&runs, "/seconds");
        let cpu = middle(&runs, "/cpu") * 1e6 / records;
        println!("From the log to rows in ClickHouse, all of it: {} partitions", place::PARTITIONS);
        line("records per second", &format!("{rate:.0}"), "aim 50000");
        line("conflict rows per record", &format!("{:.2}", middle(&runs, "/conflicts") / records), "");
        line("processor per record, microseconds, all threads", &format!("{cpu:.1}"), "");
        line("cores kept busy", &format!("{:.2}", middle(&runs, "/cpu") / middle(&runs, "/seconds")), "");
        if let Some((store, merge)) = alone {
            line(
                "of what writing the same rows alone reaches",
                &format!("{store:.0}/s: {:.0} %", rate / store * 100.0),
                "",
            );
            line(
                "of what merging alone reaches on one thread",
                &format!("{merge:.0}/s: {:.0} %", rate / merge * 100.0),
                "",
            );
        }
    }
    if options.wants("latency") {
        let half = rate / 2.0;
        let mut more = vec![format!("{half:.0}")];
        more.extend(few.iter().cloned());
        let runs = repeat("latency", options, &more)?;
        println!("From append to visible, one confirmation, milliseconds (acknowledged, then found by a SELECT)");
        let of = |path: &str| format!("{:.1}", middle(&runs, path));
        line("at rest, p50", &of("/rest/p50"), "aim 30");
        line("at rest, p99", &of("/rest/p99"), "aim 150");
        line("  of that durable in the log, p50", &of("/rest/durable_p50"), "");
        line("  and committed to ClickHouse, p50", &of("/rest/committed_p50"), "");
        let sent = middle(&runs, "/rate");
        line(&format!("at half load ({sent:.0} records/s), p50"), &of("/load/p50"), "aim 30");
        line("at half load, p99", &of("/load/p99"), "aim 150");
        line("  most records waiting at once", &format!("{:.0}", middle(&runs, "/most_behind")), "");
    }
    if options.wants("webhooks") {
        let runs = repeat("webhooks", options, &few)?;
        let clients = match wrk::program() {
            Some(_) => "sent by wrk",
            None => "sent by the same process, for wrk is not installed (Debian: apt-get install wrk)",
        };
        println!("Webhooks answered durably on loopback, 64 senders that wait for each answer, {clients}");
        for (name, what) in [("gateway", "the gateway"), ("bare", "a bare server that only syncs")] {
            let of = |path: &str| middle(&runs, &format!("/{name}/{path}"));
            line(&format!("{what}, per second"), &format!("{:.0}", of("per_second")), "");
            line("  until the answer, p50 and p99, ms", &format!("{:.1} / {:.1}", of("p50"), of("p99")), "");
        }
    }
    if options.wants("visible") {
        let runs = repeat("visible", options, &few)?;
        println!("From a webhook to visible, one confirmation, milliseconds (sent, answered, then found by a SELECT)");
        let of = |path: &str| format!("{:.1}", middle(&runs, path));
        let both = |name: &str| format!("{} / {}", of(&format!("/{name}/p50")), of(&format!("/{name}/p99")));
        line("at rest, p50 and p99", &both("rest"), "");
        line("  of that until the answer, p50", &of("/rest/answered_p50"), "");
        let sent = middle(&runs, "/rate");
        line(&format!("among {sent:.0} webhooks per second, p50 and p99"), &both("load"), "");
        line("  of that until the answer, p50", &of("/load/answered_p50"), "");
    }
    if options.wants("capture") && !captured::possible() {
        println!("From a commit to visible: not measured (Debian: apt-get install postgresql mariadb-server)");
    } else if options.wants("capture") {
        let runs = repeat("capture", options, &few)?;
        let load = middle(&runs, "/transactions_per_second");
        println!("From a commit to visible, milliseconds, under the example's load ({load:.0} transactions/s on both)");
        for (name, what) in [("mariadb", "MariaDB"), ("postgresql", "PostgreSQL")] {
            let of = |path: &str| middle(&runs, &format!("/{name}/{path}"));
            line(&format!("{what}, p50 and p99"), &format!("{:.1} / {:.1}", of("p50"), of("p99")), "");
            line("  of that one question to ClickHouse, mean", &format!("{:.1}", of("question")), "");
        }
    }
    if options.wants("memory") {
        let runs = repeat("memory", options, &[])?;
        println!("Memory, a million room nights with three claims each");
        line("resident, MB", &format!("{:.0}", middle(&runs, "/resident") / 1e6), "aim 500");
        line("what the cache takes it for, MB", &format!("{:.0}", middle(&runs, "/weight") / 1e6), "");
    }
    if options.wants("start") {
        let filled = child("fill", dir.path(), &[])?;
        eprintln!("fill: {filled}");
        ensure!(at(&filled, "/room_nights") == 1e6, "a million room nights");
        let mut runs = Vec::new();
        for number in 1..=options.runs {
            let answer = child("start", dir.path(), &[])?;
            eprintln!("start, run {number} of {}, load {}: {answer}", options.runs, machine::load());
            runs.push(answer);
        }
        println!("A start with {:.0} room nights of state, milliseconds", at(&filled, "/room_nights"));
        line("log, engine and tables open", &format!("{:.0}", middle(&runs, "/opened")), "");
        line("then every partition reads", &format!("{:.0}", middle(&runs, "/reading")), "aim 500");
        line(
            "then a booking for a hotel of 4,000 room nights is visible",
            &format!("{:.0}", middle(&runs, "/first_booking")),
            "",
        );
    }
    println!("load {} after the last run", machine::load());
    Ok(())
}
