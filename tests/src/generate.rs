//! Random logs: small worlds in which everything collides, and a shrinker that makes a failing log readable.
//!
//! Seeded: the seed alone gives the world and its log. Does not know what the right tables are.

mod shrink;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use concord::change::{Action, Change, FieldChange, LineChange, Reference, RoomNights, Scope};
use concord::types::{Amount, Currency, Day, Days, Money, Revision, Status, Value};
use sha2::{Digest, Sha256};

use crate::fixed_rules::FixedRules;
use crate::model::{Configuration, Input, Setup, What};

pub use shrink::shrink;

/// A delivery id that is only a hash of the content: equal changes have equal ids.
pub fn hash_id(changes: &[Change]) -> String {
    let digest = Sha256::digest(format!("{changes:?}").as_bytes());
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256-{hex}")
}

/// A world and what happens in it.
#[derive(Clone, Debug)]
pub struct World {
    pub seed: u64,
    pub setup: Setup,
    pub rules: FixedRules,
    pub log: Vec<Input>,
}

/// Random numbers by splitmix64: the same from the same seed for ever.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0 to `bound` - 1; `bound` is at least 1.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.number() % bound
    }

    /// `low` to `high`, both included.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low + 1) as u64) as i64
    }

    /// True in `percent` of 100 cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize].clone()
    }

    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for at in (1..list.len()).rev() {
            list.swap(at, self.below(at as u64 + 1) as usize);
        }
    }
}

const SOURCES: [&str; 3] = ["ota", "pms", "web"];
const TYPES: [&str; 2] = ["DBL", "TWN"];
/// The last one is unknown to the master data.
const ROOMS: [&str; 4] = ["101", "102", "103", "999"];
const RESERVATIONS: [&str; 4] = ["r1", "r2", "r3", "r4"];
const LINES: [&str; 2] = ["1", "2"];
const STATUSES: [Status; 6] =
    [Status::Tentative, Status::Confirmed, Status::CheckedIn, Status::CheckedOut, Status::Cancelled, Status::NoShow];
/// The order of a record that has not stood in the log yet.
const NEW: u64 = u64::MAX;
/// 2026-03-01.
const FIRST_DAY: i32 = 20_513;

/// The world of a seed.
pub fn world(seed: u64) -> World {
    tell(seed, 0, false)
}

/// A world whose rules and master data change now and then.
pub fn changing_world(seed: u64) -> World {
    tell(seed, 5, false)
}

/// A changing world in which the policy now and then fails on some questions.
pub fn faulty_world(seed: u64) -> World {
    tell(seed, 8, true)
}

/// A world under one configuration whose policy fails on a part of the questions.
pub fn stumbling_world(seed: u64) -> World {
    let mut world = tell(seed, 0, false);
    world.rules.failing_share = [10, 30, 60][seed as usize % 3];
    world
}

/// `configurations`: in percent, records that bring a new configuration; `faults`: with questions that it fails on.
fn tell(seed: u64, configurations: u64, faults: bool) -> World {
    let mut random = Random::new(seed);
    let setup = setup(&mut random);
    let rules = rules(&mut random);
    let properties = if random.chance(25) { vec!["H1", "H2"] } else { vec!["H1"] };
    let habits = SOURCES.map(|source| Habits::new(&mut random, source)).to_vec();
    let length = random.between(30, 80);
    let active = Configuration { setup: setup.clone(), rules: rules.clone() };
    let mut teller = Teller {
        random,
        properties,
        habits,
        configurations,
        faults,
        active,
        log: Vec::new(),
        lost: Vec::new(),
        offset: 0,
        time: 0,
    };
    while (teller.log.len() as i64) < length {
        teller.next_record();
    }
    World { seed, setup, rules, log: teller.log }
}

fn setup(random: &mut Random) -> Setup {
    let mut default_capacity = BTreeMap::new();
    for (property, room_type) in ["H1", "H2"].iter().flat_map(|p| TYPES.iter().map(move |t| (p, t))) {
        if random.chance(85) {
            default_capacity.insert(((*property).to_owned(), (*room_type).to_owned()), random.between(1, 3) as u32);
        }
    }
    let types = ["DBL", "TWN", "DBL"];
    let rooms = ["H1", "H2"].iter().flat_map(|property| {
        let of_type = move |(room, of): (&str, &str)| (((*property).to_owned(), room.to_owned()), of.to_owned());
        ROOMS.into_iter().zip(types).map(of_type)
    });
    Setup {
        partition: random.below(8) as u32,
        rule_set_label: "random@1#000000000000".into(),
        plugin_label: "fixed@1".into(),
        default_capacity,
        rooms: rooms.collect(),
        max_stay_nights: 365,
        dedup_span_ms: 30_000,
    }
}

fn rules(random: &mut Random) -> FixedRules {
    let order = |random: &mut Random| {
        let mut order = SOURCES.map(str::to_owned).to_vec();
        random.shuffle(&mut order);
        order
    };
    let patterns = |random: &mut Random, count: u64| {
        let all = [STATUSES.as_slice(), &[Status::Reinstated]].concat();
        let one = |random: &mut Random| {
            let status = random.chance(70).then(|| random.pick(&all));
            let source = random.chance(60).then(|| random.pick(&SOURCES).to_owned());
            (status, source)
        };
        (0..random.below(count)).map(|_| one(random)).collect()
    };
    let mut orders = BTreeMap::new();
    for field in ["price", "capacity", "placement", "money"] {
        if random.chance(50) {
            orders.insert(field.to_owned(), order(random));
        }
    }
    FixedRules {
        order: order(random),
        orders,
        statuses: patterns(random, 8),
        capacity: patterns(random, 6),
        capacity_rule: "rooms".into(),
        overbook: u32::from(random.chance(15)),
        no_show_keeps_first_night: random.chance(40),
        failing: BTreeSet::new(),
        failing_share: 0,
        equal_within: if random.chance(40) { BTreeMap::from([("price".into(), 10_000)]) } else { BTreeMap::new() },
    }
}

/// How a source speaks.
#[derive(Clone, Debug)]
struct Habits {
    source: &'static str,
    /// In percent: records whose id is only a hash.
    hash_ids: u64,
    /// In percent: changes with a revision.
    revisions: u64,
    /// In percent: changes to reservations that are whole replacements.
    replacements: u64,
    /// In percent: records about inventory.
    inventory: u64,
    /// The highest revision given so far.
    revision: u64,
    /// In percent: lines of two sources for one reservation that share references.
    references: u64,
    deliveries: u64,
    snapshot: bool,
}

impl Habits {
    fn new(random: &mut Random, source: &'static str) -> Habits {
        Habits {
            source,
            hash_ids: random.pick(&[0, 50, 100]),
            revisions: random.pick(&[0, 50, 100]),
            replacements: random.pick(&[0, 30, 100]),
            inventory: random.pick(&[10, 30, 60]),
            references: random.pick(&[30, 60, 90]),
            revision: 0,
            deliveries: 0,
            snapshot: false,
        }
    }
}

/// Tells what happens, record by record.
struct Teller {
    random: Random,
    properties: Vec<&'static str>,
    habits: Vec<Habits>,
    configurations: u64,
    faults: bool,
    active: Configuration,
    log: Vec<Input>,
    /// Dead letters that can be retried: they have an offset, and nothing of them is in the log.
    lost: Vec<Input>,
    offset: u64,
    time: i64,
}

impl Teller {
    fn next_record(&mut self) {
        let mut record = match self.random.below(100) {
            _ if self.random.chance(self.configurations) => self.configuration(),
            0..4 => self.tick(),
            4..6 => self.reset(),
            6..14 if !self.log.is_empty() => self.redelivery(),
            14..18 if !self.lost.is_empty() => {
                let at = self.random.below(self.lost.len() as u64) as usize;
                self.lost.remove(at)
            }
            _ => self.news(),
        };
        let retried = record.order != NEW;
        record.offset = self.offset;
        if !retried {
            record.order = self.offset;
        }
        record.log_time = self.offset as i64 * 1000;
        self.offset += 1;
        if !retried && matches!(record.what, What::Changes { .. }) && self.random.chance(4) {
            self.lost.push(record);
        } else {
            self.log.push(record);
        }
    }

    fn blank(&self, source: &str, id: String, what: What) -> Input {
        Input { offset: self.offset, source: source.into(), id, order: NEW, log_time: 0, what }
    }

    fn tick(&mut self) -> Input {
        self.time += self.random.between(-5_000, 25_000);
        self.blank("", String::new(), What::Tick(1_000_000 + self.time))
    }

    fn reset(&mut self) -> Input {
        let at = self.random.below(3) as usize;
        self.habits[at].revision = 0;
        let source = self.habits[at].source.to_owned();
        self.blank("", String::new(), What::Reset { source })
    }

    /// Some parts of the configuration are as in another world, the others stay.
    fn configuration(&mut self) -> Input {
        let (other_setup, other_rules) = (setup(&mut self.random), rules(&mut self.random));
        let Configuration { setup, rules } = &mut self.active;
        setup.rule_set_label = format!("random@{}#000000000000", self.offset);
        if self.random.chance(30) {
            setup.default_capacity = other_setup.default_capacity;
        }
        if self.random.chance(20) {
            let room = self.random.pick(&ROOMS).to_owned();
            setup.rooms.insert(("H1".into(), room), self.random.pick(&TYPES).to_owned());
        }
        if self.random.chance(30) {
            (rules.order, rules.orders) = (other_rules.order, other_rules.orders);
        }
        if self.random.chance(30) {
            rules.statuses = other_rules.statuses;
        }
        if self.random.chance(50) {
            rules.capacity = other_rules.capacity;
        }
        if self.random.chance(20) {
            rules.capacity_rule = self.random.pick(&["rooms", "rooms-2"]).to_owned();
        }
        if self.random.chance(20) {
            rules.overbook = self.random.below(3) as u32;
        }
        if self.random.chance(20) {
            rules.no_show_keeps_first_night = !rules.no_show_keeps_first_night;
        }
        if self.random.chance(20) {
            rules.equal_within = other_rules.equal_within;
        }
        if self.faults {
            let questions = ["price", "capacity", "closed", "status", "placement", "money", "rank", "rank"];
            let count = self.random.below(3);
            rules.failing = (0..count).map(|_| self.random.pick(&questions).to_owned()).collect();
        }
        let what = What::Configure(Box::new(self.active.clone()));
        self.blank("", String::new(), what)
    }

    /// An earlier record again; sometimes its id with the content of another.
    fn redelivery(&mut self) -> Input {
        let earlier = self.random.pick(&self.log);
        let other = self.random.pick(&self.log);
        let mut record = self.blank(&earlier.source, earlier.id.clone(), earlier.what.clone());
        let both_changes = matches!((&earlier.what, &other.what), (What::Changes { .. }, What::Changes { .. }));
        if both_changes && !earlier.id.starts_with("sha256-") && self.random.chance(15) {
            record.what = other.what;
        }
        record
    }

    fn news(&mut self) -> Input {
        let at = self.random.below(3) as usize;
        let property = self.random.pick(&self.properties).to_owned();
        let count = self.random.pick(&[1, 1, 1, 2, 3]);
        let changes: Vec<Change> = (0..count).map(|_| self.change(at)).collect();
        let habits = &mut self.habits[at];
        habits.deliveries += 1;
        let sender = format!("{}-{}", habits.source, habits.deliveries);
        let hash = habits.hash_ids;
        let source = habits.source;
        let id = if self.random.chance(hash) { hash_id(&changes) } else { sender };
        self.blank(source, id, What::Changes { property, changes })
    }

    fn change(&mut self, at: usize) -> Change {
        let revision = self.revision(at);
        let habits = self.habits[at].clone();
        if self.random.chance(4) {
            // Mostly in turn; sometimes a second beginning or an end without one.
            let begin = habits.snapshot == self.random.chance(10);
            self.habits[at].snapshot = begin;
            return Change { revision, action: if begin { Action::SnapshotBegin } else { Action::SnapshotEnd } };
        }
        let action = if self.random.chance(habits.inventory) { self.inventory() } else { self.booking(&habits) };
        Change { revision, action }
    }

    /// Mostly ascending; sometimes equal or older; rarely of another kind.
    fn revision(&mut self, at: usize) -> Option<Revision> {
        let habits = &mut self.habits[at];
        if !self.random.chance(habits.revisions) {
            return None;
        }
        let number = match self.random.below(100) {
            0..20 => habits.revision,
            20..45 => self.random.below(habits.revision + 1),
            _ => habits.revision + 1,
        };
        habits.revision = habits.revision.max(number);
        let rare = self.random.below(1000) < 4;
        Some(if rare { Revision::Instant(number as i64) } else { Revision::Sequence([number].into()) })
    }

    fn days(&mut self, longest: i64) -> Days {
        let first = FIRST_DAY + self.random.below(10) as i32;
        Days { first: Day(first), end: Day(first + self.random.between(1, longest) as i32) }
    }

    fn inventory(&mut self) -> Action {
        match self.random.below(10) {
            0 => Action::Withdraw(self.scope()),
            1 | 2 => {
                let scope = self.scope();
                let nights = (0..self.random.below(3)).map(|_| self.nights_within(&scope)).collect();
                Action::InventoryReplace { scope, nights }
            }
            _ => {
                let everywhere = Scope { room_types: Vec::new(), nights: self.days(4), fields: Vec::new() };
                Action::InventorySet(self.nights_within(&everywhere))
            }
        }
    }

    fn scope(&mut self) -> Scope {
        let room_types = if self.random.chance(50) { Vec::new() } else { vec![self.random.pick(&TYPES).into()] };
        let fields = if self.random.chance(60) { Vec::new() } else { vec!["price".into(), "capacity".into()] };
        Scope { room_types, nights: self.days(5), fields }
    }

    fn nights_within(&mut self, scope: &Scope) -> RoomNights {
        let all: Vec<Arc<str>> = TYPES.map(Arc::from).to_vec();
        let room_type = self.random.pick(if scope.room_types.is_empty() { &all } else { &scope.room_types });
        let first = scope.nights.first.0 + self.random.below(scope.nights.len() as u64) as i32;
        let end = first + 1 + self.random.below((scope.nights.end.0 - first) as u64) as i32;
        let mut names: Vec<Arc<str>> = if scope.fields.is_empty() {
            ["price", "price", "capacity", "availability", "closed", "min_stay"].map(Arc::from).to_vec()
        } else {
            scope.fields.clone()
        };
        self.random.shuffle(&mut names);
        names.truncate(self.random.between(1, 2) as usize);
        names.dedup();
        let fields = names.into_iter().map(|name| FieldChange { value: self.value(&name), name }).collect();
        RoomNights { room_type, nights: Days { first: Day(first), end: Day(end) }, fields }
    }

    fn value(&mut self, field: &str) -> Option<Value> {
        if self.random.chance(8) {
            return None;
        }
        Some(match field {
            "price" => Value::Money(self.money()),
            "closed" => Value::Boolean(self.random.chance(30)),
            "capacity" => Value::Integer(self.random.between(0, 3)),
            _ => Value::Integer(self.random.between(0, 4)),
        })
    }

    fn money(&mut self) -> Money {
        let currency = if self.random.chance(90) { "EUR" } else { "USD" };
        let currency = Currency::parse(currency).expect("three letters");
        Money { amount: Amount(self.random.between(100, 103) * 10_000), currency }
    }

    fn booking(&mut self, habits: &Habits) -> Action {
        let reservation: Arc<str> = self.random.pick(&RESERVATIONS).into();
        if self.random.chance(habits.replacements) {
            let mut lines = Vec::new();
            for name in LINES {
                if self.random.chance(60) {
                    lines.push(self.line(habits, &reservation, name));
                }
            }
            if self.random.chance(20) {
                lines.reverse();
            }
            return Action::ReservationReplace { reservation, lines };
        }
        let line = self.random.pick(&LINES);
        if self.random.chance(15) {
            return Action::LineCancel { reservation, line: line.into() };
        }
        let line = self.line(habits, &reservation, line);
        Action::LineSet { reservation, line }
    }

    fn line(&mut self, habits: &Habits, reservation: &str, name: &str) -> LineChange {
        let mut line = LineChange { line: name.into(), ..LineChange::default() };
        let whole = self.random.chance(50);
        let nights = self.days(4);
        let likely: Vec<Status> = [&STATUSES[..], &[Status::Confirmed; 6], &[Status::Cancelled]].concat();
        if whole || self.random.chance(35) {
            line.status = Some(self.random.pick(&likely));
        }
        // Bookings of the same name mostly arrive on the same day, so that the sources' lines pair.
        let usual = Day(FIRST_DAY + i32::from(reservation.as_bytes()[1] - b'0') * 2);
        let (arrival, length) = if self.random.chance(60) { (usual, 2) } else { (nights.first, nights.len() as i32) };
        if whole || self.random.chance(20) {
            line.arrival = Some(arrival);
        }
        if whole || self.random.chance(20) {
            let length = if self.random.chance(1) { 400 } else { length };
            line.departure = Some(Day(arrival.0 + length));
        }
        if whole || self.random.chance(15) {
            line.room_type = Some(self.random.pick(&["DBL", "DBL", "TWN"]).into());
        }
        if self.random.chance(25) {
            line.room = Some(self.random.pick(&[ROOMS.as_slice(), &["101", "102", ""]].concat()).into());
        }
        if self.random.chance(25) {
            line.money = Some(self.money());
        }
        if self.random.chance(25) {
            line.guests = Some(self.random.between(1, 2) as u32);
        }
        if whole || self.random.chance(20) {
            line.references = Some(self.references(habits, reservation, name));
        }
        if line == (LineChange { line: name.into(), ..LineChange::default() }) {
            line.status = Some(self.random.pick(&likely));
        }
        line
    }

    fn references(&mut self, habits: &Habits, reservation: &str, line: &str) -> Vec<Reference> {
        let reference =
            |kind: &str, value: &str| Reference { kind: kind.into(), issuer: "x".into(), value: value.into() };
        let mut references = Vec::new();
        if self.random.chance(habits.references) {
            // Mostly of one room, sometimes of the whole booking.
            let room = format!("{reservation}-{line}");
            references.push(reference("voucher", if self.random.chance(70) { &room } else { reservation }));
        }
        if self.random.chance(12) {
            let other = self.random.pick(&RESERVATIONS);
            references.push(reference("voucher", other));
        }
        if self.random.chance(15) {
            references.push(reference("group", "g"));
        }
        references
    }
}
