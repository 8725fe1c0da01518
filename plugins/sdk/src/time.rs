//! Days and instants as hotel systems spell them.
//!
//! Knows the proleptic Gregorian calendar and RFC 3339 with its usual variations. Does not know time
//! zones by name: an instant without an offset says so, and its reader decides.

use crate::Day;

/// 1900-01-01, the first day that Concord keeps.
pub const FIRST_DAY: Day = -25_567;
/// 2299-12-31, the last.
pub const LAST_DAY: Day = 120_529;

const DAY_MICROS: i64 = 86_400_000_000;

/// Reads `2026-03-01`. `None` for every other spelling, for days that no calendar has (2026-02-30,
/// 0000-00-00) and outside 1900-01-01 to 2299-12-31.
pub fn day(text: &str) -> Option<Day> {
    let bytes: &[u8; 10] = text.as_bytes().try_into().ok()?;
    if bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    day_of(digits(&bytes[..4])?, digits(&bytes[5..7])?, digits(&bytes[8..])?)
}

/// The day of a date, if the calendar has it and it lies within the bounds.
pub fn day_of(year: u32, month: u32, day: u32) -> Option<Day> {
    if !(1900..=2299).contains(&year) || !(1..=12).contains(&month) || day == 0 || day > month_length(year, month) {
        return None;
    }
    // Years begin in March, so that the leap day is the last of its year.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, of_era) = (y / 400, y % 400);
    let of_year = (153 * m + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    i32::try_from(days).ok().map(|days| days - 719_468)
}

/// `2026-03-01`.
pub fn spelled(day: Day) -> String {
    let days = i64::from(day) + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let m = (5 * of_year + 2) / 153;
    let (month, day) = (if m < 10 { m + 3 } else { m - 9 }, of_year - (153 * m + 2) / 5 + 1);
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

fn month_length(year: u32, month: u32) -> u32 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// A date and a time of day, with the offset that stood next to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The date as written, in local time.
    pub day: Day,
    /// Microseconds since local midnight.
    pub micros: i64,
    /// Seconds east of UTC; `None` where the text gives no offset.
    pub offset: Option<i32>,
}

impl Stamp {
    /// Microseconds since 1970-01-01T00:00:00Z; `assumed` (seconds east of UTC) stands in for a missing offset.
    pub fn utc(self, assumed: i32) -> i64 {
        let offset = i64::from(self.offset.unwrap_or(assumed));
        i64::from(self.day) * DAY_MICROS + self.micros - offset * 1_000_000
    }
}

/// Reads an RFC 3339 instant and its relatives: `T`, `t` or a space between date and time; seconds and
/// their fraction optional (digits beyond microseconds are cut); offsets `Z`, `+01:00`, `+0100`, `+01` or none.
pub fn stamp(text: &str) -> Option<Stamp> {
    let day = day(text.get(..10)?)?;
    let rest = text.get(10..)?.strip_prefix(['T', 't', ' '])?;
    let at = rest.find(['Z', 'z', '+', '-']).unwrap_or(rest.len());
    let (clock, offset) = rest.split_at_checked(at)?;
    Some(Stamp { day, micros: clock_micros(clock)?, offset: offset_seconds(offset)? })
}

/// The local date of `2026-03-01` or of an instant such as `2026-03-01T14:00:00+01:00`: many formats put the hour of
/// arrival next to the date. The date counts as written, whatever the offset.
pub fn local_day(text: &str) -> Option<Day> {
    day(text).or_else(|| stamp(text).map(|stamp| stamp.day))
}

/// Seconds east of UTC: `Z`, `+01:00`, `-0730`, `+01`. `None` for every other spelling.
pub fn offset(text: &str) -> Option<i32> {
    offset_seconds(text)?
}

fn clock_micros(text: &str) -> Option<i64> {
    let (clock, fraction) = match text.find(['.', ',']) {
        Some(at) => (text.get(..at)?, Some(text.get(at + 1..)?)),
        None => (text, None),
    };
    let bytes = clock.as_bytes();
    let (hour, minute, second) = match bytes {
        [_, _, b':', _, _] if fraction.is_none() => (digits(&bytes[..2])?, digits(&bytes[3..5])?, 0),
        [_, _, b':', _, _, b':', _, _] => (digits(&bytes[..2])?, digits(&bytes[3..5])?, digits(&bytes[6..8])?),
        _ => return None,
    };
    // A leap second is the first of the next minute, so that the order of instants stays right.
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let seconds = i64::from(hour * 3600 + minute * 60 + second);
    Some(seconds * 1_000_000 + fraction.map_or(Some(0), fraction_micros)?)
}

fn fraction_micros(text: &str) -> Option<i64> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let padded = text.bytes().chain(std::iter::repeat(b'0')).take(6);
    Some(padded.fold(0, |micros, digit| micros * 10 + i64::from(digit - b'0')))
}

fn offset_seconds(text: &str) -> Option<Option<i32>> {
    let bytes = text.as_bytes();
    let (hours, minutes) = match bytes {
        [] => return Some(None),
        [b'Z' | b'z'] => return Some(Some(0)),
        [b'+' | b'-', _, _] => (digits(&bytes[1..3])?, 0),
        [b'+' | b'-', _, _, _, _] => (digits(&bytes[1..3])?, digits(&bytes[3..5])?),
        [b'+' | b'-', _, _, b':', _, _] => (digits(&bytes[1..3])?, digits(&bytes[4..6])?),
        _ => return None,
    };
    if hours > 23 || minutes > 59 {
        return None;
    }
    let seconds = i32::try_from(hours * 3600 + minutes * 60).ok()?;
    Some(Some(if bytes[0] == b'-' { -seconds } else { seconds }))
}

fn digits(bytes: &[u8]) -> Option<u32> {
    bytes.iter().try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + u32::from(byte - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_count_from_1970() {
        for (text, expected) in [
            ("1970-01-01", 0),
            ("1969-12-31", -1),
            ("2000-02-29", 11_016),
            ("1900-01-01", FIRST_DAY),
            ("2299-12-31", LAST_DAY),
        ] {
            assert_eq!(day(text), Some(expected), "{text}");
            assert_eq!(spelled(expected), text);
        }
    }

    #[test]
    fn every_day_comes_back() {
        for number in FIRST_DAY..=LAST_DAY {
            assert_eq!(day(&spelled(number)), Some(number));
        }
    }

    #[test]
    fn days_that_no_calendar_has() {
        for text in [
            "0000-00-00",
            "2026-02-29",
            "1900-02-29",
            "2026-13-01",
            "2026-00-10",
            "2026-04-31",
            "1899-12-31",
            "2300-01-01",
            "2026-3-1",
            "20260301",
            "2026-03-01T",
            "",
            "+026-03-01",
            "2026-03-0é",
            "２026-03-0",
        ] {
            assert_eq!(day(text), None, "{text}");
        }
    }

    #[test]
    fn offsets_in_any_spelling() {
        let noon = 20_513 * DAY_MICROS + 12 * 3_600_000_000;
        for text in [
            "2026-03-01T12:00:00Z",
            "2026-03-01 13:00:00+01:00",
            "2026-03-01t13:00:00+0100",
            "2026-03-01T13:00+01",
            "2026-03-01T04:30:00.000-07:30",
            "2026-03-01T11:59:60Z",
            "2026-03-01T12:00:00,0z",
        ] {
            assert_eq!(stamp(text).map(|stamp| stamp.utc(99)), Some(noon), "{text}");
        }
        let bare = stamp("2026-03-01T12:00:00.1234567");
        assert_eq!(bare, Some(Stamp { day: 20_513, micros: 43_200_123_456, offset: None }));
        assert_eq!(bare.map(|stamp| stamp.utc(3600)), Some(noon - 3_600_000_000 + 123_456));
    }

    #[test]
    fn dates_with_and_without_an_hour() {
        for text in ["2026-03-01", "2026-03-01T23:59:00-11:00", "2026-03-01 00:00"] {
            assert_eq!(local_day(text), Some(20_513), "{text}");
        }
        assert_eq!((local_day("2026-03-01T"), local_day("")), (None, None));
        assert_eq!((offset("Z"), offset("-0730"), offset(""), offset("CET")), (Some(0), Some(-27_000), None, None));
    }

    #[test]
    fn what_is_no_instant() {
        for text in [
            "",
            "2026-03-01",
            "2026-03-01T",
            "2026-03-01T12",
            "2026-03-01T24:00:00Z",
            "2026-03-01T12:60:00Z",
            "2026-03-01T12:00:61Z",
            "2026-03-01T12:00:00+1",
            "2026-03-01T12:00:00+24:00",
            "2026-03-01T12:00:00.Z",
            "2026-03-01T12:00.5Z",
            "2026-03-01T12:00:00 Z",
            "0000-00-00T00:00:00Z",
            "2026-03-01T12:00:00é",
            "2026-03-0é12:00:00",
        ] {
            assert_eq!(stamp(text), None, "{text}");
        }
    }
}
