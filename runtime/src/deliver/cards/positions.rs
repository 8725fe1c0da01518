//! Numbers that are no card's whatever they look like: positions and times in a change event of a database.
//!
//! A position such as PostgreSQL's LSN in decimal digits, or a place in a binlog, has a right check digit and an issuer's prefix now and
//! then; masked, the event would lose its order. Source: Debezium's documentation of its connectors, "change events": the
//! block `source`, `ts_*` beside it, `transaction.id`. Only there, only under these names and only what looks like a position:
//! rows, and whatever else an event holds, are read like any other text.

use std::collections::HashMap;
use std::ops::Range;

use serde::Deserialize;
use serde_json::value::RawValue;

/// Values of `source.connector`; Concord's own captures are among them.
const CONNECTORS: [&str; 11] = [
    "postgresql",
    "mysql",
    "mariadb",
    "sqlserver",
    "oracle",
    "mongodb",
    "db2",
    "informix",
    "vitess",
    "spanner",
    "cassandra",
];

/// Members of `source` that are numbers.
const NUMBERS: [&str; 14] = [
    "ts_ms",
    "ts_us",
    "ts_ns",
    "lsn",
    "xmin",
    "txId",
    "pos",
    "row",
    "server_id",
    "thread",
    "ord",
    "event_serial_no",
    "commit_ts",
    "concord_epoch",
];

/// Members of `source` that are texts made of numbers.
const TEXTS: [&str; 12] = [
    "sequence",
    "gtid",
    "gtids",
    "vgtid",
    "scn",
    "commit_scn",
    "start_scn",
    "change_lsn",
    "commit_lsn",
    "lcr_position",
    "txId",
    "transaction_id",
];

#[derive(Deserialize)]
struct Event<'a> {
    /// The event is in it where a schema is told with each.
    #[serde(borrow, default)]
    payload: Option<&'a RawValue>,
    #[serde(borrow, default)]
    source: Option<&'a RawValue>,
    #[serde(borrow, default)]
    transaction: Option<&'a RawValue>,
    #[serde(borrow, default)]
    ts_ms: Option<&'a RawValue>,
    #[serde(borrow, default)]
    ts_us: Option<&'a RawValue>,
    #[serde(borrow, default)]
    ts_ns: Option<&'a RawValue>,
}

type Members<'a> = HashMap<String, &'a RawValue>;

/// Where they stand in this text: one event, or a list of them. Nothing in any other text.
pub(super) fn positions(text: &[u8]) -> Vec<Range<usize>> {
    let Ok(json) = std::str::from_utf8(text) else { return Vec::new() };
    let json = json.trim_start_matches('\u{feff}');
    let mut found = Vec::new();
    match serde_json::from_str::<Vec<&RawValue>>(json) {
        Ok(events) => events.iter().for_each(|event| found.extend(of_event(event.get()))),
        Err(_) => found.extend(of_event(json)),
    }
    let start = text.as_ptr().addr();
    let place = |value: &str| {
        let at = value.as_ptr().addr() - start;
        at..at + value.len()
    };
    found.into_iter().map(place).collect()
}

fn of_event(json: &str) -> Vec<&str> {
    let Ok(mut event) = serde_json::from_str::<Event<'_>>(json) else { return Vec::new() };
    if let (None, Some(payload)) = (event.source, event.payload) {
        let Ok(inner) = serde_json::from_str::<Event<'_>>(payload.get()) else { return Vec::new() };
        event = inner;
    }
    let Some(source) = members(event.source) else { return Vec::new() };
    let connector = source.get("connector").and_then(|name| serde_json::from_str::<&str>(name.get()).ok());
    if !connector.is_some_and(|name| CONNECTORS.contains(&name)) {
        return Vec::new();
    }
    let of_source = source.iter().filter_map(|(name, value)| {
        let known = NUMBERS.contains(&name.as_str()) && is_number(value.get())
            || TEXTS.contains(&name.as_str()) && is_position(value.get());
        known.then_some(value.get())
    });
    let times = [event.ts_ms, event.ts_us, event.ts_ns].into_iter().flatten().map(RawValue::get);
    let transaction = members(event.transaction).and_then(|members| members.get("id").copied()).map(RawValue::get);
    of_source
        .chain(times.filter(|value| is_number(value)))
        .chain(transaction.filter(|value| is_position(value)))
        .collect()
}

fn members(object: Option<&RawValue>) -> Option<Members<'_>> {
    serde_json::from_str(object?.get()).ok()
}

fn is_number(json: &str) -> bool {
    json.bytes().all(|b| b.is_ascii_digit() || b == b'-')
}

/// Hexadecimal and decimal numbers with what stands between them in positions; no blank, which groups a card's number.
fn is_position(json: &str) -> bool {
    let part =
        |b: u8| b.is_ascii_hexdigit() || matches!(b, b'"' | b'\\' | b'[' | b']' | b',' | b':' | b'.' | b'-' | b'/');
    json.replace("null", "").bytes().all(part)
}
