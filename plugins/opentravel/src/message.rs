//! Which messages there are, which hotel each part belongs to, and how a delivery is cut into parts.
//!
//! Knows the outer elements. What stands inside of a part, the other files know.

use concord_plugin::xml::{At, Cleaner, Document};
use concord_plugin::{Change, Day, Rejection, Routed, Said, time};

use crate::settings::Settings;
use crate::{inventory, rates, reservation};

/// A message: its outermost element, the path of its parts, and what reads one of them.
struct Kind {
    name: &'static str,
    /// Empty where the message itself is the only part.
    parts: &'static str,
    read: Reader,
}

/// Reads a part of a message (the part, the message).
type Reader = fn(At<'_>, At<'_>, &Settings) -> Result<Vec<Change>, Rejection>;

const KINDS: [Kind; 8] = [
    Kind { name: "OTA_HotelResNotifRQ", parts: "HotelReservations/HotelReservation", read: reservation::told },
    Kind { name: "OTA_HotelResModifyNotifRQ", parts: "HotelResModifies/HotelResModify", read: reservation::told },
    Kind { name: "OTA_ResRetrieveRS", parts: "ReservationsList/HotelReservation", read: reservation::told },
    Kind { name: "OTA_CancelRQ", parts: "", read: reservation::cancelled },
    Kind { name: "OTA_HotelInvCountNotifRQ", parts: "Inventories", read: inventory::counts },
    Kind { name: "OTA_HotelAvailNotifRQ", parts: "AvailStatusMessages", read: inventory::statuses },
    Kind { name: "OTA_HotelRateAmountNotifRQ", parts: "RateAmountMessages", read: rates::amounts },
    Kind { name: "OTA_HotelRatePlanNotifRQ", parts: "RatePlans", read: rates::plans },
];

/// What must not reach the log, and what is kept to the letter.
const CLEANER: Cleaner = Cleaner {
    without_elements: &[
        "PaymentCard",
        "CardNumber",
        "SeriesCode",
        "CardHolderName",
        "MagneticStripe",
        "ThreeDomainSecurity",
        "EncryptedValue",
        "GuaranteesAccepted",
        "AcceptedPayments",
        "BankAcct",
    ],
    without_attributes: &["CardNumber", "SeriesCode", "MaskedCardNumber", "MessagePassword", "Password"],
    identities: &[
        "ID",
        "ResID_Value",
        "HotelCode",
        "InvCode",
        "InvTypeCode",
        "RoomTypeCode",
        "RatePlanCode",
        "RoomID",
        "IndexNumber",
        "RPH",
    ],
};

/// The names of the messages.
pub fn names() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|kind| kind.name)
}

/// The kind of a message and its parts.
fn read<'x>(message: At<'x>) -> Result<(&'static Kind, Vec<At<'x>>), Rejection> {
    let Some(kind) = KINDS.iter().find(|kind| message.is(kind.name)) else {
        let known: Vec<&str> = names().collect();
        return Err(message.reject(format_args!("is none of the messages that are read: {}", known.join(", "))));
    };
    if let Some(error) = message.first("Errors/Error") {
        let words = error.attribute("ShortText").or_else(|| error.text()).map_or("without words", |text| text.as_str());
        return Err(error.reject(format_args!("the message reports an error: {words}")));
    }
    let parts = if kind.parts.is_empty() { vec![message] } else { message.all(kind.parts) };
    if parts.is_empty() {
        return Err(message.reject(format_args!("holds no {}: there is nothing to read", kind.parts)));
    }
    Ok((kind, parts))
}

/// A delivery's parts: each reservation, and what each hotel's inventory message says.
pub fn split(
    document: &Document<'_>,
    attributes: &[(String, String)],
    settings: &Settings,
) -> Result<Vec<Routed>, Rejection> {
    let message = document.message()?;
    let (kind, parts) = read(message)?;
    // The envelope stays behind, with the passwords that it may hold; where it alone names the hotel, the part keeps that.
    let header = document.root().first("Header").and_then(|header| header.anywhere("PayloadReference"));
    let addressed = header.and_then(|at| at.attribute("SupplierHotelCode")).map(|code| code.as_str());
    let name = kind.parts.rsplit('/').next().unwrap_or_default();
    let frame = parts.first().map(|first| CLEANER.around(message, *first, |at| at.is(name)));
    let several = parts.len();
    let mut routed = Vec::with_capacity(several);
    for part in parts {
        let own = hotel(part, message);
        let text = CLEANER.written(part);
        let text = frame.as_ref().map_or_else(|| text.clone(), |frame| frame.with(&text));
        let (property, body) = match (own, addressed) {
            (Ok(None), Some(code)) => (code.to_owned(), addressed_to(&text, kind.name, code)),
            (own, _) => {
                let found = own.and_then(|own| property(own, part, attributes, settings));
                (CLEANER.placed(found, part, several)?, text)
            }
        };
        routed.push(Routed { property, date: first_date(part), body: Some(body.into_bytes()) });
    }
    Ok(routed)
}

/// What one record says.
pub fn said(document: &Document<'_>, attributes: &[(String, String)], settings: &Settings) -> Result<Said, Rejection> {
    let message = document.message()?;
    let (kind, parts) = read(message)?;
    let mut said: Option<Said> = None;
    for part in parts {
        let property = property(hotel(part, message)?, part, attributes, settings)?;
        let changes = (kind.read)(part, message, settings)?;
        match &mut said {
            None => said = Some(Said { property, changes }),
            Some(said) if said.property == property => said.changes.extend(changes),
            Some(_) => return Err(message.reject("speaks of several hotels: a record of the log belongs to one")),
        }
    }
    said.ok_or_else(|| message.reject("there is nothing to read"))
}

/// The hotel that a part names: the code, or the name where there is no code. AlpineBits allows either.
fn hotel<'x>(part: At<'x>, message: At<'x>) -> Result<Option<&'x str>, Rejection> {
    for attribute in ["HotelCode", "HotelName"] {
        let outside = [message, part].into_iter().find_map(|at| at.attribute(attribute));
        let mut inside = part.inside().filter(|at| at.is("BasicPropertyInfo")).filter_map(|at| at.attribute(attribute));
        let Some(first) = outside.or_else(|| inside.next()) else { continue };
        if let Some(other) = inside.find(|code| code.as_str() != first.as_str()) {
            return Err(
                other.reject(format_args!("is another hotel than {:?}: a booking belongs to one", first.as_str()))
            );
        }
        return first.code().map(Some);
    }
    Ok(None)
}

/// The hotel that the part names; else the one of the transport; else the one of the settings.
fn property(
    own: Option<&str>,
    part: At<'_>,
    attributes: &[(String, String)],
    settings: &Settings,
) -> Result<String, Rejection> {
    let attribute = attributes.iter().find(|(name, _)| name == "property").map(|(_, value)| value.as_str());
    let found = own.or(attribute).or(settings.property.as_deref()).filter(|property| !property.is_empty());
    found.map(str::to_owned).ok_or_else(|| {
        part.reject("no HotelCode or HotelName, and neither an attribute nor the setting \"property\" names the hotel")
    })
}

/// The part with the hotel's code in its outermost element.
fn addressed_to(text: &str, name: &str, code: &str) -> String {
    let tag = format!("<{name}");
    let escaped = code.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;");
    match text.strip_prefix(&tag) {
        Some(rest) => format!("{tag} HotelCode=\"{escaped}\"{rest}"),
        None => text.to_owned(),
    }
}

/// The earliest date that the part mentions, well-formed ones only; else 1970-01-01. Only the record's place in tables
/// depends on it, never its partition.
fn first_date(part: At<'_>) -> Day {
    let dated = |(name, value): (&str, &str)| match name {
        "Start" | "EffectiveDate" => time::local_day(value.trim()),
        _ => None,
    };
    [part].into_iter().chain(part.inside()).flat_map(At::attributes).filter_map(dated).min().unwrap_or(0)
}
