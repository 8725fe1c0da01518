//! Which nights and which room type an inventory or price element applies to.
//!
//! Knows StatusApplicationControl and its like: Start and End (both inclusive), days of the week, codes of rooms and of
//! rate plans. Does not know what is said about them.

use concord_plugin::xml::{At, Text};
use concord_plugin::{Day, Days, Rejection, stay};

use crate::settings::Settings;

/// The spellings of the days of the week, Monday first.
const WEEK: [[&str; 2]; 7] =
    [["Mon", "Mon"], ["Tue", "Tues"], ["Weds", "Wed"], ["Thur", "Thu"], ["Fri", "Fri"], ["Sat", "Sat"], ["Sun", "Sun"]];

/// The nights from Start to End, as far as the days of the week let them be. An element may leave dates or days to one that
/// stands outside of it.
pub fn nights(inner: At<'_>, outer: At<'_>) -> Result<Vec<Day>, Rejection> {
    let find = |name: &str| inner.attribute(name).or_else(|| outer.attribute(name));
    let start = match find("Start") {
        Some(start) => start,
        None => return Err(inner.reject("the attribute Start is missing")),
    };
    let end = find("End").unwrap_or(start);
    let days = stay::through(start.day()?, end.day()?).map_err(|why| end.reject(why))?;
    let week = week(inner)?.or(week(outer)?);
    Ok(stay::each_night(days).filter(|day| week.is_none_or(|week| week[weekday(*day)])).collect())
}

/// The range itself, whatever the days of the week.
pub fn range(control: At<'_>) -> Result<Days, Rejection> {
    let start = control.needs("Start")?;
    let end = control.attribute("End").unwrap_or(start);
    stay::through(start.day()?, end.day()?).map_err(|why| end.reject(why))
}

/// Monday is 0; 1970-01-01 was a Thursday.
fn weekday(day: Day) -> usize {
    usize::try_from((i64::from(day) + 3).rem_euclid(7)).unwrap_or(0)
}

/// On which days of the week the element applies. `None` where it names none.
fn week(at: At<'_>) -> Result<Option<[bool; 7]>, Rejection> {
    let mut named = [None; 7];
    for (name, _) in at.attributes().filter(|(name, _)| (3..=4).contains(&name.len())) {
        if let Some(place) = WEEK.iter().position(|names| names.contains(&name)) {
            named[place] = at.attribute(name).map(Text::boolean).transpose()?;
        }
    }
    if named.iter().all(Option::is_none) {
        return Ok(None);
    }
    // Where some days are chosen, those not named are not; where some are only left out, the others stay.
    let chosen = named.contains(&Some(true));
    Ok(Some(named.map(|day| day.unwrap_or(!chosen))))
}

/// The room type's code, and the single room's where the element is about one.
pub struct Rooms<'x> {
    /// InvTypeCode; InvCode where that is missing.
    pub room_type: &'x str,
    /// InvCode beside InvTypeCode.
    pub room: Option<&'x str>,
}

/// Which rooms the element is about.
pub fn rooms<'x>(control: At<'x>, settings: &Settings) -> Result<Rooms<'x>, Rejection> {
    let code = |name: &str| control.attribute(name).map(Text::code).transpose();
    match (code("InvTypeCode")?, code("InvCode")?) {
        (Some(_), Some(room)) if settings.room_is_type => Ok(Rooms { room_type: room, room: None }),
        (Some(room_type), room) => Ok(Rooms { room_type, room }),
        (None, Some(room_type)) => Ok(Rooms { room_type, room: None }),
        (None, None) => Err(control.reject("names no room type: InvTypeCode and InvCode are missing")),
    }
}

/// Whether what is said about a rate plan counts.
///
/// # Errors
/// When a rate plan is named and the settings do not say which one counts: two plans have two prices.
pub fn counts(plan: Option<Text<'_>>, settings: &Settings) -> Result<bool, Rejection> {
    match (plan, settings.rate_plan.as_deref()) {
        (None, _) | (_, Some("*")) => Ok(true),
        (Some(plan), Some(chosen)) => Ok(plan.as_str() == chosen),
        (Some(plan), None) => Err(plan.reject(format_args!(
            "is about the rate plan {:?}: name the one that counts in the setting \"rate_plan\" (\"*\" takes every one)",
            plan.as_str()
        ))),
    }
}
