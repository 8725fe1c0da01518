//! Entities as bytes for the `state` table, and back.
//!
//! A key is a letter and a name; a value is a version byte and the entity in postcard encoding.
//! Both are the same on every machine. Does not know when anything is written.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::floors::ScopeFloor;
use super::state::{Delivery, EntityKey, Line, Property, Reservation, SourceInfo, Stay, reservation_of};
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

/// The rows of all entities that differ from the table, in the order of their keys; nothing is dirty then, and every
/// room night is packed.
pub fn drain(property: &mut Property) -> Result<Vec<StateRow>, CodecError> {
    let mut keys: Vec<EntityKey> = std::mem::take(&mut property.dirty).into_iter().collect();
    keys.sort_unstable();
    let mut rows = Vec::with_capacity(keys.len());
    let mut scratch = Vec::new();
    for key in &keys {
        let value = encode(property, key, &mut scratch).map_err(|e| error(property, &text(key), e.to_string()))?;
        rows.push(StateRow { property: property.name.clone(), key: key_bytes(key), value });
    }
    // Those that were only looked at.
    let packed = property.nights.pack_all(&mut scratch);
    packed.map_err(|e| error(property, "n", e.to_string()))?;
    Ok(rows)
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

/// Writes a versioned value over what is in `buffer`.
pub(super) fn write<T: Serialize>(value: &T, buffer: &mut Vec<u8>) -> Result<(), postcard::Error> {
    buffer.clear();
    buffer.push(VERSION);
    *buffer = postcard::to_extend(value, std::mem::take(buffer))?;
    Ok(())
}

/// Reads a versioned value.
pub fn read<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, String> {
    match bytes.split_first() {
        Some((&VERSION, rest)) => postcard::from_bytes(rest).map_err(|e| format!("damaged ({e})")),
        Some((other, _)) => Err(format!("written in format {other}, this version reads up to {VERSION}: upgrade")),
        None => Err("empty".to_owned()),
    }
}

/// The value of an entity, of exactly its length; empty when it is gone.
fn encode(property: &mut Property, key: &EntityKey, scratch: &mut Vec<u8>) -> Result<Vec<u8>, postcard::Error> {
    fn some<T: Serialize>(value: Option<&T>, scratch: &mut Vec<u8>) -> Result<Vec<u8>, postcard::Error> {
        let Some(value) = value else { return Ok(Vec::new()) };
        write(value, scratch)?;
        Ok(scratch.as_slice().to_vec())
    }
    match key {
        EntityKey::Deliveries(chunk) => some(property.deliveries.get(chunk), scratch),
        EntityKey::Floors(key) => some(property.floors.get(key).filter(|floors| !floors.is_empty()), scratch),
        EntityKey::RoomNight(night) => Ok(property.nights.pack(night, scratch)?.map_or_else(Vec::new, <[u8]>::to_vec)),
        EntityKey::Source(source) => some(property.sources.get(source), scratch),
        EntityKey::Reservation(id) => some(reservation_view(property, id).as_ref(), scratch),
        EntityKey::Stay(id) => some(property.stay(id), scratch),
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
            property.nights.load(&(room_type, Day(day)), value)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merge::state::Night;

    #[test]
    fn what_was_only_looked_at_is_packed_and_not_written() {
        let (changed, seen): (Night, Night) = (("DBL".into(), Day(1)), ("DBL".into(), Day(2)));
        let mut property = Property::new("H1".into());
        for night in [&changed, &seen] {
            property.nights.entry(night).claimed = true;
            property.dirty.insert(EntityKey::RoomNight(night.clone()));
        }
        let rows = drain(&mut property).unwrap();
        let rows: Vec<(Vec<u8>, Vec<u8>)> = rows.into_iter().map(|row| (row.key, row.value)).collect();
        let mut property = load("H1".into(), &rows).unwrap();
        assert_eq!((rows.len(), property.unsettled()), (2, 0));

        property.nights.open(&seen);
        assert_eq!(property.unsettled(), 1, "the next commit has to pack it");
        assert!(drain(&mut property).unwrap().is_empty());
        property.nights.entry(&changed).excess = Some(7);
        property.nights.open(&seen);
        property.dirty.insert(EntityKey::RoomNight(changed.clone()));
        let again = drain(&mut property).unwrap();
        assert_eq!(again.iter().map(|row| &row.key).collect::<Vec<_>>(), [&rows[0].0]);
        assert_ne!(again[0].value, rows[0].1);
        assert_eq!(property.unsettled(), 0);
    }

    #[test]
    fn a_row_that_cannot_be_read_is_named() {
        let key = key_bytes(&EntityKey::RoomNight(("DBL".into(), Day(1))));
        let error = load("H1".into(), &[(key, vec![VERSION, 250])]).unwrap_err().to_string();
        assert!(error.contains("property H1") && error.contains("nDBL") && error.contains("damaged"), "{error}");
    }
}
