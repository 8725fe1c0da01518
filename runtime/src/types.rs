//! The words that every stage shares: days, amounts, values, revisions, statuses.
//!
//! Knows how they are bounded, compared and printed. Does not know who claims them or why.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A calendar day as days since 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Day(pub i32);

impl Day {
    /// 1900-01-01, the first day of a ClickHouse `Date32`.
    pub const MIN: Day = Day(-25_567);
    /// 2299-12-31, the last day of a ClickHouse `Date32`.
    pub const MAX: Day = Day(120_529);
    /// 1970-01-01, which stands for "no day" in rows that need one.
    pub const EPOCH: Day = Day(0);

    /// The day, if it lies within [`Day::MIN`] and [`Day::MAX`].
    pub fn checked(days: i32) -> Option<Day> {
        (Self::MIN.0..=Self::MAX.0).contains(&days).then_some(Day(days))
    }

    /// The day's date.
    pub fn date(self) -> time::Date {
        time::OffsetDateTime::UNIX_EPOCH.date() + time::Duration::days(self.0.into())
    }

    /// Reads `2026-03-01`. `None` for anything else, and outside the bounds.
    pub fn parse(text: &str) -> Option<Day> {
        let format = time::macros::format_description!("[year]-[month]-[day]");
        let date = time::Date::parse(text, format).ok()?;
        let days = (date - time::OffsetDateTime::UNIX_EPOCH.date()).whole_days();
        i32::try_from(days).ok().and_then(Day::checked)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = self.date();
        write!(f, "{:04}-{:02}-{:02}", date.year(), u8::from(date.month()), date.day())
    }
}

/// Consecutive days; `end` is exclusive and later than `first`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Days {
    pub first: Day,
    pub end: Day,
}

impl Days {
    /// Every day, in order.
    pub fn iter(self) -> impl Iterator<Item = Day> {
        (self.first.0..self.end.0).map(Day)
    }

    /// How many days.
    pub fn len(self) -> usize {
        usize::try_from(self.end.0 - self.first.0).unwrap_or(0)
    }

    /// Whether `end` is not later than `first`.
    pub fn is_empty(self) -> bool {
        self.end <= self.first
    }

    pub fn contains(self, day: Day) -> bool {
        self.first <= day && day < self.end
    }

    /// Whether both have a day in common.
    pub fn overlaps(self, other: Days) -> bool {
        self.first < other.end && other.first < self.end
    }
}

impl fmt::Display for Days {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.end)
    }
}

/// An exact decimal number in ten-thousandths: the scale of ClickHouse's `Decimal(18, 4)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Amount(pub i64);

impl Amount {
    /// The largest magnitude: 18 digits.
    pub const MAX: i64 = 999_999_999_999_999_999;
    /// Decimals kept.
    pub const SCALE: u8 = 4;

    /// `units / 10^scale` if it fits without rounding.
    pub fn exact(units: i64, scale: u8) -> Option<Amount> {
        let value = match scale {
            0..=4 => units.checked_mul(10_i64.pow(u32::from(4 - scale)))?,
            5..=18 => {
                let divisor = 10_i64.pow(u32::from(scale - 4));
                if units % divisor != 0 {
                    return None;
                }
                units / divisor
            }
            _ => return None,
        };
        (value.unsigned_abs() <= Self::MAX.unsigned_abs()).then_some(Amount(value))
    }
}

impl fmt::Display for Amount {
    /// At least two decimals, at most four: `99.90`, `0.1234`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, part) = (self.0.unsigned_abs() / 10_000, self.0.unsigned_abs() % 10_000);
        if part % 100 == 0 {
            write!(f, "{sign}{whole}.{:02}", part / 100)
        } else if part % 10 == 0 {
            write!(f, "{sign}{whole}.{:03}", part / 10)
        } else {
            write!(f, "{sign}{whole}.{part:04}")
        }
    }
}

/// An ISO 4217 code: three upper-case letters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Currency([u8; 3]);

impl Currency {
    /// `None` unless it is three upper-case ASCII letters.
    pub fn parse(code: &str) -> Option<Currency> {
        let bytes: [u8; 3] = code.as_bytes().try_into().ok()?;
        bytes.iter().all(u8::is_ascii_uppercase).then_some(Currency(bytes))
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("")
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Amount and currency: one field, never merged apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Money {
    pub amount: Amount,
    pub currency: Currency,
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount, self.currency.as_str())
    }
}

/// The value of an inventory field.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Value {
    Integer(i64),
    Decimal(Amount),
    Money(Money),
    Text(Arc<str>),
    Boolean(bool),
}

impl fmt::Display for Value {
    /// As it stands in the audit.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Integer(n) => n.fmt(f),
            Value::Decimal(a) => a.fmt(f),
            Value::Money(m) => m.fmt(f),
            Value::Text(t) => f.write_str(t),
            Value::Boolean(b) => b.fmt(f),
        }
    }
}

/// What kind of value an inventory field holds; the words of the `[fields]` table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FieldType {
    /// 64 bits, signed.
    Integer,
    /// `Decimal(18, 4)`.
    Decimal,
    /// `Decimal(18, 4)` and an ISO 4217 code.
    Money,
    Text,
    Boolean,
}

/// How far a source had come when it said something.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Revision {
    /// Positions, compared number by number: a log sequence number, a binlog position.
    Sequence(Box<[u64]>),
    /// Microseconds since 1970-01-01T00:00:00Z by the source's clock.
    Instant(i64),
}

impl Revision {
    /// The order of two revisions of one source; `None` when they are of different kinds.
    pub fn compare(&self, other: &Revision) -> Option<std::cmp::Ordering> {
        match (self, other) {
            (Revision::Sequence(a), Revision::Sequence(b)) => Some(a.cmp(b)),
            (Revision::Instant(a), Revision::Instant(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }
}

impl fmt::Display for Revision {
    /// `7`, `3:154:0`, or an RFC 3339 instant with microseconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Revision::Sequence(parts) => {
                for (i, part) in parts.iter().enumerate() {
                    let colon = if i == 0 { "" } else { ":" };
                    write!(f, "{colon}{part}")?;
                }
                Ok(())
            }
            Revision::Instant(micros) => f.write_str(&rfc3339_micros(*micros)),
        }
    }
}

/// Microseconds since the epoch as RFC 3339 in UTC; the number itself when no calendar reaches it.
pub fn rfc3339_micros(micros: i64) -> String {
    time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1000)
        .ok()
        .and_then(|t| t.format(&time::format_description::well_known::Rfc3339).ok())
        .unwrap_or_else(|| micros.to_string())
}

/// Where a stay stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    Tentative,
    Confirmed,
    /// Its source confirmed it again after cancelling it.
    Reinstated,
    CheckedIn,
    CheckedOut,
    Cancelled,
    NoShow,
}

impl Status {
    /// As it stands in tables, rules and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Tentative => "tentative",
            Status::Confirmed => "confirmed",
            Status::Reinstated => "reinstated",
            Status::CheckedIn => "checked-in",
            Status::CheckedOut => "checked-out",
            Status::Cancelled => "cancelled",
            Status::NoShow => "no-show",
        }
    }

    /// Guests who are or were in the house: never displaced.
    pub fn in_house(self) -> bool {
        matches!(self, Status::CheckedIn | Status::CheckedOut)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
