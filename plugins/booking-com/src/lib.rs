//! Booking.com's reservations XML (B.XML): the answers of `/hotels/xml/reservations` and of `reservationssummary`.
//!
//! | element | meaning |
//! |---|---|
//! | `reservations/reservation` | one reservation, always told whole: a room that is left out is cancelled |
//! | `id`, `hotel_id` | the reservation, the hotel |
//! | `status` | `new`, `modified`, `cancelled`; a summary has none, its reservations stand |
//! | `room` | one room: `roomreservation_id` is its identity, `id` its room type |
//! | `arrival_date`, `departure_date` | the departure is exclusive |
//! | `totalprice`, `price` | the room's price; the prices of the nights where it has no total |
//! | `numberofguests` or `guest_counts` | persons |
//!
//! **Identity.** The reservation's `id`; the room's `roomreservation_id`.
//!
//! **Order.** The order of arrival: `date` and `time` are those of the booking and never change. So nothing tells that a message comes
//! out of order, but for one that came before; whoever fetches keeps the order of the queue. There is no time zone: stays have dates only.
//!
//! A cancellation may list no room. Of a booking that was never heard of it then names no line, so that a booking arriving
//! later counts as the newer one: Booking.com's queue keeps the order, and so must whoever fetches it.
//!
//! **References.** `booking`, issuer `booking-com` (setting `issuer`), the reservation's `id`.
//!
//! **Refused**, each with its place: stays without a night or of more than a year, rooms without identity or type, the same
//! room twice, amounts that are none. Cards (`cc_*`, `vcc_*`) never reach the log.
//!
//! Settings: `property` (the hotel where the message names none, as in a summary), `issuer`.
//!
//! Source: Booking.com Connectivity documentation, "Retrieving reservations using B.XML" and "reservationssummary".

use std::collections::BTreeSet;

use concord_plugin::xml::{At, Cleaner, Document};
use concord_plugin::{
    Action, Change, Day, Delivery, Description, Event, Line, Money, Normalizer, Rejection, ReservationReplacement,
    Routed, Said, Status, json, stay, time, xml,
};

/// The normalizer of Booking.com's reservations.
pub struct BookingCom;

/// The source's `settings` table.
#[derive(Clone, Debug)]
pub struct Settings {
    property: Option<String>,
    issuer: String,
}

concord_plugin::normalizer!(BookingCom);

const STATUSES: [(&str, Status); 3] =
    [("new", Status::Confirmed), ("modified", Status::Confirmed), ("cancelled", Status::Cancelled)];

const CLEANER: Cleaner = Cleaner {
    without_elements: &[
        "cc_cvc",
        "cc_expiration_date",
        "cc_name",
        "cc_number",
        "cc_type",
        "cc_current_balance",
        "cc_activation_date",
        "cc_deactivation_date",
        "dc_issue_number",
        "dc_start_date",
        "vcc_details",
        "vcc_cvc",
        "vcc_number",
    ],
    without_attributes: &[],
    identities: &["id", "hotel_id", "roomreservation_id", "rate_id"],
};

impl Normalizer for BookingCom {
    type Settings = Settings;

    fn describe() -> Description {
        Description {
            name: "booking-com".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            formats: vec!["application/xml".into(), "text/xml".into(), "reservations".into()],
            fields: vec![],
        }
    }

    fn settings(table: json::At<'_>) -> Result<Settings, Rejection> {
        let [property, issuer] = table.object()?.only(&["property", "issuer"])?;
        let property = property.map(json::At::code).transpose()?.map(str::to_owned);
        let issuer = issuer.map(json::At::code).transpose()?.unwrap_or("booking-com").to_owned();
        Ok(Settings { property, issuer })
    }

    fn split(settings: &Settings, delivery: &Delivery) -> Result<Vec<Routed>, Rejection> {
        let text = xml::decode(&delivery.body)?;
        let document = xml::parse(&text)?;
        let (root, reservations) = reservations(&document)?;
        let frame = reservations.first().map(|first| CLEANER.around(root, *first, |at| at.is("reservation")));
        let several = reservations.len();
        let routed = |reservation: At<'_>| {
            let property = property(reservation, &delivery.attributes, settings).map(str::to_owned);
            let property = CLEANER.placed(property, reservation, several)?;
            let body = frame.as_ref().map(|frame| frame.with(&CLEANER.written(reservation)).into_bytes());
            Ok(Routed { property, date: first_arrival(reservation), body })
        };
        reservations.into_iter().map(routed).collect()
    }

    fn normalize_one(settings: &Settings, event: &Event) -> Result<Said, Rejection> {
        let text = xml::decode(&event.body)?;
        let document = xml::parse(&text)?;
        let (root, reservations) = reservations(&document)?;
        let [reservation] = reservations[..] else {
            return Err(root.reject("a record of the log holds one reservation"));
        };
        let property = property(reservation, &event.attributes, settings)?.to_owned();
        let replacement = replacement(reservation, settings)?;
        Ok(Said { property, changes: vec![Change { revision: None, action: Action::ReservationReplace(replacement) }] })
    }
}

fn reservations<'x>(document: &'x Document<'x>) -> Result<(At<'x>, Vec<At<'x>>), Rejection> {
    let root = document.root();
    if !root.is("reservations") {
        return Err(root.reject("is not Booking.com's reservations"));
    }
    let reservations = root.all("reservation");
    match reservations.is_empty() {
        true => Err(root.reject("holds no reservation: there is nothing to read")),
        false => Ok((root, reservations)),
    }
}

/// The hotel of the reservation; else the one of the transport; else the one of the settings.
fn property<'p>(
    reservation: At<'p>,
    attributes: &'p [(String, String)],
    settings: &'p Settings,
) -> Result<&'p str, Rejection> {
    if let Some(hotel) = reservation.value("hotel_id") {
        return hotel.code();
    }
    let attribute = attributes.iter().find(|(name, _)| name == "property").map(|(_, value)| value.as_str());
    attribute.or(settings.property.as_deref()).filter(|property| !property.is_empty()).ok_or_else(|| {
        reservation.reject("hotel_id is missing, and neither an attribute nor the setting \"property\" names the hotel")
    })
}

/// The earliest arrival that can be read; else 1970-01-01.
fn first_arrival(reservation: At<'_>) -> Day {
    let arrivals = reservation.children().filter(|at| at.is("room")).filter_map(|room| room.value("arrival_date"));
    arrivals.filter_map(|text| time::day(text.as_str())).min().unwrap_or(0)
}

fn replacement(reservation: At<'_>, settings: &Settings) -> Result<ReservationReplacement, Rejection> {
    let id = reservation.needs_value("id")?.code()?;
    let status = reservation.value("status").map(|text| text.one_of(&STATUSES)).transpose()?;
    let status = status.unwrap_or(Status::Confirmed);
    let mut references = stay::References::new();
    references.booking(&settings.issuer, id);
    let references = references.found();
    let mut seen = BTreeSet::new();
    let mut lines = Vec::new();
    for room in reservation.all("room") {
        let identity = room.needs_value("roomreservation_id")?;
        if !seen.insert(identity.code()?) {
            return Err(identity.reject("stands twice in this reservation"));
        }
        let line = stay::line(identity.code()?);
        lines.push(match status {
            Status::Cancelled => cancelled(room, line),
            status => booked(room, reservation, Line { status: Some(status), references: references.clone(), ..line })?,
        });
    }
    if lines.is_empty() && status != Status::Cancelled {
        return Err(reservation.reject("a reservation that is not cancelled has rooms, and this one has none"));
    }
    Ok(ReservationReplacement { reservation: id.to_owned(), lines })
}

fn booked(room: At<'_>, reservation: At<'_>, line: Line) -> Result<Line, Rejection> {
    Ok(Line { money: money(room, reservation)?, guests: guests(room)?, ..placed(room, line)? })
}

fn placed(room: At<'_>, line: Line) -> Result<Line, Rejection> {
    let departure = room.needs_value("departure_date")?;
    let nights = stay::nights(room.needs_value("arrival_date")?.day()?, departure.day()?);
    let nights = nights.map_err(|why| departure.reject(why))?;
    Ok(Line {
        arrival: Some(nights.first),
        departure: Some(nights.end),
        room_type: Some(room.needs_value("id")?.code()?.to_owned()),
        ..line
    })
}

/// A cancelled room, with its nights and type where they can be read: what it costs is not asked.
fn cancelled(room: At<'_>, line: Line) -> Line {
    let line = Line { status: Some(Status::Cancelled), ..line };
    placed(room, line.clone()).unwrap_or(line)
}

/// The room's total, else what its nights cost together.
fn money(room: At<'_>, reservation: At<'_>) -> Result<Option<Money>, Rejection> {
    let currency = room.value("currencycode").or_else(|| reservation.value("currencycode"));
    let nights: Vec<_> = room.all("price").into_iter().filter_map(At::text).collect();
    let Some(currency) = currency else {
        let amount = room.value("totalprice").or_else(|| nights.first().copied());
        return amount.map_or(Ok(None), |amount| Err(amount.reject("the amount has no currencycode")));
    };
    if let Some(total) = room.value("totalprice") {
        return currency.currency_of(total.decimal()?).map(Some);
    }
    let amounts: Vec<Money> =
        nights.into_iter().map(|night| currency.currency_of(night.decimal()?)).collect::<Result<_, _>>()?;
    Ok(stay::total(amounts))
}

fn guests(room: At<'_>) -> Result<Option<u32>, Rejection> {
    if let Some(number) = room.value("numberofguests") {
        return number.count().map(Some);
    }
    let mut sum: Option<u32> = None;
    for count in room.all("guest_counts/guest_count").into_iter().filter_map(|at| at.attribute("count")) {
        let more = sum.unwrap_or(0).checked_add(count.count()?);
        sum = Some(more.ok_or_else(|| count.reject("the guests are too many to count"))?);
    }
    Ok(sum)
}

#[cfg(test)]
mod tests;
