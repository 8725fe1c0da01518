//! Expedia's Booking Retrieval XML, versions 2007/02 and 2014/01, and Hotwire's variety of it: bare or in a SOAP envelope.
//!
//! | place | meaning |
//! |---|---|
//! | `BookingRetrievalRS//Booking` | one transaction of a booking, told whole |
//! | `@id`, `Hotel/@id` | the booking, the hotel |
//! | `@type` | `Book`, `Modify`, `Cancel` |
//! | `@createDateTime` | when the transaction was made: the revision |
//! | `@confirmNumber` | the partner's own number of the booking, which changes |
//! | `RoomStay/@roomTypeID`, `@numberOfRooms` | the room type; one room, unless it says how many |
//! | `StayDate/@arrival`, `@departure` | the departure is exclusive |
//! | `Total/@amountAfterTaxes`, else `PerDayRates` | the price of the stay |
//! | `GuestCount/@adult`, `@child` | persons |
//!
//! **Identity.** The booking's `id`; its room is line `1`, further ones `1.2` and so on.
//!
//! **Order.** `createDateTime`. A message has the newest transaction first; its parts are put into the log oldest first.
//!
//! **References.** `booking`, issuer `expedia` (setting `issuer`), the booking's `id`; `booking`, issuer `pms` (setting
//! `partner`), the `confirmNumber`.
//!
//! **Refused**, each with its place: error messages, stays without a night or of more than a year, missing identity, amounts
//! that are none. Cards never reach the log.
//!
//! Settings: `issuer`, `partner`, `utc_offset` (of instants that give none; UTC without it).
//!
//! Source: Expedia Group Booking Retrieval reference; Hotwire's booking retrieval examples.

use concord_plugin::xml::{At, Cleaner, Document, Text};
use concord_plugin::{
    Action, Change, Day, Delivery, Description, Event, Line, Money, Normalizer, Rejection, ReservationReplacement,
    Revision, Routed, Said, Status, json, stay, time, xml,
};

/// The normalizer of Expedia's bookings.
pub struct Expedia;

/// The source's `settings` table.
#[derive(Clone, Debug)]
pub struct Settings {
    issuer: String,
    partner: String,
    offset: i32,
}

concord_plugin::normalizer!(Expedia);

const TYPES: [(&str, Status); 3] =
    [("Book", Status::Confirmed), ("Modify", Status::Confirmed), ("Cancel", Status::Cancelled)];
/// What a night costs, as far as it has such parts.
const PER_NIGHT: [&str; 3] = ["baseRate", "extraPersonFees", "hotelServiceFees"];
/// Most rooms of one booking.
const MOST_ROOMS: u32 = 100;

const CLEANER: Cleaner = Cleaner {
    without_elements: &["PaymentCard", "CardHolder"],
    without_attributes: &["cardNumber", "seriesCode"],
    identities: &["id", "confirmNumber", "roomTypeID", "ratePlanID"],
};

impl Normalizer for Expedia {
    type Settings = Settings;

    fn describe() -> Description {
        Description {
            name: "expedia".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            formats: vec!["application/xml".into(), "text/xml".into(), "BookingRetrievalRS".into()],
            fields: vec![],
        }
    }

    fn settings(table: json::At<'_>) -> Result<Settings, Rejection> {
        let [issuer, partner, offset] = table.object()?.only(&["issuer", "partner", "utc_offset"])?;
        let code = |at: Option<json::At<'_>>, usual: &str| match at {
            Some(at) => at.code().map(str::to_owned),
            None => Ok(usual.to_owned()),
        };
        let seconds = |at: json::At<'_>| time::offset(at.text()?).ok_or_else(|| at.is_not("an offset such as +01:00"));
        Ok(Settings {
            issuer: code(issuer, "expedia")?,
            partner: code(partner, "pms")?,
            offset: offset.map(seconds).transpose()?.unwrap_or(0),
        })
    }

    fn split(settings: &Settings, delivery: &Delivery) -> Result<Vec<Routed>, Rejection> {
        let text = xml::decode(&delivery.body)?;
        let document = xml::parse(&text)?;
        let (root, bookings) = bookings(&document)?;
        let frame = bookings.first().map(|first| CLEANER.around(root, *first, |at| at.is("Booking")));
        let several = bookings.len();
        let mut routed = Vec::with_capacity(several);
        for booking in bookings {
            let property = CLEANER.placed(hotel(booking), booking, several)?;
            let body = frame.as_ref().map(|frame| frame.with(&CLEANER.written(booking)).into_bytes());
            let made = booking.attribute("createDateTime").and_then(|text| time::stamp(text.as_str()));
            let made = made.map(|stamp| stamp.utc(settings.offset));
            routed.push((made, Routed { property, date: arrival_date(booking), body }));
        }
        // Oldest first; those whose instant cannot be read come first and will be refused.
        routed.sort_by_key(|(made, _)| *made);
        Ok(routed.into_iter().map(|(_, part)| part).collect())
    }

    fn normalize_one(settings: &Settings, event: &Event) -> Result<Said, Rejection> {
        let text = xml::decode(&event.body)?;
        let document = xml::parse(&text)?;
        let (root, bookings) = bookings(&document)?;
        let [booking] = bookings[..] else {
            return Err(root.reject("a record of the log holds one booking"));
        };
        let property = hotel(booking)?;
        Ok(Said { property, changes: vec![change(booking, settings)?] })
    }
}

fn bookings<'x>(document: &'x Document<'x>) -> Result<(At<'x>, Vec<At<'x>>), Rejection> {
    let message = document.message()?;
    // Hotwire puts its answer into one more element.
    let root = if message.is("retrieveBookingResponse") { message.required("BookingRetrievalRS")? } else { message };
    if !root.is("BookingRetrievalRS") {
        return Err(root.reject("is not Expedia's BookingRetrievalRS"));
    }
    if let Some(error) = root.first("Error") {
        let words = error.text().map_or("without words", Text::as_str);
        return Err(error.reject(format_args!("the message reports an error: {words}")));
    }
    let mut bookings = root.all("Bookings/Booking");
    bookings.extend(root.all("Booking"));
    match bookings.is_empty() {
        true => Err(root.reject("holds no booking: there is nothing to read")),
        false => Ok((root, bookings)),
    }
}

fn hotel(booking: At<'_>) -> Result<String, Rejection> {
    Ok(booking.required("Hotel")?.needs("id")?.code()?.to_owned())
}

fn stay_date<'x>(stay: At<'x>, names: [&str; 2]) -> Result<Text<'x>, Rejection> {
    let at = stay.required("StayDate")?;
    names.iter().find_map(|name| at.attribute(name)).map_or_else(|| at.needs(names[0]), Ok)
}

/// The arrival, if it can be read; else 1970-01-01.
fn arrival_date(booking: At<'_>) -> Day {
    let at = booking.first("RoomStay/StayDate");
    let text = at.and_then(|at| at.attribute("arrival").or_else(|| at.attribute("arrivalDate")));
    text.and_then(|text| time::local_day(text.as_str())).unwrap_or(0)
}

fn change(booking: At<'_>, settings: &Settings) -> Result<Change, Rejection> {
    let id = booking.needs("id")?.code()?;
    let status = booking.needs("type")?.one_of(&TYPES)?;
    let revision = Revision::Instant(booking.needs("createDateTime")?.instant(settings.offset)?);
    let lines = if status == Status::Cancelled { cancelled(booking) } else { booked(booking, id, settings)? };
    let replacement = ReservationReplacement { reservation: id.to_owned(), lines };
    Ok(Change { revision: Some(revision), action: Action::ReservationReplace(replacement) })
}

fn booked(booking: At<'_>, id: &str, settings: &Settings) -> Result<Vec<Line>, Rejection> {
    let stay = booking.required("RoomStay")?;
    let mut references = stay::References::new();
    references.booking(&settings.issuer, id);
    if let Some(number) = booking.attribute("confirmNumber") {
        references.booking(&settings.partner, number.code()?);
    }
    let line = Line {
        status: Some(Status::Confirmed),
        money: money(stay)?,
        guests: guests(stay)?,
        references: references.found(),
        ..placed(stay)?
    };
    Ok(stay::rooms(line, rooms(stay)?))
}

/// The room of the booking, with its nights and its type.
fn placed(at: At<'_>) -> Result<Line, Rejection> {
    let arrival = stay_date(at, ["arrival", "arrivalDate"])?.day()?;
    let departure = stay_date(at, ["departure", "departureDate"])?;
    let nights = stay::nights(arrival, departure.day()?).map_err(|why| departure.reject(why))?;
    let room_type = Some(at.needs("roomTypeID")?.code()?.to_owned());
    Ok(Line { arrival: Some(nights.first), departure: Some(nights.end), room_type, ..stay::line("1") })
}

/// The cancelled rooms, with whatever else can be read: a cancellation counts even where the rest is poor.
fn cancelled(booking: At<'_>) -> Vec<Line> {
    let stay = booking.first("RoomStay");
    let line = stay.and_then(|stay| placed(stay).ok()).unwrap_or_else(|| stay::line("1"));
    let rooms = stay.and_then(|stay| rooms(stay).ok()).unwrap_or(1);
    stay::rooms(Line { status: Some(Status::Cancelled), ..line }, rooms)
}

fn rooms(stay: At<'_>) -> Result<u32, Rejection> {
    let Some(text) = stay.attribute("numberOfRooms") else { return Ok(1) };
    let rooms = text.count().ok().filter(|rooms| (1..=MOST_ROOMS).contains(rooms));
    rooms.ok_or_else(|| text.is_not(format_args!("a number of rooms from 1 to {MOST_ROOMS}")))
}

fn guests(stay: At<'_>) -> Result<Option<u32>, Rejection> {
    let Some(at) = stay.first("GuestCount") else { return Ok(None) };
    let number = |name: &str| at.attribute(name).map(Text::count).transpose();
    let (adults, children) = (number("adult")?, number("child")?);
    if adults.is_none() && children.is_none() {
        return Ok(None);
    }
    let sum = adults.unwrap_or(0).checked_add(children.unwrap_or(0));
    sum.map(Some).ok_or_else(|| at.reject("the guests are too many to count"))
}

/// The total, else what the nights cost together.
fn money(stay: At<'_>) -> Result<Option<Money>, Rejection> {
    let rates = stay.all("PerDayRates");
    for total in ["Total", "TotalAmount"].into_iter().filter_map(|name| stay.first(name)) {
        if let Some(amount) = total.attribute("amountAfterTaxes") {
            let currency = total.attribute("currency").or_else(|| rates.first()?.attribute("currency"));
            let currency = currency.ok_or_else(|| amount.reject("the amount has no currency"))?;
            return currency.currency_of(amount.decimal()?).map(Some);
        }
    }
    let mut amounts = Vec::new();
    for rate in &rates {
        for amount in rate.all("PerDayRate").into_iter().flat_map(|night| PER_NIGHT.map(|name| night.attribute(name))) {
            let Some(amount) = amount else { continue };
            amounts.push(rate.needs("currency")?.currency_of(amount.decimal()?)?);
        }
    }
    Ok(stay::total(amounts))
}

#[cfg(test)]
mod tests;
