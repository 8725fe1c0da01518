//! Short logs whose tables were worked out by hand from `merge-semantics.md`, rule by rule.
//!
//! The names of the tests begin with the number of the rule. The setting: property H1; room type DBL has one room
//! by default, TWN two, rooms 101 (DBL), 102 (TWN); `pms` goes before `ota` before `web`; days are of March 2026.

mod close_readings;
mod faults;
mod ids_and_revisions;
mod rows;
mod stays_and_rooms;

use std::collections::BTreeMap;

use concord::change::{Action, Change, FieldChange, LineChange, Reference, RoomNights, Scope};
use concord::rows::Outcome;
use concord::types::{Amount, Currency, Day, Days, Money, Revision, Status, Value};

use super::{Configuration, Input, Setup, What, run};
use crate::fixed_rules::{FixedRules, Pattern};
use crate::real;
use crate::tables::{RecordOutcome, Tables, assert_same};

fn setup() -> Setup {
    let rooms = [("101", "DBL"), ("102", "TWN"), ("103", "DBL")];
    Setup {
        partition: 3,
        rule_set_label: "test@1#0".into(),
        plugin_label: "fixed@1".into(),
        default_capacity: [("DBL", 1), ("TWN", 2)].map(|(name, rooms)| (("H1".into(), name.into()), rooms)).into(),
        rooms: rooms.map(|(room, of)| (("H1".into(), room.into()), of.into())).into(),
        max_stay_nights: 365,
        dedup_span_ms: 1000,
    }
}

fn rules() -> FixedRules {
    let of = |status: Option<Status>, source: Option<&str>| -> Pattern { (status, source.map(str::to_owned)) };
    FixedRules {
        order: ["pms", "ota", "web"].map(str::to_owned).to_vec(),
        statuses: vec![
            of(Some(Status::CheckedOut), Some("pms")),
            of(Some(Status::CheckedIn), Some("pms")),
            of(Some(Status::Reinstated), None),
            of(Some(Status::Cancelled), Some("ota")),
            of(None, Some("pms")),
            of(None, Some("ota")),
        ],
        capacity: vec![of(Some(Status::CheckedIn), None), of(None, Some("pms")), of(None, Some("ota"))],
        capacity_rule: "rooms".into(),
        equal_within: BTreeMap::from([("price".to_owned(), 100)]),
        ..FixedRules::default()
    }
}

/// A log under construction; every record is one of H1.
#[derive(Clone, Default)]
struct Log(Vec<Input>);

impl Log {
    fn new() -> Log {
        Log::default()
    }

    /// A record with a sender's id, made of its offset.
    fn from(self, source: &str, changes: impl Into<Vec<Change>>) -> Log {
        let id = format!("id-{}", self.0.len());
        self.with_id(source, &id, changes)
    }

    fn with_id(mut self, source: &str, id: &str, changes: impl Into<Vec<Change>>) -> Log {
        let offset = self.0.len() as u64;
        self.0.push(record(
            offset,
            offset,
            source,
            id,
            What::Changes { property: "H1".into(), changes: changes.into() },
        ));
        self
    }

    /// A record whose id is only a hash: equal changes have equal ids.
    fn hashed(self, source: &str, changes: impl Into<Vec<Change>>) -> Log {
        let changes = changes.into();
        let id = crate::generate::hash_id(&changes);
        self.with_id(source, &id, changes)
    }

    /// A dead letter that first stood at `order`.
    fn retried(mut self, order: u64, source: &str, changes: impl Into<Vec<Change>>) -> Log {
        let offset = self.0.len() as u64;
        let what = What::Changes { property: "H1".into(), changes: changes.into() };
        self.0.push(record(offset, order, source, &format!("retry-{order}"), what));
        self
    }

    fn tick(mut self, millis: i64) -> Log {
        let offset = self.0.len() as u64;
        self.0.push(record(offset, offset, "", "", What::Tick(millis)));
        self
    }

    fn reset(mut self, source: &str) -> Log {
        let offset = self.0.len() as u64;
        self.0.push(record(offset, offset, "", "", What::Reset { source: source.into() }));
        self
    }

    /// Other rules, under the name `test@2`.
    fn rules(mut self, rules: FixedRules) -> Log {
        let offset = self.0.len() as u64;
        let setup = Setup { rule_set_label: "test@2#0".into(), ..setup() };
        self.0.push(record(offset, offset, "", "", What::Configure(Box::new(Configuration { setup, rules }))));
        self
    }

    fn run(&self) -> Tables {
        self.run_by(rules())
    }

    /// The model's tables; the real merge, where it is there, has to give the same, however batches are cut.
    fn run_by(&self, rules: FixedRules) -> Tables {
        let tables = run(&setup(), &mut rules.clone(), &self.0);
        for cuts in [Vec::new(), (1..self.0.len()).collect()] {
            if let Some(real) = real::run(&setup(), &rules, &self.0, &cuts) {
                assert_same(&tables, &real, &format!("model left, real right, batches cut at {cuts:?}"), &self.0);
            }
        }
        tables
    }
}

fn record(offset: u64, order: u64, source: &str, id: &str, what: What) -> Input {
    Input { offset, source: source.into(), id: id.into(), order, log_time: 0, what }
}

/// The 1st of March 2026 is `day(1)`.
fn day(of_march: i32) -> Day {
    Day(Day::parse("2026-03-01").unwrap().0 + of_march - 1)
}

fn days(first: i32, end: i32) -> Days {
    Days { first: day(first), end: day(end) }
}

fn euros(whole: i64) -> Money {
    Money { amount: Amount(whole * 10_000), currency: Currency::parse("EUR").unwrap() }
}

fn change(action: Action) -> Change {
    Change { revision: None, action }
}

fn revised(revision: u64, mut change: Change) -> Change {
    change.revision = Some(Revision::Sequence([revision].into()));
    change
}

fn nights(room_type: &str, first: i32, end: i32, fields: &[(&str, Option<Value>)]) -> RoomNights {
    let fields =
        fields.iter().map(|(name, value)| FieldChange { name: (*name).into(), value: value.clone() }).collect();
    RoomNights { room_type: room_type.into(), nights: days(first, end), fields }
}

/// A field of DBL on the 1st.
fn field(name: &str, value: Value) -> Change {
    change(Action::InventorySet(nights("DBL", 1, 2, &[(name, Some(value))])))
}

fn price(whole: i64) -> Change {
    field("price", Value::Money(euros(whole)))
}

fn rooms(count: i64) -> Change {
    field("capacity", Value::Integer(count))
}

fn scope(first: i32, end: i32) -> Scope {
    Scope { room_types: Vec::new(), nights: days(first, end), fields: Vec::new() }
}

/// A line of reservation and line name `name`, without anything.
fn line(name: &str) -> LineChange {
    LineChange { line: name.into(), ..LineChange::default() }
}

/// A confirmed line from `first` to `end` in DBL.
fn booked(name: &str, first: i32, end: i32) -> LineChange {
    LineChange {
        status: Some(Status::Confirmed),
        arrival: Some(day(first)),
        departure: Some(day(end)),
        room_type: Some("DBL".into()),
        ..line(name)
    }
}

trait LineExt {
    fn status(self, status: Status) -> Self;
    fn room_type(self, name: &str) -> Self;
    fn room(self, name: &str) -> Self;
    fn refs(self, values: &[&str]) -> Self;
    fn set(self) -> Change;
    fn of(self, reservation: &str) -> Change;
}

impl LineExt for LineChange {
    fn status(mut self, status: Status) -> Self {
        self.status = Some(status);
        self
    }

    fn room_type(mut self, name: &str) -> Self {
        self.room_type = Some(name.into());
        self
    }

    fn room(mut self, name: &str) -> Self {
        self.room = Some(name.into());
        self
    }

    /// References of kind `voucher`, or `group` where the value begins with `g`.
    fn refs(mut self, values: &[&str]) -> Self {
        let kind = |value: &str| if value.starts_with('g') { "group" } else { "voucher" };
        let reference =
            |value: &&str| Reference { kind: kind(value).into(), issuer: "x".into(), value: (*value).into() };
        self.references = Some(values.iter().map(reference).collect());
        self
    }

    /// Of the reservation with the line's own name.
    fn set(self) -> Change {
        let name = self.line.to_string();
        self.of(&name)
    }

    fn of(self, reservation: &str) -> Change {
        change(Action::LineSet { reservation: reservation.into(), line: self })
    }
}

fn cancel(name: &str) -> Change {
    change(Action::LineCancel { reservation: name.into(), line: name.into() })
}

fn replace(reservation: &str, lines: impl Into<Vec<LineChange>>) -> Change {
    change(Action::ReservationReplace { reservation: reservation.into(), lines: lines.into() })
}

/// One letter per record: merged, stale, duplicate, control, `x` for a dead letter.
fn outcomes(tables: &Tables) -> String {
    let letter = |(_, outcome): &(u64, RecordOutcome)| match outcome {
        RecordOutcome::Merged => 'm',
        RecordOutcome::Stale => 's',
        RecordOutcome::Duplicate => 'd',
        RecordOutcome::Control => 'c',
        RecordOutcome::DeadLetter => 'x',
    };
    tables.outcomes.iter().map(letter).collect()
}

/// `stay day type outcome status room`, a line per row, days of March.
fn stays(tables: &Tables) -> Vec<String> {
    let mut rows: Vec<String> = tables
        .reservations
        .iter()
        .map(|row| {
            let day = row.date.0 - day(1).0 + 1;
            let outcome = row.outcome.as_str();
            format!("{} {day} {} {outcome} {} {}", row.stay, row.room_type, row.status, row.room).trim_end().to_owned()
        })
        .collect();
    rows.sort();
    rows
}

fn lines_of(tables: &Tables, stay: &str) -> String {
    tables.reservations.iter().find(|row| &*row.stay == stay).map(|row| row.lines.join(" ")).unwrap_or_default()
}

/// `stay outcome`, once per stay (of its first night).
fn verdicts(tables: &Tables) -> Vec<String> {
    let of = |row: &concord::rows::ReservationRow| (row.stay.to_string(), row.outcome.as_str());
    let mut verdicts = BTreeMap::new();
    for (stay, outcome) in tables.reservations.iter().map(of) {
        verdicts.entry(stay).or_insert(outcome);
    }
    verdicts.into_iter().map(|(stay, outcome)| format!("{stay} {outcome}")).collect()
}

/// `offset kind decision field stay winner`, a line per row.
fn conflicts(tables: &Tables) -> Vec<String> {
    let row = |row: &concord::rows::ConflictRow| {
        let (kind, decision) = (row.kind.as_str(), row.decision.as_str());
        let text = format!("{} {kind} {decision} {} {} {}", row.offset, row.field, row.stay, row.winner_source);
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    tables.conflicts.iter().map(row).collect()
}

/// The published price of DBL on a day, and whose it is.
fn price_on(tables: &Tables, of_march: i32) -> Option<String> {
    let night = tables.room_nights.iter().find(|row| row.date == day(of_march) && &*row.room_type == "DBL")?;
    let (_, value) = night.fields.iter().find(|(name, _)| &**name == "price")?;
    let (_, source) = night.sources.iter().find(|(name, _)| &**name == "price")?;
    Some(format!("{value} {source}"))
}

/// `capacity booked available` of a type on a day.
fn night_of(tables: &Tables, room_type: &str, of_march: i32) -> String {
    let found = tables.room_nights.iter().find(|row| row.date == day(of_march) && &*row.room_type == room_type);
    let show = |number: Option<i32>| number.map_or("-".to_owned(), |number| number.to_string());
    found.map_or("no row".into(), |row| format!("{} {} {}", show(row.capacity), row.booked, show(row.available)))
}
