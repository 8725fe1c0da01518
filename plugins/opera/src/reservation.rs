//! A reservation of OPERA's property APIs.

use concord_plugin::json::At;
use concord_plugin::json::messages;
use concord_plugin::{Action, Change, Line, LineOf, Money, Reference, Rejection, ReservationReplacement, Status, stay};

use crate::Settings;

/// Words of `reservationStatus` and `computedReservationStatus`. `None`: it holds no room.
pub const STATUSES: [(&str, Option<Status>); 16] = [
    ("Reserved", Some(Status::Confirmed)),
    ("DueIn", Some(Status::Confirmed)),
    ("Arrived", Some(Status::CheckedIn)),
    ("Requested", Some(Status::Tentative)),
    ("Prospect", Some(Status::Tentative)),
    ("CheckedIn", Some(Status::CheckedIn)),
    ("InHouse", Some(Status::CheckedIn)),
    ("DueOut", Some(Status::CheckedIn)),
    ("Walkin", Some(Status::CheckedIn)),
    ("CheckedOut", Some(Status::CheckedOut)),
    ("Departed", Some(Status::CheckedOut)),
    ("Cancelled", Some(Status::Cancelled)),
    ("Canceled", Some(Status::Cancelled)),
    ("NoShow", Some(Status::NoShow)),
    ("Waitlist", None),
    ("Waitlisted", None),
];

/// What a word of the status means.
pub fn status(at: At<'_>) -> Result<Status, Rejection> {
    at.one_of(&STATUSES)?.ok_or_else(|| at.reject("a reservation on the waitlist holds no room"))
}

/// What a reservation says.
pub fn changes(part: At<'_>, settings: &Settings) -> Result<Vec<Change>, Rejection> {
    let reservation = number(part)?.to_owned();
    let told = part.find("reservationStatus").or_else(|| part.find("computedReservationStatus"));
    let status = told.map(status).transpose()?;
    if status.is_none() && part.find("roomStay").is_none() {
        return Err(part.reject("says nothing about a room: neither reservationStatus nor roomStay is there"));
    }
    let rates = part.all("roomStay.roomRates");
    let line = Line { status, references: references(part, settings)?, ..stay::line("1") };
    let priced = |line| match part.find("roomStay") {
        Some(stay) => Ok(Line { money: money(stay, &rates, settings)?, guests: guests(stay, &rates)?, ..line }),
        None => Ok(line),
    };
    let line = messages::or_cancelled(line, |line| placed(part, &rates, line), priced)?;
    let modified = part.find("lastModifyDateTime").filter(|_| !settings.mixed).map(At::instant).transpose()?;
    // Without rates nothing is said about how many rooms there are.
    let action = match (rates.first(), status) {
        (None, Some(Status::Cancelled)) => return Ok(messages::all_cancelled(modified, reservation, "1")),
        (None, _) => Action::LineSet(LineOf { reservation, line }),
        (Some(rate), _) => {
            let units = rate.find("numberOfUnits").map(At::tally).transpose()?.unwrap_or(1);
            if units > 500 {
                return Err(rate.reject(format_args!("numberOfUnits: {units} rooms are too many for one reservation")));
            }
            replace(reservation, stay::rooms(line, units))
        }
    };
    Ok(messages::change(modified, action))
}

fn replace(reservation: String, lines: Vec<Line>) -> Action {
    Action::ReservationReplace(ReservationReplacement { reservation, lines })
}

/// OPERA's own number, which stays the same.
fn number(part: At<'_>) -> Result<&str, Rejection> {
    let ids = part.all("reservationIdList");
    let of = |kind: &str| ids.iter().find(|id| id.find("type").and_then(|t| t.text().ok()) == Some(kind));
    let own = of("Reservation").or_else(|| ids.first().filter(|id| id.find("type").is_none()));
    match own {
        Some(own) => own.needs("id")?.id(),
        None => Err(part.reject("reservationIdList names no id of type Reservation")),
    }
}

fn placed(part: At<'_>, rates: &[At<'_>], line: Line) -> Result<Line, Rejection> {
    let Some(stay) = part.find("roomStay") else { return Ok(line) };
    if rates.iter().any(|rate| rate.find("pseudoRoom").is_some_and(|at| at.flag() == Ok(true))) {
        return Err(stay.reject("a pseudo room is no room"));
    }
    let day = |key: &str| stay.find(key).map(At::local_day).transpose();
    let (arrival, departure) = (day("arrivalDate")?, day("departureDate")?);
    if let (Some(arrival), Some(departure)) = (arrival, departure) {
        concord_plugin::stay::nights(arrival, departure)
            .map_err(|why| stay.reject(format_args!("departureDate: {why}")))?;
    }
    let mut types = rates.iter().filter_map(|rate| rate.find("roomType")).chain(stay.find("roomType"));
    let room_type = types.next().map(At::id).transpose()?.map(str::to_owned);
    if let Some(other) = types.find(|other| other.id().ok() != room_type.as_deref()) {
        return Err(other.reject("the room type changes during the stay: a stay has one"));
    }
    if room_type.is_none() && !rates.is_empty() {
        return Err(stay.reject("roomRates name no roomType"));
    }
    let room = [stay.find("currentRoomInfo.roomId"), stay.find("roomId")].into_iter().flatten().next();
    let room = room.or_else(|| rates.iter().find_map(|rate| rate.find("roomId"))).map(At::id).transpose()?;
    Ok(Line { arrival, departure, room_type, room: room.map(str::to_owned), ..line })
}

/// The total of the stay, else the totals of its rates.
fn money(stay: At<'_>, rates: &[At<'_>], settings: &Settings) -> Result<Option<Money>, Rejection> {
    let amount = |total: At<'_>, currency: Option<At<'_>>| -> Result<Option<Money>, Rejection> {
        let order = match settings.before_tax {
            true => ["amountBeforeTax", "amountAfterTax"],
            false => ["amountAfterTax", "amountBeforeTax"],
        };
        let Some(amount) = order.iter().find_map(|key| total.find(key)) else { return Ok(None) };
        let currency = total.find("currencyCode").or(currency);
        messages::money(amount, currency, settings.currency.as_ref()).map(Some)
    };
    let currency =
        rates.iter().find_map(|rate| rate.all("rates.rate").iter().find_map(|rate| rate.find("base.currencyCode")));
    if let Some(total) = stay.find("total") {
        return amount(total, currency);
    }
    let totals = rates.iter().filter_map(|rate| rate.find("total"));
    let totals: Vec<Option<Money>> = totals.map(|total| amount(total, currency)).collect::<Result<_, _>>()?;
    // The total of a part of the stay is not the total of the stay.
    if totals.len() == rates.len() { Ok(stay::total(totals.into_iter().flatten())) } else { Ok(None) }
}

fn guests(stay: At<'_>, rates: &[At<'_>]) -> Result<Option<u32>, Rejection> {
    let counts = stay.find("guestCounts").or_else(|| rates.iter().find_map(|rate| rate.find("guestCounts")));
    match counts {
        Some(counts) => messages::persons(["adults", "children"].iter().filter_map(|key| counts.find(key))),
        None => messages::persons(["adultCount", "childCount"].iter().filter_map(|key| stay.find(key))),
    }
}

fn references(part: At<'_>, settings: &Settings) -> Result<Option<Vec<Reference>>, Rejection> {
    let mut found = stay::References::new();
    let issuer = |context: &str| settings.issuers.get(context).map_or(context, String::as_str).to_owned();
    for id in part.all("reservationIdList") {
        let (kind, context) =
            (id.find("type").and_then(|t| t.text().ok()), id.find("idContext").and_then(|c| c.text().ok()));
        match (kind, context) {
            (Some("Confirmation"), _) => found.booking(&settings.issuer, id.needs("id")?.id()?),
            (Some("ExternalReference"), Some(context)) => found.booking(&issuer(context), id.needs("id")?.id()?),
            _ => {}
        }
    }
    for external in part.all("externalReferences") {
        if let (Some(id), Some(context)) = (external.find("id"), external.find("idContext")) {
            found.booking(&issuer(context.text()?), id.id()?);
        }
    }
    for block in part.all("reservationBlock.blockIdList") {
        found.add(stay::GROUP, &stay::issuer(&settings.issuer), block.needs("id")?.id()?);
    }
    Ok(found.found())
}
