//! Apaleo: reservations of its Booking API (`/booking/v1/reservations`, `/booking/v1/bookings`).
//!
//! | message | becomes |
//! |---|---|
//! | a reservation; `reservations[]` of a list or of a booking | one room of the booking each |
//!
//! | field | where |
//! |---|---|
//! | hotel | `property.id`; an attribute; the setting `property` |
//! | identity | reservation: `bookingId` (in a booking, its `id`); line: the reservation's `id` |
//! | status | `Tentative`, `Confirmed`, `InHouse`, `CheckedOut`, `Canceled`, `NoShow` |
//! | nights | the local dates of `arrival` and `departure`: exclusive |
//! | room type, room | `unitGroup.id`; `unit.id` |
//! | money | `totalGrossAmount` |
//! | guests | `adults` and how many `childrenAges` there are |
//! | references | `externalCode`, issued by `channelCode` (else `source`); `bookingId`, issued by `apaleo` |
//! | group | `groupId`, `blockId` |
//!
//! **Order.** `modified`; without an offset it counts as UTC.
//!
//! **Time zone.** Arrival and departure carry the hotel's own offset: their dates count as written, also where the offset is missing.
//!
//! **Left out.** A reservation that a list or a booking does not mention stays as it is: Apaleo cancels by status, and lists come in
//! pages. What one of them says is its own record.
//!
//! **Refused**, each with its place: webhooks, which carry ids only (fetch the reservation, and send that), stays without a night or
//! of more than a year.
//!
//! Settings: `property`, `issuers` (channel codes and how others call them; `BookingCom` is `booking-com`).
//!
//! Source: Apaleo's Booking API v1 and Webhook API.

use std::collections::BTreeMap;

use concord_plugin::json::messages::{self, Attributes, Messages};
use concord_plugin::json::{At, Cleaner};
use concord_plugin::{
    Action, Change, Day, Delivery, Description, Event, Line, LineOf, Normalizer, Reference, Rejection, Routed, Said,
    Status, stay,
};

/// The normalizer of Apaleo's reservations.
pub struct Apaleo;

/// The source's `settings` table.
#[derive(Clone, Debug)]
pub struct Settings {
    property: Option<String>,
    issuers: BTreeMap<String, String>,
}

concord_plugin::normalizer!(Apaleo);

const STATUSES: [(&str, Status); 7] = [
    ("Tentative", Status::Tentative),
    ("Confirmed", Status::Confirmed),
    ("InHouse", Status::CheckedIn),
    ("CheckedOut", Status::CheckedOut),
    ("Canceled", Status::Cancelled),
    ("Cancelled", Status::Cancelled),
    ("NoShow", Status::NoShow),
];

impl Normalizer for Apaleo {
    type Settings = Settings;

    fn describe() -> Description {
        Description {
            name: "apaleo".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            formats: ["application/json", "reservations"].map(str::to_owned).to_vec(),
            fields: vec![],
        }
    }

    fn settings(table: At<'_>) -> Result<Settings, Rejection> {
        let [property, issuers] = table.object()?.only(&["property", "issuers"])?;
        let mut known = BTreeMap::from([("BookingCom".to_owned(), "booking-com".to_owned())]);
        known.extend(messages::names(issuers)?);
        Ok(Settings { property: messages::code(property)?, issuers: known })
    }

    fn split(settings: &Settings, delivery: &Delivery) -> Result<Vec<Routed>, Rejection> {
        messages::split::<Apaleo>(settings, delivery)
    }

    fn normalize_one(settings: &Settings, event: &Event) -> Result<Said, Rejection> {
        messages::said::<Apaleo>(settings, event)
    }
}

impl Messages for Apaleo {
    type Settings = Settings;

    const CLEANER: Cleaner<'static> =
        Cleaner { without: &[], identities: &["id", "bookingId", "groupId", "blockId", "externalCode", "entityId"] };

    fn parts<'j>(root: At<'j>, _: &Settings) -> Result<Vec<At<'j>>, Rejection> {
        root.object()?;
        match (root.find("reservations"), root.find("arrival").or(root.find("topic")).or(root.find("status"))) {
            (Some(list), _) if list.list()?.next().is_some() => Ok(list.list()?.collect()),
            (None, Some(_)) => Ok(vec![root]),
            _ => Err(root.reject("holds no reservation of Apaleo")),
        }
    }

    fn property(
        root: At<'_>,
        part: At<'_>,
        attributes: Attributes<'_>,
        settings: &Settings,
    ) -> Result<String, Rejection> {
        // A webhook keeps it elsewhere.
        match root.find("propertyId") {
            Some(property) if part.is(root) => property.id().map(str::to_owned),
            _ => messages::hotel(part, "property.id", attributes, settings.property.as_ref()),
        }
    }

    fn date(_: At<'_>, part: At<'_>, _: &Settings) -> Option<Day> {
        part.find("arrival").and_then(|at| at.local_day().ok())
    }

    fn changes(root: At<'_>, part: At<'_>, settings: &Settings) -> Result<Vec<Change>, Rejection> {
        if let Some(entity) = part.find("data.entityId") {
            let id = entity.id()?;
            return Err(part.reject(format_args!("a webhook carries ids only: fetch reservation {id} and send that")));
        }
        let own = part.needs("id")?.id()?;
        // In a booking, its reservations need not say whose they are.
        let booking = part.find("bookingId").or_else(|| root.find("id").filter(|_| !part.is(root)));
        let booking = booking.map(At::id).transpose()?.unwrap_or(own);
        let line = Line {
            status: Some(part.needs("status")?.one_of(&STATUSES)?),
            references: references(booking, part, settings)?,
            ..stay::line(own)
        };
        let placed = |line| {
            let nights = messages::nights(part.needs("arrival")?, part.needs("departure")?)?;
            Ok(Line {
                arrival: Some(nights.first),
                departure: Some(nights.end),
                room_type: Some(part.needs("unitGroup.id")?.id()?.to_owned()),
                // A reservation without a unit has none assigned (any more).
                room: Some(part.find("unit.id").map(At::id).transpose()?.unwrap_or("").to_owned()),
                ..line
            })
        };
        let line = messages::or_cancelled(line, placed, |line| priced(part, line))?;
        let modified = part.find("modified").map(At::instant).transpose()?;
        Ok(messages::change(modified, Action::LineSet(LineOf { reservation: booking.to_owned(), line })))
    }
}

fn priced(part: At<'_>, line: Line) -> Result<Line, Rejection> {
    let total = part.find("totalGrossAmount");
    let money = total.map(|total| messages::money(total.needs("amount")?, total.find("currency"), None));
    let children = part.all("childrenAges").len();
    let adults = messages::persons(part.find("adults"))?;
    Ok(Line {
        money: money.transpose()?,
        guests: adults.map(|adults| adults.saturating_add(u32::try_from(children).unwrap_or(u32::MAX))),
        ..line
    })
}

fn references(booking: &str, part: At<'_>, settings: &Settings) -> Result<Option<Vec<Reference>>, Rejection> {
    let mut found = stay::References::new();
    let channel = part.find("channelCode").or_else(|| part.find("source"));
    if let (Some(code), Some(channel)) = (part.find("externalCode"), channel) {
        let name = channel.text()?;
        found.booking(settings.issuers.get(name).map_or(name, String::as_str), code.id()?);
    }
    found.booking("apaleo", booking);
    for key in ["groupId", "blockId"] {
        if let Some(group) = part.find(key) {
            found.add(stay::GROUP, "apaleo", group.id()?);
        }
    }
    Ok(found.found())
}

#[cfg(test)]
mod tests;
