//! A hotel's own website: bookings as schema.org's LodgingReservation in JSON-LD, as purchases of Google Analytics 4 (Measurement
//! Protocol), and as orders of Segment.
//!
//! | message | becomes |
//! |---|---|
//! | `LodgingReservation`, alone, in a list, in `@graph` | a partial update of its room; with `subReservation[]`, all of its rooms |
//! | GA4 event `purchase` | all rooms of the booking; `refund` without items cancels it |
//! | Segment `Order Completed`, `Order Updated` | all rooms of the booking; `Order Cancelled`, `Order Refunded` cancel it |
//!
//! See [`lodging`] and [`order`] for the fields.
//!
//! **Order.** LodgingReservation: `modifiedTime`; GA4: `timestamp_micros`; Segment: `originalTimestamp`, else `timestamp`. Else the log.
//!
//! **References.** The booking's number, issued by `website` (setting `issuer`), or by the `broker` or `bookingAgent` of a
//! LodgingReservation that names one.
//!
//! **Refused**, each with its place: documents without a booking, bookings without number, stays without a night or of more than a
//! year, refunds of single items, items without dates.
//!
//! Settings: `property`, `issuer`, `currency`, `room_type` (of bookings that name none), `keys` (how the website's own properties are
//! called: see [`order`]), `room_category` (which `item_category` is a room; else every item is one).
//!
//! Sources: schema.org/LodgingReservation; Google Analytics 4 Measurement Protocol and recommended events; Segment's Ecommerce spec.

pub mod lodging;
pub mod order;

use concord_plugin::json::messages::{self, Attributes, Messages};
use concord_plugin::json::{At, Cleaner, Value};
use concord_plugin::{Change, Day, Delivery, Description, Event, Normalizer, Rejection, Routed, Said};

/// The normalizer of a website's messages.
pub struct Website;

/// The source's `settings` table.
#[derive(Clone, Debug)]
pub struct Settings {
    property: Option<String>,
    issuer: String,
    currency: Option<String>,
    room_type: Option<String>,
    keys: order::Keys,
    room_category: Option<String>,
}

concord_plugin::normalizer!(Website);

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
        let [property, issuer, currency, room_type, keys, room_category] =
            table.object()?.only(&["property", "issuer", "currency", "room_type", "keys", "room_category"])?;
        Ok(Settings {
            property: messages::code(property)?,
            issuer: messages::code(issuer)?.unwrap_or("website".to_owned()),
            currency: messages::code(currency)?,
            room_type: messages::code(room_type)?,
            keys: order::Keys::read(keys)?,
            room_category: messages::code(room_category)?,
        })
    }

    fn split(settings: &Settings, delivery: &Delivery) -> Result<Vec<Routed>, Rejection> {
        messages::split::<Website>(settings, delivery)
    }

    fn normalize_one(settings: &Settings, event: &Event) -> Result<Said, Rejection> {
        messages::said::<Website>(settings, event)
    }
}

impl Messages for Website {
    type Settings = Settings;

    const CLEANER: Cleaner<'static> = Cleaner {
        without: &["paymentMethodId", "accountId"],
        identities: &[
            "reservationNumber",
            "reservationId",
            "identifier",
            "branchCode",
            "transaction_id",
            "order_id",
            "orderId",
            "timestamp_micros",
            "messageId",
            "item_id",
            "product_id",
            "sku",
        ],
    };

    fn parts<'j>(root: At<'j>, _: &Settings) -> Result<Vec<At<'j>>, Rejection> {
        let mut parts = Vec::new();
        match root.value() {
            Value::List => parts.extend(root.list()?.filter(|at| is_booking(*at))),
            _ if is_booking(root) => parts.push(root),
            _ => {
                root.object()?;
                let lists = ["@graph", "events", "batch"].iter().flat_map(|list| root.all(list));
                parts.extend(lists.filter(|at| is_booking(*at)));
            }
        }
        if parts.is_empty() {
            return Err(root
                .reject("holds no booking: neither a LodgingReservation nor a purchase (GA4) nor an order (Segment)"));
        }
        Ok(parts)
    }

    fn property(_: At<'_>, part: At<'_>, attributes: Attributes<'_>, settings: &Settings) -> Result<String, Rejection> {
        match lodging::is(part) {
            true => lodging::property(part, attributes, settings),
            false => order::property(part, attributes, settings),
        }
    }

    fn date(_: At<'_>, part: At<'_>, settings: &Settings) -> Option<Day> {
        if lodging::is(part) { lodging::date(part) } else { order::date(part, settings) }
    }

    fn changes(root: At<'_>, part: At<'_>, settings: &Settings) -> Result<Vec<Change>, Rejection> {
        if lodging::is(part) { lodging::changes(part, settings) } else { order::changes(root, part, settings) }
    }
}

fn is_booking(at: At<'_>) -> bool {
    lodging::is(at) || order::is(at)
}

#[cfg(test)]
mod tests;
