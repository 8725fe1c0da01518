//! A source with its connectors over a real log, and an HTTP server that answers what the test says.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use concord::config::{PipelineFile, Proposal};
use concord::connect::{Connectors, OpenError, Place, beat};
use concord::event::{self, Control, Event, Parsed};
use concord::log::embedded::{EmbeddedLog, OpenOptions};
use concord::log::{Log, Offset};
use concord::plugin::Host;
use concord::worker::InForce;
use concord_tests::pipeline::{key, plugins_dir};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

/// A source `pms`, its log of one partition, and nothing at work yet.
pub struct Source {
    pub folder: tempfile::TempDir,
    pub log: Arc<EmbeddedLog>,
    host: Host,
    in_force: watch::Sender<Option<Arc<InForce>>>,
    file: PipelineFile,
}

impl Source {
    /// With the lines of its `[source.folder]` or `[source.poll]`.
    pub fn new(section: &str) -> Source {
        Source::within(tempfile::tempdir().expect("a folder"), section)
    }

    /// In a folder that holds more.
    pub fn within(folder: tempfile::TempDir, section: &str) -> Source {
        let plugins = plugins_dir();
        let plugins = plugins.display();
        let text = format!(
            "[pipeline]\nname = \"p\"\n[rules]\nfile = \"rules.toml\"\nplugin = \"{plugins}/precedence.wasm\"\n\
             [[source]]\nname = \"pms\"\nplugin = \"{plugins}/native.wasm\"\nidentity = true\n{section}\n"
        );
        std::fs::write(folder.path().join("pipeline.toml"), text).expect("a file");
        std::fs::write(folder.path().join("rules.toml"), "").expect("a file");
        let file = PipelineFile::read(&folder.path().join("pipeline.toml")).unwrap_or_else(|error| panic!("{error}"));
        let proposal = Proposal::read(&file).unwrap_or_else(|error| panic!("{error}"));
        let plugins: BTreeMap<_, _> = proposal.plugin_bytes.iter().map(|(d, b)| (*d, b.clone())).collect();
        let in_force =
            watch::Sender::new(Some(Arc::new(InForce { sequence: 1, document: proposal.document, plugins })));
        let host = Host::new(&folder.path().join("compiled")).expect("a plugin host");
        let options = OpenOptions { partitions: 1, ..OpenOptions::default() };
        let log = Arc::new(EmbeddedLog::open(&folder.path().join("log"), options).expect("a log"));
        Source { folder, log, host, in_force, file }
    }

    /// Its connectors at work.
    pub fn open(&self) -> Result<Connectors, OpenError> {
        let place = Place {
            log: self.log.clone(),
            host: &self.host,
            in_force: self.in_force.subscribe(),
            data_dir: &self.folder.path().join("data"),
        };
        Connectors::open(&self.file.sources, &place)
    }

    pub fn start(&self) -> Connectors {
        self.open().unwrap_or_else(|error| panic!("{error}"))
    }

    /// The record at an offset, as soon as it is there.
    pub async fn record(&self, offset: Offset) -> Event {
        let records = self.log.read(0, offset, 1, 1).await.expect("a record");
        Event::parse(&records[0].value).expect("an event")
    }

    pub async fn end(&self) -> Offset {
        self.log.bounds(0).await.expect("bounds").1
    }

    /// The heartbeats that come while these connectors are at work, until there are enough: the properties vouched for.
    pub async fn heartbeats(&self, connectors: &Connectors, wanted: usize) -> Vec<Option<String>> {
        let every = Duration::from_millis(1);
        let beating = beat(self.log.clone(), key(), "w1".to_owned(), connectors.pulses(), every);
        let reading = async {
            let (mut offset, mut found) = (0, Vec::new());
            while found.len() < wanted {
                let records = self.log.read(0, offset, 1, 1).await.expect("a record");
                offset += 1;
                let Parsed::Control(signed) = event::parse(&records[0].value, &key()) else { continue };
                if let Control::Heartbeat { source, property, .. } = signed.control {
                    assert_eq!(source, "pms");
                    found.push(property);
                }
            }
            found
        };
        tokio::select! {
            () = beating => unreachable!("it never returns"),
            found = reading => found,
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }
}

/// An inventory message of the `native` plugin.
pub fn message(availability: u32) -> String {
    format!(
        "{{\"property\":\"H1\",\"inventory\":{{\"room_type\":\"DBL\",\"nights\":\"2026-03-01/2026-03-02\",\
         \"fields\":{{\"availability\":{availability}}}}}}}"
    )
}

/// In place of a question: somebody did not believe the server's certificate, and asked nothing.
pub const DISTRUST: &str = "no TLS";

/// A question as the server got it.
#[derive(Clone, Debug)]
pub struct Question {
    /// Path and query.
    pub target: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
}

/// An HTTP server on loopback: each question goes to the test, and waits for the test's answer.
pub struct Endpoint {
    pub address: String,
    questions: mpsc::UnboundedReceiver<Question>,
    answers: mpsc::UnboundedSender<Vec<u8>>,
    serving: tokio::task::JoinHandle<()>,
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Endpoint {
    /// With TLS, if there is an identity.
    pub async fn new(tls: Option<rustls::ServerConfig>) -> Endpoint {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("an address");
        let port = listener.local_addr().expect("an address").port();
        let (scheme, host) = if tls.is_some() { ("https", "localhost") } else { ("http", "127.0.0.1") };
        let address = format!("{scheme}://{host}:{port}");
        let acceptor = tls.map(|config| tokio_rustls::TlsAcceptor::from(Arc::new(config)));
        let (asked, questions) = mpsc::unbounded_channel();
        let (answers, mut given) = mpsc::unbounded_channel();
        // One connection after the other, each for one question.
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                match &acceptor {
                    None => serve(stream, &asked, &mut given).await,
                    Some(acceptor) => match acceptor.accept(stream).await {
                        Ok(stream) => serve(stream, &asked, &mut given).await,
                        Err(_) => _ = asked.send(Question { target: DISTRUST.to_owned(), headers: BTreeMap::new() }),
                    },
                }
            }
        });
        Endpoint { address, questions, answers, serving }
    }

    /// The next question.
    pub async fn asked(&mut self) -> Question {
        self.questions.recv().await.expect("a question")
    }

    /// Answers it.
    pub fn answer(&self, status: &str, headers: &[(&str, &str)], body: impl AsRef<[u8]>) {
        let body = body.as_ref();
        let mut head = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
        headers.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
        self.answers.send([head.as_bytes(), b"\r\n", body].concat()).expect("a server");
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    asked: &mpsc::UnboundedSender<Question>,
    given: &mut mpsc::UnboundedReceiver<Vec<u8>>,
) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if !matches!(stream.read(&mut byte).await, Ok(1)) {
            return;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).expect("a head");
    let mut lines = head.split("\r\n");
    let target = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a target").to_owned();
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    if asked.send(Question { target, headers }).is_err() {
        return;
    }
    let answer = tokio::select! {
        answer = given.recv() => answer,
        // Whoever asked has gone.
        _ = stream.read(&mut byte) => None,
    };
    if let Some(answer) = answer {
        // It may be gone by now.
        let _ = stream.write_all(&answer).await;
        let _ = stream.shutdown().await;
    }
}
