//! Debezium's envelope: a changed row as one JSON document.
//!
//! Source: Debezium's documentation of its PostgreSQL and MySQL connectors, without the schema, dates and times as ISO 8601 texts
//! and decimals as texts (`time.precision.mode=isostring`, `decimal.handling.mode=string`). Beyond it: `source.concord_epoch`, the
//! first part of every revision, and documents around an initial load. Does not know what columns mean.

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

/// A column's value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Null,
    /// It did not change and is too large for the database to tell it.
    Unavailable,
    Boolean(bool),
    Integer(i64),
    Unsigned(u64),
    /// Finite.
    Float(f64),
    Text(String),
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Null => serializer.serialize_unit(),
            Value::Unavailable => serializer.serialize_str("__debezium_unavailable_value"),
            Value::Boolean(value) => serializer.serialize_bool(*value),
            Value::Integer(value) => serializer.serialize_i64(*value),
            Value::Unsigned(value) => serializer.serialize_u64(*value),
            Value::Float(value) => serializer.serialize_f64(*value),
            Value::Text(value) => serializer.serialize_str(value),
        }
    }
}

/// Columns in the table's order.
pub(super) type Row = Vec<(Arc<str>, Value)>;

struct Columns<'a>(&'a Row);

impl Serialize for Columns<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.0 {
            map.serialize_entry(name.as_ref(), value)?;
        }
        map.end()
    }
}

/// What happened to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum Operation {
    /// An initial load found it.
    #[serde(rename = "r")]
    Read,
    #[serde(rename = "c")]
    Create,
    #[serde(rename = "u")]
    Update,
    #[serde(rename = "d")]
    Delete,
    #[serde(rename = "t")]
    Truncate,
}

/// Where a change comes from.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Source<'a> {
    pub version: &'static str,
    pub connector: &'static str,
    pub name: &'a str,
    /// When it was committed, by the database's clock, in milliseconds since 1970-01-01T00:00:00Z.
    pub ts_ms: i64,
    pub snapshot: &'static str,
    pub db: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<&'a str>,
    pub table: &'a str,
    #[serde(flatten)]
    pub place: Place<'a>,
    pub concord_epoch: u64,
}

/// The place in the database's log.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Place<'a> {
    Wal {
        #[serde(rename = "txId")]
        transaction: Option<u32>,
        lsn: u64,
        /// A list of two: the transaction's commit, and the change itself. Its own commit, not the one before it: this is
        /// known after a restart, and orders the same.
        sequence: String,
    },
    Binlog {
        server_id: u32,
        file: &'a str,
        pos: u64,
        row: u64,
    },
}

/// Of [`Source::version`].
pub(super) const VERSION: &str = concat!("concord ", env!("CARGO_PKG_VERSION"));

#[derive(Serialize)]
struct Envelope<'a> {
    before: Option<Columns<'a>>,
    after: Option<Columns<'a>>,
    source: &'a Source<'a>,
    op: Operation,
    ts_ms: i64,
}

/// One changed row. `now` is in milliseconds since 1970-01-01T00:00:00Z.
pub(super) fn change(
    op: Operation,
    before: Option<&Row>,
    after: Option<&Row>,
    source: &Source<'_>,
    now: i64,
) -> Result<Bytes, serde_json::Error> {
    let envelope = Envelope { before: before.map(Columns), after: after.map(Columns), source, op, ts_ms: now };
    serde_json::to_vec(&envelope).map(Bytes::from)
}

/// The edge of an initial load, of one property.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Edge {
    Begin,
    End,
}

#[derive(Serialize)]
struct EdgeDocument<'a> {
    concord_snapshot: Edge,
    /// In the source's own code.
    property: &'a str,
    concord_epoch: u64,
}

/// The document of an edge.
pub(super) fn edge(edge: Edge, property: &str, epoch: u64) -> Result<Bytes, serde_json::Error> {
    serde_json::to_vec(&EdgeDocument { concord_snapshot: edge, property, concord_epoch: epoch }).map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_of_each_kind() {
        let row: Row = vec![
            ("id".into(), Value::Unsigned(u64::MAX)),
            ("preis".into(), Value::Text("120.50".into())),
            ("notiz".into(), Value::Unavailable),
            ("gesperrt".into(), Value::Null),
        ];
        let source = Source {
            version: "concord test",
            connector: "mysql",
            name: "legacy",
            ts_ms: 7,
            snapshot: "false",
            db: "hotel",
            schema: None,
            table: "kontingente",
            place: Place::Binlog { server_id: 1, file: "bin.000003", pos: 484, row: 2 },
            concord_epoch: 9,
        };
        let text = change(Operation::Update, None, Some(&row), &source, 8).unwrap();
        assert_eq!(
            std::str::from_utf8(&text).unwrap(),
            "{\"before\":null,\"after\":{\"id\":18446744073709551615,\"preis\":\"120.50\",\
             \"notiz\":\"__debezium_unavailable_value\",\"gesperrt\":null},\"source\":{\"version\":\"concord test\",\
             \"connector\":\"mysql\",\"name\":\"legacy\",\"ts_ms\":7,\"snapshot\":\"false\",\"db\":\"hotel\",\
             \"table\":\"kontingente\",\"server_id\":1,\"file\":\"bin.000003\",\"pos\":484,\"row\":2,\"concord_epoch\":9},\
             \"op\":\"u\",\"ts_ms\":8}"
        );
        let begin = edge(Edge::Begin, "12", 9).unwrap();
        assert_eq!(&begin[..], b"{\"concord_snapshot\":\"begin\",\"property\":\"12\",\"concord_epoch\":9}");
    }

    /// By chance, now and then: without its position an event would have no order.
    #[test]
    fn a_position_that_looks_like_a_card_stays_and_a_card_in_a_row_does_not() {
        let lsn = 4_111_111_111_111_111;
        let place = |wal| match wal {
            true => Place::Wal { transaction: Some(7), lsn, sequence: format!("[\"{lsn}\",\"{lsn}\"]") },
            false => Place::Binlog { server_id: 1, file: "bin.000003", pos: lsn, row: 0 },
        };
        for (wal, connector) in [(true, "postgresql"), (false, "mysql"), (false, "mariadb")] {
            let (version, name, db, table, place) = (VERSION, "legacy", "hotel", "notes", place(wal));
            let (ts_ms, snapshot, schema, concord_epoch) = (7, "false", None, lsn);
            let source = Source { version, connector, name, ts_ms, snapshot, db, schema, table, place, concord_epoch };
            let document = |note: &str| {
                let row: Row = vec![("lsn".into(), Value::Text(note.to_owned()))];
                change(Operation::Update, None, Some(&row), &source, lsn.cast_signed()).unwrap()
            };
            let (masked, found) = crate::deliver::masked(&document("4111111111111111"));
            assert_eq!((masked, found.cards), (document("************1111"), 1), "{connector}");
        }
    }
}
