//! Webhooks answered durably on loopback, against a bare server that only syncs.
//!
//! Both get the same requests from the same clients: `wrk` where it is installed, else senders in this process. The bare one
//! reads a request, hands its body to one thread that writes whatever waits and syncs once for all of it, and answers: what is
//! left when nothing is checked, split, keyed or logged.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use concord::config::Proposal;
use concord::gateway::Gateway;
use concord::log::Log;
use concord::log::embedded::{EmbeddedLog, OpenOptions};
use concord::plugin::Host;
use concord::worker::InForce;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};

use crate::flow::Size;
use crate::place::{self, PARTITIONS, TOKEN};
use crate::workload::{Hotels, Message};
use crate::wrk;

/// Senders at a time, each waiting for its answer.
pub const CONNECTIONS: usize = 64;

/// Both servers, one after the other.
pub async fn webhooks(dir: &Path, size: Size) -> Result<Value> {
    let mut hotels = Hotels::new(size.seed, size.properties);
    let requests: Vec<Vec<u8>> = (0..size.records).map(|number| request(&hotels.message(), number)).collect();
    let bytes = requests.iter().map(Vec::len).sum::<usize>() / requests.len().max(1);
    let wrk = wrk::Wrk::find(dir, &requests)?;
    let load = async |address: SocketAddr| match &wrk {
        Some(wrk) => wrk.send(address).await,
        None => send(address, &requests).await,
    };
    let gateway = gateway(dir, size).await?;
    let answered = load(gateway.address()).await.context("the gateway")?;
    gateway.close().await;
    let bare = bare(dir).await?;
    let compared = load(bare).await.context("the bare server")?;
    Ok(json!({ "request_bytes": bytes, "gateway": answered, "bare": compared }))
}

/// A message as its sender posts it.
pub fn request(message: &Message, number: u64) -> Vec<u8> {
    let Message { source, body, .. } = message;
    let length = body.len();
    let head = format!(
        "POST /{source} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {TOKEN}\r\ncontent-type: application/json\r\n\
         webhook-id: d-{number}\r\ncontent-length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body.as_bytes()].concat()
}

async fn gateway(dir: &Path, size: Size) -> Result<Gateway<EmbeddedLog>> {
    let file = place::pipeline_with_doors(dir, size.properties)?.file;
    let proposal = Proposal::read(&file)?;
    let plugins: BTreeMap<_, _> = proposal.plugin_bytes.iter().map(|(d, b)| (*d, b.clone())).collect();
    let known = Arc::new(InForce { sequence: 1, document: proposal.document, plugins });
    let options = OpenOptions { partitions: PARTITIONS, ..OpenOptions::default() };
    let log = Arc::new(EmbeddedLog::open(&dir.join("webhooks"), options)?);
    ensure!(log.identity().partitions == PARTITIONS, "a log of its own");
    let settings = file.gateway.context("[gateway]")?;
    let in_force = watch::Sender::new(Some(known));
    Ok(Gateway::open(&settings, log, &Host::new(&dir.join("compiled"))?, in_force.subscribe()).await?)
}

/// A body, and who waits for it.
type Waiting = (Vec<u8>, oneshot::Sender<()>);

async fn bare(dir: &Path) -> Result<SocketAddr> {
    let mut file = std::fs::File::create(dir.join("bare"))?;
    let (sender, receiver) = std::sync::mpsc::channel::<Waiting>();
    std::thread::spawn(move || -> std::io::Result<()> {
        while let Ok(first) = receiver.recv() {
            let mut waiting = vec![first];
            waiting.extend(receiver.try_iter());
            waiting.iter().try_for_each(|(body, _)| file.write_all(body))?;
            file.sync_data()?;
            // Whoever has hung up needs no answer.
            waiting.into_iter().for_each(|(_, done)| _ = done.send(()));
        }
        Ok(())
    });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, sender.clone()));
        }
    });
    Ok(address)
}

async fn serve(mut stream: TcpStream, writer: std::sync::mpsc::Sender<Waiting>) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut seen = Vec::new();
    while let Some(body) = next(&mut stream, &mut seen).await? {
        let (done, waits) = oneshot::channel();
        writer.send((body, done))?;
        waits.await?;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await?;
    }
    Ok(())
}

/// The body of the next request or answer; `None` at the end.
pub async fn next(stream: &mut TcpStream, seen: &mut Vec<u8>) -> Result<Option<Vec<u8>>> {
    loop {
        if let Some(head) = seen.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4) {
            let text = std::str::from_utf8(&seen[..head])?.to_ascii_lowercase();
            ensure!(text.starts_with("post ") || text.contains(" 200 "), "this is no success: {text}");
            let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
            let end = head + length.context("a length")?.trim().parse::<usize>()?;
            if seen.len() >= end {
                let rest = seen.split_off(end);
                return Ok(Some(std::mem::replace(seen, rest).split_off(head)));
            }
        }
        if stream.read_buf(seen).await? == 0 {
            return Ok(None);
        }
    }
}

/// Sends everything, each sender its share, one after the other.
async fn send(address: SocketAddr, requests: &[Vec<u8>]) -> Result<Value> {
    let begin = Instant::now();
    let mut senders = Vec::new();
    for number in 0..CONNECTIONS {
        let share: Vec<Vec<u8>> = requests.iter().skip(number).step_by(CONNECTIONS).cloned().collect();
        senders.push(tokio::spawn(async move {
            let mut stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let (mut seen, mut times) = (Vec::new(), Vec::new());
            for request in share {
                let sent = Instant::now();
                stream.write_all(&request).await?;
                next(&mut stream, &mut seen).await?.context("an answer")?;
                times.push(sent.elapsed().as_secs_f64() * 1000.0);
            }
            Ok::<_, anyhow::Error>(times)
        }));
    }
    let mut times = Vec::new();
    for sender in senders {
        times.extend(sender.await??);
    }
    let seconds = begin.elapsed().as_secs_f64();
    times.sort_by(f64::total_cmp);
    let percentile = |percent: usize| times.get(times.len() * percent / 100).copied();
    Ok(json!({ "per_second": times.len() as f64 / seconds, "p50": percentile(50), "p99": percentile(99) }))
}
