//! Reservations: told whole, or cancelled.
//!
//! Knows statuses and when a message is no booking at all. What a single room is, `room_stay` knows.

use concord_plugin::xml::{At, Text};
use concord_plugin::{Action, Change, Line, Rejection, ReservationReplacement, Revision, Status, stay};

use crate::settings::Settings;
use crate::{identity, room_stay};

/// ResStatus in all dialects; RoomStayStatus and RoomStatus of single rooms have the same words.
const STATUSES: [(&str, Status); 23] = [
    ("Reserved", Status::Confirmed),
    ("Commit", Status::Confirmed),
    ("Committed", Status::Confirmed),
    ("Book", Status::Confirmed),
    ("Booked", Status::Confirmed),
    ("Confirmed", Status::Confirmed),
    ("New", Status::Confirmed),
    ("Modify", Status::Confirmed),
    ("Modified", Status::Confirmed),
    ("Add", Status::Confirmed),
    ("Reinstated", Status::Confirmed),
    ("Initiate", Status::Tentative),
    ("Hold", Status::Tentative),
    ("Pending", Status::Tentative),
    ("Waitlisted", Status::Tentative),
    ("Cancel", Status::Cancelled),
    ("Cancelled", Status::Cancelled),
    ("Canceled", Status::Cancelled),
    ("No-show", Status::NoShow),
    ("In-house", Status::CheckedIn),
    ("Checked-In", Status::CheckedIn),
    ("Checked-Out", Status::CheckedOut),
    ("Departed", Status::CheckedOut),
];
/// Statuses of messages that are no booking.
const OFFERS: [&str; 3] = ["Requested", "Request", "Quote"];

/// A reservation as HotelReservation or HotelResModify tells it.
pub fn told(at: At<'_>, message: At<'_>, settings: &Settings) -> Result<Vec<Change>, Rejection> {
    let reservation = identity::reservation(at)?;
    let stays = at.all("RoomStays/RoomStay");
    let status = status(at, message)?;
    let revision = revision(at, settings)?;
    let lines = if status == Status::Cancelled {
        let ids = room_stay::line_ids(&stays)?;
        stays.iter().zip(ids).map(|(stay, id)| cancelled_line(*stay, id, at)).collect()
    } else {
        if at.first("RoomStays").is_none() {
            return Err(at.reject("no RoomStays and no cancellation: an acknowledgement is no booking"));
        }
        let references = identity::references(at, message, settings)?;
        let mut lines = Vec::new();
        for (stay, id) in stays.iter().zip(room_stay::line_ids(&stays)?) {
            let of_room = ["RoomStayStatus", "RoomStatus"].into_iter().find_map(|name| stay.attribute(name));
            let status = of_room.map(|text| text.one_of(&STATUSES)).transpose()?.unwrap_or(status);
            if status == Status::Cancelled {
                lines.push(cancelled_line(*stay, id, at));
                continue;
            }
            let common = Line { status: Some(status), references: references.clone(), ..stay::line(id) };
            lines.extend(room_stay::lines(*stay, common, (at, message), stays.len(), settings)?);
        }
        lines
    };
    Ok(changes(reservation, lines, revision))
}

/// A reservation that an OTA_CancelRQ cancels. One that only asks what a cancellation would cost, or takes it back, does not.
pub fn cancelled(message: At<'_>, _: At<'_>, settings: &Settings) -> Result<Vec<Change>, Rejection> {
    const MEANT: [(&str, ()); 2] = [("Cancel", ()), ("Commit", ())];
    message.attribute("CancelType").map(|text| text.one_of(&MEANT)).transpose()?;
    let simulated = message.attribute("SimulateCancelAndGetPenaltyAmount").map(Text::boolean).transpose()?;
    if simulated == Some(true) {
        return Err(message.reject("asks what a cancellation would cost and cancels nothing"));
    }
    let reservation = identity::reservation(message)?;
    Ok(changes(reservation, vec![], revision(message, settings)?))
}

/// A cancellation that names no room cancels all of them, also those of a booking that comes late.
fn changes(reservation: &str, lines: Vec<Line>, revision: Option<Revision>) -> Vec<Change> {
    let replacement = ReservationReplacement { reservation: reservation.to_owned(), lines };
    vec![Change { revision, action: Action::ReservationReplace(replacement) }]
}

/// The reservation's status, of its own or of the message; a cancellation in one of both is one.
fn status(at: At<'_>, message: At<'_>) -> Result<Status, Rejection> {
    let read = |at: At<'_>| at.attribute("ResStatus").map(of_word).transpose();
    let (own, common) = (read(at)?, read(message)?);
    if identity::is_cancellation(at) || own == Some(Status::Cancelled) || common == Some(Status::Cancelled) {
        return Ok(Status::Cancelled);
    }
    Ok(own.or(common).unwrap_or(Status::Confirmed))
}

fn of_word(text: Text<'_>) -> Result<Status, Rejection> {
    if OFFERS.iter().any(|word| word.eq_ignore_ascii_case(text.as_str())) {
        return Err(text.reject(format_args!("{:?} asks for an offer and is no booking", text.as_str())));
    }
    text.one_of(&STATUSES)
}

fn revision(at: At<'_>, settings: &Settings) -> Result<Option<Revision>, Rejection> {
    let modified = at.attribute("LastModifyDateTime").map(|text| text.instant(settings.offset)).transpose()?;
    Ok(modified.map(Revision::Instant))
}

/// A cancelled room, with whatever else can be read of it: a cancellation counts even where the rest is poor.
fn cancelled_line(stay: At<'_>, id: String, at: At<'_>) -> Line {
    let mut line = Line { status: Some(Status::Cancelled), ..stay::line(id) };
    if let (Ok(nights), Ok(room_type)) = (room_stay::nights(stay, at), room_stay::room_type(stay)) {
        line.arrival = Some(nights.first);
        line.departure = Some(nights.end);
        line.room_type = Some(room_type.to_owned());
    }
    line
}
