//! Cloudbeds: reservations of its API (`getReservation`, `getReservations` with all rooms) and webhooks.
//!
//! | message | becomes |
//! |---|---|
//! | `data` with `assigned[]`, `unassigned[]` or `rooms[]` | all rooms of the reservation: a room that is left out is cancelled |
//! | `reservation/created`, `reservation/dates_changed`, `reservation/status_changed`, `reservation/accommodation_changed`, `reservation/accommodation_type_changed` | a partial update of its first room |
//! | `reservation/deleted`, or a status of `canceled` | all rooms cancelled |
//!
//! | field | where |
//! |---|---|
//! | hotel | `propertyID`; an attribute; the setting `property` |
//! | identity | `reservationID`; a room is what stands behind it in `subReservationID` (`1`, `2`), else its place |
//! | status | `not_confirmed`, `confirmed`, `checked_in`, `checked_out`, `canceled`, `no_show` |
//! | nights | `startDate`, `endDate` of the room (`roomCheckIn`, `roomCheckOut`), else of the reservation: exclusive |
//! | room type, room | `roomTypeID`; `roomID` |
//! | money | `roomTotal`, else the sum of `dailyRates`; the setting `currency`, where no `currency` comes |
//! | references | `thirdPartyIdentifier`, issued by `source` (or `sourceName`); `reservationID`, issued by `cloudbeds` |
//!
//! **Order.** Webhooks: their `timestamp`, seconds with a fraction. Reservations: `dateModifiedUTC`, where it comes, else the log's order:
//! `dateModified` is the hotel's wall clock and cannot be compared with the webhooks'.
//!
//! **Refused**, each with its place: webhooks that carry ids only (fetch the reservation, and send that), reservations without their
//! rooms, stays without a night or of more than a year. A webhook does not say how many rooms there are: for bookings of several
//! rooms send the reservation.
//!
//! Settings: `property`, `issuers` (sources and how others call them), `currency`.
//!
//! Source: developers.cloudbeds.com, API v1.2 and v1.3, webhooks.

mod webhook;

use std::collections::{BTreeMap, BTreeSet};

use concord_plugin::json::messages::{self, Attributes, Messages};
use concord_plugin::json::{At, Cleaner};
use concord_plugin::{
    Action, Change, Day, Delivery, Description, Event, Line, Money, Normalizer, Reference, Rejection,
    ReservationReplacement, Routed, Said, Status, stay,
};

/// The normalizer of Cloudbeds' reservations.
pub struct Cloudbeds;

/// The source's `settings` table.
#[derive(Clone, Debug)]
pub struct Settings {
    property: Option<String>,
    issuers: BTreeMap<String, String>,
    currency: Option<String>,
}

concord_plugin::normalizer!(Cloudbeds);

pub(crate) const STATUSES: [(&str, Status); 8] = [
    ("not_confirmed", Status::Tentative),
    ("confirmed", Status::Confirmed),
    ("checked_in", Status::CheckedIn),
    ("in_house", Status::CheckedIn),
    ("checked_out", Status::CheckedOut),
    ("canceled", Status::Cancelled),
    ("cancelled", Status::Cancelled),
    ("no_show", Status::NoShow),
];

impl Normalizer for Cloudbeds {
    type Settings = Settings;

    fn describe() -> Description {
        Description {
            name: "cloudbeds".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            formats: ["application/json", "getReservation", "webhook"].map(str::to_owned).to_vec(),
            fields: vec![],
        }
    }

    fn settings(table: At<'_>) -> Result<Settings, Rejection> {
        let [property, issuers, currency] = table.object()?.only(&["property", "issuers", "currency"])?;
        Ok(Settings {
            property: messages::code(property)?,
            issuers: messages::names(issuers)?,
            currency: messages::code(currency)?,
        })
    }

    fn split(settings: &Settings, delivery: &Delivery) -> Result<Vec<Routed>, Rejection> {
        messages::split::<Cloudbeds>(settings, delivery)
    }

    fn normalize_one(settings: &Settings, event: &Event) -> Result<Said, Rejection> {
        messages::said::<Cloudbeds>(settings, event)
    }
}

impl Messages for Cloudbeds {
    type Settings = Settings;

    const CLEANER: Cleaner<'static> = Cleaner {
        without: &["cardsOnFile"],
        identities: &[
            "propertyID",
            "propertyID_str",
            "reservationID",
            "subReservationID",
            "roomTypeID",
            "roomID",
            "timestamp",
            "thirdPartyIdentifier",
            "guestID",
        ],
    };

    fn parts<'j>(root: At<'j>, _: &Settings) -> Result<Vec<At<'j>>, Rejection> {
        root.object()?;
        let parts = root.all("data");
        match (parts.is_empty(), root.raw("data")) {
            (false, _) => Ok(parts),
            (true, Some(_)) => Err(root.reject("the answer holds no reservation: there is nothing to read")),
            (true, None) => Ok(vec![root]),
        }
    }

    fn property(_: At<'_>, part: At<'_>, attributes: Attributes<'_>, settings: &Settings) -> Result<String, Rejection> {
        let key = if part.find("propertyID_str").is_some() { "propertyID_str" } else { "propertyID" };
        messages::hotel(part, key, attributes, settings.property.as_ref())
    }

    fn date(_: At<'_>, part: At<'_>, _: &Settings) -> Option<Day> {
        let rooms = rooms(part);
        let starts = rooms.iter().filter_map(|room| room.needs_one(&START).ok()).chain(part.find("startDate"));
        starts.filter_map(|at| at.local_day().ok()).min()
    }

    fn changes(_: At<'_>, part: At<'_>, settings: &Settings) -> Result<Vec<Change>, Rejection> {
        match part.find("event") {
            Some(event) => webhook::changes(part, event),
            None => reservation(part, settings),
        }
    }
}

const START: [&str; 2] = ["startDate", "roomCheckIn"];
const END: [&str; 2] = ["endDate", "roomCheckOut"];

fn rooms(part: At<'_>) -> Vec<At<'_>> {
    let assigned: Vec<At<'_>> = ["assigned", "unassigned"].iter().flat_map(|key| part.all(key)).collect();
    if assigned.is_empty() { part.all("rooms") } else { assigned }
}

fn reservation(part: At<'_>, settings: &Settings) -> Result<Vec<Change>, Rejection> {
    let reservation = part.needs("reservationID")?.id()?;
    let status = part.needs("status")?.one_of(&STATUSES)?;
    let references = references(part, reservation, settings)?;
    let mut seen = BTreeSet::new();
    let mut lines = Vec::new();
    for (place, room) in (1..).zip(rooms(part)) {
        let id = match room.find("subReservationID").map(At::id).transpose()? {
            Some(sub) => line_of(reservation, sub).to_owned(),
            None => place.to_string(),
        };
        if !seen.insert(id.clone()) {
            return Err(room.reject(format_args!("the room {id} stands twice in this reservation")));
        }
        let line = Line { status: Some(status), references: references.clone(), ..stay::line(id) };
        let priced = |line| priced(part, room, line, settings);
        lines.push(messages::or_cancelled(line, |line| placed(part, room, line), priced)?);
    }
    if lines.is_empty() && status != Status::Cancelled {
        return Err(part.reject("says nothing about its rooms: fetch the reservation with all rooms and send that"));
    }
    let modified = part.find("dateModifiedUTC").map(At::instant).transpose()?;
    if lines.is_empty() {
        return Ok(messages::all_cancelled(modified, reservation.to_owned(), "1"));
    }
    let all = ReservationReplacement { reservation: reservation.to_owned(), lines };
    Ok(messages::change(modified, Action::ReservationReplace(all)))
}

/// `4809-1` of reservation `4809` is its room 1; so is `4809` itself.
fn line_of<'i>(reservation: &str, sub: &'i str) -> &'i str {
    match sub.strip_prefix(reservation) {
        Some("") => "1",
        Some(rest) => rest.strip_prefix('-').filter(|rest| !rest.is_empty()).unwrap_or(sub),
        None => sub,
    }
}

fn placed(part: At<'_>, room: At<'_>, line: Line) -> Result<Line, Rejection> {
    let end = |keys: &[&str]| room.needs_one(keys).or_else(|_| part.needs_one(keys));
    let nights = messages::nights(end(&START)?, end(&END)?)?;
    let assigned = room.find("roomID").map(At::id).transpose()?;
    Ok(Line {
        arrival: Some(nights.first),
        departure: Some(nights.end),
        room_type: Some(room.needs("roomTypeID")?.id()?.to_owned()),
        room: Some(assigned.unwrap_or("").to_owned()),
        ..line
    })
}

fn priced(part: At<'_>, room: At<'_>, line: Line, settings: &Settings) -> Result<Line, Rejection> {
    let guests = messages::persons(["adults", "children"].iter().filter_map(|key| room.find(key)))?;
    Ok(Line { money: money(part, room, settings)?, guests, ..line })
}

fn money(part: At<'_>, room: At<'_>, settings: &Settings) -> Result<Option<Money>, Rejection> {
    let currency = part.find("currency").filter(|at| at.text().is_ok());
    let money = |amount| messages::money(amount, currency, settings.currency.as_ref());
    if currency.is_none() && settings.currency.is_none() {
        // Answers name no currency; an amount without one is worse than none.
        return Ok(None);
    }
    if let Some(total) = room.find("roomTotal") {
        return money(total).map(Some);
    }
    let rates = room.all("dailyRates").into_iter().filter_map(|day| day.find("rate"));
    Ok(stay::total(rates.map(money).collect::<Result<Vec<_>, _>>()?))
}

fn references(part: At<'_>, own: &str, settings: &Settings) -> Result<Option<Vec<Reference>>, Rejection> {
    let mut found = stay::References::new();
    let source = part.find("source").or_else(|| part.find("sourceName"));
    if let (Some(number), Some(source)) = (part.find("thirdPartyIdentifier"), source) {
        let name = source.text()?;
        found.booking(settings.issuers.get(name).map_or(name, String::as_str), number.id()?);
    }
    found.booking("cloudbeds", own);
    Ok(found.found())
}

#[cfg(test)]
mod tests;
