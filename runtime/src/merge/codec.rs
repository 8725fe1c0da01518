//! Entities as bytes for the `state` table, and back.
//!
//! A key is a letter and a name; a value is a version byte and the entity in postcard encoding.
//! Both are the same on every machine. Does not know when anything is written.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::floors::ScopeFloor;
use super::state::{Delivery, EntityKey, Line, Property, Reservation, RoomNight, SourceInfo, Stay, reservation_of};
use crate::rows::StateRow;
use crate::types::Day;

/// The format written; every version ever written stays readable.
const VERSION: u8 = 1;

/// A state row that this version cannot read.
#[derive(Debug, thiserror::Error)]
#[error("state of property {property}, entity {key}: {what}")]
pub struct CodecError {
    pub property: String,
    pub key: String,
    pub what: String,
}

/// A reservation is kept with its lines.
#[derive(Deserialize)]
struct ReservationEntity {
    reservation: Reservation,
    lines: Vec<Line>,
}

/// The same, to be written.
#[derive(Serialize)]
struct ReservationView<'p> {
    reservation: &'p Reservation,
    lines: Vec<&'p Line>,
}

/// Lines are kept by their ids.
fn reservation_view<'p>(property: &'p Property, id: &Arc<str>) -> Option<ReservationView<'p>> {
    let reservation = property.reservations.get(id)?;
    let lines = reservation.lines.iter().filter_map(|l| property.line(l)).collect();
    Some(ReservationView { reservation, lines })
}

/// The rows of all entities that differ from the table, in the order of their keys; nothing is dirty then.
pub fn drain(property: &mut Property) -> Result<Vec<StateRow>, CodecError> {
    let mut keys: Vec<EntityKey> = std::mem::take(&mut property.dirty).into_iter().collect();
    keys.sort();
    keys.iter()
        .map(|key| {
            let value = encode(property, key).map_err(|e| error(property, &text(key), e.to_string()))?;
            Ok(StateRow { property: property.name.clone(), key: key_bytes(key), value })
        })
        .collect()
}

/// Builds a property from its rows.
pub fn load(name: Arc<str>, rows: &[(Vec<u8>, Vec<u8>)]) -> Result<Property, CodecError> {
    let mut property = Property::new(name);
    for (key, value) in rows {
        if !value.is_empty() {
            decode(&mut property, key, value).map_err(|what| error(&property, &String::from_utf8_lossy(key), what))?;
        }
    }
    property.reindex();
    Ok(property)
}

fn error(property: &Property, key: &str, what: String) -> CodecError {
    CodecError { property: property.name.to_string(), key: key.to_owned(), what }
}

/// A versioned value; empty when the entity is gone.
pub fn versioned<T: Serialize>(value: &T) -> Result<Vec<u8>, postcard::Error> {
    postcard::to_extend(value, vec![VERSION])
}

/// Reads a versioned value.
pub fn read<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, String> {
    match bytes.split_first() {
        Some((&VERSION, rest)) => postcard::from_bytes(rest).map_err(|e| format!("damaged ({e})")),
        Some((other, _)) => Err(format!("written in format {other}, this version reads up to {VERSION}: upgrade")),
        None => Err("empty".to_owned()),
    }
}

fn encode(property: &Property, key: &EntityKey) -> Result<Vec<u8>, postcard::Error> {
    fn some<T: Serialize>(value: Option<&T>) -> Result<Vec<u8>, postcard::Error> {
        value.map_or(Ok(Vec::new()), versioned)
    }
    match key {
        EntityKey::Deliveries(chunk) => some(property.deliveries.get(chunk)),
        EntityKey::Floors(key) => some(property.floors.get(key).filter(|floors| !floors.is_empty())),
        EntityKey::RoomNight(night) => some(property.nights.get(night)),
        EntityKey::Source(source) => some(property.sources.get(source)),
        EntityKey::Reservation(id) => some(reservation_view(property, id).as_ref()),
        EntityKey::Stay(id) => some(property.stay(id)),
    }
}

/// The key's letter, then its name; numbers big-endian so that the order of bytes is theirs.
pub fn key_bytes(key: &EntityKey) -> Vec<u8> {
    match key {
        EntityKey::Deliveries(chunk) => [b"d", chunk.to_be_bytes().as_slice()].concat(),
        EntityKey::Floors((source, bucket)) => numbered(b"f", source, *bucket),
        EntityKey::RoomNight((room_type, day)) => numbered(b"n", room_type, day.0),
        EntityKey::Source(source) => [b"o", source.as_bytes()].concat(),
        EntityKey::Reservation(id) => [b"r", id.as_bytes()].concat(),
        EntityKey::Stay(id) => [b"s", id.as_bytes()].concat(),
    }
}

fn numbered(kind: &[u8], name: &str, number: i32) -> Vec<u8> {
    let number = (i64::from(number) - i64::from(i32::MIN)).to_be_bytes();
    [kind, name.as_bytes(), b"\0", number.as_slice()].concat()
}

fn text(key: &EntityKey) -> String {
    String::from_utf8_lossy(&key_bytes(key)).into_owned()
}

/// Name and number of such a key.
fn name_and_number(bytes: &[u8]) -> Option<(Arc<str>, i32)> {
    let (name, number) = bytes.split_last_chunk::<8>()?;
    let name = std::str::from_utf8(name.strip_suffix(b"\0")?).ok()?;
    let number = i64::from_be_bytes(*number).checked_add(i64::from(i32::MIN))?;
    Some((super::names::intern(name), i32::try_from(number).ok()?))
}

fn decode(property: &mut Property, key: &[u8], value: &[u8]) -> Result<(), String> {
    let bad_key = || "unknown key".to_owned();
    let (kind, name) = key.split_first().ok_or_else(bad_key)?;
    let utf8 = || std::str::from_utf8(name).map_err(|_| bad_key());
    match kind {
        b'd' => {
            let chunk = u64::from_be_bytes(name.try_into().map_err(|_| bad_key())?);
            property.deliveries.insert(chunk, read::<Vec<Delivery>>(value)?);
        }
        b'f' => {
            let key = name_and_number(name).ok_or_else(bad_key)?;
            property.floors.insert(key, read::<Vec<ScopeFloor>>(value)?);
        }
        b'n' => {
            let (room_type, day) = name_and_number(name).ok_or_else(bad_key)?;
            property.nights.insert((room_type, Day(day)), read::<RoomNight>(value)?);
        }
        b'o' => {
            property.sources.insert(super::names::intern(utf8()?), read::<SourceInfo>(value)?);
        }
        b'r' => {
            let entity: ReservationEntity = read(value)?;
            let id: Arc<str> = utf8()?.into();
            debug_assert!(entity.lines.iter().all(|l| reservation_of(&l.id) == id));
            property.reservations.insert(id, entity.reservation);
            property.lines.extend(entity.lines.into_iter().map(|l| (l.id.clone(), Box::new(l))));
        }
        b's' => {
            let stay: Box<Stay> = read(value)?;
            property.stays.insert(stay.id.clone(), stay);
        }
        _ => return Err(bad_key()),
    }
    Ok(())
}
