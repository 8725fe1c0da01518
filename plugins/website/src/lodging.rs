//! schema.org's LodgingReservation.
//!
//! | field | where |
//! |---|---|
//! | hotel | `reservationFor`: its `identifier` or `branchCode`; an attribute; the setting `property`; its `name` (the mapping makes a code of it) |
//! | identity | `reservationNumber`, else `reservationId`; a room of several is its `reservationId`, else its place |
//! | status | `reservationStatus`: ReservationConfirmed, ReservationPending, ReservationHold, ReservationCancelled, with or without its address |
//! | nights | the local days of `checkinTime` and `checkoutTime` (or `checkinDate`, `checkoutDate`): exclusive |
//! | room type | `lodgingUnitType` (its `identifier`, `name` or `value`), else `lodgingUnitDescription`, else the setting `room_type` |
//! | money | `totalPrice`, else `price`, and `priceCurrency` |
//! | guests | `numAdults`, `numChildren` |
//!
//! Rooms that have a `reservationId` beside the number are told one by one: those that a message does not mention stay. Rooms
//! without one, and those of `subReservation`, are all the rooms of the booking: what is left out is cancelled.

use std::collections::HashSet;

use concord_plugin::json::messages::{self, Attributes};
use concord_plugin::json::{At, Value, same_word};
use concord_plugin::{
    Action, Change, Day, Line, LineOf, Money, Reference, Rejection, ReservationReplacement, Revision, Status, stay,
};

use crate::document::thing;
use crate::{Settings, when};

const STATUSES: [(&str, Status); 10] = [
    ("ReservationConfirmed", Status::Confirmed),
    ("Confirmed", Status::Confirmed),
    ("ReservationPending", Status::Tentative),
    ("Pending", Status::Tentative),
    ("ReservationHold", Status::Tentative),
    ("Hold", Status::Tentative),
    ("ReservationCancelled", Status::Cancelled),
    ("ReservationCanceled", Status::Cancelled),
    ("Cancelled", Status::Cancelled),
    ("Canceled", Status::Cancelled),
];
const NUMBER: [&str; 2] = ["reservationNumber", "reservationId"];
const CHECKIN: [&str; 2] = ["checkinTime", "checkinDate"];
const CHECKOUT: [&str; 2] = ["checkoutTime", "checkoutDate"];

/// Whether it is a LodgingReservation, or a package of them; a thing may be of several types, each with its address or without.
pub fn is(at: At<'_>) -> bool {
    let has = |at: At<'_>, name: &str| {
        let is = |kind: At<'_>| kind.text().is_ok_and(|kind| kind.rsplit(['/', ':', '#']).next() == Some(name));
        at.all("@type").into_iter().any(is)
    };
    has(at, "LodgingReservation")
        || has(at, "ReservationPackage") && rooms(at).into_iter().any(|room| has(room, "LodgingReservation"))
}

/// The booking's number.
pub fn number(at: At<'_>) -> Result<&str, Rejection> {
    value(at.needs_one(&NUMBER)?).id()
}

fn rooms(at: At<'_>) -> Vec<At<'_>> {
    at.all("subReservation")
}

/// `{"@value": "..."}`, `{"value": ...}` and the value itself are the same.
fn value(at: At<'_>) -> At<'_> {
    at.find("@value").or_else(|| at.find("value")).unwrap_or(at)
}

/// The hotel, which is the same for all of them.
pub fn property(
    root: At<'_>,
    all: &[At<'_>],
    attributes: Attributes<'_>,
    settings: &Settings,
) -> Result<String, Rejection> {
    let Some(first) = all.first() else { return Err(root.reject("holds no LodgingReservation")) };
    let property = of_hotel(root, *first, attributes, settings)?;
    for other in &all[1..] {
        if of_hotel(root, *other, attributes, settings)? != property {
            return Err(other.reject("the booking of this number is for another hotel in the same document"));
        }
    }
    Ok(property)
}

fn of_hotel(root: At<'_>, at: At<'_>, attributes: Attributes<'_>, settings: &Settings) -> Result<String, Rejection> {
    let hotel = thing(root, at, "reservationFor")
        .or_else(|| rooms(at).into_iter().find_map(|at| thing(root, at, "reservationFor")));
    let code = hotel.and_then(|hotel| hotel.find("identifier").map(value).or_else(|| hotel.find("branchCode")));
    if let Some(code) = code {
        return code.id().map(str::to_owned);
    }
    let outside = messages::hotel(at, "reservationFor.identifier", attributes, settings.property.as_ref());
    match hotel.and_then(|hotel| hotel.all("name").into_iter().next()) {
        Some(name) if outside.is_err() => name.id().map(str::to_owned),
        _ => outside,
    }
}

/// The earliest arrival that can be read.
pub fn date(all: &[At<'_>], settings: &Settings) -> Option<Day> {
    let places = all.iter().flat_map(|at| rooms(*at).into_iter().chain([*at]));
    places.filter_map(|at| when::day(value(at.needs_one(&CHECKIN).ok()?), settings).ok()).min()
}

/// What the LodgingReservations of one number say.
pub fn changes(root: At<'_>, all: &[At<'_>], settings: &Settings) -> Result<Vec<Change>, Rejection> {
    let Some(first) = all.first() else { return Err(root.reject("holds no LodgingReservation")) };
    let reservation = number(*first)?.to_owned();
    let told: Vec<Room<'_>> = all.iter().flat_map(|whole| Room::all(root, *whole)).collect();
    let apart = told.iter().all(|room| room.id().is_some()) && all.iter().all(|at| rooms(*at).is_empty());
    let (mut ids, mut texts) = (HashSet::new(), HashSet::new());
    let (mut lines, mut newest) = (Vec::new(), None);
    for (place, room) in (1..).zip(&told) {
        let id = room.id().map(At::id).transpose()?.map_or_else(|| place.to_string(), str::to_owned);
        if !ids.insert(id.clone()) {
            return Err(room.at.reject(format_args!("the room {id} stands twice in this booking")));
        }
        if room.id().is_none() && !texts.insert(room.at.to_string()) {
            let words = "stands twice: is it one room or two? Give each room its own reservationId";
            return Err(room.at.reject(words));
        }
        let modified = room.find("modifiedTime").map(|at| value(at).instant()).transpose()?;
        newest = newest.max(modified);
        lines.push((modified, room.line(&id, &reservation, settings)?));
    }
    let change = |instant: Option<i64>, action| Change { revision: instant.map(Revision::Instant), action };
    if apart {
        let set =
            |(modified, line)| change(modified, Action::LineSet(LineOf { reservation: reservation.clone(), line }));
        return Ok(lines.into_iter().map(set).collect());
    }
    let lines = lines.into_iter().map(|(_, line)| line).collect();
    Ok(vec![change(newest, Action::ReservationReplace(ReservationReplacement { reservation, lines }))])
}

/// One room, and the reservation that it belongs to, which may be itself.
struct Room<'j> {
    root: At<'j>,
    at: At<'j>,
    whole: At<'j>,
}

impl<'j> Room<'j> {
    fn all(root: At<'j>, whole: At<'j>) -> Vec<Room<'j>> {
        match rooms(whole) {
            rooms if rooms.is_empty() => vec![Room { root, at: whole, whole }],
            rooms => rooms.into_iter().map(|at| Room { root, at, whole }).collect(),
        }
    }

    /// What tells the room from others of the same number.
    fn id(&self) -> Option<At<'j>> {
        let id = self.at.find("reservationId").map(value)?;
        // Without a number the id is the booking's.
        (self.whole.find("reservationNumber").is_some() || !self.at.is(self.whole)).then_some(id)
    }

    /// What the room says; where it does not, its reservation.
    fn find(&self, key: &str) -> Option<At<'j>> {
        self.at.find(key).or_else(|| self.whole.find(key))
    }

    fn line(&self, id: &str, number: &str, settings: &Settings) -> Result<Line, Rejection> {
        let told = self.find("reservationStatus").map(status).transpose()?.unwrap_or(Status::Confirmed);
        let references = self.references(number, settings)?;
        let line = Line { status: Some(told), references, ..stay::line(id) };
        messages::or_cancelled(line, |line| self.placed(line, settings), |line| self.priced(line, settings))
    }

    fn placed(&self, line: Line, settings: &Settings) -> Result<Line, Rejection> {
        let end = |keys: &[&str; 2]| {
            let found = keys.iter().find_map(|key| self.find(key)).map(value);
            found.ok_or_else(|| self.at.reject(format_args!("{} is missing", keys[0])))
        };
        let (arrival, departure) = (end(&CHECKIN)?, end(&CHECKOUT)?);
        let nights = stay::nights(when::day(arrival, settings)?, when::day(departure, settings)?)
            .map_err(|why| departure.reject(why))?;
        let room_type = Some(self.room_type(settings)?);
        Ok(Line { arrival: Some(nights.first), departure: Some(nights.end), room_type, ..line })
    }

    fn priced(&self, line: Line, settings: &Settings) -> Result<Line, Rejection> {
        let guests = ["numAdults", "numChildren"].iter().filter_map(|key| self.at.find(key)).map(value);
        Ok(Line { money: self.money(settings)?, guests: messages::persons(guests)?, ..line })
    }

    fn room_type(&self, settings: &Settings) -> Result<String, Rejection> {
        let unit = thing(self.root, self.at, "lodgingUnitType");
        let named = |unit: At<'j>| ["identifier", "name", "value", "@value"].iter().find_map(|key| unit.find(key));
        let unit = unit.map(|unit| named(unit).unwrap_or(unit)).or_else(|| self.at.find("lodgingUnitDescription"));
        match (unit, &settings.room_type) {
            (Some(unit), _) => value(unit).id().map(str::to_owned),
            (None, Some(usual)) => Ok(usual.clone()),
            (None, None) => {
                Err(self.at.reject("lodgingUnitType is missing, and the setting \"room_type\" names no usual one"))
            }
        }
    }

    fn money(&self, settings: &Settings) -> Result<Option<Money>, Rejection> {
        let total = ["totalPrice", "price"].iter().find_map(|key| thing(self.root, self.at, key));
        let Some(total) = total.filter(|total| !total.is_null()) else { return Ok(None) };
        // A PriceSpecification holds both.
        let (amount, currency) = match total.value() {
            Value::Object => (
                total.needs_one(&["price", "value", "@value"])?,
                total.find("priceCurrency").or(total.find("currency")),
            ),
            _ => (total, None),
        };
        let currency = currency.or_else(|| self.find("priceCurrency"));
        messages::money(amount, currency, settings.currency.as_ref()).map(Some)
    }

    /// A mail of a portal is a booking of the portal.
    fn references(&self, number: &str, settings: &Settings) -> Result<Option<Vec<Reference>>, Rejection> {
        let agent = ["broker", "bookingAgent"].iter().find_map(|key| thing(self.root, self.whole, key));
        let agent = agent.map(|agent| agent.find("name").unwrap_or(agent).text()).transpose()?;
        let mut found = stay::References::new();
        found.booking(agent.unwrap_or(&settings.issuer), number);
        Ok(found.found())
    }
}

fn status(at: At<'_>) -> Result<Status, Rejection> {
    let at = at.find("@id").unwrap_or_else(|| value(at));
    let word = at.text()?.rsplit(['/', '#', ':']).next().unwrap_or("");
    let found = STATUSES.iter().find(|(known, _)| same_word(known, word)).map(|(_, status)| *status);
    found.ok_or_else(|| at.is_not("a ReservationStatusType of schema.org"))
}
