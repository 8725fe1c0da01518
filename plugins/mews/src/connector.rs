//! A reservation of the Connector API, by the versions' names: the newest first.

use concord_plugin::json::{At, messages};
use concord_plugin::{Action, Change, Day, Line, LineOf, Reference, Rejection, Status, stay};

use crate::Settings;

const START: [&str; 2] = ["ScheduledStartUtc", "StartUtc"];
const END: [&str; 2] = ["ScheduledEndUtc", "EndUtc"];
const TYPE: [&str; 3] = ["RequestedResourceCategoryId", "RequestedCategoryId", "SpaceCategoryId"];
const ROOM: [&str; 3] = ["AssignedResourceId", "AssignedSpaceId", "SpaceId"];

/// `None`: it holds no room.
const STATES: [(&str, Option<Status>); 9] = [
    ("Inquired", None),
    ("Enquired", None),
    ("Requested", Some(Status::Tentative)),
    ("Optional", Some(Status::Tentative)),
    ("Confirmed", Some(Status::Confirmed)),
    ("Started", Some(Status::CheckedIn)),
    ("Processed", Some(Status::CheckedOut)),
    ("Canceled", Some(Status::Cancelled)),
    ("Cancelled", Some(Status::Cancelled)),
];

/// The first night at the hotel.
pub fn date(part: At<'_>, settings: &Settings) -> Option<Day> {
    part.needs_one(&START).and_then(|at| day(at, settings)).ok()
}

fn day(at: At<'_>, settings: &Settings) -> Result<Day, Rejection> {
    let zone = settings.zone.as_ref().ok_or_else(|| {
        at.reject(
            "is an instant: which day it is at the hotel needs the setting \"time_zone\", such as \"Europe/Prague\"",
        )
    })?;
    zone.day(at.instant()?).ok_or_else(|| at.is_not("an instant from 1900 to 2299"))
}

/// What a reservation says.
pub fn changes(part: At<'_>, settings: &Settings) -> Result<Vec<Change>, Rejection> {
    if let Some(service) = part.find("ServiceId").filter(|_| !settings.services.is_empty()) {
        let id = service.id()?;
        if !settings.services.iter().any(|known| known == id) {
            return Err(service.is_not("among the setting \"services\": no stay"));
        }
    }
    let reservation = part.needs("Id")?.id()?.to_owned();
    let line = Line { status: Some(status(part)?), references: references(part, settings)?, ..stay::line("1") };
    let placed = |line| {
        let end = part.needs_one(&END)?;
        let nights = stay::nights(day(part.needs_one(&START)?, settings)?, day(end, settings)?);
        let nights = nights.map_err(|why| end.reject(why))?;
        let room = ROOM.iter().find_map(|key| part.find(key)).map(At::id).transpose()?;
        Ok(Line {
            arrival: Some(nights.first),
            departure: Some(nights.end),
            room_type: Some(part.needs_one(&TYPE)?.id()?.to_owned()),
            // A reservation without one has no room assigned (any more).
            room: Some(room.unwrap_or("").to_owned()),
            ..line
        })
    };
    let priced = |line| Ok(Line { money: money(part, settings)?, guests: guests(part)?, ..line });
    let line = messages::or_cancelled(line, placed, priced)?;
    let updated = part.find("UpdatedUtc").map(At::instant).transpose()?;
    Ok(messages::change(updated, Action::LineSet(LineOf { reservation, line })))
}

fn status(part: At<'_>) -> Result<Status, Rejection> {
    let state = part.needs("State")?;
    let status = state.one_of(&STATES)?.ok_or_else(|| state.reject("an enquiry holds no room"))?;
    let reason = part.find("CancellationReason").and_then(|reason| reason.text().ok());
    Ok(if status == Status::Cancelled && reason == Some("NoShow") { Status::NoShow } else { status })
}

fn money(part: At<'_>, settings: &Settings) -> Result<Option<concord_plugin::Money>, Rejection> {
    let Some(total) = part.find("TotalAmount") else { return Ok(None) };
    let amount = total.find(if settings.net { "NetValue" } else { "GrossValue" });
    amount.map(|amount| messages::money(amount, total.find("Currency"), None)).transpose()
}

fn guests(part: At<'_>) -> Result<Option<u32>, Rejection> {
    let counts = part.all("PersonCounts");
    if counts.is_empty() {
        return messages::persons(["AdultCount", "ChildCount"].iter().filter_map(|key| part.find(key)));
    }
    messages::persons(counts.iter().filter_map(|count| count.find("Count")))
}

fn references(part: At<'_>, settings: &Settings) -> Result<Option<Vec<Reference>>, Rejection> {
    let mut found = stay::References::new();
    if let Some(number) = part.find("Number") {
        found.booking("mews", number.id()?);
    }
    let agency = part.find("TravelAgencyId").and_then(|id| id.id().ok());
    let channel = agency.and_then(|id| settings.channels.get(id)).or(settings.channel.as_ref());
    if let (Some(number), Some(channel)) = (part.find("ChannelNumber"), channel) {
        found.booking(channel, number.id()?);
    }
    // Its number is unique within its group only.
    if let (Some(group), Some(number)) = (part.find("ChannelManagerGroupNumber"), part.find("ChannelManagerNumber")) {
        found.booking("mews-channel-manager", &format!("{}/{}", group.id()?, number.id()?));
    }
    if let Some(group) = part.find("GroupId") {
        found.add(stay::GROUP, "mews", group.id()?);
    }
    Ok(found.found())
}
