//! A connection to PostgreSQL: start-up, TLS, passwords, simple queries and the copy in both directions that replication is.
//!
//! Source: PostgreSQL's documentation, "Frontend/Backend Protocol". Messages and passwords are read and written by the crate
//! `postgres-protocol`; a connection of our own, since the client that stands on it does not replicate, and the same
//! connection has to load and to follow. Does not know what is asked.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use postgres_protocol::message::backend::{self, DataRowBody, ErrorFields, Message, RowDescriptionBody};
use postgres_protocol::message::frontend;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use crate::capture::{CaptureError, tls};
use crate::config::{Capture, CaptureTls};

/// To connect and to prove who one is.
const CONNECT: Duration = Duration::from_secs(10);
/// Of one message from the server: a row is at most 1 GiB, and none that belongs into a log is that large.
const MESSAGE_BYTES: usize = 256 << 20;

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// What the server says, as far as it matters here.
enum Said {
    Message(Message),
    /// From now on both sides copy.
    CopyBoth,
}

/// A column of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub name: Arc<str>,
    /// OID of the type.
    pub kind: u32,
}

/// Values as texts; `None` is NULL.
pub(super) type Texts = Vec<Option<String>>;

/// An open connection. Its errors end it.
pub(super) struct Connection {
    stream: Box<dyn Stream>,
    read: BytesMut,
    write: BytesMut,
}

/// What the connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Queries,
    Replication,
}

impl Connection {
    /// Connects as the settings say.
    pub async fn open(
        settings: &Capture,
        database: &str,
        password: &str,
        purpose: Purpose,
    ) -> Result<Connection, CaptureError> {
        let place = place(settings);
        let opened = tokio::time::timeout(CONNECT, async {
            let stream = stream(settings, &place).await?;
            let mut connection = Connection { stream, read: BytesMut::new(), write: BytesMut::new() };
            connection.start(settings, database, password, purpose).await?;
            Ok(connection)
        });
        opened.await.unwrap_or_else(|_| {
            let seconds = CONNECT.as_secs();
            Err(CaptureError::Away(format!("PostgreSQL at {place} does not answer within {seconds} s")))
        })
    }

    async fn start(
        &mut self,
        settings: &Capture,
        database: &str,
        password: &str,
        purpose: Purpose,
    ) -> Result<(), CaptureError> {
        // Values come as texts: in one form, whatever the server's own settings are.
        let options = "-c datestyle=ISO -c intervalstyle=iso_8601 -c timezone=UTC -c extra_float_digits=3 \
                       -c bytea_output=hex -c statement_timeout=0 -c idle_in_transaction_session_timeout=0";
        let mut parameters = vec![
            ("user", settings.user.as_str()),
            ("database", database),
            ("application_name", "concord"),
            ("client_encoding", "UTF8"),
            ("options", options),
        ];
        if purpose == Purpose::Replication {
            parameters.push(("replication", "database"));
        }
        frontend::startup_message(parameters, &mut self.write).map_err(unsaid)?;
        self.send().await?;
        let mut scram = None;
        loop {
            match self.message().await? {
                Message::AuthenticationOk | Message::ParameterStatus(_) | Message::BackendKeyData(_) => {}
                Message::AuthenticationCleartextPassword => {
                    if settings.tls == CaptureTls::Off && !crate::config::is_here(&settings.host) {
                        let what = "PostgreSQL wants the password in the open over an unencrypted connection";
                        let remedy = "write tls = \"verify\", or let pg_hba.conf ask for scram-sha-256";
                        return Err(CaptureError::setup(what, remedy));
                    }
                    self.password(password.as_bytes()).await?;
                }
                Message::AuthenticationMd5Password(body) => {
                    let hash = md5_hash(settings.user.as_bytes(), password.as_bytes(), body.salt());
                    self.password(hash.as_bytes()).await?;
                }
                Message::AuthenticationSasl(_) => {
                    let begun = ScramSha256::new(password.as_bytes(), ChannelBinding::unsupported());
                    frontend::sasl_initial_response(SCRAM_SHA_256, begun.message(), &mut self.write).map_err(unsaid)?;
                    self.send().await?;
                    scram = Some(begun);
                }
                Message::AuthenticationSaslContinue(body) => {
                    let scram = scram.as_mut().ok_or_else(|| unexpected("a password's second step"))?;
                    scram.update(body.data()).map_err(|_| wrong_password(settings))?;
                    frontend::sasl_response(scram.message(), &mut self.write).map_err(unsaid)?;
                    self.send().await?;
                }
                Message::AuthenticationSaslFinal(body) => {
                    let scram = scram.as_mut().ok_or_else(|| unexpected("a password's last step"))?;
                    scram.finish(body.data()).map_err(|_| wrong_password(settings))?;
                }
                Message::ReadyForQuery(_) => return Ok(()),
                _ => {
                    let what = "PostgreSQL wants a proof other than a password";
                    let remedy = "let pg_hba.conf ask this user for scram-sha-256";
                    return Err(CaptureError::setup(what, remedy));
                }
            }
        }
    }

    async fn password(&mut self, password: &[u8]) -> Result<(), CaptureError> {
        frontend::password_message(password, &mut self.write).map_err(unsaid)?;
        self.send().await
    }

    /// Asks; the rows come with [`Connection::row`], until there is none, and all of them have to be fetched.
    pub async fn ask(&mut self, sql: &str) -> Result<(), CaptureError> {
        frontend::query(sql, &mut self.write).map_err(unsaid)?;
        self.send().await
    }

    /// The next row of the answer, `columns` if they come first.
    pub async fn row(&mut self, columns: &mut Vec<Column>) -> Result<Option<Texts>, CaptureError> {
        loop {
            match self.message().await? {
                Message::RowDescription(body) => *columns = described(&body)?,
                Message::DataRow(body) => return texts(&body).map(Some),
                Message::ReadyForQuery(_) => return Ok(None),
                Message::CommandComplete(_) | Message::EmptyQueryResponse | Message::ParameterStatus(_) => {}
                _ => return Err(unexpected("an answer")),
            }
        }
    }

    /// A small answer as a whole.
    pub async fn query(&mut self, sql: &str) -> Result<Vec<Texts>, CaptureError> {
        self.ask(sql).await?;
        let (mut columns, mut rows) = (Vec::new(), Vec::new());
        while let Some(row) = self.row(&mut columns).await? {
            rows.push(row);
        }
        Ok(rows)
    }

    /// The first value of the first row.
    pub async fn value(&mut self, sql: &str) -> Result<Option<String>, CaptureError> {
        let rows = self.query(sql).await?;
        Ok(rows.into_iter().next().and_then(|row| row.into_iter().next()).flatten())
    }

    /// Begins to copy in both directions.
    pub async fn copy_both(&mut self, command: &str) -> Result<(), CaptureError> {
        self.ask(command).await?;
        loop {
            match self.said().await? {
                Said::CopyBoth => return Ok(()),
                Said::Message(Message::ParameterStatus(_)) => {}
                Said::Message(_) => return Err(unexpected("the answer to START_REPLICATION")),
            }
        }
    }

    /// The next piece of the copy; `None` when the server has ended it. May be dropped while it waits.
    pub async fn copied(&mut self) -> Result<Option<Bytes>, CaptureError> {
        loop {
            if let Some(copied) = self.copied_already()? {
                return Ok(copied);
            }
            self.fill().await?;
        }
    }

    /// The next piece of the copy that is here already.
    pub fn copied_already(&mut self) -> Result<Option<Option<Bytes>>, CaptureError> {
        loop {
            match self.next()? {
                None => return Ok(None),
                Some(Said::Message(Message::CopyData(body))) => return Ok(Some(Some(body.into_bytes()))),
                Some(Said::Message(Message::CopyDone)) => return Ok(Some(None)),
                Some(Said::Message(Message::ParameterStatus(_))) => {}
                Some(_) => return Err(unexpected("what is copied")),
            }
        }
    }

    /// Sends a piece of the copy.
    pub async fn copy(&mut self, data: &[u8]) -> Result<(), CaptureError> {
        let piece = frontend::CopyData::new(data).map_err(unsaid)?;
        piece.write(&mut self.write);
        self.send().await
    }

    /// Says farewell, and waits a moment until the server has heard everything and freed what it held.
    pub async fn close(mut self) {
        frontend::terminate(&mut self.write);
        let farewell = async {
            self.send().await?;
            while self.fill().await.is_ok() {
                self.read.clear();
            }
            Ok::<_, CaptureError>(())
        };
        // It notices as well when the connection ends.
        let _ = tokio::time::timeout(Duration::from_secs(1), farewell).await;
    }

    async fn message(&mut self) -> Result<Message, CaptureError> {
        match self.said().await? {
            Said::Message(message) => Ok(message),
            Said::CopyBoth => Err(unexpected("an answer")),
        }
    }

    async fn said(&mut self) -> Result<Said, CaptureError> {
        loop {
            if let Some(said) = self.next()? {
                return Ok(said);
            }
            self.fill().await?;
        }
    }

    /// What is here already. Errors of the server are errors; notices are passed over.
    fn next(&mut self) -> Result<Option<Said>, CaptureError> {
        loop {
            let Some(header) = backend::Header::parse(&self.read).map_err(unread)? else { return Ok(None) };
            let total = usize::try_from(header.len()).unwrap_or(usize::MAX).saturating_add(1);
            if total > MESSAGE_BYTES {
                return Err(CaptureError::Protocol(format!("PostgreSQL announces a message of {total} bytes")));
            }
            if self.read.len() < total {
                self.read.reserve(total - self.read.len());
                return Ok(None);
            }
            // The crate does not know it: CopyBothResponse.
            if header.tag() == b'W' {
                self.read.advance(total);
                return Ok(Some(Said::CopyBoth));
            }
            match Message::parse(&mut self.read).map_err(unread)? {
                None => return Ok(None),
                Some(Message::NoticeResponse(_) | Message::NotificationResponse(_)) => {}
                Some(Message::ErrorResponse(body)) => return Err(refused(body.fields())),
                Some(message) => return Ok(Some(Said::Message(message))),
            }
        }
    }

    async fn fill(&mut self) -> Result<(), CaptureError> {
        self.read.reserve(64 << 10);
        match self.stream.read_buf(&mut self.read).await {
            Ok(0) => Err(CaptureError::Away("PostgreSQL has ended the connection".to_owned())),
            Ok(_) => Ok(()),
            Err(error) => Err(broken(&error)),
        }
    }

    async fn send(&mut self) -> Result<(), CaptureError> {
        self.stream.write_all_buf(&mut self.write).await.map_err(|error| broken(&error))?;
        self.stream.flush().await.map_err(|error| broken(&error))
    }
}

/// Where the server is, for people.
pub(in super::super) fn place(settings: &Capture) -> String {
    match settings.host.starts_with('/') {
        true => socket(settings),
        false => format!("{}:{}", settings.host, settings.port),
    }
}

/// PostgreSQL names the socket in its folder by the port.
fn socket(settings: &Capture) -> String {
    format!("{}/.s.PGSQL.{}", settings.host.trim_end_matches('/'), settings.port)
}

async fn stream(settings: &Capture, place: &str) -> Result<Box<dyn Stream>, CaptureError> {
    let away = |error: io::Error| CaptureError::Away(format!("PostgreSQL at {place}: {error}"));
    if settings.host.starts_with('/') {
        return Ok(Box::new(UnixStream::connect(socket(settings)).await.map_err(away)?));
    }
    let mut tcp = TcpStream::connect((settings.host.as_str(), settings.port)).await.map_err(away)?;
    tcp.set_nodelay(true).map_err(away)?;
    let CaptureTls::Verify { ca_cert } = &settings.tls else { return Ok(Box::new(tcp)) };
    let mut request = BytesMut::new();
    frontend::ssl_request(&mut request);
    tcp.write_all(&request).await.map_err(away)?;
    let server = format!("PostgreSQL at {place}");
    if tcp.read_u8().await.map_err(away)? != b'S' {
        return Err(tls::absent(&server));
    }
    let name = ServerName::try_from(settings.host.clone()).map_err(|_| {
        CaptureError::setup(format!("`{}` is no name of a host", settings.host), "write host = \"...\"")
    })?;
    let secured = client(ca_cert.as_deref())?.connect(name, tcp).await;
    let refused = |error| tls::refused(&server, settings, &error).unwrap_or_else(|| away(error));
    Ok(Box::new(secured.map_err(refused)?))
}

fn client(ca_cert: Option<&std::path::Path>) -> Result<TlsConnector, CaptureError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| CaptureError::Protocol(error.to_string()))?
        .with_root_certificates(tls::authorities(ca_cert)?)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn described(body: &RowDescriptionBody) -> Result<Vec<Column>, CaptureError> {
    use postgres_protocol::message::backend::Fields;
    let mut fields: Fields<'_> = body.fields();
    let mut columns = Vec::new();
    while let Some(field) = fallible_iterator::FallibleIterator::next(&mut fields).map_err(unread)? {
        columns.push(Column { name: field.name().into(), kind: field.type_oid() });
    }
    Ok(columns)
}

fn texts(body: &DataRowBody) -> Result<Texts, CaptureError> {
    let mut ranges = body.ranges();
    let mut texts = Vec::new();
    while let Some(range) = fallible_iterator::FallibleIterator::next(&mut ranges).map_err(unread)? {
        let bytes = range.and_then(|range| body.buffer().get(range));
        texts.push(bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned()));
    }
    Ok(texts)
}

/// The server's own error, with what can be done about those that people cause.
fn refused(mut fields: ErrorFields<'_>) -> CaptureError {
    let (mut code, mut message, mut hint) = (String::new(), String::new(), None);
    while let Ok(Some(field)) = fallible_iterator::FallibleIterator::next(&mut fields) {
        let value = String::from_utf8_lossy(field.value_bytes()).into_owned();
        match field.type_() {
            b'C' => code = value,
            b'M' => message = value,
            b'H' => hint = Some(value),
            _ => {}
        }
    }
    let said = format!("PostgreSQL: {message} ({code})");
    match code.as_str() {
        "28P01" | "28000" => CaptureError::setup(said, "look at user, password and pg_hba.conf"),
        "3D000" => CaptureError::setup(said, "write the name of a database that is there (database = \"...\")"),
        "42501" => CaptureError::setup(said, "`concord capture check` says which right is missing"),
        // The slot is in use: of this capture's last connection, or of another one.
        "55006" => CaptureError::Away(said),
        // Administrator's shutdown, crash, start-up: it comes back.
        "57P01" | "57P02" | "57P03" | "53300" => CaptureError::Away(said),
        _ => match hint {
            Some(hint) => CaptureError::setup(said, hint),
            None => CaptureError::setup(said, "`concord capture check` looks for the cause"),
        },
    }
}

fn wrong_password(settings: &Capture) -> CaptureError {
    let what = format!("PostgreSQL does not accept the password of {}", settings.user);
    CaptureError::setup(what, format!("look at {}", crate::capture::place_of_password(settings)))
}

fn unexpected(when: &str) -> CaptureError {
    CaptureError::Protocol(format!("PostgreSQL says something unexpected instead of {when}"))
}

fn unread(error: io::Error) -> CaptureError {
    CaptureError::Protocol(format!("a message of PostgreSQL cannot be read: {error}"))
}

fn unsaid(error: io::Error) -> CaptureError {
    CaptureError::Protocol(format!("a message to PostgreSQL cannot be written: {error}"))
}

fn broken(error: &io::Error) -> CaptureError {
    CaptureError::Away(format!("the connection to PostgreSQL broke: {error}"))
}

/// A name in SQL.
pub(super) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text in SQL.
pub(super) fn literal(text: &str) -> String {
    postgres_protocol::escape::escape_literal(text)
}
