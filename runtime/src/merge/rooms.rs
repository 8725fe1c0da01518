//! Third step: which stays get rooms (merge rules 13 to 17).
//!
//! Knows room assignments, capacity, displacement and promotion, and keeps invariants 2 and 3
//! whatever the policy answers. Does not know how claims were merged.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::HashSet;

use super::decide::{About, Deciding, Draft};
use super::order::content_hash;
use super::state::{EntityKey, Night, Rank, Stay, StayId};
use super::stays::occupies;
use crate::log::Offset;
use crate::policy::{FAULT_RULE, RoomClaim};
use crate::rows::{AuditClaim, ConflictKind, Decision, Outcome};
use crate::types::{Days, Status, Value};

/// The order of claims to rooms: the smaller keeps the room.
type Order = (Reverse<bool>, Reverse<i32>, Offset, (Offset, u32), StayId);

/// What a stay claims: nights, type, rank. Only a change of these contests a room (rule 13).
type RoomsClaim = (Days, Arc<str>, bool, i32);

fn rooms_claim(stay: &Stay) -> Option<RoomsClaim> {
    let rank = stay.rank.as_ref()?;
    Some((stay.occupied()?, stay.counted.clone(), rank.in_house, rank.priority))
}

fn nights_of(stay: &Stay) -> Vec<Night> {
    stay.occupied().map_or(Vec::new(), |days| days.iter().map(|day| (stay.counted.clone(), day)).collect())
}

impl Deciding<'_> {
    pub(super) fn rooms(&mut self) {
        self.want_nights();
        self.rank();
        self.assign_rooms();
        self.count_types();
        let mut freed: BTreeSet<Night> = self.resized.clone();
        for stay in self.before.values().flatten().filter(|s| s.is_accepted()) {
            freed.extend(nights_of(stay));
        }
        freed.extend(self.ranked_again());
        let contenders = self.settle_incumbents();
        self.cut(&mut freed);
        for id in contenders {
            self.contend(&id, &mut freed);
        }
        self.promote(&freed);
        self.settle_rest();
        self.note_outcomes();
        self.note_nights();
    }

    /// The nights of stays that the policy can rank again: they may have been free while it could not.
    fn ranked_again(&self) -> Vec<Night> {
        let failed =
            |stay: &&Option<Box<Stay>>| stay.as_ref().is_some_and(|s| s.rank.as_ref().is_some_and(|r| r.fault));
        let again = self.before.iter().filter(|(id, before)| failed(before) && !self.faulty(id));
        again.filter_map(|(id, _)| self.stay(id)).flat_map(nights_of).collect()
    }

    fn stay(&self, id: &StayId) -> Option<&Stay> {
        self.property.stay(id)
    }

    fn order(&self, stay: &Stay) -> Order {
        self.order_since(stay, stay.wanted_since())
    }

    /// The order of claims to one room: the type that a stay counts against follows from the assignment, so since when
    /// it does cannot count here. Otherwise a room would go to and fro between equal stays.
    fn order_for_room(&self, stay: &Stay) -> Order {
        self.order_since(stay, stay.nights_since())
    }

    fn order_since(&self, stay: &Stay, since: Offset) -> Order {
        let first = stay.lines.first().and_then(|l| self.property.line(l)).map_or((0, 0), |l| l.first);
        let priority = stay.rank.as_ref().map_or(i32::MIN, |r| r.priority);
        (Reverse(stay.in_house()), Reverse(priority), since, first, stay.id.clone())
    }

    /// Opens room nights that are looked at more than once.
    fn open<'n>(&mut self, nights: impl IntoIterator<Item = &'n Night>) {
        nights.into_iter().for_each(|night| self.property.nights.open(night));
    }

    /// Rooms plus overbooking on a night; `None` is unlimited.
    pub(super) fn limit(&self, night: &Night) -> Option<usize> {
        let rooms = self.capacity(night)?;
        Some(usize::try_from(rooms).unwrap_or(0) + self.terms.overbook as usize)
    }

    /// The merged capacity, else the configured default; `None` is unlimited.
    pub(super) fn capacity(&self, night: &Night) -> Option<i32> {
        let state = self.property.nights.get(night);
        match state.as_ref().and_then(|n| n.value(super::CAPACITY)) {
            Some(Value::Integer(rooms)) => Some(i32::try_from((*rooms).max(0)).unwrap_or(i32::MAX)),
            _ => self
                .master
                .default_capacity(&self.property.name, &night.0)
                .map(|rooms| i32::try_from(rooms).unwrap_or(i32::MAX)),
        }
    }

    fn accepted(&self, night: &Night) -> &[StayId] {
        self.property.index.occupancy.get(night).map_or(&[], |o| &o.accepted)
    }

    /// Which nights each changed stay occupies, and since when it wants them (rule 15).
    fn want_nights(&mut self) {
        let position = self.incoming.position;
        for (id, before) in &self.before {
            let keeps_first = self.terms.no_show_keeps_first_night;
            let Some(stay) = self.property.stays.get_mut(id) else { continue };
            let nights = match (&stay.status, &stay.placement) {
                (Some(s), Some(p)) if occupies(s.status) => Some(p.nights),
                (Some(s), Some(p)) if s.status == Status::NoShow && keeps_first => {
                    Some(Days { first: p.nights.first, end: crate::types::Day(p.nights.first.0 + 1) })
                }
                _ => None,
            };
            let old = before.as_ref().map_or(&[][..], |s| &s.wants);
            stay.wants = nights.map_or(Vec::new(), |nights| want(old, nights, position));
            if before.as_ref().is_none_or(|s| s.lines.is_empty()) {
                stay.counted_since = position;
            }
        }
    }

    /// Asks the policy for the rank of every changed stay that occupies nights (rule 11).
    fn rank(&mut self) {
        let asked: Vec<(StayId, RoomClaim)> = self
            .before
            .keys()
            .filter_map(|id| {
                let stay = self.stay(id).filter(|s| !s.wants.is_empty())?;
                let (status, placement) = (stay.status.as_ref()?, stay.placement.as_ref()?);
                let claim = RoomClaim {
                    property: self.property.name.clone(),
                    room_type: placement.room_type.clone(),
                    source: status.source.clone(),
                    status: status.status,
                };
                Some((id.clone(), claim))
            })
            .collect();
        let claims: Vec<RoomClaim> = asked.iter().map(|(_, claim)| claim.clone()).collect();
        let answers = if claims.is_empty() { Vec::new() } else { self.policy.rank(&claims) };
        let mut answers = answers.into_iter();
        for (id, claim) in asked {
            let in_house = claim.status.in_house();
            let rank = match answers.next() {
                Some(Ok(ranking)) => {
                    let fault = self.terms_fault && !in_house;
                    Rank { in_house, priority: ranking.priority, rule: ranking.rule, fault }
                }
                _ => {
                    let before = self.before.get(&id).and_then(Option::as_deref).and_then(|s| s.rank.as_ref());
                    let priority = before.map_or(i32::MIN, |r| r.priority);
                    Rank { in_house, priority, rule: FAULT_RULE.into(), fault: !in_house }
                }
            };
            if let Some(stay) = self.property.stays.get_mut(&id) {
                stay.rank = Some(rank);
            }
        }
        for id in self.before.keys() {
            if let Some(stay) = self.property.stays.get_mut(id).filter(|s| s.wants.is_empty()) {
                stay.rank = None;
            }
        }
    }

    /// Rule 17: of stays that clash over a room, the lower ones lose the assignment for all their nights.
    fn assign_rooms(&mut self) {
        let claim = |stay: &Stay| Some((stay.placement.as_ref()?.room.clone()?, stay.occupied()?));
        let mut uses: BTreeMap<Arc<str>, Vec<Days>> = BTreeMap::new();
        for (id, before) in &self.before {
            let now = self.stay(id).and_then(claim);
            for (room, nights) in before.as_deref().and_then(claim).iter().chain(&now) {
                uses.entry(room.clone()).or_default().push(*nights);
            }
            let lost = self.stay(id).and_then(|s| s.lost_room.as_ref());
            if lost.is_some_and(|lost| now.is_none_or(|(room, _)| room != *lost))
                && let Some(stay) = self.property.stays.get_mut(id)
            {
                stay.lost_room = None;
            }
        }
        for (room, nights) in uses {
            let mut claimants: Vec<(Order, Days, StayId)> = self
                .neighbours(&room, nights)
                .into_iter()
                .filter_map(|(id, nights)| Some((self.order_for_room(self.stay(&id)?), nights, id)))
                .collect();
            claimants.sort();
            let mut holders: Vec<(Days, StayId)> = Vec::new();
            for (_, nights, id) in claimants {
                let holder = holders.iter().find(|(held, _)| held.overlaps(nights));
                match holder.map(|(_, holder)| holder.clone()) {
                    Some(holder) => self.lose_room(&id, &room, &holder),
                    None => {
                        holders.push((nights, id.clone()));
                        self.keep_room(&id);
                    }
                }
            }
        }
    }

    /// Everybody who claims the room on one of the nights, or on a night of such a stay, and so on: nobody else's
    /// assignment depends on them.
    fn neighbours(&self, room: &Arc<str>, mut nights: Vec<Days>) -> BTreeMap<StayId, Days> {
        let mut found: BTreeMap<StayId, Days> = BTreeMap::new();
        for id in self.before.keys() {
            let stay = self.stay(id).filter(|s| s.placement.as_ref().is_some_and(|p| p.room.as_ref() == Some(room)));
            found.extend(stay.and_then(Stay::occupied).map(|days| (id.clone(), days)));
        }
        let others = self.property.index.rooms.get(room);
        while let Some(days) = nights.pop() {
            for (id, days) in others.iter().flat_map(|o| o.on(days)) {
                if found.insert(id.clone(), days).is_none() {
                    nights.push(days);
                }
            }
        }
        found
    }

    fn lose_room(&mut self, id: &StayId, room: &Arc<str>, holder: &StayId) {
        if self.stay(id).is_none_or(|s| s.lost_room.as_ref() == Some(room)) {
            return;
        }
        self.journal_stay(id);
        if let Some(stay) = self.property.stays.get_mut(id) {
            stay.lost_room = Some(room.clone());
        }
        let claims = [id, holder].into_iter().filter_map(|id| self.audit_claim(id)).collect();
        let winner = self.stay(holder).and_then(|s| s.status.as_ref()).map(|s| s.source.clone());
        let rule = self.stay(holder).and_then(|s| s.rank.as_ref()).map_or_else(Arc::default, |r| r.rule.clone());
        self.drafts.push(Draft {
            about: About::Stay(id.clone()),
            kind: ConflictKind::Room,
            decision: Decision::AssignmentLost,
            field: "room".into(),
            claims,
            winner,
            winner_value: holder.to_string(),
            rule,
            reason: format!("room {room} is assigned to {holder}, which comes first").into(),
        });
    }

    fn keep_room(&mut self, id: &StayId) {
        if self.stay(id).is_some_and(|s| s.lost_room.is_some()) {
            self.journal_stay(id);
            if let Some(stay) = self.property.stays.get_mut(id) {
                stay.lost_room = None;
            }
        }
    }

    /// The type that each changed stay counts against: that of its room, else the booked one.
    fn count_types(&mut self) {
        let position = self.incoming.position;
        for id in self.before.keys() {
            let Some(stay) = self.property.stay(id) else { continue };
            let Some(placement) = &stay.placement else { continue };
            let room = placement.room.as_ref().filter(|_| stay.lost_room.is_none());
            let counted = room
                .and_then(|room| self.master.room_type_of(&self.property.name, room))
                .unwrap_or_else(|| placement.room_type.clone());
            if let Some(stay) = self.property.stays.get_mut(id).filter(|s| s.counted != counted) {
                stay.counted = counted;
                stay.counted_since = position;
            }
        }
    }

    /// Stays whose claim is as it was keep what they had (rules 13 and 14); returns the others that
    /// want rooms, highest first.
    fn settle_incumbents(&mut self) -> Vec<StayId> {
        let mut wanting: Vec<(Order, StayId)> = self
            .before
            .keys()
            .filter_map(|id| self.stay(id).filter(|s| !s.wants.is_empty()).map(|s| (self.order(s), id.clone())))
            .collect();
        wanting.sort();
        let mut served: HashSet<StayId> = HashSet::new();
        let mut settled: Vec<(StayId, Outcome)> = Vec::new();
        for (_, id) in &wanting {
            let before = self.before.get(id).and_then(Option::as_deref);
            let same = before.is_some_and(|b| rooms_claim(b) == self.stay(id).and_then(rooms_claim));
            if same && before.is_some_and(Stay::is_accepted) {
                served.insert(id.clone());
                settled.push((id.clone(), Outcome::Accepted));
            }
        }
        let mut contenders = Vec::new();
        let kept = served.clone();
        for (_, id) in wanting.into_iter().filter(|(_, id)| !kept.contains(id)) {
            let claim = self.stay(&id).and_then(rooms_claim);
            let lines = self.stay(&id).map(|s| s.lines.clone()).unwrap_or_default();
            let predecessor = lines.iter().filter_map(|l| self.held.get(l)).find(|p| {
                let before = self.before.get(*p).and_then(Option::as_ref);
                !served.contains(*p) && before.is_some_and(|b| rooms_claim(b) == claim)
            });
            let before = self.before.get(&id).and_then(Option::as_deref);
            let held = lines.iter().any(|l| self.held.contains_key(l));
            if let Some(predecessor) = predecessor {
                served.insert(predecessor.clone());
                settled.push((id, Outcome::Accepted));
            } else if before.is_some_and(|b| b.outcome == Some(Outcome::Displaced) && rooms_claim(b) == claim)
                || self.faulty(&id) && !held
            {
                settled.push((id, Outcome::Displaced));
            } else {
                contenders.push(id);
            }
        }
        for (id, outcome) in settled {
            self.settle(&id, outcome);
        }
        contenders
    }

    /// Whether the policy failed to rank the stay.
    fn faulty(&self, id: &StayId) -> bool {
        self.stay(id).and_then(|s| s.rank.as_ref()).is_some_and(|r| r.fault)
    }

    /// Enters a stay that was taken out of the indexes again, with this outcome.
    fn settle(&mut self, id: &StayId, outcome: Outcome) {
        if let Some(stay) = self.property.stays.get_mut(id) {
            stay.outcome = Some(outcome);
        }
        self.property.occupy(id);
    }

    /// Gives a stay in the indexes another outcome.
    fn resettle(&mut self, id: &StayId, outcome: Outcome) {
        if self.before.contains_key(id) {
            if let Some(stay) = self.stay(id).cloned() {
                self.property.vacate(&stay);
            }
        } else {
            self.journal_stay(id);
        }
        self.settle(id, outcome);
    }

    /// Fewer rooms than accepted stays: the lowest go.
    fn cut(&mut self, freed: &mut BTreeSet<Night>) {
        let needed = self.overfull(self.resized.iter().cloned(), 0);
        let (victims, _) = self.victims(needed, None);
        self.displace(&victims, freed);
    }

    fn displace(&mut self, victims: &[StayId], freed: &mut BTreeSet<Night>) {
        for victim in victims {
            freed.extend(self.stay(victim).map(nights_of).unwrap_or_default());
            self.resettle(victim, Outcome::Displaced);
        }
    }

    /// How many rooms are missing on each of the nights, if `more` stays come.
    fn overfull(&self, nights: impl IntoIterator<Item = Night>, more: usize) -> BTreeMap<Night, i64> {
        let missing = |night: &Night| {
            let limit = self.limit(night)?;
            Some(self.accepted(night).len() as i64 + more as i64 - limit as i64)
        };
        nights.into_iter().filter_map(|night| missing(&night).map(|n| (night, n))).filter(|(_, n)| *n > 0).collect()
    }

    /// The stays to displace so that nothing is missing: lowest first, none of the guests in the
    /// house, none at or above `bound`, never more than needed. Also tells whether that is enough.
    fn victims(&self, mut needed: BTreeMap<Night, i64>, bound: Option<&Order>) -> (Vec<StayId>, bool) {
        let ids: BTreeSet<&StayId> = needed.keys().flat_map(|night| self.accepted(night)).collect();
        let mut candidates: Vec<(Order, StayId, Vec<Night>)> = ids
            .into_iter()
            .filter_map(|id| self.stay(id))
            .filter(|stay| !stay.in_house())
            .map(|stay| (self.order(stay), stay.id.clone(), nights_of(stay)))
            .filter(|(order, ..)| bound.is_none_or(|bound| order > bound))
            .collect();
        candidates.sort();
        let mut chosen: Vec<(StayId, Vec<Night>)> = Vec::new();
        for (_, id, nights) in candidates.into_iter().rev() {
            if nights.iter().any(|night| needed.get(night).is_some_and(|n| *n > 0)) {
                for night in &nights {
                    needed.entry(night.clone()).and_modify(|n| *n -= 1);
                }
                chosen.push((id, nights));
            }
        }
        let enough = needed.values().all(|n| *n <= 0);
        let mut victims = Vec::new();
        for (id, nights) in chosen.into_iter().rev() {
            // Whoever turns out to be spared without a room missing keeps it: highest first.
            let spare = nights.iter().all(|night| needed.get(night).is_none_or(|n| *n < 0));
            if spare {
                for night in &nights {
                    needed.entry(night.clone()).and_modify(|n| *n += 1);
                }
            } else {
                victims.push(id);
            }
        }
        (victims, enough)
    }

    /// A new or changed claim: takes free rooms, else those of lower stays, else waits whole.
    fn contend(&mut self, id: &StayId, freed: &mut BTreeSet<Night>) {
        let nights = self.stay(id).map(nights_of).unwrap_or_default();
        self.open(&nights);
        let needed = self.overfull(nights, 1);
        if needed.is_empty() {
            return self.settle(id, Outcome::Accepted);
        }
        let Some(stay) = self.stay(id) else { return };
        let in_house = stay.in_house();
        let (victims, enough) = self.victims(needed, Some(&self.order(stay)));
        if in_house || enough && !self.faulty(id) {
            self.displace(&victims, freed);
            self.settle(id, Outcome::Accepted);
        } else {
            self.settle(id, Outcome::Displaced);
        }
    }

    /// Free rooms go to displaced stays, highest first, passing over whoever does not fit whole.
    fn promote(&mut self, freed: &BTreeSet<Night>) {
        self.open(freed);
        let mut waiting: BTreeSet<(Order, StayId)> = BTreeSet::new();
        for night in freed {
            let free = self.limit(night).is_none_or(|limit| self.accepted(night).len() < limit);
            let Some(occupancy) = self.property.index.occupancy.get(night).filter(|_| free) else { continue };
            for id in occupancy.waiting.iter().filter(|id| !self.faulty(id)) {
                waiting.extend(self.stay(id).map(|s| (self.order(s), id.clone())));
            }
        }
        for (_, id) in waiting {
            let Some(nights) = self.stay(&id).map(nights_of) else { continue };
            self.open(&nights);
            if self.overfull(nights, 1).is_empty() {
                self.resettle(&id, Outcome::Accepted);
            }
        }
    }

    /// Changed stays that occupy nothing.
    fn settle_rest(&mut self) {
        for id in self.before.keys() {
            let Some(stay) = self.property.stays.get_mut(id) else { continue };
            if !stay.wants.is_empty() || stay.lines.is_empty() {
                continue;
            }
            stay.outcome = match stay.status.as_ref().map(|s| s.status) {
                Some(Status::Cancelled) => Some(Outcome::Cancelled),
                Some(Status::NoShow) => Some(Outcome::NoShow),
                _ => None,
            };
        }
    }

    /// How a stay stands in the claims of a row about rooms.
    fn audit_claim(&self, id: &StayId) -> Option<AuditClaim> {
        let stay = self.stay(id)?;
        let status = stay.status.as_ref()?;
        Some(AuditClaim {
            source: status.source.clone(),
            value: format!("{id} {}", status.status),
            revision: String::new(),
            offset: stay.wanted_since(),
        })
    }

    /// A row for every stay that lost or got its rooms.
    fn note_outcomes(&mut self) {
        let mut drafts = Vec::new();
        for (id, before) in &self.before {
            let Some(stay) = self.stay(id) else { continue };
            let was_displaced = before.as_ref().is_some_and(|b| b.outcome == Some(Outcome::Displaced));
            let decision = match stay.outcome {
                Some(Outcome::Displaced) if !was_displaced => Decision::Displaced,
                Some(Outcome::Accepted) if was_displaced => Decision::Promoted,
                _ => continue,
            };
            let full = self.overfull(nights_of(stay), 1).into_keys().next();
            let holders = full.as_ref().map_or(&[][..], |night| self.accepted(night));
            let lowest =
                holders.iter().filter_map(|h| self.stay(h)).max_by_key(|h| self.order(h)).map(|h| h.id.clone());
            let claims = std::iter::once(id)
                .chain(lowest.as_ref().filter(|l| *l != id))
                .filter_map(|id| self.audit_claim(id))
                .collect();
            let winner = if decision == Decision::Promoted { Some(id) } else { lowest.as_ref() };
            drafts.push(Draft {
                about: About::Stay(id.clone()),
                kind: ConflictKind::Capacity,
                decision,
                field: "rooms".into(),
                claims,
                winner: winner.and_then(|w| self.stay(w)).and_then(|s| s.status.as_ref()).map(|s| s.source.clone()),
                winner_value: winner.map(ToString::to_string).unwrap_or_default(),
                rule: stay.rank.as_ref().map_or_else(Arc::default, |r| r.rule.clone()),
                reason: self.reason(id, decision, full.as_ref(), lowest.as_ref()),
            });
        }
        self.drafts.extend(drafts);
    }

    fn reason(&self, id: &StayId, decision: Decision, full: Option<&Night>, lowest: Option<&StayId>) -> Arc<str> {
        if decision == Decision::Promoted {
            return "a room became free on every night of the stay".into();
        }
        let Some(night) = full else {
            return if self.faulty(id) { "the precedence plugin failed to rank the stay: it waits" } else { "" }.into();
        };
        let rooms = self.capacity(night).unwrap_or(0);
        let keep = lowest.map_or_else(
            || "nobody keeps one".to_owned(),
            |lowest| format!("of those that keep one, {lowest} comes last"),
        );
        format!("{rooms} rooms of type {} and {} overbooked on {}; {keep}", night.0, self.terms.overbook, night.1)
            .into()
    }

    /// Which room nights have other occupants or another excess now.
    fn note_nights(&mut self) {
        let mut looked: BTreeSet<Night> = self.resized.clone();
        let mut changed: BTreeSet<Night> = BTreeSet::new();
        for (id, before) in &self.before {
            let now = self.stay(id).map(|s| (s.is_accepted(), nights_of(s)));
            let was = before.as_ref().map(|s| (s.is_accepted(), nights_of(s)));
            if now != was {
                changed.extend(now.into_iter().chain(was).flat_map(|(_, nights)| nights));
            }
        }
        looked.extend(changed.iter().cloned());
        self.nights.extend(changed);
        for night in looked {
            self.note_excess(night);
        }
    }

    /// More guests in the house than rooms: the only exception to invariant 2, and a row of its own.
    fn note_excess(&mut self, night: Night) {
        self.open([&night]);
        let accepted = self.accepted(&night);
        let excess = self.limit(&night).map_or(0, |limit| accepted.len().saturating_sub(limit));
        let mut ids: Vec<StayId> = accepted.to_vec();
        ids.sort();
        let now = (excess > 0).then(|| content_hash(&(excess, &ids)));
        let before = self.property.nights.get(&night).and_then(|n| n.excess);
        if now == before {
            return;
        }
        let claims = if excess > 0 { ids.iter().filter_map(|id| self.audit_claim(id)).collect() } else { Vec::new() };
        let (decision, reason) = match excess {
            0 => (Decision::Agreement, "no more guests than rooms again".to_owned()),
            n => (
                Decision::Excess,
                format!("{n} more guests in the house than rooms of type {} on {}", night.0, night.1),
            ),
        };
        self.drafts.push(Draft {
            about: About::Night(night.clone()),
            kind: ConflictKind::Capacity,
            decision,
            field: "excess".into(),
            claims,
            winner: None,
            winner_value: excess.to_string(),
            rule: self.terms.rule.clone(),
            reason: reason.into(),
        });
        self.property.nights.entry(&night).excess = now;
        self.property.dirty.insert(EntityKey::RoomNight(night));
    }
}

/// Since when each of the nights is wanted: as before where it was, from `position` on where not.
fn want(old: &[(Days, Offset)], nights: Days, position: Offset) -> Vec<(Days, Offset)> {
    let since = |day| old.iter().find(|(days, _)| days.contains(day)).map_or(position, |(_, since)| *since);
    let mut wants: Vec<(Days, Offset)> = Vec::new();
    for day in nights.iter() {
        let end = crate::types::Day(day.0 + 1);
        match wants.last_mut() {
            Some((days, at)) if *at == since(day) => days.end = end,
            _ => wants.push((Days { first: day, end }, since(day))),
        }
    }
    wants
}
