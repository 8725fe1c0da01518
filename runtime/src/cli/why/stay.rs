//! A stay, or the stays of a reservation, explained.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::Result;
use serde::Serialize;
use serde_json::Value;

use super::Known;
use crate::log::{Offset, Partition};
use crate::merge::explain::{self, Explained};
use crate::merge::state::{LineId, Stay, StayId, links};
use crate::rows::Outcome;
use crate::store::Store;

/// One claim.
#[derive(Serialize)]
pub struct ClaimLine {
    pub source: String,
    pub value: String,
    /// Empty where the source gives none.
    pub revision: String,
    pub partition: Partition,
    pub offset: Offset,
    /// The rules prefer it.
    pub holds: bool,
}

/// One field with its claims.
#[derive(Serialize)]
pub struct FieldWhy {
    pub field: String,
    /// What is published.
    pub value: Option<String>,
    pub source: Option<String>,
    pub rule: String,
    pub reason: String,
    pub claims: Vec<ClaimLine>,
}

impl FieldWhy {
    pub fn new(partition: Partition, explained: Explained) -> FieldWhy {
        let Explained { field, claims, value, winner, rule, mut reason, .. } = explained;
        let preferred = winner.and_then(|at| claims.get(at));
        // A placement takes its room from whoever names one, so the published text may be longer.
        let as_published = preferred.is_none_or(|c| value.as_ref().is_some_and(|v| v.starts_with(c.value.as_str())));
        if claims.len() == 1 && reason.is_empty() {
            reason = "the only claim".into();
        }
        if !as_published {
            let why = "the rules in force now prefer another claim; what is published was decided before, and is \
                       decided again when a claim changes";
            reason = format!("{reason}; {why}").into();
        }
        FieldWhy {
            field: field.to_string(),
            source: preferred.map(|claim| claim.source.to_string()),
            value,
            rule: rule.to_string(),
            reason: reason.to_string(),
            claims: claims
                .iter()
                .enumerate()
                .map(|(at, claim)| ClaimLine {
                    source: claim.source.to_string(),
                    value: claim.value.clone(),
                    revision: claim.revision.clone(),
                    partition,
                    offset: claim.offset,
                    holds: winner == Some(at),
                })
                .collect(),
        }
    }
}

/// One stay.
#[derive(Serialize)]
pub struct StayWhy {
    pub stay: String,
    pub outcome: String,
    /// In words: what the outcome rests on.
    pub outcome_reason: String,
    pub priority: Option<i32>,
    pub priority_rule: Option<String>,
    pub room_type: String,
    pub lines: Vec<String>,
    /// References that its lines share.
    pub linked_by: Vec<String>,
    pub fields: Vec<FieldWhy>,
    /// Rows of `reservations`: night and outcome.
    pub nights: Vec<Value>,
}

/// A line of the reservation that was asked for.
#[derive(Serialize)]
pub struct LineWhy {
    pub line: String,
    pub stay: Option<String>,
    /// Position of the record that first mentioned it.
    pub first_offset: Offset,
}

/// What was asked for, at one property.
#[derive(Serialize)]
pub struct StaysWhy {
    pub asked: String,
    pub property: String,
    pub partition: Partition,
    pub lines: Vec<LineWhy>,
    pub stays: Vec<StayWhy>,
    /// Rows of `conflicts`, in the order of the log.
    pub conflicts: Vec<Value>,
}

pub async fn explain_reservation(store: &Store, known: Known, id: &Arc<str>) -> Result<StaysWhy> {
    let lines = known.property.reservations.get(id).map(|r| r.lines.clone()).unwrap_or_default();
    explain(store, known, format!("reservation {id}"), lines, Vec::new()).await
}

pub async fn explain_stay(store: &Store, known: Known, id: &StayId) -> Result<StaysWhy> {
    let lines = known.property.stay(id).map(|stay| stay.lines.clone()).unwrap_or_default();
    explain(store, known, format!("stay {id}"), lines, vec![id.clone()]).await
}

async fn explain(
    store: &Store,
    mut known: Known,
    asked: String,
    lines: Vec<LineId>,
    mut stays: Vec<StayId>,
) -> Result<StaysWhy> {
    for line in &lines {
        let stay = known.property.index.stay_of.get(line);
        stays.extend(stay.filter(|stay| !stays.contains(stay)).cloned().into_iter().collect::<Vec<_>>());
    }
    let mut explained = Vec::new();
    for id in &stays {
        if let Some(stay) = known.property.stay(id).cloned() {
            explained.push(one(store, &mut known, &stay).await?);
        }
    }
    let stay_of = |line: &LineId| known.property.index.stay_of.get(line).map(ToString::to_string);
    let told = lines
        .iter()
        .map(|line| LineWhy {
            line: line.to_string(),
            stay: stay_of(line),
            first_offset: known.property.line(line).map_or(0, |l| l.first.0),
        })
        .collect();
    let mut ids: BTreeSet<String> = stays.iter().chain(&lines).map(ToString::to_string).collect();
    ids.extend(explained.iter().flat_map(|stay| stay.lines.clone()));
    let ids = serde_json::to_string(&ids)?;
    let property = known.property.name.to_string();
    // Rows about these stays, under whatever id they had, and rows in which they stand among the claims.
    let sql = format!(
        "SELECT {CONFLICT} FROM conflicts WHERE property = {{property:String}} AND (\
         has(JSONExtract({{ids:String}}, 'Array(String)'), stay) OR arrayExists(c -> \
         has(JSONExtract({{ids:String}}, 'Array(String)'), splitByChar(' ', c.value)[1]), claims)) \
         ORDER BY partition, offset, seq"
    );
    let conflicts = store.query_json(&sql, &[("property", &property), ("ids", &ids)]).await?;
    Ok(StaysWhy { asked, property, partition: known.partition, lines: told, stays: explained, conflicts })
}

/// The columns of `conflicts` that are shown.
pub const CONFLICT: &str = "toString(log_time) AS time, partition, offset, seq, kind, decision, field, toString(date) AS \
     night, room_type, stay, claims.source AS sources, claims.value AS values, claims.offset AS offsets, winner_source, \
     winner_value, rule_id, rule_set, reason, cause";

async fn one(store: &Store, known: &mut Known, stay: &Stay) -> Result<StayWhy> {
    let fields = explain::stay(&known.property, &mut known.rules, stay);
    let sql = "SELECT toString(date) AS night, room_type, outcome FROM reservations FINAL \
               WHERE property = {property:String} AND stay = {stay:String} ORDER BY date, room_type";
    let nights = store.query_json(sql, &[("property", &known.property.name), ("stay", &stay.id)]).await?;
    Ok(StayWhy {
        stay: stay.id.to_string(),
        outcome: stay.outcome.map_or("none", Outcome::as_str).to_owned(),
        outcome_reason: outcome_reason(stay),
        priority: stay.rank.as_ref().map(|rank| rank.priority),
        priority_rule: stay.rank.as_ref().map(|rank| rank.rule.to_string()),
        room_type: stay.counted.to_string(),
        lines: stay.lines.iter().map(ToString::to_string).collect(),
        linked_by: shared_references(known, stay),
        fields: fields.into_iter().map(|field| FieldWhy::new(known.partition, field)).collect(),
        nights,
    })
}

fn shared_references(known: &Known, stay: &Stay) -> Vec<String> {
    let lines = || stay.lines.iter().filter_map(|line| known.property.line(line));
    let all: BTreeSet<String> = lines()
        .flat_map(|line| line.references.value.iter().filter(|r| links(r)))
        .filter(|reference| lines().filter(|line| line.references.value.contains(reference)).count() > 1)
        .map(|r| format!("{}:{}:{}", r.kind, r.issuer, r.value))
        .collect();
    all.into_iter().collect()
}

/// What the outcome rests on.
pub fn outcome_reason(stay: &Stay) -> String {
    let rank = stay.rank.as_ref();
    let rule = rank.map(|r| format!("priority {} by rule {}", r.priority, r.rule)).unwrap_or_default();
    let mut text = match stay.outcome {
        None if stay.doubt.is_some() => "which lines belong together cannot be told".to_owned(),
        None => "no source has given it a status and a placement yet".to_owned(),
        Some(Outcome::Accepted) if stay.in_house() => "guests in the house are never displaced".to_owned(),
        Some(Outcome::Accepted) => {
            format!("it has its rooms on every night; {rule}, since offset {}", stay.wanted_since())
        }
        Some(Outcome::Displaced) => format!(
            "a room is missing on at least one night; {rule}, in line since offset {}: it gets the next free rooms",
            stay.wanted_since()
        ),
        Some(Outcome::Held) => format!("the last rooms are held for a source that is silent; {rule}"),
        Some(Outcome::Cancelled) => "its merged status is cancelled: it occupies nothing".to_owned(),
        Some(Outcome::NoShow) => "its merged status is no-show, which occupies nothing by the rules".to_owned(),
        Some(Outcome::Merged) => "its lines are part of another stay now".to_owned(),
    };
    if let Some(room) = &stay.lost_room {
        text.push_str(&format!("; room {room} is assigned to a stay that comes first"));
    }
    text
}
