//! Makes a failing log as short as it gets, so that one can read why it fails.
//!
//! Offsets stay as they are (a removed record leaves a gap), so the order of what remains does not change.

use concord::change::{Action, Change, LineChange, RoomNights};
use concord::types::Day;

use super::hash_id;
use crate::model::{Input, What};

/// The smallest log found that still fails. `fails` is asked many times.
pub fn shrink(log: &[Input], mut fails: impl FnMut(&[Input]) -> bool) -> Vec<Input> {
    let mut log = log.to_vec();
    loop {
        let before = log.clone();
        remove_records(&mut log, &mut fails);
        simplify_records(&mut log, &mut fails);
        if log == before {
            return log;
        }
    }
}

/// Leaves out ever shorter runs of records.
fn remove_records(log: &mut Vec<Input>, fails: &mut impl FnMut(&[Input]) -> bool) {
    let mut size = log.len().div_ceil(2);
    while size > 0 {
        let mut at = 0;
        while at < log.len() {
            let mut shorter = log.clone();
            shorter.drain(at..(at + size).min(log.len()));
            if fails(&shorter) {
                *log = shorter;
            } else {
                at += size;
            }
        }
        size /= 2;
    }
}

fn simplify_records(log: &mut Vec<Input>, fails: &mut impl FnMut(&[Input]) -> bool) {
    for at in 0..log.len() {
        // A simpler record may have simpler ones itself: begin again with it.
        while let Some(simpler) = simpler_records(&log[at]).into_iter().find_map(|record| {
            let mut simpler = log.clone();
            simpler[at] = record;
            fails(&simpler).then_some(simpler)
        }) {
            *log = simpler;
        }
    }
}

/// Every record that is one step simpler.
fn simpler_records(record: &Input) -> Vec<Input> {
    let What::Changes { property, changes } = &record.what else { return Vec::new() };
    let mut simpler: Vec<Vec<Change>> = Vec::new();
    for at in 0..changes.len() {
        if changes.len() > 1 {
            let mut fewer = changes.clone();
            fewer.remove(at);
            simpler.push(fewer);
        }
        for change in simpler_changes(&changes[at]) {
            let mut same_number = changes.clone();
            same_number[at] = change;
            simpler.push(same_number);
        }
    }
    let with = |changes: Vec<Change>| {
        let id = if record.id.starts_with("sha256-") { hash_id(&changes) } else { record.id.clone() };
        Input { id, what: What::Changes { property: property.clone(), changes }, ..record.clone() }
    };
    simpler.into_iter().map(with).collect()
}

fn simpler_changes(change: &Change) -> Vec<Change> {
    let mut simpler = Vec::new();
    if change.revision.is_some() {
        simpler.push(Change { revision: None, action: change.action.clone() });
    }
    let actions = match &change.action {
        Action::InventorySet(set) => simpler_nights(set).into_iter().map(Action::InventorySet).collect(),
        Action::InventoryReplace { scope, nights } => simpler_list(nights, simpler_nights)
            .into_iter()
            .map(|nights| Action::InventoryReplace { scope: scope.clone(), nights })
            .collect(),
        Action::LineSet { reservation, line } => simpler_lines(line)
            .into_iter()
            .map(|line| Action::LineSet { reservation: reservation.clone(), line })
            .collect(),
        Action::ReservationReplace { reservation, lines } => simpler_list(lines, simpler_lines)
            .into_iter()
            .map(|lines| Action::ReservationReplace { reservation: reservation.clone(), lines })
            .collect(),
        _ => Vec::new(),
    };
    simpler.extend(actions.into_iter().map(|action| Change { revision: change.revision.clone(), action }));
    simpler
}

/// One element less, or one element simpler.
fn simpler_list<T: Clone>(list: &[T], simpler_element: impl Fn(&T) -> Vec<T>) -> Vec<Vec<T>> {
    let mut simpler = Vec::new();
    for at in 0..list.len() {
        let mut fewer = list.to_vec();
        fewer.remove(at);
        simpler.push(fewer);
        for element in simpler_element(&list[at]) {
            let mut same_number = list.to_vec();
            same_number[at] = element;
            simpler.push(same_number);
        }
    }
    simpler
}

fn simpler_nights(set: &RoomNights) -> Vec<RoomNights> {
    let mut simpler = Vec::new();
    if set.nights.len() > 1 {
        let mut shorter = set.clone();
        shorter.nights.end = Day(shorter.nights.end.0 - 1);
        simpler.push(shorter);
        let mut later = set.clone();
        later.nights.first = Day(later.nights.first.0 + 1);
        simpler.push(later);
    }
    if set.fields.len() > 1 {
        for at in 0..set.fields.len() {
            let mut fewer = set.clone();
            fewer.fields.remove(at);
            simpler.push(fewer);
        }
    }
    simpler
}

/// One field less, or one reference less, or one night less.
fn simpler_lines(line: &LineChange) -> Vec<LineChange> {
    let mut simpler = vec![
        LineChange { status: None, ..line.clone() },
        LineChange { arrival: None, departure: None, room_type: None, room: None, ..line.clone() },
        LineChange { arrival: None, ..line.clone() },
        LineChange { departure: None, ..line.clone() },
        LineChange { room_type: None, ..line.clone() },
        LineChange { room: None, ..line.clone() },
        LineChange { money: None, ..line.clone() },
        LineChange { guests: None, ..line.clone() },
        LineChange { references: None, ..line.clone() },
    ];
    if let (Some(arrival), Some(departure)) = (line.arrival, line.departure)
        && departure.0 - arrival.0 > 1
    {
        simpler.push(LineChange { departure: Some(Day(departure.0 - 1)), ..line.clone() });
    }
    for at in 0..line.references.as_ref().map_or(0, Vec::len) {
        let mut references = line.references.clone();
        if let Some(references) = &mut references {
            references.remove(at);
        }
        simpler.push(LineChange { references, ..line.clone() });
    }
    let empty = LineChange { line: line.line.clone(), ..LineChange::default() };
    simpler.retain(|other| other != line && *other != empty);
    simpler
}
