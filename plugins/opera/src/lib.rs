//! Oracle OPERA Cloud (OHIP): reservations as its property APIs give them, and business events of its Streaming and polling APIs.
//!
//! | message | becomes |
//! |---|---|
//! | `reservations.reservation[]`, `reservations.reservationInfo[]` with rates | all rooms of the reservation |
//! | the same without rates | a partial update: status, dates, room |
//! | `newEvent`, `businessEventData[]` of module RESERVATION | a partial update: see [`events`] |
//!
//! | field | where |
//! |---|---|
//! | hotel | `hotelId`; an attribute; the setting `property` |
//! | identity | the id of type Reservation in `reservationIdList`; a reservation is one room, or as many as `numberOfUnits` |
//! | nights | `roomStay.arrivalDate`, `departureDate`: exclusive |
//! | room type, room | `roomStay.roomRates[].roomType`; `currentRoomInfo.roomId`, `roomRates[].roomId` |
//! | money | `roomStay.total`, else the totals of `roomRates`: after tax where both are there (setting `tax = "before"`) |
//! | references | Confirmation number (issuer `pms`, setting `issuer`); `externalReferences` by their context |
//! | group | `reservationBlock.blockIdList` |
//!
//! **Order.** Reservations: `lastModifyDateTime`. Events: the offset in their metadata. The two cannot be compared: a source that
//! gets both sets `mixed = true`; its reservations then follow the order of the log. `lastModifyDateTime` is a clock without a time
//! zone and compared as written; where that clock is set back in autumn, what changed in the repeated hour may look older than it is.
//!
//! **Refused**, each with its place: reservations of a waitlist and pseudo rooms (they hold no room), stays whose room type
//! changes midway, requests that say nothing about a room, events of other modules, and events that name a reservation only
//! (fetch it, and send that).
//!
//! Settings: `property`, `issuer`, `issuers` (contexts of external references and who they are), `currency`, `tax`, `mixed`,
//! `elements` (further names of an event's data elements).
//!
//! Sources: Oracle's hospitality-api-docs (rsv, property v1), "Interpreting the Event" of the OHIP guides.

pub mod events;
mod reservation;

use std::collections::BTreeMap;

use concord_plugin::json::messages::{self, Attributes, Messages};
use concord_plugin::json::{At, Cleaner};
use concord_plugin::{Change, Day, Delivery, Description, Event, Normalizer, Rejection, Routed, Said};

/// The normalizer of OPERA Cloud's messages.
pub struct Opera;

/// The source's `settings` table.
#[derive(Clone, Debug)]
pub struct Settings {
    property: Option<String>,
    issuer: String,
    issuers: BTreeMap<String, String>,
    currency: Option<String>,
    before_tax: bool,
    mixed: bool,
    elements: BTreeMap<String, String>,
}

concord_plugin::normalizer!(Opera);

impl Normalizer for Opera {
    type Settings = Settings;

    fn describe() -> Description {
        Description {
            name: "opera".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            formats: ["application/json", "reservations", "newEvent", "businessEventData"].map(str::to_owned).to_vec(),
            fields: vec![],
        }
    }

    fn settings(table: At<'_>) -> Result<Settings, Rejection> {
        let [property, issuer, issuers, currency, tax, mixed, elements] =
            table.object()?.only(&["property", "issuer", "issuers", "currency", "tax", "mixed", "elements"])?;
        let elements = messages::names(elements)?;
        if let Some((name, _)) = elements.iter().find(|(_, field)| !events::FIELDS.contains(&&***field)) {
            return Err(table.reject(format_args!("elements.{name} is not one of {}", events::FIELDS.join(", "))));
        }
        Ok(Settings {
            property: messages::code(property)?,
            issuer: messages::code(issuer)?.unwrap_or("pms".to_owned()),
            issuers: messages::names(issuers)?,
            currency: messages::code(currency)?,
            before_tax: tax.map(|at| at.one_of(&[("after", false), ("before", true)])).transpose()?.unwrap_or(false),
            mixed: mixed.map(At::boolean).transpose()?.unwrap_or(false),
            elements,
        })
    }

    fn split(settings: &Settings, delivery: &Delivery) -> Result<Vec<Routed>, Rejection> {
        messages::split::<Opera>(settings, delivery)
    }

    fn normalize_one(settings: &Settings, event: &Event) -> Result<Said, Rejection> {
        messages::said::<Opera>(settings, event)
    }
}

impl Messages for Opera {
    type Settings = Settings;

    const CLEANER: Cleaner<'static> = Cleaner {
        without: &["reservationPaymentMethods", "reservationPaymentMethod", "cashiering"],
        identities: &["id", "primaryKey", "hotelId", "offset", "roomId", "uniqueEventId"],
    };

    fn parts<'j>(root: At<'j>, _: &Settings) -> Result<Vec<At<'j>>, Rejection> {
        const LISTS: [&str; 6] = [
            "reservations.reservation",
            "reservations.reservationInfo",
            "reservations",
            "reservation",
            "reservationInfo",
            "businessEventData",
        ];
        root.object()?;
        if events::streamed(root).is_some() {
            return Ok(vec![root]);
        }
        let found = LISTS.iter().map(|list| root.all(list)).find(|parts| !parts.is_empty());
        found.ok_or_else(|| root.reject("holds no reservation and no business event of OPERA"))
    }

    fn property(_: At<'_>, part: At<'_>, attributes: Attributes<'_>, settings: &Settings) -> Result<String, Rejection> {
        let holder = events::of(part).map_or(part, |event| event.head);
        messages::hotel(holder, "hotelId", attributes, settings.property.as_ref())
    }

    fn date(_: At<'_>, part: At<'_>, settings: &Settings) -> Option<Day> {
        match events::of(part) {
            Some(event) => events::arrival(&event, settings),
            None => part.find("roomStay.arrivalDate").and_then(|at| at.local_day().ok()),
        }
    }

    fn changes(_: At<'_>, part: At<'_>, settings: &Settings) -> Result<Vec<Change>, Rejection> {
        match events::of(part) {
            Some(event) => events::changes(&event, settings),
            None => reservation::changes(part, settings),
        }
    }
}

#[cfg(test)]
mod tests;
