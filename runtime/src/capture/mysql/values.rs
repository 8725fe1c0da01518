//! Values of MySQL and MariaDB: of an answer's texts and of the binlog's rows, alike.
//!
//! Source: MySQL's internals manual (column types, optional metadata of table maps). A zero date is NULL: it names no day. Texts of
//! the binlog come in the column's own character set; UTF-8, ASCII and latin1 (Windows-1252, as the server has it) are read. Does not
//! know what columns mean.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mysql_async::Value as Raw;
use mysql_async::binlog::events::{OptionalMetadataField, TableMapEvent};
use mysql_async::binlog::row::BinlogRow;
use mysql_async::binlog::value::BinlogValue;
use mysql_async::consts::ColumnType;

use crate::capture::envelope::{Row, Value};

/// The collation of bytes that are no text.
const BINARY: u16 = 63;
/// Collations of latin1, also those that MariaDB added.
const LATIN1: [u16; 12] = [5, 8, 15, 31, 47, 48, 49, 94, 1032, 1071, 1029, 1072];

/// A table as its rows in the binlog have it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Shape {
    pub columns: Vec<Arc<str>>,
    /// The words of each ENUM, in the order of these columns.
    enums: Vec<Vec<String>>,
    sets: Vec<Vec<String>>,
}

impl Shape {
    /// Of a table map; no columns where the server does not name them.
    pub fn of(map: &TableMapEvent<'_>) -> std::io::Result<Shape> {
        let mut shape = Shape::default();
        for field in map.iter_optional_meta() {
            match field? {
                OptionalMetadataField::ColumnName(names) => {
                    let name = |name: std::io::Result<_>| name.map(|name| Arc::from(named(&name)));
                    shape.columns = names.iter_names().map(name).collect::<Result<_, _>>()?;
                }
                OptionalMetadataField::EnumStrValue(words) => {
                    for column in words.iter_values() {
                        shape.enums.push(column?.values().iter().map(|word| word.value().into_owned()).collect());
                    }
                }
                OptionalMetadataField::SetStrValue(words) => {
                    for column in words.iter_values() {
                        shape.sets.push(column?.values().iter().map(|word| word.value().into_owned()).collect());
                    }
                }
                _ => {}
            }
        }
        Ok(shape)
    }

    /// A row's values with the columns' names. Columns that the server left out are left out.
    pub fn row(&self, row: BinlogRow) -> Row {
        let columns = row.columns();
        let (mut enums, mut sets) = (self.enums.iter(), self.sets.iter());
        let mut values = Vec::with_capacity(columns.len());
        for (place, column) in columns.iter().enumerate() {
            let words = match column.column_type() {
                ColumnType::MYSQL_TYPE_ENUM => enums.next(),
                ColumnType::MYSQL_TYPE_SET => sets.next(),
                _ => None,
            };
            let value = row.as_ref(place).map_or(Value::Null, |value| {
                logged(column.column_type(), column.character_set(), words.map_or(&[], Vec::as_slice), value)
            });
            values.push((Arc::from(column.name_str().as_ref()), value));
        }
        values
    }
}

fn named(name: &mysql_async::binlog::events::ColumnName<'_>) -> String {
    name.name().into_owned()
}

/// A value of the binlog.
fn logged(kind: ColumnType, collation: u16, words: &[String], value: &BinlogValue<'_>) -> Value {
    let raw = match value {
        BinlogValue::Value(raw) => raw.clone(),
        // A change within a JSON document, or one that cannot be shown: as if it were not told.
        other => match Raw::try_from(other.clone().into_owned()) {
            Ok(raw) => raw,
            Err(_) => return Value::Unavailable,
        },
    };
    match (kind, raw) {
        (ColumnType::MYSQL_TYPE_ENUM, Raw::Int(place)) => {
            let word = usize::try_from(place - 1).ok().and_then(|place| words.get(place));
            Value::Text(word.cloned().unwrap_or_default())
        }
        (ColumnType::MYSQL_TYPE_SET, Raw::Bytes(bits)) => {
            let has = |place: usize| bits.get(place / 8).is_some_and(|byte| byte >> (place % 8) & 1 == 1);
            let chosen = words.iter().enumerate().filter(|(place, _)| has(*place)).map(|(_, word)| word.as_str());
            Value::Text(chosen.collect::<Vec<_>>().join(","))
        }
        (ColumnType::MYSQL_TYPE_TIMESTAMP | ColumnType::MYSQL_TYPE_TIMESTAMP2, Raw::Bytes(seconds)) => {
            instant(&String::from_utf8_lossy(&seconds))
        }
        (ColumnType::MYSQL_TYPE_TIMESTAMP, Raw::Int(seconds)) => instant(&seconds.to_string()),
        (ColumnType::MYSQL_TYPE_YEAR, Raw::Bytes(year)) => number(&String::from_utf8_lossy(&year)),
        (ColumnType::MYSQL_TYPE_JSON | ColumnType::MYSQL_TYPE_NEWDECIMAL, Raw::Bytes(text)) => {
            Value::Text(String::from_utf8_lossy(&text).into_owned())
        }
        (ColumnType::MYSQL_TYPE_BIT, Raw::Bytes(bits)) => bit(&bits),
        (ColumnType::MYSQL_TYPE_NEWDATE | ColumnType::MYSQL_TYPE_DATE, Raw::Date(year, month, day, ..)) => {
            match (month, day) {
                (0, _) | (_, 0) => Value::Null,
                _ => Value::Text(format!("{year:04}-{month:02}-{day:02}")),
            }
        }
        (_, Raw::Date(_, 0, ..) | Raw::Date(_, _, 0, ..)) => Value::Null,
        (_, Raw::Date(year, month, day, hour, minute, second, micros)) => {
            let text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}");
            Value::Text(short(&text))
        }
        (_, Raw::Time(negative, days, hours, minutes, seconds, micros)) => {
            let (sign, hours) = (if negative { "-" } else { "" }, days * 24 + u32::from(hours));
            Value::Text(short(&format!("{sign}{hours:02}:{minutes:02}:{seconds:02}.{micros:06}")))
        }
        (_, Raw::NULL) => Value::Null,
        (_, Raw::Int(value)) => Value::Integer(value),
        (_, Raw::UInt(value)) => Value::Unsigned(value),
        // By its shortest text, or 0.1 would become 0.10000000149011612.
        (_, Raw::Float(value)) => number(&value.to_string()),
        (_, Raw::Double(value)) => number(&value.to_string()),
        (_, Raw::Bytes(bytes)) => text(bytes, collation),
    }
}

/// A value of an answer, in the session's character set and zone: UTF-8 and UTC.
pub(super) fn answered(kind: ColumnType, collation: u16, value: &Raw) -> Value {
    let Raw::Bytes(bytes) = value else { return Value::Null };
    let plain = || String::from_utf8_lossy(bytes).into_owned();
    match kind {
        ColumnType::MYSQL_TYPE_TINY
        | ColumnType::MYSQL_TYPE_SHORT
        | ColumnType::MYSQL_TYPE_INT24
        | ColumnType::MYSQL_TYPE_LONG
        | ColumnType::MYSQL_TYPE_LONGLONG
        | ColumnType::MYSQL_TYPE_YEAR
        | ColumnType::MYSQL_TYPE_FLOAT
        | ColumnType::MYSQL_TYPE_DOUBLE => number(&plain()),
        ColumnType::MYSQL_TYPE_DATE
        | ColumnType::MYSQL_TYPE_NEWDATE
        | ColumnType::MYSQL_TYPE_DATETIME
        | ColumnType::MYSQL_TYPE_TIMESTAMP => {
            let text = plain();
            // Of year, month and day none may be missing.
            let named = text.get(5..10).is_some_and(|rest| !rest.starts_with("00") && !rest.ends_with("00"));
            let zone = if kind == ColumnType::MYSQL_TYPE_TIMESTAMP { "Z" } else { "" };
            if named { Value::Text(short(&text.replacen(' ', "T", 1)) + zone) } else { Value::Null }
        }
        ColumnType::MYSQL_TYPE_TIME => Value::Text(short(&plain())),
        ColumnType::MYSQL_TYPE_NEWDECIMAL | ColumnType::MYSQL_TYPE_DECIMAL | ColumnType::MYSQL_TYPE_JSON => {
            Value::Text(plain())
        }
        ColumnType::MYSQL_TYPE_BIT => bit(bytes),
        _ => text(bytes.clone(), collation),
    }
}

/// Without the zeros that end a fraction, so that the column's precision does not matter.
fn short(text: &str) -> String {
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    }
}

fn number(text: &str) -> Value {
    if let Ok(value) = text.parse() {
        return Value::Integer(value);
    }
    if let Ok(value) = text.parse() {
        return Value::Unsigned(value);
    }
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Value::Float(value),
        _ => Value::Text(text.to_owned()),
    }
}

/// BIT(1) is a boolean.
fn bit(bits: &[u8]) -> Value {
    match bits {
        [flag @ (0 | 1)] => Value::Boolean(*flag == 1),
        _ => Value::Text(STANDARD.encode(bits)),
    }
}

/// Of seconds since 1970, perhaps with a fraction; 0 is the zero date.
fn instant(seconds: &str) -> Value {
    let (whole, micros) = seconds.split_once('.').unwrap_or((seconds, "0"));
    let (Ok(whole), Ok(micros)) = (whole.parse::<i64>(), micros.parse::<u32>()) else { return Value::Null };
    match time::OffsetDateTime::from_unix_timestamp(whole) {
        Ok(_) if whole == 0 && micros == 0 => Value::Null,
        Ok(at) => {
            let (date, clock) = (at.date(), at.time());
            let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
            let (hour, minute, second) = clock.as_hms();
            let text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}");
            Value::Text(short(&text) + "Z")
        }
        Err(_) => Value::Null,
    }
}

fn text(bytes: Vec<u8>, collation: u16) -> Value {
    if collation == BINARY {
        return Value::Text(STANDARD.encode(bytes));
    }
    if LATIN1.contains(&collation) {
        return Value::Text(bytes.iter().map(|byte| windows_1252(*byte)).collect());
    }
    Value::Text(String::from_utf8(bytes).unwrap_or_else(|error| {
        // In another character set, of which `concord capture check` has warned.
        error.as_bytes().iter().map(|byte| windows_1252(*byte)).collect()
    }))
}

fn windows_1252(byte: u8) -> char {
    const HIGH: [char; 32] = [
        '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}', '‘',
        '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
    ];
    match byte {
        0x80..=0x9F => HIGH.get(usize::from(byte - 0x80)).copied().unwrap_or(char::REPLACEMENT_CHARACTER),
        _ => char::from(byte),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_and_the_binlog_say_the_same() {
        use ColumnType as T;
        let words = ["frei".to_owned(), "belegt".to_owned()];
        let text = |text: &str| Value::Text(text.to_owned());
        for (answer, given, log, raw, expected) in [
            (T::MYSQL_TYPE_LONG, "-5", T::MYSQL_TYPE_LONG, Raw::Int(-5), Value::Integer(-5)),
            (T::MYSQL_TYPE_YEAR, "2026", T::MYSQL_TYPE_YEAR, Raw::Bytes(b"2026".into()), Value::Integer(2026)),
            (T::MYSQL_TYPE_FLOAT, "0.1", T::MYSQL_TYPE_FLOAT, Raw::Float(0.1), Value::Float(0.1)),
            (
                T::MYSQL_TYPE_DATE,
                "2026-03-01",
                T::MYSQL_TYPE_NEWDATE,
                Raw::Date(2026, 3, 1, 0, 0, 0, 0),
                text("2026-03-01"),
            ),
            (T::MYSQL_TYPE_DATE, "0000-00-00", T::MYSQL_TYPE_NEWDATE, Raw::Date(0, 0, 0, 0, 0, 0, 0), Value::Null),
            (
                T::MYSQL_TYPE_DATETIME,
                "2026-03-01 07:05:00.500",
                T::MYSQL_TYPE_DATETIME2,
                Raw::Date(2026, 3, 1, 7, 5, 0, 500_000),
                text("2026-03-01T07:05:00.5"),
            ),
            (
                T::MYSQL_TYPE_TIMESTAMP,
                "2026-03-01 12:00:00",
                T::MYSQL_TYPE_TIMESTAMP2,
                Raw::Bytes(b"1772366400".into()),
                text("2026-03-01T12:00:00Z"),
            ),
            (T::MYSQL_TYPE_TIME, "-30:00:01", T::MYSQL_TYPE_TIME2, Raw::Time(true, 1, 6, 0, 1, 0), text("-30:00:01")),
            (T::MYSQL_TYPE_STRING, "belegt", T::MYSQL_TYPE_ENUM, Raw::Int(2), text("belegt")),
            (T::MYSQL_TYPE_STRING, "frei,belegt", T::MYSQL_TYPE_SET, Raw::Bytes(vec![3]), text("frei,belegt")),
            (T::MYSQL_TYPE_BIT, "\u{1}", T::MYSQL_TYPE_BIT, Raw::Bytes(vec![1]), Value::Boolean(true)),
            (
                T::MYSQL_TYPE_VAR_STRING,
                "Küche €",
                T::MYSQL_TYPE_VARCHAR,
                Raw::Bytes(b"K\xfcche \x80".into()),
                text("Küche €"),
            ),
        ] {
            let of_answer = answered(answer, 45, &Raw::Bytes(given.into()));
            let of_log = logged(log, 8, &words, &BinlogValue::Value(raw));
            assert_eq!((of_answer, of_log), (expected.clone(), expected), "{given}");
        }
        assert_eq!(answered(T::MYSQL_TYPE_LONG, 63, &Raw::NULL), Value::Null);
        assert_eq!(logged(T::MYSQL_TYPE_BLOB, BINARY, &[], &BinlogValue::Value(Raw::Bytes(vec![0xff]))), text("/w=="));
    }
}
