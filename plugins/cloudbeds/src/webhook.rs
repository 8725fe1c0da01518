//! Webhooks: what changed of a reservation, and nothing else.
//!
//! They do not say how many rooms the reservation has: what they change is its first.

use concord_plugin::json::{At, messages};
use concord_plugin::{Action, Change, Line, LineOf, Rejection, Status, stay};

use crate::STATUSES;

/// What a webhook says.
pub fn changes(part: At<'_>, event: At<'_>) -> Result<Vec<Change>, Rejection> {
    let name = event.text()?;
    let Some(action) = name.strip_prefix("reservation/") else {
        return Err(event.is_not("an event of a reservation"));
    };
    let reservation = part.needs_one(&["reservationID", "reservationId"])?.id()?.to_owned();
    let told = part.find("status").map(|at| at.one_of(&STATUSES)).transpose()?;
    let status = match action {
        "deleted" => Some(Status::Cancelled),
        "created" => told.or(Some(Status::Confirmed)),
        _ => told,
    };
    let revision = part.find("timestamp").map(instant).transpose()?;
    if status == Some(Status::Cancelled) {
        return Ok(messages::all_cancelled(revision, reservation));
    }
    let nights = match (part.find("startDate"), part.find("endDate")) {
        (Some(start), Some(end)) => Some(messages::nights(start, end)?),
        _ => None,
    };
    let code = |key: &str| part.find(key).map(At::id).transpose().map(|code| code.map(str::to_owned));
    let line = Line {
        status,
        arrival: nights.map(|nights| nights.first),
        departure: nights.map(|nights| nights.end),
        room_type: code("roomTypeID")?,
        room: code("roomID")?,
        ..stay::line("1")
    };
    // That it was created says nothing about which nights of which room.
    let thin = Line { status: None, ..line.clone() } == stay::line("1");
    if thin && (status.is_none() || action == "created") {
        return Err(part.reject(format_args!("carries ids only: fetch reservation {reservation} and send that")));
    }
    Ok(messages::change(revision, Action::LineSet(LineOf { reservation, line })))
}

/// Seconds since 1970 with a fraction, as microseconds.
fn instant(at: At<'_>) -> Result<i64, Rejection> {
    // Digits beyond microseconds are cut; the reader of amounts would refuse them.
    let text = at.to_string();
    let (seconds, fraction) = text.trim_matches('"').split_once('.').unwrap_or((text.trim_matches('"'), ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let micros: String = fraction.chars().chain("000000".chars()).take(6).collect();
    let whole = (digits(seconds) && digits(&micros)).then(|| format!("{seconds}{micros}").parse().ok()).flatten();
    whole.ok_or_else(|| at.is_not("seconds since 1970"))
}
