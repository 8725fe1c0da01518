//! A gateway over a real log, and a client that writes its requests byte by byte.
//!
//! No ClickHouse: what the gateway answers for is that records are durable.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use concord::config::{PipelineFile, Proposal};
use concord::event::Event;
use concord::gateway::Gateway;
use concord::log::embedded::{EmbeddedLog, OpenOptions};
use concord::log::{Identity, Log, LogError, NewRecord, Offset, Partition, Record};
use concord::plugin::Host;
use concord::worker::InForce;
use concord_tests::pipeline::plugins_dir;
use hmac::{Hmac, KeyInit, Mac};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};

pub const SECRET: &str = "a secret of sixteen or more";

/// The log behind a gate that a test opens and closes.
pub struct Gated {
    inner: EmbeddedLog,
    /// Appends that may go on.
    pub gate: Semaphore,
    /// Appends that have come to the gate.
    pub came: Semaphore,
    pub away: AtomicBool,
}

/// More than any test appends.
pub const OPEN: usize = 1 << 20;

impl Log for Gated {
    fn identity(&self) -> Identity {
        self.inner.identity()
    }

    async fn append(&self, partition: Partition, records: Vec<NewRecord>) -> Result<Offset, LogError> {
        if self.away.load(Ordering::SeqCst) {
            return Err(LogError::Unavailable("it is away".into()));
        }
        self.came.add_permits(1);
        let pass = self.gate.acquire().await.map_err(|_| LogError::Failed("no gate".into()))?;
        pass.forget();
        self.inner.append(partition, records).await
    }

    async fn bounds(&self, partition: Partition) -> Result<(Offset, Offset), LogError> {
        self.inner.bounds(partition).await
    }

    async fn read(
        &self,
        partition: Partition,
        from: Offset,
        max_records: usize,
        max_bytes: usize,
    ) -> Result<Vec<Record>, LogError> {
        self.inner.read(partition, from, max_records, max_bytes).await
    }

    async fn retain(&self, partition: Partition, first: Offset) -> Result<(), LogError> {
        self.inner.retain(partition, first).await
    }
}

/// A gateway that is up.
pub struct Up {
    _folder: tempfile::TempDir,
    pub gateway: Gateway<Gated>,
    pub log: Arc<Gated>,
    pub in_force: watch::Sender<Option<Arc<InForce>>>,
    known: Arc<InForce>,
}

/// Standard Webhooks with two secrets: the usual door of a test. The files lie in the folder.
pub const DOOR: &str = "path = \"/pms/{property}\"
auth = { kind = \"standard-webhooks\", secrets = [\"file:old\", \"file:new\"] }";

impl Up {
    /// With lines of `[gateway]` and of `[source.gateway]`; the source `pms` has this plugin.
    pub async fn with(gateway: &str, door: &str, plugin: &str) -> Up {
        let folder = tempfile::tempdir().expect("a folder");
        let plugins = plugins_dir();
        let text = format!(
            "[pipeline]\nname = \"p\"\n[rules]\nfile = \"rules.toml\"\nplugin = \"{plugins}/precedence.wasm\"\n\
             [gateway]\nlisten = \"127.0.0.1:0\"\n{gateway}\n\
             [[source]]\nname = \"pms\"\nplugin = \"{plugins}/{plugin}.wasm\"\nidentity = true\n\
             [source.gateway]\n{door}\n",
            plugins = plugins.display()
        );
        let key = |secret: &str| format!("whsec_{}\n", STANDARD.encode(secret));
        for (name, content) in [
            ("pipeline.toml", text.as_str()),
            ("rules.toml", ""),
            ("plain", SECRET),
            ("old", &key("the old secret")),
            ("new", &key(SECRET)),
        ] {
            std::fs::write(folder.path().join(name), content).expect(name);
        }
        Up::at(folder).await
    }

    /// With the pipeline in a folder.
    pub async fn at(folder: tempfile::TempDir) -> Up {
        let file = PipelineFile::read(&folder.path().join("pipeline.toml")).unwrap_or_else(|error| panic!("{error}"));
        let proposal = Proposal::read(&file).unwrap_or_else(|error| panic!("{error}"));
        let plugins: BTreeMap<_, _> = proposal.plugin_bytes.iter().map(|(d, b)| (*d, b.clone())).collect();
        let known = Arc::new(InForce { sequence: 1, document: proposal.document, plugins });
        let in_force = watch::Sender::new(Some(known.clone()));
        let host = Host::new(&folder.path().join("compiled")).expect("a plugin host");
        let options = OpenOptions { partitions: 2, ..OpenOptions::default() };
        let inner = EmbeddedLog::open(&folder.path().join("log"), options).expect("a log");
        let (gate, came) = (Semaphore::new(OPEN), Semaphore::new(0));
        let log = Arc::new(Gated { inner, gate, came, away: AtomicBool::new(false) });
        let settings = file.gateway.expect("[gateway]");
        let gateway = Gateway::open(&settings, log.clone(), &host, in_force.subscribe()).await;
        Up { _folder: folder, gateway: gateway.unwrap_or_else(|error| panic!("{error}")), log, in_force, known }
    }

    /// With the usual door.
    pub async fn usual(gateway: &str) -> Up {
        Up::with(gateway, DOOR, "native").await
    }

    pub fn address(&self) -> SocketAddr {
        self.gateway.address()
    }

    /// Takes the configuration out of force, and puts it there again.
    pub fn configured(&self, configured: bool) {
        self.in_force.send_replace(configured.then(|| self.known.clone()));
    }

    /// All records in the log, partition by partition.
    pub async fn records(&self) -> Vec<Event> {
        let mut events = Vec::new();
        for partition in 0..2 {
            let (first, end) = self.log.bounds(partition).await.expect("bounds");
            let mut next = first;
            while next < end {
                for record in self.log.read(partition, next, 100, 1 << 20).await.expect("records") {
                    next = record.offset + 1;
                    events.push(Event::parse(&record.value).expect("an event"));
                }
            }
        }
        events
    }

    /// What the gateway counted under a name.
    pub fn count(&self, name: &str) -> u64 {
        let (_, counts) = self.gateway.counts().next().expect("a source");
        counts.all().into_iter().find(|(known, _)| *known == name).expect("a counter").1
    }

    /// A connection.
    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address()).await.expect("a connection")
    }

    /// Sends one request and reads its answer.
    pub async fn send(&self, request: &Request) -> Answer {
        let mut stream = self.connect().await;
        stream.write_all(&request.bytes()).await.expect("sent");
        Answer::read(&mut stream).await
    }
}

/// An inventory message of the `native` plugin.
pub fn message(price: u32) -> String {
    format!(
        "{{\"property\":\"H1\",\"inventory\":{{\"room_type\":\"DBL\",\"nights\":\"2026-03-01/2026-03-02\",\
         \"fields\":{{\"availability\":{price}}}}}}}"
    )
}

pub fn now() -> i64 {
    time::OffsetDateTime::now_utc().unix_timestamp()
}

/// HMAC-SHA256 in Base64.
pub fn mac(secret: &str, parts: &[&[u8]]) -> String {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).expect("a key");
    parts.iter().for_each(|part| mac.update(part));
    STANDARD.encode(mac.finalize().into_bytes())
}

/// One request.
#[derive(Clone, Debug)]
pub struct Request {
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    /// A JSON delivery without a word about who sends it.
    pub fn unsigned(body: impl AsRef<[u8]>) -> Request {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        Request { target: "/pms/H1".into(), headers, body: body.as_ref().to_vec() }
    }

    /// Signed after Standard Webhooks, now and with the right secret.
    pub fn signed(id: &str, body: impl AsRef<[u8]>) -> Request {
        Request::unsigned(body).sign(id, now(), SECRET)
    }

    pub fn sign(self, id: &str, time: i64, secret: &str) -> Request {
        let signature = format!("v1,{}", mac(secret, &[format!("{id}.{time}.").as_bytes(), &self.body]));
        let time = time.to_string();
        self.header("webhook-id", id).header("webhook-timestamp", &time).header("webhook-signature", &signature)
    }

    /// Sets a header, in place of one of this name.
    pub fn header(mut self, name: &str, value: &str) -> Request {
        self.headers.retain(|(known, _)| known != name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn to(mut self, target: &str) -> Request {
        self.target = target.to_owned();
        self
    }

    /// The head, with the body's length.
    pub fn head(&self, length: usize) -> String {
        let mut head = format!("POST {} HTTP/1.1\r\nhost: concord\r\ncontent-length: {length}\r\n", self.target);
        self.headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
        head + "\r\n"
    }

    pub fn bytes(&self) -> Vec<u8> {
        [self.head(self.body.len()).as_bytes(), &self.body].concat()
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Answer {
    /// Reads one answer; its connection may stay open.
    pub async fn read<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> Answer {
        let mut seen = Vec::new();
        let end = loop {
            if let Some(at) = seen.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            let mut piece = [0; 4096];
            let read = stream.read(&mut piece).await.expect("an answer");
            assert!(read > 0, "the connection ended within: {}", String::from_utf8_lossy(&seen));
            seen.extend_from_slice(&piece[..read]);
        };
        let head = String::from_utf8(seen[..end].to_vec()).expect("a head");
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).expect("a status");
        let headers: BTreeMap<String, String> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let length = headers.get("content-length").map_or(0, |length| length.parse::<usize>().expect("a length"));
        let mut body = seen[end..].to_vec();
        let have = body.len();
        body.resize(length.max(have), 0);
        stream.read_exact(&mut body[have..]).await.expect("a body");
        Answer { status, headers, body: String::from_utf8(body).expect("text") }
    }
}

/// Reads until the other side ends the connection.
pub async fn rest(stream: &mut TcpStream) -> String {
    let mut rest = Vec::new();
    // A connection that is reset has ended, too.
    let _ = stream.read_to_end(&mut rest).await;
    String::from_utf8_lossy(&rest).into_owned()
}
