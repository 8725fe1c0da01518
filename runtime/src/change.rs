//! What a normalizer makes of a record: changes to inventory and to lines.
//!
//! The host's own form of the plugin interface's types, already checked for bounds. Does not know
//! how changes are merged.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::types::{Day, Days, Money, Revision, Status, Value};

/// One field of a room night; `None` takes the claim back.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FieldChange {
    pub name: Arc<str>,
    pub value: Option<Value>,
}

/// Fields of a room type over days.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RoomNights {
    pub room_type: Arc<str>,
    pub nights: Days,
    pub fields: Vec<FieldChange>,
}

/// A part of the inventory; an empty list means all.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Scope {
    pub room_types: Vec<Arc<str>>,
    pub nights: Days,
    pub fields: Vec<Arc<str>>,
}

/// A name under which other systems know the same booking.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Reference {
    pub kind: Arc<str>,
    pub issuer: Arc<str>,
    pub value: Arc<str>,
}

/// One room of a reservation; what is `None` keeps its claim.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LineChange {
    pub line: Arc<str>,
    /// Never [`Status::Reinstated`]: the merge finds that out.
    pub status: Option<Status>,
    pub arrival: Option<Day>,
    /// Exclusive.
    pub departure: Option<Day>,
    pub room_type: Option<Arc<str>>,
    /// Empty takes an assignment back.
    pub room: Option<Arc<str>>,
    pub money: Option<Money>,
    pub guests: Option<u32>,
    pub references: Option<Vec<Reference>>,
}

/// What a change does.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Action {
    InventorySet(RoomNights),
    InventoryReplace { scope: Scope, nights: Vec<RoomNights> },
    Withdraw(Scope),
    LineSet { reservation: Arc<str>, line: LineChange },
    ReservationReplace { reservation: Arc<str>, lines: Vec<LineChange> },
    LineCancel { reservation: Arc<str>, line: Arc<str> },
    SnapshotBegin,
    SnapshotEnd,
}

/// One change of one source.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Change {
    pub revision: Option<Revision>,
    pub action: Action,
}
