//! Channex: booking revisions as its feed and its API give them, and webhooks that carry them.
//!
//! | message | becomes |
//! |---|---|
//! | `data[]` or `data` with `attributes` (feed, booking, revision), a bare revision, a webhook's `payload.booking` | all rooms of the booking: a room that is left out is cancelled |
//!
//! | field | where |
//! |---|---|
//! | hotel | `property_id`; an attribute; the setting `property` |
//! | identity | `booking_id`, else (a booking) `id`; a room is its `booking_room_id`, else its place |
//! | status | `new`, `modified`, `cancelled`; a room's `is_cancelled` |
//! | nights | `checkin_date`, `checkout_date` of the room, else `arrival_date`, `departure_date`: exclusive |
//! | room type | `room_type_id` |
//! | money | the room's `amount`, else the sum of its `days`; the booking's `currency` |
//! | guests | `occupancy`: adults, children, infants |
//! | references | `ota_reservation_code`, issued by `ota_name`; `unique_id`, issued by `channex` |
//!
//! **Order.** `inserted_at`, which is UTC without saying so: a revision's own id says nothing about its place. Stays have dates only.
//!
//! **Refused**, each with its place: webhooks that carry ids only (fetch the revision, and send that), rooms without a room type
//! (not mapped at Channex), stays without a night or of more than a year, the same room twice.
//!
//! Settings: `property`, `issuers` (names of OTAs and how others call them), `currency`.
//!
//! Source: docs.channex.io, Bookings Collection and Webhook Collection.

use std::collections::{BTreeMap, BTreeSet};

use concord_plugin::json::messages::{self, Attributes, Messages};
use concord_plugin::json::{At, Cleaner, Object};
use concord_plugin::{
    Action, Change, Day, Delivery, Description, Event, Line, Money, Normalizer, Reference, Rejection,
    ReservationReplacement, Routed, Said, Status, stay,
};

/// The normalizer of Channex' bookings.
pub struct Channex;

/// The source's `settings` table.
#[derive(Clone, Debug)]
pub struct Settings {
    property: Option<String>,
    issuers: BTreeMap<String, String>,
    currency: Option<String>,
}

concord_plugin::normalizer!(Channex);

const STATUSES: [(&str, Status); 4] = [
    ("new", Status::Confirmed),
    ("modified", Status::Confirmed),
    ("cancelled", Status::Cancelled),
    ("canceled", Status::Cancelled),
];

impl Normalizer for Channex {
    type Settings = Settings;

    fn describe() -> Description {
        Description {
            name: "channex".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            formats: ["application/json", "booking_revision", "booking"].map(str::to_owned).to_vec(),
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
        messages::split::<Channex>(settings, delivery)
    }

    fn normalize_one(settings: &Settings, event: &Event) -> Result<Said, Rejection> {
        messages::said::<Channex>(settings, event)
    }
}

impl Messages for Channex {
    type Settings = Settings;

    const CLEANER: Cleaner<'static> = Cleaner {
        without: &["guarantee"],
        identities: &[
            "id",
            "property_id",
            "booking_id",
            "booking_room_id",
            "room_type_id",
            "unique_id",
            "ota_reservation_code",
            "system_id",
            "revision_id",
        ],
    };

    fn parts<'j>(root: At<'j>, _: &Settings) -> Result<Vec<At<'j>>, Rejection> {
        root.object()?;
        let parts =
            ["data", "payload.booking", "booking"].iter().map(|path| root.all(path)).find(|parts| !parts.is_empty());
        match parts {
            Some(parts) => Ok(parts),
            None if root.raw("data").is_some() => {
                Err(root.reject("the feed holds no booking: there is nothing to read"))
            }
            None => Ok(vec![root]),
        }
    }

    fn property(
        root: At<'_>,
        part: At<'_>,
        attributes: Attributes<'_>,
        settings: &Settings,
    ) -> Result<String, Rejection> {
        let named = [of(part), root].into_iter().find(|at| at.find("property_id").is_some()).unwrap_or(of(part));
        messages::hotel(named, "property_id", attributes, settings.property.as_ref())
    }

    fn date(_: At<'_>, part: At<'_>, _: &Settings) -> Option<Day> {
        let rooms = of(part).all("rooms");
        let arrivals = rooms.iter().filter_map(|room| room.find("checkin_date")).chain(of(part).find("arrival_date"));
        arrivals.filter_map(|at| at.local_day().ok()).min()
    }

    fn changes(_: At<'_>, part: At<'_>, settings: &Settings) -> Result<Vec<Change>, Rejection> {
        let booking = of(part);
        if booking.find("event").is_some() && booking.find("status").is_none() {
            return Err(booking.reject("a webhook that carries ids only: fetch the booking revision and send that"));
        }
        let reservation = booking.needs_one(&["booking_id", "id"])?.id()?.to_owned();
        let status = booking.needs("status")?.one_of(&STATUSES)?;
        let references = references(booking, settings)?;
        let mut seen = BTreeSet::new();
        let mut lines = Vec::new();
        for (place, room) in (1..).zip(booking.all("rooms")) {
            let line = line(booking, room, place, (status, &references), settings)?;
            if !seen.insert(line.line.clone()) {
                return Err(room.reject(format_args!("the room {} stands twice in this booking", line.line)));
            }
            lines.push(line);
        }
        if lines.is_empty() && status != Status::Cancelled {
            return Err(booking.reject("a booking that is not cancelled has rooms, and this one has none"));
        }
        let inserted = booking.find("inserted_at").map(At::instant).transpose()?;
        if lines.is_empty() {
            return Ok(messages::all_cancelled(inserted, reservation, "1"));
        }
        Ok(messages::change(inserted, Action::ReservationReplace(ReservationReplacement { reservation, lines })))
    }
}

/// JSON:API keeps what is said in `attributes`.
fn of(part: At<'_>) -> At<'_> {
    part.find("attributes").unwrap_or(part)
}

fn line(
    booking: At<'_>,
    room: At<'_>,
    place: u32,
    (status, references): (Status, &Option<Vec<Reference>>),
    settings: &Settings,
) -> Result<Line, Rejection> {
    let id = room.find("booking_room_id").map(At::id).transpose()?.map_or(place.to_string(), str::to_owned);
    let gone = room.find("is_cancelled").map(At::flag).transpose()?.unwrap_or(false);
    let status = if gone { Status::Cancelled } else { status };
    let line = Line { status: Some(status), references: references.clone(), ..stay::line(id) };
    let placed = |line| {
        let end = |own: &str, whole: &str| room.find(own).map_or_else(|| booking.needs(whole), Ok);
        let nights = messages::nights(end("checkin_date", "arrival_date")?, end("checkout_date", "departure_date")?)?;
        let room_type = room.find("room_type_id").ok_or_else(|| {
            room.reject(
                "room_type_id is missing: the room is not mapped at Channex; map it there, and send the booking again",
            )
        })?;
        Ok(Line {
            arrival: Some(nights.first),
            departure: Some(nights.end),
            room_type: Some(room_type.id()?.to_owned()),
            ..line
        })
    };
    let priced = |line| Ok(Line { money: money(booking, room, settings)?, guests: guests(room)?, ..line });
    messages::or_cancelled(line, placed, priced)
}

fn money(booking: At<'_>, room: At<'_>, settings: &Settings) -> Result<Option<Money>, Rejection> {
    let currency = booking.find("currency");
    let money = |amount: At<'_>| messages::money(amount, currency, settings.currency.as_ref());
    if let Some(amount) = room.find("amount") {
        return money(amount).map(Some);
    }
    let days = room.find("days").map(At::object).transpose()?.into_iter().flat_map(Object::entries);
    let days: Vec<Money> = days.map(|(_, amount)| money(amount)).collect::<Result<_, _>>()?;
    Ok(stay::total(days))
}

fn guests(room: At<'_>) -> Result<Option<u32>, Rejection> {
    let counts = ["occupancy.adults", "occupancy.children", "occupancy.infants"];
    messages::persons(counts.iter().filter_map(|path| room.find(path)))
}

fn references(booking: At<'_>, settings: &Settings) -> Result<Option<Vec<Reference>>, Rejection> {
    let mut found = stay::References::new();
    if let (Some(code), Some(name)) = (booking.find("ota_reservation_code"), booking.find("ota_name")) {
        let name = name.text()?;
        found.booking(settings.issuers.get(name).map_or(name, String::as_str), code.id()?);
    }
    if let Some(unique) = booking.find("unique_id") {
        found.booking("channex", unique.id()?);
    }
    Ok(found.found())
}

#[cfg(test)]
mod tests;
