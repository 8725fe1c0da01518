//! From a commit in a database to a row that ClickHouse shows.
//!
//! The clock starts when the database has confirmed the commit; ClickHouse is asked again and again until it shows the value. So a
//! figure is exact to one question, whose own time is told beside it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::load::PROBE;

/// Until a change has to be visible.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long single changes took.
#[derive(Clone, Debug)]
pub struct Figure {
    /// Sorted.
    took: Vec<Duration>,
    /// Of one question to ClickHouse.
    question: Duration,
}

impl Figure {
    /// The time that this share of the changes did not exceed.
    pub fn quantile(&self, share: f64) -> Duration {
        let last = self.took.len().saturating_sub(1);
        // The share is between 0 and 1.
        let place = (share * last as f64).ceil() as usize;
        self.took.get(place.min(last)).copied().unwrap_or_default()
    }

    /// The mean time of one question to ClickHouse.
    pub fn question(&self) -> Duration {
        self.question
    }

    /// How many changes were timed.
    pub fn changes(&self) -> usize {
        self.took.len()
    }
}

impl std::fmt::Display for Figure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let millis = |time: Duration| time.as_secs_f64() * 1e3;
        write!(
            f,
            "p50 {:.1} ms, p99 {:.1} ms ({} changes; a question to ClickHouse {:.1} ms)",
            millis(self.quantile(0.5)),
            millis(self.quantile(0.99)),
            self.took.len(),
            millis(self.question)
        )
    }
}

/// Times changes: `commit` makes one and says by which condition it is seen.
pub fn probe(watch: &Watch, count: u32, mut commit: impl FnMut(u32) -> Result<String>) -> Result<Figure> {
    let mut connection = watch.connect()?;
    let (mut took, mut questions, mut asking) = (Vec::new(), 0_u32, Duration::ZERO);
    for round in 0..count {
        let seen = commit(round)?;
        let query = format!("SELECT count() FROM room_nights FINAL WHERE {PROBE} AND {seen}");
        let committed = Instant::now();
        loop {
            let asked = Instant::now();
            let answer = connection.ask(&query)?;
            (questions, asking) = (questions + 1, asking + asked.elapsed());
            if answer.trim() == "1" {
                break;
            }
            ensure!(committed.elapsed() < PATIENCE, "a change is not visible after {PATIENCE:?}: {seen}");
        }
        took.push(committed.elapsed());
    }
    took.sort();
    Ok(Figure { took, question: asking / questions.max(1) })
}

/// Where the running process's ClickHouse is.
pub struct Watch {
    address: String,
    user: String,
    password: String,
    database: String,
}

struct Connection<'a> {
    watch: &'a Watch,
    stream: BufReader<TcpStream>,
}

impl Watch {
    /// From `run.json`.
    pub fn new(run_file: &Value) -> Result<Watch> {
        let text = |name: &str| run_file[name].as_str().map(str::to_owned).with_context(|| format!("run.json: {name}"));
        let address = text("address")?.trim_start_matches("http://").to_owned();
        Ok(Watch { address, user: text("user")?, password: text("password")?, database: text("database")? })
    }

    fn connect(&self) -> Result<Connection<'_>> {
        let stream = TcpStream::connect(&self.address).context("ClickHouse does not answer")?;
        stream.set_nodelay(true)?;
        Ok(Connection { watch: self, stream: BufReader::new(stream) })
    }
}

impl Connection<'_> {
    /// One query by HTTP on a connection that stays.
    fn ask(&mut self, query: &str) -> Result<String> {
        let Watch { address, user, password, database } = self.watch;
        let request = format!(
            "POST /?database={database} HTTP/1.1\r\nHost: {address}\r\nX-ClickHouse-User: {user}\r\nX-ClickHouse-Key: {password}\r\n\
             Content-Length: {}\r\n\r\n{query}",
            query.len()
        );
        self.stream.get_mut().write_all(request.as_bytes())?;
        let (mut length, mut chunked, mut line, mut head) = (0, false, String::new(), String::new());
        loop {
            line.clear();
            ensure!(self.stream.read_line(&mut line)? > 0, "ClickHouse has ended the connection");
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
            chunked |= lower.starts_with("transfer-encoding:") && lower.contains("chunked");
            if line == "\r\n" {
                break;
            }
            head.push_str(&line);
        }
        let body = if chunked { self.chunks()? } else { self.exactly(length)? };
        ensure!(head.contains(" 200 "), "ClickHouse: {head}{body}");
        Ok(body)
    }

    fn exactly(&mut self, length: usize) -> Result<String> {
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(String::from_utf8(body)?)
    }

    fn chunks(&mut self) -> Result<String> {
        let mut body = String::new();
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line)?;
            let length = usize::from_str_radix(line.trim(), 16)?;
            body.push_str(&self.exactly(length)?);
            // The line break behind it.
            self.exactly(2)?;
            if length == 0 {
                return Ok(body);
            }
        }
    }
}
