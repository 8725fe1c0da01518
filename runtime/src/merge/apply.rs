//! First step of a record's merge: what of it is new is written into the claims.
//!
//! Knows duplicates, staleness, replacement and withdrawal (merge rules 1 to 8), journals every
//! change and takes all back when one piece is bad. Does not decide between sources.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::journal::Journal;
use super::order::{Judgement, Stamp};
use super::state::{LineId, Night, Property};
use crate::change::{Action, Change};
use crate::log::Offset;

/// A normalized record with this host's codes, about one property.
#[derive(Clone, Debug)]
pub struct Incoming<'a> {
    pub source: Arc<str>,
    /// CloudEvents `id`.
    pub id: &'a str,
    /// The id is only a hash of the content: content decides what is a redelivery.
    pub content_id: bool,
    /// Place among its source's records: the offset, for a retried dead letter the first one.
    pub order: Offset,
    /// The record's own offset.
    pub position: Offset,
    /// Milliseconds since 1970-01-01T00:00:00Z, of the record.
    pub log_time: i64,
    pub changes: &'a [Change],
}

/// Why nothing of a record was merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    Rejected(String),
    TooLarge(String),
}

/// What of the record's pieces was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub taken: bool,
    pub stale: bool,
}

impl Tally {
    /// What of other pieces of the record was taken.
    pub fn add(&mut self, other: Tally) {
        self.taken |= other.taken;
        self.stale |= other.stale;
    }
}

/// What a record touches; later steps decide about exactly this.
#[derive(Debug, Default)]
pub struct Touched {
    /// Claims to a field that were taken.
    pub fields: BTreeSet<(Night, Arc<str>)>,
    /// Lines of which something was taken.
    pub lines: BTreeSet<LineId>,
}

/// Bounds of one record's effect.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Nights of a stay.
    pub stay_nights: usize,
    /// Room nights, lines and reservations that one record may change: they are written in one block.
    pub entities: usize,
}

/// A record on its way into the claims.
pub(super) struct Apply<'a> {
    pub property: &'a mut Property,
    pub incoming: &'a Incoming<'a>,
    pub bounds: Bounds,
    /// Position of the source's last reset.
    pub reset: Option<Offset>,
    pub journal: Journal,
    pub touched: Touched,
    pub tally: Tally,
    /// Lines mentioned so far, to order first mentions within the record.
    pub mentions: u32,
    /// Scopes replaced so far, to order them within the record.
    pub scopes: u32,
}

/// Merges the pieces of a record into the claims, or none of them.
pub(super) fn apply<'a>(
    property: &'a mut Property,
    incoming: &'a Incoming<'a>,
    bounds: Bounds,
    reset: Option<Offset>,
) -> Result<(Journal, Touched, Tally), Refusal> {
    let mut apply = Apply {
        property,
        incoming,
        bounds,
        reset,
        journal: Journal::default(),
        touched: Touched::default(),
        tally: Tally::default(),
        mentions: 0,
        scopes: 0,
    };
    let result = incoming.changes.iter().try_for_each(|change| apply.change(change));
    let Apply { property, journal, touched, tally, .. } = apply;
    match result {
        Ok(()) => Ok((journal, touched, tally)),
        Err(refusal) => {
            journal.roll_back(property);
            Err(refusal)
        }
    }
}

impl Apply<'_> {
    fn change(&mut self, change: &Change) -> Result<(), Refusal> {
        let revision = change.revision.as_ref();
        match &change.action {
            Action::InventorySet(nights) => self.inventory_set(nights, revision),
            Action::InventoryReplace { scope, nights } => self.inventory_replace(scope, nights, revision),
            Action::Withdraw(scope) => self.withdraw(scope, revision),
            Action::LineSet { reservation, line } => self.line_set(reservation, line, revision),
            Action::ReservationReplace { reservation, lines } => self.replace_reservation(reservation, lines, revision),
            Action::LineCancel { reservation, line } => self.line_cancel(reservation, line, revision),
            Action::SnapshotBegin => self.snapshot_begin(),
            Action::SnapshotEnd => self.snapshot_end(),
        }?;
        let entities = self.journal.entities();
        if entities > self.bounds.entities {
            return Err(Refusal::TooLarge(format!(
                "the record changes {entities} room nights and lines, more than {} at once; send it in parts",
                self.bounds.entities
            )));
        }
        Ok(())
    }

    pub fn stamp<'r>(&self, revision: Option<&'r crate::types::Revision>) -> Stamp<'r> {
        Stamp { revision, order: self.incoming.order, position: self.incoming.position }
    }

    /// Enters a judgement into the tally; `true` if the piece is to be applied.
    pub fn count(&mut self, judgement: Judgement) -> Result<bool, Refusal> {
        match judgement {
            Judgement::Apply => {
                self.tally.taken = true;
                Ok(true)
            }
            Judgement::Stale => {
                self.tally.stale = true;
                Ok(false)
            }
            Judgement::Duplicate => Ok(false),
            Judgement::Incomparable => Err(self.incomparable()),
        }
    }

    pub fn incomparable(&self) -> Refusal {
        Refusal::Rejected(format!(
            "the revision is of another kind than those that source {} gave before (sequence or instant); \
             if its positions began anew, reset the source first",
            self.incoming.source
        ))
    }

    /// Whether content decides what is a redelivery: no revision, and an id that is only a hash.
    pub fn by_content(&self, revision: Option<&crate::types::Revision>) -> bool {
        self.incoming.content_id && revision.is_none()
    }

    /// The number of the initial load of this source that goes on.
    pub fn snapshot(&self) -> Option<u64> {
        self.property.sources.get(&self.incoming.source).and_then(super::state::SourceInfo::snapshot)
    }

    fn snapshot_begin(&mut self) -> Result<(), Refusal> {
        if self.snapshot().is_some() {
            return Err(Refusal::Rejected(format!(
                "source {} begins a snapshot of {} while another one has no end yet",
                self.incoming.source, self.property.name
            )));
        }
        let info = self.journal.source(self.property, &self.incoming.source);
        info.in_snapshot = true;
        info.snapshots += 1;
        self.tally.taken = true;
        Ok(())
    }

    fn snapshot_end(&mut self) -> Result<(), Refusal> {
        let Some(snapshot) = self.snapshot() else {
            return Err(Refusal::Rejected(format!(
                "source {} ends a snapshot of {} that never began",
                self.incoming.source, self.property.name
            )));
        };
        self.tally.taken = true;
        self.withdraw_unmentioned(snapshot)?;
        self.cancel_unmentioned(snapshot)?;
        self.journal.source(self.property, &self.incoming.source).in_snapshot = false;
        Ok(())
    }
}

/// Notes what a redelivery mentions while an initial load of its source goes on.
pub(super) fn mention(property: &mut Property, incoming: &Incoming<'_>) {
    let bounds = Bounds { stay_nights: usize::MAX, entities: usize::MAX };
    let mut apply = Apply {
        property,
        incoming,
        bounds,
        reset: None,
        journal: Journal::default(),
        touched: Touched::default(),
        tally: Tally::default(),
        mentions: 0,
        scopes: 0,
    };
    for change in incoming.changes {
        match &change.action {
            Action::InventorySet(set) => apply.mention_nights(std::slice::from_ref(set), None),
            Action::InventoryReplace { scope, nights } => apply.mention_nights(nights, Some(scope)),
            Action::Withdraw(scope) => apply.mention_nights(&[], Some(scope)),
            Action::LineSet { reservation, line } => apply.mention_line(reservation, &line.line),
            Action::LineCancel { reservation, line } => apply.mention_line(reservation, line),
            Action::ReservationReplace { reservation, .. } => apply.mention_reservation(reservation),
            Action::SnapshotBegin | Action::SnapshotEnd => {}
        }
    }
    let Apply { property, journal, .. } = apply;
    journal.mark(property);
}
