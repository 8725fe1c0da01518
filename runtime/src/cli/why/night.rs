//! A room night explained: its fields, its stays, and how what is available comes about.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::Result;
use serde::Serialize;
use serde_json::Value;

use super::stay::{CONFLICT, FieldWhy, outcome_reason};
use super::{Answer, Known, show};
use crate::log::Partition;
use crate::merge::state::{Night, Stay};
use crate::merge::{AVAILABILITY, CLOSED, explain};
use crate::policy::Policy;
use crate::rows::Outcome;
use crate::store::Store;
use crate::types::{Day, Days, Value as Said};

/// A stay that has to do with a night.
#[derive(Serialize)]
pub struct StayLine {
    pub stay: String,
    pub outcome: String,
    pub status: String,
    pub nights: String,
    pub reason: String,
}

/// One room night.
#[derive(Serialize)]
pub struct NightWhy {
    pub property: String,
    pub date: String,
    pub room_type: String,
    pub partition: Partition,
    /// In words: how what is available comes about.
    pub available: String,
    /// The row of `room_nights`; null while it has none.
    pub row: Value,
    pub fields: Vec<FieldWhy>,
    pub stays: Vec<StayLine>,
    /// Rows of `conflicts` about the night's fields, in the order of the log.
    pub conflicts: Vec<Value>,
}

pub async fn explain(store: &Store, mut known: Known, date: Day, room_type: Option<&str>) -> Result<Answer> {
    let types = room_types(&known, date, room_type);
    if types.is_empty() {
        return Ok(unknown_night(&known, date, room_type));
    }
    let mut nights = Vec::new();
    for room_type in types {
        nights.push(one(store, &mut known, (room_type, date)).await?);
    }
    let text = nights.iter().map(show::night).collect::<Vec<_>>().join("\n");
    Ok(Answer::Explained { json: serde_json::to_value(nights)?, text })
}

/// Stays whose placement covers the night, whether they occupy it or not.
fn stays_on<'k>(known: &'k Known, room_type: &'k str, date: Day) -> impl Iterator<Item = &'k Stay> {
    known.property.stays.values().map(|stay| &**stay).filter(move |stay| {
        !stay.lines.is_empty()
            && *stay.counted == *room_type
            && stay.placement.as_ref().is_some_and(|placement| placement.nights.contains(date))
    })
}

/// The room types that anything is known of on that date.
fn room_types(known: &Known, date: Day, only: Option<&str>) -> BTreeSet<Arc<str>> {
    let claimed = known.property.nights.keys().filter(|(_, day)| *day == date).map(|(room_type, _)| room_type.clone());
    let covers = |stay: &&Stay| stay.placement.as_ref().is_some_and(|placement| placement.nights.contains(date));
    let occupied = known.property.stays.values().map(|stay| &**stay).filter(covers).map(|stay| stay.counted.clone());
    claimed.chain(occupied).filter(|room_type| only.is_none_or(|only| **room_type == *only)).collect()
}

fn unknown_night(known: &Known, date: Day, room_type: Option<&str>) -> Answer {
    let mut spans: BTreeMap<Arc<str>, Days> = BTreeMap::new();
    let mut add = |room_type: &Arc<str>, days: Days| {
        let span = spans.entry(room_type.clone()).or_insert(days);
        *span = Days { first: span.first.min(days.first), end: span.end.max(days.end) };
    };
    for (room_type, day) in known.property.nights.keys() {
        add(room_type, Days { first: day, end: Day(day.0 + 1) });
    }
    for stay in known.property.stays.values() {
        if let Some(placement) = &stay.placement {
            add(&stay.counted, placement.nights);
        }
    }
    let near = spans.iter().map(|(room_type, days)| format!("{room_type} between {} and {}", days.first, days.end));
    let of = room_type.map(|room_type| format!(" {room_type}")).unwrap_or_default();
    let property = &known.property.name;
    let what = format!("nothing is known of {property} {date}{of}; what is known of {property}:");
    Answer::Unknown { what, near: near.collect() }
}

async fn one(store: &Store, known: &mut Known, night: Night) -> Result<NightWhy> {
    let fields = explain::room_night(&known.property, &mut known.rules, &night);
    let (room_type, date) = (night.0.to_string(), night.1.to_string());
    let property = known.property.name.to_string();
    let values = [("property", property.as_str()), ("date", date.as_str()), ("room_type", room_type.as_str())];
    let condition =
        "property = {property:String} AND date = toDate32({date:String}) AND room_type = {room_type:String}";
    let row = store.query_json(&format!("SELECT * FROM room_nights FINAL WHERE {condition}"), &values).await?;
    let sql =
        format!("SELECT {CONFLICT} FROM conflicts WHERE {condition} AND stay = '' ORDER BY partition, offset, seq");
    let conflicts = store.query_json(&sql, &values).await?;
    let mut stays: Vec<&Stay> = stays_on(known, &room_type, night.1).collect();
    // Who has the room first, then who waits, highest first, then the others.
    let place = |stay: &Stay| match stay.outcome {
        Some(Outcome::Accepted) => 0,
        Some(Outcome::Displaced | Outcome::Held) => 1,
        _ => 2,
    };
    stays.sort_by_key(|stay| {
        let priority = stay.rank.as_ref().map_or(i32::MIN, |rank| rank.priority);
        (place(stay), !stay.in_house(), std::cmp::Reverse(priority), stay.wanted_since(), stay.id.clone())
    });
    let stays = stays.into_iter().map(line).collect();
    Ok(NightWhy {
        available: available(known, &night),
        row: row.into_iter().next().unwrap_or(Value::Null),
        fields: fields.into_iter().map(|field| FieldWhy::new(known.partition, field)).collect(),
        partition: known.partition,
        stays,
        conflicts,
        property,
        date,
        room_type,
    })
}

fn line(stay: &Stay) -> StayLine {
    StayLine {
        stay: stay.id.to_string(),
        outcome: stay.outcome.map_or("none", Outcome::as_str).to_owned(),
        status: stay.status.as_ref().map_or("-".to_owned(), |merged| format!("{} ({})", merged.status, merged.source)),
        nights: stay.placement.as_ref().map_or("-".to_owned(), |placement| placement.nights.to_string()),
        reason: outcome_reason(stay),
    }
}

/// How the number of available rooms comes about, term by term.
fn available(known: &mut Known, night: &Night) -> String {
    let state = known.property.nights.get(night);
    let value = |name: &str| state.as_ref().and_then(|state| state.value(name)).cloned();
    let (closed, claimed) = (value(CLOSED), value(AVAILABILITY));
    if matches!(closed, Some(Said::Boolean(true))) {
        return "0: the night is closed".to_owned();
    }
    let booked = known.property.index.occupancy.get(night).map_or(0, |o| o.accepted.len());
    let merged = explain::merged_capacity(&known.property, night);
    let default = known.document.master.default_capacity(&known.property.name, &night.0);
    let rooms = merged.or(default.map(i64::from));
    let overbook = known.rules.terms(&known.property.name).map_or(0, |terms| terms.overbook);
    let free = rooms.map(|rooms| rooms.saturating_add(i64::from(overbook)) - i64::try_from(booked).unwrap_or(i64::MAX));
    let origin = if merged.is_some() { "claimed" } else { "by the master data" };
    let sum = rooms.map(|rooms| format!("{rooms} rooms ({origin}) + {overbook} overbooking - {booked} booked"));
    match (free, sum, claimed) {
        (Some(free), Some(sum), Some(Said::Integer(claim))) => {
            format!(
                "{} = the smaller of {sum} = {free} and the claimed availability {claim}, at least 0",
                free.min(claim).max(0)
            )
        }
        (Some(free), Some(sum), _) => format!("{} = {sum}{}", free.max(0), if free < 0 { ", at least 0" } else { "" }),
        (None, _, Some(Said::Integer(claim))) => {
            format!("{} = the claimed availability; no source claims a capacity", claim.max(0))
        }
        _ => format!("unlimited: neither a capacity nor an availability is known; {booked} booked"),
    }
}
