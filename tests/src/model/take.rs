//! A record becomes claims: duplicates, revisions, replacements, cancellations, snapshots (rules 1 to 8).
//!
//! Works on a copy of the claims, so a refusal in the middle leaves nothing behind. Knows no stays and no rooms.

use std::collections::BTreeMap;

use concord::change::{Action, Change, LineChange, Scope};
use concord::types::{Status, Value};

use super::claims::{Claim, Claims, Floor, InventoryKey, Line, LineKey, Parts, Stamp, Verdict};
use super::{Clock, Input, Name, Rejection, Setup};

/// What became of a record's pieces.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub taken: bool,
    pub stale: bool,
}

impl Tally {
    fn count(&mut self, verdict: Verdict) {
        self.taken |= verdict == Verdict::Taken;
        self.stale |= verdict == Verdict::Stale;
    }

    fn add(&mut self, other: Tally) {
        self.taken |= other.taken;
        self.stale |= other.stale;
    }
}

/// What a piece did to lines of a reservation.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Turned {
    pub cancelled: bool,
    pub reinstated: bool,
}

/// Merges a record into the claims.
pub(crate) fn record(
    claims: &mut Claims,
    setup: &Setup,
    clock: Clock,
    record: &Input,
    changes: &[Change],
) -> Result<Tally, Rejection> {
    let source: Name = record.source.as_str().into();
    let hash_id = record.id.starts_with("sha256-");
    let id = (source.clone(), record.id.clone());
    let known = claims.ids.get(&id).is_some_and(|then| clock.within(*then, setup.dedup_span_ms));
    let mut taker = Taker { claims, setup, source, record, place: 0 };
    if !hash_id && known {
        changes.iter().for_each(|change| taker.mention(&change.action));
        return Ok(Tally::default());
    }
    let mut tally = Tally::default();
    for change in changes {
        let stamp = Stamp { revision: change.revision.clone(), order: record.order, offset: record.offset, hash_id };
        taker.mention(&change.action);
        tally.add(taker.change(&stamp, &change.action)?);
    }
    if !hash_id && tally.taken {
        claims.ids.insert(id, clock.now);
    }
    Ok(tally)
}

struct Taker<'a> {
    claims: &'a mut Claims,
    setup: &'a Setup,
    source: Name,
    record: &'a Input,
    /// Mentions of lines in this record so far.
    place: u32,
}

impl Taker<'_> {
    /// Rule 6: an open snapshot of the source has heard of what the action names.
    fn mention(&mut self, action: &Action) {
        if let Some(mentions) = self.claims.snapshots.get_mut(&self.source) {
            mentions.push(action.clone());
        }
    }

    fn change(&mut self, stamp: &Stamp, action: &Action) -> Result<Tally, Rejection> {
        match action {
            Action::InventorySet(set) => {
                let mut tally = Tally::default();
                for (day, field) in set.nights.iter().flat_map(|day| set.fields.iter().map(move |field| (day, field))) {
                    let key = (set.room_type.clone(), day, field.name.clone(), self.source.clone());
                    tally.count(self.claim_inventory(stamp, key, field.value.clone())?);
                }
                Ok(tally)
            }
            Action::InventoryReplace { scope, nights } => self.replace_inventory(stamp, scope, nights, action),
            Action::Withdraw(scope) => self.replace_inventory(stamp, scope, &[], action),
            Action::LineSet { reservation, line } => {
                let key = (self.source.clone(), reservation.clone(), line.line.clone());
                self.change_line(stamp, key, line, action)
            }
            Action::LineCancel { reservation, line } => {
                let key = (self.source.clone(), reservation.clone(), line.clone());
                self.change_line(stamp, key, &cancellation(line), action)
            }
            Action::ReservationReplace { reservation, lines } => {
                self.replace_reservation(stamp, reservation, lines, action)
            }
            Action::SnapshotBegin => self.begin_snapshot(),
            Action::SnapshotEnd => self.end_snapshot(stamp),
        }
    }

    // Inventory

    /// One claim to one field of one room night; `None` takes it back.
    fn claim_inventory(
        &mut self,
        stamp: &Stamp,
        key: InventoryKey,
        value: Option<Value>,
    ) -> Result<Verdict, Rejection> {
        let mut claim = match self.claims.inventory.get(&key) {
            Some(claim) => claim.clone(),
            None => self.unknown_claim(&key)?,
        };
        if stamp.by_content() && claim.value.clone().flatten() == value {
            return Ok(Verdict::Duplicate);
        }
        let verdict = claim.judge(stamp, &value)?;
        if verdict == Verdict::Taken {
            claim.take(stamp, value.clone(), value);
            self.claims.inventory.insert(key, claim);
        }
        Ok(verdict)
    }

    /// A claim that was never made, as the replacements left it that spoke about it all the same (rule 5).
    fn unknown_claim(&self, key: &InventoryKey) -> Result<Claim<Option<Value>>, Rejection> {
        let mut claim = Claim::default();
        for (_, _, floor) in self.claims.scopes.iter().filter(|(of, scope, _)| *of == self.source && covers(scope, key))
        {
            let stamp = floor.stamp();
            if claim.judge(&stamp, &None)? == Verdict::Taken {
                claim.take(&stamp, None, None);
            }
        }
        Ok(claim)
    }

    /// Sets what is listed, withdraws the rest of the scope, and remembers that there is nothing else in it
    /// (for a withdrawal only where a revision tells what is older).
    fn replace_inventory(
        &mut self,
        stamp: &Stamp,
        scope: &Scope,
        nights: &[concord::change::RoomNights],
        action: &Action,
    ) -> Result<Tally, Rejection> {
        let mut tally = Tally::default();
        // Whoever lists a field of a room night twice means the last.
        let mut listed: BTreeMap<InventoryKey, Option<Value>> = BTreeMap::new();
        let known: Vec<InventoryKey> =
            self.claims.inventory.keys().filter(|key| key.3 == self.source && covers(scope, key)).cloned().collect();
        for set in nights {
            for (day, field) in set.nights.iter().flat_map(|day| set.fields.iter().map(move |field| (day, field))) {
                let key = (set.room_type.clone(), day, field.name.clone(), self.source.clone());
                listed.insert(key, field.value.clone());
            }
        }
        for key in known {
            listed.entry(key).or_insert(None);
        }
        let nothing = listed.is_empty();
        for (key, value) in listed {
            tally.count(self.claim_inventory(stamp, key, value)?);
        }
        if nothing && !stamp.by_content() {
            tally.add(self.said_of_nothing(stamp, scope)?);
        }
        if matches!(action, Action::InventoryReplace { .. }) || stamp.revision.is_some() {
            let floor = Floor { revision: stamp.revision.clone(), order: stamp.order, offset: stamp.offset };
            self.claims.scopes.push((self.source.clone(), scope.clone(), floor));
        }
        Ok(tally)
    }

    /// A replacement or withdrawal that found and listed nothing is news on the days on which no earlier one that
    /// spoke about all its types and fields was as new.
    fn said_of_nothing(&self, stamp: &Stamp, scope: &Scope) -> Result<Tally, Rejection> {
        let mut tally = Tally::default();
        for day in scope.nights.iter() {
            let mut claim: Claim<Option<Value>> = Claim::default();
            for (source, of, floor) in &self.claims.scopes {
                if *source == self.source && of.nights.contains(day) && spans(of, scope) {
                    let stamp = floor.stamp();
                    if claim.judge(&stamp, &None)? == Verdict::Taken {
                        claim.take(&stamp, None, None);
                    }
                }
            }
            tally.count(claim.judge(stamp, &None)?);
        }
        Ok(tally)
    }

    // Lines

    fn change_line(
        &mut self,
        stamp: &Stamp,
        key: LineKey,
        change: &LineChange,
        action: &Action,
    ) -> Result<Tally, Rejection> {
        let at = self.mention_line(stamp, &key)?;
        if stamp.by_content() && self.claims.lines[at].contents.repeats(action) {
            return Ok(Tally::default());
        }
        let (tally, turned) = self.line_pieces(stamp, at, change)?;
        let booked = tally.taken && !self.claims.lines[at].cancelled();
        self.turn_reservation(&key, turned, booked);
        if tally.taken && stamp.revision.is_none() {
            self.claims.lines[at].contents.current.push(action.clone());
        }
        Ok(tally)
    }

    /// The line's place among the lines. A line that is mentioned for the first time, by something older than a
    /// whole replacement of its reservation (or as old, by revision), was cancelled by that replacement (rule 5).
    fn mention_line(&mut self, stamp: &Stamp, key: &LineKey) -> Result<usize, Rejection> {
        let place = self.place;
        self.place += 1;
        if let Some(at) = self.claims.lines.iter().position(|line| line.key == *key) {
            return Ok(at);
        }
        let mut line = Line::new(key.clone(), (self.record.offset, place), (self.record.order, place));
        let reservation = self.claims.reservations.get(&(key.0.clone(), key.1.clone()));
        let born_cancelled = reservation.is_some_and(|reservation| reservation.born_cancelled);
        if let Some(floor) = reservation.and_then(|reservation| reservation.floor.as_ref())
            && (floor.judge(stamp, &Status::Cancelled)? != Verdict::Taken || born_cancelled)
        {
            line.status = floor.clone();
            line.born_cancelled = true;
            line.was_cancelled = true;
        }
        self.claims.lines.push(line);
        Ok(self.claims.lines.len() - 1)
    }

    /// Every field that the change gives is compared on its own (rule 2).
    fn line_pieces(&mut self, stamp: &Stamp, at: usize, change: &LineChange) -> Result<(Tally, Turned), Rejection> {
        let max_nights = self.setup.max_stay_nights;
        let line = &mut self.claims.lines[at];
        let mut tally = Tally::default();
        let mut turned = Turned::default();
        let first_known = untouched(line);
        if let Some(status) = change.status {
            let (verdict, turn) = set_status(line, stamp, status)?;
            tally.count(verdict);
            turned = turn;
            line.born_cancelled |= first_known && status == Status::Cancelled;
        }
        let parts = Parts {
            arrival: change.arrival,
            departure: change.departure,
            room_type: change.room_type.clone(),
            room: change.room.clone(),
        };
        if parts != Parts::default() {
            tally.count(set_placement(&mut line.placement, stamp, parts, max_nights)?);
        }
        if let Some(money) = change.money {
            tally.count(set(&mut line.money, stamp, money)?);
        }
        if let Some(guests) = change.guests {
            tally.count(set(&mut line.guests, stamp, guests)?);
        }
        if let Some(references) = &change.references {
            let mut references = references.clone();
            references.sort();
            references.dedup();
            tally.count(set(&mut line.references, stamp, references)?);
        }
        Ok((tally, turned))
    }

    fn replace_reservation(
        &mut self,
        stamp: &Stamp,
        name: &Name,
        lines: &[LineChange],
        action: &Action,
    ) -> Result<Tally, Rejection> {
        let key = (self.source.clone(), name.clone());
        let known = self.claims.reservations.entry(key.clone()).or_default();
        if stamp.by_content() && known.contents.repeats(action) {
            return Ok(Tally::default());
        }
        let no_floor = known.floor.is_none();
        let no_line = !self.claims.lines.iter().any(|line| line.key.0 == key.0 && line.key.1 == key.1);
        let books = lines.iter().any(|line| line.status != Some(Status::Cancelled));
        let mut tally = Tally::default();
        let mut turned = Turned::default();
        let mut add = |(pieces, turn): (Tally, Turned)| {
            tally.add(pieces);
            turned.cancelled |= turn.cancelled;
            turned.reinstated |= turn.reinstated;
        };
        for line in lines {
            let at = self.mention_line(stamp, &(key.0.clone(), key.1.clone(), line.line.clone()))?;
            add(self.line_pieces(stamp, at, line)?);
        }
        for at in 0..self.claims.lines.len() {
            let (source, reservation, line) = self.claims.lines[at].key.clone();
            let unlisted = !lines.iter().any(|listed| listed.line == line);
            if (source, reservation) == key && unlisted {
                add(self.line_pieces(stamp, at, &cancellation(&line))?);
            }
        }
        let live = |line: &Line| lines.iter().any(|listed| listed.line == line.key.2) && !line.cancelled();
        let of = |line: &&Line| line.key.0 == key.0 && line.key.1 == key.1;
        let booked = self.claims.lines.iter().filter(of).any(live);
        let reservation = self.claims.reservations.entry(key).or_default();
        let floor = reservation.floor.get_or_insert_default();
        let higher = stamp.revision.is_some() && stamp.revision != floor.highest;
        let verdict = set(floor, stamp, Status::Cancelled)?;
        tally.count(verdict);
        if no_floor && no_line && !books {
            reservation.born_cancelled = true;
        } else if verdict == Verdict::Taken && higher {
            reservation.born_cancelled = false;
        }
        reservation.contents.turn(turned, tally.taken && booked);
        if tally.taken && stamp.revision.is_none() {
            reservation.contents.current.push(action.clone());
        }
        Ok(tally)
    }

    fn turn_reservation(&mut self, (source, reservation, _): &LineKey, turned: Turned, booked: bool) {
        if let Some(known) = self.claims.reservations.get_mut(&(source.clone(), reservation.clone())) {
            known.contents.turn(turned, booked);
        }
    }

    // Snapshots (rule 6)

    fn begin_snapshot(&mut self) -> Result<Tally, Rejection> {
        if self.claims.snapshots.insert(self.source.clone(), Vec::new()).is_some() {
            return Err(Rejection("a snapshot of this source is open already".into()));
        }
        Ok(Tally { taken: true, stale: false })
    }

    /// Withdraws and cancels, without a revision, what nothing since the beginning mentioned.
    fn end_snapshot(&mut self, stamp: &Stamp) -> Result<Tally, Rejection> {
        let Some(mentions) = self.claims.snapshots.remove(&self.source) else {
            return Err(Rejection("no snapshot of this source is open".into()));
        };
        let stamp = Stamp { revision: None, hash_id: false, ..stamp.clone() };
        let claims: Vec<InventoryKey> = self
            .claims
            .inventory
            .iter()
            .filter(|(key, claim)| key.3 == self.source && claim.value.as_ref().is_some_and(Option::is_some))
            .map(|(key, _)| key.clone())
            .collect();
        for key in claims.into_iter().filter(|key| !mentions.iter().any(|action| names_claim(action, key))) {
            self.claim_inventory(&stamp, key, None)?;
        }
        let mut turns = Vec::new();
        for line in self.claims.lines.iter_mut().filter(|line| line.key.0 == self.source && !line.cancelled()) {
            if !mentions.iter().any(|action| names_line(action, &line.key)) {
                let (_, turned) = set_status(line, &stamp, Status::Cancelled)?;
                turns.push((line.key.clone(), turned));
            }
        }
        for (key, turned) in turns {
            self.turn_reservation(&key, turned, false);
        }
        Ok(Tally { taken: true, stale: false })
    }
}

/// A change that cancels and says no more.
fn cancellation(line: &Name) -> LineChange {
    LineChange { line: line.clone(), status: Some(Status::Cancelled), ..LineChange::default() }
}

/// Whether nothing is known of the line yet.
fn untouched(line: &Line) -> bool {
    line.status.value.is_none()
        && line.placement.value.is_none()
        && line.money.value.is_none()
        && line.guests.value.is_none()
        && line.references.value.is_none()
}

fn set<T: Clone + PartialEq>(claim: &mut Claim<T>, stamp: &Stamp, value: T) -> Result<Verdict, Rejection> {
    let verdict = claim.judge(stamp, &value)?;
    if verdict == Verdict::Taken {
        claim.take(stamp, value.clone(), value);
    }
    Ok(verdict)
}

/// Rules 2 (equal revisions), 3 and 4.
fn set_status(line: &mut Line, stamp: &Stamp, given: Status) -> Result<(Verdict, Turned), Rejection> {
    let claim = &line.status;
    let mut verdict = claim.judge(stamp, &given)?;
    let equal = stamp.revision.is_some() && stamp.revision == claim.highest;
    let higher = stamp.revision.is_some() && !equal;
    if verdict == Verdict::Taken && equal && claim.seen.contains(&Status::Cancelled) {
        verdict = Verdict::Stale;
    }
    if verdict == Verdict::Taken && line.born_cancelled && !higher {
        verdict = Verdict::Stale;
    }
    if verdict != Verdict::Taken {
        return Ok((verdict, Turned::default()));
    }
    line.born_cancelled = false;
    let before = line.status.value;
    let again = given == Status::Confirmed && line.was_cancelled;
    let meant = if again { Status::Reinstated } else { given };
    line.status.take(stamp, given, meant);
    let mut turned = Turned::default();
    if meant == Status::Cancelled {
        line.was_cancelled = true;
        line.contents.cancelled();
        turned.cancelled = before != Some(Status::Cancelled);
    } else if meant == Status::Reinstated && before == Some(Status::Cancelled) {
        line.contents.reinstated();
        turned.reinstated = true;
    }
    Ok((verdict, turned))
}

/// Parts that are not given keep what they were (rule 12); the whole has to be a stay of 1 to `max_nights` nights.
fn set_placement(claim: &mut Claim<Parts>, stamp: &Stamp, given: Parts, max_nights: u32) -> Result<Verdict, Rejection> {
    let before = claim.value.clone().unwrap_or_default();
    let verdict = claim.judge(stamp, &given)?;
    check_nights(&given, max_nights)?;
    if verdict == Verdict::Taken {
        let whole = Parts {
            arrival: given.arrival.or(before.arrival),
            departure: given.departure.or(before.departure),
            room_type: given.room_type.clone().or(before.room_type),
            room: given.room.clone().or(before.room),
        };
        check_nights(&whole, max_nights)?;
        claim.take(stamp, given, whole);
    }
    Ok(verdict)
}

fn check_nights(parts: &Parts, max_nights: u32) -> Result<(), Rejection> {
    let (Some(arrival), Some(departure)) = (parts.arrival, parts.departure) else { return Ok(()) };
    let nights = i64::from(departure.0) - i64::from(arrival.0);
    if nights < 1 || nights > i64::from(max_nights) {
        return Err(Rejection(format!("{arrival} to {departure} is no stay of 1 to {max_nights} nights")));
    }
    Ok(())
}

/// Whether a scope speaks about all room types and fields of another.
fn spans(scope: &Scope, other: &Scope) -> bool {
    let all = |of: &[Name], listed: &[Name]| {
        of.is_empty() || (!listed.is_empty() && listed.iter().all(|name| of.contains(name)))
    };
    all(&scope.room_types, &other.room_types) && all(&scope.fields, &other.fields)
}

/// Whether a scope covers a claim; an empty list means all.
fn covers(scope: &Scope, (room_type, day, field, _): &InventoryKey) -> bool {
    scope.nights.contains(*day)
        && (scope.room_types.is_empty() || scope.room_types.contains(room_type))
        && (scope.fields.is_empty() || scope.fields.contains(field))
}

fn names_claim(action: &Action, key: &InventoryKey) -> bool {
    let listed = |set: &concord::change::RoomNights| {
        set.room_type == key.0 && set.nights.contains(key.1) && set.fields.iter().any(|field| field.name == key.2)
    };
    match action {
        Action::InventorySet(set) => listed(set),
        Action::InventoryReplace { scope, nights } => covers(scope, key) || nights.iter().any(listed),
        Action::Withdraw(scope) => covers(scope, key),
        _ => false,
    }
}

fn names_line(action: &Action, (_, of, name): &LineKey) -> bool {
    match action {
        Action::LineSet { reservation, line } => reservation == of && line.line == *name,
        Action::LineCancel { reservation, line } => reservation == of && line == name,
        Action::ReservationReplace { reservation, .. } => reservation == of,
        _ => false,
    }
}
