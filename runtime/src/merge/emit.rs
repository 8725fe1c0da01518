//! Last step: what was decided becomes rows (merge rules 21 to 23).
//!
//! Knows the rows. Decides nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::decide::{About, Deciding, Draft};
use super::state::{EntityKey, Line, LineId, Night, Stay, StayId};
use super::{Effects, row_version};
use crate::rows::{Cause, ConflictRow, Outcome, ReservationRow, RoomNightRow};
use crate::types::{Day, Days, Status, Value};

impl Deciding<'_> {
    /// The rows of everything that the record changed.
    pub(super) fn emit(mut self, touched: &BTreeSet<LineId>, effects: &mut Effects) {
        for id in self.before.keys().cloned().collect::<Vec<_>>() {
            self.emit_stay(&id, touched, effects);
            if self.before.get(&id).and_then(Option::as_deref) != self.property.stay(&id) {
                self.property.dirty.insert(EntityKey::Stay(id));
            }
        }
        for night in std::mem::take(&mut self.nights) {
            self.property.nights.open(&night);
            effects.room_nights.extend(self.room_night(&night));
        }
        self.emit_conflicts(effects);
    }

    fn version(&self) -> u64 {
        row_version(self.incoming.position)
    }

    /// Rule 22: one row per night; nights that the stay left are deleted; an ended id stays as `merged`.
    fn emit_stay(&mut self, id: &StayId, touched: &BTreeSet<LineId>, effects: &mut Effects) {
        let Some(stay) = self.property.stay(id) else { return };
        let before = self.before.get(id).and_then(Option::as_deref);
        let unchanged = before == Some(stay) && !stay.lines.iter().any(|l| touched.contains(l));
        if unchanged {
            return;
        }
        if stay.lines.is_empty() {
            let Some((room_type, nights)) = stay.shown.clone() else { return };
            let Some(last) = before.filter(|b| !b.lines.is_empty()) else { return };
            let template = self.reservation(last, &room_type, Outcome::Merged, |l| self.line_before(l));
            let rows = template.iter().flat_map(|t| nights.iter().map(|date| ReservationRow { date, ..t.clone() }));
            effects.reservations.extend(rows);
            return;
        }
        let shows = stay.placement.as_ref().filter(|_| stay.status.is_some()).map(|p| (stay.counted.clone(), p.nights));
        let shown = stay.shown.clone();
        let outcome = stay.outcome.unwrap_or(Outcome::Cancelled);
        if let Some((room_type, nights)) = &shows {
            let now = |l: &LineId| self.property.line(l);
            let Some(template) = self.reservation(stay, room_type, outcome, now) else { return };
            let occupied = stay.occupied();
            for date in nights.iter() {
                // A no-show that keeps its first night has no claim to the others.
                let idle = template.status == Status::NoShow && !occupied.is_some_and(|o| o.contains(date));
                let outcome = if idle { Outcome::NoShow } else { outcome };
                effects.reservations.push(ReservationRow { date, outcome, ..template.clone() });
            }
        }
        if let Some((room_type, nights)) = &shown {
            self.emit_left(stay, room_type, *nights, shows.as_ref(), effects);
        }
        if let Some(stay) = self.property.stays.get_mut(id) {
            stay.shown = shows;
        }
    }

    /// Rows that say which of the nights shown before are none of the stay's any more. Nobody reads more of them
    /// than their key.
    fn emit_left(
        &self,
        stay: &Stay,
        room_type: &Arc<str>,
        nights: Days,
        shows: Option<&(Arc<str>, Days)>,
        effects: &mut Effects,
    ) {
        let kept = |date| shows.is_some_and(|(now, days)| now == room_type && days.contains(date));
        let left = nights.iter().filter(|date| !kept(*date)).map(|date| ReservationRow {
            property: self.property.name.clone(),
            date,
            room_type: room_type.clone(),
            stay: stay.id.clone(),
            outcome: Outcome::Cancelled,
            status: Status::Cancelled,
            arrival: nights.first,
            departure: nights.end,
            room: Arc::default(),
            lines: Vec::new(),
            references: Vec::new(),
            amount: None,
            currency: None,
            guests: None,
            source: Arc::default(),
            rule_id: Arc::default(),
            version: self.version(),
            is_deleted: true,
            log_time: self.incoming.log_time,
        });
        effects.reservations.extend(left);
    }

    /// A line as it was before the record.
    fn line_before(&self, id: &LineId) -> Option<&Line> {
        self.journal.lines.get(id).map_or_else(|| self.property.line(id), Option::as_deref)
    }

    fn reservation<'l>(
        &self,
        stay: &Stay,
        room_type: &Arc<str>,
        outcome: Outcome,
        line: impl Fn(&LineId) -> Option<&'l Line>,
    ) -> Option<ReservationRow> {
        let (status, placement) = (stay.status.as_ref()?, stay.placement.as_ref()?);
        let references: BTreeSet<String> = stay
            .lines
            .iter()
            .filter_map(line)
            .flat_map(|l| &l.references.value)
            .map(|r| format!("{}:{}:{}", r.kind, r.issuer, r.value))
            .collect();
        let room = placement.room.clone().filter(|_| stay.lost_room.is_none());
        Some(ReservationRow {
            property: self.property.name.clone(),
            date: placement.nights.first,
            room_type: room_type.clone(),
            stay: stay.id.clone(),
            outcome,
            status: status.status,
            arrival: placement.nights.first,
            departure: placement.nights.end,
            room: room.unwrap_or_default(),
            lines: stay.lines.clone(),
            references: references.into_iter().map(Into::into).collect(),
            amount: stay.money.map(|m| m.amount),
            currency: stay.money.map(|m| m.currency),
            guests: stay.guests,
            source: status.source.clone(),
            rule_id: status.rule.clone(),
            version: self.version(),
            is_deleted: false,
            log_time: self.incoming.log_time,
        })
    }

    /// Rule 21. `None` while nothing was ever claimed or occupied.
    fn room_night(&self, night: &Night) -> Option<RoomNightRow> {
        let state = self.property.nights.get(night);
        let state = state.as_deref();
        let claimed = state.is_some_and(|s| s.claimed);
        if !claimed && !self.property.index.occupancy.contains_key(night) && !self.was_occupied(night) {
            return None;
        }
        let value = |name: &str| state.and_then(|s| s.value(name));
        let capacity = self.capacity(night);
        let booked = self.property.index.occupancy.get(night).map_or(0, |o| o.accepted.len());
        let booked = i32::try_from(booked).unwrap_or(i32::MAX);
        let closed = matches!(value(super::CLOSED), Some(Value::Boolean(true)));
        let claimed_free = match value(super::AVAILABILITY) {
            Some(Value::Integer(n)) => Some(i32::try_from(*n).unwrap_or(i32::MAX)),
            _ => None,
        };
        let overbook = i32::try_from(self.terms.overbook).unwrap_or(i32::MAX);
        let free = capacity.map(|rooms| rooms.saturating_add(overbook).saturating_sub(booked));
        let available = match (free, claimed_free) {
            _ if closed => Some(0),
            (Some(a), Some(b)) => Some(a.min(b).max(0)),
            (a, b) => a.or(b).map(|n| n.max(0)),
        };
        let fields = state.map_or(&[][..], |s| &s.fields);
        let published = || fields.iter().filter_map(|f| Some((f, f.published.as_ref()?)));
        let declared = published().filter(|(f, _)| !super::is_built_in(&f.name));
        Some(RoomNightRow {
            property: self.property.name.clone(),
            date: night.1,
            room_type: night.0.clone(),
            capacity,
            booked,
            held: 0,
            available,
            fields: declared.map(|(f, p)| (f.name.clone(), p.value.clone())).collect(),
            sources: published().map(|(f, p)| (f.name.clone(), p.source.clone())).collect(),
            rule_set: self.setup.rule_set.clone(),
            version: self.version(),
            log_time: self.incoming.log_time,
        })
    }

    /// Whether a stay of this record occupied the night before it.
    fn was_occupied(&self, night: &Night) -> bool {
        let on = |stay: &Stay| stay.counted == night.0 && stay.occupied().is_some_and(|days| days.contains(night.1));
        self.before.values().flatten().any(|stay| on(stay))
    }

    /// Rule 23: the order of a record's rows, and their numbers.
    fn emit_conflicts(&mut self, effects: &mut Effects) {
        let drafts = std::mem::take(&mut self.drafts);
        let mut rows: Vec<ConflictRow> = drafts.into_iter().map(|draft| self.conflict(draft)).collect();
        rows.sort_by(|a, b| key(a).cmp(&key(b)));
        for (seq, mut row) in (0..).zip(rows) {
            row.seq = seq;
            effects.conflicts.push(row);
        }
    }

    fn conflict(&self, draft: Draft) -> ConflictRow {
        let (room_type, date, stay) = match draft.about {
            About::Night((room_type, date)) => (room_type, date, Arc::default()),
            About::Stay(id) => {
                let placement = self.property.stay(&id).and_then(|s| Some((s, s.placement.as_ref()?)));
                let (room_type, date) = placement
                    .map_or_else(|| (Arc::default(), Day::EPOCH), |(s, p)| (s.counted.clone(), p.nights.first));
                (room_type, date, id)
            }
        };
        ConflictRow {
            property: self.property.name.clone(),
            date,
            room_type,
            stay,
            kind: draft.kind,
            decision: draft.decision,
            field: draft.field,
            claims: draft.claims,
            winner_source: draft.winner.unwrap_or_default(),
            winner_value: draft.winner_value,
            rule_id: draft.rule,
            rule_set: self.setup.rule_set.clone(),
            reason: draft.reason,
            cause: Cause::Event,
            plugin: self.setup.plugin.clone(),
            partition: self.setup.partition,
            offset: self.incoming.position,
            seq: 0,
            log_time: self.incoming.log_time,
        }
    }
}

fn key(row: &ConflictRow) -> impl Ord + '_ {
    (row.kind, &row.property, row.date, &row.room_type, &row.stay, &row.field, row.decision)
}
