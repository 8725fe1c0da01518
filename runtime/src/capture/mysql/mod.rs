//! MySQL and MariaDB by their binlog, in row format.
//!
//! The initial load reads one consistent snapshot that locks nobody out. MariaDB says which position of the binlog belongs to
//! exactly this snapshot; MySQL does not, so the position is taken just before it, and what was committed between the two is
//! read twice: the rows' later positions put them in their place. Then the binlog is followed. The server keeps no position for
//! anybody, so it stands in the capture's own file (see `memory`), written after the records; what is read again is a duplicate.
//!
//! Does not know what columns mean.

pub(super) mod check;
mod follow;
mod values;

use std::sync::Arc;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, DriverError, IoError, OptsBuilder, Row as Answer, SslOpts};

use super::envelope::{Operation, Place, Row, Source, VERSION, change};
use super::intake::Captured;
use super::memory::{BinlogPosition, Memory, Stage};
use super::snapshot::Load;
use super::{CaptureError, Ended, Job, tls};
use crate::config::{Capture, CaptureTls, TableName};
use crate::log::Log;
use crate::worker::now_millis;

/// What is known of a server.
#[derive(Clone, Debug)]
struct Server {
    mariadb: bool,
    /// Another one has another.
    identity: String,
}

/// From the first connection to the end of the session.
pub(super) async fn session<L: Log>(job: &mut Job<L>, server_id: u32) -> Result<Ended, CaptureError> {
    // Nothing can be delivered before.
    job.intake.configuration().await?;
    loop {
        let mut connection = open(&job.settings, &job.password).await?;
        let server = server(&mut connection).await?;
        check::ready(&mut connection, &server).await?;
        let goal = position(&mut connection).await?;
        let memory = Memory::read(&job.memory);
        let known = match &memory {
            None => Err("nothing is known about an earlier one".to_owned()),
            Some(memory) => memory
                .has(&job.settings.tables, &server.identity, &job.intake.log())
                .and_then(|()| comes_before(&memory.stage, &goal)),
        };
        let (why, memory) = match (known, memory) {
            (Ok(()), Some(memory)) => {
                let goal = job.until_caught.then_some(goal);
                let before = memory.clone();
                match follow::follow(job, connection, memory, &server, server_id, goal).await {
                    Err(CaptureError::Gap(why)) => (why, Some(before)),
                    ended => return ended,
                }
            }
            (known, _) => (known.err().unwrap_or_default(), None),
        };
        if let Some(mut memory) = memory {
            // Nothing has begun yet, and what is known is worth nothing any more.
            memory.stage = Stage::Loading { begun: [].into() };
            memory.write(&job.memory)?;
        }
        tracing::info!(source = %job.name, "an initial load begins, since {why}");
        load(job, &server).await?;
    }
}

/// A position behind the end of the binlog is one of another binlog.
fn comes_before(stage: &Stage, end: &BinlogPosition) -> Result<(), String> {
    match stage {
        Stage::Following { position: Some(position) } if follow::reached(end, position) => Ok(()),
        Stage::Following { position: Some(_) } => Err("the server's binlog has begun anew".to_owned()),
        _ => Err("no position is known".to_owned()),
    }
}

/// Connects as the settings say.
async fn open(settings: &Capture, password: &str) -> Result<Conn, CaptureError> {
    let mut options = OptsBuilder::default()
        .user(Some(settings.user.clone()))
        .pass(Some(password.to_owned()))
        .prefer_socket(false)
        // One form of texts and times, whatever the server's own settings are.
        .setup(vec!["SET NAMES utf8mb4", "SET SESSION time_zone = '+00:00'"]);
    options = match settings.host.starts_with('/') {
        true => options.socket(Some(settings.host.clone())),
        false => options.ip_or_hostname(settings.host.clone()).tcp_port(settings.port),
    };
    if let CaptureTls::Verify { ca_cert } = &settings.tls {
        let mut secured = SslOpts::default();
        if let Some(path) = ca_cert {
            // Read here first: it says what is wrong with it.
            tls::authorities(Some(path))?;
            secured = secured.with_root_certs(vec![path.clone().into()]).with_disable_built_in_roots(true);
        }
        options = options.ssl_opts(Some(secured));
    }
    let connected = tokio::time::timeout(std::time::Duration::from_secs(10), Conn::new(options)).await;
    let place = place(settings);
    match connected {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(unsecured(settings, &error).unwrap_or_else(|| failed(&format!("at {place}"), &error))),
        Err(_) => Err(CaptureError::Away(format!("MySQL at {place} does not answer within 10 s"))),
    }
}

/// Where the server is, for people.
pub(super) fn place(settings: &Capture) -> String {
    match settings.host.starts_with('/') {
        true => settings.host.clone(),
        false => format!("{}:{}", settings.host, settings.port),
    }
}

/// What was wrong with TLS, if that was it.
fn unsecured(settings: &Capture, error: &mysql_async::Error) -> Option<CaptureError> {
    let server = format!("MySQL at {}", place(settings));
    match error {
        mysql_async::Error::Driver(DriverError::NoClientSslFlagFromServer) => Some(tls::absent(&server)),
        mysql_async::Error::Io(IoError::Tls(why)) => Some(tls::failed(&server, settings, why)),
        // The handshake's own errors come as the connection's.
        mysql_async::Error::Io(IoError::Io(why)) => tls::refused(&server, settings, why),
        _ => None,
    }
}

/// An error of the server or of the connection, with what can be done about those that people cause.
fn failed(when: &str, error: &mysql_async::Error) -> CaptureError {
    let said = format!("MySQL {when}: {error}");
    match error {
        mysql_async::Error::Server(error) => match error.code {
            1045 | 1698 => CaptureError::setup(said, "look at user and password"),
            1227 | 1142 | 1044 => CaptureError::setup(said, "`concord capture check` says which right is missing"),
            1146 | 1049 => CaptureError::setup(said, "look at `tables` in [source.capture]"),
            // A server that ends, or too many connections.
            1053 | 1040 | 1927 | 1077 | 1080 => CaptureError::Away(said),
            _ => CaptureError::setup(said, "`concord capture check` looks for the cause"),
        },
        _ => CaptureError::Away(said),
    }
}

async fn server(connection: &mut Conn) -> Result<Server, CaptureError> {
    let asked = |error| failed("is asked for its version", &error);
    let version: Option<String> = connection.query_first("SELECT VERSION()").await.map_err(asked)?;
    let mariadb = version.unwrap_or_default().contains("MariaDB");
    // Older servers have none of their own.
    for unique in ["@@server_uid", "@@server_uuid", "CONCAT(@@hostname, ':', @@port, ':', @@server_id)"] {
        if let Ok(Some(identity)) = connection.query_first(format!("SELECT {unique}")).await {
            return Ok(Server { mariadb, identity });
        }
    }
    Ok(Server { mariadb, identity: String::new() })
}

/// Where the binlog ends, and how many bytes that is after a position in the same file.
pub(super) async fn end(
    settings: &Capture,
    password: &str,
    after: Option<&str>,
) -> Result<(String, Option<u64>), CaptureError> {
    let mut connection = open(settings, password).await?;
    let end = position(&mut connection).await?;
    // It is of no use any more; that it cannot be closed well harms nobody.
    let _ = connection.disconnect().await;
    let after = after.and_then(|after| after.rsplit_once(':')).filter(|(file, _)| *file == end.file);
    let behind = after.and_then(|(_, pos)| Some(end.pos.saturating_sub(pos.parse().ok()?)));
    Ok((end.to_string(), behind))
}

/// Where the binlog ends.
async fn position(connection: &mut Conn) -> Result<BinlogPosition, CaptureError> {
    // MySQL 8.4 has only the new words, MariaDB only the old ones.
    let row: Option<Answer> = match connection.query_first("SHOW MASTER STATUS").await {
        Ok(row) => row,
        Err(mysql_async::Error::Server(error)) if error.code == 1064 => {
            let asked = |error| failed("is asked for its binlog", &error);
            connection.query_first("SHOW BINARY LOG STATUS").await.map_err(asked)?
        }
        Err(error) => return Err(failed("is asked for its binlog", &error)),
    };
    let file = row.as_ref().and_then(|row| row.get_opt::<String, _>(0)?.ok());
    let pos = row.as_ref().and_then(|row| row.get_opt::<u64, _>(1)?.ok());
    match (file, pos) {
        (Some(file), Some(pos)) => Ok(BinlogPosition { file, pos }),
        _ => Err(CaptureError::setup("the server writes no binlog", "`concord capture check` says how to change that")),
    }
}

/// The position that belongs to the snapshot which this connection sees.
async fn of_snapshot(connection: &mut Conn) -> Result<BinlogPosition, CaptureError> {
    let asked = |error| failed("is asked for its snapshot", &error);
    let rows: Vec<(String, String)> = connection.query("SHOW STATUS LIKE 'binlog_snapshot_%'").await.map_err(asked)?;
    let of =
        |name: &str| rows.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str());
    let pos = of("binlog_snapshot_position").and_then(|pos| pos.parse().ok());
    match (of("binlog_snapshot_file"), pos) {
        (Some(file), Some(pos)) if !file.is_empty() => Ok(BinlogPosition { file: file.to_owned(), pos }),
        _ => Err(CaptureError::setup("the server writes no binlog", "`concord capture check` says how to change that")),
    }
}

/// Reads all tables as they are at one moment.
async fn load<L: Log>(job: &mut Job<L>, server: &Server) -> Result<(), CaptureError> {
    let asked = |error| failed("is asked for a snapshot", &error);
    let mut connection = open(&job.settings, &job.password).await?;
    let before = position(&mut connection).await?;
    for statement in
        ["SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ", "START TRANSACTION WITH CONSISTENT SNAPSHOT"]
    {
        connection.query_drop(statement).await.map_err(asked)?;
    }
    let position = if server.mariadb { of_snapshot(&mut connection).await? } else { before };
    let tables = job.settings.tables.clone();
    let mut load = Load::begin(job, &server.identity).await?;
    for table in &tables {
        read(&mut load, &mut connection, table, &position, server).await?;
    }
    connection.query_drop("COMMIT").await.map_err(asked)?;
    load.end(Some(position)).await?;
    // It is of no use any more; that it cannot be closed well harms nobody.
    let _ = connection.disconnect().await;
    Ok(())
}

/// One table of the initial load.
async fn read<L: Log>(
    load: &mut Load<'_, L>,
    connection: &mut Conn,
    table: &TableName,
    position: &BinlogPosition,
    server: &Server,
) -> Result<(), CaptureError> {
    let asked = |error| failed(&format!("is asked for {table}"), &error);
    let statement = format!("SELECT * FROM {}.{}", identifier(&table.schema), identifier(&table.name));
    let mut answer = connection.query_iter(statement).await.map_err(asked)?;
    let columns = answer.columns().unwrap_or_else(|| Arc::from([]));
    let names: Vec<Arc<str>> = columns.iter().map(|column| Arc::from(column.name_str().as_ref())).collect();
    let known: Vec<String> = names.iter().map(ToString::to_string).collect();
    load.table(table, &known);
    let (epoch, name, now) = (load.epoch(), load.name(), now_millis());
    for number in 1.. {
        let Some(answered) = answer.next().await.map_err(asked)? else { break };
        let values = answered.unwrap();
        let value = |(place, value): (usize, &mysql_async::Value)| {
            let column = columns.get(place);
            let value = column.map(|column| values::answered(column.column_type(), column.character_set(), value));
            (names.get(place).cloned().unwrap_or_default(), value.unwrap_or(super::envelope::Value::Null))
        };
        let row: Row = values.iter().enumerate().map(value).collect();
        let place = Place::Binlog { server_id: 0, file: &position.file, pos: position.pos, row: 0 };
        let source = Source { snapshot: "true", ..source(&name, server, table, epoch, now, place) };
        let body = encoded(Operation::Read, None, Some(&row), &source)?;
        let id = format!("{epoch}:{}:{}:{table}:{number}", position.file, position.pos);
        load.row(table, &known, Captured { id, body }).await?;
    }
    Ok(())
}

fn source<'a>(
    name: &'a str,
    server: &Server,
    table: &'a TableName,
    epoch: u64,
    millis: i64,
    place: Place<'a>,
) -> Source<'a> {
    Source {
        version: VERSION,
        connector: if server.mariadb { "mariadb" } else { "mysql" },
        name,
        ts_ms: millis,
        snapshot: "false",
        db: &table.schema,
        schema: None,
        table: &table.name,
        place,
        concord_epoch: epoch,
    }
}

fn encoded(
    operation: Operation,
    before: Option<&Row>,
    after: Option<&Row>,
    source: &Source<'_>,
) -> Result<bytes::Bytes, CaptureError> {
    change(operation, before, after, source, now_millis()).map_err(|why| CaptureError::Protocol(why.to_string()))
}

/// A name in SQL.
fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}
