//! The HTTP server: accepts, logs in, runs statements on blocking threads, sends answers.
//!
//! Knows the way of a request through the other files of this module. An asynchronous task never
//! waits for the engine; a statement never waits for a client longer than the client is there.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::CONTENT_ENCODING;
use hyper::rt::ReadBufCursor;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::format;
use super::gate::{self, Passed, Refusal, Role};
use super::library::{Answer, Connection, StatementError, Stream};
use super::pool::{Key, Pool};
use super::request::{self, Request, Users};
use super::respond::{self, Meta, Reply};
use super::settings::{self, Verdict};
use super::statement;
use super::wire::{self, WireError};
use super::{Claim, Options};

/// The writer's largest body, packed or not. A commit of the store is at most 32 MiB.
const WRITER_BODY: usize = 1 << 30;
/// A reader sends statements, not rows.
const READER_BODY: usize = 4 << 20;
/// Statements that run at a time. Readers cannot take the writer's places.
const WRITER_STATEMENTS: usize = 16;
const READER_STATEMENTS: usize = 8;
/// What a reader's statement may take, in seconds and bytes, unless it asks for less.
const READER_LIMITS: &[(&str, &str)] = &[("max_execution_time", "300"), ("max_memory_usage", "2000000000")];
/// The same for an answer that is not sent block by block, but is built in memory first.
const READER_WHOLE_ANSWER: (&str, &str) = ("max_result_bytes", "500000000");
/// How long a client may take for a block before its statement is cancelled: a statement that waits
/// for its client keeps one of the places.
const CLIENT_WAIT: Duration = Duration::from_secs(60);
/// How long requests may go on after the stop.
const DRAIN: Duration = Duration::from_secs(10);
/// Blocks between the engine and a slow client.
const BLOCKS_AHEAD: usize = 4;

/// What all requests share. The claim stands last: the pool's connections close before it ends.
pub(super) struct Shared {
    pool: Pool,
    users: Users,
    database: String,
    timezone: String,
    writer: Arc<Semaphore>,
    reader: Arc<Semaphore>,
    _claim: Claim,
}

impl Shared {
    pub fn new(pool: Pool, claim: Claim, options: &Options) -> Self {
        Self {
            timezone: pool.timezone.clone(),
            pool,
            users: Users::new(&options.writer_password, &options.reader_password),
            database: options.database.clone(),
            writer: Arc::new(Semaphore::new(WRITER_STATEMENTS)),
            reader: Arc::new(Semaphore::new(READER_STATEMENTS)),
            _claim: claim,
        }
    }

    fn statements(&self, role: Role) -> (&Arc<Semaphore>, usize) {
        match role {
            Role::Writer => (&self.writer, WRITER_STATEMENTS),
            Role::Reader => (&self.reader, READER_STATEMENTS),
        }
    }
}

/// Serves until `stopped` fires or its sender is gone; returns when the engine is closed.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>, mut stopped: oneshot::Receiver<()>) {
    let (stop, stopping) = watch::channel(());
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, shared.clone(), stopping.clone()));
                }
                // Out of file descriptors: an accept that is tried again at once would spin.
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
    drop((listener, stop, stopping));
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN, drained).await.is_err() {
        tracing::warn!("requests were still running 10 s after the stop and are cut off");
        connections.shutdown().await;
    }
    // A statement outlives its request; with all places taken, none is running.
    for role in [Role::Writer, Role::Reader] {
        let (places, count) = shared.statements(role);
        let all = places.clone().acquire_many_owned(count as u32);
        match tokio::time::timeout(DRAIN, all).await {
            Ok(Ok(permits)) => permits.forget(),
            _ => tracing::warn!("a statement is still running; the engine closes when it ends"),
        }
    }
    // Closing the last connection shuts the engine down, which takes a while.
    if tokio::task::spawn_blocking(move || drop(shared)).await.is_err() {
        tracing::warn!("the engine ended with a panic");
    }
}

async fn connection(stream: TcpStream, shared: Arc<Shared>, mut stopping: watch::Receiver<()>) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let service = service_fn(move |request| {
        let shared = shared.clone();
        async move { Ok::<_, Infallible>(handle(&shared, request).await) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).max_headers(200).max_buf_size(1 << 20);
    let mut connection = std::pin::pin!(builder.serve_connection(QuickAck(TokioIo::new(stream)), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = stopping.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Acknowledges at once what arrives. A client that does not set TCP_NODELAY (the `clickhouse`
/// crate's default one) holds its body back until its headers are acknowledged, which the system
/// would put off by 40 ms.
struct QuickAck(TokioIo<TcpStream>);

impl hyper::rt::Read for QuickAck {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.0).poll_read(cx, buffer);
        #[cfg(target_os = "linux")]
        if read.is_ready() {
            // The system forgets it after a while, hence after every read.
            super::library::acknowledge_now(self.0.inner());
        }
        read
    }
}

impl hyper::rt::Write for QuickAck {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, buffers)
    }
}

async fn handle(shared: &Arc<Shared>, http: hyper::Request<Incoming>) -> Response<Reply> {
    let get = matches!(*http.method(), Method::GET | Method::HEAD);
    if !get && *http.method() != Method::POST {
        return respond::plain(StatusCode::METHOD_NOT_ALLOWED, "Use GET or POST.\n");
    }
    match http.uri().path() {
        "/ping" | "/replicas_status" => return respond::plain(StatusCode::OK, "Ok.\n"),
        "/" => {}
        _ => return respond::plain(StatusCode::NOT_FOUND, "There is no such resource. Send statements to /.\n"),
    }
    let query_string = http.uri().query().unwrap_or_default();
    if get && query_string.is_empty() {
        return respond::plain(StatusCode::OK, "Ok.\n");
    }
    let mut request = match Request::read(query_string, http.headers()) {
        Ok(request) => request,
        Err(refusal) => return respond::failure("", &shared.timezone, &refusal.to_string()),
    };
    let query_id = request::query_id(request.query_id.as_deref());
    let answered = async {
        let role = shared.users.role(&request)?;
        // As in ClickHouse, GET changes nothing.
        let role = if get { Role::Reader } else { role };
        let encoding =
            http.headers().get(CONTENT_ENCODING).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
        let boundary = request::form_boundary(http.headers());
        let limit = if role == Role::Writer { WRITER_BODY } else { READER_BODY };
        let mut body = collect(http.into_body(), limit).await?;
        if let Some(boundary) = boundary {
            request.take_form(&body, &boundary)?;
            body = request::EMPTY;
        }
        let (places, _) = shared.statements(role);
        let place = places.clone().acquire_owned().await.map_err(|_| overloaded())?;
        let job =
            Job { shared: shared.clone(), role, request, query_id: query_id.clone(), encoding, limit, _place: place };
        let (head, answered) = oneshot::channel();
        tokio::task::spawn_blocking(move || job.run(body, head));
        answered
            .await
            .map_err(|_| Failure(Refusal { code: 1002, name: "UNKNOWN_EXCEPTION", message: LOST.into() }.to_string()))
    };
    match answered.await {
        Ok(response) => response,
        Err(Failure(text)) => respond::failure(&query_id, &shared.timezone, &text),
    }
}

const LOST: &str = "The statement ended without an answer.";

fn overloaded() -> Failure {
    Failure("Code: 202. DB::Exception: The engine is stopping. (TOO_MANY_SIMULTANEOUS_QUERIES)".to_owned())
}

/// An error on its way to the client, in ClickHouse's words.
struct Failure(String);

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Failure(refusal.to_string())
    }
}

impl From<StatementError> for Failure {
    fn from(error: StatementError) -> Self {
        Failure(error.0)
    }
}

impl From<WireError> for Failure {
    fn from(error: WireError) -> Self {
        let (code, name) = match error {
            WireError::TooLarge(_) => (229, "QUERY_IS_TOO_LARGE"),
            WireError::Checksum => (40, "CHECKSUM_DOESNT_MATCH"),
            WireError::Encoding(_) => (89, "UNKNOWN_COMPRESSION_METHOD"),
            _ => (271, "CANNOT_DECOMPRESS"),
        };
        Refusal { code, name, message: format!("{error}.") }.into()
    }
}

/// Reads the whole body before anything runs: a client that breaks off inserts nothing.
async fn collect(body: Incoming, limit: usize) -> Result<Bytes, Failure> {
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(WireError::TooLarge(limit).into()),
        Err(_) => Err(Refusal::syntax("The body of the request broke off.").into()),
    }
}

/// One statement, on a blocking thread.
struct Job {
    shared: Arc<Shared>,
    role: Role,
    request: Request,
    query_id: String,
    encoding: String,
    limit: usize,
    /// Dropped when the statement has ended, whether or not the client is still there.
    _place: OwnedSemaphorePermit,
}

type Head = oneshot::Sender<Response<Reply>>;

impl Job {
    fn run(self, body: Bytes, head: Head) {
        match self.prepare(body) {
            Ok(Prepared::Stream { stream, key, format }) => self.send_blocks(stream, key, &format, head),
            Ok(Prepared::Answer { answer, format }) => {
                let counts = answer.counts();
                let response = self.whole(Bytes::from_owner(answer), &format, counts);
                self.end(head, response);
            }
            Err(Failure(text)) => {
                let response = respond::failure(&self.query_id, &self.shared.timezone, &text);
                self.end(head, response);
            }
        }
    }

    /// Frees the place before the client can send its next statement.
    fn end(self, head: Head, response: Response<Reply>) {
        drop(self);
        // The client may be gone; then nobody wants the answer.
        let _ = head.send(response);
    }

    fn whole(&self, bytes: Bytes, format: &str, counts: [u64; 4]) -> Response<Reply> {
        let meta = self.meta(format, Some(counts), None);
        respond::answer(&meta, self.pack(bytes).into())
    }

    fn meta<'a>(&'a self, format: &'a str, counts: Option<[u64; 4]>, exception_tag: Option<&'a str>) -> Meta<'a> {
        Meta { query_id: &self.query_id, timezone: &self.shared.timezone, format, counts, exception_tag }
    }

    fn pack(&self, bytes: Bytes) -> Bytes {
        if self.request.compress { wire::pack_blocks(&bytes) } else { bytes }
    }

    /// Judges the statement and starts or runs it.
    fn prepare(&self, body: Bytes) -> Result<Prepared, Failure> {
        let body = self.unpack(body)?;
        let statement = statement::split(self.request.query.as_deref(), &body)?;
        let pool = &self.shared.pool;
        let parameters = &self.request.parameters;
        let passed = gate::pass(self.role, &statement.text, parameters, &pool.catalog)?;
        let default = self.request.default_format.clone();
        if let Some(rows) = &statement.rows {
            let format = statement.format.or(default).unwrap_or_else(|| "Values".to_owned());
            let rows: Vec<&[u8]> = rows.iter().map(Bytes::as_ref).collect();
            let plain = format.eq_ignore_ascii_case("Values") && !gate::rows_may_compute(&rows, &pool.catalog);
            let key = self.key(plain, false)?;
            let mut connection = pool.take(&key)?;
            let answer = connection.insert(&statement.text, &format, parameters, &rows)?;
            pool.give(key, connection);
            return Ok(Prepared::Answer { answer, format });
        }
        let format = statement.format.or(default).unwrap_or_else(|| "TabSeparated".to_owned());
        let streams = passed == Passed::Select && format::streams(&format);
        let key = self.key(false, !streams)?;
        let mut connection = pool.take(&key)?;
        self.confirm(&mut connection, &statement.text)?;
        if streams {
            return match connection.stream(&statement.text, &format, parameters) {
                Ok(stream) => Ok(Prepared::Stream { stream, key, format }),
                Err((_, error)) => Err(error.into()),
            };
        }
        let answer = connection.query(&statement.text, &format, parameters)?;
        pool.give(key, connection);
        Ok(Prepared::Answer { answer, format })
    }

    fn unpack(&self, body: Bytes) -> Result<Bytes, WireError> {
        let body = match self.encoding.as_str() {
            "" | "identity" => body,
            "lz4" => wire::unpack_frames(&body, self.limit)?.into(),
            other => return Err(WireError::Encoding(other.to_owned())),
        };
        if self.request.decompress && !body.is_empty() {
            Ok(wire::unpack_blocks(&body, self.limit)?.into())
        } else {
            Ok(body)
        }
    }

    /// The second lock: ClickHouse's own parser sees one statement, and for a reader one that only reads.
    fn confirm(&self, connection: &mut Connection, text: &str) -> Result<(), Failure> {
        let class = connection.classify(text);
        match class {
            Some(class) if class.statements > 1 => Err(Refusal::syntax("Multi-statements are not allowed.").into()),
            // Text that does not parse goes on to the engine, which says what is wrong with it.
            Some(class) if class.statements == 0 || class.read_only || self.role == Role::Writer => Ok(()),
            _ => Err(Refusal::readonly("This user only reads.").into()),
        }
    }

    fn key(&self, plain_rows: bool, whole: bool) -> Result<Key, Failure> {
        let mut settings: Vec<(String, String)> = Vec::new();
        for (name, value) in &self.request.settings {
            if settings::judge(self.role, name, &self.shared.pool.catalog)? == Verdict::Apply {
                settings.retain(|(other, _)| other != name);
                settings.push((name.clone(), value.clone()));
            }
        }
        settings.sort();
        let given = |name: &str| self.request.settings.iter().any(|(other, _)| other == name);
        let mut add = |name: &str, value: &str| settings.push((name.to_owned(), value.to_owned()));
        // Acknowledged means written; the engine's default gathers inserts first.
        if !given("async_insert") {
            add("async_insert", "0");
        }
        if plain_rows {
            add("input_format_values_interpret_expressions", "0");
            add("input_format_values_deduce_templates_of_expressions", "0");
        }
        if self.role == Role::Reader {
            if whole && !given(READER_WHOLE_ANSWER.0) {
                add(READER_WHOLE_ANSWER.0, READER_WHOLE_ANSWER.1);
            }
            READER_LIMITS.iter().filter(|(name, _)| !given(name)).for_each(|(name, value)| add(name, value));
            // The third lock. It comes last: nothing can be set after it.
            add("readonly", "1");
        }
        Ok(Key { database: self.database()?, settings })
    }

    fn database(&self) -> Result<String, Failure> {
        match self.request.database.as_deref() {
            // `default` is what clients say when nobody told them; its tables would be files.
            None | Some("" | "default") => Ok(self.shared.database.clone()),
            Some(name) if name == self.shared.database => Ok(name.to_owned()),
            Some(name) if self.role == Role::Reader || name.eq_ignore_ascii_case("system") => {
                Err(Refusal::denied(format!("The database {name:?} is not open; it is {:?}.", self.shared.database))
                    .into())
            }
            Some(name) => Ok(name.to_owned()),
        }
    }

    /// Sends a SELECT's rows as they come. An answer of one block goes as a whole.
    fn send_blocks(self, mut stream: Stream, key: Key, format: &str, head: Head) {
        let first = stream.next();
        let second = match &first {
            Ok(Some(_)) => stream.next(),
            _ => Ok(None),
        };
        let (first, second) = match (first, second) {
            (Ok(first), Ok(Some(second))) => (first, second),
            (Ok(first), Ok(None)) => {
                let counts = first.as_ref().map(Answer::counts).unwrap_or_default();
                self.give_back(stream, key);
                let response = self.whole(first.map(Bytes::from_owner).unwrap_or_default(), format, counts);
                return self.end(head, response);
            }
            (Err(error), _) | (_, Err(error)) => {
                drop(stream);
                let response = respond::failure(&self.query_id, &self.shared.timezone, &error.0);
                return self.end(head, response);
            }
        };
        let tag = &request::random_hex()[..16];
        let (blocks, receiver) = mpsc::channel(BLOCKS_AHEAD);
        let response = respond::answer(&self.meta(format, None, Some(tag)), Reply::blocks(receiver));
        if head.send(response).is_err() {
            return;
        }
        let mut next = Ok(Some(second));
        let mut block = first.map(Bytes::from_owner).unwrap_or_default();
        loop {
            // The client is gone: dropping the stream cancels the statement.
            if !send(&blocks, Ok(self.pack(block))) {
                return;
            }
            block = match next {
                Ok(Some(answer)) => {
                    let header = format::header_length(format, answer.bytes());
                    Bytes::from_owner(answer).slice(header..)
                }
                Ok(None) => break,
                Err(error) => {
                    let failure: StatementError = error;
                    if send(&blocks, Ok(self.pack(respond::late_failure(tag, &failure.0)))) {
                        send(&blocks, Err(io::Error::other(failure.0)));
                    }
                    return;
                }
            };
            next = stream.next();
        }
        self.give_back(stream, key);
    }

    fn give_back(&self, stream: Stream, key: Key) {
        if let Some(connection) = stream.finish() {
            self.shared.pool.give(key, connection);
        }
    }
}

/// Hands a block to the connection; `false` when the client is gone or does not take it in time.
fn send(blocks: &mpsc::Sender<Result<Bytes, io::Error>>, block: Result<Bytes, io::Error>) -> bool {
    tokio::runtime::Handle::current().block_on(async { blocks.send_timeout(block, CLIENT_WAIT).await.is_ok() })
}

/// A statement that was let through.
enum Prepared {
    Stream { stream: Stream, key: Key, format: String },
    Answer { answer: Answer, format: String },
}
