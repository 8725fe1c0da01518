//! `concord why`: a room night or a reservation, explained by its claims, the rules and the log positions.
//!
//! Reads the worker's state, the tables, and asks the active rules once more for their reasons. Changes nothing.

use std::sync::Arc;

use anyhow::{Context, Result};

use super::open::Pipeline;
use super::{Found, PipelineArgument, print};
use crate::config::Document;
use crate::log::Partition;
use crate::log::partitioner::partition;
use crate::merge::state::{Property, reservation_id};
use crate::merge::{EntityKey, codec};
use crate::plugin::Precedence;
use crate::store::Store;
use crate::types::Day;
use crate::worker::active::precedence;
use crate::worker::checkpoint::{PartitionState, SUMMARY_KEYS};

mod night;
mod show;
mod stay;

pub const EXAMPLES: &str = "Examples:
  concord why -c pipeline.toml MAD001 2026-03-01              every room type of the property on that night
  concord why -c pipeline.toml MAD001 2026-03-01 DBL
  concord why -c pipeline.toml --reservation booking-com:999  as its source names it
  concord why -c pipeline.toml --stay pms:4711/1              as the column `stay` of the tables names it

Positions are places in the log: partition and offset. Exit status 1 if there is nothing of the kind; what is near by
is named.";

#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    pipeline: PipelineArgument,
    /// The property
    #[arg(required_unless_present_any = ["reservation", "stay"], requires = "date")]
    property: Option<String>,
    /// The night, such as 2026-03-01
    #[arg(value_parser = day)]
    date: Option<Day>,
    /// One room type; all by default
    room_type: Option<String>,
    /// A reservation instead of a room night
    #[arg(long, value_name = "SOURCE:ID", conflicts_with_all = ["property", "stay"])]
    reservation: Option<String>,
    /// A stay instead of a room night
    #[arg(long, value_name = "ID", conflicts_with = "property")]
    stay: Option<String>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

fn day(text: &str) -> Result<Day, String> {
    Day::parse(text).ok_or_else(|| "a date has the form 2026-03-01".to_owned())
}

/// What was asked for, or what exists near by.
enum Answer {
    Explained { json: serde_json::Value, text: String },
    Unknown { what: String, near: Vec<String> },
}

/// What is known of one property, with the rules in force.
struct Known {
    partition: Partition,
    property: Property,
    document: Document,
    rules: Precedence,
}

pub async fn run(arguments: Arguments) -> Result<Found> {
    let pipeline = Pipeline::open(&arguments.pipeline)?;
    let opened = pipeline.written().await?;
    let answer = answer(&pipeline, &opened.store, &arguments).await;
    opened.close().await;
    match answer? {
        Answer::Explained { json, text } => {
            print(&if arguments.json { format!("{json}\n") } else { text })?;
            Ok(Found::Fine)
        }
        Answer::Unknown { what, near } => {
            if arguments.json {
                print(&format!("{}\n", serde_json::json!({ "unknown": what, "near": near })))?;
            } else {
                print(&format!("{what}\n"))?;
                print(&near.iter().map(|line| format!("  {line}\n")).collect::<String>())?;
            }
            Ok(Found::Something)
        }
    }
}

async fn answer(pipeline: &Pipeline, store: &Store, arguments: &Arguments) -> Result<Answer> {
    if let Some(asked) = &arguments.reservation {
        return reservation(pipeline, store, asked).await;
    }
    if let Some(asked) = &arguments.stay {
        return one_stay(pipeline, store, asked).await;
    }
    // The parser lets nothing else through.
    let (Some(property), Some(date)) = (&arguments.property, arguments.date) else { unreachable!() };
    let known = match load(pipeline, store, property, None).await? {
        Some(known) if !known.property.nights.is_empty() || !known.property.stays.is_empty() => known,
        _ => return unknown_property(store, property).await,
    };
    night::explain(store, known, date, arguments.room_type.as_deref()).await
}

/// The property as its partition's worker knows it. `None` before anything was decided.
async fn load(pipeline: &Pipeline, store: &Store, name: &str, at: Option<Partition>) -> Result<Option<Known>> {
    let at = match at {
        Some(at) => at,
        None => {
            let states = store.load_partitions(&SUMMARY_KEYS[..1]).await?;
            let Some(entries) = states.values().next() else { return Ok(None) };
            let state = PartitionState::read(entries).map_err(anyhow::Error::msg)?;
            let Some(checkpoint) = state.checkpoint else { return Ok(None) };
            partition(name.as_bytes(), checkpoint.log.partitions)
        }
    };
    let state = PartitionState::read(&store.load_partition(at).await?.entries).map_err(anyhow::Error::msg)?;
    let Some(active) = &state.active else { return Ok(None) };
    let document = Document::from_bytes(&active.document)?;
    let digest = document.precedence.digest.to_string();
    let component =
        state.plugin(&digest).context("the precedence plugin is not in the state; `concord apply` again")?;
    let rules = precedence(&pipeline.host()?, &document, &component)?;
    let loaded = store.load_property(at, name).await?;
    let property = codec::load(Arc::from(name), &loaded.entries)?;
    Ok(Some(Known { partition: at, property, document, rules }))
}

async fn unknown_property(store: &Store, name: &str) -> Result<Answer> {
    let sql = "SELECT property FROM (SELECT DISTINCT property FROM room_nights UNION DISTINCT \
               SELECT DISTINCT property FROM reservations) \
               ORDER BY editDistanceUTF8(property, {name:String}), property LIMIT 5";
    let near = column(store.query_json(sql, &[("name", name)]).await?, "property");
    let what = if near.is_empty() {
        format!("nothing is known of property {name}, nor of any other: no record has been merged yet")
    } else {
        format!("nothing is known of property {name}; there are, nearest first:")
    };
    Ok(Answer::Unknown { what, near })
}

fn column(rows: Vec<serde_json::Value>, name: &str) -> Vec<String> {
    rows.iter().filter_map(|row| row[name].as_str()).map(str::to_owned).collect()
}

async fn reservation(pipeline: &Pipeline, store: &Store, asked: &str) -> Result<Answer> {
    let Some((source, id)) = asked.split_once(':') else {
        let what = format!("`{asked}` names no source: write SOURCE:ID, such as booking-com:999");
        return Ok(Answer::Unknown { what, near: Vec::new() });
    };
    let id = reservation_id(source, id);
    let places = store.find_entity(&codec::key_bytes(&EntityKey::Reservation(id.clone()))).await?;
    let mut explained = Vec::new();
    for (at, property) in &places {
        if let Some(known) = load(pipeline, store, property, Some(*at)).await? {
            explained.push(stay::explain_reservation(store, known, &id).await?);
        }
    }
    if explained.is_empty() {
        return near_entities(store, 'r', source, &format!("reservation {asked}"), &id).await;
    }
    let text = explained.iter().map(show::stays).collect::<Vec<_>>().join("\n");
    Ok(Answer::Explained { json: serde_json::to_value(explained)?, text })
}

async fn one_stay(pipeline: &Pipeline, store: &Store, asked: &str) -> Result<Answer> {
    let id: Arc<str> = asked.into();
    let places = store.find_entity(&codec::key_bytes(&EntityKey::Stay(id.clone()))).await?;
    let mut explained = Vec::new();
    for (at, property) in &places {
        if let Some(known) = load(pipeline, store, property, Some(*at)).await? {
            explained.push(stay::explain_stay(store, known, &id).await?);
        }
    }
    if explained.is_empty() {
        let source = asked.split_once(':').map_or("", |(source, _)| source);
        return near_entities(store, 's', source, &format!("stay {asked}"), asked).await;
    }
    let text = explained.iter().map(show::stays).collect::<Vec<_>>().join("\n");
    Ok(Answer::Explained { json: serde_json::to_value(explained)?, text })
}

/// Ids of the same source that are written alike.
async fn near_entities(store: &Store, letter: char, source: &str, what: &str, id: &str) -> Result<Answer> {
    let sql = "SELECT DISTINCT substring(key, 2) AS id FROM state FINAL \
               WHERE property != '' AND value != '' AND startsWith(key, {prefix:String}) \
               ORDER BY editDistance(id, {id:String}), id LIMIT 5";
    let prefix = format!("{letter}{source}:");
    let near = column(store.query_json(sql, &[("prefix", &prefix), ("id", id)]).await?, "id");
    let what = if near.is_empty() {
        format!("there is no {what}, nor any other of source `{source}`")
    } else {
        format!("there is no {what}; of this source there are, nearest first:")
    };
    Ok(Answer::Unknown { what, near })
}
