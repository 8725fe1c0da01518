//! Pieces about lines and reservations (merge rules 1 to 6 and 9).
//!
//! Knows one source's lines. Does not know which lines are the same stay.

use std::sync::Arc;

use super::apply::{Apply, Refusal};
use super::order::{Judgement, Stamp, content_hash};
use super::state::{Line, LineField, LineId, ReservationId, line_id, reservation_id, reservation_of};
use crate::change::{LineChange, Reference};
use crate::types::{Day, Revision, Status};

impl Apply<'_> {
    pub(super) fn line_set(
        &mut self,
        reservation: &Arc<str>,
        change: &LineChange,
        revision: Option<&Revision>,
    ) -> Result<(), Refusal> {
        self.change_line(reservation, change, content_hash(&("line", change)), revision)
    }

    pub(super) fn line_cancel(
        &mut self,
        reservation: &Arc<str>,
        line: &Arc<str>,
        revision: Option<&Revision>,
    ) -> Result<(), Refusal> {
        let change = LineChange { line: line.clone(), status: Some(Status::Cancelled), ..LineChange::default() };
        self.change_line(reservation, &change, content_hash(&("cancel", line)), revision)
    }

    fn change_line(
        &mut self,
        reservation: &Arc<str>,
        change: &LineChange,
        content: u64,
        revision: Option<&Revision>,
    ) -> Result<(), Refusal> {
        let reservation = reservation_id(&self.incoming.source, reservation);
        let id = line_id(&reservation, &change.line);
        let booking = change.status != Some(Status::Cancelled);
        if self.by_content(revision)
            && self.property.line(&id).is_some_and(|l| l.contents.knows(content, booking, self.reset))
        {
            self.mention(&id);
            return Ok(());
        }
        let before = std::mem::take(&mut self.tally);
        let turn = self.merge_line(&reservation, &id, change, self.stamp(revision))?;
        self.turn_reservation(&reservation, &[turn], std::slice::from_ref(&id));
        if revision.is_none() && self.tally.taken {
            let (position, reset) = (self.incoming.position, self.reset);
            self.line(&id).contents.merged(content, booking, position, reset);
        }
        self.tally.add(before);
        Ok(())
    }

    /// All lines of a reservation; those left out are cancelled (rule 5).
    pub(super) fn replace_reservation(
        &mut self,
        reservation: &Arc<str>,
        lines: &[LineChange],
        revision: Option<&Revision>,
    ) -> Result<(), Refusal> {
        let id = reservation_id(&self.incoming.source, reservation);
        let content = content_hash(&("reservation", lines));
        let booking = lines.iter().any(|l| l.status != Some(Status::Cancelled));
        let known = self.property.reservations.get(&id);
        if self.by_content(revision) && known.is_some_and(|r| r.contents.knows(content, booking, self.reset)) {
            self.mention_lines(&id);
            return Ok(());
        }
        let first_known = known.is_none_or(|r| r.lines.is_empty() && r.floor.is_none());
        let before = std::mem::take(&mut self.tally);
        let mut turns = Vec::new();
        let stamp = self.stamp(revision);
        let listed: Vec<LineId> = lines.iter().map(|l| line_id(&id, &l.line)).collect();
        for (line, change) in listed.iter().zip(lines) {
            turns.push(self.merge_line(&id, line, change, stamp)?);
        }
        let known = self.property.reservations.get(&id).map_or(Vec::new(), |r| r.lines.clone());
        for line in known.iter().filter(|line| !listed.contains(line)) {
            self.mention(line);
            turns.push(self.merge_status(line, Status::Cancelled, stamp)?);
        }
        self.raise_floor(&id, stamp, first_known && !booking)?;
        self.turn_reservation(&id, &turns, &listed);
        if revision.is_none() && self.tally.taken {
            let (position, reset) = (stamp.position, self.reset);
            let contents = &mut self.journal.reservation(self.property, &id).contents;
            contents.merged(content, booking, position, reset);
        }
        self.tally.add(before);
        Ok(())
    }

    /// A replacement holds for lines not yet known too, and says so even where it finds none. `sticky`: it cancels a
    /// reservation of which nothing was known.
    fn raise_floor(&mut self, id: &ReservationId, stamp: Stamp<'_>, sticky: bool) -> Result<(), Refusal> {
        let (reset, left_out) = (self.reset, content_hash(&Status::Cancelled));
        let known = self.property.reservations.get(id).and_then(|r| r.floor.as_ref());
        let judgement = known.map_or(Judgement::Apply, |floor| floor.meta.judge(stamp, left_out, reset));
        if self.count(judgement)? {
            let floor = self.journal.reservation(self.property, id).floor.get_or_insert_default();
            floor.sticky = sticky || floor.sticky && !floor.meta.is_higher(stamp, reset);
            floor.meta.accept(stamp, left_out, reset);
            floor.position = stamp.position;
        }
        Ok(())
    }

    /// What became of its lines also tells which whole contents of the reservation are redeliveries (rule 1): after a
    /// cancellation no booking from before comes back, and once something is booked the next cancellation counts.
    fn turn_reservation(&mut self, id: &ReservationId, turns: &[Turn], about: &[LineId]) {
        if self.property.reservations.get(id).is_none_or(|known| known.contents.is_empty()) {
            return;
        }
        let booked = self.tally.taken && about.iter().any(|l| self.property.line(l).is_some_and(|l| !l.is_cancelled()));
        let (position, reset) = (self.incoming.position, self.reset);
        let contents = &mut self.journal.reservation(self.property, id).contents;
        if turns.contains(&Turn::Cancelled) {
            contents.cancelled(position, reset);
        } else if turns.contains(&Turn::Reinstated) {
            contents.reinstated(position, reset);
        }
        if booked {
            contents.booked(position, reset);
        }
    }

    /// Rule 6: lines that no record since the snapshot's beginning mentioned.
    pub(super) fn cancel_unmentioned(&mut self, snapshot: u64) -> Result<(), Refusal> {
        let source = &self.incoming.source;
        let mut forgotten: Vec<LineId> = self
            .property
            .lines
            .values()
            .filter(|line| line.source() == &**source && line.mentioned != snapshot && !line.is_cancelled())
            .map(|line| line.id.clone())
            .collect();
        forgotten.sort();
        for line in &forgotten {
            let stamp = self.stamp(None);
            let turn = self.merge_status(line, Status::Cancelled, stamp)?;
            self.turn_reservation(&reservation_of(line), &[turn], &[]);
        }
        Ok(())
    }

    fn line(&mut self, id: &LineId) -> &mut Line {
        self.journal.line(self.property, id, (self.incoming.position, self.mentions), self.incoming.order)
    }

    pub(super) fn mention_line(&mut self, reservation: &str, line: &str) {
        let reservation = reservation_id(&self.incoming.source, reservation);
        self.mention(&line_id(&reservation, line));
    }

    /// A whole replacement speaks about every line of its reservation.
    pub(super) fn mention_reservation(&mut self, reservation: &str) {
        self.mention_lines(&reservation_id(&self.incoming.source, reservation));
    }

    fn mention_lines(&mut self, id: &ReservationId) {
        for line in self.property.reservations.get(id).map_or(Vec::new(), |r| r.lines.clone()) {
            self.mention(&line);
        }
    }

    /// Notes that a known line was mentioned, if an initial load goes on.
    fn mention(&mut self, id: &LineId) {
        if let Some(snapshot) = self.snapshot().filter(|_| self.property.lines.contains_key(id)) {
            self.line(id).mentioned = snapshot;
        }
    }

    /// Makes a line that was not known: cancelled, if a replacement as new as this left it out, or if its reservation
    /// was cancelled before anything else was known of it. Tells whether it was.
    fn create_line(&mut self, reservation: &ReservationId, id: &LineId, stamp: Stamp<'_>) -> Result<bool, Refusal> {
        self.mentions += 1;
        let (reset, left_out) = (self.reset, content_hash(&Status::Cancelled));
        let known = self.journal.reservation(self.property, reservation);
        known.lines.push(id.clone());
        let floor = known.floor.clone();
        let judgement = floor.as_ref().map_or(Judgement::Apply, |floor| floor.meta.judge(stamp, left_out, reset));
        let held = floor.as_ref().is_some_and(|floor| floor.sticky);
        let line = self.line(id);
        let floor = match judgement {
            // The line itself is news.
            Judgement::Apply if !held => None,
            Judgement::Apply | Judgement::Stale | Judgement::Duplicate => floor,
            Judgement::Incomparable => return Err(self.incomparable()),
        };
        match &floor {
            None => self.tally.taken = true,
            // Its pieces tell whether anything is taken.
            Some(floor) => {
                line.sticky = true;
                line.was_cancelled = true;
                line.status =
                    LineField { value: Some(Status::Cancelled), meta: floor.meta.clone(), offset: floor.position };
            }
        }
        self.touched.lines.insert(id.clone());
        Ok(floor.is_some())
    }

    /// Every piece that the change names, each by its own order.
    fn merge_line(
        &mut self,
        reservation: &ReservationId,
        id: &LineId,
        change: &LineChange,
        stamp: Stamp<'_>,
    ) -> Result<Turn, Refusal> {
        let new = !self.property.lines.contains_key(id) && !self.create_line(reservation, id, stamp)?;
        self.mention(id);
        let mut turn = Turn::None;
        if let Some(status) = change.status {
            turn = self.merge_status(id, status, stamp)?;
            self.line(id).sticky |= new && status == Status::Cancelled;
        }
        self.merge_placement(id, change, stamp)?;
        if let Some(money) = &change.money {
            self.merge_field(id, money, stamp, |line| &mut line.money, |v| Some(*v))?;
        }
        if let Some(guests) = &change.guests {
            self.merge_field(id, guests, stamp, |line| &mut line.guests, |v| Some(*v))?;
        }
        if let Some(references) = &change.references {
            self.merge_references(id, references, stamp)?;
        }
        Ok(turn)
    }

    /// Rules 2 (equal revisions), 3 and 4.
    fn merge_status(&mut self, id: &LineId, status: Status, stamp: Stamp<'_>) -> Result<Turn, Refusal> {
        let (content, reset, position) = (content_hash(&status), self.reset, self.incoming.position);
        let line = self.line(id);
        let meta = &line.status.meta;
        let mut judgement = meta.judge(stamp, content, reset);
        let cancelled_then = meta.equals_and_saw(stamp, content_hash(&Status::Cancelled), reset);
        let held = line.sticky && !meta.is_higher(stamp, reset);
        if judgement == Judgement::Apply && (cancelled_then || held) {
            judgement = Judgement::Stale;
        }
        if !self.count(judgement)? {
            return Ok(Turn::None);
        }
        self.touched.lines.insert(id.clone());
        let line = self.line(id);
        let was_cancelled = line.is_cancelled();
        let meant = if status == Status::Confirmed && line.was_cancelled { Status::Reinstated } else { status };
        line.sticky = false;
        line.was_cancelled |= status == Status::Cancelled;
        line.status.value = Some(meant);
        line.status.meta.accept(stamp, content, reset);
        line.status.offset = position;
        Ok(match meant {
            Status::Cancelled => {
                line.contents.cancelled(position, reset);
                if was_cancelled { Turn::None } else { Turn::Cancelled }
            }
            Status::Reinstated if was_cancelled => {
                line.contents.reinstated(position, reset);
                Turn::Reinstated
            }
            _ => Turn::None,
        })
    }

    fn merge_placement(&mut self, id: &LineId, change: &LineChange, stamp: Stamp<'_>) -> Result<(), Refusal> {
        let parts = (&change.arrival, &change.departure, &change.room_type, &change.room);
        if let (None, None, None, None) = parts {
            return Ok(());
        }
        let (content, reset, position) = (content_hash(&parts), self.reset, self.incoming.position);
        let most = self.bounds.stay_nights;
        check_nights(id, change.arrival, change.departure, most)?;
        let judgement = self.line(id).placement.meta.judge(stamp, content, reset);
        if !self.count(judgement)? {
            return Ok(());
        }
        let field = &mut self.line(id).placement;
        let value = &mut field.value;
        value.arrival = change.arrival.or(value.arrival);
        value.departure = change.departure.or(value.departure);
        if let Some(room_type) = &change.room_type {
            value.room_type = Some(room_type.clone());
        }
        if let Some(room) = &change.room {
            value.room = Some(room.clone()).filter(|room| !room.is_empty());
        }
        field.meta.accept(stamp, content, reset);
        field.offset = position;
        check_nights(id, value.arrival, value.departure, most)?;
        self.touched.lines.insert(id.clone());
        Ok(())
    }

    fn merge_references(&mut self, id: &LineId, new: &[Reference], stamp: Stamp<'_>) -> Result<(), Refusal> {
        let mut new = new.to_vec();
        new.sort();
        new.dedup();
        self.merge_field(id, &new, stamp, |line| &mut line.references, Clone::clone)
    }

    fn merge_field<V: std::hash::Hash, T>(
        &mut self,
        id: &LineId,
        piece: &V,
        stamp: Stamp<'_>,
        field: impl Fn(&mut Line) -> &mut LineField<T>,
        value: impl Fn(&V) -> T,
    ) -> Result<(), Refusal> {
        let (content, reset, position) = (content_hash(piece), self.reset, self.incoming.position);
        let judgement = field(self.line(id)).meta.judge(stamp, content, reset);
        if self.count(judgement)? {
            let field = field(self.line(id));
            field.value = value(piece);
            field.meta.accept(stamp, content, reset);
            field.offset = position;
            self.touched.lines.insert(id.clone());
        }
        Ok(())
    }
}

/// What merging a status did to a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    None,
    Cancelled,
    Reinstated,
}

/// Whether it is a stay of at least one and at most `most` nights, as far as both ends are known.
fn check_nights(id: &LineId, arrival: Option<Day>, departure: Option<Day>, most: usize) -> Result<(), Refusal> {
    let (Some(arrival), Some(departure)) = (arrival, departure) else { return Ok(()) };
    if departure <= arrival {
        return Err(Refusal::Rejected(format!("{id}: departure {departure} is not after arrival {arrival}")));
    }
    let nights = (departure.0 - arrival.0) as usize;
    if nights > most {
        return Err(Refusal::Rejected(format!(
            "{id}: {nights} nights from {arrival} to {departure}, more than {most}"
        )));
    }
    Ok(())
}
