//! The changes of a slot, from its confirmed position on.
//!
//! What has arrived is taken together and appended; then the server is told. Transactions come whole and in the order of their
//! commits, so the position between two of them is a place to go on from. Does not know how a slot is made.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::super::envelope::{Operation, Row, Value};
use super::super::intake::Captured;
use super::super::memory::Memory;
use super::super::progress::CaptureState;
use super::super::{CaptureError, Ended, Job, stopped};
use super::connection::{Connection, identifier, literal};
use super::output::{self, Datum, Lsn, Message, Old, Piece, Relation};
use super::{encoded, source, values, wal};
use crate::config::TableName;
use crate::log::Log;
use crate::worker::now_millis;

/// Documents that are taken at once, about.
const AT_ONCE: usize = 2_000;
/// Heartbeats without an answer after which the server counts as away.
const SILENT: u32 = 3;
/// How often a server is asked how far it is where somebody waits for that.
const IMPATIENT: Duration = Duration::from_millis(100);

/// Where the stream is.
struct Place {
    commit: Lsn,
    millis: i64,
    transaction: u32,
    /// Messages about rows so far in this transaction: part of a record's id.
    number: u64,
    within: bool,
    /// The end of the last whole transaction, or of whatever else was sent.
    seen: Lsn,
}

/// The reading of one slot.
struct Follower<'a> {
    name: &'a str,
    database: &'a str,
    tables: &'a [TableName],
    memory: &'a mut Memory,
    relations: HashMap<u32, (Relation, Option<TableName>)>,
    place: Place,
    documents: Vec<Captured>,
    /// A table's columns changed: this has to be remembered.
    changed: bool,
    reply: bool,
}

/// Follows until it is to end, or until everything before `goal` is taken.
pub(super) async fn follow<L: Log>(
    job: &mut Job<L>,
    mut connection: Connection,
    mut memory: Memory,
    database: &str,
    publication: &str,
    slot: &str,
    goal: Option<Lsn>,
) -> Result<Ended, CaptureError> {
    let names = literal(&identifier(publication));
    let options = format!("(proto_version '1', publication_names {names})");
    connection.copy_both(&format!("START_REPLICATION SLOT {} LOGICAL 0/0 {options}", identifier(slot))).await?;
    tracing::info!(source = %job.name, "following PostgreSQL at {}", super::connection::place(&job.settings));
    job.worked = true;
    job.progress.works(CaptureState::Following);
    job.intake.pulse.alive(true);
    let (name, tables, heartbeat) = (job.name.clone(), job.settings.tables.clone(), job.settings.heartbeat);
    let place = Place { commit: Lsn(0), millis: 0, transaction: 0, number: 0, within: false, seen: Lsn(0) };
    let mut follower = Follower {
        name: &name,
        database,
        tables: &tables,
        memory: &mut memory,
        relations: HashMap::new(),
        place,
        documents: Vec::new(),
        changed: false,
        reply: false,
    };
    let mut stop = job.stop.clone();
    let mut confirmed = Lsn(0);
    let mut heard = Instant::now();
    let mut beat = tokio::time::interval(if goal.is_some() { IMPATIENT.min(heartbeat) } else { heartbeat });
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let piece = tokio::select! {
            piece = connection.copied() => Some(piece?),
            _ = beat.tick() => None,
            () = stopped(&mut stop) => {
                connection.copy(&output::status(confirmed, now_millis(), false)).await?;
                connection.close().await;
                return Ok(Ended::Stopped);
            }
        };
        let Some(piece) = piece else {
            if heard.elapsed() > heartbeat * SILENT {
                return Err(CaptureError::Away("PostgreSQL has been silent for three heartbeats".to_owned()));
            }
            connection.copy(&output::status(confirmed, now_millis(), true)).await?;
            continue;
        };
        heard = Instant::now();
        let mut ended = follower.piece(piece)?;
        while !ended && follower.documents.len() < AT_ONCE {
            let Some(piece) = connection.copied_already()? else { break };
            ended = follower.piece(piece)?;
        }
        job.intake.take(&follower.documents).await?;
        let committed = (!follower.documents.is_empty()).then_some(follower.place.millis);
        follower.documents.clear();
        if follower.changed {
            follower.memory.write(&job.memory)?;
            follower.changed = false;
        }
        // Within a transaction what was seen is the end of the one before: all of that is durable now.
        let moved = follower.place.seen > confirmed;
        confirmed = confirmed.max(follower.place.seen);
        job.progress.takes(confirmed.to_string(), committed, job.intake.records);
        if moved || std::mem::take(&mut follower.reply) {
            connection.copy(&output::status(confirmed, now_millis(), false)).await?;
        }
        if goal.is_some_and(|goal| confirmed >= goal) {
            connection.close().await;
            return Ok(Ended::Caught);
        }
        if ended {
            return Err(CaptureError::Away("PostgreSQL has ended the replication".to_owned()));
        }
    }
}

impl Follower<'_> {
    /// One piece of the stream; whether it was the end.
    fn piece(&mut self, piece: Option<bytes::Bytes>) -> Result<bool, CaptureError> {
        let Some(bytes) = piece else { return Ok(true) };
        match output::piece(bytes).map_err(|why| CaptureError::Protocol(format!("PostgreSQL's changes: {why}")))? {
            Piece::Alive { end, reply } => {
                self.reply |= reply;
                if !self.place.within {
                    self.place.seen = self.place.seen.max(end);
                }
            }
            Piece::Message { at, message } => self.message(at, message)?,
        }
        Ok(false)
    }

    fn message(&mut self, at: Lsn, message: Message) -> Result<(), CaptureError> {
        match message {
            Message::Begin { commit, millis, transaction } => {
                let seen = self.place.seen;
                self.place = Place { commit, millis, transaction, number: 0, within: true, seen };
            }
            Message::Commit { end } => {
                self.place.within = false;
                self.place.seen = end;
            }
            Message::Relation(relation) => self.relation(relation),
            Message::Insert { relation, new } => {
                let new = |known: &Relation| (None, Some(row(known, new)));
                self.row(at, relation, Operation::Create, new)?;
            }
            Message::Update { relation, old, new } => {
                let rows = |known: &Relation| (old.map(|old| before(known, old)), Some(row(known, new)));
                self.row(at, relation, Operation::Update, rows)?;
            }
            Message::Delete { relation, old } => {
                self.row(at, relation, Operation::Delete, |known| (Some(before(known, old)), None))?;
            }
            Message::Truncate { relations } => {
                for relation in relations {
                    self.row(at, relation, Operation::Truncate, |_| (None, None))?;
                }
            }
            Message::Other => {}
        }
        Ok(())
    }

    /// Comes before the first row of a table, and again when its columns have changed.
    fn relation(&mut self, relation: Relation) {
        let table = TableName { schema: relation.schema.clone(), name: relation.name.clone() };
        let wanted = self.tables.contains(&table).then_some(table);
        if let Some(table) = &wanted {
            let columns: Vec<String> = relation.columns.iter().map(|column| column.name.to_string()).collect();
            if let Some(difference) = self.memory.columns(table, columns) {
                tracing::warn!(source = self.name, "the table {table} has changed: {difference}");
                self.changed = true;
            }
        }
        self.relations.insert(relation.id, (relation, wanted));
    }

    fn row(
        &mut self,
        at: Lsn,
        relation: u32,
        operation: Operation,
        rows: impl FnOnce(&Relation) -> (Option<Row>, Option<Row>),
    ) -> Result<(), CaptureError> {
        self.place.number += 1;
        let unknown = || CaptureError::Protocol("PostgreSQL tells a row before its table".to_owned());
        let (relation, wanted) = self.relations.get(&relation).ok_or_else(unknown)?;
        // The publication may have more tables than are wanted here.
        let Some(table) = wanted else { return Ok(()) };
        let Place { commit, millis, transaction, number, .. } = self.place;
        let (before, after) = rows(relation);
        let epoch = self.memory.epoch;
        let source = source(self.name, self.database, table, epoch, millis, wal(commit, at, Some(transaction)));
        let body = encoded(operation, before.as_ref(), after.as_ref(), &source)?;
        self.documents.push(Captured { id: format!("{epoch}:{commit}:{number}"), body });
        Ok(())
    }
}

fn datum(column: &super::connection::Column, datum: Datum) -> Value {
    match datum {
        Datum::Null => Value::Null,
        Datum::Unchanged => Value::Unavailable,
        Datum::Text(text) => values::value(column, Some(text)),
    }
}

fn row(relation: &Relation, data: Vec<Datum>) -> Row {
    relation.columns.iter().zip(data).map(|(column, data)| (column.name.clone(), datum(column, data))).collect()
}

/// Of a row that is told by its key, the key alone: that the rest is NULL says nothing about it.
fn before(relation: &Relation, old: Old) -> Row {
    match old {
        Old::Whole(data) => row(relation, data),
        Old::Key(data) => {
            let keys = relation.keys.iter().copied();
            row(relation, data).into_iter().zip(keys).filter(|(_, key)| *key).map(|(column, _)| column).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::connection::Column;
    use super::*;

    fn relation() -> Relation {
        let column = |name: &str, kind| Column { name: name.into(), kind };
        Relation {
            id: 7,
            schema: "public".into(),
            name: "nights".into(),
            columns: vec![column("id", 25), column("units", 23)],
            keys: vec![true, false],
        }
    }

    fn memory() -> Memory {
        Memory::loading(None, "1", crate::log::Identity { id: "l".into(), partitions: 1 })
    }

    fn told(messages: Vec<(u64, Message)>) -> (Vec<(String, String)>, Lsn) {
        let (mut memory, tables) = (memory(), [TableName { schema: "public".into(), name: "nights".into() }]);
        memory.epoch = 9;
        let mut follower = Follower {
            name: "cloud",
            database: "pms",
            tables: &tables,
            memory: &mut memory,
            relations: HashMap::new(),
            place: Place { commit: Lsn(0), millis: 0, transaction: 0, number: 0, within: false, seen: Lsn(5) },
            documents: Vec::new(),
            changed: false,
            reply: false,
        };
        for (at, message) in messages {
            follower.message(Lsn(at), message).unwrap();
        }
        let text = |body: &bytes::Bytes| {
            let value: serde_json::Value = serde_json::from_slice(body).unwrap();
            format!("{} {} {} {}", value["op"], value["before"], value["after"], value["source"]["sequence"])
        };
        (follower.documents.iter().map(|d| (d.id.clone(), text(&d.body))).collect(), follower.place.seen)
    }

    #[test]
    fn a_transaction_of_one_table() {
        let text = |text: &str| Datum::Text(text.to_owned());
        let begin = Message::Begin { commit: Lsn(0x20), millis: 1, transaction: 3 };
        let other = Relation { id: 8, name: "guests".into(), ..relation() };
        let messages = vec![
            (0x10, begin.clone()),
            (0x10, Message::Relation(relation())),
            (0x10, Message::Relation(other)),
            (0x10, Message::Insert { relation: 8, new: vec![text("x"), text("1")] }),
            (0x12, Message::Insert { relation: 7, new: vec![text("a"), text("5")] }),
            (0x14, Message::Delete { relation: 7, old: Old::Key(vec![text("a"), Datum::Null]) }),
        ];
        let (documents, seen) = told(messages.clone());
        let expected = [
            ("9:0/20:2", r#""c" null {"id":"a","units":5} "[\"32\",\"18\"]""#),
            ("9:0/20:3", r#""d" {"id":"a"} null "[\"32\",\"20\"]""#),
        ];
        assert_eq!(documents, expected.map(|(id, text)| (id.to_owned(), text.to_owned())));
        assert_eq!(seen, Lsn(5), "not before its end");
        let (_, seen) = told([messages, vec![(0x20, Message::Commit { end: Lsn(0x28) })]].concat());
        assert_eq!(seen, Lsn(0x28));
    }
}
