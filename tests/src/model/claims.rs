//! What the sources say about one property: claims with the history that rules 1 to 6 need.
//!
//! Knows how one piece is compared with what is there. Does not know records, stays or rooms.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use concord::change::{Action, Reference, Scope};
use concord::types::{Day, Money, Revision, Status, Value};

use super::take::Turned;
use super::{Name, Rejection};

/// When something was said: by its source's revision, if it gives one, and by the log.
#[derive(Clone, Debug)]
pub(crate) struct Stamp {
    pub revision: Option<Revision>,
    /// The record's offset; a retried dead letter's first one.
    pub order: u64,
    /// Where the record itself stands.
    pub offset: u64,
    /// The delivery id is only a hash of the content.
    pub hash_id: bool,
}

impl Stamp {
    /// Whether only the content can tell a redelivery (rule 1).
    pub fn by_content(&self) -> bool {
        self.hash_id && self.revision.is_none()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Taken,
    Stale,
    Duplicate,
}

/// The order of two revisions of one source.
pub(crate) fn compare(new: &Revision, known: &Revision) -> Result<Ordering, Rejection> {
    new.compare(known).ok_or_else(|| Rejection(format!("revision {new} cannot be compared with {known}")))
}

/// One field of one entity as one source claims it.
#[derive(Clone, Debug)]
pub(crate) struct Claim<T> {
    pub value: Option<T>,
    /// The highest revision so far.
    pub highest: Option<Revision>,
    /// Contents merged at the highest revision.
    pub seen: Vec<T>,
    /// Order of the record that made the value.
    pub order: u64,
    /// Where that record stands.
    pub offset: u64,
    /// Revision of the value itself.
    pub revision: Option<Revision>,
}

impl<T> Default for Claim<T> {
    fn default() -> Self {
        Claim { value: None, highest: None, seen: Vec::new(), order: 0, offset: 0, revision: None }
    }
}

impl<T: Clone + PartialEq> Claim<T> {
    /// Rule 2, for a content that takes part in it.
    pub fn judge(&self, stamp: &Stamp, content: &T) -> Result<Verdict, Rejection> {
        let (Some(new), Some(known)) = (&stamp.revision, &self.highest) else {
            let older = stamp.revision.is_none() && stamp.order < self.order;
            return Ok(if older { Verdict::Stale } else { Verdict::Taken });
        };
        Ok(match compare(new, known)? {
            Ordering::Less => Verdict::Stale,
            Ordering::Equal if self.seen.contains(content) => Verdict::Duplicate,
            Ordering::Equal | Ordering::Greater => Verdict::Taken,
        })
    }

    /// Remembers a content that was taken; `value` is what the claim is from now on.
    pub fn take(&mut self, stamp: &Stamp, content: T, value: T) {
        if let Some(new) = &stamp.revision {
            if self.highest.as_ref() != Some(new) {
                self.seen.clear();
            }
            self.highest = Some(new.clone());
            self.seen.push(content);
        }
        self.value = Some(value);
        (self.order, self.offset) = (stamp.order, stamp.offset);
        self.revision = stamp.revision.clone();
    }

    fn forget(&mut self) {
        self.highest = None;
        self.revision = None;
        self.seen.clear();
    }
}

/// Contents merged without a revision, for deliveries whose id says no more than their content.
#[derive(Clone, Debug, Default)]
pub(crate) struct Contents {
    /// Since the last cancellation or reinstatement.
    pub current: Vec<Action>,
    /// Bookings merged before a cancellation.
    pub past: Vec<Action>,
}

impl Contents {
    pub fn repeats(&self, action: &Action) -> bool {
        self.current.contains(action) || (!cancels(action) && self.past.contains(action))
    }

    pub fn cancelled(&mut self) {
        self.past.extend(self.current.drain(..).filter(|action| !cancels(action)));
    }

    pub fn reinstated(&mut self) {
        self.current.clear();
    }

    /// What became of lines of the reservation (or of the line); `booked`: one of them is not cancelled now.
    pub fn turn(&mut self, turned: Turned, booked: bool) {
        if turned.cancelled {
            self.cancelled();
        } else if turned.reinstated {
            self.reinstated();
        }
        if booked {
            self.current.retain(|action| !cancels(action));
        }
    }
}

/// Whether an action's content is a cancellation; all other content is a booking's.
fn cancels(action: &Action) -> bool {
    match action {
        Action::LineCancel { .. } => true,
        Action::LineSet { line, .. } => line.status == Some(Status::Cancelled),
        Action::ReservationReplace { lines, .. } => lines.iter().all(|line| line.status == Some(Status::Cancelled)),
        _ => false,
    }
}

/// (source, reservation, line).
pub(crate) type LineKey = (Name, Name, Name);

/// What is known of a line's dates, type and room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parts {
    pub arrival: Option<Day>,
    pub departure: Option<Day>,
    pub room_type: Option<Name>,
    /// Empty: none is assigned.
    pub room: Option<Name>,
}

#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub key: LineKey,
    /// First mention: offset of the record, place in it.
    pub first: (u64, u32),
    /// The same by the order of the record, for the order among its source's lines.
    pub first_order: (u64, u32),
    /// As its source means it: `confirmed` after a cancellation is `reinstated`.
    pub status: Claim<Status>,
    pub placement: Claim<Parts>,
    pub money: Claim<Money>,
    pub guests: Claim<u32>,
    pub references: Claim<Vec<Reference>>,
    /// Its cancellation was the first thing known of it (rule 3).
    pub born_cancelled: bool,
    /// A cancellation was merged (rule 4).
    pub was_cancelled: bool,
    pub contents: Contents,
}

impl Line {
    pub fn new(key: LineKey, first: (u64, u32), first_order: (u64, u32)) -> Line {
        Line {
            key,
            first,
            first_order,
            status: Claim::default(),
            placement: Claim::default(),
            money: Claim::default(),
            guests: Claim::default(),
            references: Claim::default(),
            born_cancelled: false,
            was_cancelled: false,
            contents: Contents::default(),
        }
    }

    pub fn source(&self) -> &Name {
        &self.key.0
    }

    /// `source:reservation/line`.
    pub fn id(&self) -> Name {
        format!("{}:{}/{}", self.key.0, self.key.1, self.key.2).into()
    }

    pub fn cancelled(&self) -> bool {
        self.status.value == Some(Status::Cancelled)
    }

    /// References that link.
    pub fn links(&self) -> Vec<&Reference> {
        self.references.value.iter().flatten().filter(|reference| &*reference.kind != "group").collect()
    }
}

/// What a whole replacement said about everything that it did not list.
#[derive(Clone, Debug)]
pub(crate) struct Floor {
    pub revision: Option<Revision>,
    pub order: u64,
    pub offset: u64,
}

impl Floor {
    pub fn stamp(&self) -> Stamp {
        Stamp { revision: self.revision.clone(), order: self.order, offset: self.offset, hash_id: false }
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Reservation {
    /// What the newest whole replacement said of lines that it did not list: they are cancelled.
    pub floor: Option<Claim<Status>>,
    /// A replacement that books nothing was the first thing known of it, and nothing of a higher revision replaced it.
    pub born_cancelled: bool,
    /// Of whole replacements.
    pub contents: Contents,
}

/// (room type, day, field, source).
pub(crate) type InventoryKey = (Name, Day, Name, Name);

/// All claims about one property.
#[derive(Clone, Debug, Default)]
pub(crate) struct Claims {
    /// The value is `None` when it was taken back.
    pub inventory: BTreeMap<InventoryKey, Claim<Option<Value>>>,
    /// Source, scope, and since when the scope is known to hold nothing else.
    pub scopes: Vec<(Name, Scope, Floor)>,
    /// In the order of their first mention.
    pub lines: Vec<Line>,
    /// By (source, reservation).
    pub reservations: BTreeMap<(Name, Name), Reservation>,
    /// (source, delivery id) to the partition time of its merge.
    pub ids: BTreeMap<(Name, String), Option<i64>>,
    /// Sources with an open snapshot, and what they mentioned since it began.
    pub snapshots: BTreeMap<Name, Vec<Action>>,
}

impl Claims {
    /// A new incarnation of the source: claims stay, revisions, ids and contents are forgotten.
    pub fn reset(&mut self, source: &str) {
        self.inventory.iter_mut().filter(|(key, _)| &*key.3 == source).for_each(|(_, claim)| claim.forget());
        self.scopes.iter_mut().filter(|(of, ..)| &**of == source).for_each(|(.., floor)| floor.revision = None);
        for line in self.lines.iter_mut().filter(|line| &*line.key.0 == source) {
            line.status.forget();
            line.placement.forget();
            line.money.forget();
            line.guests.forget();
            line.references.forget();
            line.contents = Contents::default();
        }
        for (_, reservation) in self.reservations.iter_mut().filter(|((of, _), _)| &**of == source) {
            reservation.contents = Contents::default();
            if let Some(floor) = &mut reservation.floor {
                floor.forget();
            }
        }
        self.ids.retain(|(of, _), _| &**of != source);
    }
}
