//! After a record: every question asked again, and what changed becomes rows (rules 21 to 23).
//!
//! Keeps the tables as one reads them: the last row of every key, without deleted ones. Does not know claims' history.

use std::collections::{BTreeMap, BTreeSet};

use concord::policy::{Claimed, Policy, Subject, Terms};
use concord::rows::{AuditClaim, Cause, ConflictKind, ConflictRow, Decision, Outcome, ReservationRow, RoomNightRow};
use concord::types::{Day, Status, Value};

use super::claims::{Claims, LineKey};
use super::rooms::{Guest, Memory, Night, Question, Said, Signature, assign, excess, seat};
use super::stays::{Answer, ask, link, merge, spoken};
use super::{Input, Name, Setup};

/// The tables of one property.
#[derive(Clone, Debug, Default)]
pub(crate) struct Published {
    pub room_nights: BTreeMap<Night, RoomNightRow>,
    /// By (stay, room type, night).
    pub reservations: BTreeMap<(Name, Name, Day), ReservationRow>,
}

/// Fields of the table's own columns; the others are declared fields.
const OWN_COLUMNS: [&str; 3] = ["capacity", "availability", "closed"];

/// The answer to a field of a room night.
type FieldAnswers = BTreeMap<Night, BTreeMap<Name, (Answer, Option<Value>)>>;

/// Decides a property anew. Gives the conflict rows, not numbered yet.
pub(crate) fn decide(
    setup: &Setup,
    policy: &mut dyn Policy,
    property: &Name,
    (claims, memory, published): (&Claims, &mut Memory, &mut Published),
    record: &Input,
    cause: Cause,
) -> Vec<ConflictRow> {
    let terms = policy.terms(property).unwrap_or_else(|_| Terms {
        class: "".into(),
        overbook: 0,
        rule: concord::policy::FAULT_RULE.into(),
        no_show_keeps_first_night: false,
    });
    let mut rows = Rows { setup, property, record, cause, rows: Vec::new() };

    let fields = answer_fields(policy, property, claims, memory);
    let linked = link(&claims.lines);
    let stays: Vec<_> =
        linked.stays.iter().map(|members| merge(policy, property, &claims.lines, members, memory)).collect();
    let mut guests = assign(policy, setup, property, terms.no_show_keeps_first_night, stays, memory, record.offset);
    let capacity = |night: &Night| capacity(setup, property, &fields, night);
    let limit = |night: &Night| capacity(night).map(|rooms| rooms + i64::from(terms.overbook));
    seat(&mut guests, memory, &limit, cause, terms.overbook);
    let excess = excess(&guests, &limit);

    let doubts: Vec<BTreeSet<LineKey>> =
        linked.doubts.iter().map(|set| set.iter().map(|at| claims.lines[*at].key.clone()).collect()).collect();
    for (set, keys) in linked.doubts.iter().zip(&doubts).filter(|(_, keys)| !memory.doubts.contains(*keys)) {
        rows.doubt(claims, set, keys, &guests);
    }
    let (contests, winners) = rows.contests(&fields, &guests, memory);
    rows.rooms(&guests, memory, &terms, &excess);

    show_room_nights(setup, property, published, &fields, &guests, &limit, &capacity);
    show_reservations(property, published, &guests);
    *memory = Memory {
        stays: guests.iter().map(|guest| (guest.stay.id.clone(), guest.remember())).collect(),
        doubts: doubts.into_iter().collect(),
        contests,
        winners,
        excess,
        overbook: terms.overbook,
    };
    rows.rows
}

fn answer_fields(policy: &mut dyn Policy, property: &Name, claims: &Claims, memory: &Memory) -> FieldAnswers {
    let mut asked: BTreeMap<(Night, Name), Vec<_>> = BTreeMap::new();
    for ((room_type, day, field, source), claim) in &claims.inventory {
        if let Some(value) = claim.value.clone().flatten() {
            let told = spoken(source, claim, Claimed::Value(value.clone()), value.to_string());
            asked.entry(((room_type.clone(), *day), field.clone())).or_default().push((source.clone(), value, told));
        }
    }
    let mut answers = FieldAnswers::new();
    for ((night, field), said) in asked {
        let values: BTreeMap<Name, Value> =
            said.iter().map(|(source, value, _)| (source.clone(), value.clone())).collect();
        let before = memory.winners.get(&(night.0.clone(), night.1, "".into(), field.clone()));
        let told = said.into_iter().map(|(_, _, told)| told).collect();
        let subject = Subject::Field(field.clone());
        let Some(answer) = ask(policy, (property, &night.0), subject, (ConflictKind::Field, &field), told, before)
        else {
            continue;
        };
        let value = values.get(&answer.winner_source()).cloned();
        answers.entry(night).or_default().insert(field, (answer, value));
    }
    answers
}

/// Rooms of a type on a night: the merged claim, else the configured number, else unlimited.
fn capacity(setup: &Setup, property: &Name, fields: &FieldAnswers, night: &Night) -> Option<i64> {
    match fields.get(night).and_then(|fields| fields.get("capacity")) {
        Some((_, Some(Value::Integer(rooms)))) => Some((*rooms).max(0)),
        _ => setup.default_capacity.get(&(property.to_string(), night.0.to_string())).map(|rooms| i64::from(*rooms)),
    }
}

pub(crate) fn stay_key(id: &Name, field: &str) -> Question {
    ("".into(), Day::EPOCH, id.clone(), field.into())
}

/// Where a row about a stay stands: its arrival and counted type.
fn place(guest: &Guest) -> Place {
    match &guest.stay.placement {
        Some(placement) => (placement.arrival, guest.counted_type.clone()),
        None => (Day::EPOCH, "".into()),
    }
}

type Contests = BTreeMap<Question, Signature>;
type Winners = BTreeMap<Question, Said>;
/// (date, room type) of a conflict row.
type Place = (Day, Name);

/// The conflict rows of one record.
struct Rows<'a> {
    setup: &'a Setup,
    property: &'a Name,
    record: &'a Input,
    cause: Cause,
    rows: Vec<ConflictRow>,
}

impl Rows<'_> {
    fn push(
        &mut self,
        kind: ConflictKind,
        decision: Decision,
        (date, room_type): Place,
        stay: Name,
        field: &str,
        rule: Name,
    ) -> &mut ConflictRow {
        self.rows.push(ConflictRow {
            property: self.property.clone(),
            date,
            room_type,
            stay,
            kind,
            decision,
            field: field.into(),
            claims: Vec::new(),
            winner_source: "".into(),
            winner_value: String::new(),
            rule_id: rule,
            rule_set: self.setup.rule_set_label.as_str().into(),
            reason: "".into(),
            cause: self.cause,
            plugin: self.setup.plugin_label.as_str().into(),
            partition: self.setup.partition,
            offset: self.record.offset,
            seq: 0,
            log_time: self.record.log_time,
        });
        let last = self.rows.len() - 1;
        &mut self.rows[last]
    }

    /// One row per set of lines, about its earliest line.
    fn doubt(&mut self, claims: &Claims, set: &[usize], keys: &BTreeSet<LineKey>, guests: &[Guest]) {
        let Some(guest) = guests
            .iter()
            .filter(|guest| guest.stay.keys.iter().all(|key| keys.contains(key)))
            .min_by_key(|guest| guest.stay.first)
        else {
            return;
        };
        let claim = |at: &usize| {
            let line = &claims.lines[*at];
            let value = format!("{}/{}", line.key.1, line.key.2);
            AuditClaim { source: line.source().clone(), value, revision: String::new(), offset: line.first.0 }
        };
        let row =
            self.push(ConflictKind::Link, Decision::Doubt, place(guest), guest.stay.id.clone(), "link", "".into());
        row.claims = set.iter().map(claim).collect();
    }

    /// Contests that are new, changed or over. Gives those that are open, and every winner.
    fn contests(&mut self, fields: &FieldAnswers, guests: &[Guest], memory: &Memory) -> (Contests, Winners) {
        let mut answers: BTreeMap<Question, (&Answer, Place)> = BTreeMap::new();
        for (night, fields) in fields {
            for (field, (answer, _)) in fields {
                let key = (night.0.clone(), night.1, "".into(), field.clone());
                answers.insert(key, (answer, (night.1, night.0.clone())));
            }
        }
        for guest in guests {
            for answer in &guest.stay.answers {
                answers.insert(stay_key(&guest.stay.id, &answer.field), (answer, place(guest)));
            }
        }
        let mut open = Contests::new();
        let mut winners = Winners::new();
        for (key, (answer, at)) in &answers {
            let winner = answer.winner.map(|winner| &answer.claims[winner]);
            let (source, value) =
                winner.map_or_else(|| ("".into(), String::new()), |claim| (claim.source.clone(), claim.value.clone()));
            winners.insert(key.clone(), (source.clone(), value.clone()));
            let said = answer.claims.iter().map(|claim| (claim.source.clone(), claim.value.clone())).collect();
            let signature: Signature = (said, source.clone(), answer.rule.clone());
            let before = memory.contests.get(key);
            let decision = match answer.contested {
                true if before != Some(&signature) => Some(Decision::Contest),
                false if before.is_some() => Some(Decision::Agreement),
                _ => None,
            };
            if let Some(decision) = decision {
                let row =
                    self.push(answer.kind, decision, at.clone(), key.2.clone(), &answer.field, answer.rule.clone());
                (row.claims, row.winner_source, row.winner_value) = (answer.claims.clone(), source, value);
            }
            if answer.contested {
                open.insert(key.clone(), signature);
            }
        }
        // Nobody claims anything any more. A contest of a stay that ended ends with it, without a row.
        for key in memory.contests.keys().filter(|key| !answers.contains_key(*key)) {
            let (kind, at) = if key.2.is_empty() {
                (ConflictKind::Field, (key.1, key.0.clone()))
            } else {
                let Some(guest) = guests.iter().find(|guest| guest.stay.id == key.2) else { continue };
                let kind = match &*key.3 {
                    "status" => ConflictKind::Status,
                    "placement" => ConflictKind::Placement,
                    _ => ConflictKind::Field,
                };
                (kind, place(guest))
            };
            self.push(kind, Decision::Agreement, at, key.2.clone(), &key.3, "".into());
        }
        (open, winners)
    }

    /// Lost assignments, displacements, promotions, excess.
    fn rooms(
        &mut self,
        guests: &[Guest],
        memory: &Memory,
        terms: &Terms,
        excess: &BTreeMap<Night, (i64, BTreeSet<Name>)>,
    ) {
        for guest in guests {
            let known = memory.stays.get(&guest.stay.id);
            let id = || guest.stay.id.clone();
            let rule = || guest.rank_rule.clone();
            if guest.lost.is_some() && known.and_then(|known| known.lost.as_ref()) != guest.lost.as_ref() {
                self.push(ConflictKind::Room, Decision::AssignmentLost, place(guest), id(), "room", rule());
            }
            let decision = match (known.and_then(|known| known.outcome), guest.outcome()) {
                (before, Some(Outcome::Displaced)) if before != Some(Outcome::Displaced) => Decision::Displaced,
                (Some(Outcome::Displaced), Some(Outcome::Accepted)) => Decision::Promoted,
                _ => continue,
            };
            self.push(ConflictKind::Capacity, decision, place(guest), id(), "rooms", rule());
        }
        let nights: BTreeSet<&Night> = excess.keys().chain(memory.excess.keys()).collect();
        for night in nights {
            let decision = match (memory.excess.get(night), excess.get(night)) {
                (before, Some(now)) if before != Some(now) => Decision::Excess,
                (Some(_), None) => Decision::Agreement,
                _ => continue,
            };
            let at = (night.1, night.0.clone());
            self.push(ConflictKind::Capacity, decision, at, "".into(), "excess", terms.rule.clone());
        }
    }
}

/// Puts the rows of one record into their order (rule 23) and numbers them.
pub(crate) fn number(mut rows: Vec<ConflictRow>) -> Vec<ConflictRow> {
    rows.sort_by_key(|row| {
        (
            row.kind,
            row.property.clone(),
            row.date,
            row.room_type.clone(),
            row.stay.clone(),
            row.field.clone(),
            row.decision,
        )
    });
    for (seq, row) in (0..).zip(&mut rows) {
        row.seq = seq;
    }
    rows
}

/// A row from the first claim or the first occupying stay on.
fn show_room_nights(
    setup: &Setup,
    property: &Name,
    published: &mut Published,
    fields: &FieldAnswers,
    guests: &[Guest],
    limit: &dyn Fn(&Night) -> Option<i64>,
    capacity: &dyn Fn(&Night) -> Option<i64>,
) {
    let occupied = guests.iter().flat_map(|guest| guest.nights.iter().map(|day| (guest.counted_type.clone(), *day)));
    let nights: BTreeSet<Night> =
        occupied.chain(fields.keys().cloned()).chain(published.room_nights.keys().cloned()).collect();
    for night in nights {
        let booked = guests
            .iter()
            .filter(|guest| guest.accepted && guest.counted_type == night.0 && guest.nights.contains(&night.1))
            .count() as i64;
        let none = BTreeMap::new();
        let answers = fields.get(&night).unwrap_or(&none);
        let value = |field: &str| answers.get(field).and_then(|(_, value)| value.clone());
        let free = limit(&night).map(|limit| limit - booked);
        let claimed = match value("availability") {
            Some(Value::Integer(rooms)) => Some(rooms),
            _ => None,
        };
        let known = free.into_iter().chain(claimed).min().map(|rooms| rooms.max(0));
        let available = if value("closed") == Some(Value::Boolean(true)) { Some(0) } else { known };
        let small = |number: i64| i32::try_from(number).unwrap_or(i32::MAX);
        let mut row = RoomNightRow {
            property: property.clone(),
            date: night.1,
            room_type: night.0.clone(),
            capacity: capacity(&night).map(small),
            booked: small(booked),
            held: 0,
            available: available.map(small),
            fields: answers
                .iter()
                .filter(|(field, _)| !OWN_COLUMNS.contains(&&***field))
                .filter_map(|(field, (_, value))| Some((field.clone(), value.clone()?)))
                .collect(),
            sources: answers
                .iter()
                .filter(|(_, (_, value))| value.is_some())
                .map(|(field, (answer, _))| (field.clone(), answer.winner_source()))
                .collect(),
            rule_set: setup.rule_set_label.as_str().into(),
            version: 0,
            log_time: 0,
        };
        // The rule set is that of the row's last change.
        if let Some(before) = published.room_nights.get(&night) {
            let same = RoomNightRow { rule_set: before.rule_set.clone(), ..row.clone() };
            if same == *before {
                row = same;
            }
        }
        published.room_nights.insert(night, row);
    }
}

/// One row per night of every stay that has status and placement; the last rows of an id that ended stay, as
/// `merged`.
fn show_reservations(property: &Name, published: &mut Published, guests: &[Guest]) {
    let alive: BTreeSet<&Name> = guests.iter().map(|guest| &guest.stay.id).collect();
    published.reservations.retain(|key, _| !alive.contains(&key.0));
    published.reservations.values_mut().for_each(|row| row.outcome = Outcome::Merged);
    for guest in guests {
        let (Some(status), Some(placement), Some(outcome)) =
            (guest.stay.status, &guest.stay.placement, guest.outcome())
        else {
            continue;
        };
        for date in placement.days() {
            let kept = guest.nights.contains(&date);
            let row = ReservationRow {
                property: property.clone(),
                date,
                room_type: guest.counted_type.clone(),
                stay: guest.stay.id.clone(),
                outcome: if status == Status::NoShow && !kept { Outcome::NoShow } else { outcome },
                status,
                arrival: placement.arrival,
                departure: placement.departure,
                room: if guest.lost.is_some() { "".into() } else { placement.room.clone() },
                lines: guest.stay.lines.clone(),
                references: guest.stay.references.clone(),
                amount: guest.stay.money.map(|money| money.amount),
                currency: guest.stay.money.map(|money| money.currency),
                guests: guest.stay.guests,
                source: guest.stay.status_source.clone(),
                rule_id: guest.stay.status_rule.clone(),
                version: 0,
                is_deleted: false,
                log_time: 0,
            };
            published.reservations.insert((guest.stay.id.clone(), guest.counted_type.clone(), date), row);
        }
    }
}
