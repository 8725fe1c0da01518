//! From a guest's words to the host's, checked.
//!
//! What a value violates is a rejection in words for the person who sent the message; what there is
//! too much of is too large. Knows the bounds of single records; does not know what others said.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::bindings::normalizer::concord::plugin::{changes as wire, types};
use super::limits::Limits;
use crate::change::{Action, Change, FieldChange, LineChange, Reference, RoomNights, Scope};
use crate::types::{Amount, Currency, Day, Days, FieldType, Money, Revision, Status, Value};

/// Why a record is not taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Its content violates a rule.
    Rejected(String),
    /// There is more of it than one record may hold.
    TooLarge(String),
}

type Checked<T> = Result<T, Refused>;

fn reject<T>(reason: impl Into<String>) -> Checked<T> {
    Err(Refused::Rejected(reason.into()))
}

/// Checks one record; counts as it goes.
pub(super) struct Checker<'a> {
    fields: &'a HashMap<Arc<str>, FieldType>,
    limits: &'a Limits,
    lines: usize,
    room_nights: usize,
}

impl<'a> Checker<'a> {
    /// `fields` are the declared inventory fields, without the three that always exist.
    pub(super) fn new(fields: &'a HashMap<Arc<str>, FieldType>, limits: &'a Limits) -> Self {
        Checker { fields, limits, lines: 0, room_nights: 0 }
    }

    /// All that one record says.
    pub(super) fn changes(mut self, changes: Vec<wire::Change>) -> Checked<Vec<Change>> {
        most(changes.len(), self.limits.changes_per_record, "changes", "changes_per_record")?;
        changes.into_iter().map(|change| self.change(change)).collect()
    }

    /// A code, name or id: not empty, not long, no control characters.
    pub(super) fn code(&self, what: &str, text: String) -> Checked<Arc<str>> {
        if text.is_empty() {
            return reject(format!("the {what} is empty"));
        }
        self.code_or_empty(what, text)
    }

    fn code_or_empty(&self, what: &str, text: String) -> Checked<Arc<str>> {
        let limit = self.limits.code_bytes;
        if text.len() > limit {
            return reject(format!("the {what} has {} bytes; at most {limit} are allowed", text.len()));
        }
        if text.chars().any(char::is_control) {
            return reject(format!("the {what} `{}` contains control characters", text.escape_debug()));
        }
        Ok(text.into())
    }

    fn change(&mut self, change: wire::Change) -> Checked<Change> {
        let revision = change.revision.map(revision).transpose()?;
        let action = match change.action {
            wire::Action::InventorySet(nights) => Action::InventorySet(self.room_nights(nights)?),
            wire::Action::InventoryReplace(all) => self.replacement(all)?,
            wire::Action::Withdraw(scope) => Action::Withdraw(self.scope(scope)?),
            wire::Action::LineSet(wire::LineOf { reservation, line }) => {
                let reservation = self.code("reservation number", reservation)?;
                let line = self.line(&reservation, line)?;
                Action::LineSet { reservation, line }
            }
            wire::Action::ReservationReplace(all) => self.reservation(all)?,
            wire::Action::LineCancel(wire::Cancellation { reservation, line }) => Action::LineCancel {
                reservation: self.code("reservation number", reservation)?,
                line: self.code("reservation line", line)?,
            },
            wire::Action::SnapshotBegin => Action::SnapshotBegin,
            wire::Action::SnapshotEnd => Action::SnapshotEnd,
        };
        Ok(Change { revision, action })
    }

    fn room_nights(&mut self, nights: wire::RoomNights) -> Checked<RoomNights> {
        let room_type = self.code("room type", nights.room_type)?;
        let days = days(nights.nights)?;
        self.count_nights(days.len())?;
        let mut seen = HashSet::with_capacity(nights.fields.len());
        let mut fields = Vec::with_capacity(nights.fields.len());
        for field in nights.fields {
            let field = self.field(field)?;
            if !seen.insert(field.name.clone()) {
                return reject(format!("the field `{}` of room type {room_type} is given twice", field.name));
            }
            fields.push(field);
        }
        Ok(RoomNights { room_type, nights: days, fields })
    }

    /// Whole replacements speak about their scope only; outside it they would be half of something.
    fn replacement(&mut self, all: wire::InventoryReplacement) -> Checked<Action> {
        let scope = self.scope(all.scope)?;
        most(all.nights.len(), self.limits.room_nights_per_record, "room nights", "room_nights_per_record")?;
        let mut nights = Vec::with_capacity(all.nights.len());
        for entry in all.nights {
            let entry = self.room_nights(entry)?;
            if !scope.room_types.is_empty() && !scope.room_types.contains(&entry.room_type) {
                return reject(format!("room type {} lies outside the scope that is replaced", entry.room_type));
            }
            if entry.nights.first < scope.nights.first || scope.nights.end < entry.nights.end {
                return reject(format!(
                    "nights {} lie outside the scope {} that is replaced",
                    entry.nights, scope.nights
                ));
            }
            let outside = |f: &&FieldChange| !scope.fields.is_empty() && !scope.fields.contains(&f.name);
            if let Some(field) = entry.fields.iter().find(outside) {
                return reject(format!("the field `{}` lies outside the scope that is replaced", field.name));
            }
            nights.push(entry);
        }
        Ok(Action::InventoryReplace { scope, nights })
    }

    fn scope(&self, scope: wire::Scope) -> Checked<Scope> {
        most(scope.room_types.len(), self.limits.changes_per_record, "room types", "changes_per_record")?;
        most(scope.fields.len(), self.limits.changes_per_record, "fields", "changes_per_record")?;
        let room_types =
            scope.room_types.into_iter().map(|code| self.code("room type", code)).collect::<Checked<_>>()?;
        let mut fields = Vec::with_capacity(scope.fields.len());
        for name in scope.fields {
            fields.push(self.declared(&name)?.0);
        }
        Ok(Scope { room_types, nights: days(scope.nights)?, fields })
    }

    fn field(&self, field: wire::Field) -> Checked<FieldChange> {
        let (name, kind) = self.declared(&field.name)?;
        let value = field.value.map(|value| self.value(&name, kind, value)).transpose()?;
        Ok(FieldChange { name, value })
    }

    /// A field's name, shared, and its type.
    fn declared(&self, name: &str) -> Checked<(Arc<str>, Kind)> {
        match name {
            "capacity" | "availability" => return Ok((name.into(), Kind::Rooms)),
            "closed" => return Ok((name.into(), Kind::Declared(FieldType::Boolean))),
            _ => {}
        }
        match self.fields.get_key_value(name) {
            Some((name, kind)) => Ok((name.clone(), Kind::Declared(*kind))),
            None => reject(format!(
                "the field `{}` is not declared; add it to the pipeline's `[fields]` table",
                super::sandbox::clip(name, self.limits.code_bytes)
            )),
        }
    }

    fn value(&self, name: &str, kind: Kind, value: types::Value) -> Checked<Value> {
        use types::Value as Wire;
        Ok(match (kind, value) {
            (Kind::Rooms, Wire::Integer(rooms)) if (0..=i64::from(i32::MAX)).contains(&rooms) => Value::Integer(rooms),
            (Kind::Rooms, Wire::Integer(rooms)) => {
                return reject(format!("`{name}` is {rooms}; it must lie between 0 and {}", i32::MAX));
            }
            (Kind::Declared(FieldType::Integer), Wire::Integer(number)) => Value::Integer(number),
            (Kind::Declared(FieldType::Decimal), Wire::Decimal(number)) => Value::Decimal(amount(name, number)?),
            (Kind::Declared(FieldType::Money), Wire::Money(value)) => Value::Money(money(name, value)?),
            (Kind::Declared(FieldType::Text), Wire::Text(text)) => Value::Text(self.text(name, text)?),
            (Kind::Declared(FieldType::Boolean), Wire::Boolean(flag)) => Value::Boolean(flag),
            (kind, other) => {
                return reject(format!("the field `{name}` takes {}, not {}", kind.words(), words(&other)));
            }
        })
    }

    fn text(&self, name: &str, text: String) -> Checked<Arc<str>> {
        let limit = self.limits.text_bytes;
        if text.len() > limit {
            return reject(format!("the text of `{name}` has {} bytes; at most {limit} are allowed", text.len()));
        }
        if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
            return reject(format!("the text of `{name}` contains control characters"));
        }
        Ok(text.into())
    }

    fn reservation(&mut self, all: wire::ReservationReplacement) -> Checked<Action> {
        let reservation = self.code("reservation number", all.reservation)?;
        most(all.lines.len(), self.limits.lines_per_record, "reservation lines", "lines_per_record")?;
        let mut seen = HashSet::with_capacity(all.lines.len());
        let mut lines = Vec::with_capacity(all.lines.len());
        for line in all.lines {
            let line = self.line(&reservation, line)?;
            if !seen.insert(line.line.clone()) {
                return reject(format!("reservation {reservation} lists its line {} twice", line.line));
            }
            lines.push(line);
        }
        Ok(Action::ReservationReplace { reservation, lines })
    }

    fn line(&mut self, reservation: &str, line: wire::Line) -> Checked<LineChange> {
        self.lines += 1;
        most(self.lines, self.limits.lines_per_record, "reservation lines", "lines_per_record")?;
        let arrival = line.arrival.map(|day| self::day("arrival", day)).transpose()?;
        let departure = line.departure.map(|day| self::day("departure", day)).transpose()?;
        if let (Some(arrival), Some(departure)) = (arrival, departure) {
            self.stay(reservation, arrival, departure)?;
        }
        Ok(LineChange {
            line: self.code("reservation line", line.line)?,
            status: line.status.map(status),
            arrival,
            departure,
            room_type: line.room_type.map(|code| self.code("room type", code)).transpose()?,
            room: line.room.map(|code| self.code_or_empty("room", code)).transpose()?,
            money: line.money.map(|value| money("amount", value)).transpose()?,
            guests: line.guests,
            references: line.references.map(|list| self.references(list)).transpose()?,
        })
    }

    fn stay(&mut self, reservation: &str, arrival: Day, departure: Day) -> Checked<()> {
        if departure <= arrival {
            return reject(format!("departure {departure} is not after arrival {arrival} (reservation {reservation})"));
        }
        let nights = Days { first: arrival, end: departure }.len();
        let limit = self.limits.nights_per_stay;
        if nights > limit as usize {
            return reject(format!(
                "the stay {arrival} to {departure} has {nights} nights; at most {limit} are taken (reservation {reservation})"
            ));
        }
        self.count_nights(nights)
    }

    fn references(&self, list: Vec<wire::Reference>) -> Checked<Vec<Reference>> {
        most(list.len(), self.limits.references_per_line, "references on one line", "references_per_line")?;
        list.into_iter()
            .map(|reference| {
                Ok(Reference {
                    kind: self.code("kind of a reference", reference.kind)?,
                    issuer: self.code("issuer of a reference", reference.issuer)?,
                    value: self.code("value of a reference", reference.value)?,
                })
            })
            .collect()
    }

    fn count_nights(&mut self, nights: usize) -> Checked<()> {
        self.room_nights += nights;
        most(self.room_nights, self.limits.room_nights_per_record, "room nights", "room_nights_per_record")
    }
}

/// What a field takes: the pipeline's types, and a count of rooms.
#[derive(Clone, Copy)]
enum Kind {
    Rooms,
    Declared(FieldType),
}

impl Kind {
    fn words(self) -> &'static str {
        match self {
            Kind::Rooms | Kind::Declared(FieldType::Integer) => "an integer",
            Kind::Declared(FieldType::Decimal) => "a decimal",
            Kind::Declared(FieldType::Money) => "money",
            Kind::Declared(FieldType::Text) => "text",
            Kind::Declared(FieldType::Boolean) => "a boolean",
        }
    }
}

fn words(value: &types::Value) -> &'static str {
    match value {
        types::Value::Integer(_) => "an integer",
        types::Value::Decimal(_) => "a decimal",
        types::Value::Money(_) => "money",
        types::Value::Text(_) => "text",
        types::Value::Boolean(_) => "a boolean",
    }
}

/// Refuses more than a limit allows, and names it.
pub(super) fn most(count: usize, limit: usize, what: &str, name: &str) -> Checked<()> {
    if count > limit {
        return Err(Refused::TooLarge(format!("more than {limit} {what} in one message (limit `{name}`)")));
    }
    Ok(())
}

/// A day within the bounds of every table.
pub(super) fn day(what: &str, day: i32) -> Checked<Day> {
    match Day::checked(day) {
        Some(day) => Ok(day),
        None => reject(format!("the {what} lies outside {} to {} ({day} days from 1970-01-01)", Day::MIN, Day::MAX)),
    }
}

fn days(days: types::Days) -> Checked<Days> {
    let checked = Days { first: day("first day", days.first)?, end: day("end", days.end)? };
    if checked.is_empty() {
        return reject(format!("the end {} is not after the first day {}", checked.end, checked.first));
    }
    Ok(checked)
}

fn amount(name: &str, decimal: types::Decimal) -> Checked<Amount> {
    let types::Decimal { units, scale } = decimal;
    if let Some(amount) = Amount::exact(units, scale) {
        return Ok(amount);
    }
    let text = decimal_text(units, scale);
    if scale > 18 {
        return reject(format!("`{name}` {text} has a scale over 18"));
    }
    let too_fine = scale > Amount::SCALE && units % 10_i64.pow(u32::from(scale - Amount::SCALE)) != 0;
    if too_fine {
        return reject(format!("`{name}` {text} has more than four decimals"));
    }
    reject(format!("`{name}` {text} does not fit: at most {} is taken", Amount(Amount::MAX)))
}

/// A decimal for a message.
fn decimal_text(units: i64, scale: u8) -> String {
    let scale = usize::from(scale);
    if scale == 0 || scale > 18 {
        return if scale == 0 { units.to_string() } else { format!("{units}e-{scale}") };
    }
    let sign = if units < 0 { "-" } else { "" };
    let digits = format!("{:0>width$}", units.unsigned_abs(), width = scale + 1);
    let (whole, part) = digits.split_at(digits.len() - scale);
    format!("{sign}{whole}.{part}")
}

fn money(name: &str, money: types::Money) -> Checked<Money> {
    let amount = amount(name, money.amount)?;
    match Currency::parse(&money.currency) {
        Some(currency) => Ok(Money { amount, currency }),
        None => reject(format!(
            "the currency `{}` of `{name}` is no ISO 4217 code such as EUR",
            super::sandbox::clip(&money.currency, 32)
        )),
    }
}

fn revision(revision: types::Revision) -> Checked<Revision> {
    match revision {
        types::Revision::Instant(micros) => Ok(Revision::Instant(micros)),
        types::Revision::Sequence(parts) if (1..=8).contains(&parts.len()) => Ok(Revision::Sequence(parts.into())),
        types::Revision::Sequence(parts) => {
            reject(format!("a revision has {} numbers; it needs between 1 and 8", parts.len()))
        }
    }
}

fn status(status: wire::Status) -> Status {
    match status {
        wire::Status::Tentative => Status::Tentative,
        wire::Status::Confirmed => Status::Confirmed,
        wire::Status::CheckedIn => Status::CheckedIn,
        wire::Status::CheckedOut => Status::CheckedOut,
        wire::Status::Cancelled => Status::Cancelled,
        wire::Status::NoShow => Status::NoShow,
    }
}
