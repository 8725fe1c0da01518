//! What each change looks like in the native format.
//!
//! Knows the keys and their meaning. Does not know deliveries or properties.

use std::collections::BTreeSet;

use concord_plugin::json::{self, At, Object};
use concord_plugin::{
    Action, Cancellation, Change, Day, Field, InventoryReplacement, Line, LineOf, Money, Reference, Rejection,
    ReservationReplacement, Revision, RoomNights, Scope, Status, Value, time,
};

/// Where several changes can stand, and what a part may hold beside one.
const PART: [&str; 11] = [
    "property",
    "date",
    "revision",
    "changes",
    "reservation",
    "line",
    "cancel",
    "inventory",
    "inventory_replace",
    "withdraw",
    "snapshot",
];
const CHANGE: [&str; 8] =
    ["revision", "reservation", "line", "cancel", "inventory", "inventory_replace", "withdraw", "snapshot"];
/// The changes, in the order of `PART` and `CHANGE`.
const ACTIONS: [&str; 7] = ["reservation", "line", "cancel", "inventory", "inventory_replace", "withdraw", "snapshot"];

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
    let [_, date, common, list, actions @ ..] = part.only(&PART)?;
    date.map(At::day).transpose()?;
    let common = common.map(revision).transpose()?;
    let Some(list) = list else {
        return Ok(vec![Change { revision: common, action: only_action(part, &actions)? }]);
    };
    if let Some(action) = actions.iter().flatten().next() {
        return Err(action.reject("stands beside \"changes\": it belongs into that list"));
    }
    let change = |element: At<'_>| {
        let element = element.object()?;
        let [own, actions @ ..] = element.only(&CHANGE)?;
        let revision = own.map(revision).transpose()?.or_else(|| common.clone());
        Ok(Change { revision, action: only_action(element, &actions)? })
    };
    let changes: Vec<Change> = list.list()?.map(change).collect::<Result<_, Rejection>>()?;
    if changes.is_empty() { Err(list.reject("the list holds no change")) } else { Ok(changes) }
}

/// The one action among those that were found.
fn only_action(object: Object<'_>, actions: &[Option<At<'_>>; ACTIONS.len()]) -> Result<Action, Rejection> {
    let mut found = ACTIONS.iter().zip(actions).filter_map(|(name, at)| at.map(|at| (*name, at)));
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
        "withdraw" => Action::Withdraw(withdrawn(at)?),
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
        json::Value::Text(text) => match time::stamp(text) {
            Some(stamp) if stamp.offset.is_some() => Ok(Revision::Instant(stamp.utc(0))),
            Some(_) => Err(at.is_not("an instant with its offset, such as 2026-03-01T12:00:00Z")),
            None => Err(at.is_not("an instant, such as 2026-03-01T12:00:00Z")),
        },
        json::Value::List => match at.list()?.count() {
            1..=MOST => Ok(Revision::Sequence(at.list()?.map(position).collect::<Result<_, _>>()?)),
            count => Err(at.reject(format_args!("a revision has 1 to {MOST} positions, not {count}"))),
        },
        json::Value::Number(_) => Ok(Revision::Sequence(vec![position(at)?])),
        _ => Err(at.is_not("a revision (a whole number, a list of them, or an instant)")),
    }
}

fn position(at: At<'_>) -> Result<u64, Rejection> {
    match at.value() {
        json::Value::Number(digits) => digits.parse().ok(),
        _ => None,
    }
    .ok_or_else(|| at.is_not("a whole number from 0 to 18446744073709551615"))
}

fn reservation(at: At<'_>) -> Result<ReservationReplacement, Rejection> {
    let object = at.object()?;
    let [id, lines] = object.only(&["id", "lines"])?;
    let reservation = object.needs("id", id)?.code()?.to_owned();
    let mut seen = BTreeSet::new();
    let mut read = Vec::new();
    for element in object.needs("lines", lines)?.list()? {
        let element = element.object()?;
        let line = line(element, element.only(&LINE)?)?;
        if !seen.insert(line.line.clone()) {
            return Err(element
                .required("line")?
                .reject(format_args!("{:?} stands twice in this reservation", line.line)));
        }
        read.push(line);
    }
    Ok(ReservationReplacement { reservation, lines: read })
}

fn line_of(at: At<'_>) -> Result<LineOf, Rejection> {
    let object = at.object()?;
    let [reservation, keys @ ..] = object.only(&LINE_OF)?;
    let reservation = object.needs("reservation", reservation)?.code()?.to_owned();
    Ok(LineOf { reservation, line: line(object, keys)? })
}

fn cancellation(at: At<'_>) -> Result<Cancellation, Rejection> {
    let object = at.object()?;
    let [reservation, line] = object.only(&["reservation", "line"])?;
    Ok(Cancellation {
        reservation: object.needs("reservation", reservation)?.code()?.to_owned(),
        line: object.needs("line", line)?.code()?.to_owned(),
    })
}

const LINE: [&str; 10] =
    ["line", "status", "arrival", "departure", "room_type", "room", "amount", "currency", "guests", "references"];
const LINE_OF: [&str; 11] = [
    "reservation",
    "line",
    "status",
    "arrival",
    "departure",
    "room_type",
    "room",
    "amount",
    "currency",
    "guests",
    "references",
];

/// A line from the values of `LINE`.
fn line(object: Object<'_>, keys: [Option<At<'_>>; LINE.len()]) -> Result<Line, Rejection> {
    let [id, line_status, arrival, departure, room_type, line_room, amount, currency, guests, references] = keys;
    let line = Line {
        line: object.needs("line", id)?.code()?.to_owned(),
        status: line_status.map(status).transpose()?,
        arrival: arrival.map(At::day).transpose()?,
        departure: departure.map(At::day).transpose()?,
        room_type: room_type.map(At::code).transpose()?.map(str::to_owned),
        room: line_room.map(room).transpose()?,
        money: money(amount, currency)?,
        guests: guests.map(At::count).transpose()?,
        references: references.map(|at| at.list()?.map(reference).collect()).transpose()?,
    };
    if let (Some(first), Some(end), Some(at)) = (line.arrival, line.departure, departure)
        && end <= first
    {
        let (first, end) = (time::spelled(first), time::spelled(end));
        let words =
            format_args!("{end} is not after the arrival {first}: the departure is the day after the last night");
        return Err(at.reject(words));
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
fn money(amount: Option<At<'_>>, currency: Option<At<'_>>) -> Result<Option<Money>, Rejection> {
    match (amount, currency) {
        (None, None) => Ok(None),
        (Some(amount), Some(currency)) => currency.currency_of(amount.decimal()?).map(Some),
        (Some(amount), None) => Err(amount.reject("an amount needs its \"currency\"")),
        (None, Some(currency)) => Err(currency.reject("a currency needs its \"amount\"")),
    }
}

fn reference(at: At<'_>) -> Result<Reference, Rejection> {
    let object = at.object()?;
    let [kind, issuer, value] = object.only(&["type", "issuer", "value"])?;
    Ok(Reference {
        kind: object.needs("type", kind)?.code()?.to_owned(),
        issuer: object.needs("issuer", issuer)?.code()?.to_owned(),
        value: object.needs("value", value)?.code()?.to_owned(),
    })
}

fn room_nights(at: At<'_>) -> Result<RoomNights, Rejection> {
    let object = at.object()?;
    let [room_type, nights, fields] = object.only(&["room_type", "nights", "fields"])?;
    let fields = object.needs("fields", fields)?.object()?;
    Ok(RoomNights {
        room_type: object.needs("room_type", room_type)?.code()?.to_owned(),
        nights: object.needs("nights", nights)?.nights()?,
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
        json::Value::Boolean(value) => Value::Boolean(value),
        json::Value::Text(text) => Value::Text(text.to_owned()),
        json::Value::Number(digits) if digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') => {
            Value::Integer(at.integer()?)
        }
        json::Value::Number(_) => Value::Decimal(at.decimal()?),
        json::Value::Object => {
            let object = at.object()?;
            if let Some(decimal) = object.get("decimal") {
                object.only(&["decimal"])?;
                return Ok(Value::Decimal(decimal.decimal()?));
            }
            let [amount, currency] = object.only(&["amount", "currency"])?;
            let amount = object.needs("amount", amount)?.decimal()?;
            Value::Money(object.needs("currency", currency)?.currency_of(amount)?)
        }
        _ => return Err(at.is_not("a value (a number, a string, true, false, null, a decimal or an amount)")),
    })
}

fn inventory_replacement(at: At<'_>) -> Result<InventoryReplacement, Rejection> {
    let object = at.object()?;
    let [nights, room_types, fields, listed] = object.only(&["nights", "room_types", "fields", "room_nights"])?;
    let scope = scope(object, nights, room_types, fields)?;
    let mut nights = Vec::new();
    for element in object.needs("room_nights", listed)?.list()? {
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

fn withdrawn(at: At<'_>) -> Result<Scope, Rejection> {
    let object = at.object()?;
    let [nights, room_types, fields] = object.only(&["nights", "room_types", "fields"])?;
    scope(object, nights, room_types, fields)
}

/// `nights`, and `room_types` and `fields` where not all are meant.
fn scope<'j>(
    object: Object<'j>,
    nights: Option<At<'j>>,
    room_types: Option<At<'j>>,
    fields: Option<At<'j>>,
) -> Result<Scope, Rejection> {
    Ok(Scope {
        room_types: room_types.map(codes).transpose()?.unwrap_or_default(),
        nights: object.needs("nights", nights)?.nights()?,
        fields: fields.map(codes).transpose()?.unwrap_or_default(),
    })
}

/// A list of codes. An empty one would mean "all" to the host and looks like "none": it is refused.
fn codes(at: At<'_>) -> Result<Vec<String>, Rejection> {
    let elements = at.list()?;
    if elements.clone().next().is_none() {
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
    let nights =
        ["inventory", "inventory_replace", "withdraw"].into_iter().filter_map(|key| inside(key).and_then(night));
    arrivals.chain(inside("line").and_then(arrival)).chain(nights).min()
}
