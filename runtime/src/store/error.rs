//! What can go wrong between Concord and ClickHouse, whether trying again helps, and what to do otherwise.
//!
//! Knows ClickHouse's error codes. Does not know what was being done: callers say so.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

use crate::log::{Offset, Partition};

/// Why ClickHouse did not do what was asked. Every message ends with what to do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Nobody answers, or the connection broke. What was sent may have arrived.
    #[error("ClickHouse cannot be reached ({0}): check clickhouse.url, and that the server runs and answers there")]
    Unreachable(String),
    /// No answer in time. What was sent may have arrived.
    #[error("ClickHouse did not answer within {0:?}: look for load on the server, or raise clickhouse.timeout")]
    Timeout(Duration),
    /// Overloaded, starting, or without its quorum.
    #[error(
        "ClickHouse cannot do it at the moment ({0}): it is tried again; look at the server's load, memory and replicas"
    )]
    Busy(String),
    /// The server's disk is full. Tried again, because it goes on by itself once there is space.
    #[error(
        "ClickHouse has no space left ({0}): free space on its disk or add a volume; Concord then goes on by itself"
    )]
    DiskFull(String),
    #[error(
        "ClickHouse refuses the user ({0}): check clickhouse.user and clickhouse.password_file, and that the user may \
             create, read and insert in the database"
    )]
    Denied(String),
    #[error(
        "no secure connection to ClickHouse ({0}): its certificate must be valid for the host in clickhouse.url; for an \
             authority of your own set SSL_CERT_FILE"
    )]
    Tls(String),
    /// A statement that this server will never take: a table is gone or changed, or the server is too old.
    #[error(
        "ClickHouse refuses the statement ({0}): if tables were changed by hand, restore them; run `concord status` to \
             compare the schema; ClickHouse 25.8 or newer is needed"
    )]
    Refused(String),
    /// The answer is no answer to the question.
    #[error("ClickHouse's answer cannot be read: {0}. Is clickhouse.url a ClickHouse HTTP port?")]
    Answer(String),
    #[error("clickhouse.{option}: {detail}")]
    Option { option: &'static str, detail: String },
    /// The database was written by a newer Concord.
    #[error(
        "the database {database} has schema {found}, this program knows {known}: install the Concord version that \
             wrote it or a newer one"
    )]
    NewerSchema { database: String, found: u32, known: u32 },
    /// A declared field cannot become a column.
    #[error("field {field}: {detail}")]
    Field { field: String, detail: String },
    /// The embedded engine's disk did not take what was written. No retry helps: the system may have dropped it.
    #[error(
        "the disk under clickhouse.data_dir does not keep what is written ({0}): look at the system's log and the disk; \
         then start again, which writes what is missing"
    )]
    Disk(String),
    /// A batch holds what it must not hold: a bug in Concord, not in the data.
    #[error("a batch of partition {partition} cannot be written: {detail}. This is a bug in Concord: please report it")]
    Batch { partition: Partition, detail: String },
    /// The audit trail is not what the checkpoint says.
    #[error(
        "the audit trail of partition {partition} differs at offset {offset}, seq {seq}: {detail}. Run `concord audit \
             verify`; restore the table conflicts from a backup if rows were changed or lost"
    )]
    Audit { partition: Partition, offset: Offset, seq: u32, detail: String },
}

impl StoreError {
    /// Whether the same request may succeed later without anybody changing the configuration.
    pub fn retryable(&self) -> bool {
        matches!(
            self,
            StoreError::Unreachable(_) | StoreError::Timeout(_) | StoreError::Busy(_) | StoreError::DiskFull(_)
        )
    }

    /// What the client library reports.
    pub(crate) fn from_client(error: clickhouse::error::Error) -> StoreError {
        use clickhouse::error::Error;
        match error {
            Error::Network(cause) => from_network(&*cause),
            Error::TimedOut => StoreError::Unreachable("the connection timed out".to_owned()),
            Error::BadResponse(text) => from_response(&text),
            other => StoreError::Answer(chain(&other)),
        }
    }
}

/// An error with its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.contains(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        cause = error.source();
    }
    text
}

fn from_network(cause: &(dyn std::error::Error + 'static)) -> StoreError {
    let text = chain(cause);
    let lower = text.to_ascii_lowercase();
    if lower.contains("certificate") || lower.contains("tls handshake") || lower.contains("invalid peer") {
        StoreError::Tls(text)
    } else {
        StoreError::Unreachable(text)
    }
}

/// `Code: 241. DB::Exception: ... (MEMORY_LIMIT_EXCEEDED)`, or an HTTP status such as `503 Service Unavailable`.
fn from_response(text: &str) -> StoreError {
    let shown = shorten(text);
    let code = text.strip_prefix("Code: ").or_else(|| text.split("Code: ").nth(1)).and_then(leading_number);
    match code {
        Some(code) if BUSY.contains(&code) => StoreError::Busy(shown),
        Some(243) => StoreError::DiskFull(shown),
        Some(192..=195 | 497 | 516) => StoreError::Denied(shown),
        Some(_) => StoreError::Refused(shown),
        None => match leading_number(text) {
            Some(401 | 403) => StoreError::Denied(shown),
            Some(408 | 429 | 500..=599) => StoreError::Busy(shown),
            _ => StoreError::Answer(shown),
        },
    }
}

fn leading_number(text: &str) -> Option<u32> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..digits].parse().ok()
}

/// The first lines say it all; a stack trace or a whole statement helps nobody.
fn shorten(text: &str) -> String {
    const LIMIT: usize = 600;
    let line = text.lines().next().unwrap_or("").trim();
    let line = line.split(" Stack trace:").next().unwrap_or(line);
    match line.char_indices().nth(LIMIT) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line.to_owned(),
    }
}

/// ClickHouse's codes for what passes: timeouts, limits on load, lost replicas and quorums, networks.
const BUSY: &[u32] = &[
    159, // TIMEOUT_EXCEEDED
    160, // TOO_SLOW
    173, // CANNOT_ALLOCATE_MEMORY
    198, // DNS_ERROR
    202, // TOO_MANY_SIMULTANEOUS_QUERIES
    203, // NO_FREE_CONNECTION
    209, // SOCKET_TIMEOUT
    210, // NETWORK_ERROR
    225, // NO_ZOOKEEPER
    236, // ABORTED
    241, // MEMORY_LIMIT_EXCEEDED
    242, // TABLE_IS_READ_ONLY
    244, // UNEXPECTED_ZOOKEEPER_ERROR
    252, // TOO_MANY_PARTS
    279, // ALL_CONNECTION_TRIES_FAILED
    285, // TOO_FEW_LIVE_REPLICAS
    286, // UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE
    289, // REPLICA_IS_NOT_IN_QUORUM
    319, // UNKNOWN_STATUS_OF_INSERT
    394, // QUERY_WAS_CANCELLED
    425, // SYSTEM_ERROR
    439, // CANNOT_SCHEDULE_TASK
    473, // DEADLOCK_AVOIDED
    499, // S3_ERROR
    734, // QUERY_WAS_CANCELLED_BY_CLIENT
    745, // SERVER_OVERLOADED
    999, // KEEPER_EXCEPTION
];

/// How long to wait between tries.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// After the first failure; doubled after each further one.
    pub first: Duration,
    /// Never longer than this.
    pub longest: Duration,
    /// How often a lasting failure is reported.
    pub report_every: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff {
            first: Duration::from_millis(50),
            longest: Duration::from_secs(5),
            report_every: Duration::from_secs(30),
        }
    }
}

/// Tries until it succeeds or fails for good; a retryable error is never given up on. `what` completes the sentence
/// "waiting to ...". Cancel-safe as far as `attempt` is.
pub async fn with_retry<T, F, Fut>(what: &str, backoff: Backoff, mut attempt: F) -> Result<T, StoreError>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, StoreError>>,
{
    let mut wait = backoff.first;
    let mut failing: Option<(Instant, Instant)> = None;
    loop {
        let error = match attempt().await {
            Ok(value) => {
                if let Some((since, _)) = failing {
                    tracing::info!(seconds = since.elapsed().as_secs(), "ClickHouse is back: {what}");
                }
                return Ok(value);
            }
            Err(error) if !error.retryable() => return Err(error),
            Err(error) => error,
        };
        let now = Instant::now();
        let (since, reported) = failing.get_or_insert((now, now));
        if *since == now || now.duration_since(*reported) >= backoff.report_every {
            *reported = now;
            let seconds = now.duration_since(*since).as_secs();
            tracing::warn!(seconds, "waiting to {what}: {error}");
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(backoff.longest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(text: &str) -> StoreError {
        from_response(text)
    }

    #[test]
    fn codes_tell_what_passes_from_what_stays() {
        let many = "Code: 252. DB::Exception: Too many parts (3000). (TOO_MANY_PARTS)";
        assert!(matches!(response(many), StoreError::Busy(_)));
        let memory = "Code: 241. DB::Exception: (total) memory limit exceeded. (MEMORY_LIMIT_EXCEEDED)";
        assert!(response(memory).retryable());
        assert!(matches!(response("Code: 516. DB::Exception: concord: Authentication failed"), StoreError::Denied(_)));
        assert!(matches!(response("Code: 60. DB::Exception: Unknown table"), StoreError::Refused(_)));
        assert!(matches!(response("Code: 243. DB::Exception: Cannot reserve 1 MiB"), StoreError::DiskFull(_)));
        assert!(response("503 Service Unavailable").retryable());
        assert!(!response("401 Unauthorized").retryable());
        assert!(matches!(response("<html>"), StoreError::Answer(_)));
    }

    #[tokio::test]
    async fn what_passes_is_tried_again_and_what_stays_is_not() {
        let at_once = Backoff { first: Duration::ZERO, ..Backoff::default() };
        let mut tries = 0;
        let result = with_retry("write", at_once, || {
            tries += 1;
            let answer = if tries < 20 { Err(StoreError::Busy(String::new())) } else { Ok(tries) };
            async move { answer }
        });
        assert_eq!(result.await.ok(), Some(20));

        let mut tries = 0;
        let result = with_retry("write", at_once, || {
            tries += 1;
            async { Err::<(), _>(StoreError::Denied(String::new())) }
        });
        assert!(result.await.is_err());
        assert_eq!(tries, 1);
    }
}
