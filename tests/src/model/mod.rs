//! The reference model of the merge: small, slow and obviously right.
//!
//! It follows `merge-semantics.md` rule by rule and keeps only the history that the rules need. After
//! every record that was merged it recomputes every contest, stay, room assignment and capacity
//! decision of the property from plain lists. It shares the contract types with the real merge (changes,
//! questions to the policy, rows) and nothing else; it knows neither batches nor storage.
//!
//! The modules stand in the order in which data flows: `claims` (what the sources say), `take` (a record
//! becomes claims), `stays` (lines become stays), `rooms` (stays get rooms), `publish` (rows).

mod claims;
mod publish;
mod rooms;
mod stays;
mod take;

#[cfg(test)]
mod golden;
#[cfg(test)]
mod invariants;

use std::collections::BTreeMap;
use std::sync::Arc;

use concord::change::Change;
use concord::policy::Policy;
use concord::rows::{Cause, DeadLetterKind};

use crate::fixed_rules::FixedRules;
use crate::tables::{RecordOutcome, Tables};
use claims::Claims;
use publish::Published;
use rooms::Memory;
use take::Tally;

/// A name of a source, a room type, a room and so on.
pub(crate) type Name = Arc<str>;

/// One record of the partition, normalized and with its codes mapped.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    pub offset: u64,
    pub source: String,
    pub id: String,
    /// The offset; for a retried dead letter the offset at which it first stood.
    pub order: u64,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub log_time: i64,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq)]
pub enum What {
    Changes {
        property: String,
        changes: Vec<Change>,
    },
    /// Partition time in milliseconds since 1970-01-01T00:00:00Z.
    Tick(i64),
    Reset {
        source: String,
    },
    /// Another configuration is in force from here on.
    Configure(Box<Configuration>),
}

/// Rules and master data.
#[derive(Clone, Debug, PartialEq)]
pub struct Configuration {
    pub setup: Setup,
    pub rules: FixedRules,
}

/// What is configured.
#[derive(Clone, Debug, PartialEq)]
pub struct Setup {
    pub partition: u32,
    /// `name@version#hash`.
    pub rule_set_label: String,
    /// `name@version` of the precedence plugin.
    pub plugin_label: String,
    /// By (property, room type).
    pub default_capacity: BTreeMap<(String, String), u32>,
    /// (property, room) to room type.
    pub rooms: BTreeMap<(String, String), String>,
    pub max_stay_nights: u32,
    /// How long delivery ids are kept, in milliseconds of partition time.
    pub dedup_span_ms: i64,
}

/// A record that cannot be merged, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rejection(pub String);

/// Everything about one property.
#[derive(Clone, Default)]
struct Property {
    claims: Claims,
    memory: Memory,
    published: Published,
}

/// Partition time: the running maximum of the ticks, and the first of them.
#[derive(Clone, Copy, Default)]
pub(crate) struct Clock {
    pub now: Option<i64>,
    pub first: Option<i64>,
}

impl Clock {
    fn tick(&mut self, millis: i64) {
        self.first = self.first.or(Some(millis));
        self.now = self.now.max(Some(millis));
    }

    /// Whether something of partition time `then` is at most `span` old. What happened before the first tick
    /// counts from the first tick: before it no time has passed.
    pub fn within(&self, then: Option<i64>, span: i64) -> bool {
        match (self.now, then.or(self.first)) {
            (Some(now), Some(then)) => now - then <= span,
            _ => true,
        }
    }
}

/// Merges a log and gives the tables as one reads them at its end.
pub fn run(setup: &Setup, policy: &mut dyn Policy, log: &[Input]) -> Tables {
    let mut properties: BTreeMap<Name, Property> = BTreeMap::new();
    let mut clock = Clock::default();
    let mut tables = Tables::default();
    let mut active: Option<Configuration> = None;
    for record in log {
        if let What::Configure(configuration) = &record.what {
            active = Some((**configuration).clone());
        }
        let (setup, policy): (&Setup, &mut dyn Policy) = match &mut active {
            Some(active) => (&active.setup, &mut active.rules),
            None => (setup, &mut *policy),
        };
        let outcome = match &record.what {
            What::Tick(millis) => {
                clock.tick(*millis);
                RecordOutcome::Control
            }
            What::Reset { source } => {
                properties.values_mut().for_each(|property| property.claims.reset(source));
                RecordOutcome::Control
            }
            What::Configure(_) => {
                let mut rows = Vec::new();
                for (name, property) in &mut properties {
                    let parts = property_parts(property);
                    rows.extend(publish::decide(setup, policy, name, parts, record, Cause::RuleChange));
                }
                tables.conflicts.extend(publish::number(rows));
                RecordOutcome::Control
            }
            What::Changes { property: name, changes } => {
                let name: Name = name.as_str().into();
                let property = properties.entry(name.clone()).or_default();
                let outcome = merge(setup, clock, property, record, changes);
                match outcome {
                    Ok(RecordOutcome::Merged) => {
                        let parts = property_parts(property);
                        let rows = publish::decide(setup, policy, &name, parts, record, Cause::Event);
                        tables.conflicts.extend(publish::number(rows));
                        RecordOutcome::Merged
                    }
                    Ok(other) => other,
                    Err(_) => {
                        tables.dead_letters.push((record.offset, DeadLetterKind::Rejected));
                        RecordOutcome::DeadLetter
                    }
                }
            }
        };
        tables.outcomes.push((record.offset, outcome));
    }
    for property in properties.into_values() {
        tables.room_nights.extend(property.published.room_nights.into_values());
        tables.reservations.extend(property.published.reservations.into_values());
    }
    tables.canonical()
}

fn property_parts(property: &mut Property) -> (&Claims, &mut Memory, &mut Published) {
    (&property.claims, &mut property.memory, &mut property.published)
}

/// Takes a record whole or, when it is refused, not at all (rule 8).
fn merge(
    setup: &Setup,
    clock: Clock,
    property: &mut Property,
    record: &Input,
    changes: &[Change],
) -> Result<RecordOutcome, Rejection> {
    let mut attempt = property.claims.clone();
    let tally = take::record(&mut attempt, setup, clock, record, changes)?;
    property.claims = attempt;
    Ok(match tally {
        Tally { taken: true, .. } => RecordOutcome::Merged,
        Tally { stale: true, .. } => RecordOutcome::Stale,
        Tally { .. } => RecordOutcome::Duplicate,
    })
}
