//! A group of the Channel Manager API: always told whole.

use std::collections::BTreeSet;

use concord_plugin::json::{At, messages};
use concord_plugin::{Action, Change, Day, Line, Money, Reference, Rejection, ReservationReplacement, Status, stay};

use crate::Settings;

const STATES: [(&str, Status); 3] = [("1", Status::Confirmed), ("2", Status::Confirmed), ("3", Status::Cancelled)];

/// Whether the document is a group.
pub fn is(root: At<'_>) -> bool {
    root.find("channelManagerId").is_some()
}

/// The earliest arrival.
pub fn date(root: At<'_>) -> Option<Day> {
    root.all("reservations").iter().filter_map(|room| room.find("from")?.local_day().ok()).min()
}

/// What a group says.
pub fn changes(root: At<'_>, settings: &Settings) -> Result<Vec<Change>, Rejection> {
    let group = root.needs("channelManagerId")?.id()?;
    if root.raw("reservations").is_none() {
        return Err(root.reject("reservations is missing; a group that is cancelled has an empty list"));
    }
    let mut seen = BTreeSet::new();
    let mut lines = Vec::new();
    for room in root.all("reservations") {
        let line = line(root, room, group, settings)?;
        if !seen.insert(line.line.clone()) {
            return Err(room.reject(format_args!("the code {} stands twice in this group", line.line)));
        }
        lines.push(line);
    }
    if lines.is_empty() {
        // What channel managers call the first room unless its channel has a name for it.
        return Ok(messages::all_cancelled(None, group.to_owned(), "01"));
    }
    let all = ReservationReplacement { reservation: group.to_owned(), lines };
    Ok(messages::change(None, Action::ReservationReplace(all)))
}

fn line(root: At<'_>, room: At<'_>, group: &str, settings: &Settings) -> Result<Line, Rejection> {
    let code = room.needs("code")?.id()?;
    let status = room.find("state").map(|state| state.one_of(&STATES)).transpose()?.unwrap_or(Status::Confirmed);
    let line = Line { status: Some(status), references: references(root, group, code)?, ..stay::line(code) };
    let placed = |line| {
        let nights = messages::nights(room.needs("from")?, room.needs("to")?)?;
        Ok(Line {
            arrival: Some(nights.first),
            departure: Some(nights.end),
            room_type: Some(room.needs("spaceTypeCode")?.id()?.to_owned()),
            ..line
        })
    };
    messages::or_cancelled(line, placed, |line| {
        let guests = messages::persons(["adultCount", "childCount"].iter().filter_map(|key| room.find(key)))?;
        Ok(Line { money: money(root, room, settings)?, guests, ..line })
    })
}

fn money(root: At<'_>, room: At<'_>, settings: &Settings) -> Result<Option<Money>, Rejection> {
    let amount = room.find(if settings.net { "totalAmount.net" } else { "totalAmount.gross" });
    amount.map(|amount| messages::money(amount, root.find("currencyCode"), None)).transpose()
}

fn references(root: At<'_>, group: &str, code: &str) -> Result<Option<Vec<Reference>>, Rejection> {
    let mut found = stay::References::new();
    let channel =
        root.find("channel.name").or_else(|| root.all("sources").first().and_then(|first| first.find("name")));
    if let (Some(number), Some(channel)) = (root.find("channelId"), channel) {
        found.booking(channel.text()?, number.id()?);
    }
    found.booking("mews-channel-manager", &format!("{group}/{code}"));
    Ok(found.found())
}
