//! What the merge remembers of one property.
//!
//! Everything here is either an entity (kept in the `state` table, see `codec`) or an index that is
//! rebuilt from entities when the property is loaded. Does not know how anything is decided.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::floors::{FloorKey, ScopeFloor};
use super::names;
use super::nights::Nights;
use super::order::{Contents, Floor, Meta};
use crate::change::Reference;
use crate::log::Offset;
use crate::rows::Outcome;
use crate::types::{Day, Days, Money, Status, Value};

/// `source:reservation`, the reservation's `%` and `/` escaped.
pub type ReservationId = Arc<str>;
/// `source:reservation/line`: also the id of the stay whose earliest line it is.
pub type LineId = Arc<str>;
/// The id of a stay.
pub type StayId = Arc<str>;
/// Room type and date.
pub type Night = (Arc<str>, Day);

/// The id of a reservation.
pub fn reservation_id(source: &str, reservation: &str) -> ReservationId {
    let escaped = if reservation.contains(['%', '/']) {
        reservation.replace('%', "%25").replace('/', "%2F").into()
    } else {
        std::borrow::Cow::Borrowed(reservation)
    };
    format!("{source}:{escaped}").into()
}

/// The id of a line.
pub fn line_id(reservation: &ReservationId, line: &str) -> LineId {
    format!("{reservation}/{line}").into()
}

/// The source part of a line's or reservation's id: names of sources have no colon.
pub fn source_of(id: &str) -> &str {
    id.split_once(':').map_or(id, |(source, _)| source)
}

/// The `source:reservation` part of a line's id.
pub fn reservation_of(id: &LineId) -> ReservationId {
    id.split_once('/').map_or_else(|| id.clone(), |(reservation, _)| reservation.into())
}

/// What one source says about one field of a room night.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InventoryClaim {
    #[serde(with = "names")]
    pub source: Arc<str>,
    /// `None`: withdrawn, but its order is remembered.
    pub value: Option<Value>,
    pub meta: Meta,
    /// The record that made the claim.
    pub offset: Offset,
    /// The last snapshot of its source that mentioned it, by number.
    pub mentioned: u64,
}

/// One field of a room night.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NightField {
    #[serde(with = "names")]
    pub name: Arc<str>,
    /// In byte order of the source.
    pub claims: Vec<InventoryClaim>,
    /// Whose value is published, and which.
    pub published: Option<Published>,
    /// The signature of the contest that goes on, if one does.
    pub contest: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Published {
    #[serde(with = "names")]
    pub source: Arc<str>,
    pub value: Value,
}

/// The inventory of one room type on one date.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RoomNight {
    /// In byte order of the name.
    pub fields: Vec<NightField>,
    /// Whether any source ever claimed a value.
    pub claimed: bool,
    /// The signature of the excess that goes on, if one does.
    pub excess: Option<u64>,
}

impl RoomNight {
    pub fn field(&self, name: &str) -> Option<&NightField> {
        self.fields.binary_search_by(|f| (*f.name).cmp(name)).ok().and_then(|i| self.fields.get(i))
    }

    pub fn field_mut(&mut self, name: &Arc<str>) -> &mut NightField {
        let at = match self.fields.binary_search_by(|f| f.name.cmp(name)) {
            Ok(at) => at,
            Err(at) => {
                let field = NightField { name: name.clone(), claims: Vec::new(), published: None, contest: None };
                // Millions of these lie in memory, mostly with one field and few claims: not a byte more than needed.
                self.fields.reserve_exact(1);
                self.fields.insert(at, field);
                at
            }
        };
        &mut self.fields[at]
    }

    pub fn value(&self, name: &str) -> Option<&Value> {
        self.field(name)?.published.as_ref().map(|p| &p.value)
    }
}

impl NightField {
    pub fn claim(&self, source: &str) -> Option<&InventoryClaim> {
        self.claims.binary_search_by(|c| (*c.source).cmp(source)).ok().and_then(|i| self.claims.get(i))
    }

    pub fn claim_mut(&mut self, source: &Arc<str>) -> &mut InventoryClaim {
        let at = match self.claims.binary_search_by(|c| c.source.cmp(source)) {
            Ok(at) => at,
            Err(at) => {
                let claim = InventoryClaim {
                    source: source.clone(),
                    value: None,
                    meta: Meta::default(),
                    offset: 0,
                    mentioned: 0,
                };
                self.claims.reserve_exact(1);
                self.claims.insert(at, claim);
                at
            }
        };
        &mut self.claims[at]
    }
}

/// Arrival, departure, room type and room, as far as the source has named them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacementParts {
    pub arrival: Option<Day>,
    pub departure: Option<Day>,
    #[serde(with = "names::option")]
    pub room_type: Option<Arc<str>>,
    #[serde(with = "names::option")]
    pub room: Option<Arc<str>>,
}

impl PlacementParts {
    /// The placement, once arrival, departure and type are known.
    pub fn complete(&self) -> Option<Placement> {
        Some(Placement {
            nights: Days { first: self.arrival?, end: self.departure? },
            room_type: self.room_type.clone()?,
            room: self.room.clone(),
        })
    }
}

/// Where a stay is: one field.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Placement {
    pub nights: Days,
    #[serde(with = "names")]
    pub room_type: Arc<str>,
    #[serde(with = "names::option")]
    pub room: Option<Arc<str>>,
}

impl Placement {
    /// Equal nights and type; the room aside.
    pub fn agrees(&self, other: &Placement) -> bool {
        self.nights == other.nights && self.room_type == other.room_type
    }
}

impl std::fmt::Display for Placement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.nights, self.room_type)?;
        self.room.as_ref().map_or(Ok(()), |room| write!(f, " {room}"))
    }
}

/// One field of a line: its value, how new it is, and the record that said it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LineField<T> {
    pub value: T,
    pub meta: Meta,
    pub offset: Offset,
}

/// One room of one reservation as one source tells it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    pub id: LineId,
    /// First mention: position of the record, then place in it.
    pub first: (Offset, u32),
    /// The order of that record among its source's records: that of a retried dead letter is its first position.
    pub first_order: Offset,
    pub status: LineField<Option<Status>>,
    pub placement: LineField<PlacementParts>,
    pub money: LineField<Option<Money>>,
    pub guests: LineField<Option<u32>>,
    pub references: LineField<Vec<Reference>>,
    /// A cancellation was the first thing known of it, and nothing newer has been said (rule 3).
    pub sticky: bool,
    /// It was cancelled at some time: `confirmed` means reinstated (rule 4).
    pub was_cancelled: bool,
    pub contents: Contents,
    /// The last snapshot of its source that mentioned it, by number.
    pub mentioned: u64,
}

impl Line {
    pub fn new(id: LineId, first: (Offset, u32), first_order: Offset) -> Line {
        Line {
            id,
            first,
            first_order,
            status: LineField::default(),
            placement: LineField::default(),
            money: LineField::default(),
            guests: LineField::default(),
            references: LineField::default(),
            sticky: false,
            was_cancelled: false,
            contents: Contents::default(),
            mentioned: 0,
        }
    }

    pub fn source(&self) -> &str {
        source_of(&self.id)
    }

    pub fn is_cancelled(&self) -> bool {
        self.status.value == Some(Status::Cancelled)
    }
}

/// A reservation as a whole, its lines apart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reservation {
    /// In the order of their first mention.
    pub lines: Vec<LineId>,
    /// The newest whole replacement.
    pub floor: Option<Floor>,
    pub contents: Contents,
}

/// What is remembered of one source at this property.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SourceInfo {
    /// A snapshot has begun and has no end yet.
    pub in_snapshot: bool,
    /// How many snapshots have begun: the number of the last one.
    pub snapshots: u64,
}

impl SourceInfo {
    /// The number of the snapshot that goes on.
    pub fn snapshot(&self) -> Option<u64> {
        self.in_snapshot.then_some(self.snapshots)
    }
}

/// A stay's place in the order of claims to rooms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rank {
    pub in_house: bool,
    pub priority: i32,
    #[serde(with = "names")]
    pub rule: Arc<str>,
    /// The plugin failed: an incumbent keeps its room, a newcomer waits.
    pub fault: bool,
}

/// The merged status of a stay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MergedStatus {
    pub status: Status,
    #[serde(with = "names")]
    pub source: Arc<str>,
    #[serde(with = "names")]
    pub rule: Arc<str>,
}

/// A source's claim to a field of a stay that is published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Won {
    #[serde(with = "names")]
    pub source: Arc<str>,
    /// Of the value in words.
    pub value: u64,
}

/// The contests that a stay can be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StayField {
    Status,
    Placement,
    Money,
    Guests,
}

/// The lines that are one room of one booking, and what became of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stay {
    pub id: StayId,
    /// In the order of their first mention; empty once the id has ended.
    pub lines: Vec<LineId>,
    pub status: Option<MergedStatus>,
    pub placement: Option<Placement>,
    pub money: Option<Money>,
    pub guests: Option<u32>,
    /// Signatures of contests that go on, by [`StayField`].
    pub contests: [Option<u64>; 4],
    /// Whose claim is published and a hash of it, by [`StayField`]: it stays when the policy fails.
    pub winners: [Option<Won>; 4],
    /// The set of lines that is in doubt, if this line is one of it.
    pub doubt: Option<u64>,
    pub rank: Option<Rank>,
    /// The room whose assignment it lost to another stay.
    #[serde(with = "names::option")]
    pub lost_room: Option<Arc<str>>,
    /// The type it counts against.
    #[serde(with = "names")]
    pub counted: Arc<str>,
    /// Occupied nights with the position since when each is wanted.
    pub wants: Vec<(Days, Offset)>,
    /// Position since when it counts against `counted`.
    pub counted_since: Offset,
    pub outcome: Option<Outcome>,
    /// What its rows in `reservations` show: type and nights.
    pub shown: Option<(Arc<str>, Days)>,
}

impl Stay {
    pub fn new(id: StayId) -> Stay {
        Stay {
            id,
            lines: Vec::new(),
            status: None,
            placement: None,
            money: None,
            guests: None,
            contests: [None; 4],
            winners: [const { None }; 4],
            doubt: None,
            rank: None,
            lost_room: None,
            counted: Arc::default(),
            wants: Vec::new(),
            counted_since: 0,
            outcome: None,
            shown: None,
        }
    }

    /// The nights it occupies; `None` when none.
    pub fn occupied(&self) -> Option<Days> {
        let (first, last) = (self.wants.first()?, self.wants.last()?);
        Some(Days { first: first.0.first, end: last.0.end })
    }

    pub fn is_accepted(&self) -> bool {
        self.outcome == Some(Outcome::Accepted)
    }

    pub fn in_house(&self) -> bool {
        self.rank.as_ref().is_some_and(|r| r.in_house)
    }

    /// When it came to want the last of the nights that it wants.
    pub fn nights_since(&self) -> Offset {
        self.wants.iter().map(|(_, since)| *since).max().unwrap_or(0)
    }

    /// When it came to want the last of its nights of its type (rule 15).
    pub fn wanted_since(&self) -> Offset {
        self.nights_since().max(self.counted_since)
    }
}

/// Who occupies and who waits, on one night of one type.
#[derive(Clone, Debug, Default)]
pub struct Occupancy {
    pub accepted: Vec<StayId>,
    pub waiting: Vec<StayId>,
}

/// One remembered delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Of source and id.
    pub hash: u128,
    pub offset: Offset,
    /// Partition time when it was merged, in milliseconds.
    pub time: i64,
}

/// Deliveries are kept in one entity per this many offsets.
pub const DELIVERIES_PER_ENTITY: u64 = 256;

/// Which entity; the order is that of the `state` table's keys.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntityKey {
    Deliveries(u64),
    Floors(FloorKey),
    RoomNight(Night),
    Source(Arc<str>),
    Reservation(ReservationId),
    Stay(StayId),
}

/// All that is known of one property.
#[derive(Debug, Default)]
pub struct Property {
    pub name: Arc<str>,
    pub nights: Nights,
    pub reservations: HashMap<ReservationId, Reservation>,
    /// In boxes, like stays: they are large, and a growing table moves what it holds.
    pub lines: HashMap<LineId, Box<Line>>,
    pub stays: HashMap<StayId, Box<Stay>>,
    pub sources: BTreeMap<Arc<str>, SourceInfo>,
    /// Replacements of inventory, which also spoke of room nights not known yet.
    pub floors: BTreeMap<FloorKey, Vec<ScopeFloor>>,
    pub deliveries: BTreeMap<u64, Vec<Delivery>>,
    pub index: Index,
    /// Entities that differ from the `state` table.
    pub dirty: HashSet<EntityKey>,
}

/// What can be rebuilt from the entities.
#[derive(Debug, Default)]
pub struct Index {
    pub delivered: HashMap<u128, (Offset, i64)>,
    pub references: HashMap<Reference, SmallVec<[LineId; 2]>>,
    pub stay_of: HashMap<LineId, StayId>,
    pub occupancy: BTreeMap<Night, Occupancy>,
    /// Stays that occupy nights and name this room in their merged placement.
    pub rooms: HashMap<Arc<str>, RoomUse>,
}

/// Which stays name one room, by their first night.
#[derive(Debug, Default)]
pub struct RoomUse {
    /// The value is the end of the nights that the stay occupies, exclusive.
    stays: BTreeMap<(Day, StayId), Day>,
    /// Nights of the longest stay that was ever in here.
    longest: i32,
}

impl RoomUse {
    fn insert(&mut self, nights: Days, id: &StayId) {
        self.stays.insert((nights.first, id.clone()), nights.end);
        self.longest = self.longest.max(nights.end.0 - nights.first.0);
    }

    fn remove(&mut self, nights: Days, id: &StayId) {
        self.stays.remove(&(nights.first, id.clone()));
    }

    /// Stays that occupy one of the nights.
    pub fn on(&self, nights: Days) -> impl Iterator<Item = (&StayId, Days)> {
        let nobody: StayId = Arc::default();
        let range = (Day(nights.first.0.saturating_sub(self.longest)), nobody.clone())..(nights.end, nobody);
        let stays = self.stays.range(range).map(|((first, id), end)| (id, Days { first: *first, end: *end }));
        stays.filter(move |(_, days)| days.end > nights.first)
    }
}

impl Property {
    pub fn new(name: Arc<str>) -> Property {
        Property { name, ..Property::default() }
    }

    /// One line.
    pub fn line(&self, id: &str) -> Option<&Line> {
        self.lines.get(id).map(|line| &**line)
    }

    /// One stay.
    pub fn stay(&self, id: &str) -> Option<&Stay> {
        self.stays.get(id).map(|stay| &**stay)
    }

    /// Rebuilds the indexes after loading.
    pub fn reindex(&mut self) {
        let mut index = Index::default();
        for delivery in self.deliveries.values().flatten() {
            index.delivered.insert(delivery.hash, (delivery.offset, delivery.time));
        }
        for line in self.lines.values() {
            for reference in line.references.value.iter().filter(|r| links(r)) {
                index.references.entry(reference.clone()).or_default().push(line.id.clone());
            }
        }
        for stay in self.stays.values() {
            for line in &stay.lines {
                index.stay_of.insert(line.clone(), stay.id.clone());
            }
        }
        self.index = index;
        let stays: Vec<StayId> = self.stays.keys().cloned().collect();
        for id in &stays {
            self.occupy(id);
        }
    }

    /// Enters a stay's nights and room into the indexes, by its outcome.
    pub fn occupy(&mut self, id: &StayId) {
        let Some(stay) = self.stays.get(id) else { return };
        let Some(nights) = stay.occupied() else { return };
        let accepted = stay.is_accepted();
        for day in nights.iter() {
            let night = self.index.occupancy.entry((stay.counted.clone(), day)).or_default();
            if accepted { night.accepted.push(id.clone()) } else { night.waiting.push(id.clone()) }
        }
        if let Some(room) = stay.placement.as_ref().and_then(|p| p.room.as_ref()) {
            self.index.rooms.entry(room.clone()).or_default().insert(nights, id);
        }
    }

    /// Takes a stay out of the indexes, as `stay` says that it was entered.
    pub fn vacate(&mut self, stay: &Stay) {
        let Some(nights) = stay.occupied() else { return };
        for day in nights.iter() {
            let key = (stay.counted.clone(), day);
            let Some(night) = self.index.occupancy.get_mut(&key) else { continue };
            night.accepted.retain(|s| *s != stay.id);
            night.waiting.retain(|s| *s != stay.id);
            if night.accepted.is_empty() && night.waiting.is_empty() {
                self.index.occupancy.remove(&key);
            }
        }
        if let Some(room) = stay.placement.as_ref().and_then(|p| p.room.as_ref())
            && let Some(usage) = self.index.rooms.get_mut(room)
        {
            usage.remove(nights, &stay.id);
            if usage.stays.is_empty() {
                self.index.rooms.remove(room);
            }
        }
    }

    /// About how many entities the next commit has to settle: those that differ from the `state` table, or the room
    /// nights that lie open, which it packs.
    pub fn unsettled(&self) -> usize {
        self.dirty.len().max(self.nights.opened())
    }

    /// About how much memory the property takes, in bytes. Lines and stays are what their types take, their texts and
    /// index entries, and a third more for the allocator.
    pub fn weight(&self) -> usize {
        const LINE: usize = (size_of::<Line>() + size_of::<Reservation>() + 500) / 3 * 4;
        const STAY: usize = (size_of::<Stay>() + 400) / 3 * 4;
        let deliveries = self.index.delivered.len();
        512 + self.nights.weight() + self.lines.len() * LINE + self.stays.len() * STAY + deliveries * 120
    }
}

/// Whether a reference can link lines: group references never do (rule 10).
pub fn links(reference: &Reference) -> bool {
    &*reference.kind != "group"
}
