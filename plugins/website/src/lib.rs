//! A hotel's own website: bookings as schema.org's LodgingReservation in JSON-LD, as purchases of Google Analytics 4 (Measurement
//! Protocol, data layer, BigQuery export), and as orders of Segment.
//!
//! | message | becomes |
//! |---|---|
//! | `LodgingReservation`, alone, in a list, in `@graph`; `subReservation[]` | the rooms of a booking: see [`lodging`] |
//! | GA4 event `purchase` | all rooms of the booking; `refund` cancels it: see [`order`] |
//! | Segment `Order Completed`, `Order Updated` | all rooms of the booking; `Order Cancelled`, `Order Refunded` cancel it |
//!
//! A delivery may hold several bookings, and other things beside them, which are passed over.
//!
//! **Order.** LodgingReservation: `modifiedTime`, else the log. Events: the log, since their times are those of the guests' own
//! clocks; where one server's clock makes them, `timestamps = true` believes them.
//!
//! **References.** The booking's number, issued by `website` (setting `issuer`), or by the `broker` or `bookingAgent` that a
//! LodgingReservation names.
//!
//! **Left out.** Persons (`underName` and others), addresses with keys in them, cards: they never reach the log.
//!
//! **Refused**, each with its place: documents without a booking, bookings without number or room type, stays without a night or of
//! more than a year, equal rooms that nothing tells apart, refunds of single items, and instants in UTC without the setting `time_zone`.
//!
//! Settings: `property`, `issuer`, `currency`, `room_type` (of bookings that name none), `time_zone`, `keys` (how the website's own
//! parameters are called), `room_category`, `quantity`, `timestamps`. `README.md` describes them.
//!
//! Sources: schema.org/LodgingReservation; Gmail's reference of its markup; Google Analytics 4 recommended events, Measurement
//! Protocol and BigQuery export schema; Segment's Ecommerce spec, version 2.

mod document;
pub mod lodging;
pub mod order;
mod when;

use concord_plugin::json::messages::{self, Attributes};
use concord_plugin::json::{self, At, Cleaner, Document};
use concord_plugin::zone::Zone;
use concord_plugin::{Delivery, Description, Event, Normalizer, Rejection, Routed, Said};

use document::Booking;

/// The normalizer of a website's messages.
pub struct Website;

/// The source's `settings` table.
#[derive(Clone, Debug)]
pub struct Settings {
    property: Option<String>,
    issuer: String,
    currency: Option<String>,
    room_type: Option<String>,
    zone: Option<Zone>,
    keys: order::Keys,
    room_category: Option<String>,
    quantity: Option<order::Quantity>,
    timestamps: bool,
}

concord_plugin::normalizer!(Website);

const CLEANER: Cleaner<'static> = Cleaner {
    // Persons; their devices and accounts; addresses that let whoever has them change the booking.
    without: &[
        "underName",
        "customer",
        "person",
        "email",
        "telephone",
        "phone",
        "programMembershipUsed",
        "programMembership",
        "user_data",
        "user_properties",
        "user_id",
        "user_pseudo_id",
        "client_id",
        "device",
        "geo",
        "userId",
        "anonymousId",
        "context",
        "traits",
        "paymentMethodId",
        "accountId",
        "url",
        "cancelReservationUrl",
        "confirmReservationUrl",
        "modifyReservationUrl",
        "checkinUrl",
        "potentialAction",
    ],
    identities: &[
        "@id",
        "reservationNumber",
        "reservationId",
        "identifier",
        "branchCode",
        "transaction_id",
        "order_id",
        "timestamp_micros",
        "event_timestamp",
        "messageId",
        "item_id",
        "product_id",
        "sku",
    ],
};

impl Normalizer for Website {
    type Settings = Settings;

    fn describe() -> Description {
        Description {
            name: "website".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            formats: ["application/ld+json", "application/json", "LodgingReservation", "purchase", "Order Completed"]
                .map(str::to_owned)
                .to_vec(),
            fields: vec![],
        }
    }

    fn settings(table: At<'_>) -> Result<Settings, Rejection> {
        let [property, issuer, currency, room_type, zone, keys, room_category, quantity, timestamps] =
            table.object()?.only(&[
                "property",
                "issuer",
                "currency",
                "room_type",
                "time_zone",
                "keys",
                "room_category",
                "quantity",
                "timestamps",
            ])?;
        Ok(Settings {
            property: messages::code(property)?,
            issuer: messages::code(issuer)?.unwrap_or("website".to_owned()),
            currency: messages::code(currency)?,
            room_type: messages::code(room_type)?,
            zone: zone.map(Zone::read).transpose()?,
            keys: order::Keys::read(keys)?,
            room_category: messages::code(room_category)?,
            quantity: quantity.map(|at| at.one_of(&order::QUANTITIES)).transpose()?,
            timestamps: timestamps.map(At::boolean).transpose()?.unwrap_or(false),
        })
    }

    fn split(settings: &Settings, delivery: &Delivery) -> Result<Vec<Routed>, Rejection> {
        let document = json::parse(&delivery.body);
        let read = document.as_ref().map_err(Clone::clone).and_then(|document| routed(settings, delivery, document));
        read.or_else(|rejection| messages::hidden(&CLEANER, delivery, document.as_ref().ok(), rejection))
    }

    fn normalize_one(settings: &Settings, event: &Event) -> Result<Said, Rejection> {
        let document = json::parse(&event.body)?;
        let root = document.root();
        let bookings = document::bookings(root)?;
        let [booking] = &bookings[..] else {
            return Err(root.reject("a record of the log holds one booking"));
        };
        let property = property(root, booking, &event.attributes, settings)?;
        let changes = match booking {
            Booking::Lodging(rooms) => lodging::changes(root, rooms, settings)?,
            Booking::Order(part) => order::changes(root, *part, settings)?,
        };
        Ok(Said { property, changes })
    }
}

fn routed(settings: &Settings, delivery: &Delivery, document: &Document<'_>) -> Result<Vec<Routed>, Rejection> {
    let root = document.root();
    let bookings = document::bookings(root)?;
    let several = bookings.len();
    let place = |booking: &Booking<'_>| {
        let property = property(root, booking, &delivery.attributes, settings);
        let property = CLEANER.placed(property, booking.at(), several)?;
        let date = match booking {
            Booking::Lodging(rooms) => lodging::date(rooms, settings),
            Booking::Order(part) => order::date(*part, settings),
        };
        let body = document::written(root, booking, &CLEANER).into_bytes();
        Ok(Routed { property, date: date.unwrap_or(0), body: Some(body) })
    };
    bookings.iter().map(place).collect()
}

fn property(
    root: At<'_>,
    booking: &Booking<'_>,
    attributes: Attributes<'_>,
    settings: &Settings,
) -> Result<String, Rejection> {
    match booking {
        Booking::Lodging(rooms) => lodging::property(root, rooms, attributes, settings),
        Booking::Order(part) => order::property(*part, attributes, settings),
    }
}

#[cfg(test)]
mod tests;
