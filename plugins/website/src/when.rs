//! Which night a date or an instant means at the hotel.
//!
//! Knows that browsers like to turn midnight at the hotel into an instant of the day before. Does not know any format.

use concord_plugin::json::At;
use concord_plugin::{Day, Rejection, time};

use crate::Settings;

/// The local day. A date, and an instant that gives no offset, count as written. An instant with an offset is the day in the
/// hotel's time zone (setting `time_zone`); without that setting an offset of the hotel's own is taken for granted, and UTC is refused.
pub fn day(at: At<'_>, settings: &Settings) -> Result<Day, Rejection> {
    let text = at.text()?.trim();
    if let Some(day) = time::day(text) {
        return Ok(day);
    }
    let is_not = || at.is_not("a date from 1900-01-01 to 2299-12-31 (YYYY-MM-DD, also with a time)");
    let stamp = time::stamp(text).ok_or_else(is_not)?;
    match (stamp.offset, &settings.zone) {
        (Some(_), Some(zone)) => zone.day(stamp.utc(0)).ok_or_else(is_not),
        (Some(_), None) if text.ends_with(['Z', 'z']) => Err(at.is_not(
            "a day at the hotel: an instant in UTC needs the setting \"time_zone\", such as \"Europe/Madrid\"",
        )),
        _ => Ok(stamp.day),
    }
}
