//! OpenTravel (OTA) XML of 2003 and later, as AlpineBits 2018-10 and 2020-10, SiteMinder, HTNG, Booking.com and Expedia's
//! Booking Notification write it: bare or in a SOAP envelope, with any namespace prefix.
//!
//! | message | becomes |
//! |---|---|
//! | `OTA_HotelResNotifRQ`, `OTA_HotelResModifyNotifRQ`, `OTA_ResRetrieveRS` | per reservation: all of its rooms, whole replacement |
//! | `OTA_CancelRQ` | the reservation without rooms |
//! | `OTA_HotelInvCountNotifRQ` | `availability` (CountType 2), `capacity` (CountType 1), `closed` (AllInvCode) |
//! | `OTA_HotelAvailNotifRQ` | `availability` (BookingLimit), `closed` and restrictions |
//! | `OTA_HotelRateAmountNotifRQ`, `OTA_HotelRatePlanNotifRQ` | `price` and restrictions |
//!
//! **Identity.** A reservation is its UniqueID of type 14, else 15, else a HotelReservationID of type 14 or 8, else the first
//! identifier without a type. A room is its RoomStay's IndexNumber, else RPH, else its place.
//!
//! **Order.** LastModifyDateTime where the message has it, else the log: EchoToken and TimeStamp are those of a transmission, and
//! CreateDateTime stays the same from revision to revision.
//!
//! **Ends.** A stay's end is exclusive (TimeSpan, Rate), an inventory range's end is inclusive (StatusApplicationControl,
//! Rate of a rate plan).
//!
//! **Refused**, each with its place: requests for offers and acknowledgements (no booking), stays without night or of more
//! than a year, rooms of several types in one RoomStay, amounts without a currency, changes relative to what is unknown
//! (AdjustLimit), single rooms in an update that is not whole, closed seasons that overlap, have counts or do not come first.
//!
//! Sources: OpenTravel 2003/05 schemas; AlpineBits 2018-10 and 2020-10; the partner documentation of the named dialects.

mod applies;
mod grid;
mod identity;
mod inventory;
mod message;
mod rates;
mod reservation;
mod room_stay;
mod settings;

use concord_plugin::json;
use concord_plugin::xml;
use concord_plugin::{Delivery, Description, Event, Normalizer, Rejection, Routed, Said};

pub use settings::Settings;

/// The normalizer of OpenTravel messages.
pub struct Opentravel;

concord_plugin::normalizer!(Opentravel);

impl Normalizer for Opentravel {
    type Settings = Settings;

    fn describe() -> Description {
        Description {
            name: "opentravel".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            formats: ["application/xml", "text/xml"].into_iter().chain(message::names()).map(str::to_owned).collect(),
            fields: settings::FIELDS.iter().map(|(name, _)| (*name).to_owned()).collect(),
        }
    }

    fn settings(table: json::At<'_>) -> Result<Settings, Rejection> {
        settings::read(table)
    }

    fn split(settings: &Settings, delivery: &Delivery) -> Result<Vec<Routed>, Rejection> {
        let text = xml::decode(&delivery.body)?;
        message::split(&xml::parse(&text)?, &delivery.attributes, settings)
    }

    fn normalize_one(settings: &Settings, event: &Event) -> Result<Said, Rejection> {
        let text = xml::decode(&event.body)?;
        message::said(&xml::parse(&text)?, &event.attributes, settings)
    }
}

#[cfg(test)]
mod tests;
