//! From a webhook to a row that a SELECT finds: the real gateway, the workers and the embedded ClickHouse in one process, as
//! `concord run` has them.
//!
//! The clock starts before the first byte of the request is sent. After the answer ClickHouse is asked again and again until it
//! shows the stay, so a figure is exact to one question. At rest, and while other webhooks come in at a given rate.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use concord::gateway::Gateway;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::flow::Size;
use crate::place::{self, Open, PARTITIONS};
use crate::webhooks::{next, request};
use crate::workload::{Hotels, Message};

/// Who sends the load: each waits for its answer, and then for its next request's turn.
const SENDERS: u64 = 32;
/// Until a webhook has to be visible.
const PATIENCE: Duration = Duration::from_secs(60);

/// Milliseconds since before the request.
struct Seen {
    answered: f64,
    visible: f64,
}

/// One sender's connection.
struct Sender {
    stream: TcpStream,
    seen: Vec<u8>,
}

impl Sender {
    async fn connect(address: SocketAddr) -> Result<Sender> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Sender { stream, seen: Vec::new() })
    }

    /// Sends a request; returns when it has been answered with success.
    async fn send(&mut self, request: &[u8]) -> Result<()> {
        self.stream.write_all(request).await?;
        next(&mut self.stream, &mut self.seen).await?.context("an answer")?;
        Ok(())
    }
}

/// `probes` single confirmations at rest, then as many, one each 100 ms, among `rate` webhooks per second.
pub async fn visible(dir: &Path, size: Size, rate: u64, probes: usize) -> Result<Value> {
    let open = Open::new(place::pipeline_with_doors(dir, size.properties)?).await?;
    let mut hotels = Hotels::new(size.seed, size.properties);
    // Bookings and prices that are there already.
    open.append((0..size.records).map(|_| hotels.message())).await?;
    open.until_idle().await?;
    let running = open.run();
    while (0..PARTITIONS).any(|partition| open.shared.progress(partition).next().is_none()) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let settings = open.pipeline.file.gateway.clone().context("[gateway]")?;
    let host = open.pipeline.host()?;
    let gateway = Gateway::open(&settings, open.log.clone(), &host, open.shared.in_force()).await?;
    let mut sender = Sender::connect(gateway.address()).await?;
    let (mut rest, mut number) = (Vec::new(), 0);
    for _ in 0..probes {
        number += 1;
        rest.push(probe(&open, &mut sender, &hotels.confirmation(), number).await?);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Enough for a second per probe: the load has to outlast them.
    let count = rate * (probes as u64 + 10);
    let requests: Vec<Vec<u8>> = (1..=count).map(|more| request(&hotels.message(), number + more)).collect();
    number += count;
    let load = Load::start(gateway.address(), requests, rate);
    // A second to settle.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut loaded = Vec::new();
    let mut interval = tokio::time::interval(Duration::from_millis(100));
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for _ in 0..probes {
        interval.tick().await;
        number += 1;
        loaded.push(probe(&open, &mut sender, &hotels.confirmation(), number).await?);
    }
    let (sent_per_second, enough) = load.stop().await?;
    ensure!(enough, "the load was over before the last probe");
    gateway.close().await;
    running.stop().await?;
    open.close().await;
    Ok(json!({ "rest": summary(&rest), "load": summary(&loaded), "rate": sent_per_second }))
}

async fn probe(open: &Open, sender: &mut Sender, message: &Message, number: u64) -> Result<Seen> {
    let request = request(message, number);
    let sql = format!(
        "SELECT count() FROM reservations WHERE property = '{}' AND date = '{}' AND stay = '{}'",
        message.property, message.date, message.stay
    );
    let start = Instant::now();
    sender.send(&request).await?;
    let answered = start.elapsed().as_secs_f64() * 1000.0;
    while open.number(&sql).await? == 0.0 {
        ensure!(start.elapsed() < PATIENCE, "after {PATIENCE:?} `{sql}` finds nothing");
    }
    Ok(Seen { answered, visible: start.elapsed().as_secs_f64() * 1000.0 })
}

fn summary(seen: &[Seen]) -> Value {
    let percentile = |of: fn(&Seen) -> f64, percent: usize| crate::percentile(seen.iter().map(of), percent);
    json!({
        "probes": seen.len(),
        "answered_p50": percentile(|s| s.answered, 50),
        "p50": percentile(|s| s.visible, 50),
        "p99": percentile(|s| s.visible, 99),
        "worst": percentile(|s| s.visible, 100),
    })
}

/// Webhooks that come in at a rate, whatever happens to them.
struct Load {
    senders: JoinSet<Result<bool>>,
    over: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    start: Instant,
}

impl Load {
    fn start(address: SocketAddr, requests: Vec<Vec<u8>>, rate: u64) -> Load {
        let (requests, start) = (Arc::new(requests), Instant::now());
        let (over, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut senders = JoinSet::new();
        for first in 0..SENDERS {
            let (requests, over, sent) = (requests.clone(), over.clone(), sent.clone());
            senders.spawn(async move {
                let mut sender = Sender::connect(address).await?;
                for (turn, request) in (0..).zip(requests.iter()).skip(first as usize).step_by(SENDERS as usize) {
                    let due = start + Duration::from_secs_f64(f64::from(turn) / rate as f64);
                    tokio::time::sleep_until(due.into()).await;
                    if over.load(Ordering::Acquire) {
                        return Ok(true);
                    }
                    sender.send(request).await?;
                    sent.fetch_add(1, Ordering::Relaxed);
                }
                Ok(false)
            });
        }
        Load { senders, over, sent, start }
    }

    /// How many were answered per second, and whether there would have been more.
    async fn stop(mut self) -> Result<(f64, bool)> {
        self.over.store(true, Ordering::Release);
        let rate = self.sent.load(Ordering::Relaxed) as f64 / self.start.elapsed().as_secs_f64();
        let mut enough = true;
        while let Some(ended) = self.senders.join_next().await {
            enough &= ended??;
        }
        Ok((rate, enough))
    }
}
