//! The one place where the tests touch the real merge: a log in, tables out.
//!
//! Everything that knows how the real merge is fed and how its rows are collected belongs here.

use std::collections::BTreeMap;
use std::sync::Arc;

use concord::event::is_content_id;
use concord::log::Offset;
use concord::merge::{Bounds, Clock, Effects, Incoming, Judged, MasterData, Merge, Property, Refusal, Setup, codec};
use concord::rows::{DeadLetterKind, ReservationRow, RoomNightRow};
use concord::types::Day;
use hashbrown::HashMap;

use crate::fixed_rules::FixedRules;
use crate::model::{self, Input, What};
use crate::tables::{RecordOutcome, Tables};

/// Larger than any test's record.
const ENTITIES: usize = 30_000;

struct Master<'a>(&'a model::Setup);

impl MasterData for Master<'_> {
    fn default_capacity(&self, property: &str, room_type: &str) -> Option<u32> {
        self.0.default_capacity.get(&(property.to_owned(), room_type.to_owned())).copied()
    }

    fn room_type_of(&self, property: &str, room: &str) -> Option<Arc<str>> {
        self.0.rooms.get(&(property.to_owned(), room.to_owned())).map(|t| t.as_str().into())
    }
}

fn merge_setup(setup: &model::Setup) -> Setup {
    Setup {
        partition: setup.partition,
        rule_set: setup.rule_set_label.as_str().into(),
        plugin: setup.plugin_label.as_str().into(),
        bounds: Bounds { stay_nights: setup.max_stay_nights as usize, entities: ENTITIES },
        dedup_span: setup.dedup_span_ms,
        layout_epoch: 0,
    }
}

/// The tables as ClickHouse keeps them: the last version of a row stands.
#[derive(Default)]
struct Rows {
    room_nights: BTreeMap<(Arc<str>, Day, Arc<str>), RoomNightRow>,
    reservations: BTreeMap<(Arc<str>, Day, Arc<str>, Arc<str>), ReservationRow>,
    tables: Tables,
}

impl Rows {
    fn take(&mut self, effects: &mut Effects) {
        for row in effects.room_nights.drain(..) {
            self.room_nights.insert((row.property.clone(), row.date, row.room_type.clone()), row);
        }
        for row in effects.reservations.drain(..) {
            let key = (row.property.clone(), row.date, row.room_type.clone(), row.stay.clone());
            self.reservations.insert(key, row);
        }
        self.tables.conflicts.append(&mut effects.conflicts);
    }

    fn finish(mut self) -> Tables {
        self.tables.room_nights = self.room_nights.into_values().collect();
        self.tables.reservations = self.reservations.into_values().collect();
        self.tables.canonical()
    }
}

/// The state table: what was written last under each key.
#[derive(Default)]
struct State(BTreeMap<Arc<str>, BTreeMap<Vec<u8>, Vec<u8>>>);

impl State {
    /// Writes what differs and forgets everything in memory.
    fn write_and_forget(&mut self, properties: &mut BTreeMap<Arc<str>, Property>) {
        for (name, mut property) in std::mem::take(properties) {
            let table = self.0.entry(name).or_default();
            for row in codec::drain(&mut property).expect("the state can be written") {
                table.insert(row.key, row.value);
            }
        }
    }

    fn load(&self, name: &Arc<str>) -> Property {
        let rows: Vec<(Vec<u8>, Vec<u8>)> =
            self.0.get(name).into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
        codec::load(name.clone(), &rows).expect("the state can be read")
    }
}

/// Runs the real merge over a log. A batch ends before each position in `cuts` (positions in `log`, ascending), and
/// after each batch the merge's memory is dropped and loaded again from the state that it wrote.
///
/// `None` where the log does what the real merge does not do: decide existing rows again under another configuration.
pub fn run(setup: &model::Setup, rules: &FixedRules, log: &[Input], cuts: &[usize]) -> Option<Tables> {
    let (mut policy, merge_setup, master) = (rules.clone(), merge_setup(setup), Master(setup));
    let (mut rows, mut state, mut effects) = (Rows::default(), State::default(), Effects::default());
    let mut properties: BTreeMap<Arc<str>, Property> = BTreeMap::new();
    let (mut now, mut resets): (i64, HashMap<Arc<str>, Offset>) = (0, HashMap::new());
    for (at, record) in log.iter().enumerate() {
        if cuts.contains(&at) {
            state.write_and_forget(&mut properties);
        }
        let outcome = match &record.what {
            What::Tick(millis) => {
                now = now.max(*millis);
                RecordOutcome::Control
            }
            What::Reset { source } => {
                resets.insert(source.as_str().into(), record.offset);
                RecordOutcome::Control
            }
            What::Configure(_) => return None,
            What::Changes { property, changes } => {
                let name: Arc<str> = property.as_str().into();
                let property = properties.entry(name.clone()).or_insert_with(|| state.load(&name));
                let incoming = Incoming {
                    source: record.source.as_str().into(),
                    id: &record.id,
                    content_id: is_content_id(&record.id),
                    order: record.order,
                    position: record.offset,
                    log_time: record.log_time,
                    changes,
                };
                let mut merge = Merge { policy: &mut policy, master: &master, setup: &merge_setup };
                let judged = merge.record(property, &incoming, Clock { now, resets: &resets }, &mut effects);
                rows.take(&mut effects);
                let kind = match judged {
                    Judged::Merged => Ok(RecordOutcome::Merged),
                    Judged::Stale => Ok(RecordOutcome::Stale),
                    Judged::Duplicate => Ok(RecordOutcome::Duplicate),
                    Judged::Refused(Refusal::Rejected(_)) => Err(DeadLetterKind::Rejected),
                    Judged::Refused(Refusal::TooLarge(_)) => Err(DeadLetterKind::TooLarge),
                };
                kind.unwrap_or_else(|kind| {
                    rows.tables.dead_letters.push((record.offset, kind));
                    RecordOutcome::DeadLetter
                })
            }
        };
        rows.tables.outcomes.push((record.offset, outcome));
    }
    Some(rows.finish())
}
