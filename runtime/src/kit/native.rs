//! Changes as people read them: in the JSON of Concord's native message format.
//!
//! What a plugin says is shown in the form in which anybody could say it without a plugin; `plugins/native/README.md`
//! describes it. Does not read that format: the `native` plugin does.

use serde_json::{Map, Value as Json, json};

use crate::change::{Action, Change, FieldChange, LineChange, Reference, RoomNights, Scope};
use crate::types::{Days, Revision, Status, Value};

/// One change as an object: its action and, if it has one, its revision.
pub fn change(change: &Change) -> Json {
    let (name, action) = match &change.action {
        Action::InventorySet(nights) => ("inventory", room_nights(nights)),
        Action::InventoryReplace { scope, nights } => {
            let mut all = self::scope(scope);
            all.insert("room_nights".to_owned(), nights.iter().map(room_nights).collect());
            ("inventory_replace", all.into())
        }
        Action::Withdraw(scope) => ("withdraw", self::scope(scope).into()),
        Action::LineSet { reservation, line } => {
            let mut all = Map::from_iter([("reservation".to_owned(), json!(reservation))]);
            all.extend(self::line(line));
            ("line", all.into())
        }
        Action::ReservationReplace { reservation, lines } => {
            let lines: Json = lines.iter().map(|line| Json::from(self::line(line))).collect();
            ("reservation", json!({ "id": reservation, "lines": lines }))
        }
        Action::LineCancel { reservation, line } => ("cancel", json!({ "reservation": reservation, "line": line })),
        Action::SnapshotBegin => ("snapshot", json!("begin")),
        Action::SnapshotEnd => ("snapshot", json!("end")),
    };
    let mut object = Map::new();
    if let Some(revision) = &change.revision {
        object.insert("revision".to_owned(), self::revision(revision));
    }
    object.insert(name.to_owned(), action);
    object.into()
}

fn revision(revision: &Revision) -> Json {
    match revision {
        Revision::Instant(_) => json!(revision.to_string()),
        Revision::Sequence(parts) => match &parts[..] {
            [only] => json!(only),
            several => json!(several),
        },
    }
}

fn days(days: Days) -> Json {
    json!(format!("{}/{}", days.first, days.end))
}

fn room_nights(nights: &RoomNights) -> Json {
    let fields: Map<String, Json> = nights.fields.iter().map(field).collect();
    json!({ "room_type": nights.room_type, "nights": days(nights.nights), "fields": fields })
}

fn field(field: &FieldChange) -> (String, Json) {
    let value = field.value.as_ref().map_or(Json::Null, |value| match value {
        Value::Integer(number) => json!(number),
        Value::Decimal(amount) => json!({ "decimal": amount.to_string() }),
        Value::Money(money) => {
            json!({ "amount": money.amount.to_string(), "currency": money.currency.as_str() })
        }
        Value::Text(text) => json!(text),
        Value::Boolean(flag) => json!(flag),
    });
    (field.name.to_string(), value)
}

/// Nights, and types and fields where not all are meant.
fn scope(scope: &Scope) -> Map<String, Json> {
    let mut all = Map::from_iter([("nights".to_owned(), days(scope.nights))]);
    if !scope.room_types.is_empty() {
        all.insert("room_types".to_owned(), json!(scope.room_types));
    }
    if !scope.fields.is_empty() {
        all.insert("fields".to_owned(), json!(scope.fields));
    }
    all
}

fn line(line: &LineChange) -> Map<String, Json> {
    let mut all = Map::from_iter([("line".to_owned(), json!(line.line))]);
    let mut give = |name: &str, value: Option<Json>| {
        if let Some(value) = value {
            all.insert(name.to_owned(), value);
        }
    };
    give("status", line.status.map(|status| json!(word(status))));
    give("arrival", line.arrival.map(|day| json!(day.to_string())));
    give("departure", line.departure.map(|day| json!(day.to_string())));
    give("room_type", line.room_type.as_ref().map(|code| json!(code)));
    give("room", line.room.as_ref().map(|room| if room.is_empty() { Json::Null } else { json!(room) }));
    give("amount", line.money.map(|money| json!(money.amount.to_string())));
    give("currency", line.money.map(|money| json!(money.currency.as_str())));
    give("guests", line.guests.map(|guests| json!(guests)));
    give("references", line.references.as_ref().map(|list| list.iter().map(reference).collect()));
    all
}

fn word(status: Status) -> String {
    status.to_string()
}

fn reference(reference: &Reference) -> Json {
    json!({ "type": reference.kind, "issuer": reference.issuer, "value": reference.value })
}
