//! What became of one source's deliveries, counted since the start.

use std::sync::atomic::{AtomicU64, Ordering};

use hyper::StatusCode;

use super::reply::Outcome;
use crate::deliver::Masked;

/// Counters; all of them only grow.
#[derive(Debug, Default)]
pub struct Counts {
    accepted: AtomicU64,
    records: AtomicU64,
    rejected: AtomicU64,
    untrusted: AtomicU64,
    limited: AtomicU64,
    unavailable: AtomicU64,
    unfit: AtomicU64,
    masked_cards: AtomicU64,
    masked_codes: AtomicU64,
}

impl Counts {
    /// A delivery that is durable.
    pub(super) fn count(&self, outcome: &Outcome) {
        match outcome {
            Outcome::Accepted { records } => {
                add(&self.accepted, 1);
                add(&self.records, *records as u64);
            }
            Outcome::Rejected { .. } => add(&self.rejected, 1),
            Outcome::Refused { status, .. } => self.refused(*status),
        }
    }

    /// A delivery that is not.
    pub(super) fn refused(&self, status: StatusCode) {
        let counter = match status {
            StatusCode::UNAUTHORIZED => &self.untrusted,
            StatusCode::TOO_MANY_REQUESTS => &self.limited,
            status if status.is_server_error() => &self.unavailable,
            _ => &self.unfit,
        };
        add(counter, 1);
    }

    /// Card data that went no further.
    pub(super) fn masked(&self, masked: Masked) {
        add(&self.masked_cards, masked.cards);
        add(&self.masked_codes, masked.codes);
    }

    /// All of them, by name.
    pub fn all(&self) -> [(&'static str, u64); 9] {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [
            ("accepted", read(&self.accepted)),
            ("records", read(&self.records)),
            ("rejected", read(&self.rejected)),
            ("untrusted", read(&self.untrusted)),
            ("limited", read(&self.limited)),
            ("unavailable", read(&self.unavailable)),
            ("unfit", read(&self.unfit)),
            ("masked_cards", read(&self.masked_cards)),
            ("masked_codes", read(&self.masked_codes)),
        ]
    }
}

fn add(counter: &AtomicU64, number: u64) {
    counter.fetch_add(number, Ordering::Relaxed);
}
