//! Inventory pieces: set, replace, withdraw (merge rules 1, 2, 5 and 6).
//!
//! Knows one source's claims. Does not know the other sources'.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::apply::{Apply, Refusal};
use super::floors::ScopeFloor;
use super::order::{Judgement, Meta, Stamp, content_hash};
use super::state::Night;
use crate::change::{RoomNights, Scope};
use crate::types::{Day, Days, Revision, Value};

impl Apply<'_> {
    pub(super) fn inventory_set(&mut self, set: &RoomNights, revision: Option<&Revision>) -> Result<(), Refusal> {
        self.check_size(set.nights.len().saturating_mul(set.fields.len().max(1)))?;
        for day in set.nights.iter() {
            let night = (set.room_type.clone(), day);
            for field in &set.fields {
                self.claim(&night, &field.name, field.value.as_ref(), revision)?;
            }
        }
        Ok(())
    }

    pub(super) fn inventory_replace(
        &mut self,
        scope: &Scope,
        listed: &[RoomNights],
        revision: Option<&Revision>,
    ) -> Result<(), Refusal> {
        let mut pieces: BTreeMap<(Night, Arc<str>), Option<Value>> = BTreeMap::new();
        for entry in listed {
            self.check_size(pieces.len() + entry.nights.len().saturating_mul(entry.fields.len().max(1)))?;
            check_within(scope, entry)?;
            for day in entry.nights.iter() {
                for field in &entry.fields {
                    let key = ((entry.room_type.clone(), day), field.name.clone());
                    pieces.insert(key, field.value.clone());
                }
            }
        }
        for key in self.claims_within(scope) {
            pieces.entry(key).or_insert(None);
        }
        self.check_size(pieces.len())?;
        for ((night, field), value) in &pieces {
            self.claim(night, field, value.as_ref(), revision)?;
        }
        if pieces.is_empty() {
            self.count_empty(scope, revision)?;
        }
        self.remember_scope(scope, revision);
        Ok(())
    }

    pub(super) fn withdraw(&mut self, scope: &Scope, revision: Option<&Revision>) -> Result<(), Refusal> {
        let claims = self.claims_within(scope);
        self.check_size(claims.len())?;
        for (night, field) in &claims {
            self.claim(night, field, None, revision)?;
        }
        if claims.is_empty() {
            self.count_empty(scope, revision)?;
        }
        if revision.is_some() {
            self.remember_scope(scope, revision);
        }
        Ok(())
    }

    /// Whether it is news that there is nothing within the scope: where no replacement that spoke about all of it
    /// was as new.
    fn count_empty(&mut self, scope: &Scope, revision: Option<&Revision>) -> Result<(), Refusal> {
        if self.by_content(revision) {
            return Ok(());
        }
        let mut floors = self.property.floors_on(&self.incoming.source, scope.nights);
        floors.retain(|f| f.spans(&scope.room_types, &scope.fields));
        let ends = floors.iter().flat_map(|f| [f.nights.first, f.nights.end]);
        let days: BTreeSet<Day> = ends.chain([scope.nights.first]).filter(|day| scope.nights.contains(*day)).collect();
        let mut judgements = Vec::new();
        for day in days {
            let meta = self.folded(floors.iter().filter(|f| f.nights.contains(day)).copied())?;
            judgements.push(meta.judge(self.stamp(revision), content_hash(&None::<Value>), self.reset));
        }
        judgements.into_iter().try_for_each(|judgement| self.count(judgement).map(drop))
    }

    /// Rule 6: claims that no record since the snapshot's beginning mentioned.
    pub(super) fn withdraw_unmentioned(&mut self, snapshot: u64) -> Result<(), Refusal> {
        let source = &self.incoming.source;
        let mut forgotten = Vec::new();
        for (room_type, day, state) in self.property.nights.iter() {
            for field in &state.fields {
                let claim = field.claim(source).filter(|c| c.value.is_some() && c.mentioned != snapshot);
                forgotten.extend(claim.map(|_| ((room_type.clone(), day), field.name.clone())));
            }
        }
        self.check_size(forgotten.len())?;
        forgotten.iter().try_for_each(|(night, field)| self.claim(night, field, None, None))
    }

    /// Notes that known claims were mentioned: those listed, and all within the scope.
    pub(super) fn mention_nights(&mut self, listed: &[RoomNights], scope: Option<&Scope>) {
        let mut claims = scope.map(|scope| self.claims_within(scope)).unwrap_or_default();
        for entry in listed {
            for field in &entry.fields {
                claims.extend(entry.nights.iter().map(|day| ((entry.room_type.clone(), day), field.name.clone())));
            }
        }
        for (night, field) in &claims {
            self.property.nights.open(night);
            let known = self.property.nights.get(night);
            let field_known = known.as_ref().and_then(|n| n.field(field));
            if field_known.is_some_and(|f| f.claim(&self.incoming.source).is_some()) {
                self.mention_claim(night, field);
            }
        }
    }

    /// Notes that a known claim was mentioned, if an initial load goes on.
    fn mention_claim(&mut self, night: &Night, field: &Arc<str>) {
        if let Some(snapshot) = self.snapshot() {
            let state = self.journal.night(self.property, night);
            state.field_mut(field).claim_mut(&self.incoming.source).mentioned = snapshot;
        }
    }

    /// One source's word on one field of one room night.
    fn claim(
        &mut self,
        night: &Night,
        field: &Arc<str>,
        value: Option<&Value>,
        revision: Option<&Revision>,
    ) -> Result<(), Refusal> {
        let stamp = self.stamp(revision);
        self.property.nights.open(night);
        let state = self.property.nights.get(night);
        let known = state.as_ref().and_then(|n| n.field(field)?.claim(&self.incoming.source));
        let unknown = if known.is_none() { Some(self.meta_of_unknown(night, field)?) } else { None };
        let present = known.and_then(|claim| claim.value.as_ref());
        let judgement = match known.map(|claim| &claim.meta).or(unknown.as_ref()) {
            _ if self.by_content(revision) && present == value => Judgement::Duplicate,
            Some(meta) => meta.judge(stamp, content_hash(&value), self.reset),
            None => Judgement::Apply,
        };
        let known = known.is_some();
        if self.count(judgement)? {
            self.write_claim(night, field, value, stamp, unknown);
        } else if known {
            self.mention_claim(night, field);
        }
        Ok(())
    }

    fn write_claim(
        &mut self,
        night: &Night,
        field: &Arc<str>,
        value: Option<&Value>,
        stamp: Stamp<'_>,
        new: Option<Meta>,
    ) {
        let claim = self.journal.night(self.property, night).field_mut(field).claim_mut(&self.incoming.source);
        claim.value = value.cloned();
        claim.meta = new.unwrap_or_else(|| std::mem::take(&mut claim.meta));
        claim.meta.accept(stamp, content_hash(&value), self.reset);
        claim.offset = self.incoming.position;
        self.mention_claim(night, field);
        self.touched.fields.insert((night.clone(), field.clone()));
    }

    /// How new the word on a claim is that was never made: replacements spoke about it all the same (rule 5).
    fn meta_of_unknown(&self, night: &Night, field: &str) -> Result<Meta, Refusal> {
        let on = Days { first: night.1, end: Day(night.1.0 + 1) };
        let floors = self.property.floors_on(&self.incoming.source, on);
        self.folded(floors.into_iter().filter(|f| f.contains(night, field)))
    }

    /// What withdrawals, one after another, leave of a claim that none of them found.
    fn folded<'f>(&self, floors: impl Iterator<Item = &'f ScopeFloor>) -> Result<Meta, Refusal> {
        let (mut meta, nothing) = (Meta::default(), content_hash(&None::<Value>));
        for floor in floors {
            let stamp = floor.stamp(self.reset);
            match meta.judge(stamp, nothing, self.reset) {
                Judgement::Apply => meta.accept(stamp, nothing, self.reset),
                Judgement::Incomparable => return Err(self.incomparable()),
                Judgement::Stale | Judgement::Duplicate => {}
            }
        }
        Ok(meta)
    }

    /// Every claim of this source, also a withdrawn one, within the scope.
    fn claims_within(&self, scope: &Scope) -> Vec<(Night, Arc<str>)> {
        let source = &self.incoming.source;
        let mut found = Vec::new();
        let mut look = |room_type: &Arc<str>| {
            for (day, state) in self.property.nights.range(room_type, scope.nights) {
                for field in &state.fields {
                    let named = scope.fields.is_empty() || scope.fields.contains(&field.name);
                    if named && field.claim(source).is_some() {
                        found.push(((room_type.clone(), day), field.name.clone()));
                    }
                }
            }
        };
        match scope.room_types.as_slice() {
            [] => self.property.nights.room_types().for_each(look),
            named => named.iter().for_each(&mut look),
        }
        found
    }

    /// Keeps the scope for room nights that are not known yet.
    fn remember_scope(&mut self, scope: &Scope, revision: Option<&Revision>) {
        self.scopes += 1;
        let Scope { room_types, nights, fields } = scope.clone();
        let (order, position) = (self.incoming.order, (self.incoming.position, self.scopes));
        let floor = ScopeFloor { room_types, nights, fields, revision: revision.cloned(), order, position };
        self.property.add_floor(&mut self.journal, &self.incoming.source, floor, self.reset);
    }

    fn check_size(&self, pieces: usize) -> Result<(), Refusal> {
        // A room night has a handful of fields: far beyond this, the bound on entities is broken too.
        let most = self.bounds.entities.saturating_mul(8);
        if pieces <= most {
            return Ok(());
        }
        Err(Refusal::TooLarge(format!("one change speaks about {pieces} claims, more than {most}; send it in parts")))
    }
}

fn check_within(scope: &Scope, entry: &RoomNights) -> Result<(), Refusal> {
    let type_named = scope.room_types.is_empty() || scope.room_types.contains(&entry.room_type);
    let nights_named = scope.nights.first <= entry.nights.first && entry.nights.end <= scope.nights.end;
    let stray = entry.fields.iter().find(|f| !scope.fields.is_empty() && !scope.fields.contains(&f.name));
    let what = match stray {
        Some(field) => format!("field {}", field.name),
        None if !type_named => format!("room type {}", entry.room_type),
        None if !nights_named => format!("nights {}", entry.nights),
        None => return Ok(()),
    };
    Err(Refusal::Rejected(format!("the replacement lists {what}, which lies outside of its own scope")))
}
