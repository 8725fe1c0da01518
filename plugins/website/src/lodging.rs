//! schema.org's LodgingReservation.
//!
//! | field | where |
//! |---|---|
//! | hotel | `reservationFor.identifier` or `branchCode`; an attribute; the setting `property`; `reservationFor.name` (the mapping makes a code of it) |
//! | identity | `reservationNumber`, else `reservationId`; a room of several is its `reservationId`, else its place |
//! | status | `reservationStatus`: ReservationConfirmed, ReservationPending, ReservationHold, ReservationCancelled, with or without its address |
//! | nights | the local dates of `checkinTime` and `checkoutTime` (or `checkinDate`, `checkoutDate`): exclusive |
//! | room type | `lodgingUnitType` (its `name` or `identifier`), else the setting `room_type` |
//! | money | `totalPrice` and `priceCurrency` |
//! | guests | `numAdults`, `numChildren` |

use std::collections::BTreeSet;

use concord_plugin::json::messages::{self, Attributes};
use concord_plugin::json::{At, Value, same_word};
use concord_plugin::{
    Action, Change, Day, Line, LineOf, Money, Reference, Rejection, ReservationReplacement, Status, stay,
};

use crate::Settings;

const STATUSES: [(&str, Status); 9] = [
    ("ReservationConfirmed", Status::Confirmed),
    ("Confirmed", Status::Confirmed),
    ("ReservationPending", Status::Tentative),
    ("Pending", Status::Tentative),
    ("ReservationHold", Status::Tentative),
    ("Hold", Status::Tentative),
    ("ReservationCancelled", Status::Cancelled),
    ("Cancelled", Status::Cancelled),
    ("Canceled", Status::Cancelled),
];
const CHECKIN: [&str; 2] = ["checkinTime", "checkinDate"];
const CHECKOUT: [&str; 2] = ["checkoutTime", "checkoutDate"];

/// Whether it is a LodgingReservation; a thing may be of several types, each with its address or without.
pub fn is(at: At<'_>) -> bool {
    let is =
        |kind: At<'_>| kind.text().is_ok_and(|kind| kind.rsplit(['/', ':', '#']).next() == Some("LodgingReservation"));
    at.all("@type").into_iter().any(is)
}

/// The hotel.
pub fn property(part: At<'_>, attributes: Attributes<'_>, settings: &Settings) -> Result<String, Rejection> {
    let hotel = ["reservationFor.identifier.value", "reservationFor.identifier", "reservationFor.branchCode"];
    if let Some(code) = hotel.iter().find_map(|path| part.find(path)) {
        return code.id().map(str::to_owned);
    }
    let outside = messages::hotel(part, "reservationFor.identifier", attributes, settings.property.as_ref());
    match part.find("reservationFor.name") {
        Some(name) if outside.is_err() => name.id().map(str::to_owned),
        _ => outside,
    }
}

/// The arrival.
pub fn date(part: At<'_>) -> Option<Day> {
    let rooms = part.all("subReservation");
    let days = rooms.into_iter().chain([part]).filter_map(|at| value(at.needs_one(&CHECKIN).ok()?).local_day().ok());
    days.min()
}

/// What a reservation says.
pub fn changes(part: At<'_>, settings: &Settings) -> Result<Vec<Change>, Rejection> {
    let reservation = part.needs_one(&["reservationNumber", "reservationId"])?.id()?;
    let references = references(part, reservation, settings)?;
    let modified = part.find("modifiedTime").map(|at| value(at).instant()).transpose()?;
    let rooms = part.all("subReservation");
    let line = |at: At<'_>, id: &str| {
        let status = at.find("reservationStatus").or_else(|| part.find("reservationStatus")).map(status).transpose()?;
        let status = Some(status.unwrap_or(Status::Confirmed));
        let line = Line { status, references: references.clone(), ..stay::line(id) };
        messages::or_cancelled(line, |line| placed(at, part, line, settings))
    };
    if rooms.is_empty() {
        let line = line(part, "1")?;
        let action = Action::LineSet(LineOf { reservation: reservation.to_owned(), line });
        return Ok(messages::change(modified, action));
    }
    let (mut seen, mut lines) = (BTreeSet::new(), Vec::new());
    for (place, room) in (1..).zip(rooms) {
        let id = room.find("reservationId").map(At::id).transpose()?.map_or(format!("{place}"), str::to_owned);
        if !seen.insert(id.clone()) {
            return Err(room.reject(format_args!("the room {id} stands twice in this reservation")));
        }
        lines.push(line(room, &id)?);
    }
    let all = ReservationReplacement { reservation: reservation.to_owned(), lines };
    Ok(messages::change(modified, Action::ReservationReplace(all)))
}

fn status(at: At<'_>) -> Result<Status, Rejection> {
    let word = at.text()?.rsplit(['/', '#']).next().unwrap_or("");
    let found = STATUSES.iter().find(|(known, _)| same_word(known, word)).map(|(_, status)| *status);
    found.ok_or_else(|| at.is_not("a ReservationStatusType of schema.org"))
}

/// `{"@value": "..."}`, `{"value": ...}` and the value itself are the same.
fn value(at: At<'_>) -> At<'_> {
    at.find("@value").or_else(|| at.find("value")).unwrap_or(at)
}

fn placed(at: At<'_>, whole: At<'_>, line: Line, settings: &Settings) -> Result<Line, Rejection> {
    let end = |keys: &[&str]| at.needs_one(keys).or_else(|_| whole.needs_one(keys)).map(value);
    let nights = messages::nights(end(&CHECKIN)?, end(&CHECKOUT)?)?;
    let unit = ["lodgingUnitType.identifier", "lodgingUnitType.name", "lodgingUnitType"];
    let unit = unit.iter().find_map(|path| at.find(path)).map(At::id).transpose()?;
    let guests = ["numAdults", "numChildren"].iter().filter_map(|key| at.find(key)).map(value);
    Ok(Line {
        arrival: Some(nights.first),
        departure: Some(nights.end),
        room_type: unit.map(str::to_owned).or_else(|| settings.room_type.clone()),
        money: money(at, settings)?,
        guests: messages::persons(guests)?,
        ..line
    })
}

fn money(at: At<'_>, settings: &Settings) -> Result<Option<Money>, Rejection> {
    let Some(total) = at.find("totalPrice") else { return Ok(None) };
    // A PriceSpecification holds both.
    let (amount, currency) = match total.value() {
        Value::Object => {
            (total.needs_one(&["price", "value"])?, total.find("priceCurrency").or(total.find("currency")))
        }
        _ => (total, None),
    };
    let currency = currency.or_else(|| at.find("priceCurrency"));
    messages::money(amount, currency, settings.currency.as_ref()).map(Some)
}

/// A mail of a portal is a booking of the portal.
fn references(part: At<'_>, number: &str, settings: &Settings) -> Result<Option<Vec<Reference>>, Rejection> {
    let agent = ["broker.name", "bookingAgent.name"].iter().find_map(|path| part.find(path));
    let issuer = agent.map(At::text).transpose()?.unwrap_or(&settings.issuer);
    let mut found = stay::References::new();
    found.booking(issuer, number);
    Ok(found.found())
}
