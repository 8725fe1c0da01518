//! Pieces about lines and reservations (merge rules 1 to 6 and 9).
//!
//! Knows one source's lines. Does not know which lines are the same stay.

use std::sync::Arc;

use super::apply::{Apply, Refusal};
use super::order::{Floor, Judgement, Stamp, Turn, content_hash};
use super::state::{LineField, LineId, ReservationId, line_id, reservation_id};
use crate::change::{LineChange, Reference};
use crate::log::Offset;
use crate::types::{Revision, Status};

impl Apply<'_> {
    pub(super) fn line_set(
        &mut self,
        reservation: &Arc<str>,
        change: &LineChange,
        revision: Option<&Revision>,
    ) -> Result<(), Refusal> {
        let reservation = reservation_id(&self.incoming.source, reservation);
        let id = line_id(&reservation, &change.line);
        let content = content_hash(&("line", change));
        let booking = change.status != Some(Status::Cancelled);
        if self.by_content(revision)
            && self.property.lines.get(&id).is_some_and(|l| l.contents.knows(content, booking, self.reset))
        {
            self.mention(&id);
            return Ok(());
        }
        self.merge_line(&reservation, &id, change, self.stamp(revision))?;
        if revision.is_none() {
            let (position, reset) = (self.incoming.position, self.reset);
            self.line(&id).contents.merged(content, booking, position, reset);
        }
        Ok(())
    }

    pub(super) fn line_cancel(
        &mut self,
        reservation: &Arc<str>,
        line: &Arc<str>,
        revision: Option<&Revision>,
    ) -> Result<(), Refusal> {
        let change = LineChange { line: line.clone(), status: Some(Status::Cancelled), ..LineChange::default() };
        self.line_set(reservation, &change, revision)
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
            for line in known.map(|r| r.lines.clone()).unwrap_or_default() {
                self.mention(&line);
            }
            return Ok(());
        }
        let before = self.statuses(&id);
        let stamp = self.stamp(revision);
        let listed: Vec<LineId> = lines.iter().map(|l| line_id(&id, &l.line)).collect();
        for (line, change) in listed.iter().zip(lines) {
            self.merge_line(&id, line, change, stamp)?;
        }
        let omitted: Vec<LineId> =
            before.iter().map(|(line, _)| line).filter(|line| !listed.contains(line)).cloned().collect();
        for line in &omitted {
            self.mention(line);
            self.merge_status(line, Status::Cancelled, stamp)?;
        }
        self.end_replacement(&id, &before, stamp, content, booking);
        Ok(())
    }

    /// Remembers the replacement itself: its order for lines not yet known, its content for redeliveries.
    fn end_replacement(
        &mut self,
        id: &ReservationId,
        before: &[(LineId, Option<Status>)],
        stamp: Stamp<'_>,
        content: u64,
        booking: bool,
    ) {
        let after = self.statuses(id);
        let was = |line: &LineId| before.iter().find(|(l, _)| l == line).and_then(|(_, status)| *status);
        let turns: Vec<Turn> = after.iter().map(|(line, status)| turn(was(line), *status)).collect();
        let turn = [Turn::Cancelled, Turn::Reinstated].into_iter().find(|t| turns.contains(t)).unwrap_or(Turn::None);
        let (position, reset) = (self.incoming.position, self.reset);
        let reservation = self.journal.reservation(self.property, id);
        if !reservation.floor.as_ref().is_some_and(|floor| floor.is_above(stamp, reset)) {
            reservation.floor = Some(Floor::new(stamp));
        }
        if stamp.revision.is_none() {
            reservation.contents.turned(turn, position, reset);
            reservation.contents.merged(content, booking, position, reset);
        }
        // A replacement that finds nothing to change still says that there is nothing more.
        if before.is_empty() && after.is_empty() {
            self.tally.taken = true;
        }
    }

    /// Rule 6: lines that no record since the snapshot's beginning mentioned.
    pub(super) fn cancel_unmentioned(&mut self, begin: Offset) -> Result<(), Refusal> {
        let source = &self.incoming.source;
        let mut forgotten: Vec<LineId> = self
            .property
            .lines
            .values()
            .filter(|line| line.source() == &**source && line.mentioned <= begin && !line.is_cancelled())
            .map(|line| line.id.clone())
            .collect();
        forgotten.sort();
        for line in &forgotten {
            let stamp = self.stamp(None);
            self.merge_status(line, Status::Cancelled, stamp)?;
        }
        Ok(())
    }

    fn statuses(&self, id: &ReservationId) -> Vec<(LineId, Option<Status>)> {
        let lines = self.property.reservations.get(id).map_or(&[][..], |r| &r.lines);
        lines.iter().map(|l| (l.clone(), self.property.lines.get(l).and_then(|l| l.status.value))).collect()
    }

    fn line(&mut self, id: &LineId) -> &mut super::state::Line {
        self.journal.line(self.property, id, (self.incoming.position, self.mentions))
    }

    pub(super) fn mention_line(&mut self, reservation: &str, line: &str) {
        let reservation = reservation_id(&self.incoming.source, reservation);
        self.mention(&line_id(&reservation, line));
    }

    /// A whole replacement speaks about every line of its reservation.
    pub(super) fn mention_reservation(&mut self, reservation: &str) {
        let id = reservation_id(&self.incoming.source, reservation);
        for (line, _) in self.statuses(&id) {
            self.mention(&line);
        }
    }

    /// Notes that a known line was mentioned, if an initial load goes on.
    fn mention(&mut self, id: &LineId) {
        if self.in_snapshot() && self.property.lines.contains_key(id) {
            let position = self.incoming.position;
            self.line(id).mentioned = position;
        }
    }

    /// Makes a line that was not known: cancelled, if a newer replacement left it out.
    fn create_line(&mut self, reservation: &ReservationId, id: &LineId, change: &LineChange, stamp: Stamp<'_>) {
        self.mentions += 1;
        let reset = self.reset;
        let known = self.journal.reservation(self.property, reservation);
        known.lines.push(id.clone());
        let floor = known.floor.clone().filter(|floor| floor.is_above(stamp, reset));
        // Below a floor the pieces tell whether anything is taken; elsewhere the line itself is news.
        self.tally.taken |= floor.is_none();
        let line = self.line(id);
        line.sticky = floor.is_some() || change.status == Some(Status::Cancelled);
        if let Some(floor) = floor {
            line.was_cancelled = true;
            line.status.value = Some(Status::Cancelled);
            line.status.offset = floor.position;
            line.status.meta.accept(floor.stamp(), content_hash(&Status::Cancelled), reset);
        }
    }

    /// Every piece that the change names, each by its own order.
    fn merge_line(
        &mut self,
        reservation: &ReservationId,
        id: &LineId,
        change: &LineChange,
        stamp: Stamp<'_>,
    ) -> Result<(), Refusal> {
        if self.property.lines.contains_key(id) {
            self.mention(id);
        } else {
            self.create_line(reservation, id, change, stamp);
            self.touched.lines.insert(id.clone());
            let position = self.incoming.position;
            self.line(id).mentioned = position;
        }
        if let Some(status) = change.status {
            self.merge_status(id, status, stamp)?;
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
        Ok(())
    }

    fn merge_status(&mut self, id: &LineId, status: Status, stamp: Stamp<'_>) -> Result<(), Refusal> {
        let (content, reset, position) = (content_hash(&status), self.reset, self.incoming.position);
        let line = self.line(id);
        let field = &line.status;
        let mut judgement = field.meta.judge(stamp, content, reset);
        let cancelled = field.value == Some(Status::Cancelled);
        let first = field.value.is_none();
        if judgement == Judgement::Apply && cancelled && status != Status::Cancelled {
            let blocked = line.sticky && !field.meta.is_higher(stamp, reset);
            if blocked || field.meta.is_equal(stamp, reset) {
                judgement = Judgement::Stale;
                // Rule 2: a field remembers its highest revision, whatever becomes of the piece.
            }
        }
        if !self.count(judgement)? {
            return Ok(());
        }
        let line = self.line(id);
        if !first && status != Status::Cancelled {
            line.sticky = false;
        }
        line.was_cancelled |= status == Status::Cancelled;
        let before = line.status.value;
        line.status.value = Some(match status {
            Status::Confirmed if line.was_cancelled => Status::Reinstated,
            status => status,
        });
        line.contents.turned(turn(before, line.status.value), position, reset);
        line.status.meta.accept(stamp, content, reset);
        line.status.offset = position;
        self.touched.lines.insert(id.clone());
        Ok(())
    }

    fn merge_placement(&mut self, id: &LineId, change: &LineChange, stamp: Stamp<'_>) -> Result<(), Refusal> {
        let parts = (&change.arrival, &change.departure, &change.room_type, &change.room);
        if let (None, None, None, None) = parts {
            return Ok(());
        }
        let (content, reset, position) = (content_hash(&parts), self.reset, self.incoming.position);
        let judgement = self.line(id).placement.meta.judge(stamp, content, reset);
        if !self.count(judgement)? {
            return Ok(());
        }
        let most = self.bounds.stay_nights;
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
        if let (Some(arrival), Some(departure)) = (value.arrival, value.departure) {
            check_nights(id, arrival, departure, most)?;
        }
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
        field: impl Fn(&mut super::state::Line) -> &mut LineField<T>,
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

/// What a change of status means for the contents that were merged before.
fn turn(before: Option<Status>, after: Option<Status>) -> Turn {
    match (before, after) {
        (Some(Status::Cancelled), Some(Status::Cancelled)) => Turn::None,
        (_, Some(Status::Cancelled)) => Turn::Cancelled,
        (Some(Status::Cancelled), Some(_)) => Turn::Reinstated,
        _ => Turn::None,
    }
}

fn check_nights(
    id: &LineId,
    arrival: crate::types::Day,
    departure: crate::types::Day,
    most: usize,
) -> Result<(), Refusal> {
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
