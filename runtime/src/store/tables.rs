//! How each row type becomes bytes of its table.
//!
//! Knows columns and their order in an insert. Does not send anything.

use crate::audit::{Hash, StoredClaim, StoredConflict};
use crate::log::Partition;
use crate::rows::{
    ConflictRow, DeadLetterRow, FreshnessRow, PropertyRow, ReservationRow, RoomNightRow, RuleChangeRow, StateRow,
    stored_log_time,
};
use crate::store::rowbinary::{Cursor, array, i32, i64, nullable, string, u8, u32, u64};
use crate::store::schema::{FieldColumn, currency_column, quoted};
use crate::types::{FieldType, Money, Value};

pub(crate) const ROOM_NIGHTS: &str = "property, date, room_type, capacity, booked, held, available, sources, rule_set, \
     version, log_time";
pub(crate) const RESERVATIONS: &str = "property, date, room_type, stay, outcome, status, arrival, departure, room, lines, \
     references, amount, currency, guests, source, rule_id, version, is_deleted, log_time";
pub(crate) const CONFLICTS: &str = "property, date, room_type, stay, kind, decision, field, claims, winner_source, \
     winner_value, rule_id, rule_set, reason, cause, plugin, partition, offset, seq, log_time, prev_hash, hash";
pub(crate) const DEAD_LETTERS: &str = "source, id, kind, reason, payload, plugin, partition, offset, seq, log_time";
pub(crate) const RULE_CHANGES: &str = "sequence, name, version, hash, text, diff, author, reason, log_time";
pub(crate) const PROPERTIES: &str = "property, name, region, class, time_zone, version";
/// Nobody judges freshness yet: the other columns keep their defaults.
pub(crate) const FRESHNESS: &str = "source, property, last_heartbeat, state, version";
pub(crate) const STATE: &str = "partition, property, key, value, version";

/// The columns of a room night, the declared fields' after the fixed ones.
pub(crate) fn room_night_columns(fields: &[FieldColumn]) -> String {
    let mut columns = ROOM_NIGHTS.to_owned();
    for field in fields {
        columns.push_str(", ");
        columns.push_str(&quoted(&field.name));
        if field.kind == FieldType::Money {
            columns.push_str(", ");
            columns.push_str(&quoted(&currency_column(&field.name)));
        }
    }
    columns
}

/// Fails on a value that has no column of its type.
pub(crate) fn room_night(out: &mut Vec<u8>, row: &RoomNightRow, fields: &[FieldColumn]) -> Result<(), String> {
    string(out, row.property.as_bytes());
    i32(out, row.date.0);
    string(out, row.room_type.as_bytes());
    nullable(out, row.capacity, i32);
    nullable(out, Some(row.booked), i32);
    nullable(out, Some(row.held), i32);
    nullable(out, row.available, i32);
    array(out, &row.sources, |out, (field, source)| {
        string(out, field.as_bytes());
        string(out, source.as_bytes());
    });
    string(out, row.rule_set.as_bytes());
    u64(out, row.version);
    i64(out, stored_log_time(row.log_time));
    let mut values = row.fields.iter().peekable();
    for field in fields {
        let value = values.next_if(|(name, _)| **name == *field.name).map(|(_, value)| value);
        field_value(out, field, value)?;
    }
    match values.next() {
        None => Ok(()),
        Some((name, _)) => {
            Err(format!("room_nights has no column for the field {name}, or the fields are not in order"))
        }
    }
}

fn field_value(out: &mut Vec<u8>, field: &FieldColumn, value: Option<&Value>) -> Result<(), String> {
    match (field.kind, value) {
        (FieldType::Money, None) => out.extend_from_slice(&[1, 1]),
        (_, None) => out.push(1),
        (FieldType::Integer, Some(Value::Integer(number))) => nullable(out, Some(*number), i64),
        (FieldType::Decimal, Some(Value::Decimal(amount))) => nullable(out, Some(amount.0), i64),
        (FieldType::Money, Some(Value::Money(Money { amount, currency }))) => {
            nullable(out, Some(amount.0), i64);
            nullable(out, Some(currency.as_str()), string);
        }
        (FieldType::Text, Some(Value::Text(text))) => nullable(out, Some(text.as_bytes()), string),
        (FieldType::Boolean, Some(Value::Boolean(flag))) => nullable(out, Some(u8::from(*flag)), u8),
        (kind, Some(value)) => return Err(format!("the field {} is {kind:?}, its value is {value}", field.name)),
    }
    Ok(())
}

pub(crate) fn reservation(out: &mut Vec<u8>, row: &ReservationRow) {
    string(out, row.property.as_bytes());
    i32(out, row.date.0);
    string(out, row.room_type.as_bytes());
    string(out, row.stay.as_bytes());
    string(out, row.outcome.as_str());
    string(out, row.status.as_str());
    i32(out, row.arrival.0);
    i32(out, row.departure.0);
    string(out, row.room.as_bytes());
    array(out, &row.lines, |out, line| string(out, line.as_bytes()));
    array(out, &row.references, |out, reference| string(out, reference.as_bytes()));
    nullable(out, row.amount.map(|amount| amount.0), i64);
    nullable(out, row.currency.as_ref().map(|currency| currency.as_str()), string);
    nullable(out, row.guests, u32);
    string(out, row.source.as_bytes());
    string(out, row.rule_id.as_bytes());
    u64(out, row.version);
    u8(out, u8::from(row.is_deleted));
    i64(out, stored_log_time(row.log_time));
}

pub(crate) fn conflict(out: &mut Vec<u8>, row: &ConflictRow, prev_hash: &Hash, hash: &Hash) {
    string(out, row.property.as_bytes());
    i32(out, row.date.0);
    string(out, row.room_type.as_bytes());
    string(out, row.stay.as_bytes());
    string(out, row.kind.as_str());
    string(out, row.decision.as_str());
    string(out, row.field.as_bytes());
    array(out, &row.claims, |out, claim| {
        string(out, claim.source.as_bytes());
        string(out, &claim.value);
        string(out, &claim.revision);
        u64(out, claim.offset);
    });
    string(out, row.winner_source.as_bytes());
    string(out, &row.winner_value);
    string(out, row.rule_id.as_bytes());
    string(out, row.rule_set.as_bytes());
    string(out, row.reason.as_bytes());
    string(out, row.cause.as_str());
    string(out, row.plugin.as_bytes());
    u32(out, row.partition);
    u64(out, row.offset);
    u32(out, row.seq);
    i64(out, stored_log_time(row.log_time));
    out.extend_from_slice(prev_hash);
    out.extend_from_slice(hash);
}

/// Reads the columns of [`CONFLICTS`].
pub(crate) fn read_conflict(row: &mut Cursor<'_>) -> Option<StoredConflict> {
    Some(StoredConflict {
        property: row.string()?,
        date: row.i32()?,
        room_type: row.string()?,
        stay: row.string()?,
        kind: row.string()?,
        decision: row.string()?,
        field: row.string()?,
        claims: read_claims(row)?,
        winner_source: row.string()?,
        winner_value: row.string()?,
        rule_id: row.string()?,
        rule_set: row.string()?,
        reason: row.string()?,
        cause: row.string()?,
        plugin: row.string()?,
        partition: row.u32()?,
        offset: row.u64()?,
        seq: row.u32()?,
        log_time: row.i64()?,
        prev_hash: row.fixed()?,
        hash: row.fixed()?,
    })
}

fn read_claims(row: &mut Cursor<'_>) -> Option<Vec<StoredClaim>> {
    let count = row.varint()?;
    let mut claims = Vec::with_capacity(count.min(64));
    for _ in 0..count {
        claims.push(StoredClaim {
            source: row.string()?,
            value: row.string()?,
            revision: row.string()?,
            offset: row.u64()?,
        });
    }
    Some(claims)
}

pub(crate) fn dead_letter(out: &mut Vec<u8>, row: &DeadLetterRow) {
    string(out, row.source.as_bytes());
    string(out, &row.id);
    string(out, row.kind.as_str());
    string(out, &row.reason);
    string(out, &row.payload);
    string(out, row.plugin.as_bytes());
    u32(out, row.partition);
    u64(out, row.offset);
    u32(out, row.seq);
    i64(out, stored_log_time(row.log_time));
}

pub(crate) fn rule_change(out: &mut Vec<u8>, row: &RuleChangeRow) {
    u64(out, row.sequence);
    for text in [&row.name, &row.version, &row.hash, &row.text, &row.diff, &row.author, &row.reason] {
        string(out, text);
    }
    i64(out, stored_log_time(row.log_time));
}

pub(crate) fn property(out: &mut Vec<u8>, row: &PropertyRow) {
    for text in [&row.property, &row.name, &row.region, &row.class, &row.time_zone] {
        string(out, text);
    }
    u64(out, row.version);
}

pub(crate) fn freshness(out: &mut Vec<u8>, row: &FreshnessRow) {
    string(out, row.source.as_bytes());
    string(out, row.property.as_bytes());
    nullable(out, Some(stored_log_time(row.last_heartbeat)), i64);
    string(out, "unknown");
    u64(out, row.version);
}

pub(crate) fn state(out: &mut Vec<u8>, partition: Partition, row: &StateRow, version: u64) {
    u32(out, partition);
    string(out, row.property.as_bytes());
    string(out, &row.key);
    string(out, &row.value);
    u64(out, version);
}

/// About how many bytes [`state`] appends.
pub(crate) fn state_size(row: &StateRow) -> usize {
    row.property.len() + row.key.len() + row.value.len() + 24
}
