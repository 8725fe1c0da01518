//! Time zones by name: which day it was at the hotel.
//!
//! Carries the IANA time zone database, as it was when the plugin was built. Does not know which zone a hotel is in: the
//! source's settings say so.

use std::sync::LazyLock;

use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::json::At;
use crate::{Day, Rejection, time};

/// A time zone such as `Europe/Madrid`, with its whole history.
#[derive(Clone, Debug)]
pub struct Zone(TimeZone);

impl Zone {
    /// The zone of this name (IANA). `None` if there is none.
    pub fn named(name: &str) -> Option<Zone> {
        // It keeps the zones that it has read.
        static ALL: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);
        ALL.get(name).ok().map(Zone)
    }

    /// Reads the name of a zone.
    ///
    /// # Errors
    /// Refused when there is no zone of this name.
    pub fn read(at: At<'_>) -> Result<Zone, Rejection> {
        Zone::named(at.code()?).ok_or_else(|| at.is_not("a time zone such as \"Europe/Madrid\""))
    }

    /// Which day it is there at an instant (microseconds since 1970-01-01T00:00:00Z). `None` outside 1900 to 2299.
    pub fn day(&self, micros: i64) -> Option<Day> {
        let date = self.0.to_datetime(Timestamp::from_microsecond(micros).ok()?).date();
        let [year, month, day] = [i32::from(date.year()), i32::from(date.month()), i32::from(date.day())];
        time::day_of(year.try_into().ok()?, month.try_into().ok()?, day.try_into().ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_at_the_hotel() {
        let day = |zone: &str, text: &str| {
            let micros = time::stamp(text).expect("an instant").utc(0);
            time::spelled(Zone::named(zone).expect("a zone").day(micros).expect("a day"))
        };
        assert_eq!(day("Europe/Madrid", "2026-03-28T23:30:00Z"), "2026-03-29", "winter time");
        assert_eq!(day("Europe/Madrid", "2026-03-29T22:30:00Z"), "2026-03-30", "summer time has begun");
        assert_eq!(day("Europe/Madrid", "2026-03-29T21:30:00Z"), "2026-03-29");
        assert_eq!(day("Pacific/Kiritimati", "2026-03-01T10:00:00Z"), "2026-03-02");
        assert_eq!(day("America/Los_Angeles", "2026-03-01T02:00:00Z"), "2026-02-28");
        assert_eq!(day("UTC", "1900-01-01T00:00:00Z"), "1900-01-01");
        assert!(Zone::named("Europe/Atlantis").is_none());
        assert_eq!(Zone::named("UTC").and_then(|zone| zone.day(i64::MAX)), None);
    }
}
