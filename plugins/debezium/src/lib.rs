//! Change events of databases: Debezium (MySQL, MariaDB, PostgreSQL), Maxwell and wal2json. The source's settings say which
//! tables and columns are which field: see [`settings`] and this folder's `README.md`.
//!
//! | message | becomes |
//! |---|---|
//! | a row is created or read by a snapshot | `inventory.set`, or `line.set` |
//! | a row is updated | the same; what it spoke about before and does not now is withdrawn or cancelled |
//! | a row is deleted | `withdraw`, or `line.cancel` |
//! | a table of one hotel is truncated | `withdraw` of the mapped fields, over all nights |
//! | an initial load by Concord's own capture begins or ends | `snapshot.begin`, `snapshot.end` of one hotel |
//!
//! **Identity.** Inventory: property, room type and nights. Bookings: property, reservation and line, each a column.
//!
//! Each row is a room and a record of its own: none is left out of a booking, its row is deleted.
//!
//! **Order.** The database's own position: see [`order`].
//!
//! **Partial messages.** Values that Debezium does not tell because they did not change keep their claim; NULL takes it back. An
//! update that does not say what was before (PostgreSQL without REPLICA IDENTITY FULL) is refused, unless the mapping says
//! `moves = false`: rows that always speak about the same nights, type or booking.
//!
//! **Refused**, each with its place: tables that the mapping does not name, deletions that name the key only, truncated tables of
//! several hotels, zero dates where a night is needed, tombstones, schema changes, transaction boundaries, heartbeats,
//! flattened events, numbers and dates that are none.
//!
//! Cards: values of columns that the mapping does not name are masked where they look like a card's number.
//!
//! Sources: Debezium documentation (MySQL and PostgreSQL connectors), Maxwell's data format, wal2json's README.

mod booking;
mod envelope;
mod inventory;
pub mod order;
mod row;
pub mod settings;
mod view;

use concord_plugin::json::{self, At, Cleaner, messages};
use concord_plugin::xml::UNPLACED;
use concord_plugin::{Action, Delivery, Description, Event, Normalizer, Rejection, Routed, Said};

use envelope::{Change, HALF, Operation};
use settings::{Given, Row, Settings, Table};
use view::View;

/// The normalizer of database change events.
pub struct Debezium;

concord_plugin::normalizer!(Debezium);

/// Numbers and texts of the envelopes that are long enough to look like a card.
const CLEANER: Cleaner<'static> = Cleaner {
    without: &["query"],
    identities: &[
        "concord_epoch",
        "ts_ms",
        "ts_us",
        "ts_ns",
        "ts_sec",
        "ts",
        "pos",
        "lsn",
        "nextlsn",
        "xid",
        "txId",
        "xmin",
        "sequence",
        "gtid",
        "position",
        "server_id",
        "thread",
        "thread_id",
        "id",
        "file",
        "place",
        "timestamp",
        "version",
        "length",
    ],
};

impl Normalizer for Debezium {
    type Settings = Settings;

    fn describe() -> Description {
        Description {
            name: "debezium".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            formats: ["application/json", "debezium", "maxwell", "wal2json"].map(str::to_owned).to_vec(),
            fields: vec!["*".into()],
        }
    }

    fn settings(table: At<'_>) -> Result<Settings, Rejection> {
        settings::read(table)
    }

    fn split(settings: &Settings, delivery: &Delivery) -> Result<Vec<Routed>, Rejection> {
        let document = json::parse(or_null(&delivery.body));
        let read = document.as_ref().map_err(Clone::clone).and_then(|document| split(settings, document.root()));
        read.or_else(|rejection| messages::hidden(&CLEANER, delivery, document.as_ref().ok(), rejection))
    }

    fn normalize_one(settings: &Settings, event: &Event) -> Result<Said, Rejection> {
        let document = json::parse(or_null(&event.body))?;
        let root = document.root();
        if let Some((property, action)) = envelope::edge(root)? {
            return Ok(Said { property, changes: vec![concord_plugin::Change { revision: None, action }] });
        }
        let parts = envelope::parts(root)?;
        let [part] = parts[..] else { return Err(root.reject("a record of the log holds one change")) };
        let change = envelope::read(root, part, 0, settings)?;
        let half = root.find(HALF).map(|half| half.one_of(&[("leaves", Half::Leaves), ("arrives", Half::Arrives)]));
        let mut said = said(&change, settings, half.transpose()?)?;
        match (said.pop(), said.is_empty()) {
            (Some((property, _, actions)), true) => {
                let change = |action| concord_plugin::Change { revision: change.revision.clone(), action };
                Ok(Said { property, changes: actions.into_iter().map(change).collect() })
            }
            (Some(_), false) => {
                Err(change.at.reject("the row moved between hotels: such a change comes as two records"))
            }
            (None, _) => Err(change.at.reject("the row says nothing")),
        }
    }
}

/// A tombstone's value is nothing at all.
fn or_null(body: &[u8]) -> &[u8] {
    if body.is_empty() { b"null" } else { body }
}

/// Which half of a change a record tells, where a row moved from one hotel to another.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Half {
    Leaves,
    Arrives,
}

fn split(settings: &Settings, root: At<'_>) -> Result<Vec<Routed>, Rejection> {
    if let Some((property, _)) = envelope::edge(root)? {
        return Ok(vec![Routed { property, date: 0, body: None }]);
    }
    let parts = envelope::parts(root)?;
    let several = parts.len() > 1;
    let mut routed = Vec::new();
    for (place, part) in (0_u64..).zip(&parts) {
        let change = envelope::read(root, *part, place, settings);
        let told = change.as_ref().map_err(Clone::clone).and_then(|change| said(change, settings, None));
        let body = |extra: String| body(settings, root, *part, change.as_ref().ok(), &extra).into_bytes();
        let place =
            if part.is(root) || root.raw("place").is_some() { String::new() } else { format!("\"place\":{place},") };
        match told {
            Ok(told) => {
                // What leaves a hotel comes first, as `said` has it.
                let halves = if told.len() > 1 { [Some("leaves"), Some("arrives")] } else { [None, None] };
                for ((property, date, _), half) in told.into_iter().zip(halves) {
                    let half = half.map_or(String::new(), |half| format!("\"{HALF}\":\"{half}\","));
                    routed.push(Routed { property, date, body: Some(body(format!("{place}{half}"))) });
                }
            }
            Err(rejection) => {
                // What can be told of the place, so that the dead letter lies with its hotel.
                let property = change.as_ref().ok().and_then(|change| property(change, settings));
                match property {
                    Some(property) => routed.push(Routed { property, date: 0, body: Some(body(place)) }),
                    None if several => {
                        routed.push(Routed { property: UNPLACED.to_owned(), date: 0, body: Some(body(place)) });
                    }
                    None => return Err(rejection),
                }
            }
        }
    }
    Ok(routed)
}

/// The document with one part, mapped columns to the letter, everything else cleaned.
fn body(settings: &Settings, root: At<'_>, part: At<'_>, change: Option<&Change<'_>>, extra: &str) -> String {
    let mut raw: Vec<At<'_>> = Vec::new();
    if let Some(change) = change {
        let columns: Vec<&str> = tables(change, settings).flat_map(Table::columns).collect();
        for row in change.before.iter().chain(&change.after) {
            raw.extend(row.only(&columns));
        }
    }
    let kept = |at: At<'_>| raw.iter().any(|raw| raw.is(at));
    if part.is(root) {
        let text = CLEANER.written_but(root, &kept);
        return match text.strip_prefix('{') {
            Some(rest) if !extra.is_empty() => format!("{{{extra}{rest}"),
            _ => text,
        };
    }
    // wal2json's transaction: what stands beside its changes, and one of them.
    let mut text = format!("{{{extra}");
    for (key, value) in root.object().into_iter().flat_map(json::Object::entries).filter(|(key, _)| *key != "change") {
        text.push_str(&format!("{}:{},", json::string(key), CLEANER.written(value)));
    }
    format!("{text}\"change\":[{}]}}", CLEANER.written_but(part, &kept))
}

/// The entries of the mapping that speak about a change's table.
fn tables<'s>(change: &Change<'_>, settings: &'s Settings) -> impl Iterator<Item = &'s Table> {
    let names = change.table.clone();
    settings.tables.iter().filter(move |table| names.contains(&table.name))
}

/// The hotel of a change that cannot be read otherwise.
fn property(change: &Change<'_>, settings: &Settings) -> Option<String> {
    let rows = || change.after.iter().chain(&change.before);
    let of = |table: &Table| {
        let view = |row| View { row, behind: change.before.as_ref(), settings };
        match &table.property {
            Given::Value(value) => Some(value.clone()),
            Given::Column(_) => rows().find_map(|row| view(row).property(table).ok()),
        }
    };
    tables(change, settings).find_map(of)
}

/// What a change says of each hotel: property, date, actions.
type Told = Vec<(String, i32, Vec<Action>)>;

/// What a change says of each hotel. Two hotels where a row moved from one to the other.
fn said(change: &Change<'_>, settings: &Settings, half: Option<Half>) -> Result<Told, Rejection> {
    let mut all: Told = Vec::new();
    let mut mapped = tables(change, settings).peekable();
    if mapped.peek().is_none() {
        let name = change.table.last().map_or("", String::as_str);
        return Err(change.at.reject(format_args!("the table {name} is not in the mapping (settings, \"tables\")")));
    }
    for table in mapped {
        for (property, date, actions) in of_table(change, table, settings, half)? {
            match all.iter_mut().find(|(known, ..)| *known == property) {
                Some((.., more)) => more.extend(actions),
                None => all.push((property, date, actions)),
            }
        }
    }
    Ok(all)
}

fn of_table(change: &Change<'_>, table: &Table, settings: &Settings, half: Option<Half>) -> Result<Told, Rejection> {
    let operation = match (change.operation, half) {
        (Operation::Update, Some(Half::Leaves)) => Operation::Delete,
        (Operation::Update, Some(Half::Arrives)) => Operation::Set,
        (operation, _) => operation,
    };
    if operation == Operation::Truncate {
        return truncated(change, table);
    }
    let before = change.before.as_ref().map(|row| View { row, behind: None, settings });
    let after = change.after.as_ref().filter(|_| operation != Operation::Delete);
    let after = after.map(|row| View { row, behind: change.before.as_ref(), settings });
    let before = before.filter(|_| operation != Operation::Set);
    if let (None, Operation::Set | Operation::Update) = (&after, operation) {
        return Err(change.at.reject("the row as it is now is missing"));
    }
    match &table.row {
        Row::Inventory(row) => {
            let place = |view: View<'_, '_>| inventory::Place::of(view, table, row);
            let old = old(change, table, operation, before.map(place))?;
            let new = after.map(|view| Ok::<_, Rejection>((place(view)?, view))).transpose()?;
            let same = new
                .as_ref()
                .map(|(new, _)| new)
                .filter(|new| old.as_ref().is_some_and(|old| old.property == new.property));
            let mut told = Vec::new();
            if let Some(old) = &old {
                told.push((old.property.clone(), old.first(), inventory::leave(old, same, row)));
            }
            if let Some((new, view)) = &new {
                told.push((new.property.clone(), new.first(), vec![inventory::set(new, *view, row)?]));
            }
            Ok(joined(told))
        }
        Row::Booking(row) => {
            let identity = |view: View<'_, '_>| booking::Identity::of(view, table, row);
            let old = old(change, table, operation, before.map(identity))?;
            let new = after.map(|view| Ok::<_, Rejection>((identity(view)?, view))).transpose()?;
            let left = old.filter(|old| new.as_ref().is_none_or(|(new, _)| new != old));
            let mut told = Vec::new();
            if let Some(left) = &left {
                let date = before.and_then(|view| booking::arrival(view, row)).unwrap_or(0);
                told.push((left.property.clone(), date, vec![booking::leave(left)]));
            }
            if let Some((new, view)) = &new {
                let date = booking::arrival(*view, row).unwrap_or(0);
                told.push((new.property.clone(), date, vec![booking::set(new, *view, row)?]));
            }
            Ok(joined(told))
        }
    }
}

/// Where the row belonged before, if that matters and is told.
fn old<T>(
    change: &Change<'_>,
    table: &Table,
    operation: Operation,
    before: Option<Result<T, Rejection>>,
) -> Result<Option<T>, Rejection> {
    const REMEDY: &str = "REPLICA IDENTITY FULL makes the database tell it";
    match (before, operation) {
        (Some(Ok(old)), _) => Ok(Some(old)),
        (_, Operation::Delete) => {
            Err(change.at.reject(format_args!("the deletion does not say where the row belonged ({REMEDY})")))
        }
        (_, Operation::Update) if table.moves => Err(change.at.reject(format_args!(
            "the update does not say where the row belonged before ({REMEDY}; or set moves = false in the mapping of a table whose rows never move)"
        ))),
        _ => Ok(None),
    }
}

/// One entry per hotel, without those of which nothing is to be said.
fn joined(told: Told) -> Told {
    let mut joined: Told = Vec::new();
    for (property, date, actions) in told {
        match joined.iter_mut().find(|(known, ..)| *known == property) {
            Some((_, at, more)) => {
                *at = date;
                more.extend(actions);
            }
            None => joined.push((property, date, actions)),
        }
    }
    joined.retain(|(.., actions)| !actions.is_empty());
    joined
}

fn truncated(change: &Change<'_>, table: &Table) -> Result<Told, Rejection> {
    match (&table.row, &table.property) {
        (Row::Inventory(row), Given::Value(property)) => Ok(vec![(property.clone(), 0, vec![inventory::nothing(row)])]),
        (Row::Inventory(_), Given::Column(_)) => Err(change.at.reject(
            "a truncated table names no hotel: withdraw what it said of each by an initial load (snapshot begin and end)",
        )),
        (Row::Booking(_), _) => Err(change.at.reject(
            "a truncated table names no booking: cancel them by an initial load (snapshot begin and end)",
        )),
    }
}

#[cfg(test)]
mod tests;
