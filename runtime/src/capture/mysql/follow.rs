//! The binlog from a position on.
//!
//! What has arrived is taken together and appended; the position between two transactions is kept after it, a few times a second.
//! Table maps have to name their columns, so that a row is read by the columns of its own time. Does not know how values are encoded.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use futures::{FutureExt as _, StreamExt as _};
use mysql_async::binlog::EventType;
use mysql_async::binlog::events::{Event, EventData, QueryEvent, RowsEventData};
use mysql_async::prelude::Queryable;
use mysql_async::{BinlogStream, BinlogStreamRequest, Conn};

use super::super::envelope::{Operation, Place};
use super::super::intake::Captured;
use super::super::memory::{BinlogPosition, Memory, Stage};
use super::super::progress::CaptureState;
use super::super::{CaptureError, Ended, Job, stopped};
use super::values::Shape;
use super::{Server, encoded, failed, source};
use crate::config::TableName;
use crate::log::Log;

/// Documents that are taken at once, about.
const AT_ONCE: usize = 2_000;
/// Heartbeats that may be missing before the server counts as away.
const SILENT: u32 = 3;
/// How often the position is written at most: what is read again after a crash is at most this old.
const KEEP: Duration = Duration::from_millis(500);
/// Event types that number the transaction which follows: MySQL's three, MariaDB's one.
const NUMBERING: [u8; 4] = [0x21, 0x22, 0x2a, 0xa2];
/// Event types of MariaDB that hold compressed rows and statements.
const COMPRESSED: std::ops::RangeInclusive<u8> = 165..=171;

/// The reading of a binlog.
struct Follower<'a> {
    name: &'a str,
    server: &'a Server,
    tables: &'a [TableName],
    memory: &'a mut Memory,
    /// By the number that the server gives a table as it is.
    shapes: HashMap<u64, Option<(TableName, Shape)>>,
    file: String,
    /// The server has said how it writes events.
    described: bool,
    /// Where the last event ended.
    end: u64,
    within: bool,
    /// Between two transactions: everything before it has been read.
    seen: BinlogPosition,
    documents: Vec<Captured>,
    /// When the last of them was, in milliseconds since 1970-01-01T00:00:00Z.
    committed: i64,
    changed: bool,
}

/// Follows until it is to end, or until everything before `goal` is taken.
pub(super) async fn follow<L: Log>(
    job: &mut Job<L>,
    mut connection: Conn,
    mut memory: Memory,
    server: &Server,
    server_id: u32,
    goal: Option<BinlogPosition>,
) -> Result<Ended, CaptureError> {
    let Stage::Following { position: Some(start) } = memory.stage.clone() else {
        return Err(CaptureError::Gap("no position is known".to_owned()));
    };
    if goal.as_ref().is_some_and(|goal| reached(&start, goal)) {
        return Ok(Ended::Caught);
    }
    let heartbeat = job.settings.heartbeat;
    let asked = |error| failed("is asked for its binlog", &error);
    let beat = format!("SET @master_heartbeat_period = {}", heartbeat.as_nanos());
    connection.query_drop(beat).await.map_err(asked)?;
    let request = BinlogStreamRequest::new(server_id).with_filename(start.file.as_bytes()).with_pos(start.pos);
    let mut stream = connection.get_binlog_stream(request).await.map_err(asked)?;
    tracing::info!(source = %job.name, "following MySQL at {}", super::place(&job.settings));
    job.worked = true;
    job.progress.works(CaptureState::Following);
    job.intake.pulse.alive(true);
    let (name, tables) = (job.name.clone(), job.settings.tables.clone());
    let mut follower = Follower {
        name: &name,
        server,
        tables: &tables,
        memory: &mut memory,
        shapes: HashMap::new(),
        file: start.file.clone(),
        described: false,
        end: start.pos,
        within: false,
        seen: start,
        documents: Vec::new(),
        committed: 0,
        changed: false,
    };
    let mut stop = job.stop.clone();
    let mut kept = Instant::now();
    loop {
        if goal.as_ref().is_some_and(|goal| reached(&follower.seen, goal)) {
            follower.keep(job)?;
            return Ok(Ended::Caught);
        }
        let event = tokio::select! {
            event = tokio::time::timeout(heartbeat * SILENT, stream.next()) => event,
            () = stopped(&mut stop) => {
                follower.keep(job)?;
                return Ok(Ended::Stopped);
            }
        };
        let silent = |_| CaptureError::Away("MySQL has been silent for three heartbeats".to_owned());
        follower.take(event.map_err(silent)?, &stream)?;
        while follower.documents.len() < AT_ONCE {
            let Some(event) = stream.next().now_or_never() else { break };
            follower.take(event, &stream)?;
        }
        job.intake.take(&follower.documents).await?;
        let committed = (!follower.documents.is_empty()).then_some(follower.committed);
        follower.documents.clear();
        job.progress.takes(follower.seen.to_string(), committed, job.intake.records);
        if follower.changed || kept.elapsed() >= KEEP {
            follower.keep(job)?;
            kept = Instant::now();
        }
    }
}

/// Whether a position is not before another one: file names count on.
pub(super) fn reached(position: &BinlogPosition, goal: &BinlogPosition) -> bool {
    let number = |file: &str| file.rsplit('.').next().and_then(|digits| digits.parse::<u64>().ok());
    (number(&position.file), position.pos) >= (number(&goal.file), goal.pos)
}

impl Follower<'_> {
    /// Writes down how far everything is in the log.
    fn keep<L: Log>(&mut self, job: &Job<L>) -> Result<(), CaptureError> {
        let stage = Stage::Following { position: Some(self.seen.clone()) };
        if self.changed || self.memory.stage != stage {
            self.memory.stage = stage;
            self.memory.write(&job.memory)?;
            self.changed = false;
        }
        Ok(())
    }

    fn take(
        &mut self,
        event: Option<Result<Event, mysql_async::Error>>,
        stream: &BinlogStream,
    ) -> Result<(), CaptureError> {
        match event {
            Some(Ok(event)) => self.event(&event, stream),
            Some(Err(mysql_async::Error::Server(error))) if error.code == 1236 => Err(match lost(&error.message) {
                true => CaptureError::Gap(format!("the binlog has lost what comes next ({})", error.message)),
                false => CaptureError::setup(
                    format!("MySQL ends its binlog: {}", error.message),
                    "does another replica have this server_id? Write another server_id = ... into [source.capture]",
                ),
            }),
            Some(Err(error)) => Err(failed("sends its binlog", &error)),
            None => Err(CaptureError::Away("MySQL has ended the connection".to_owned())),
        }
    }

    fn event(&mut self, event: &Event, stream: &BinlogStream) -> Result<(), CaptureError> {
        let header = event.header();
        let raw = header.event_type_raw();
        if COMPRESSED.contains(&raw) {
            return Err(CaptureError::setup(
                "the server compresses its binlog (log_bin_compress)",
                "SET GLOBAL log_bin_compress = OFF; what is compressed already is read anew by an initial load",
            ));
        }
        let start = self.advance(header.log_pos(), header.event_size());
        let unread = |error: std::io::Error| CaptureError::Protocol(format!("an event of the binlog: {error}"));
        match header.event_type() {
            Ok(EventType::FORMAT_DESCRIPTION_EVENT) => self.described = true,
            // The first one only repeats what was asked for, and it is read before anybody knows that it ends with a checksum.
            Ok(EventType::ROTATE_EVENT) if self.described => {
                if let Some(EventData::RotateEvent(rotate)) = event.read_data().map_err(unread)? {
                    self.file = rotate.name().into_owned();
                    self.end = rotate.position();
                    self.boundary();
                }
            }
            Ok(EventType::QUERY_EVENT) => {
                let query: QueryEvent<'_> = event.read_event().map_err(unread)?;
                self.statement(&query.schema(), &query.query(), start, header.timestamp())?;
            }
            Ok(EventType::XID_EVENT | EventType::XA_PREPARE_LOG_EVENT) => {
                self.within = false;
                self.boundary();
            }
            Ok(EventType::INCIDENT_EVENT) => {
                return Err(CaptureError::Gap("the server says that its binlog has a hole".to_owned()));
            }
            _ => {
                if let Some(EventData::RowsEvent(rows)) = event.read_data().map_err(unread)? {
                    self.within = true;
                    self.rows(&rows, stream, start, header.timestamp(), header.server_id())?;
                } else if !NUMBERING.contains(&raw) {
                    // What the server notes for itself, also a heartbeat.
                    self.boundary();
                }
            }
        }
        Ok(())
    }

    /// Moves to the end of an event; where it began. The server writes 32 bits of the position.
    fn advance(&mut self, end: u32, size: u32) -> u64 {
        // Made for this connection only, or at an unknown place.
        if end == 0 {
            return self.end;
        }
        let mut place = (self.end & !0xFFFF_FFFF) | u64::from(end);
        if place + 0x8000_0000 < self.end {
            place += 1 << 32;
        }
        self.end = place;
        place.saturating_sub(size.into())
    }

    fn boundary(&mut self) {
        if !self.within {
            self.seen = BinlogPosition { file: self.file.clone(), pos: self.end };
        }
    }

    fn statement(&mut self, schema: &str, text: &str, start: u64, seconds: u32) -> Result<(), CaptureError> {
        let plain = text.replace('`', "");
        let mut words = plain.split_ascii_whitespace();
        let first = words.next().unwrap_or_default().trim_end_matches(';').to_ascii_uppercase();
        match first.as_str() {
            "BEGIN" => self.within = true,
            "COMMIT" | "ROLLBACK" if words.next().is_none_or(|word| !word.eq_ignore_ascii_case("to")) => {
                self.within = false;
                self.boundary();
            }
            "INSERT" | "UPDATE" | "DELETE" | "REPLACE" | "LOAD" | "WITH" => {
                if let Some(table) = self.named(schema, &plain) {
                    let what = format!("a change of {table} stands in the binlog as a statement, not as rows");
                    return Err(CaptureError::Gap(format!("{what} (is binlog_format ROW for every session?)")));
                }
                self.boundary();
            }
            "TRUNCATE" => {
                let name = words.find(|word| !word.eq_ignore_ascii_case("table")).unwrap_or_default();
                let name = name.trim_end_matches(';');
                let (schema, name) = name.split_once('.').unwrap_or((schema, name));
                let table = TableName { schema: schema.to_owned(), name: name.to_owned() };
                if self.tables.contains(&table) {
                    self.document(&table, Operation::Truncate, None, None, start, 0, seconds, 0)?;
                }
                self.boundary();
            }
            _ => {
                if matches!(first.as_str(), "ALTER" | "RENAME" | "DROP" | "CREATE")
                    && let Some(table) = self.named(schema, &plain)
                {
                    tracing::warn!(source = self.name, "the schema of {table} changes: {}", excerpt(text));
                }
                self.boundary();
            }
        }
        Ok(())
    }

    /// A captured table that a statement names.
    fn named(&self, schema: &str, text: &str) -> Option<&TableName> {
        let word = |c: char| !c.is_alphanumeric() && c != '_' && c != '$' && c != '.';
        let is = |table: &&TableName| {
            let full = table.to_string();
            text.split(word).any(|word| word == full || word == table.name && schema == table.schema)
        };
        self.tables.iter().find(is)
    }

    fn rows(
        &mut self,
        rows: &RowsEventData<'_>,
        stream: &BinlogStream,
        start: u64,
        seconds: u32,
        server_id: u32,
    ) -> Result<(), CaptureError> {
        let unread = |error: std::io::Error| CaptureError::Protocol(format!("rows of the binlog: {error}"));
        let id = rows.table_id();
        let Some(map) = stream.get_tme(id) else {
            // The number that ends a statement.
            return Ok(());
        };
        if !self.shapes.contains_key(&id) {
            let table = TableName { schema: map.database_name().into_owned(), name: map.table_name().into_owned() };
            let known = match self.tables.contains(&table) {
                false => None,
                true => Some(self.shape(table, Shape::of(map).map_err(unread)?, map.columns_count())?),
            };
            self.shapes.insert(id, known);
        }
        let Some(Some((table, shape))) = self.shapes.get(&id).cloned() else { return Ok(()) };
        for (number, pair) in (0..).zip(rows.rows(map)) {
            let (before, after) = pair.map_err(unread)?;
            let operation = match (&before, &after) {
                (None, _) => Operation::Create,
                (Some(_), Some(_)) => Operation::Update,
                (Some(_), None) => Operation::Delete,
            };
            let (before, after) = (before.map(|row| shape.row(row)), after.map(|row| shape.row(row)));
            self.document(&table, operation, before.as_ref(), after.as_ref(), start, number, seconds, server_id)?;
        }
        Ok(())
    }

    fn shape(&mut self, table: TableName, shape: Shape, count: u64) -> Result<(TableName, Shape), CaptureError> {
        if shape.columns.len() as u64 != count {
            let what = format!("the binlog does not name the columns of {table}");
            return Err(CaptureError::Gap(format!("{what} (is binlog_row_metadata FULL?)")));
        }
        let columns = shape.columns.iter().map(ToString::to_string).collect();
        if let Some(difference) = self.memory.columns(&table, columns) {
            tracing::warn!(source = self.name, "the table {table} has changed: {difference}");
            self.changed = true;
        }
        Ok((table, shape))
    }

    #[expect(clippy::too_many_arguments, reason = "each of them is a part of the document")]
    fn document(
        &mut self,
        table: &TableName,
        operation: Operation,
        before: Option<&super::Row>,
        after: Option<&super::Row>,
        start: u64,
        row: u64,
        seconds: u32,
        server_id: u32,
    ) -> Result<(), CaptureError> {
        let epoch = self.memory.epoch;
        let place = Place::Binlog { server_id, file: &self.file, pos: start, row };
        self.committed = i64::from(seconds) * 1_000;
        let source = source(self.name, self.server, table, epoch, self.committed, place);
        let body = encoded(operation, before, after, &source)?;
        self.documents.push(Captured { id: format!("{epoch}:{}:{start}:{row}", self.file), body });
        Ok(())
    }
}

/// Whether the server has not any more what comes after the position.
fn lost(message: &str) -> bool {
    let words = ["Could not find", "could not find", "purged", "impossible position", "position > file size"];
    words.iter().any(|words| message.contains(words))
}

/// The beginning of a statement, on one line.
fn excerpt(text: &str) -> String {
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(120) {
        Some((end, _)) => format!("{} ...", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with<T>(work: impl FnOnce(&mut Follower<'_>) -> T) -> T {
        let server = Server { mariadb: true, identity: "s".into() };
        let tables = [TableName { schema: "hotel".into(), name: "kontingente".into() }];
        let mut memory = Memory::loading(None, "s", crate::log::Identity { id: "l".into(), partitions: 1 });
        let file = "bin.000003".to_owned();
        let mut follower = Follower {
            name: "legacy",
            server: &server,
            tables: &tables,
            memory: &mut memory,
            shapes: HashMap::new(),
            described: true,
            end: 4,
            within: false,
            seen: BinlogPosition { file: file.clone(), pos: 4 },
            file,
            documents: Vec::new(),
            committed: 0,
            changed: false,
        };
        work(&mut follower)
    }

    #[test]
    fn a_position_is_kept_between_transactions_only() {
        with(|follower| {
            for (end, statement, expected) in [
                (100, "BEGIN", 4),
                (200, "SAVEPOINT `a`", 4),
                (250, "ROLLBACK TO `a`", 4),
                (300, "COMMIT", 300),
                (400, "CREATE TABLE x (id int)", 400),
            ] {
                follower.advance(end, 50);
                follower.statement("hotel", statement, 0, 0).unwrap();
                assert_eq!(follower.seen.pos, expected, "{statement}");
            }
        });
    }

    #[test]
    fn statements_about_captured_tables_are_noticed() {
        for (schema, statement, gap) in [
            ("hotel", "UPDATE kontingente SET a = 1", true),
            ("other", "UPDATE `hotel`.`kontingente` SET a = 1", true),
            ("other", "UPDATE kontingente SET a = 1", false),
            ("hotel", "UPDATE kontingente_alt SET a = 1", false),
        ] {
            let told = with(|follower| follower.statement(schema, statement, 0, 0));
            assert_eq!(matches!(told, Err(CaptureError::Gap(_))), gap, "{statement}");
        }
        let documents = with(|follower| {
            follower.statement("hotel", "TRUNCATE TABLE `kontingente`", 7, 1).unwrap();
            follower.statement("hotel", "truncate other.kontingente", 9, 1).unwrap();
            follower
                .documents
                .iter()
                .map(|document| document.id.rsplit(':').nth(1).unwrap().to_owned())
                .collect::<Vec<_>>()
        });
        assert_eq!(documents, ["7"]);
    }

    #[test]
    fn positions_go_beyond_32_bits() {
        with(|follower| {
            follower.advance(0xFFFF_FF00, 16);
            assert_eq!(follower.advance(0x10, 0x20), (1 << 32) - 0x10);
            assert_eq!(follower.end, (1 << 32) + 0x10);
            assert_eq!(follower.advance(0, 99), follower.end, "events made for the connection move nothing");
        });
        let at = |file: &str, pos| BinlogPosition { file: file.into(), pos };
        assert!(reached(&at("bin.000010", 4), &at("bin.000009", 900)));
        assert!(!reached(&at("bin.000009", 899), &at("bin.000009", 900)));
    }
}
