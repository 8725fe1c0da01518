//! A polled HTTP endpoint: asked again and again, each new answer is a delivery.
//!
//! ```text
//! remembered (cursor, validators) -> question (client) -> answer -> in the log -> remembered
//! ```
//!
//! What is remembered moves only when the answer is durable, so that a crash asks the same question again. An answer has no
//! id of its own: its content's hash is one. Knows when to ask, and what an answer means for the next question; `client`
//! knows HTTP, `memory` what is kept.

mod client;
mod memory;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, ETAG, HeaderMap, LAST_MODIFIED, RETRY_AFTER};
use hyper::{StatusCode, Uri};
use serde_json::Value;
use tokio::sync::watch;

use self::client::{Answer, Client};
use self::memory::{Memory, Remembered};
use super::desk::DeskError;
use super::secret::SecretError;
use super::{Gathered, Inlet, backoff, rest};
use crate::config::{Cursor, CursorPlace, Poll};
use crate::event::sha256_hex;
use crate::log::{Log, LogError};
use crate::plugin::Delivery;
use crate::worker::now_millis;

/// No endpoint makes Concord wait for longer, whatever it says.
const LONGEST: Duration = Duration::from_secs(86_400);

/// Why an endpoint cannot be asked, or its answer not be taken now.
#[derive(Debug, thiserror::Error)]
pub enum PollError {
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error("there is no TLS: {0}")]
    Tls(String),
    #[error("{0} cannot be asked: it is no address any more with the cursor in it")]
    Address(String),
    #[error("no answer: {0}")]
    Unanswered(String),
    #[error("no whole answer within {} s", .0.as_secs_f64())]
    Slow(Duration),
    #[error("the answer has more than {0} bytes (body_limit): ask for smaller pages, or raise it")]
    TooLarge(usize),
    #[error("the answer is no gzip, though its head says so")]
    NoGzip,
    #[error("it answers {status}{}", advice(*.status))]
    Status { status: StatusCode, retry: Option<Duration> },
    #[error("{}: {why}", path.display())]
    Memory { path: PathBuf, why: String },
    #[error("a part of the answer cannot be in the log, so that the cursor does not move: {0}")]
    Refused(String),
    #[error(transparent)]
    Desk(#[from] DeskError),
    #[error("the log does not take anything: {0}")]
    Log(#[from] LogError),
    #[error("an answer could not be looked at: {0}")]
    Task(String),
}

/// What to do about a status.
fn advice(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 | 403 => ": check `auth`, and that its secret is still valid",
        404 | 410 => ": check `url`",
        300..=399 => ": write the address that it leads to into `url`",
        406 | 415 => ": check `headers`",
        _ => "",
    }
}

/// What came of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// It has nothing new, or says everything for now.
    AllForNow,
    /// The cursor has moved, and the next page is to be asked for at once.
    More,
}

/// One source's endpoint.
pub(super) struct Asking<L> {
    settings: Poll,
    inlet: Inlet<L>,
    client: Client,
    memory: Memory,
    stop: watch::Receiver<bool>,
}

impl<L: Log> Asking<L> {
    /// Reads certificates, the secret, and what is remembered.
    pub fn open(
        settings: Poll,
        inlet: Inlet<L>,
        data_dir: &Path,
        stop: watch::Receiver<bool>,
    ) -> Result<Asking<L>, PollError> {
        let client = Client::new(&settings)?;
        client.headers(&settings, &Remembered::default())?;
        let memory = Memory::open(&data_dir.join("poll"), inlet.desk.source(), &settings.url)?;
        Ok(Asking { settings, inlet, client, memory, stop })
    }

    /// Until told to stop.
    pub async fn run(mut self) {
        let (mut failures, mut stop) = (0, self.stop.clone());
        loop {
            let asked = tokio::select! {
                asked = self.ask() => asked,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            self.inlet.pulse.alive(asked.is_ok());
            let wait = match &asked {
                Ok(Asked::More) => Duration::ZERO,
                Ok(Asked::AllForNow) => self.settings.every,
                Err(PollError::Desk(DeskError::NotYet)) => backoff(self.settings.every, 1),
                Err(why) => {
                    failures += 1;
                    let wait = pause(why, self.settings.every, failures);
                    let (source, url) = (self.inlet.desk.source(), place(&self.settings.url));
                    tracing::warn!(%source, "{url}: asking again in {} s: {why}", wait.as_secs_f64());
                    wait
                }
            };
            if asked.is_ok() {
                failures = 0;
            }
            if !rest(wait, &mut stop).await {
                return;
            }
        }
    }

    /// One question, its answer into the log, and what it means for the next one. May be dropped anywhere: then the
    /// question is asked again.
    async fn ask(&mut self) -> Result<Asked, PollError> {
        let known = self.memory.known().clone();
        let uri = question(&self.settings, &known)?;
        let headers = self.client.headers(&self.settings, &known)?;
        let answer = self.client.get(uri, headers).await?;
        match answer.status {
            StatusCode::OK => {}
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED => {
                self.heard();
                return Ok(Asked::AllForNow);
            }
            status => return Err(PollError::Status { status, retry: retry_after(&answer.headers, SystemTime::now()) }),
        }
        let next = next(&self.settings, &known, &answer);
        let same = next.body.is_some() && next.body == known.body;
        if !answer.body.is_empty() && !same {
            self.deliver(answer).await?;
        }
        self.heard();
        let more = next.cursor != known.cursor && self.settings.cursor.as_ref().is_some_and(|cursor| cursor.drain);
        self.memory.keep(next)?;
        Ok(if more { Asked::More } else { Asked::AllForNow })
    }

    /// The answer into the log; durable when it returns.
    async fn deliver(&self, answer: Answer) -> Result<(), PollError> {
        let given = || answer.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let content_type = self.settings.content_type.clone().unwrap_or_else(|| given().to_owned());
        let attributes = self.settings.attributes.clone();
        let delivery = Delivery { content_type, attributes, body: answer.body };
        let desk = self.inlet.desk.clone();
        let split = tokio::task::spawn_blocking(move || desk.deliver(delivery, None, now_millis())).await;
        let delivered = split.map_err(|error| PollError::Task(error.to_string()))??;
        if !delivered.refused.is_empty() {
            return Err(PollError::Refused(delivered.refused.join("; ")));
        }
        let source = self.inlet.desk.source();
        if let Some(reason) = &delivered.rejected {
            tracing::warn!(%source, "an answer is a dead letter: {reason}");
        }
        if delivered.masked.any() {
            let masked = delivered.masked;
            tracing::warn!(%source, "masked before the log: {} card numbers, {} security codes", masked.cards, masked.codes);
        }
        let mut gathered = Gathered::default();
        delivered.records.into_iter().for_each(|(partition, record)| gathered.add(partition, record));
        gathered.append(&*self.inlet.log).await?;
        self.inlet.pulse.hear(delivered.heard);
        Ok(())
    }

    /// The endpoint has answered: if it is one property's, that property has been heard, whether it had anything to say or not.
    fn heard(&self) {
        let property = self.settings.attributes.iter().find(|(name, _)| name == "property");
        let known = property.and_then(|(_, code)| self.inlet.desk.property(code));
        self.inlet.pulse.hear(known);
    }
}

/// The address without its query, which may hold what is nobody's business.
fn place(url: &str) -> &str {
    url.split('?').next().unwrap_or(url)
}

fn question(settings: &Poll, known: &Remembered) -> Result<Uri, PollError> {
    let mut text = settings.url.clone();
    if let Some(Cursor { parameter, first, .. }) = &settings.cursor
        && let Some(value) = known.cursor.as_ref().or(first.as_ref())
    {
        text.push(if text.contains('?') { '&' } else { '?' });
        text.push_str(&format!("{}={}", escaped(parameter), escaped(value)));
    }
    text.parse().map_err(|_| PollError::Address(place(&settings.url).to_owned()))
}

/// RFC 3986: everything but unreserved characters.
fn escaped(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}

/// What is to be remembered of an answer.
fn next(settings: &Poll, known: &Remembered, answer: &Answer) -> Remembered {
    let text = |name| answer.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let found = settings.cursor.as_ref().and_then(|cursor| match &cursor.from {
        CursorPlace::Header(name) => answer.headers.get(name.as_str())?.to_str().ok().map(str::to_owned),
        CursorPlace::Pointer(pointer) => pointed(&answer.body, pointer),
    });
    let cursor = found.filter(|cursor| !cursor.is_empty()).or_else(|| known.cursor.clone());
    // Validators and content belong to one question: with another cursor it is another one.
    let same = cursor == known.cursor;
    Remembered {
        etag: text(ETAG).filter(|_| same),
        last_modified: text(LAST_MODIFIED).filter(|_| same),
        body: same.then(|| sha256_hex(&answer.body)),
        cursor,
    }
}

/// A string or a number in a JSON document.
fn pointed(body: &Bytes, pointer: &str) -> Option<String> {
    let document: Value = serde_json::from_slice(body).ok()?;
    match document.pointer(pointer)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// How long to wait after a failure: as the endpoint says, else longer each time.
fn pause(why: &PollError, every: Duration, failures: u32) -> Duration {
    match why {
        PollError::Status { retry: Some(wait), .. } => (*wait).min(LONGEST),
        _ => backoff(every, failures),
    }
}

/// RFC 9110, section 10.2.3: seconds, or a date.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    match text.parse::<u64>() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => Some(httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default()),
    }
}
