//! One RoomStay: its line, nights, room type, money and guests.
//!
//! Does not know what the reservation's status means.

use std::collections::BTreeSet;

use concord_plugin::xml::{At, Text};
use concord_plugin::{Days, Line, Money, Rejection, number, stay};

use crate::rates::amount;
use crate::settings::Settings;

/// Most rooms of one RoomStay.
const MOST_UNITS: u32 = 100;

/// The names of the rooms: IndexNumber, else RPH, where every room has one of its own; else their places.
pub fn line_ids(stays: &[At<'_>]) -> Result<Vec<String>, Rejection> {
    for name in ["IndexNumber", "RPH"] {
        let named: Vec<Text<'_>> = stays.iter().filter_map(|stay| stay.attribute(name)).collect();
        let codes: Vec<&str> = named.iter().map(|text| text.code()).collect::<Result<_, _>>()?;
        if codes.len() == stays.len() && codes.iter().collect::<BTreeSet<_>>().len() == codes.len() {
            return Ok(codes.into_iter().map(str::to_owned).collect());
        }
    }
    Ok((1..=stays.len()).map(|place| place.to_string()).collect())
}

/// The lines of a RoomStay: one per room that it counts. `common` says what holds for all of them; `among` is the number of
/// RoomStays of the reservation.
pub fn lines(
    at: At<'_>,
    common: Line,
    (reservation, message): (At<'_>, At<'_>),
    among: usize,
    settings: &Settings,
) -> Result<Vec<Line>, Rejection> {
    let nights = nights(at, reservation)?;
    let units = units(at)?;
    let line = Line {
        arrival: Some(nights.first),
        departure: Some(nights.end),
        room_type: Some(room_type(at)?.to_owned()),
        room: room(at)?.map(str::to_owned),
        money: money(at, reservation, message, among, settings)?,
        guests: guests(at)?,
        ..common
    };
    Ok(stay::rooms(line, units))
}

/// The nights: of the TimeSpan (its end is the departure), else those that the rates cover.
pub fn nights(at: At<'_>, reservation: At<'_>) -> Result<Days, Rejection> {
    let span = at.first("TimeSpan").or_else(|| reservation.first("ResGlobalInfo/TimeSpan"));
    let Some(span) = span else { return covered(at) };
    if span.attribute("Start").is_none() && span.first("StartDateWindow").is_some() {
        return Err(span.reject("a window of arrival dates asks for an offer and is no stay"));
    }
    let arrival = span.needs("Start")?.day()?;
    let (departure, text) = match (span.attribute("End"), span.attribute("Duration")) {
        (Some(end), _) => (end.day()?, end),
        (None, Some(duration)) => (arrival.saturating_add(night_count(duration)?), duration),
        (None, None) => return Err(span.reject("the attribute End is missing")),
    };
    stay::nights(arrival, departure).map_err(|why| text.reject(why))
}

/// `P3N`, `P3D` or `3`.
fn night_count(duration: Text<'_>) -> Result<i32, Rejection> {
    let text = duration.as_str();
    let digits = text.strip_prefix('P').map_or(Some(text), |rest| rest.strip_suffix(['D', 'N']));
    let nights =
        digits.and_then(|digits| digits.parse().ok()).filter(|nights| (1..=stay::LONGEST_STAY).contains(nights));
    nights.ok_or_else(|| duration.is_not("a number of nights such as P3N (at most a year)"))
}

/// The nights that the rates cover together, for messages without a TimeSpan.
fn covered(at: At<'_>) -> Result<Days, Rejection> {
    for path in ["RoomRates/RoomRate/Rates/Rate", "RoomRates/RoomRate", "RatePlans/RatePlan"] {
        let dated: Vec<At<'_>> =
            at.all(path).into_iter().filter(|rate| rate.attribute("EffectiveDate").is_some()).collect();
        if dated.is_empty() {
            continue;
        }
        let parts: Vec<Days> = dated.iter().map(|rate| rate_nights(*rate)).collect::<Result<_, _>>()?;
        let whole = stay::covering(parts).ok_or_else(|| at.reject("the rates leave out nights in between"))?;
        return stay::nights(whole.first, whole.end).map_err(|why| at.reject(why));
    }
    Err(at.reject("no TimeSpan and no rates with dates: the nights are missing"))
}

/// The nights of one rate. ExpireDate is exclusive; where it equals EffectiveDate it can only mean that one night.
fn rate_nights(rate: At<'_>) -> Result<Days, Rejection> {
    let first = rate.needs("EffectiveDate")?.day()?;
    let inclusive = rate.attribute("ExpireDateExclusiveInd").is_some_and(|text| matches!(text.as_str(), "false" | "0"));
    let (end, place) = match rate.attribute("ExpireDate") {
        Some(expire) => {
            let day = expire.day()?;
            (if inclusive || day == first { day.saturating_add(1) } else { day }, expire)
        }
        None => {
            let nights = rate.attribute("UnitMultiplier").map(night_count).transpose()?.unwrap_or(1);
            (first.saturating_add(nights), rate.needs("EffectiveDate")?)
        }
    };
    stay::nights(first, end).map_err(|why| place.reject(why))
}

/// The booked room type: of RoomTypes, else of the rates. One stay has one.
pub fn room_type(at: At<'_>) -> Result<&str, Rejection> {
    let mut found: Option<Text<'_>> = None;
    for path in ["RoomTypes/RoomType", "RoomRates/RoomRate"] {
        for code in at.all(path).into_iter().filter_map(|holder| holder.attribute("RoomTypeCode")) {
            match found {
                None => found = Some(code),
                Some(first) if first.as_str() == code.as_str() => {}
                Some(first) => {
                    return Err(
                        code.reject(format_args!("another room type than {:?} in one RoomStay", first.as_str()))
                    );
                }
            }
        }
        if found.is_some() {
            break;
        }
    }
    found.ok_or_else(|| at.reject("no room type: RoomTypes/RoomType/@RoomTypeCode is missing"))?.code()
}

/// The assigned room.
fn room(at: At<'_>) -> Result<Option<&str>, Rejection> {
    let holders = ["RoomTypes/RoomType", "RoomRates/RoomRate"].into_iter().flat_map(|path| at.all(path));
    holders.into_iter().find_map(|holder| holder.attribute("RoomID")).map(Text::code).transpose()
}

fn units(at: At<'_>) -> Result<u32, Rejection> {
    let holders = ["RoomTypes/RoomType", "RoomRates/RoomRate"].into_iter().flat_map(|path| at.all(path));
    let Some(text) = holders.into_iter().find_map(|holder| holder.attribute("NumberOfUnits")) else { return Ok(1) };
    let units = text.count().ok().filter(|units| (1..=MOST_UNITS).contains(units));
    units.ok_or_else(|| text.is_not(format_args!("a number of rooms from 1 to {MOST_UNITS}")))
}

fn guests(at: At<'_>) -> Result<Option<u32>, Rejection> {
    let mut sum: Option<u32> = None;
    for text in at.all("GuestCounts/GuestCount").into_iter().filter_map(|count| count.attribute("Count")) {
        let more = sum.unwrap_or(0).checked_add(text.count()?);
        sum = Some(more.ok_or_else(|| text.reject("the guests are too many to count"))?);
    }
    Ok(sum)
}

/// What the stay costs: its Total, else the sum of its rates, else the reservation's Total where it has one room only.
fn money(
    at: At<'_>,
    reservation: At<'_>,
    message: At<'_>,
    among: usize,
    settings: &Settings,
) -> Result<Option<Money>, Rejection> {
    let all = reservation.first("ResGlobalInfo/Total");
    let source = [reservation, message].into_iter().find_map(|holder| holder.first("POS/Source"));
    let outside: Vec<At<'_>> = at.first("Total").into_iter().chain(all).chain(source).collect();
    if let Some(total) = at.first("Total")
        && let Some(money) = amount(total, &outside, settings)?
    {
        return Ok(Some(money));
    }
    let mut amounts = Vec::new();
    for rate in at.all("RoomRates/RoomRate/Rates/Rate") {
        let near: Vec<At<'_>> = [rate].into_iter().chain(outside.iter().copied()).collect();
        let of_rate = match (rate.first("Total"), rate.first("Base")) {
            (Some(total), _) => amount(total, &near, settings)?,
            (None, Some(base)) => amount(base, &near, settings)?.map(|night| whole_rate(rate, night)).transpose()?,
            (None, None) => None,
        };
        amounts.push(of_rate);
    }
    if !amounts.is_empty()
        && let Some(amounts) = amounts.into_iter().collect::<Option<Vec<Money>>>()
    {
        return Ok(stay::total(amounts));
    }
    match all {
        Some(total) if among == 1 => amount(total, &outside, settings),
        _ => Ok(None),
    }
}

/// A rate of several nights: its base is that of one.
fn whole_rate(rate: At<'_>, night: Money) -> Result<Money, Rejection> {
    let nights = match rate.attribute("UnitMultiplier") {
        Some(text) => night_count(text)?,
        None if rate.attribute("EffectiveDate").is_some() => {
            let nights = rate_nights(rate)?;
            nights.end - nights.first
        }
        None => 1,
    };
    let total = number::times(night.amount, u32::try_from(nights).unwrap_or(1));
    total.map(|amount| Money { amount, ..night }).ok_or_else(|| rate.reject("the price does not fit"))
}
