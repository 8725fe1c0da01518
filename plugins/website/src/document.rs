//! Where in a document the bookings stand, and what of it a record of the log carries on.
//!
//! Knows lists, JSON-LD's `@graph` and references by `@id`, and the batches of GA4 and Segment. Does not know what a booking says.

use concord_plugin::Rejection;
use concord_plugin::json::{At, Cleaner};

use crate::{lodging, order};

/// Other nodes that a LodgingReservation may refer to by their `@id`.
const REFERRING: [&str; 5] = ["reservationFor", "lodgingUnitType", "totalPrice", "broker", "bookingAgent"];

/// A booking and the places that tell it.
#[derive(Clone, Debug)]
pub enum Booking<'j> {
    /// LodgingReservations of one number, in the order of the document; never empty.
    Lodging(Vec<At<'j>>),
    /// A purchase, a refund, an order.
    Order(At<'j>),
}

impl<'j> Booking<'j> {
    /// Its first place.
    pub fn at(&self) -> At<'j> {
        match self {
            Booking::Lodging(rooms) => rooms[0],
            Booking::Order(part) => *part,
        }
    }
}

/// The document's bookings.
///
/// # Errors
/// When it holds none.
pub fn bookings(root: At<'_>) -> Result<Vec<Booking<'_>>, Rejection> {
    let mut found: Vec<Booking<'_>> = Vec::new();
    let mut numbers: std::collections::HashMap<&str, usize> = std::collections::HashMap::new();
    for at in nodes(root) {
        if order::is(at) {
            found.push(Booking::Order(at));
        } else if lodging::is(at) {
            let known = lodging::number(at).ok().map(|number| *numbers.entry(number).or_insert(found.len()));
            match known.and_then(|place| found.get_mut(place)) {
                Some(Booking::Lodging(rooms)) => rooms.push(at),
                _ => found.push(Booking::Lodging(vec![at])),
            }
        }
    }
    match found.is_empty() {
        true => {
            Err(root
                .reject("holds no booking: neither a LodgingReservation nor a purchase (GA4) nor an order (Segment)"))
        }
        false => Ok(found),
    }
}

/// What may be a booking, or a thing that one refers to.
fn nodes(root: At<'_>) -> Vec<At<'_>> {
    let outer = match root.list() {
        Ok(elements) => elements.collect(),
        Err(_) => vec![root],
    };
    let mut nodes = Vec::new();
    for at in outer {
        let inner = ["@graph", "events", "batch"].into_iter().find(|list| at.find(list).is_some());
        match inner {
            Some(list) if !lodging::is(at) => nodes.extend(at.all(list)),
            _ => nodes.push(at),
        }
    }
    nodes
}

/// The thing that stands under a key: itself, the first of several, or the node that an `@id` refers to.
pub fn thing<'j>(root: At<'j>, at: At<'j>, key: &str) -> Option<At<'j>> {
    let found = at.all(key).into_iter().next()?;
    let Some(id) = reference(found) else { return Some(found) };
    let is = |node: &At<'j>| reference(*node).is_none() && node.find("@id").and_then(|at| at.text().ok()) == Some(id);
    nodes(root).into_iter().find(is).or(Some(found))
}

/// The `@id` of an object that has nothing else.
fn reference(at: At<'_>) -> Option<&str> {
    let mut entries = at.object().ok()?.entries();
    match (entries.next(), entries.next()) {
        (Some(("@id", id)), None) => id.text().ok(),
        _ => None,
    }
}

/// A booking as a record of the log carries it, with what it refers to, cleaned.
pub fn written(root: At<'_>, booking: &Booking<'_>, cleaner: &Cleaner<'_>) -> String {
    let list = |nodes: &[At<'_>]| nodes.iter().map(|at| cleaner.written(*at)).collect::<Vec<_>>().join(",");
    match booking {
        Booking::Lodging(rooms) => {
            let mut nodes = rooms.clone();
            for (room, key) in rooms.iter().flat_map(|room| REFERRING.map(|key| (*room, key))) {
                let referred = room.all(key).first().copied().filter(|at| reference(*at).is_some());
                let thing = referred.and_then(|_| thing(root, room, key)).filter(|at| reference(*at).is_none());
                nodes.extend(thing.filter(|thing| !nodes.iter().any(|node| node.is(*thing))));
            }
            format!("{{\"@graph\":[{}]}}", list(&nodes))
        }
        // The batch's time is that of its events.
        Booking::Order(part) => match root.find("timestamp_micros").filter(|_| !part.is(root)) {
            Some(micros) => format!("{{\"timestamp_micros\":{micros},\"events\":[{}]}}", cleaner.written(*part)),
            None => cleaner.written(*part),
        },
    }
}
