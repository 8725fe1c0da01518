//! Which of two things that one source said is the newer (merge rules 1 and 2).
//!
//! Knows revisions, log order and contents already seen. Does not know what the content means.

use std::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;
use smallvec::SmallVec;

use crate::log::Offset;
use crate::types::Revision;

/// A hash that is the same on every machine and in every version: it is kept in the state.
pub fn content_hash<T: Hash + ?Sized>(content: &T) -> u64 {
    let mut hasher = SipHasher13::new();
    content.hash(&mut hasher);
    hasher.finish()
}

/// What to do with a piece of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    Apply,
    /// Older than what is there.
    Stale,
    /// Merged before.
    Duplicate,
    /// Its revision is of another kind than the one before: nobody can say which is newer.
    Incomparable,
}

/// How new one piece of a record is.
#[derive(Clone, Copy, Debug)]
pub struct Stamp<'a> {
    pub revision: Option<&'a Revision>,
    /// Place in the log among its source's records: a retried dead letter keeps its first one.
    pub order: Offset,
    /// Where the record itself stands in the log.
    pub position: Offset,
}

/// What is remembered of the newest thing said about one field by one source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// The highest revision, which a later piece without revision leaves in place.
    revision: Option<Revision>,
    /// Position of the record that brought the revision: a reset forgets earlier ones.
    revision_at: Offset,
    /// The value came with that revision, not without one after it.
    revised: bool,
    /// Of the record that made the value.
    order: Offset,
    /// Contents merged at the highest revision.
    seen: SmallVec<[u64; 1]>,
}

impl Meta {
    /// The highest revision, unless `reset` (the position of the source's last reset) forgot it.
    pub fn revision(&self, reset: Option<Offset>) -> Option<&Revision> {
        self.revision.as_ref().filter(|_| reset.is_none_or(|at| self.revision_at > at))
    }

    /// Compares a piece with what is there.
    pub fn judge(&self, piece: Stamp<'_>, content: u64, reset: Option<Offset>) -> Judgement {
        use std::cmp::Ordering::{Equal, Greater, Less};
        let Some(revision) = piece.revision else {
            return if piece.order < self.order { Judgement::Stale } else { Judgement::Apply };
        };
        let Some(highest) = self.revision(reset) else { return Judgement::Apply };
        match revision.compare(highest) {
            None => Judgement::Incomparable,
            Some(Less) => Judgement::Stale,
            Some(Equal) if self.seen.contains(&content) => Judgement::Duplicate,
            Some(Equal | Greater) => Judgement::Apply,
        }
    }

    /// Whether the piece's revision is higher than any before (rule 3).
    pub fn is_higher(&self, piece: Stamp<'_>, reset: Option<Offset>) -> bool {
        match (piece.revision, self.revision(reset)) {
            (Some(new), Some(old)) => new.compare(old) == Some(std::cmp::Ordering::Greater),
            (Some(_), None) => true,
            (None, _) => false,
        }
    }

    /// Whether this content was merged at the very revision of the piece.
    pub fn equals_and_saw(&self, piece: Stamp<'_>, content: u64, reset: Option<Offset>) -> bool {
        piece.revision.is_some() && piece.revision == self.revision(reset) && self.seen.contains(&content)
    }

    /// The revision that came with the value itself.
    pub fn own_revision(&self, reset: Option<Offset>) -> Option<&Revision> {
        self.revision(reset).filter(|_| self.revised)
    }

    /// Remembers a piece that was applied.
    pub fn accept(&mut self, piece: Stamp<'_>, content: u64, reset: Option<Offset>) {
        if let Some(revision) = piece.revision {
            if self.revision(reset) != Some(revision) {
                self.seen.clear();
                self.revision = Some(revision.clone());
            }
            self.revision_at = piece.position;
            if !self.seen.contains(&content) {
                self.seen.push(content);
            }
        }
        self.revised = piece.revision.is_some();
        self.order = piece.order;
    }
}

/// The newest whole replacement of a reservation: it also spoke about lines not yet known (rule 5).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Floor {
    /// Of the cancellation that it means for them.
    pub meta: Meta,
    /// Position of the record that set it.
    pub position: Offset,
    /// A whole cancellation was the first thing known of the reservation, and nothing of a higher revision has replaced
    /// it (rule 3): lines that become known later are cancelled.
    pub sticky: bool,
}

/// Contents merged without a revision, to know a redelivery when its id is only a hash (rule 1).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// Merged since the last cancellation or reinstatement, with whether each is a booking.
    current: SmallVec<[(u64, bool); 1]>,
    /// Bookings merged before a cancellation.
    past: Vec<u64>,
    /// Position of the last change to these sets: a reset forgets earlier ones.
    at: Offset,
}

impl Contents {
    fn forgotten(&self, reset: Option<Offset>) -> bool {
        reset.is_some_and(|at| self.at <= at)
    }

    /// Whether the content was merged before.
    pub fn knows(&self, content: u64, booking: bool, reset: Option<Offset>) -> bool {
        !self.forgotten(reset)
            && (self.current.iter().any(|(c, _)| *c == content) || booking && self.past.contains(&content))
    }

    /// Remembers a content that was merged at `position`.
    pub fn merged(&mut self, content: u64, booking: bool, position: Offset, reset: Option<Offset>) {
        self.turn(position, reset);
        if !self.current.iter().any(|(c, _)| *c == content) {
            self.current.push((content, booking));
        }
    }

    /// A cancellation was merged: no booking from before it shall come back.
    pub fn cancelled(&mut self, position: Offset, reset: Option<Offset>) {
        self.turn(position, reset);
        for (content, booking) in self.current.drain(..) {
            if booking && !self.past.contains(&content) {
                self.past.push(content);
            }
        }
    }

    /// The source confirmed again: what it says from now on is said of the new life.
    pub fn reinstated(&mut self, position: Offset, reset: Option<Offset>) {
        self.turn(position, reset);
        self.current.clear();
    }

    /// Something is booked again, or for the first time: the next cancellation counts.
    pub fn booked(&mut self, position: Offset, reset: Option<Offset>) {
        self.turn(position, reset);
        self.current.retain(|(_, booking)| *booking);
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.current.is_empty() && self.past.is_empty()
    }

    fn turn(&mut self, position: Offset, reset: Option<Offset>) {
        if self.forgotten(reset) {
            *self = Contents::default();
        }
        self.at = position;
    }
}
