//! A record's key: `property/date`.
//!
//! Knows how it is written and read. Which partition the property lives on, the log knows.

use std::fmt;

use bytes::Bytes;

use crate::types::Day;

/// Of a property's code.
pub const MAX_PROPERTY_BYTES: usize = 256;

/// Property and arrival or first night. The property may hold slashes; the date stands after the last.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub property: String,
    pub date: Day,
}

/// Why a record's key is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("the record has no key; write `property/date`, such as `MAD001/2026-03-01`")]
    Missing,
    #[error("the key is not UTF-8")]
    Encoding,
    /// A foreign producer may key by the property alone: the partition is right then, a date is missing.
    #[error("the key `{0}` has no date; write `property/date`, such as `MAD001/2026-03-01`")]
    NoDate(String),
    #[error("`{0}` in the key is no date from 1900-01-01 to 2299-12-31 in the form 2026-03-01")]
    Date(String),
    #[error("the property in the key has {0} bytes; it needs 1 to {MAX_PROPERTY_BYTES} and no control characters")]
    Property(usize),
}

impl Key {
    pub fn new(property: impl Into<String>, date: Day) -> Result<Key, KeyError> {
        let property = property.into();
        let fits = (1..=MAX_PROPERTY_BYTES).contains(&property.len());
        if !fits || property.chars().any(char::is_control) {
            return Err(KeyError::Property(property.len()));
        }
        Ok(Key { property, date })
    }

    /// Reads a record's key.
    pub fn parse(key: Option<&[u8]>) -> Result<Key, KeyError> {
        let key = std::str::from_utf8(key.ok_or(KeyError::Missing)?).map_err(|_| KeyError::Encoding)?;
        let (property, date) = key.rsplit_once('/').ok_or_else(|| KeyError::NoDate(super::excerpt(key)))?;
        // One form only: a day has one key.
        let day = Day::parse(date).filter(|day| day.to_string() == date);
        Key::new(property, day.ok_or_else(|| KeyError::Date(super::excerpt(date)))?)
    }

    pub fn to_bytes(&self) -> Bytes {
        Bytes::from(self.to_string())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.property, self.date)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_written() {
        for property in ["H1", "chain/H1", "/", "Zürich", "2026-01-01/x"] {
            let key = Key::new(property, Day(20_513)).expect("a property");
            assert_eq!(Key::parse(Some(&key.to_bytes())), Ok(key));
        }
        assert_eq!(Key::parse(Some(b"H1/2026-03-01")).map(|k| k.date), Ok(Day(20_513)));
    }

    #[test]
    fn other_keys_say_what_is_wrong() {
        let read = |key: &[u8]| Key::parse(Some(key)).expect_err("no key");
        assert_eq!(Key::parse(None), Err(KeyError::Missing));
        assert_eq!(read(b"\xff/2026-03-01"), KeyError::Encoding);
        assert_eq!(read(b"H1"), KeyError::NoDate("H1".into()));
        for date in ["", "2026-3-1", "2026-02-30", "+2026-03-01", "1899-12-31", "2300-01-01", "2026-03-01 "] {
            assert_eq!(read(format!("H1/{date}").as_bytes()), KeyError::Date(date.into()));
        }
        assert_eq!(read(b"/2026-03-01"), KeyError::Property(0));
        assert_eq!(read(b"a\nb/2026-03-01"), KeyError::Property(3));
        assert_eq!(read(format!("{}/2026-03-01", "x".repeat(257)).as_bytes()), KeyError::Property(257));
    }
}
