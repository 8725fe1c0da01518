//! Rows about one room of a booking each.

use concord_plugin::{Action, Cancellation, Line, LineOf, Reference, Rejection, Status, stay};

use crate::row::Cell;
use crate::settings::{Booking, Given, STATUSES, Table};
use crate::view::View;

/// Which room of which booking a row speaks about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub property: String,
    reservation: String,
    line: String,
}

impl Identity {
    pub fn of(view: View<'_, '_>, table: &Table, row: &Booking) -> Result<Identity, Rejection> {
        let [reservation, line] = [view.code(&row.reservation)?, view.code(&row.line)?];
        Ok(Identity { property: view.property(table)?, reservation, line })
    }
}

/// The row is gone, or speaks about another room now.
pub fn leave(identity: &Identity) -> Action {
    let Identity { reservation, line, .. } = identity.clone();
    Action::LineCancel(Cancellation { reservation, line })
}

/// The arrival, if it can be read.
pub fn arrival(view: View<'_, '_>, row: &Booking) -> Option<i32> {
    view.day(&row.arrival).ok()
}

/// What the row says now.
pub fn set(identity: &Identity, view: View<'_, '_>, row: &Booking) -> Result<Action, Rejection> {
    let status = status(view, row)?;
    let line = Line { status, ..stay::line(&identity.line) };
    let placed = placed(line.clone(), view, row);
    let line = match status {
        // A cancellation counts, whatever else is wrong with the row.
        Some(Status::Cancelled) => {
            let placed = placed.unwrap_or(line);
            detailed(placed.clone(), view, row).unwrap_or(placed)
        }
        _ => detailed(placed?, view, row)?,
    };
    Ok(Action::LineSet(LineOf { reservation: identity.reservation.clone(), line }))
}

fn status(view: View<'_, '_>, row: &Booking) -> Result<Option<Status>, Rejection> {
    let cancelled = row.cancelled.as_ref().map(|column| view.cell(column)).transpose()?.flatten();
    if cancelled.is_some_and(Cell::holds_anything) {
        return Ok(Some(Status::Cancelled));
    }
    let Some(words) = &row.status else { return Ok(Some(Status::Confirmed)) };
    let Some(cell) = view.cell(&words.column)? else { return Ok(None) };
    let status = cell.word(words, |at| at.one_of(&STATUSES))?;
    status.map(Some).ok_or_else(|| cell.at.is_not("a status"))
}

fn placed(line: Line, view: View<'_, '_>, row: &Booking) -> Result<Line, Rejection> {
    let nights = stay::nights(view.day(&row.arrival)?, view.day(&row.departure)?);
    let nights = nights.map_err(|why| view.row.at.reject(why))?;
    let room = row.room.as_ref().map(|column| view.cell(column)).transpose()?.flatten();
    // NULL: no room is assigned (any more).
    let room = room.map(Cell::text).transpose()?.map(Option::unwrap_or_default);
    let room_type = Some(view.code(&row.room_type)?);
    Ok(Line { arrival: Some(nights.first), departure: Some(nights.end), room_type, room, ..line })
}

fn detailed(line: Line, view: View<'_, '_>, row: &Booking) -> Result<Line, Rejection> {
    let money = row.money.as_ref().map(|(number, currency)| view.money(number, currency)).transpose()?;
    Ok(Line {
        money: money.flatten().flatten(),
        guests: guests(view, row)?,
        references: references(view, row)?,
        ..line
    })
}

fn guests(view: View<'_, '_>, row: &Booking) -> Result<Option<u32>, Rejection> {
    let mut sum: Option<u32> = None;
    for column in &row.guests {
        let Some(cell) = view.cell(column)?.filter(|cell| !cell.at.is_null()) else { continue };
        let more = sum.unwrap_or(0).checked_add(cell.at.tally()?);
        sum = Some(more.ok_or_else(|| cell.at.reject("the guests are too many to count"))?);
    }
    Ok(sum)
}

fn references(view: View<'_, '_>, row: &Booking) -> Result<Option<Vec<Reference>>, Rejection> {
    let mut found = stay::References::new();
    for reference in &row.references {
        let Some(value) = view.cell(&reference.column)?.map(Cell::text).transpose()?.flatten() else { continue };
        let issuer = match &reference.issuer {
            Given::Value(issuer) => issuer.clone(),
            // A booking without a channel has no number there.
            Given::Column(column) => match view.cell(column)?.map(Cell::text).transpose()?.flatten() {
                Some(issuer) => issuer,
                None => continue,
            },
        };
        found.add(&reference.kind, &stay::issuer(&issuer), &value);
    }
    Ok(found.found())
}
