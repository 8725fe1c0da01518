//! Business events: what changed of a reservation, element by element.
//!
//! | name of the event holds | status |
//! |---|---|
//! | NEW, REINSTATE | confirmed |
//! | CANCEL | cancelled (but for its reversal) |
//! | CHECK IN, CHECK OUT, NO SHOW | that (their REVERSE: confirmed, checked in, confirmed) |
//! | anything else | the element RESERVATION STATUS, if it is there |
//!
//! An element's `newValue` counts; `""` or none where there is an `oldValue` means that it was deleted. Which elements come depends on the
//! event and OPERA's version: the setting `elements` adds names to those of [`ELEMENTS`].

use concord_plugin::json::messages;
use concord_plugin::json::{At, same_word};
use concord_plugin::{Action, Change, Day, Line, LineOf, Rejection, Revision, Status, stay};

use crate::{Settings, reservation};

/// What an element may tell.
pub const FIELDS: [&str; 8] =
    ["arrival", "departure", "room_type", "room", "status", "adults", "children", "confirmation"];

/// Names of elements, and what they tell. Upper and lower case, blanks, hyphens and underscores make no difference.
pub const ELEMENTS: [(&str, &str); 24] = [
    ("ARRIVAL DATE", "arrival"),
    ("ARRIVAL", "arrival"),
    ("BEGIN DATE", "arrival"),
    ("TRUNC BEGIN DATE", "arrival"),
    ("DEPARTURE DATE", "departure"),
    ("DEPARTURE", "departure"),
    ("END DATE", "departure"),
    ("TRUNC END DATE", "departure"),
    ("ROOM TYPE", "room_type"),
    ("ROOM TYPE CODE", "room_type"),
    ("ROOM CATEGORY", "room_type"),
    ("ROOM", "room"),
    ("ROOM NO", "room"),
    ("ROOM NUMBER", "room"),
    ("ROOM ID", "room"),
    ("RESERVATION STATUS", "status"),
    ("RESV STATUS", "status"),
    ("ADULTS", "adults"),
    ("NUMBER OF ADULTS", "adults"),
    ("CHILDREN", "children"),
    ("NUMBER OF CHILDREN", "children"),
    ("CONFIRMATION NO", "confirmation"),
    ("CONFIRMATION NUMBER", "confirmation"),
    ("CONFIRMATION ID", "confirmation"),
];

/// The event that the Streaming API put into this document, in one of its envelopes.
pub fn streamed(root: At<'_>) -> Option<At<'_>> {
    let envelopes = ["payload.data.newEvent", "data.newEvent", "newEvent"];
    let bare = root.find("primaryKey").and(root.find("moduleName")).map(|_| root);
    envelopes.iter().find_map(|path| root.find(path)).or(bare)
}

/// An event: what is said of it, and its elements.
#[derive(Clone, Debug)]
pub struct Told<'j> {
    /// Hotel, module, name and key.
    pub head: At<'j>,
    elements: Vec<At<'j>>,
}

/// The event of a part: streamed, or polled.
pub fn of(part: At<'_>) -> Option<Told<'_>> {
    if let Some(event) = streamed(part) {
        return Some(Told { head: event, elements: event.all("detail") });
    }
    let polled = part.find("businessEvent").unwrap_or(part);
    Some(Told { head: polled.find("header")?, elements: polled.all("details") })
}

/// The arrival, where the event tells it.
pub fn arrival(event: &Told<'_>, settings: &Settings) -> Option<Day> {
    element(&event.elements, "arrival", settings)?.find("newValue").and_then(|at| at.local_day().ok())
}

/// The element that tells a field.
fn element<'j>(details: &[At<'j>], field: &str, settings: &Settings) -> Option<At<'j>> {
    let own = settings.elements.iter().map(|(name, field)| (&**name, &**field));
    let names: Vec<&str> = own.chain(ELEMENTS).filter(|(_, known)| *known == field).map(|(name, _)| name).collect();
    let is = |detail: &&At<'j>| {
        let name =
            ["elementName", "dataElement"].iter().find_map(|key| detail.find(key)).and_then(|name| name.text().ok());
        name.is_some_and(|name| names.iter().any(|known| same_word(known, name)))
    };
    details.iter().find(is).copied()
}

/// What an event says.
pub fn changes(told: &Told<'_>, settings: &Settings) -> Result<Vec<Change>, Rejection> {
    let Told { head: event, elements: details } = told;
    let module = event.needs("moduleName")?;
    if !module.text()?.eq_ignore_ascii_case("reservation") {
        return Err(module.is_not("RESERVATION: events of other modules say nothing about bookings"));
    }
    let key = event.needs("primaryKey")?.id()?;
    let new = |field: &str| element(details, field, settings).and_then(|detail| detail.find("newValue"));
    let day = |field: &str| new(field).map(At::local_day).transpose();
    let (arrival, departure) = (day("arrival")?, day("departure")?);
    if let (Some(arrival), Some(departure)) = (arrival, departure) {
        stay::nights(arrival, departure).map_err(|why| event.reject(why))?;
    }
    let room = element(details, "room", settings).map(|detail| match detail.find("newValue") {
        Some(room) => room.id().map(str::to_owned),
        None => Ok(String::new()),
    });
    let guests = match (new("adults"), new("children")) {
        (Some(adults), Some(children)) => messages::persons([adults, children])?,
        _ => None,
    };
    let mut references = stay::References::new();
    if let Some(confirmation) = new("confirmation") {
        references.booking(&settings.issuer, confirmation.id()?);
    }
    let line = Line {
        status: status(*event, new("status"))?,
        arrival,
        departure,
        room_type: new("room_type").map(At::id).transpose()?.map(str::to_owned),
        room: room.transpose()?,
        guests,
        references: references.found(),
        ..stay::line("1")
    };
    if line == stay::line("1") {
        return Err(
            event.reject(format_args!("tells neither room, nights nor status: fetch reservation {key} and send that"))
        );
    }
    let revision = event.find("metadata.offset").map(At::whole).transpose()?;
    let revision = revision.map(u64::try_from).transpose().map_err(|_| event.reject("metadata.offset is negative"))?;
    let action = Action::LineSet(LineOf { reservation: key.to_owned(), line });
    Ok(vec![Change { revision: revision.map(|offset| Revision::Sequence(vec![offset])), action }])
}

fn status(event: At<'_>, told: Option<At<'_>>) -> Result<Option<Status>, Rejection> {
    let name = event.find("eventName").or_else(|| event.find("actionType"));
    let name = name.map(At::text).transpose()?.unwrap_or("").to_ascii_uppercase();
    let has = |words: &[&str]| words.iter().any(|word| name.contains(word));
    let reversed = has(&["REVERSE", "UNDO", "ROLLBACK"]);
    Ok(match () {
        () if has(&["CANCEL"]) => Some(if reversed { Status::Confirmed } else { Status::Cancelled }),
        () if has(&["REINSTATE"]) => Some(Status::Confirmed),
        () if has(&["CHECK IN", "CHECKIN", "CHECKED IN"]) && !has(&["PRE CHECK"]) => {
            Some(if reversed { Status::Confirmed } else { Status::CheckedIn })
        }
        () if has(&["CHECK OUT", "CHECKOUT", "CHECKED OUT"]) => {
            Some(if reversed { Status::CheckedIn } else { Status::CheckedOut })
        }
        () if has(&["NO SHOW", "NOSHOW"]) => Some(if reversed { Status::Confirmed } else { Status::NoShow }),
        () if told.is_some() => told.map(reservation::status).transpose()?,
        () if has(&["NEW"]) => Some(Status::Confirmed),
        () => None,
    })
}
