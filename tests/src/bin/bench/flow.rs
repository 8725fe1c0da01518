//! The whole way, from the log to ClickHouse: how much per second, and how long one record takes.
//!
//! Each function is a run in a process of its own and answers with one JSON object.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use concord::log::{Log, NewRecord, Partition};
use concord::worker::checkpoint::Counts;
use serde_json::{Value, json};

use crate::machine::Watch;
use crate::place::{self, Open, PARTITIONS};
use crate::workload::{Hotels, Message};

/// How large a run is.
#[derive(Clone, Copy)]
pub struct Size {
    pub seed: u64,
    pub properties: u64,
    pub records: u64,
}

fn counts(open: &Open) -> Counts {
    let mut counts = Counts::default();
    open.shared.all_progress().iter().for_each(|progress| counts.add(&progress.counts()));
    counts
}

/// Every record has to be merged, or it was another job.
fn check(open: &Open, records: u64) -> Result<()> {
    let counts = counts(open);
    ensure!(counts.merged == records, "{records} records were appended, this became of all records: {counts:?}");
    Ok(())
}

/// Records per second, from a log that holds them all until the last is written.
pub async fn throughput(dir: &Path, size: Size, limits: &str) -> Result<Value> {
    let open = Open::new(place::pipeline(dir, size.properties, limits)?).await?;
    open.until_idle().await?;
    let mut hotels = Hotels::new(size.seed, size.properties);
    let mut bytes = 0;
    let messages = (0..size.records).map(|_| hotels.message()).inspect(|message| bytes += message.body.len());
    open.append(messages).await?;
    let watch = Watch::start();
    open.until_idle().await?;
    let (seconds, cpu) = watch.read();
    check(&open, size.records)?;
    let parts = open
        .ask("SELECT table, count() FROM system.parts WHERE active AND database = 'concord' GROUP BY table ORDER BY 2 DESC LIMIT 1")
        .await?;
    let answer = json!({
        "records": size.records,
        "body_bytes": bytes / size.records as usize,
        "seconds": seconds,
        "cpu": cpu,
        "conflicts": open.number("SELECT count() FROM conflicts").await?,
        "displaced": open.number("SELECT count() FROM conflicts WHERE decision = 'displaced'").await?,
        "room_nights": open.number("SELECT count() FROM room_nights FINAL").await?,
        "reservations": open.number("SELECT count() FROM reservations FINAL").await?,
        "parts": parts.replace('\t', " "),
    });
    open.close().await;
    Ok(answer)
}

/// One confirmation's way: appended, committed, seen by a query. Milliseconds since before the append.
struct Seen {
    durable: f64,
    committed: f64,
    seen: f64,
}

async fn probe(open: &Open, message: &Message) -> Result<Seen> {
    let (partition, record) = message.record(PARTITIONS)?;
    let start = Instant::now();
    let millis = || start.elapsed().as_secs_f64() * 1000.0;
    let offset = open.log.append(partition, vec![record]).await?;
    let durable = millis();
    while open.shared.progress(partition).next().is_none_or(|next| next <= offset) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let committed = millis();
    let sql = format!(
        "SELECT count() FROM reservations WHERE property = '{}' AND date = '{}' AND stay = '{}'",
        message.property, message.date, message.stay
    );
    ensure!(open.number(&sql).await? > 0.0, "committed, and `{sql}` finds nothing");
    Ok(Seen { durable, committed, seen: millis() })
}

fn summary(seen: &[Seen]) -> Value {
    let percentile = |of: fn(&Seen) -> f64, percent: usize| crate::percentile(seen.iter().map(of), percent);
    json!({
        "probes": seen.len(),
        "durable_p50": percentile(|s| s.durable, 50),
        "committed_p50": percentile(|s| s.committed, 50),
        "p50": percentile(|s| s.seen, 50),
        "p99": percentile(|s| s.seen, 99),
        "worst": percentile(|s| s.seen, 100),
    })
}

/// From append to visible for single confirmations: at rest, then while `rate` records per second come in.
pub async fn latency(dir: &Path, size: Size, rate: u64, probes: usize, limits: &str) -> Result<Value> {
    let open = Open::new(place::pipeline(dir, size.properties, limits)?).await?;
    let mut hotels = Hotels::new(size.seed, size.properties);
    open.append((0..size.records).map(|_| hotels.message())).await?;
    open.until_idle().await?;
    let running = open.run();
    while (0..PARTITIONS).any(|partition| open.shared.progress(partition).next().is_none()) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut rest = Vec::new();
    for _ in 0..probes {
        rest.push(probe(&open, &hotels.confirmation()).await?);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Under load a probe every 100 ms: first a second to settle, then those that count.
    let every = Duration::from_millis(100);
    let seconds = 2 + probes as u64 / 10;
    let load: Vec<(Partition, NewRecord)> =
        (0..rate * (seconds + 3)).map(|_| hotels.message().record(PARTITIONS)).collect::<Result<_>>()?;
    let (log, start) = (open.log.clone(), Instant::now());
    let feeder = tokio::spawn(async move {
        let mut load = load.into_iter();
        let mut sent = 0;
        while start.elapsed().as_secs() < seconds {
            let due = (start.elapsed().as_secs_f64() * rate as f64) as u64;
            let mut batches = vec![Vec::new(); PARTITIONS as usize];
            for (partition, record) in load.by_ref().take((due - sent) as usize) {
                batches[partition as usize].push(record);
            }
            sent = due;
            for (partition, records) in (0..).zip(batches) {
                log.append(partition, records).await?;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        anyhow::Ok(sent)
    });
    let watch = Watch::start();
    let (mut loaded, mut behind) = (Vec::new(), 0);
    let mut interval = tokio::time::interval(every);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !feeder.is_finished() {
        interval.tick().await;
        let seen = probe(&open, &hotels.confirmation()).await?;
        if start.elapsed() > Duration::from_secs(1) && !feeder.is_finished() {
            loaded.push(seen);
        }
        behind = behind.max(lag(&open).await?);
    }
    let (took, cpu) = watch.read();
    let sent = feeder.await.context("the feeder")??;
    let parts = open.ask("SELECT max(n) FROM (SELECT count() AS n FROM system.parts WHERE active AND database = 'concord' GROUP BY table, partition)").await?;
    running.stop().await?;
    let mut answer = json!({ "rest": summary(&rest), "load": summary(&loaded) });
    answer["rate"] = json!(sent as f64 / took);
    answer["cpu_share"] = json!(cpu / took);
    answer["most_behind"] = json!(behind);
    answer["most_parts"] = json!(parts);
    open.close().await;
    Ok(answer)
}

/// Records in the log that are not written yet.
async fn lag(open: &Open) -> Result<u64> {
    let mut behind = 0;
    for partition in 0..PARTITIONS {
        let (_, end) = open.log.bounds(partition).await?;
        behind += end - open.shared.progress(partition).next().unwrap_or(end);
    }
    Ok(behind)
}

/// Three claims on each of `properties` times 4 times `nights` room nights, through the log into ClickHouse.
pub async fn fill(dir: &Path, properties: u64, nights: i32) -> Result<Value> {
    let open = Open::new(place::pipeline(dir, properties, "cache = \"4GiB\"")?).await?;
    open.append((0..properties).flat_map(|property| Hotels::three_claims(property, nights, 250))).await?;
    let watch = Watch::start();
    open.until_idle().await?;
    let (seconds, _) = watch.read();
    let room_nights = open.number("SELECT count() FROM room_nights FINAL").await?;
    let state = open.number("SELECT count() FROM state").await?;
    open.close().await;
    Ok(json!({ "room_nights": room_nights, "state_rows": state, "seconds": seconds }))
}

/// A start on what `fill` left: until every partition reads, and until a first booking is seen.
pub async fn start(dir: &Path, properties: u64, begin: Instant) -> Result<Value> {
    let millis = || begin.elapsed().as_secs_f64() * 1000.0;
    let open = Open::new(place::pipeline(dir, properties, "cache = \"4GiB\"")?).await?;
    let opened = millis();
    let running = open.run();
    while (0..PARTITIONS).any(|partition| open.shared.progress(partition).next().is_none()) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let reading = millis();
    let seen = probe(&open, &Hotels::new(9, properties).confirmation()).await?;
    running.stop().await?;
    open.close().await;
    Ok(json!({ "opened": opened, "reading": reading - opened, "first_booking": seen.seen }))
}
