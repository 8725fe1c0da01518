//! Stays get rooms: which nights they want, the order among them, assigned rooms, capacity (rules 13 to 17).
//!
//! The memory is what the rules need of the time before the record: who held rooms, since when who wants what, and
//! which disagreements are known. Does not know why the limits are what they are.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use concord::policy::{FAULT_RULE, Policy, RoomClaim};
use concord::rows::{Cause, Outcome};
use concord::types::{Day, Status};

use super::claims::LineKey;
use super::stays::Stay;
use super::{Name, Setup};

/// (room type, night).
pub(crate) type Night = (Name, Day);

/// What is asked: a field of a room night (room type, night, no stay), or of a stay (no type, day 0, its id).
pub(crate) type Question = (Name, Day, Name, Name);
/// (source, value in words).
pub(crate) type Said = (Name, String);
/// What a contest's row tells: everything said, the winner, the rule.
pub(crate) type Signature = (BTreeSet<Said>, Name, Name);

/// What is remembered of a property's decisions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Memory {
    /// The stays after the last record, by id.
    pub stays: BTreeMap<Name, Known>,
    /// Sets of lines that are in doubt.
    pub doubts: BTreeSet<BTreeSet<LineKey>>,
    /// Open contests.
    pub contests: BTreeMap<Question, Signature>,
    /// Winners and their values, for a policy that fails.
    pub winners: BTreeMap<Question, Said>,
    /// Stays beyond the limit and everybody who is there.
    pub excess: BTreeMap<Night, (i64, BTreeSet<Name>)>,
    pub overbook: u32,
}

/// What is remembered of one stay.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub first: (u64, u32),
    pub keys: BTreeSet<LineKey>,
    /// Offset since when it has wanted each night that it wants.
    pub nights_since: BTreeMap<Day, u64>,
    pub counted_type: Name,
    /// Offset since when it counts against that type.
    pub type_since: u64,
    /// What it claims, if it occupies nights.
    pub claim: Option<RoomsWanted>,
    pub rank_rule: Name,
    pub order: Order,
    pub outcome: Option<Outcome>,
    /// The room whose assignment it lost.
    pub lost: Option<Name>,
    /// The room of its merged placement.
    pub room: Name,
}

/// Rule 13: a claim to rooms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RoomsWanted {
    pub nights: BTreeSet<Day>,
    pub room_type: Name,
    pub rank: Rank,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rank {
    pub in_house: bool,
    pub priority: i32,
}

/// A stay on its way to rooms.
#[derive(Clone, Debug)]
pub(crate) struct Guest {
    pub stay: Stay,
    /// Nights that it occupies.
    pub nights: BTreeSet<Day>,
    pub rank: Rank,
    pub rank_rule: Name,
    /// The policy gave no rank: it waits.
    pub fault: bool,
    pub nights_since: BTreeMap<Day, u64>,
    pub type_since: u64,
    pub counted_type: Name,
    pub lost: Option<Name>,
    pub accepted: bool,
}

/// The smaller key comes first: in house, higher priority, wanted earlier, earlier first line.
pub(crate) type Order = (Reverse<bool>, Reverse<i32>, u64, (u64, u32));

impl Guest {
    pub fn order(&self) -> Order {
        let (in_house, priority, wanted, first) = self.order_for_room();
        (in_house, priority, wanted.max(self.type_since), first)
    }

    /// The order of claims to one room: the type that a stay counts against follows from the assignment, so since
    /// when it does cannot count here. Otherwise a room would go to and fro between equal stays.
    fn order_for_room(&self) -> Order {
        let wanted = self.nights_since.values().copied().max().unwrap_or(0);
        (Reverse(self.rank.in_house), Reverse(self.rank.priority), wanted, self.stay.first)
    }

    /// What it claims, if it occupies nights.
    pub fn claim(&self) -> Option<RoomsWanted> {
        (!self.nights.is_empty()).then(|| RoomsWanted {
            nights: self.nights.clone(),
            room_type: self.counted_type.clone(),
            rank: self.rank.clone(),
        })
    }

    pub fn remember(&self) -> Known {
        Known {
            first: self.stay.first,
            keys: self.stay.keys.iter().cloned().collect(),
            nights_since: self.nights_since.clone(),
            counted_type: self.counted_type.clone(),
            type_since: self.type_since,
            claim: self.claim(),
            rank_rule: self.rank_rule.clone(),
            order: self.order(),
            outcome: self.outcome(),
            lost: self.lost.clone(),
            room: self.stay.placement.as_ref().map_or_else(|| "".into(), |placement| placement.room.clone()),
        }
    }

    /// `None` for a stay without placement or status: it has no row.
    pub fn outcome(&self) -> Option<Outcome> {
        let status = self.stay.status?;
        self.stay.placement.as_ref()?;
        Some(match status {
            _ if self.nights.is_empty() && status == Status::NoShow => Outcome::NoShow,
            _ if self.nights.is_empty() => Outcome::Cancelled,
            _ if self.accepted => Outcome::Accepted,
            _ => Outcome::Displaced,
        })
    }
}

/// The nights that a stay occupies by its merged status.
fn occupied(stay: &Stay, no_show_keeps_first: bool) -> BTreeSet<Day> {
    let (Some(status), Some(placement)) = (stay.status, &stay.placement) else { return BTreeSet::new() };
    match status {
        Status::Cancelled => BTreeSet::new(),
        Status::NoShow => placement.days().take(usize::from(no_show_keeps_first)).collect(),
        _ => placement.days().collect(),
    }
}

/// Ranks the stays, updates since when they want their nights, and decides room assignments and so the types they
/// count against. `offset` is that of the record.
pub(crate) fn assign(
    policy: &mut dyn Policy,
    setup: &Setup,
    property: &Name,
    no_show_keeps_first: bool,
    stays: Vec<Stay>,
    memory: &Memory,
    offset: u64,
) -> Vec<Guest> {
    let mut guests: Vec<Guest> = Vec::new();
    for stay in stays {
        let nights = occupied(&stay, no_show_keeps_first);
        let known = memory.stays.get(&stay.id);
        let (rank, rank_rule, fault) = rank(policy, property, &stay, !nights.is_empty(), known);
        let since = |day: &Day| known.and_then(|known| known.nights_since.get(day).copied()).unwrap_or(offset);
        guests.push(Guest {
            nights_since: nights.iter().map(|day| (*day, since(day))).collect(),
            type_since: known.map_or(offset, |known| known.type_since),
            counted_type: "".into(),
            lost: None,
            accepted: false,
            nights,
            rank,
            rank_rule,
            fault,
            stay,
        });
    }
    guests.sort_by_key(Guest::order_for_room);
    let mut given: Vec<(Name, BTreeSet<Day>)> = Vec::new();
    for guest in &mut guests {
        let Some(placement) = &guest.stay.placement else { continue };
        let room = &placement.room;
        if !room.is_empty() && !guest.nights.is_empty() {
            if given.iter().any(|(taken, nights)| taken == room && !nights.is_disjoint(&guest.nights)) {
                guest.lost = Some(room.clone());
            } else {
                given.push((room.clone(), guest.nights.clone()));
            }
        }
        let of_room = setup.rooms.get(&(property.to_string(), room.to_string()));
        guest.counted_type = match of_room {
            Some(of_room) if guest.lost.is_none() => of_room.as_str().into(),
            _ => placement.room_type.clone(),
        };
    }
    for guest in &mut guests {
        let known = memory.stays.get(&guest.stay.id);
        if known.is_none_or(|known| known.counted_type != guest.counted_type) {
            guest.type_since = offset;
        }
    }
    guests.sort_by_key(Guest::order);
    guests
}

/// Rule 11. A policy that fails leaves a stay the rank it had, so that incumbents keep their rooms; who has none waits.
fn rank(
    policy: &mut dyn Policy,
    property: &Name,
    stay: &Stay,
    occupies: bool,
    known: Option<&Known>,
) -> (Rank, Name, bool) {
    let (Some(status), Some(placement), true) = (stay.status, &stay.placement, occupies) else {
        return (Rank { in_house: false, priority: 0 }, "".into(), false);
    };
    let claim = RoomClaim {
        property: property.clone(),
        room_type: placement.room_type.clone(),
        source: stay.status_source.clone(),
        status,
    };
    match policy.rank(&[claim]).remove(0) {
        Ok(ranking) => (Rank { in_house: status.in_house(), priority: ranking.priority }, ranking.rule, false),
        Err(_) => {
            let before = known.and_then(|known| known.claim.as_ref()).map(|claim| claim.rank.priority);
            let rank = Rank { in_house: status.in_house(), priority: before.unwrap_or(i32::MIN) };
            (rank, FAULT_RULE.into(), !status.in_house())
        }
    }
}

/// Decides who is accepted. `guests` stand in their order, highest first; `limit` is rooms plus overbooking of a
/// night, `None` where it is unlimited.
pub(crate) fn seat(
    guests: &mut [Guest],
    memory: &Memory,
    limit: &dyn Fn(&Night) -> Option<i64>,
    cause: Cause,
    overbook: u32,
) {
    let by_rules = cause == Cause::RuleChange;
    let again = if by_rules { decided_again(guests, memory, overbook) } else { BTreeSet::new() };
    let mut hall = Hall { guests, limit };
    let incumbents = if by_rules { untouched(hall.guests, memory, &again) } else { incumbents(hall.guests, memory) };
    for at in &incumbents {
        hall.guests[*at].accepted = true;
    }
    let changed: Vec<usize> = (0..hall.guests.len())
        .filter(|at| {
            let guest = &hall.guests[*at];
            let known = memory.stays.get(&guest.stay.id);
            let was_accepted = known.is_some_and(|known| known.outcome == Some(Outcome::Accepted));
            let before = known.and_then(|known| known.claim.clone());
            let new = if by_rules { !same_nights(&before, &guest.claim()) } else { before != guest.claim() };
            let asked = new || was_accepted || again.contains(at);
            let held = !guest.fault || (!by_rules && holds(guest, memory));
            !guest.nights.is_empty() && held && !incumbents.contains(at) && asked
        })
        .collect();
    hall.make_room(None);
    for at in changed {
        // Of whom the policy cannot tell the rank, nobody is displaced for.
        if !hall.guests[at].fault {
            hall.admit(at);
        } else if hall.fits(at) {
            hall.guests[at].accepted = true;
        }
    }
    for at in 0..hall.guests.len() {
        let guest = &hall.guests[at];
        if !guest.accepted && !guest.nights.is_empty() && !guest.fault && hall.fits(at) {
            hall.guests[at].accepted = true;
        }
    }
}

/// Rule 14: whether one of its lines was in an accepted stay before.
fn holds(guest: &Guest, memory: &Memory) -> bool {
    let accepted = memory.stays.values().filter(|known| known.outcome == Some(Outcome::Accepted));
    accepted.flat_map(|known| &known.keys).any(|key| guest.stay.keys.contains(key))
}

fn same_nights(a: &Option<RoomsWanted>, b: &Option<RoomsWanted>) -> bool {
    a.as_ref().map(|claim| (&claim.nights, &claim.room_type))
        == b.as_ref().map(|claim| (&claim.nights, &claim.room_type))
}

/// Rule 13: the stays that a change of rules decides again, because their rule, their place relative to another stay
/// or the overbooking changed.
fn decided_again(guests: &[Guest], memory: &Memory, overbook: u32) -> BTreeSet<usize> {
    let known = |guest: &Guest| memory.stays.get(&guest.stay.id).filter(|known| known.claim.is_some()).cloned();
    let occupying = |guest: &&Guest| !guest.nights.is_empty();
    let moved = |guest: &Guest, before: &Known| {
        guests.iter().filter(occupying).any(|other| {
            let other_before = known(other).map(|other| other.order);
            other_before.is_some_and(|other_before| (before.order < other_before) != (guest.order() < other.order()))
        })
    };
    let asked = |guest: &Guest| {
        known(guest).is_some_and(|before| {
            overbook != memory.overbook || before.rank_rule != guest.rank_rule || moved(guest, &before)
        })
    };
    (0..guests.len()).filter(|at| !guests[*at].nights.is_empty() && !guests[*at].fault && asked(&guests[*at])).collect()
}

/// After a change of rules: who had rooms, wants the same and is not decided again.
fn untouched(guests: &[Guest], memory: &Memory, again: &BTreeSet<usize>) -> BTreeSet<usize> {
    let keeps = |guest: &Guest| {
        let accepted = memory.stays.get(&guest.stay.id).filter(|known| known.outcome == Some(Outcome::Accepted));
        accepted.is_some_and(|known| known.claim.is_some() && same_nights(&known.claim, &guest.claim()))
    };
    (0..guests.len()).filter(|at| !again.contains(at) && keeps(&guests[*at])).collect()
}

/// Rule 14: stays that keep their rooms without being asked, because an accepted stay of before shares a line with
/// them and claimed the same. One such stay serves one of now: the same id first, then the highest.
fn incumbents(guests: &[Guest], memory: &Memory) -> BTreeSet<usize> {
    let mut before: Vec<(&Name, &Known)> =
        memory.stays.iter().filter(|(_, known)| known.outcome == Some(Outcome::Accepted)).collect();
    before.sort_by_key(|(_, known)| known.first);
    let mut keep = BTreeSet::new();
    for same_id in [true, false] {
        for (at, guest) in guests.iter().enumerate() {
            let Some(claim) = guest.claim().filter(|_| !keep.contains(&at)) else { continue };
            let serves = |(id, known): &(&Name, &Known)| {
                (**id == guest.stay.id || !same_id)
                    && guest.stay.keys.iter().any(|key| known.keys.contains(key))
                    && known.claim.as_ref() == Some(&claim)
            };
            if let Some(found) = before.iter().position(serves) {
                before.remove(found);
                keep.insert(at);
            }
        }
    }
    keep
}

struct Hall<'a> {
    guests: &'a mut [Guest],
    limit: &'a dyn Fn(&Night) -> Option<i64>,
}

impl Hall<'_> {
    /// By how many stays a night is beyond its limit.
    fn over(&self, night: &Night) -> i64 {
        let taken =
            self.guests.iter().filter(|g| g.accepted && g.counted_type == night.0 && g.nights.contains(&night.1));
        (self.limit)(night).map_or(0, |limit| taken.count() as i64 - limit)
    }

    fn nights(&self, at: usize) -> Vec<Night> {
        let guest = &self.guests[at];
        guest.nights.iter().map(|day| (guest.counted_type.clone(), *day)).collect()
    }

    /// Whether a stay that is not accepted could be, whole.
    fn fits(&mut self, at: usize) -> bool {
        self.guests[at].accepted = true;
        let fits = self.nights(at).iter().all(|night| self.over(night) <= 0);
        self.guests[at].accepted = false;
        fits
    }

    /// A new or changed claim: it gets its rooms from free ones, then from lower stays, or not at all.
    fn admit(&mut self, at: usize) {
        let before: Vec<bool> = self.guests.iter().map(|guest| guest.accepted).collect();
        self.guests[at].accepted = true;
        self.make_room(Some(at));
        let fits = self.nights(at).iter().all(|night| self.over(night) <= 0);
        if !fits && !self.guests[at].rank.in_house {
            self.guests.iter_mut().zip(before).for_each(|(guest, accepted)| guest.accepted = accepted);
        }
    }

    /// Displaces, lowest first, whoever covers an overfull night (of the newcomer, if there is one, and stands
    /// lower than it) and is not in house; then spares, highest first, those who still fit: never more than needed.
    fn make_room(&mut self, newcomer: Option<usize>) {
        let mut victims = Vec::new();
        for at in (0..self.guests.len()).rev() {
            let guest = &self.guests[at];
            if !guest.accepted || guest.rank.in_house || newcomer.is_some_and(|newcomer| at <= newcomer) {
                continue;
            }
            let concerned = |night: &Night| newcomer.is_none_or(|newcomer| self.nights(newcomer).contains(night));
            if self.nights(at).iter().any(|night| concerned(night) && self.over(night) > 0) {
                self.guests[at].accepted = false;
                victims.push(at);
            }
        }
        for at in victims.into_iter().rev() {
            if self.fits(at) {
                self.guests[at].accepted = true;
            }
        }
    }
}

/// Rooms beyond the limit per night and who is there: only guests in the house can cause it (rule 24).
pub(crate) fn excess(
    guests: &[Guest],
    limit: &dyn Fn(&Night) -> Option<i64>,
) -> BTreeMap<Night, (i64, BTreeSet<Name>)> {
    let mut taken: BTreeMap<Night, BTreeSet<Name>> = BTreeMap::new();
    for guest in guests.iter().filter(|guest| guest.accepted) {
        for day in &guest.nights {
            taken.entry((guest.counted_type.clone(), *day)).or_default().insert(guest.stay.id.clone());
        }
    }
    let over = |(night, stays): (Night, BTreeSet<Name>)| {
        let amount = stays.len() as i64 - limit(&night)?;
        (amount > 0).then_some((night, (amount, stays)))
    };
    taken.into_iter().filter_map(over).collect()
}
