//! The checks: one plugin, asked again and again.
//!
//! Knows what must be equal to what. Does not know files or how damage is done.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value as Json, json};

use super::cases::{Case, Suite};
use super::{Finding, KitError, native};
use crate::change::{Action, Change, LineChange};
use crate::plugin::{Delivery, Event, Host, Limits, Normalized, Normalizer, Routed, Split};
use crate::types::{Day, FieldType};

/// One plugin under trial.
pub(super) struct Trial<'a> {
    host: &'a Host,
    component: &'a [u8],
    limits: &'a Limits,
    fields: HashMap<Arc<str>, FieldType>,
    normalizer: Normalizer,
    fuel: u64,
}

/// What came of a damaged input.
pub(super) struct Tried {
    /// It was read as a message all the same.
    pub(super) taken: bool,
    /// The check that it failed, and how.
    pub(super) finding: Option<(&'static str, String)>,
}

impl<'a> Trial<'a> {
    pub(super) fn new(
        host: &'a Host,
        component: &'a [u8],
        suite: &Suite,
        limits: &'a Limits,
    ) -> Result<Trial<'a>, KitError> {
        let fields = suite.fields.iter().map(|(name, kind)| (name.as_str().into(), *kind)).collect();
        let normalizer = fresh(host, component, limits, &fields)?;
        Ok(Trial { host, component, limits, fields, normalizer, fuel: 0 })
    }

    pub(super) fn plugin(&self) -> String {
        self.normalizer.id().to_string()
    }

    pub(super) fn most_fuel(&self) -> u64 {
        self.fuel
    }

    fn ask(&mut self, settings: &str, events: &[Event]) -> Result<Vec<Normalized>, KitError> {
        let answers = self.normalizer.normalize(settings, events)?;
        self.fuel = self.fuel.max(self.normalizer.fuel_per_record());
        Ok(answers)
    }

    /// All that the plugin says about a case, as it is written down.
    pub(super) fn told(&mut self, case: &Case) -> Result<Json, KitError> {
        let parts = match self.normalizer.split(&case.settings, &delivery(case, &case.body))? {
            Split::Routed(parts) => parts,
            Split::Rejected(reason) => return Ok(json!({ "rejected": reason })),
            Split::Fault(reason) => return Ok(json!({ "fault": reason })),
            Split::TooLarge(reason) => return Ok(json!({ "too_large": reason })),
        };
        let answers = self.ask(&case.settings, &events(case, &parts, &case.body))?;
        let parts: Vec<Json> = parts.iter().zip(answers).map(|(part, answer)| told_part(part, answer)).collect();
        Ok(json!({ "parts": parts }))
    }

    /// Whether the parts are about the property and date under which they are filed, and none of them fails.
    pub(super) fn agreement(&mut self, case: &Case) -> Result<Option<Finding>, KitError> {
        let finding = |check, detail| Ok(Some(Finding { about: case.name.clone(), check, detail, input: None }));
        let parts = match self.normalizer.split(&case.settings, &delivery(case, &case.body))? {
            Split::Routed(parts) => parts,
            Split::Fault(reason) => return finding("fault", format!("while it was split: {reason}")),
            Split::Rejected(_) | Split::TooLarge(_) => return Ok(None),
        };
        let answers = self.ask(&case.settings, &events(case, &parts, &case.body))?;
        for (part, answer) in parts.iter().zip(&answers) {
            if let Normalized::Fault(reason) = answer {
                return finding("fault", reason.clone());
            }
            if let Some(detail) = disagreement(part, answer, true) {
                return finding("agreement", detail);
            }
        }
        Ok(None)
    }

    /// Whether every record gets the same answer alone, in any company, in a fresh instance and in a used one.
    pub(super) fn repeatable(&mut self, cases: &[Case]) -> Result<Vec<Finding>, KitError> {
        let mut findings = Vec::new();
        let mut by_settings: HashMap<&str, Vec<(&str, Event)>> = HashMap::new();
        for case in cases {
            let parts = match self.normalizer.split(&case.settings, &delivery(case, &case.body))? {
                Split::Routed(parts) => parts,
                _ => Vec::new(),
            };
            let again = fresh(self.host, self.component, self.limits, &self.fields)?
                .split(&case.settings, &delivery(case, &case.body))?;
            if let Split::Routed(again) = again
                && again != parts
            {
                let detail = "a fresh instance splits the message otherwise".to_owned();
                findings.push(Finding { about: case.name.clone(), check: "repeatable", detail, input: None });
            }
            let events = events(case, &parts, &case.body).into_iter().map(|event| (case.name.as_str(), event));
            by_settings.entry(&case.settings).or_default().extend(events);
        }
        for (settings, asked) in by_settings {
            let events: Vec<Event> = asked.iter().map(|(_, event)| event.clone()).collect();
            let mut alone = Vec::new();
            for event in &events {
                let mut fresh = fresh(self.host, self.component, self.limits, &self.fields)?;
                alone.extend(fresh.normalize(settings, std::slice::from_ref(event))?);
            }
            for cut in [1, 2, 3, 7, events.len().max(1)] {
                let mut answers = Vec::new();
                for chunk in events.chunks(cut) {
                    answers.extend(self.ask(settings, chunk)?);
                }
                findings.extend(differences(&asked, &alone, &answers, &format!("in calls of {cut}")));
            }
            let backwards: Vec<Event> = events.iter().rev().cloned().collect();
            let mut answers = self.ask(settings, &backwards)?;
            answers.reverse();
            findings.extend(differences(&asked, &alone, &answers, "in the opposite order"));
        }
        Ok(findings)
    }

    /// A damaged body: it may say anything, but it may not fail.
    pub(super) fn mutated(&mut self, case: &Case, body: &[u8]) -> Result<Tried, KitError> {
        let fault = |reason: String| Tried { taken: false, finding: Some(("fault", reason)) };
        let parts = match self.normalizer.split(&case.settings, &delivery(case, body))? {
            Split::Routed(parts) => parts,
            Split::Fault(reason) => return Ok(fault(format!("while it was split: {reason}"))),
            // The log keeps it as it is, and its record is a dead letter for the same reason.
            Split::Rejected(_) | Split::TooLarge(_) => {
                vec![Routed { property: "x".into(), date: Day::EPOCH, body: None }]
            }
        };
        let answers = self.ask(&case.settings, &events(case, &parts, body))?;
        let mut taken = false;
        for (part, answer) in parts.iter().zip(&answers) {
            if let Normalized::Fault(reason) = answer {
                return Ok(fault(reason.clone()));
            }
            taken |= matches!(answer, Normalized::Said { .. });
            if &*part.property != "x"
                && let Some(detail) = disagreement(part, answer, false)
            {
                return Ok(Tried { taken, finding: Some(("agreement", detail)) });
            }
        }
        Ok(Tried { taken, finding: None })
    }
}

fn fresh(
    host: &Host,
    component: &[u8],
    limits: &Limits,
    fields: &HashMap<Arc<str>, FieldType>,
) -> Result<Normalizer, KitError> {
    let mut normalizer = host.normalizer(component, limits.clone())?;
    normalizer.set_fields(fields);
    Ok(normalizer)
}

fn delivery(case: &Case, body: &[u8]) -> Delivery {
    Delivery {
        content_type: case.content_type.clone(),
        attributes: case.attributes.clone(),
        body: Bytes::copy_from_slice(body),
    }
}

fn events(case: &Case, parts: &[Routed], body: &[u8]) -> Vec<Event> {
    let body = Bytes::copy_from_slice(body);
    let event = |(number, part): (usize, &Routed)| Event {
        id: format!("{}#{number}", case.name),
        // 2026-03-01T12:00:00Z: time comes in the event, and answers may depend on it.
        time: Some(1_772_366_400_000_000),
        property: part.property.clone(),
        date: part.date,
        content_type: case.content_type.clone(),
        attributes: case.attributes.clone(),
        body: part.body.clone().unwrap_or_else(|| body.clone()),
    };
    parts.iter().enumerate().map(event).collect()
}

fn told_part(part: &Routed, answer: Normalized) -> Json {
    let mut told = json!({ "property": part.property, "date": part.date.to_string() });
    if let Some(body) = &part.body {
        told["body"] = json!(String::from_utf8_lossy(body));
    }
    match answer {
        Normalized::Said { property, changes } => {
            if property != part.property {
                told["about"] = json!(property);
            }
            told["changes"] = changes.iter().map(native::change).collect();
        }
        Normalized::Rejected(reason) => told["rejected"] = json!(reason),
        Normalized::Fault(reason) => told["fault"] = json!(reason),
        Normalized::TooLarge(reason) => told["too_large"] = json!(reason),
    }
    told
}

/// How what is said differs from where it was filed. The date is checked where `dates`: it only helps people to
/// find a record, and damage may well part it from the content.
fn disagreement(part: &Routed, answer: &Normalized, dates: bool) -> Option<String> {
    let Normalized::Said { property, changes } = answer else { return None };
    if *property != part.property {
        return Some(format!("it files the part under property {} and says it is about {property}", part.property));
    }
    let named: Vec<Day> = changes.iter().flat_map(days).collect();
    if dates && !named.is_empty() && !named.contains(&part.date) {
        return Some(format!("it files the part under {}, on which no stay and no night in it begins", part.date));
    }
    None
}

/// Arrivals and first nights that a change names.
fn days(change: &Change) -> Vec<Day> {
    let arrivals = |lines: &[LineChange]| lines.iter().filter_map(|line| line.arrival).collect();
    match &change.action {
        Action::InventorySet(nights) => vec![nights.nights.first],
        Action::InventoryReplace { scope, nights } => {
            std::iter::once(scope.nights.first).chain(nights.iter().map(|n| n.nights.first)).collect()
        }
        Action::Withdraw(scope) => vec![scope.nights.first],
        Action::LineSet { line, .. } => arrivals(std::slice::from_ref(line)),
        Action::ReservationReplace { lines, .. } => arrivals(lines),
        Action::LineCancel { .. } | Action::SnapshotBegin | Action::SnapshotEnd => Vec::new(),
    }
}

fn differences(asked: &[(&str, Event)], alone: &[Normalized], answers: &[Normalized], how: &str) -> Vec<Finding> {
    let pairs = asked.iter().zip(alone).zip(answers);
    pairs
        .filter(|((_, alone), answer)| alone != answer)
        .map(|(((name, event), alone), answer)| Finding {
            about: (*name).to_owned(),
            check: "repeatable",
            detail: format!("record {}: a fresh instance says {alone:?}, {how} it says {answer:?}", event.id),
            input: None,
        })
        .collect()
}
