//! The one place where the tests touch the real merge: a log in, tables out.
//!
//! Everything that knows how the real merge is fed and how its rows are collected belongs here. Knows
//! no ClickHouse: rows replace each other as `ReplacingMergeTree` would do it.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;

use concord::merge::{Bounds, Clock, Effects, Incoming, Judged, MasterData, Merge, Property, Refusal, Setup, codec};
use concord::policy::Policy;
use concord::rows::{DeadLetterKind, ReservationRow, RoomNightRow};
use concord::types::Day;

use crate::fixed_rules::FixedRules;
use crate::model::{self, Input, What};
use crate::tables::{RecordOutcome, Tables};

type Name = Arc<str>;

/// Runs the real merge over a log. A batch ends before each position in `cuts` (positions in `log`, ascending): its
/// rows reach the tables, and the merge's memory is dropped and loaded again from the state that it wrote.
///
/// `None` where the log does what the real merge does not do yet: decide existing rows again under another configuration.
pub fn run(setup: &model::Setup, rules: &FixedRules, log: &[Input], cuts: &[usize]) -> Option<Tables> {
    let configured = |record: &Input| matches!(record.what, What::Configure(_));
    (!log.iter().any(configured)).then(|| raw(setup, &mut rules.clone(), log, cuts).canonical())
}

/// The same under any policy and one configuration, with the rows as they are written: versions and log times too.
pub fn raw(setup: &model::Setup, policy: &mut dyn Policy, log: &[Input], cuts: &[usize]) -> Tables {
    raw_watched(setup, policy, log, cuts, |_| ())
}

/// The same, and everything in the tables is shown after each batch but the last.
pub fn raw_watched(
    setup: &model::Setup,
    policy: &mut dyn Policy,
    log: &[Input],
    cuts: &[usize],
    mut watch: impl FnMut(&Tables),
) -> Tables {
    let mut run = Run::new(setup);
    for (at, record) in log.iter().enumerate() {
        if cuts.contains(&at) {
            run.end_batch();
            watch(&run.tables());
        }
        run.record(policy, record);
    }
    run.end_batch();
    run.tables()
}

/// The master data of a model's setting.
struct Master(model::Setup);

impl MasterData for Master {
    fn default_capacity(&self, property: &str, room_type: &str) -> Option<u32> {
        self.0.default_capacity.get(&(property.to_owned(), room_type.to_owned())).copied()
    }

    fn room_type_of(&self, property: &str, room: &str) -> Option<Name> {
        self.0.rooms.get(&(property.to_owned(), room.to_owned())).map(|name| name.as_str().into())
    }
}

fn setup_of(setup: &model::Setup) -> Setup {
    Setup {
        partition: setup.partition,
        rule_set: setup.rule_set_label.as_str().into(),
        plugin: setup.plugin_label.as_str().into(),
        bounds: Bounds { stay_nights: setup.max_stay_nights as usize, entities: 50_000 },
        dedup_span: setup.dedup_span_ms,
    }
}

type NightKey = (Name, Day, Name);

/// Rows by key, the last one of each.
#[derive(Default)]
struct Rows {
    room_nights: BTreeMap<NightKey, RoomNightRow>,
    reservations: BTreeMap<(NightKey, Name), ReservationRow>,
}

impl Rows {
    /// Takes a record's rows over. A key twice in one record would leave the table to chance.
    fn add(&mut self, effects: &mut Effects) {
        let mut seen = Rows::default();
        for row in effects.room_nights.drain(..) {
            let key = (row.property.clone(), row.date, row.room_type.clone());
            assert!(seen.room_nights.insert(key.clone(), row.clone()).is_none(), "twice in one record: {row:?}");
            self.room_nights.insert(key, row);
        }
        for row in effects.reservations.drain(..) {
            let key = ((row.property.clone(), row.date, row.room_type.clone()), row.stay.clone());
            assert!(seen.reservations.insert(key.clone(), row.clone()).is_none(), "twice in one record: {row:?}");
            self.reservations.insert(key, row);
        }
    }

    /// The table takes a batch's rows: a higher version replaces a lower one.
    fn replace(&mut self, batch: Rows) {
        for (key, row) in batch.room_nights {
            let old = self.room_nights.insert(key, row.clone());
            assert!(old.is_none_or(|old| old.version < row.version), "the version does not grow: {row:?}");
        }
        for (key, row) in batch.reservations {
            let old = self.reservations.insert(key, row.clone());
            assert!(old.is_none_or(|old| old.version < row.version), "the version does not grow: {row:?}");
        }
    }
}

/// A partition's worker, as far as the merge can tell.
struct Run {
    setup: Setup,
    master: Master,
    now: i64,
    first: i64,
    resets: HashMap<Name, u64>,
    properties: BTreeMap<Name, Property>,
    /// The `state` table.
    state: BTreeMap<(Name, Vec<u8>), Vec<u8>>,
    batch: Rows,
    rows: Rows,
    tables: Tables,
}

impl Run {
    fn new(setup: &model::Setup) -> Run {
        Run {
            setup: setup_of(setup),
            master: Master(setup.clone()),
            now: 0,
            first: 0,
            resets: HashMap::new(),
            properties: BTreeMap::new(),
            state: BTreeMap::new(),
            batch: Rows::default(),
            rows: Rows::default(),
            tables: Tables::default(),
        }
    }

    fn record(&mut self, policy: &mut dyn Policy, record: &Input) {
        let outcome = match &record.what {
            What::Tick(millis) => {
                if self.first == 0 {
                    self.first = *millis;
                }
                self.now = self.now.max(*millis);
                RecordOutcome::Control
            }
            What::Reset { source } => {
                self.resets.insert(source.as_str().into(), record.offset);
                RecordOutcome::Control
            }
            What::Configure(_) => RecordOutcome::Control,
            What::Changes { property, changes } => self.merge(policy, record, &property.as_str().into(), changes),
        };
        self.tables.outcomes.push((record.offset, outcome));
    }

    fn merge(
        &mut self,
        policy: &mut dyn Policy,
        record: &Input,
        name: &Name,
        changes: &[concord::change::Change],
    ) -> RecordOutcome {
        let state = &self.state;
        let property = self.properties.entry(name.clone()).or_insert_with(|| load(state, name));
        let incoming = Incoming {
            source: record.source.as_str().into(),
            id: &record.id,
            content_id: record.id.starts_with("sha256-"),
            order: record.order,
            position: record.offset,
            log_time: record.log_time,
            changes,
        };
        let mut effects = Effects::default();
        let mut merge = Merge { policy, master: &self.master, setup: &self.setup };
        let clock = Clock { now: self.now, first: self.first, resets: &self.resets };
        let judged = merge.record(property, &incoming, clock, &mut effects);
        self.tables.conflicts.append(&mut effects.conflicts);
        self.batch.add(&mut effects);
        let kind = match judged {
            Judged::Merged => return RecordOutcome::Merged,
            Judged::Stale => return RecordOutcome::Stale,
            Judged::Duplicate => return RecordOutcome::Duplicate,
            Judged::Refused(Refusal::Rejected(_)) => DeadLetterKind::Rejected,
            Judged::Refused(Refusal::TooLarge(_)) => DeadLetterKind::TooLarge,
        };
        self.tables.dead_letters.push((record.offset, kind));
        RecordOutcome::DeadLetter
    }

    /// Writes rows and state, and forgets everything that is not in the tables.
    fn end_batch(&mut self) {
        for (name, property) in &mut self.properties {
            for row in codec::drain(property).unwrap_or_else(|error| panic!("{error}")) {
                self.state.insert((name.clone(), row.key), row.value);
            }
        }
        self.properties.clear();
        self.rows.replace(std::mem::take(&mut self.batch));
    }

    fn tables(&self) -> Tables {
        Tables {
            room_nights: self.rows.room_nights.values().cloned().collect(),
            reservations: self.rows.reservations.values().cloned().collect(),
            ..self.tables.clone()
        }
    }
}

fn load(state: &BTreeMap<(Name, Vec<u8>), Vec<u8>>, name: &Name) -> Property {
    let of = state.range((name.clone(), Vec::new())..).take_while(|((property, _), _)| property == name);
    let rows: Vec<(Vec<u8>, Vec<u8>)> = of.map(|((_, key), value)| (key.clone(), value.clone())).collect();
    codec::load(name.clone(), &rows).unwrap_or_else(|error| panic!("{error}"))
}
