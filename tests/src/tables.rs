//! Tables that two implementations can be compared by, and a comparison whose failure can be read.
//!
//! Canonical: sorted by key, without deleted rows, and without what may depend on where a batch was cut
//! (`version` and `log_time` of rows that are replaced) or on taste (reasons in words).

mod told;

use std::fmt::{Debug, Write};
use std::sync::Arc;

use concord::rows::{ConflictKind, ConflictRow, DeadLetterKind, ReservationRow, RoomNightRow};

pub use told::log;

use crate::model::Input;

/// What became of a record (invariant 6; re-routed records never reach the merge).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordOutcome {
    Merged,
    Stale,
    Duplicate,
    Control,
    DeadLetter,
}

/// Everything that a log gives, as one reads it at the log's end.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tables {
    pub room_nights: Vec<RoomNightRow>,
    pub reservations: Vec<ReservationRow>,
    pub conflicts: Vec<ConflictRow>,
    /// Offset and kind.
    pub dead_letters: Vec<(u64, DeadLetterKind)>,
    pub outcomes: Vec<(u64, RecordOutcome)>,
}

impl Tables {
    /// Puts every table into its one comparable form.
    pub fn canonical(mut self) -> Tables {
        for row in &mut self.room_nights {
            (row.version, row.log_time) = (0, 0);
            row.fields.sort_by(|a, b| a.0.cmp(&b.0));
            row.sources.sort();
        }
        self.room_nights.sort_by(|a, b| (&a.property, a.date, &a.room_type).cmp(&(&b.property, b.date, &b.room_type)));
        self.reservations.retain(|row| !row.is_deleted);
        for row in &mut self.reservations {
            (row.version, row.log_time) = (0, 0);
        }
        let key = |row: &ReservationRow| (row.property.clone(), row.date, row.room_type.clone(), row.stay.clone());
        self.reservations.sort_by_key(key);
        for row in &mut self.conflicts {
            row.reason = Arc::from("");
            // Nobody claims a room by a value: what such a row lists as claims is left to the implementation.
            if matches!(row.kind, ConflictKind::Capacity | ConflictKind::Room | ConflictKind::Hold) {
                (row.winner_source, row.winner_value, row.rule_id) = (Arc::from(""), String::new(), Arc::from(""));
                row.claims.clear();
            }
        }
        self.conflicts.sort_by_key(|row| (row.offset, row.seq));
        self.dead_letters.sort();
        self.outcomes.sort();
        self
    }

    /// The first differences, side by side; empty when there is none.
    pub fn differences(&self, other: &Tables) -> String {
        let mut text = String::new();
        table(&mut text, "outcomes", &self.outcomes, &other.outcomes);
        table(&mut text, "dead letters", &self.dead_letters, &other.dead_letters);
        table(&mut text, "conflicts", &shown(&self.conflicts, conflict), &shown(&other.conflicts, conflict));
        let (left, right) = (shown(&self.reservations, reservation), shown(&other.reservations, reservation));
        table(&mut text, "reservations", &left, &right);
        table(&mut text, "room nights", &shown(&self.room_nights, room_night), &shown(&other.room_nights, room_night));
        text
    }

    /// Every row on a line of its own.
    pub fn show(&self) -> String {
        let mut text = String::new();
        let mut section = |name: &str, lines: Vec<Shown>| {
            let _ = writeln!(text, "{name}:");
            for line in lines {
                let _ = writeln!(text, "  {}", line.0);
            }
        };
        section("conflicts", shown(&self.conflicts, conflict));
        section("reservations", shown(&self.reservations, reservation));
        section("room nights", shown(&self.room_nights, room_night));
        section("dead letters", shown(&self.dead_letters, |row| format!("{row:?}")));
        section("outcomes", shown(&self.outcomes, |row| format!("{} {:?}", row.0, row.1)));
        text
    }
}

/// A row in one line of text that tells all of it.
#[derive(PartialEq)]
struct Shown(String);

impl Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

fn shown<T>(rows: &[T], show: impl Fn(&T) -> String) -> Vec<Shown> {
    rows.iter().map(show).map(Shown).collect()
}

fn table<T: PartialEq + Debug>(text: &mut String, name: &str, left: &[T], right: &[T]) {
    const MOST: usize = 6;
    if left == right {
        return;
    }
    let only = |of: &[T], not: &[T]| -> Vec<String> {
        of.iter().filter(|row| !not.contains(row)).take(MOST).map(|row| format!("{row:?}")).collect()
    };
    let _ = writeln!(text, "{name}: {} rows left, {} rows right", left.len(), right.len());
    for row in only(left, right) {
        let _ = writeln!(text, "  only left:  {row}");
    }
    for row in only(right, left) {
        let _ = writeln!(text, "  only right: {row}");
    }
    if only(left, right).is_empty() && only(right, left).is_empty() {
        let first = left.iter().zip(right).position(|(a, b)| a != b).unwrap_or(left.len().min(right.len()));
        let _ = writeln!(text, "  equal rows in another order or number, from row {first} on:");
        let _ = writeln!(text, "  left:  {:?}", left.get(first));
        let _ = writeln!(text, "  right: {:?}", right.get(first));
    }
}

/// `offset.seq kind decision field @ date type stay: claims -> winner [rule]`.
pub fn conflict(row: &ConflictRow) -> String {
    let claims: Vec<String> = row
        .claims
        .iter()
        .map(|claim| format!("{}={}({})@{}", claim.source, claim.value, claim.revision, claim.offset))
        .collect();
    format!(
        "{}.{} {} {} {} @ {} {} {} {}: {} -> {}={} [{}] {} {} {} p{} t{}",
        row.offset,
        row.seq,
        row.kind.as_str(),
        row.decision.as_str(),
        row.field,
        row.property,
        row.date,
        row.room_type,
        row.stay,
        claims.join(" "),
        row.winner_source,
        row.winner_value,
        row.rule_id,
        row.cause.as_str(),
        row.rule_set,
        row.plugin,
        row.partition,
        row.log_time
    )
}

/// `date type stay outcome status arrival/departure room ...`.
pub fn reservation(row: &ReservationRow) -> String {
    let money = match (row.amount, &row.currency) {
        (Some(amount), Some(currency)) => format!("{amount} {}", currency.as_str()),
        (amount, currency) => format!("{amount:?} {currency:?}"),
    };
    format!(
        "{} {} {} {} {} {} {}/{} room:{} lines:{} references:{} money:{money} guests:{:?} by {} [{}]",
        row.property,
        row.date,
        row.room_type,
        row.stay,
        row.outcome.as_str(),
        row.status,
        row.arrival,
        row.departure,
        row.room,
        row.lines.join(" "),
        row.references.join(" "),
        row.guests,
        row.source,
        row.rule_id
    )
}

/// `date type capacity booked held available fields sources`.
pub fn room_night(row: &RoomNightRow) -> String {
    let fields: Vec<String> = row.fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let sources: Vec<String> = row.sources.iter().map(|(name, source)| format!("{name}:{source}")).collect();
    format!(
        "{} {} {} capacity:{:?} booked:{} held:{} available:{:?} {} by {} [{}]",
        row.property,
        row.date,
        row.room_type,
        row.capacity,
        row.booked,
        row.held,
        row.available,
        fields.join(" "),
        sources.join(" "),
        row.rule_set
    )
}

/// Panics, with the differing rows and the log that led there, unless both are the same.
#[track_caller]
pub fn assert_same(left: &Tables, right: &Tables, context: &str, records: &[Input]) {
    let differences = left.differences(right);
    assert!(differences.is_empty(), "{context}\n{differences}\nthe log:\n{}", log(records));
}
