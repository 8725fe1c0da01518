//! PostgreSQL by logical replication (`pgoutput`).
//!
//! A replication slot is made together with a snapshot, on one connection: the initial load reads exactly what was committed
//! before, the slot begins exactly after it, and writers are never locked out. Then changes are followed. The server is told a
//! position when everything before it is durable in the log, so the slot keeps no more than it must and loses nothing; between
//! transactions the server's own keepalives are confirmed, so that the slot moves on when no captured table changes.
//!
//! Does not know what columns mean.

pub(super) mod check;
mod connection;
mod follow;
mod output;
mod values;

use super::envelope::{Operation, Place, Row, Source, VERSION, change};
use super::intake::Captured;
use super::memory::Memory;
use super::snapshot::Load;
use super::{CaptureError, Ended, Job};
use crate::config::{Capture, TableName};
use crate::log::Log;
use crate::worker::now_millis;
pub(super) use connection::place;
use connection::{Connection, Purpose, identifier, literal};
use output::Lsn;

/// From the first connection to the end of the session.
pub(super) async fn session<L: Log>(
    job: &mut Job<L>,
    database: &str,
    publication: &str,
    slot: &str,
) -> Result<Ended, CaptureError> {
    // Nothing can be delivered before.
    job.intake.configuration().await?;
    loop {
        let mut connection = Connection::open(&job.settings, database, &job.password, Purpose::Replication).await?;
        let server = connection.value("IDENTIFY_SYSTEM").await?.unwrap_or_default();
        let goal = position(&mut connection).await?;
        let memory = Memory::read(&job.memory);
        let known = match &memory {
            None => Err("nothing is known about an earlier one".to_owned()),
            Some(memory) => memory.has(&job.settings.tables, &server, &job.intake.log()),
        };
        let usable = match known {
            Ok(()) => has_slot(&mut connection, slot).await?,
            Err(why) => Err(why),
        };
        match (usable, memory) {
            (Ok(()), Some(memory)) => {
                let goal = job.until_caught.then_some(goal);
                return follow::follow(job, connection, memory, database, publication, slot, goal).await;
            }
            (usable, _) => {
                let why = usable.err().unwrap_or_default();
                tracing::info!(source = %job.name, "an initial load begins, since {why}");
                load(job, connection, database, publication, slot, &server).await?;
            }
        }
    }
}

/// Where the server's log ends, and how many bytes that is after a position.
pub(super) async fn end(
    settings: &Capture,
    database: &str,
    password: &str,
    after: Option<&str>,
) -> Result<(String, Option<u64>), CaptureError> {
    let mut connection = Connection::open(settings, database, password, Purpose::Queries).await?;
    let end = position(&mut connection).await?;
    connection.close().await;
    Ok((end.to_string(), after.and_then(Lsn::parse).map(|after| end.0.saturating_sub(after.0))))
}

/// Where the server's log ends.
async fn position(connection: &mut Connection) -> Result<Lsn, CaptureError> {
    let text = connection.value("SELECT pg_current_wal_flush_lsn()").await?;
    text.as_deref().and_then(Lsn::parse).ok_or_else(|| {
        let remedy = "name the primary server (host, port): a standby's slots begin and end with it";
        CaptureError::setup("this PostgreSQL writes no log of its own", remedy)
    })
}

/// Whether the slot still has everything since it was confirmed.
async fn has_slot(connection: &mut Connection, slot: &str) -> Result<Result<(), String>, CaptureError> {
    let lost = "SELECT coalesce(wal_status = 'lost', false) OR plugin <> 'pgoutput' OR database <> current_database() \
                FROM pg_replication_slots WHERE slot_name = ";
    Ok(match connection.value(&format!("{lost}{}", literal(slot))).await?.as_deref() {
        Some("f") => Ok(()),
        Some(_) => {
            Err(format!("the slot {slot} has lost what it kept (max_slot_wal_keep_size), or is somebody else's"))
        }
        None => Err(format!("the slot {slot} is not there")),
    })
}

/// Makes the slot, and reads all tables as they were at that moment.
async fn load<L: Log>(
    job: &mut Job<L>,
    mut connection: Connection,
    database: &str,
    publication: &str,
    slot: &str,
    server: &str,
) -> Result<(), CaptureError> {
    ready(&mut connection, &job.settings, publication).await?;
    // Somebody else's of this name stays, and making ours says so.
    let drop = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots \
                WHERE plugin = 'pgoutput' AND database = current_database() AND slot_name = ";
    connection.query(&format!("{drop}{}", literal(slot))).await?;
    connection.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    tracing::info!(source = %job.name, "the slot {slot} is being made; that waits for transactions that run now");
    let create = format!("CREATE_REPLICATION_SLOT {} LOGICAL pgoutput USE_SNAPSHOT", identifier(slot));
    let made = connection.query(&create).await?.into_iter().next();
    let begin = made.and_then(|row| row.into_iter().nth(1)).flatten();
    let begin = begin.as_deref().and_then(Lsn::parse);
    let begin = begin.ok_or_else(|| CaptureError::Protocol("PostgreSQL does not say where its slot begins".into()))?;
    let tables = job.settings.tables.clone();
    let mut load = Load::begin(job, server).await?;
    for table in &tables {
        read(&mut load, &mut connection, table, database, publication, begin).await?;
    }
    connection.query("COMMIT").await?;
    load.end(None).await?;
    connection.close().await;
    Ok(())
}

/// One table of the initial load.
async fn read<L: Log>(
    load: &mut Load<'_, L>,
    connection: &mut Connection,
    table: &TableName,
    database: &str,
    publication: &str,
    begin: Lsn,
) -> Result<(), CaptureError> {
    let list = published_columns(connection, table, publication).await?;
    let from = format!("{}.{}", identifier(&table.schema), identifier(&table.name));
    connection.ask(&format!("SELECT {list} FROM {from}")).await?;
    let (mut columns, epoch, name, now) = (Vec::new(), load.epoch(), load.name(), now_millis());
    let mut known = Vec::new();
    for number in 1.. {
        let row = connection.row(&mut columns).await?;
        if number == 1 {
            known = columns.iter().map(|column| column.name.to_string()).collect();
            load.table(table, &known);
        }
        let Some(row) = row else { break };
        let row = values::row(&columns, row);
        let source = Source {
            snapshot: "true",
            // Before all that is followed from there on.
            ..source(&name, database, table, epoch, now, wal(begin, Lsn(0), None))
        };
        let body = encoded(Operation::Read, None, Some(&row), &source)?;
        load.row(table, &known, Captured { id: format!("{epoch}:{begin}:{table}:{number}"), body }).await?;
    }
    Ok(())
}

/// Those that the publication shows; what it hides is nobody's business here.
async fn published_columns(
    connection: &mut Connection,
    table: &TableName,
    publication: &str,
) -> Result<String, CaptureError> {
    if version(connection).await? < 150_000 {
        return Ok("*".to_owned());
    }
    let names = format!(
        "SELECT unnest(attnames) FROM pg_publication_tables WHERE pubname = {} AND schemaname = {} AND tablename = {}",
        literal(publication),
        literal(&table.schema),
        literal(&table.name)
    );
    let rows = connection.query(&names).await?;
    let names: Vec<String> = rows.into_iter().flatten().flatten().map(|name| identifier(&name)).collect();
    Ok(if names.is_empty() { "*".to_owned() } else { names.join(", ") })
}

async fn version(connection: &mut Connection) -> Result<u32, CaptureError> {
    let version = connection.value("SELECT current_setting('server_version_num')").await?;
    Ok(version.and_then(|version| version.parse().ok()).unwrap_or(0))
}

/// Whether the publication has every table: an initial load without it would be followed by silence.
async fn ready(connection: &mut Connection, settings: &Capture, publication: &str) -> Result<(), CaptureError> {
    let findings = check::publication(connection, settings, publication).await?;
    match findings.into_iter().find(|found| found.state == super::check::State::Finding) {
        Some(found) => Err(CaptureError::setup(found.what, found.repair.join(" "))),
        None => Ok(()),
    }
}

fn source<'a>(
    name: &'a str,
    database: &'a str,
    table: &'a TableName,
    epoch: u64,
    millis: i64,
    place: Place<'a>,
) -> Source<'a> {
    Source {
        version: VERSION,
        connector: "postgresql",
        name,
        ts_ms: millis,
        snapshot: "false",
        db: database,
        schema: Some(&table.schema),
        table: &table.name,
        place,
        concord_epoch: epoch,
    }
}

fn wal(commit: Lsn, own: Lsn, transaction: Option<u32>) -> Place<'static> {
    Place::Wal { transaction, lsn: own.0.max(1), sequence: format!("[\"{}\",\"{}\"]", commit.0, own.0) }
}

fn encoded(
    operation: Operation,
    before: Option<&Row>,
    after: Option<&Row>,
    source: &Source<'_>,
) -> Result<bytes::Bytes, CaptureError> {
    change(operation, before, after, source, now_millis()).map_err(|why| CaptureError::Protocol(why.to_string()))
}
