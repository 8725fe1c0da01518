//! The three ways to write that a row has changed.
//!
//! Knows the envelopes of Debezium, Maxwell and wal2json (both formats). Does not know what the rows mean.

use concord_plugin::json::At;
use concord_plugin::{Action, Rejection, Revision};

use crate::order;
use crate::row::Row;
use crate::settings::Settings;

/// What happened to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// It is there: inserted, or read by a snapshot.
    Set,
    Update,
    Delete,
    /// All rows of the table are gone.
    Truncate,
}

/// A change of a row.
pub struct Change<'j> {
    pub at: At<'j>,
    /// The names that the table goes by, the shortest first.
    pub table: Vec<String>,
    pub operation: Operation,
    /// Perhaps the key only.
    pub before: Option<Row<'j>>,
    pub after: Option<Row<'j>>,
    pub revision: Option<Revision>,
}

/// Under which key a record says that it is one half of a change that leaves one hotel for another.
pub const HALF: &str = "concord_half";

/// The edge of an initial load, as Concord's own capture writes it: the hotel, and `snapshot.begin` or `snapshot.end`.
pub fn edge(root: At<'_>) -> Result<Option<(String, Action)>, Rejection> {
    let Some(word) = root.raw("concord_snapshot") else { return Ok(None) };
    let begins = word.one_of(&[("begin", true), ("end", false)])?;
    let property = root.needs("property")?.code()?.to_owned();
    Ok(Some((property, if begins { Action::SnapshotBegin } else { Action::SnapshotEnd })))
}

/// The parts of a delivery: one change each. Only wal2json's format 1 puts a whole transaction into one document.
pub fn parts(root: At<'_>) -> Result<Vec<At<'_>>, Rejection> {
    let Some(changes) = root.raw("change").filter(|_| root.raw("payload").is_none()) else { return Ok(vec![root]) };
    let parts: Vec<At<'_>> = changes.list()?.collect();
    if parts.is_empty() { Err(root.reject("a transaction without changes to rows")) } else { Ok(parts) }
}

/// Reads a part.
pub fn read<'j>(root: At<'j>, part: At<'j>, place: u64, settings: &Settings) -> Result<Change<'j>, Rejection> {
    if !part.is(root) {
        return wal_transaction(root, part, place);
    }
    if root.is_null() {
        return Err(tombstone(root));
    }
    let object = root.object()?;
    match (object.get("payload"), object.get("action"), object.get("type")) {
        (Some(payload), ..) if payload.is_null() => Err(tombstone(root)),
        (Some(payload), ..) => debezium(payload, object.get("schema"), settings),
        (None, None, _) if root.raw("op").is_some() => debezium(root, None, settings),
        (None, Some(action), _) => wal_change(root, action),
        (None, None, Some(kind)) => maxwell(root, kind),
        _ => Err(no_row(root)),
    }
}

fn tombstone(at: At<'_>) -> Rejection {
    at.reject("a tombstone says nothing that the deletion before it did not (tombstones.on.delete=false saves them)")
}

fn no_row(at: At<'_>) -> Rejection {
    let kinds = [
        ("ddl", "a change of the schema, not of a row"),
        ("databaseName", "a change of the schema, not of a row"),
        ("event_count", "a transaction's boundary, not a change of a row"),
        ("status", "a transaction's boundary, not a change of a row"),
        ("__op", "a flattened event does not say what was before: leave out ExtractNewRecordState"),
        ("__deleted", "a flattened event does not say what was before: leave out ExtractNewRecordState"),
        ("ts_ms", "a heartbeat, not a change of a row"),
    ];
    let found = kinds.iter().find(|(key, _)| at.raw(key).is_some()).map(|(_, words)| *words);
    at.reject(found.unwrap_or("neither an event of Debezium nor of Maxwell nor of wal2json"))
}

fn names(parts: &[Option<At<'_>>], table: At<'_>) -> Result<Vec<String>, Rejection> {
    let mut names = vec![table.code()?.to_owned()];
    // The nearest name stands last: table, schema.table, database.schema.table; and database.table.
    for part in parts.iter().rev().flatten() {
        let part = part.code()?;
        let longer: Vec<String> = names.iter().map(|name| format!("{part}.{name}")).collect();
        names.extend(longer);
    }
    Ok(names)
}

fn debezium<'j>(payload: At<'j>, schema: Option<At<'j>>, settings: &Settings) -> Result<Change<'j>, Rejection> {
    let operation = match payload.find("op").map(At::text).transpose()? {
        Some("c" | "r") => Operation::Set,
        Some("u") => Operation::Update,
        Some("d") => Operation::Delete,
        Some("t") => Operation::Truncate,
        Some("m") => return Err(payload.reject("a message in the log of the database, not a change of a row")),
        Some(_) => return Err(payload.needs("op")?.is_not("an operation (c, r, u, d, t)")),
        None => return Err(no_row(payload)),
    };
    let source = payload.needs("source")?;
    let fields = schema.map(|schema| schema.all("fields")).unwrap_or_default();
    let row = |name: &str| {
        let of = |field: &&At<'j>| field.find("field").and_then(|field| field.text().ok()) == Some(name);
        let schema = fields.iter().find(of).copied();
        payload.find(name).map(|at| Row::of(at, schema)).transpose()
    };
    Ok(Change {
        at: payload,
        table: names(&[source.find("db"), source.find("schema")], source.needs("table")?)?,
        operation,
        before: row("before")?,
        after: row("after")?,
        revision: order::debezium(source, settings)?,
    })
}

fn maxwell<'j>(root: At<'j>, kind: At<'j>) -> Result<Change<'j>, Rejection> {
    let operation = match kind.text()? {
        "insert" | "bootstrap-insert" => Operation::Set,
        "update" => Operation::Update,
        "delete" => Operation::Delete,
        "bootstrap-start" | "bootstrap-complete" => return Err(root.reject("the edge of a bootstrap, not a row")),
        other if ["table-", "database-"].iter().any(|begin| other.starts_with(begin)) => {
            return Err(root.reject("a change of the schema, not of a row"));
        }
        _ => return Err(kind.is_not("a type of Maxwell's events (insert, update, delete, bootstrap-insert)")),
    };
    let data = Row::of(root.needs("data")?, None)?;
    let (before, after) = match operation {
        // `old` holds the columns that changed, as they were.
        Operation::Update => {
            let old = Row::of(root.needs("old")?, None)?;
            (Some(data.overlaid(&old)), Some(data))
        }
        Operation::Delete => (Some(data), None),
        _ => (None, Some(data)),
    };
    let table = names(&[root.find("database")], root.needs("table")?)?;
    Ok(Change { at: root, table, operation, before, after, revision: order::maxwell(root)? })
}

/// wal2json, format 2.
fn wal_change<'j>(root: At<'j>, action: At<'j>) -> Result<Change<'j>, Rejection> {
    let operation = match action.text()? {
        "I" => Operation::Set,
        "U" => Operation::Update,
        "D" => Operation::Delete,
        "T" => Operation::Truncate,
        "B" | "C" => return Err(root.reject("a transaction's boundary, not a change of a row")),
        "M" => return Err(root.reject("a message in the log of the database, not a change of a row")),
        _ => return Err(action.is_not("an action of wal2json (I, U, D, T)")),
    };
    let row = |key: &str| -> Result<Option<Row<'j>>, Rejection> {
        let cell = |at: &At<'j>| Ok((at.needs("name")?.text()?, at.raw("value").unwrap_or(*at)));
        let cells = root.all(key);
        let at = root.find(key).unwrap_or(root);
        let cells = cells.iter().map(cell).collect::<Result<Vec<_>, Rejection>>()?;
        Ok((!cells.is_empty()).then(|| Row::listed(at, cells)))
    };
    let table = names(&[root.find("schema")], root.needs("table")?)?;
    let revision = order::wal(root.find("lsn"), &[])?;
    Ok(Change { at: root, table, operation, before: row("identity")?, after: row("columns")?, revision })
}

/// wal2json, format 1: names, types and values in lists of their own.
fn wal_transaction<'j>(root: At<'j>, part: At<'j>, place: u64) -> Result<Change<'j>, Rejection> {
    let kind = part.needs("kind")?;
    let operation = match kind.text()? {
        "insert" => Operation::Set,
        "update" => Operation::Update,
        "delete" => Operation::Delete,
        "truncate" => Operation::Truncate,
        "message" => return Err(part.reject("a message in the log of the database, not a change of a row")),
        _ => return Err(kind.is_not("a kind of wal2json's changes (insert, update, delete, truncate)")),
    };
    let row = |names: &str, values: &str| -> Result<Option<Row<'j>>, Rejection> {
        let (names, values) = (part.all(names), part.all(values));
        if names.len() != values.len() {
            return Err(part.reject("as many values as names are expected"));
        }
        let names = names.iter().map(|name| name.text()).collect::<Result<Vec<_>, _>>()?;
        Ok((!names.is_empty()).then(|| Row::listed(part, names.into_iter().zip(values).collect())))
    };
    let place = root.find("place").map(order::position).transpose()?.unwrap_or(place);
    Ok(Change {
        at: part,
        table: names(&[part.find("schema")], part.needs("table")?)?,
        operation,
        before: row("oldkeys.keynames", "oldkeys.keyvalues")?,
        after: row("columnnames", "columnvalues")?,
        revision: order::wal(root.find("nextlsn"), &[place])?,
    })
}
