//! A plugin per source: deliveries into parts, records into changes.
//!
//! Knows the normalizer's functions and what their answers must look like. Does not know which
//! source it serves or what becomes of the changes.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use wasmtime::Store;

use super::bindings::normalizer::exports::concord::plugin::normalize as wire;
use super::bindings::normalizer::{Normalizer as Guest, NormalizerPre};
use super::convert::{self, Checker, Refused};
use super::error::{HostError, LoadError};
use super::limits::Limits;
use super::pool::{self, Kind, Pool, Wrong};
use super::sandbox::{self, Budget, Cell};
use crate::change::Change;
use crate::types::{Day, FieldType};

/// Message formats and fields that a description may list.
const DESCRIBED: usize = 256;

/// What a normalizer says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    pub name: String,
    /// Of the plugin.
    pub version: String,
    /// Media types or names of the formats it takes.
    pub formats: Vec<String>,
    /// Inventory fields that it may set.
    pub fields: Vec<String>,
}

/// A message as it enters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// RFC 2046 media type; empty when unknown.
    pub content_type: String,
    /// From the transport; names are lower-case letters and digits.
    pub attributes: Vec<(String, String)>,
    pub body: Bytes,
}

/// One part of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routed {
    /// In the source's own code.
    pub property: Arc<str>,
    /// Arrival, or first night.
    pub date: Day,
    /// `None` means the whole body.
    pub body: Option<Bytes>,
}

/// What became of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Split {
    /// At least one part.
    Routed(Vec<Routed>),
    /// In words for the sender.
    Rejected(String),
    /// The plugin failed.
    Fault(String),
    TooLarge(String),
}

/// A record of the log, as a normalizer sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// CloudEvents `id`.
    pub id: String,
    /// CloudEvents `time`, microseconds since 1970-01-01T00:00:00Z.
    pub time: Option<i64>,
    /// From the record's key.
    pub property: Arc<str>,
    /// From the record's key.
    pub date: Day,
    pub content_type: String,
    pub attributes: Vec<(String, String)>,
    pub body: Bytes,
}

/// What became of a record. Depends on the record, the settings and the plugin, and on nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Normalized {
    /// Checked. The property is in the source's own code; whether it is the key's, the merge checks.
    Said { property: Arc<str>, changes: Vec<Change> },
    /// The plugin, or the host's bounds, refuse the content; in words for the sender.
    Rejected(String),
    /// The plugin failed on this record alone; with its own last words.
    Fault(String),
    /// More than one record may hold.
    TooLarge(String),
}

impl From<Refused> for Normalized {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Rejected(reason) => Normalized::Rejected(reason),
            Refused::TooLarge(reason) => Normalized::TooLarge(reason),
        }
    }
}

/// A loaded normalizer. One per thread that uses it; loading the same component again is cheap.
pub struct Normalizer {
    pool: Pool<Starter>,
    description: Description,
    id: Arc<str>,
    fields: HashMap<Arc<str>, FieldType>,
}

struct Starter(NormalizerPre<Cell>);

impl Kind for Starter {
    type Guest = Guest;

    fn start(&self, store: &mut Store<Cell>) -> Result<Guest, Wrong> {
        Ok(self.0.instantiate(store)?)
    }
}

impl Normalizer {
    /// Starts the plugin once and lets it describe itself.
    pub(super) fn load(engine: &wasmtime::Engine, pre: NormalizerPre<Cell>, limits: Limits) -> Result<Self, LoadError> {
        let mut pool = Pool::new(engine, "normalizer".into(), limits, Starter(pre));
        let Limits { fuel_to_start: fuel, output_bytes, .. } = *pool.limits();
        let budget = Budget { fuel, output_bytes, purpose: "its description", limit: "fuel_to_start" };
        let code_bytes = pool.limits().code_bytes;
        let description = pool
            .first(budget, |store, guest| {
                let said = guest.concord_plugin_normalize().call_describe(store)?;
                describe(said, code_bytes).map_err(Wrong::Nonsense)
            })
            .map_err(|failure| LoadError::Fault(failure.message))?;
        let id: Arc<str> = format!("{}@{}", description.name, description.version).into();
        pool.rename(id.clone());
        Ok(Normalizer { pool, description, id, fields: HashMap::new() })
    }

    /// What the plugin says about itself.
    pub fn describe(&self) -> &Description {
        &self.description
    }

    /// `name@version`, as it stands in tables.
    pub fn id(&self) -> Arc<str> {
        self.id.clone()
    }

    /// Units of fuel that a record took lately, averaged over a call: what `fuel_per_record` should lie
    /// well above. 0 before the first record.
    pub fn fuel_per_record(&self) -> u64 {
        self.pool.cost()
    }

    /// The pipeline's inventory fields beyond `capacity`, `availability` and `closed`; any other that
    /// a record sets is rejected.
    pub fn set_fields(&mut self, fields: &HashMap<Arc<str>, FieldType>) {
        self.fields = fields.clone();
    }

    /// Where the parts of a delivery belong. `settings` is the source's `settings` table as a JSON object.
    pub fn split(&mut self, settings: &str, delivery: &Delivery) -> Result<Split, HostError> {
        let limits = self.pool.limits().clone();
        let budget = Budget {
            fuel: limits.fuel_per_delivery,
            output_bytes: limits.split_output_bytes,
            purpose: "one delivery",
            limit: "fuel_per_delivery",
        };
        let attributes = borrowed(&delivery.attributes);
        let fields = HashMap::new();
        let mut answers = self.pool.ask(
            budget,
            std::slice::from_ref(delivery),
            |d| d.body.len(),
            |store, guest, asked| {
                let delivery = &asked[0];
                let wire = wire::Delivery {
                    content_type: &delivery.content_type,
                    attributes: &attributes,
                    body: &delivery.body,
                };
                let parts = guest.concord_plugin_normalize().call_split(store, settings, wire)?;
                Ok(vec![routed(parts, &Checker::new(&fields, &limits), &limits)])
            },
        )?;
        Ok(match answers.pop() {
            Some(Ok(split)) => split,
            Some(Err(failure)) => Split::Fault(failure.message),
            None => Split::Fault("the plugin did not answer".into()),
        })
    }

    /// What the records say, one answer each, in order. They may be of any number: calls are cut here.
    pub fn normalize(&mut self, settings: &str, events: &[Event]) -> Result<Vec<Normalized>, HostError> {
        let budget = self.pool.per_record("one record");
        let limits = self.pool.limits().clone();
        let fields = &self.fields;
        let answers = self.pool.ask(
            budget,
            events,
            |event| event.body.len() + 1_024,
            |store, guest, asked| {
                let attributes: Vec<_> = asked.iter().map(|event| borrowed(&event.attributes)).collect();
                let wire: Vec<_> = asked.iter().zip(&attributes).zip(0..).map(|((e, a), i)| lowered(e, a, i)).collect();
                let outcomes = guest.concord_plugin_normalize().call_normalize(store, settings, &wire)?;
                lift(outcomes, asked.len(), fields, &limits)
            },
        )?;
        Ok(answers.into_iter().map(|answer| answer.unwrap_or_else(|f| Normalized::Fault(f.message))).collect())
    }
}

fn borrowed(attributes: &[(String, String)]) -> Vec<(&str, &str)> {
    attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

fn lowered<'a>(event: &'a Event, attributes: &'a [(&'a str, &'a str)], index: u32) -> wire::Event<'a> {
    wire::Event {
        index,
        id: &event.id,
        time: event.time,
        property: &event.property,
        date: event.date.0,
        content_type: &event.content_type,
        attributes,
        body: &event.body,
    }
}

/// One outcome per event, in order, or the whole call is nonsense.
fn lift(
    outcomes: Vec<wire::Outcome>,
    asked: usize,
    fields: &HashMap<Arc<str>, FieldType>,
    limits: &Limits,
) -> Result<Vec<Normalized>, Wrong> {
    if outcomes.len() != asked {
        return Err(Wrong::Nonsense(pool::wrong_count(outcomes.len(), asked)));
    }
    let mut normalized = Vec::with_capacity(asked);
    for (place, outcome) in outcomes.into_iter().enumerate() {
        if outcome.index as usize != place {
            let message = format!("the plugin answered record {} in place of record {place}", outcome.index);
            return Err(Wrong::Nonsense(message));
        }
        normalized.push(match outcome.said {
            Ok(said) => said_or_refused(said, fields, limits).unwrap_or_else(Normalized::from),
            Err(reason) => Normalized::Rejected(worded(&reason, limits)),
        });
    }
    Ok(normalized)
}

fn said_or_refused(
    said: wire::Said,
    fields: &HashMap<Arc<str>, FieldType>,
    limits: &Limits,
) -> Result<Normalized, Refused> {
    let checker = Checker::new(fields, limits);
    let property = checker.code("property", said.property)?;
    Ok(Normalized::Said { property, changes: checker.changes(said.changes)? })
}

/// A guest's reason, bounded and never empty.
fn worded(reason: &str, limits: &Limits) -> String {
    let reason = sandbox::clip(reason.trim(), limits.text_bytes);
    if reason.is_empty() { "the plugin rejected the message without a reason".into() } else { reason }
}

fn routed(parts: Result<Vec<wire::Routed>, String>, checker: &Checker<'_>, limits: &Limits) -> Split {
    let parts = match parts {
        Ok(parts) if parts.is_empty() => {
            return Split::Rejected("the delivery holds nothing about any property".into());
        }
        Ok(parts) => parts,
        Err(reason) => return Split::Rejected(worded(&reason, limits)),
    };
    let checked = convert::most(parts.len(), limits.parts_per_delivery, "parts", "parts_per_delivery").and_then(|()| {
        let part = |part: wire::Routed| {
            Ok(Routed {
                property: checker.code("property", part.property)?,
                date: convert::day("date", part.date)?,
                body: part.body.map(Bytes::from),
            })
        };
        parts.into_iter().map(part).collect()
    });
    match checked {
        Ok(parts) => Split::Routed(parts),
        Err(Refused::Rejected(reason)) => Split::Rejected(reason),
        Err(Refused::TooLarge(reason)) => Split::TooLarge(reason),
    }
}

/// Checks a description; `Err` says what is wrong with it.
fn describe(said: wire::Description, code_bytes: usize) -> Result<Description, String> {
    let wire::Description { name, version, formats, fields } = said;
    let fine = |text: &String| !text.is_empty() && text.len() <= code_bytes && !text.chars().any(char::is_control);
    if !fine(&name) || name.contains('@') {
        return Err(format!(
            "the plugin's name `{}` is empty, too long or contains `@`",
            sandbox::clip(&name, code_bytes)
        ));
    }
    if !fine(&version) {
        return Err(format!("the plugin's version `{}` is empty or too long", sandbox::clip(&version, code_bytes)));
    }
    if formats.len() > DESCRIBED || fields.len() > DESCRIBED {
        return Err(format!("the plugin describes more than {DESCRIBED} formats or fields"));
    }
    if !formats.iter().chain(&fields).all(fine) {
        return Err("a format or field of the plugin's description is empty or too long".into());
    }
    Ok(Description { name, version, formats, fields })
}
