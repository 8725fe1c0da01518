//! What a message says night by night, put together again into ranges.
//!
//! Later elements of a message override earlier ones, days of the week leave holes, and single rooms add up: night by
//! night all of that is plain. Does not know the messages.

use std::collections::{BTreeMap, BTreeSet};

use concord_plugin::xml::At;
use concord_plugin::{
    Action, Change, Day, Days, Field, InventoryReplacement, Rejection, RoomNights, Scope, Value, time,
};

use crate::settings::{FIELDS, Settings};

/// Most room nights of one part: far more than a record may change, so that the host's own limit speaks first.
const MOST: usize = 100_000;

/// Places in [`FIELDS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// Rooms that may be sold.
    Availability = 0,
    /// Rooms that exist.
    Capacity,
    /// Whether nothing is sold.
    Closed,
    /// The price.
    Price,
    /// Fewest nights.
    MinStay,
    /// Most nights.
    MaxStay,
    /// No arrival on this day.
    ClosedToArrival,
    /// No departure on this day.
    ClosedToDeparture,
}

/// What is said of one night: few fields, in the order of [`What`].
type Cell = Vec<(What, Option<Value>)>;

/// Values per room type and night.
#[derive(Debug, Default)]
pub struct Grid {
    cells: BTreeMap<String, BTreeMap<Day, Cell>>,
    size: usize,
}

impl Grid {
    /// Sets a field of a room type in some nights; `None` takes the claim back.
    pub fn set(
        &mut self,
        at: At<'_>,
        room_type: &str,
        nights: &[Day],
        what: What,
        value: Option<&Value>,
    ) -> Result<(), Rejection> {
        self.change(at, room_type, nights, what, |cell| *cell = value.cloned())
    }

    /// Adds to a count of rooms.
    pub fn add(
        &mut self,
        at: At<'_>,
        room_type: &str,
        nights: &[Day],
        what: What,
        rooms: u32,
    ) -> Result<(), Rejection> {
        self.change(at, room_type, nights, what, |cell| {
            let there = match cell {
                Some(Value::Integer(there)) => *there,
                _ => 0,
            };
            *cell = Some(Value::Integer(there.saturating_add(i64::from(rooms))));
        })
    }

    fn change(
        &mut self,
        at: At<'_>,
        room_type: &str,
        nights: &[Day],
        what: What,
        mut change: impl FnMut(&mut Option<Value>),
    ) -> Result<(), Rejection> {
        if !self.cells.contains_key(room_type) {
            self.cells.insert(room_type.to_owned(), BTreeMap::new());
        }
        let Some(cells) = self.cells.get_mut(room_type) else { return Ok(()) };
        for night in nights {
            let cell = cells.entry(*night).or_insert_with(|| {
                self.size += 1;
                Cell::new()
            });
            let place = cell.binary_search_by_key(&what, |(what, _)| *what).unwrap_or_else(|place| {
                cell.insert(place, (what, None));
                place
            });
            if let Some((_, value)) = cell.get_mut(place) {
                change(value);
            }
        }
        if self.size > MOST {
            return Err(at.reject(format_args!("the message is about more than {MOST} room nights: send it in parts")));
        }
        Ok(())
    }

    /// The room types that were mentioned.
    pub fn room_types(&self) -> Vec<String> {
        self.cells.keys().cloned().collect()
    }

    /// The first night.
    pub fn first(&self) -> Option<Day> {
        self.cells.values().filter_map(|nights| nights.keys().next()).min().copied()
    }

    /// Nights with equal values together. Fields that the settings leave out are left out.
    fn ranges(self, settings: &Settings) -> Vec<RoomNights> {
        let mut ranges: Vec<RoomNights> = Vec::new();
        for (room_type, nights) in self.cells {
            let mut last: Option<(Days, Cell)> = None;
            let close = |open: Option<(Days, Cell)>, ranges: &mut Vec<RoomNights>| {
                let Some((nights, cell)) = open else { return };
                let field = |(what, value)| Some(Field { name: settings.fields[what as usize].clone()?, value });
                let fields: Vec<Field> = cell.into_iter().filter_map(field).collect();
                if !fields.is_empty() {
                    ranges.push(RoomNights { room_type: room_type.clone(), nights, fields });
                }
            };
            for (night, cell) in nights {
                match &mut last {
                    Some((nights, equal)) if nights.end == night && *equal == cell => nights.end += 1,
                    open => close(open.replace((Days { first: night, end: night + 1 }, cell)), &mut ranges),
                }
            }
            close(last, &mut ranges);
        }
        ranges
    }

    /// As an update: what is not mentioned stays.
    pub fn overlay(self, settings: &Settings) -> Vec<Change> {
        let set = |nights| Change { revision: None, action: Action::InventorySet(nights) };
        self.ranges(settings).into_iter().map(set).collect()
    }

    /// As all there is from its first night on: what is not mentioned of these fields is withdrawn. Nights before stay, for what
    /// was said of them was true. An empty grid withdraws everything.
    pub fn whole(self, settings: &Settings, of: &[What]) -> Vec<Change> {
        let nights = Days { first: self.first().unwrap_or(time::FIRST_DAY), end: time::LAST_DAY };
        let scope = Scope { room_types: vec![], nights, fields: names(settings, of) };
        if scope.fields.is_empty() {
            return vec![];
        }
        let named: BTreeSet<&String> = scope.fields.iter().collect();
        let mut ranges = Vec::new();
        let mut beside = Vec::new();
        // What the scope does not cover (a capacity beside availabilities) is an update.
        for range in self.ranges(settings) {
            let (inside, outside): (Vec<Field>, Vec<Field>) =
                range.fields.into_iter().partition(|field| named.contains(&field.name));
            let part = |fields| RoomNights { room_type: range.room_type.clone(), nights: range.nights, fields };
            if !inside.is_empty() {
                ranges.push(part(inside));
            }
            if !outside.is_empty() {
                beside.push(Change { revision: None, action: Action::InventorySet(part(outside)) });
            }
        }
        let replacement = InventoryReplacement { scope, nights: ranges };
        let mut changes = vec![Change { revision: None, action: Action::InventoryReplace(replacement) }];
        changes.extend(beside);
        changes
    }
}

/// The pipeline's names of fields, as far as it has them.
pub fn names(settings: &Settings, of: &[What]) -> Vec<String> {
    of.iter().filter_map(|what| settings.fields[*what as usize].clone()).collect()
}

const _: () = assert!(FIELDS.len() == What::ClosedToDeparture as usize + 1);
