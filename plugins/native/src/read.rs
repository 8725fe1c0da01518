//! What each change looks like in the native format.
//!
//! Knows the keys and their meaning. Does not know deliveries or properties.

use std::collections::BTreeSet;

use concord_plugin::json::{At, Json, Object};
use concord_plugin::{
    Action, Cancellation, Change, Day, Field, InventoryReplacement, Line, LineOf, Money, Reference, Rejection,
    ReservationReplacement, Revision, RoomNights, Scope, Status, Value, time,
};

const ACTIONS: [&str; 7] =
    ["reservation", "line", "cancel", "inventory", "inventory_replace", "withdraw", "snapshot"];

const STATUSES: [(&str, Status); 6] = [
    ("tentative", Status::Tentative),
    ("confirmed", Status::Confirmed),
    ("checked-in", Status::CheckedIn),
    ("checked-out", Status::CheckedOut),
    ("cancelled", Status::Cancelled),
    ("no-show", Status::NoShow),
];

/// All changes of a part: those of its `changes`, else the one that stands in the part itself.
pub fn changes(part: Object<'_>) -> Result<Vec<Change>, Rejection> {
    part.optional("date", At::day)?;
    let common = part.optional("revision", revision)?;
    let Some(list) = part.get("changes") else {
        let known = ["property", "date", "revision", "changes"];
        return Ok(vec![Change { revision: common, action: only_action(part, &known)? }]);
    };
    part.only(&["property", "date", "revision", "changes"])?;
    let elements = list.list()?;
    if elements.len() == 0 {
        return Err(list.reject("the list holds no change"));
    }
    let change = |element: At<'_>| {
        let element = element.object()?;
        let revision = element.optional("revision", revision)?.or_else(|| common.clone());
        Ok(Change { revision, action: only_action(element, &["revision"])? })
    };
    elements.map(change).collect()
}

/// The action of an object that holds exactly one.
fn only_action(object: Object<'_>, others: &[&str]) -> Result<Action, Rejection> {
    let known: Vec<&str> = others.iter().chain(&ACTIONS).copied().collect();
    object.only(&known)?;
    let mut found = object.entries().filter(|(key, _)| ACTIONS.contains(key));
    let Some((name, at)) = found.next() else {
        return Err(object.at().reject(format_args!("holds no change: one of {} is missing", ACTIONS.join(", "))));
    };
    if let Some((other, _)) = found.next() {
        let words = format_args!("holds {name} and {other}: several changes belong into the list \"changes\"");
        return Err(object.at().reject(words));
    }
    action(name, at)
}

fn action(name: &str, at: At<'_>) -> Result<Action, Rejection> {
    Ok(match name {
        "reservation" => Action::ReservationReplace(reservation(at)?),
        "line" => Action::LineSet(line_of(at)?),
        "cancel" => Action::LineCancel(cancellation(at)?),
        "inventory" => Action::InventorySet(room_nights(at)?),
        "inventory_replace" => Action::InventoryReplace(inventory_replacement(at)?),
        "withdraw" => Action::Withdraw(scope(at.object()?, &[])?),
        _ => match at.text()? {
            "begin" => Action::SnapshotBegin,
            "end" => Action::SnapshotEnd,
            _ => return Err(at.is_not("\"begin\" or \"end\"")),
        },
    })
}

/// A position (7), positions from the left ([3, 154, 0]) or an instant ("2026-03-01T12:00:00+01:00").
fn revision(at: At<'_>) -> Result<Revision, Rejection> {
    const MOST: usize = 8;
    match at.value() {
        Json::Text(text) => match time::stamp(text) {
            Some(stamp) if stamp.offset.is_some() => Ok(Revision::Instant(stamp.utc(0))),
            Some(_) => Err(at.is_not("an instant with its offset, such as 2026-03-01T12:00:00Z")),
            None => Err(at.is_not("an instant, such as 2026-03-01T12:00:00Z")),
        },
        Json::List(parts) if parts.is_empty() || parts.len() > MOST => {
            Err(at.reject(format_args!("a revision has 1 to {MOST} positions, not {}", parts.len())))
        }
        Json::List(_) => Ok(Revision::Sequence(at.list()?.map(position).collect::<Result<_, _>>()?)),
        Json::Number(_) => Ok(Revision::Sequence(vec![position(at)?])),
        _ => Err(at.is_not("a revision (a whole number, a list of them, or an instant)")),
    }
}

fn position(at: At<'_>) -> Result<u64, Rejection> {
    match at.value() {
        Json::Number(digits) => digits.parse().ok(),
        _ => None,
    }
    .ok_or_else(|| at.is_not("a whole number from 0 to 18446744073709551615"))
}

fn reservation(at: At<'_>) -> Result<ReservationReplacement, Rejection> {
    let object = at.object()?;
    object.only(&["id", "lines"])?;
    let mut seen = BTreeSet::new();
    let mut lines = Vec::new();
    for element in object.required("lines")?.list()? {
        let element = element.object()?;
        let line = line(element, &[])?;
        if !seen.insert(line.line.clone()) {
            return Err(element.required("line")?.reject(format_args!("{:?} stands twice in this reservation", line.line)));
        }
        lines.push(line);
    }
    Ok(ReservationReplacement { reservation: object.required("id")?.code()?.to_owned(), lines })
}

fn line_of(at: At<'_>) -> Result<LineOf, Rejection> {
    let object = at.object()?;
    let line = line(object, &["reservation"])?;
    Ok(LineOf { reservation: object.required("reservation")?.code()?.to_owned(), line })
}

fn cancellation(at: At<'_>) -> Result<Cancellation, Rejection> {
    let object = at.object()?;
    object.only(&["reservation", "line"])?;
    Ok(Cancellation {
        reservation: object.required("reservation")?.code()?.to_owned(),
        line: object.required("line")?.code()?.to_owned(),
    })
}

fn line(object: Object<'_>, others: &[&str]) -> Result<Line, Rejection> {
    const KEYS: [&str; 10] = [
        "line", "status", "arrival", "departure", "room_type", "room", "amount", "currency", "guests", "references",
    ];
    let known: Vec<&str> = others.iter().chain(&KEYS).copied().collect();
    object.only(&known)?;
    let line = Line {
        line: object.required("line")?.code()?.to_owned(),
        status: object.optional("status", status)?,
        arrival: object.optional("arrival", At::day)?,
        departure: object.optional("departure", At::day)?,
        room_type: object.optional("room_type", At::code)?.map(str::to_owned),
        room: object.optional("room", room)?,
        money: money(object)?,
        guests: object.optional("guests", At::count)?,
        references: object.optional("references", |at| at.list()?.map(reference).collect())?,
    };
    if let (Some(arrival), Some(departure)) = (line.arrival, line.departure)
        && departure <= arrival
    {
        let words = format_args!(
            "{} is not after the arrival {}: the departure is the day after the last night",
            time::spelled(departure),
            time::spelled(arrival)
        );
        return Err(object.required("departure")?.reject(words));
    }
    Ok(line)
}

fn status(at: At<'_>) -> Result<Status, Rejection> {
    let text = at.text()?;
    STATUSES.iter().find(|(name, _)| *name == text).map(|(_, status)| *status).ok_or_else(|| match text {
        "reinstated" => at.reject("\"reinstated\" is found out, not sent: send \"confirmed\""),
        _ => at.is_not("a status (tentative, confirmed, checked-in, checked-out, cancelled, no-show)"),
    })
}

/// A room's code; `null` takes the assignment back.
fn room(at: At<'_>) -> Result<String, Rejection> {
    if at.is_null() { Ok(String::new()) } else { Ok(at.code()?.to_owned()) }
}

/// `amount` and `currency`, which stand together or not at all.
fn money(object: Object<'_>) -> Result<Option<Money>, Rejection> {
    match (object.get("amount"), object.get("currency")) {
        (None, None) => Ok(None),
        (Some(amount), Some(currency)) => currency.currency_of(amount.decimal()?).map(Some),
        (Some(amount), None) => Err(amount.reject("an amount needs its \"currency\"")),
        (None, Some(currency)) => Err(currency.reject("a currency needs its \"amount\"")),
    }
}

fn reference(at: At<'_>) -> Result<Reference, Rejection> {
    let object = at.object()?;
    object.only(&["type", "issuer", "value"])?;
    Ok(Reference {
        kind: object.required("type")?.code()?.to_owned(),
        issuer: object.required("issuer")?.code()?.to_owned(),
        value: object.required("value")?.code()?.to_owned(),
    })
}

fn room_nights(at: At<'_>) -> Result<RoomNights, Rejection> {
    let object = at.object()?;
    object.only(&["room_type", "nights", "fields"])?;
    let fields = object.required("fields")?.object()?;
    Ok(RoomNights {
        room_type: object.required("room_type")?.code()?.to_owned(),
        nights: object.required("nights")?.nights()?,
        fields: fields.entries().map(|(name, at)| field(name, at)).collect::<Result<_, _>>()?,
    })
}

fn field(name: &str, at: At<'_>) -> Result<Field, Rejection> {
    if name.is_empty() {
        return Err(at.reject("a field needs a name"));
    }
    let value = match name {
        _ if at.is_null() => None,
        // The three fields that every pipeline has, and of which some values mean nothing.
        "capacity" | "availability" => Some(Value::Integer(at.count()?.into())),
        "closed" => Some(Value::Boolean(at.boolean()?)),
        _ => Some(value(at)?),
    };
    Ok(Field { name: name.to_owned(), value })
}

/// 2 is an integer, 2.0 a decimal; `{"decimal": "2"}` and `{"amount": "2", "currency": "EUR"}` say it outright.
fn value(at: At<'_>) -> Result<Value, Rejection> {
    Ok(match at.value() {
        Json::Boolean(value) => Value::Boolean(*value),
        Json::Text(text) => Value::Text(text.clone().into_owned()),
        Json::Number(digits) if digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') => {
            Value::Integer(at.integer()?)
        }
        Json::Number(_) => Value::Decimal(at.decimal()?),
        Json::Object(_) => {
            let object = at.object()?;
            if let Some(decimal) = object.get("decimal") {
                object.only(&["decimal"])?;
                return Ok(Value::Decimal(decimal.decimal()?));
            }
            object.only(&["amount", "currency"])?;
            Value::Money(object.required("currency")?.currency_of(object.required("amount")?.decimal()?)?)
        }
        _ => return Err(at.is_not("a value (a number, a string, true, false, null, a decimal or an amount)")),
    })
}

fn inventory_replacement(at: At<'_>) -> Result<InventoryReplacement, Rejection> {
    let object = at.object()?;
    let scope = scope(object, &["room_nights"])?;
    let mut nights = Vec::new();
    for element in object.required("room_nights")?.list()? {
        let listed = room_nights(element)?;
        let outside = listed.nights.first < scope.nights.first || listed.nights.end > scope.nights.end;
        if outside || !(scope.room_types.is_empty() || scope.room_types.contains(&listed.room_type)) {
            return Err(element.reject("lies outside of the nights and room types that are replaced"));
        }
        if let Some(field) = listed.fields.iter().find(|field| !in_scope(&scope, &field.name)) {
            return Err(element.reject(format_args!("{:?} is not among the \"fields\" that are replaced", field.name)));
        }
        nights.push(listed);
    }
    Ok(InventoryReplacement { scope, nights })
}

fn in_scope(scope: &Scope, field: &str) -> bool {
    scope.fields.is_empty() || scope.fields.iter().any(|name| name == field)
}

/// `nights`, and `room_types` and `fields` where not all are meant.
fn scope(object: Object<'_>, others: &[&str]) -> Result<Scope, Rejection> {
    let known: Vec<&str> = ["nights", "room_types", "fields"].iter().chain(others).copied().collect();
    object.only(&known)?;
    Ok(Scope {
        room_types: object.optional("room_types", codes)?.unwrap_or_default(),
        nights: object.required("nights")?.nights()?,
        fields: object.optional("fields", codes)?.unwrap_or_default(),
    })
}

/// A list of codes. An empty one would mean "all" to the host and looks like "none": it is refused.
fn codes(at: At<'_>) -> Result<Vec<String>, Rejection> {
    let elements = at.list()?;
    if elements.len() == 0 {
        return Err(at.reject("the list is empty: name some, or leave the key out to mean all"));
    }
    elements.map(|element| Ok(element.code()?.to_owned())).collect()
}

/// The earliest arrival or first night that the part mentions, well-formed ones only.
pub fn first_date(part: Object<'_>) -> Option<Day> {
    let listed = part.get("changes").and_then(|changes| changes.list().ok());
    let mut first = earliest(part);
    for element in listed.into_iter().flatten() {
        let date = element.object().ok().and_then(earliest);
        first = first.into_iter().chain(date).min();
    }
    first
}

fn earliest(change: Object<'_>) -> Option<Day> {
    let inside = |key: &str| change.get(key).and_then(|at| at.object().ok());
    let arrival = |line: Object<'_>| line.get("arrival").and_then(|at| at.day().ok());
    let night = |scope: Object<'_>| scope.get("nights").and_then(|at| at.nights().ok()).map(|nights| nights.first);
    let lines = inside("reservation").and_then(|reservation| reservation.get("lines")?.list().ok());
    let arrivals = lines.into_iter().flatten().filter_map(|line| line.object().ok().and_then(arrival));
    let nights = ["inventory", "inventory_replace", "withdraw"].into_iter().filter_map(|key| inside(key).and_then(night));
    arrivals.chain(inside("line").and_then(arrival)).chain(nights).min()
}
