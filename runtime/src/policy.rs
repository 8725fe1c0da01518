//! The questions that the merge puts to the precedence plugin, and the answers.
//!
//! Knows the shape of a question. Does not know the rules (the plugin does) nor what is safe (the
//! merge does).

use std::sync::Arc;

use crate::types::{Status, Value};

/// The rule id of a decision that the plugin failed to take.
pub const FAULT_RULE: &str = "!fault";

/// What the claims of a contest are about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// An inventory field of a room night.
    Field(Arc<str>),
    /// The status of a stay.
    Status,
    /// `placement`, `money` or `guests` of a stay.
    StayField(&'static str),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Claimed {
    Value(Value),
    Status(Status),
}

/// What one source says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Claim {
    pub source: Arc<str>,
    pub value: Claimed,
}

/// Which of these claims holds? One claim per source, sources in byte order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Contest {
    pub property: Arc<str>,
    pub room_type: Arc<str>,
    pub subject: Subject,
    pub claims: Vec<Claim>,
}

/// The answer to a contest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Index into the contest's claims; within bounds, the host has checked.
    pub winner: usize,
    pub rule: Arc<str>,
    pub reason: Arc<str>,
    /// Close enough to count as agreeing.
    pub agree: bool,
}

/// A stay's claim to rooms.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RoomClaim {
    pub property: Arc<str>,
    pub room_type: Arc<str>,
    pub source: Arc<str>,
    pub status: Status,
}

/// The answer to a room claim: the higher priority keeps the room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranking {
    pub priority: i32,
    pub rule: Arc<str>,
}

/// What holds for a whole property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    pub class: Arc<str>,
    /// Rooms beyond the capacity that may be sold, per room type and night.
    pub overbook: u32,
    pub rule: Arc<str>,
    pub no_show_keeps_first_night: bool,
}

/// The plugin failed on this question: it trapped, ran out of fuel or answered nonsense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Fault(pub String);

/// A configured precedence plugin. Equal questions get equal answers, in any company.
pub trait Policy: Send {
    /// One answer per contest, in order.
    fn resolve(&mut self, contests: &[Contest]) -> Vec<Result<Verdict, Fault>>;
    /// One answer per claim, in order.
    fn rank(&mut self, claims: &[RoomClaim]) -> Vec<Result<Ranking, Fault>>;
    fn terms(&mut self, property: &str) -> Result<Terms, Fault>;
}
