//! What the plugin `pgoutput` writes: transactions, tables and rows.
//!
//! Source: PostgreSQL's documentation, "Logical Replication Message Formats", protocol version 1, and "Streaming Replication
//! Protocol" for what stands around it. Pure: bytes in, values out. Does not know which tables matter.

use std::sync::Arc;

use bytes::{Buf, Bytes};

use super::connection::Column;

/// A position in the write-ahead log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Lsn(pub u64);

impl std::fmt::Display for Lsn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

impl Lsn {
    /// As the server writes it.
    pub fn parse(text: &str) -> Option<Lsn> {
        let (high, low) = text.split_once('/')?;
        let half = |text: &str| u32::from_str_radix(text, 16).ok();
        Some(Lsn((u64::from(half(high)?) << 32) | u64::from(half(low)?)))
    }
}

/// A piece of the replication stream.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Piece {
    /// A message of the plugin, and the position that it is about.
    Message { at: Lsn, message: Message },
    /// Everything up to here has been sent.
    Alive { end: Lsn, reply: bool },
}

/// A message of the plugin.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Message {
    /// `commit`: of this transaction. `millis`: since 1970-01-01T00:00:00Z.
    Begin {
        commit: Lsn,
        millis: i64,
        transaction: u32,
    },
    /// `end`: where the next one may begin.
    Commit {
        end: Lsn,
    },
    Relation(Relation),
    Insert {
        relation: u32,
        new: Vec<Datum>,
    },
    Update {
        relation: u32,
        old: Option<Old>,
        new: Vec<Datum>,
    },
    Delete {
        relation: u32,
        old: Old,
    },
    Truncate {
        relations: Vec<u32>,
    },
    /// Types, origins and messages: nothing about rows.
    Other,
}

/// A table as it was when its rows were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Relation {
    pub id: u32,
    pub schema: String,
    pub name: String,
    pub columns: Vec<Column>,
    /// Of each column, whether it is part of the identity.
    pub keys: Vec<bool>,
}

/// A row as it was before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Old {
    /// The other columns are NULL here, whatever they were.
    Key(Vec<Datum>),
    Whole(Vec<Datum>),
}

/// A column's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Datum {
    Null,
    /// As it was; too large to be told again.
    Unchanged,
    Text(String),
}

/// Why bytes could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unread(&'static str);

const SHORT: Unread = Unread("the message ends too soon");

/// Microseconds from 1970 to 2000, PostgreSQL's own beginning.
const EPOCH: i64 = 946_684_800_000_000;

/// Reads a piece of the stream.
pub(super) fn piece(mut bytes: Bytes) -> Result<Piece, Unread> {
    match byte(&mut bytes)? {
        b'w' => {
            let at = Lsn(long(&mut bytes)?);
            // The server's end and its clock.
            long(&mut bytes)?;
            long(&mut bytes)?;
            Ok(Piece::Message { at, message: message(&mut bytes)? })
        }
        b'k' => {
            let end = Lsn(long(&mut bytes)?);
            long(&mut bytes)?;
            Ok(Piece::Alive { end, reply: byte(&mut bytes)? != 0 })
        }
        _ => Err(Unread("an unknown piece of the stream")),
    }
}

fn message(bytes: &mut Bytes) -> Result<Message, Unread> {
    Ok(match byte(bytes)? {
        b'B' => {
            let commit = Lsn(long(bytes)?);
            let micros = long(bytes)?.cast_signed().saturating_add(EPOCH);
            Message::Begin { commit, millis: micros.div_euclid(1_000), transaction: int(bytes)? }
        }
        b'C' => {
            byte(bytes)?;
            long(bytes)?;
            Message::Commit { end: Lsn(long(bytes)?) }
        }
        b'R' => Message::Relation(relation(bytes)?),
        b'I' => {
            let relation = int(bytes)?;
            expect(bytes, b'N')?;
            Message::Insert { relation, new: tuple(bytes)? }
        }
        b'U' => {
            let relation = int(bytes)?;
            let old = match bytes.first() {
                Some(b'K' | b'O') => Some(old(bytes)?),
                _ => None,
            };
            expect(bytes, b'N')?;
            Message::Update { relation, old, new: tuple(bytes)? }
        }
        b'D' => Message::Delete { relation: int(bytes)?, old: old(bytes)? },
        b'T' => {
            let count = int(bytes)?;
            byte(bytes)?;
            Message::Truncate { relations: (0..count).map(|_| int(bytes)).collect::<Result<_, _>>()? }
        }
        b'O' | b'Y' | b'M' => Message::Other,
        _ => return Err(Unread("an unknown message of pgoutput")),
    })
}

fn relation(bytes: &mut Bytes) -> Result<Relation, Unread> {
    let (id, schema, name) = (int(bytes)?, text(bytes)?, text(bytes)?);
    byte(bytes)?;
    let (mut columns, mut keys) = (Vec::new(), Vec::new());
    for _ in 0..short(bytes)? {
        keys.push(byte(bytes)? & 1 != 0);
        columns.push(Column { name: Arc::from(text(bytes)?), kind: int(bytes)? });
        int(bytes)?;
    }
    // Empty for the catalogue's own.
    let schema = if schema.is_empty() { "pg_catalog".to_owned() } else { schema };
    Ok(Relation { id, schema, name, columns, keys })
}

fn old(bytes: &mut Bytes) -> Result<Old, Unread> {
    match byte(bytes)? {
        b'K' => Ok(Old::Key(tuple(bytes)?)),
        b'O' => Ok(Old::Whole(tuple(bytes)?)),
        _ => Err(Unread("neither a key nor a row as it was before")),
    }
}

fn tuple(bytes: &mut Bytes) -> Result<Vec<Datum>, Unread> {
    let count = short(bytes)?;
    let datum = |_| {
        Ok(match byte(bytes)? {
            b'n' => Datum::Null,
            b'u' => Datum::Unchanged,
            b't' => {
                let length = usize::try_from(int(bytes)?).map_err(|_| SHORT)?;
                if bytes.len() < length {
                    return Err(SHORT);
                }
                Datum::Text(String::from_utf8_lossy(&bytes.split_to(length)).into_owned())
            }
            _ => return Err(Unread("a value that is no text")),
        })
    };
    (0..count).map(datum).collect()
}

fn expect(bytes: &mut Bytes, wanted: u8) -> Result<(), Unread> {
    if byte(bytes)? == wanted { Ok(()) } else { Err(Unread("a row is missing")) }
}

fn byte(bytes: &mut Bytes) -> Result<u8, Unread> {
    bytes.try_get_u8().map_err(|_| SHORT)
}

fn short(bytes: &mut Bytes) -> Result<u16, Unread> {
    bytes.try_get_u16().map_err(|_| SHORT)
}

fn int(bytes: &mut Bytes) -> Result<u32, Unread> {
    bytes.try_get_u32().map_err(|_| SHORT)
}

fn long(bytes: &mut Bytes) -> Result<u64, Unread> {
    bytes.try_get_u64().map_err(|_| SHORT)
}

fn text(bytes: &mut Bytes) -> Result<String, Unread> {
    let end = bytes.iter().position(|byte| *byte == 0).ok_or(SHORT)?;
    let text = bytes.split_to(end);
    bytes.advance(1);
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// What a client says of itself: up to here everything is durable. `millis` is its clock, since 1970.
pub(super) fn status(confirmed: Lsn, millis: i64, reply: bool) -> [u8; 34] {
    let micros = millis.saturating_mul(1_000).saturating_sub(EPOCH);
    let mut bytes = [0; 34];
    bytes[0] = b'r';
    // Written, synced and applied are one and the same here.
    for place in [1, 9, 17] {
        bytes[place..place + 8].copy_from_slice(&confirmed.0.to_be_bytes());
    }
    bytes[25..33].copy_from_slice(&micros.to_be_bytes());
    bytes[33] = u8::from(reply);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update() -> Vec<u8> {
        let mut bytes = vec![b'w'];
        bytes.extend(0x16_u64.to_be_bytes());
        bytes.extend([0; 16]);
        bytes.extend(b"U\0\0\0\x07K\0\x02t\0\0\0\x01an");
        bytes.extend(b"N\0\x03t\0\0\0\x02abun");
        bytes
    }

    #[test]
    fn rows_that_are_told_in_part() {
        let expected = Message::Update {
            relation: 7,
            old: Some(Old::Key(vec![Datum::Text("a".into()), Datum::Null])),
            new: vec![Datum::Text("ab".into()), Datum::Unchanged, Datum::Null],
        };
        assert_eq!(piece(update().into()), Ok(Piece::Message { at: Lsn(0x16), message: expected }));
    }

    #[test]
    fn whatever_ends_too_soon_is_refused() {
        let whole = update();
        for length in 0..whole.len() {
            assert_eq!(piece(Bytes::copy_from_slice(&whole[..length])), Err(SHORT), "{length}");
        }
    }

    #[test]
    fn positions_as_the_server_writes_them() {
        assert_eq!(Lsn::parse("16/B374D848"), Some(Lsn(0x16_B374_D848)));
        assert_eq!(Lsn(0x16_B374_D848).to_string(), "16/B374D848");
        assert_eq!(Lsn::parse("16"), None);
        let told = status(Lsn(0x0102), EPOCH / 1_000 + 1, true);
        assert_eq!((told[0], &told[15..17], &told[25..]), (b'r', &[1, 2][..], &[0, 0, 0, 0, 0, 0, 3, 0xE8, 1][..]));
    }
}
