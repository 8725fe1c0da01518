//! Who a reservation is, and under which names others know it.
//!
//! Knows UniqueID and HotelReservationID and the types of identifiers (OpenTravel code list UIT). Does not know rooms.

use concord_plugin::xml::{At, Text};
use concord_plugin::{Reference, Rejection, stay::References};

use crate::settings::Settings;

/// Where the reservation's own number stands: the first of these that is there.
const OWN: [(Place, Option<&str>); 6] = [
    (Place::Unique, Some("14")),
    (Place::Unique, Some("15")),
    (Place::Reservation, Some("14")),
    (Place::Reservation, Some("8")),
    (Place::Unique, Some("8")),
    (Place::Unique, None),
];

/// Types that name the same booking elsewhere, and who issues them where neither message nor settings say so. Others are
/// campaigns (13 in AlpineBits), companies, revisions and cancellation numbers.
const OTHERS: [(&str, Option<&str>); 6] =
    [("14", None), ("8", None), ("10", Some("pms")), ("3", Some("pms")), ("40", None), ("34", None)];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// `UniqueID` in the reservation or beside it.
    Unique,
    /// `ResGlobalInfo/HotelReservationIDs/HotelReservationID`.
    Reservation,
}

/// An identifier as it stands in the message.
struct Identifier<'x> {
    place: Place,
    kind: Option<&'x str>,
    value: Text<'x>,
    /// Whoever the message says issued it.
    issuer: Option<&'x str>,
}

fn identifiers(reservation: At<'_>) -> Vec<Identifier<'_>> {
    let mut found = Vec::new();
    for at in reservation.all("UniqueID") {
        let company = at.first("CompanyName").and_then(|company| company.text().or_else(|| company.attribute("Code")));
        found.extend(at.attribute("ID").map(|value| Identifier {
            place: Place::Unique,
            kind: at.attribute("Type").map(Text::as_str),
            value,
            issuer: company.or_else(|| at.attribute("ID_Context")).map(Text::as_str),
        }));
    }
    for at in reservation.all("ResGlobalInfo/HotelReservationIDs/HotelReservationID") {
        found.extend(at.attribute("ResID_Value").map(|value| Identifier {
            place: Place::Reservation,
            kind: at.attribute("ResID_Type").map(Text::as_str),
            value,
            issuer: at.attribute("ResID_Source").or_else(|| at.attribute("ResID_SourceContext")).map(Text::as_str),
        }));
    }
    found
}

/// Whether the reservation carries a cancellation's identifier.
pub fn is_cancellation(reservation: At<'_>) -> bool {
    identifiers(reservation).iter().any(|id| id.place == Place::Unique && id.kind == Some("15"))
}

fn own<'i, 'x>(identifiers: &'i [Identifier<'x>]) -> Option<&'i Identifier<'x>> {
    let place =
        |(place, kind): &(Place, Option<&str>)| identifiers.iter().find(|id| id.place == *place && id.kind == *kind);
    // Booking.com gives its number without a type.
    OWN.iter()
        .find_map(place)
        .or_else(|| identifiers.iter().find(|id| id.place == Place::Reservation && id.kind.is_none()))
}

/// The reservation's own number.
pub fn reservation(at: At<'_>) -> Result<&str, Rejection> {
    let identifiers = identifiers(at);
    match own(&identifiers) {
        Some(id) => id.value.code(),
        None => Err(at.reject("no identifier: UniqueID (type 14) and HotelReservationID (type 14 or 8) are missing")),
    }
}

/// The names under which other systems know the reservation, its own number among them where it is known who issued it.
pub fn references(at: At<'_>, message: At<'_>, settings: &Settings) -> Result<Option<Vec<Reference>>, Rejection> {
    let identifiers = identifiers(at);
    let own = own(&identifiers);
    let mut found = References::new();
    for id in &identifiers {
        let is_own = own.is_some_and(|own| std::ptr::eq(own, id));
        let known = OTHERS.iter().find(|(kind, _)| Some(*kind) == id.kind).map(|(_, issuer)| *issuer);
        let named =
            [id.kind, id.issuer].into_iter().flatten().find_map(|name| settings.issuers.get(name)).map(String::as_str);
        let channel = || channel(at, message).map(|name| settings.issuers.get(name).map_or(name, String::as_str));
        let issuer = match known {
            _ if named.is_some() => named,
            _ if is_own => settings.issuer.as_deref().or_else(channel).or(id.issuer),
            Some(usual) => id.issuer.or(usual),
            None => None,
        };
        if let Some(issuer) = issuer {
            found.booking(issuer, id.value.code()?);
        }
    }
    Ok(found.found())
}

/// The channel that the point of sale names: `POS/Source/BookingChannel/CompanyName`, the primary one first.
fn channel<'x>(at: At<'x>, message: At<'x>) -> Option<&'x str> {
    let channels: Vec<At<'x>> =
        [at, message].into_iter().flat_map(|holder| holder.all("POS/Source/BookingChannel")).collect();
    let primary = |at: &&At<'x>| at.attribute("Primary").is_some_and(|text| matches!(text.as_str(), "true" | "1"));
    let chosen = channels.iter().find(primary).or_else(|| channels.first())?;
    chosen.value("CompanyName").map(Text::as_str)
}
