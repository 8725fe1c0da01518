//! The door of a running process: other commands of the same user append through it and ask how far it is.
//!
//! HTTP on loopback, guarded by the token in `run.json`. Knows the wire; does not look into records.
//! Whoever has the token has the pipeline's key file too, so it lets in what the log takes.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::future::join_all;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use crate::capture::progress::{CaptureStatus, Monitor};
use crate::config::Door;
use crate::log::{Identity, Log, LogError, NewRecord, Offset, Partition, Record};
use crate::worker::Shared;
use crate::worker::checkpoint::Counts;

/// Of one request: a few thousand deliveries.
const BODY_BYTES: usize = 64 << 20;

/// A record on the wire.
#[derive(Serialize, Deserialize)]
struct WireRecord {
    key: Option<String>,
    value: String,
    timestamp: i64,
}

/// What the log is and how far every partition is written.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LogStatus {
    pub identity: Identity,
    pub partitions: Vec<PartitionStatus>,
}

/// One partition, as the running process sees it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PartitionStatus {
    pub first: Offset,
    pub end: Offset,
    /// The next record to be decided and written; absent while the worker starts.
    pub next: Option<Offset>,
    pub counts: Counts,
}

struct Guard<L> {
    shared: Arc<Shared<L>>,
    captures: Vec<Monitor>,
    token: String,
}

/// Serves the door until the future is dropped.
pub async fn serve<L: Log>(
    shared: Arc<Shared<L>>,
    monitors: Vec<Monitor>,
    token: String,
) -> std::io::Result<(SocketAddr, impl Future<Output = ()>)> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/v1/log", get(status::<L>))
        .route("/v1/captures", get(captures::<L>))
        .route("/v1/append/{partition}", post(append::<L>))
        .route("/v1/records/{partition}/{offset}", get(record::<L>))
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .with_state(Arc::new(Guard { shared, captures: monitors, token }));
    let server = async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!("the door is closed: {error}");
        }
    };
    Ok((address, server))
}

impl<L> Guard<L> {
    fn lets_in(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(header::AUTHORIZATION).map_or(&b""[..], |h| h.as_bytes());
        let wanted = format!("Bearer {}", self.token);
        given.len() == wanted.len() && given.iter().zip(wanted.as_bytes()).fold(0, |diff, (a, b)| diff | (a ^ b)) == 0
    }
}

fn refused() -> Response {
    (StatusCode::UNAUTHORIZED, "the token in run.json is needed\n").into_response()
}

async fn status<L: Log>(State(guard): State<Arc<Guard<L>>>, headers: HeaderMap) -> Response {
    if !guard.lets_in(&headers) {
        return refused();
    }
    match log_status(&guard.shared).await {
        Ok(status) => Json(status).into_response(),
        Err(error) => failed(&error),
    }
}

async fn captures<L: Log>(State(guard): State<Arc<Guard<L>>>, headers: HeaderMap) -> Response {
    if !guard.lets_in(&headers) {
        return refused();
    }
    Json(join_all(guard.captures.iter().map(Monitor::status)).await).into_response()
}

/// How far the workers of this process are.
pub async fn log_status<L: Log>(shared: &Shared<L>) -> Result<LogStatus, LogError> {
    let identity = shared.log.identity();
    let mut partitions = Vec::new();
    for partition in 0..identity.partitions {
        let (first, end) = shared.log.bounds(partition).await?;
        let progress = shared.progress(partition);
        partitions.push(PartitionStatus { first, end, next: progress.next(), counts: progress.counts() });
    }
    Ok(LogStatus { identity, partitions })
}

async fn append<L: Log>(
    State(guard): State<Arc<Guard<L>>>,
    Path(partition): Path<Partition>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if !guard.lets_in(&headers) {
        return refused();
    }
    let decoded = serde_json::from_slice::<Vec<WireRecord>>(&body)
        .map_err(|e| e.to_string())
        .and_then(|records| records.into_iter().map(decode).collect::<Result<Vec<_>, _>>());
    match decoded {
        Err(why) => (StatusCode::BAD_REQUEST, why).into_response(),
        Ok(records) => match guard.shared.log.append(partition, records).await {
            Ok(offset) => Json(offset).into_response(),
            Err(error) => failed(&error),
        },
    }
}

/// One record by its place; 404 when the log does not have it (any more).
async fn record<L: Log>(
    State(guard): State<Arc<Guard<L>>>,
    Path((partition, offset)): Path<(Partition, Offset)>,
    headers: HeaderMap,
) -> Response {
    if !guard.lets_in(&headers) {
        return refused();
    }
    match one_record(&*guard.shared.log, partition, offset).await {
        Ok(Some(record)) => {
            Json(encode(&NewRecord { key: record.key, value: record.value, timestamp: record.timestamp }))
                .into_response()
        }
        Ok(None) => (StatusCode::NOT_FOUND, "the log does not have this record\n").into_response(),
        Err(error) => failed(&error),
    }
}

/// The record at this place; `None` when it is gone or was never there.
pub async fn one_record<L: Log>(log: &L, partition: Partition, offset: Offset) -> Result<Option<Record>, LogError> {
    let (first, end) = log.bounds(partition).await?;
    if offset < first || offset >= end {
        return Ok(None);
    }
    match log.read(partition, offset, 1, 1).await {
        Ok(records) => Ok(records.into_iter().find(|record| record.offset == offset)),
        // Given up between the two looks.
        Err(LogError::Gone { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn failed(error: &LogError) -> Response {
    let status = match error {
        LogError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        LogError::NoPartition(_) => StatusCode::NOT_FOUND,
        LogError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        LogError::Unknown { .. } => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    // Whoever asked puts what kind of error it is in front again.
    let text = match error {
        LogError::Unavailable(why) | LogError::Unknown { why, .. } => why.clone(),
        other => other.to_string(),
    };
    (status, text).into_response()
}

fn decode(record: WireRecord) -> Result<NewRecord, String> {
    let bytes = |text: &str| STANDARD.decode(text).map(Bytes::from).map_err(|e| e.to_string());
    Ok(NewRecord {
        key: record.key.as_deref().map(bytes).transpose()?,
        value: bytes(&record.value)?,
        timestamp: record.timestamp,
    })
}

fn encode(record: &NewRecord) -> WireRecord {
    WireRecord {
        key: record.key.as_ref().map(|key| STANDARD.encode(key)),
        value: STANDARD.encode(&record.value),
        timestamp: record.timestamp,
    }
}

/// The other side: a command that found `run.json`.
#[derive(Clone)]
pub struct DoorClient {
    client: Client<HttpConnector, Full<Bytes>>,
    door: Door,
}

impl DoorClient {
    pub fn new(door: Door) -> DoorClient {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        DoorClient { client: Client::builder(TokioExecutor::new()).build(connector), door }
    }

    /// What the process says of its log.
    pub async fn status(&self) -> Result<LogStatus, LogError> {
        let answer = self.request("GET", "/v1/log", Bytes::new()).await?;
        serde_json::from_slice(&answer).map_err(|e| LogError::Failed(e.to_string()))
    }

    /// How far the process's captures are.
    pub async fn captures(&self) -> Result<Vec<CaptureStatus>, LogError> {
        let answer = self.request("GET", "/v1/captures", Bytes::new()).await?;
        serde_json::from_slice(&answer).map_err(|e| LogError::Failed(e.to_string()))
    }

    /// As [`Log::append`].
    pub async fn append(&self, partition: Partition, records: &[NewRecord]) -> Result<Offset, LogError> {
        let wire: Vec<WireRecord> = records.iter().map(encode).collect();
        let body = serde_json::to_vec(&wire).map_err(|e| LogError::Failed(e.to_string()))?;
        let (status, body) = self.ask("POST", &format!("/v1/append/{partition}"), body.into()).await?;
        if status == StatusCode::GATEWAY_TIMEOUT {
            return Err(LogError::Unknown { partition, why: String::from_utf8_lossy(&body).trim().to_owned() });
        }
        let answer = answered(status, body)?;
        serde_json::from_slice(&answer).map_err(|e| LogError::Failed(e.to_string()))
    }

    /// The record at this place; `None` when the log does not have it (any more).
    pub async fn record(&self, partition: Partition, offset: Offset) -> Result<Option<Record>, LogError> {
        let (status, body) = self.ask("GET", &format!("/v1/records/{partition}/{offset}"), Bytes::new()).await?;
        if status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let wire: WireRecord =
            serde_json::from_slice(&answered(status, body)?).map_err(|e| LogError::Failed(e.to_string()))?;
        let NewRecord { key, value, timestamp } = decode(wire).map_err(LogError::Failed)?;
        Ok(Some(Record { offset, timestamp, key, value }))
    }

    async fn request(&self, method: &str, path: &str, body: Bytes) -> Result<Bytes, LogError> {
        let (status, body) = self.ask(method, path, body).await?;
        answered(status, body)
    }

    async fn ask(&self, method: &str, path: &str, body: Bytes) -> Result<(StatusCode, Bytes), LogError> {
        let request = hyper::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.door.address))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.door.token))
            .body(Full::new(body))
            .map_err(|e| LogError::Failed(e.to_string()))?;
        let away =
            |e: &dyn std::fmt::Display| LogError::Unavailable(format!("the running process does not answer: {e}"));
        let response = self.client.request(request).await.map_err(|e| away(&e))?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(|e| away(&e))?.to_bytes();
        Ok((status, body))
    }
}

/// The body of a good answer, the error that another stands for.
fn answered(status: StatusCode, body: Bytes) -> Result<Bytes, LogError> {
    if status.is_success() {
        return Ok(body);
    }
    let text = String::from_utf8_lossy(&body).trim().to_owned();
    Err(if status == StatusCode::SERVICE_UNAVAILABLE { LogError::Unavailable(text) } else { LogError::Failed(text) })
}
