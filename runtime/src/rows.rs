//! The rows that a decided batch writes, one struct per table of design section 7.
//!
//! Knows what stands in a row. Does not know ClickHouse: the store turns these into inserts.
//! `version` is made of the record's position alone: a row written twice is one row.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::log::{Offset, Partition};
use crate::types::{Amount, Currency, Day, Status, Value};

/// Milliseconds since 1970-01-01T00:00:00Z of the record that caused the row.
pub type LogTime = i64;

/// What the tables hold of a log time: producers may write any number, a `DateTime64` reaches from 1900 to 2299.
pub fn stored_log_time(time: LogTime) -> LogTime {
    time.clamp(-2_208_988_800_000, 10_413_791_999_999)
}

/// One room night as it now stands.
#[derive(Clone, Debug, PartialEq)]
pub struct RoomNightRow {
    pub property: Arc<str>,
    pub date: Day,
    pub room_type: Arc<str>,
    pub capacity: Option<i32>,
    pub booked: i32,
    pub held: i32,
    pub available: Option<i32>,
    /// Declared fields that have a value, by name in byte order; the others are NULL.
    pub fields: Vec<(Arc<str>, Value)>,
    /// Field to winning source, by field in byte order.
    pub sources: Vec<(Arc<str>, Arc<str>)>,
    pub rule_set: Arc<str>,
    pub version: u64,
    pub log_time: LogTime,
}

/// What became of a stay's claim to rooms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Accepted,
    Held,
    Displaced,
    Cancelled,
    NoShow,
    /// Its lines are part of another stay now.
    Merged,
}

impl Outcome {
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Accepted => "accepted",
            Outcome::Held => "held",
            Outcome::Displaced => "displaced",
            Outcome::Cancelled => "cancelled",
            Outcome::NoShow => "no-show",
            Outcome::Merged => "merged",
        }
    }
}

/// One night of one stay.
#[derive(Clone, Debug, PartialEq)]
pub struct ReservationRow {
    pub property: Arc<str>,
    pub date: Day,
    pub room_type: Arc<str>,
    pub stay: Arc<str>,
    pub outcome: Outcome,
    pub status: Status,
    pub arrival: Day,
    pub departure: Day,
    /// Empty when none is assigned.
    pub room: Arc<str>,
    /// `source:reservation/line`, in the order of their first mention in the log.
    pub lines: Vec<Arc<str>>,
    /// `kind:issuer:value`, in byte order.
    pub references: Vec<Arc<str>>,
    pub amount: Option<Amount>,
    pub currency: Option<Currency>,
    pub guests: Option<u32>,
    /// Whose status won.
    pub source: Arc<str>,
    pub rule_id: Arc<str>,
    pub version: u64,
    /// The stay left this night.
    pub is_deleted: bool,
    pub log_time: LogTime,
}

/// What a conflict is about; rows of one record stand in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConflictKind {
    Link,
    Field,
    Status,
    Placement,
    Room,
    Capacity,
    Hold,
}

impl ConflictKind {
    pub fn as_str(self) -> &'static str {
        match self {
            ConflictKind::Link => "link",
            ConflictKind::Field => "field",
            ConflictKind::Status => "status",
            ConflictKind::Placement => "placement",
            ConflictKind::Room => "room",
            ConflictKind::Capacity => "capacity",
            ConflictKind::Hold => "hold",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Decision {
    Contest,
    Agreement,
    Displaced,
    Promoted,
    Excess,
    Held,
    Released,
    AssignmentLost,
    Doubt,
}

impl Decision {
    pub fn as_str(self) -> &'static str {
        match self {
            Decision::Contest => "contest",
            Decision::Agreement => "agreement",
            Decision::Displaced => "displaced",
            Decision::Promoted => "promoted",
            Decision::Excess => "excess",
            Decision::Held => "held",
            Decision::Released => "released",
            Decision::AssignmentLost => "assignment-lost",
            Decision::Doubt => "doubt",
        }
    }
}

/// What made the decision necessary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    Event,
    RuleChange,
    Time,
}

impl Cause {
    pub fn as_str(self) -> &'static str {
        match self {
            Cause::Event => "event",
            Cause::RuleChange => "rule change",
            Cause::Time => "time",
        }
    }
}

/// One claim as the audit shows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuditClaim {
    pub source: Arc<str>,
    pub value: String,
    /// Empty when the source gives none.
    pub revision: String,
    /// Of the record that made the claim.
    pub offset: Offset,
}

/// One disagreement and how it was decided. The chain's hashes and `recorded_at` come later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConflictRow {
    pub property: Arc<str>,
    pub date: Day,
    pub room_type: Arc<str>,
    /// Empty for an inventory field.
    pub stay: Arc<str>,
    pub kind: ConflictKind,
    pub decision: Decision,
    pub field: Arc<str>,
    pub claims: Vec<AuditClaim>,
    pub winner_source: Arc<str>,
    pub winner_value: String,
    pub rule_id: Arc<str>,
    /// `name@version#hash`, the hash's first 12 hexadecimal digits.
    pub rule_set: Arc<str>,
    pub reason: Arc<str>,
    pub cause: Cause,
    /// `name@version` of the precedence plugin.
    pub plugin: Arc<str>,
    pub partition: Partition,
    pub offset: Offset,
    /// From 0 within the record.
    pub seq: u32,
    pub log_time: LogTime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeadLetterKind {
    /// The normalizer or the merge refused the content.
    Rejected,
    /// The plugin failed on this record alone, on a fresh instance.
    Fault,
    /// A property, room type or room that the mapping does not know: retry when it does.
    Unmapped,
    Misrouted,
    /// A control record that the pipeline's key did not sign.
    Forged,
    TooLarge,
}

impl DeadLetterKind {
    pub fn as_str(self) -> &'static str {
        match self {
            DeadLetterKind::Rejected => "rejected",
            DeadLetterKind::Fault => "fault",
            DeadLetterKind::Unmapped => "unmapped",
            DeadLetterKind::Misrouted => "misrouted",
            DeadLetterKind::Forged => "forged",
            DeadLetterKind::TooLarge => "too-large",
        }
    }
}

/// A record that could not be merged, kept whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetterRow {
    pub source: Arc<str>,
    /// CloudEvents `id`; empty when the record is none.
    pub id: String,
    pub kind: DeadLetterKind,
    pub reason: String,
    /// The record's value; bytes that are no UTF-8 are replaced by U+FFFD.
    pub payload: String,
    /// `name@version` of the normalizer; empty when it never ran.
    pub plugin: Arc<str>,
    pub partition: Partition,
    pub offset: Offset,
    pub seq: u32,
    pub log_time: LogTime,
}

/// A rule set that came into force. Written by the owner of partition 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleChangeRow {
    /// The offset of its control record on partition 0.
    pub sequence: u64,
    pub name: String,
    pub version: String,
    /// SHA-256 of the text, hexadecimal.
    pub hash: String,
    pub text: String,
    /// Unified diff against the rule set before it.
    pub diff: String,
    pub author: String,
    pub reason: String,
    pub log_time: LogTime,
}

/// Master data of one property, as the active configuration has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PropertyRow {
    pub property: String,
    pub name: String,
    pub region: String,
    pub class: String,
    pub time_zone: String,
    pub version: u64,
}

/// When a source's connector last vouched for a property, or for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreshnessRow {
    pub source: Arc<str>,
    /// Empty for the connector alone.
    pub property: Arc<str>,
    /// The source's own time, in milliseconds since 1970-01-01T00:00:00Z.
    pub last_heartbeat: i64,
    pub version: u64,
}

/// A piece of the worker's memory. `value` is empty when the entity is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateRow {
    /// Empty for what belongs to the partition as a whole.
    pub property: Arc<str>,
    /// The entity's kind and name, e.g. `r/pms/4711`.
    pub key: Vec<u8>,
    /// Its first byte is the format's version.
    pub value: Vec<u8>,
}

/// The end of a partition's chain of conflict rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditHead {
    /// Of the last row; zeros before the first.
    pub hash: crate::audit::Hash,
    /// Rows so far.
    pub rows: u64,
    /// Position of the last row.
    pub offset: Offset,
    pub seq: u32,
}

/// Everything that one batch of a partition writes, in one value.
#[derive(Debug, Default)]
pub struct Decided {
    pub partition: Partition,
    /// Records `first..next` are decided in here.
    pub first: Offset,
    pub next: Offset,
    /// The chain's end before this batch.
    pub audit_before: AuditHead,
    /// In the order (offset, seq).
    pub conflicts: Vec<ConflictRow>,
    /// The chain's hash after each of `conflicts`, as [`crate::audit::chain`] gives them; left empty, the store
    /// computes them from `audit_before`.
    pub conflict_hashes: Vec<crate::audit::Hash>,
    /// In the order (offset, seq).
    pub dead_letters: Vec<DeadLetterRow>,
    /// At most one per (property, date, room type, stay): the last.
    pub reservations: Vec<ReservationRow>,
    /// At most one per (property, date, room type): the last.
    pub room_nights: Vec<RoomNightRow>,
    pub rule_changes: Vec<RuleChangeRow>,
    pub properties: Vec<PropertyRow>,
    /// At most one per (source, property): the last.
    pub freshness: Vec<FreshnessRow>,
    /// At most one per (property, key); the checkpoint is one of them. At most 50,000 rows, 32 MiB.
    pub state: Vec<StateRow>,
    /// Version of the state rows: equal or greater in every later batch.
    pub state_version: u64,
}
