//! Second step: lines become stays, and the claims about a stay become one (merge rules 10 to 12).
//!
//! Knows linking and the contests about a stay's fields. Does not know rooms.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::HashMap;

use super::contest::{Incumbent, Question, differ, due, text};
use super::decide::{About, Deciding, Draft};
use super::journal::Journal;
use super::link::{connected, group};
use super::order::{Meta, content_hash};
use super::state::{Line, LineId, MergedStatus, Placement, Property, Stay, StayField, StayId, Won, links};
use crate::log::Offset;
use crate::policy::{Claim, Claimed, Contest, Subject};
use crate::rows::{AuditClaim, ConflictKind, Decision, Outcome};
use crate::types::{Status, Value};

impl Deciding<'_> {
    /// Links the touched lines anew and merges the fields of every stay that this concerns.
    pub(super) fn stays(&mut self, touched: &BTreeSet<LineId>) {
        let seeds = reindex_references(self.property, self.journal, touched);
        let mut members: BTreeMap<StayId, (Vec<LineId>, Option<u64>)> = BTreeMap::new();
        for set in connected(self.property, seeds) {
            let lines: Vec<&Line> = set.iter().filter_map(|id| self.property.line(id)).collect();
            let grouping = group(&lines);
            let doubt = grouping.doubt.then(|| content_hash(&set.iter().collect::<BTreeSet<_>>()));
            if let Some(doubt) = doubt {
                self.note_doubt(&set, doubt);
            }
            for stay in grouping.stays {
                if let Some(first) = stay.first() {
                    members.insert(first.clone(), (stay, doubt));
                }
            }
        }
        self.replace_stays(&members);
        let changed: Vec<StayId> = members.into_keys().collect();
        self.merge_fields(&changed);
    }

    /// One row per set of lines of which nobody can say what belongs together.
    fn note_doubt(&mut self, set: &[LineId], doubt: u64) {
        let known = |id: &LineId| {
            let stay = self.property.index.stay_of.get(id).and_then(|s| self.property.stay(s));
            stay.and_then(|s| s.doubt) == Some(doubt)
        };
        let (Some(first), false) = (set.first(), set.iter().all(known)) else { return };
        let claims = set
            .iter()
            .filter_map(|id| self.property.line(id))
            .map(|line| AuditClaim {
                source: line.source().into(),
                value: line.id.split_once(':').map_or("", |(_, rest)| rest).to_owned(),
                revision: String::new(),
                offset: line.first.0,
            })
            .collect();
        self.drafts.push(Draft {
            about: About::Stay(first.clone()),
            kind: ConflictKind::Link,
            decision: Decision::Doubt,
            field: "link".into(),
            claims,
            winner: None,
            winner_value: String::new(),
            rule: Arc::default(),
            reason: "these lines share references, but which are the same room cannot be told; none is linked".into(),
        });
    }

    /// Makes the stays have these lines; ids that are not among them end.
    fn replace_stays(&mut self, members: &BTreeMap<StayId, (Vec<LineId>, Option<u64>)>) {
        let lines: Vec<LineId> = members.values().flat_map(|(lines, _)| lines).cloned().collect();
        let old: BTreeSet<StayId> = lines.iter().filter_map(|l| self.property.index.stay_of.get(l)).cloned().collect();
        for id in old.iter().chain(members.keys()) {
            self.journal_stay(id);
        }
        for id in old.iter().filter(|id| !members.contains_key(*id)) {
            if let Some(stay) = self.property.stays.get_mut(id) {
                // What its rows show is kept: they stay, as `merged`.
                let (shown, outcome) = (stay.shown.clone(), Some(Outcome::Merged));
                **stay = Stay { shown, outcome, ..Stay::new(id.clone()) };
            }
        }
        for (id, (lines, doubt)) in members {
            let stay = self.property.stays.entry(id.clone()).or_insert_with(|| Box::new(Stay::new(id.clone())));
            stay.lines.clone_from(lines);
            stay.doubt = *doubt;
            for line in lines {
                self.property.index.stay_of.insert(line.clone(), id.clone());
            }
        }
    }

    /// Resolves status, placement, money and guests of the stays, all questions in one call.
    fn merge_fields(&mut self, stays: &[StayId]) {
        let mut questions: Vec<(StayId, StayField, Question)> = Vec::new();
        for id in stays {
            let Some(stay) = self.property.stay(id) else { continue };
            let lines = lines_of(self.property, stay);
            for field in [StayField::Status, StayField::Placement, StayField::Money, StayField::Guests] {
                questions.push((id.clone(), field, question(&self.property.name, stay, &lines, field)));
            }
        }
        // A single claim needs no rule; only of a status the rule is published all the same.
        let ask = |q: &(StayId, StayField, Question)| {
            q.2.claims().len() > 1 || q.1 == StayField::Status && !q.2.claims().is_empty()
        };
        let asked: Vec<Contest> = questions.iter().filter(|q| ask(q)).map(|q| q.2.contest.clone()).collect();
        let mut verdicts = self.policy.resolve(&asked).into_iter();
        for entry in questions {
            let answer = if ask(&entry) {
                entry.2.answer(verdicts.next().unwrap_or_else(|| Err(crate::policy::Fault("no answer".into()))))
            } else {
                entry.2.alone()
            };
            let (id, field, question) = entry;
            self.publish(&id, field, &question, answer);
        }
        for id in stays {
            self.find_room(id);
        }
    }

    /// Writes an answer into the stay and drafts the row that is due.
    fn publish(&mut self, id: &StayId, field: StayField, question: &Question, answer: super::contest::Answer) {
        let Some(stay) = self.property.stays.get_mut(id) else { return };
        let before = &mut stay.contests[field as usize];
        let (decision, now) = due(*before, &answer, question.claims());
        *before = now;
        let winner = answer.winner.and_then(|w| question.claims().get(w));
        stay.winners[field as usize] =
            winner.map(|claim| Won { source: claim.source.clone(), value: content_hash(&*text(&claim.value)) });
        match field {
            StayField::Status => {
                stay.status = winner.and_then(|claim| match claim.value {
                    Claimed::Status(status) => {
                        Some(MergedStatus { status, source: claim.source.clone(), rule: answer.rule.clone() })
                    }
                    Claimed::Value(_) => None,
                });
            }
            StayField::Placement => {
                let source = winner.map(|c| c.source.clone());
                let line = source.and_then(|s| line_of(&self.property.lines, &stay.lines, &s));
                stay.placement = line.and_then(|l| l.placement.value.complete());
            }
            StayField::Money => {
                stay.money = winner.and_then(|claim| match claim.value {
                    Claimed::Value(Value::Money(money)) => Some(money),
                    _ => None,
                });
            }
            StayField::Guests => {
                stay.guests = winner.and_then(|claim| match claim.value {
                    Claimed::Value(Value::Integer(n)) => u32::try_from(n).ok(),
                    _ => None,
                });
            }
        }
        if let Some(decision) = decision {
            let kind = match field {
                StayField::Status => ConflictKind::Status,
                StayField::Placement => ConflictKind::Placement,
                StayField::Money | StayField::Guests => ConflictKind::Field,
            };
            let about = About::Stay(id.clone());
            let claims = self
                .property
                .stay(id)
                .map_or_else(Vec::new, |stay| audit(&lines_of(self.property, stay), field, self.resets));
            self.drafts.push(Draft::contest(about, kind, name(field).into(), decision, claims, &answer));
        }
    }

    /// Rule 12: a placement without a room takes the room from the highest source that agrees otherwise.
    fn find_room(&mut self, id: &StayId) {
        let Some(stay) = self.property.stay(id) else { return };
        let Some(placement) = stay.placement.as_ref().filter(|p| p.room.is_none()) else { return };
        let lines = lines_of(self.property, stay);
        let placed = |l: &&Line| l.placement.value.complete().filter(|p| p.room.is_some() && p.agrees(placement));
        let candidates: Vec<(&Line, Placement)> = lines.iter().filter_map(|l| Some((*l, placed(l)?))).collect();
        let room = match candidates.as_slice() {
            [] => return,
            [(_, only)] => only.room.clone(),
            several => {
                let claims = several
                    .iter()
                    .map(|(line, p)| Claim {
                        source: line.source().into(),
                        value: Claimed::Value(Value::Text(p.to_string().into())),
                    })
                    .collect();
                let contest = contest(&self.property.name, Subject::StayField("placement"), claims);
                let verdict = self.policy.resolve(std::slice::from_ref(&contest)).pop();
                let verdict = verdict.and_then(Result::ok).and_then(|v| several.get(v.winner));
                // The policy failed: the room that is published stays, if it is among them.
                let before = self.before.get(id).and_then(Option::as_deref).and_then(|s| s.placement.as_ref());
                let same = || several.iter().find(|(_, p)| before.is_some_and(|b| b.room == p.room));
                verdict.or_else(same).or(several.first()).and_then(|(_, p)| p.room.clone())
            }
        };
        if let Some(placement) = self.property.stays.get_mut(id).and_then(|s| s.placement.as_mut()) {
            placement.room = room;
        }
    }
}

/// A stay's lines in byte order of the source.
pub(super) fn lines_of<'l>(property: &'l Property, stay: &Stay) -> Vec<&'l Line> {
    let mut lines: Vec<&Line> = stay.lines.iter().filter_map(|l| property.line(l)).collect();
    lines.sort_by(|a, b| a.source().cmp(b.source()));
    lines
}

pub(super) fn name(field: StayField) -> &'static str {
    match field {
        StayField::Status => "status",
        StayField::Placement => "placement",
        StayField::Money => "money",
        StayField::Guests => "guests",
    }
}

fn line_of<'l>(lines: &'l hashbrown::HashMap<LineId, Box<Line>>, ids: &[LineId], source: &str) -> Option<&'l Line> {
    ids.iter().filter_map(|id| lines.get(id)).map(|line| &**line).find(|line| line.source() == source)
}

fn contest(property: &Arc<str>, subject: Subject, claims: Vec<Claim>) -> Contest {
    Contest { property: property.clone(), room_type: Arc::default(), subject, claims }
}

/// The question about one field of a stay; its lines in byte order of the source.
pub(super) fn question(property: &Arc<str>, stay: &Stay, lines: &[&Line], field: StayField) -> Question {
    let told = lines.iter().filter_map(|line| Some((line, told(line, field)?.0)));
    let claims: Vec<Claim> =
        told.map(|(line, value)| Claim { source: super::names::intern(line.source()), value }).collect();
    let differ = match field {
        StayField::Placement => {
            let placements: Vec<Placement> = lines.iter().filter_map(|l| l.placement.value.complete()).collect();
            placements_differ(&placements)
        }
        _ => differ(&claims),
    };
    let incumbent = stay.winners[field as usize].clone().map(Incumbent::OfStay);
    // A booking shall not vanish because the policy fails: rather one that occupies nights.
    let occupying = |c: &Claim| matches!(c.value, Claimed::Status(s) if occupies(s));
    let first = Some(0).filter(|_| !claims.is_empty());
    let fallback = match field {
        StayField::Status => claims.iter().position(occupying).or(first),
        StayField::Placement => first,
        StayField::Money | StayField::Guests => None,
    };
    let subject = if field == StayField::Status { Subject::Status } else { Subject::StayField(name(field)) };
    let contest = contest(property, subject, claims);
    Question { contest, differ, tolerant: field == StayField::Money, incumbent, fallback }
}

/// The claims to a field of a stay as the audit shows them; its lines in byte order of the source.
pub(super) fn audit(lines: &[&Line], field: StayField, resets: &HashMap<Arc<str>, Offset>) -> Vec<AuditClaim> {
    let shown = |line: &&Line| {
        let (value, meta, offset) = told(line, field)?;
        let source: Arc<str> = super::names::intern(line.source());
        let revision = meta.own_revision(resets.get(&source).copied());
        let revision = revision.map(ToString::to_string).unwrap_or_default();
        Some(AuditClaim { source, value: text(&value).into_owned(), revision, offset })
    };
    lines.iter().filter_map(shown).collect()
}

/// What a line says about one field, how new that is, and in which record it stood.
fn told(line: &Line, field: StayField) -> Option<(Claimed, &Meta, Offset)> {
    let text = |p: Placement| Claimed::Value(Value::Text(p.to_string().into()));
    let number = |n: u32| Claimed::Value(Value::Integer(n.into()));
    let (value, meta, offset) = match field {
        StayField::Status => (line.status.value.map(Claimed::Status), &line.status.meta, line.status.offset),
        StayField::Placement => {
            (line.placement.value.complete().map(text), &line.placement.meta, line.placement.offset)
        }
        StayField::Money => {
            (line.money.value.map(|m| Claimed::Value(Value::Money(m))), &line.money.meta, line.money.offset)
        }
        StayField::Guests => (line.guests.value.map(number), &line.guests.meta, line.guests.offset),
    };
    Some((value?, meta, offset))
}

/// Whether a stay of this status occupies nights, a no-show apart.
pub(super) fn occupies(status: Status) -> bool {
    use Status::{CheckedIn, CheckedOut, Confirmed, Reinstated, Tentative};
    matches!(status, Confirmed | Reinstated | CheckedIn | CheckedOut | Tentative)
}

/// Rule 12: who names no room agrees with any.
fn placements_differ(placements: &[Placement]) -> bool {
    let mut rooms: Option<&Arc<str>> = None;
    let Some(first) = placements.first() else { return false };
    for placement in placements {
        if !placement.agrees(first) {
            return true;
        }
        match (&placement.room, rooms) {
            (Some(room), Some(other)) if room != other => return true,
            (Some(room), _) => rooms = Some(room),
            (None, _) => {}
        }
    }
    false
}

/// Brings the index of references up to date; returns the lines whose stays may have changed: the
/// touched ones and those that they were linked to.
fn reindex_references(property: &mut Property, journal: &Journal, touched: &BTreeSet<LineId>) -> Vec<LineId> {
    let mut seeds: BTreeSet<LineId> = touched.clone();
    for id in touched {
        let old = journal.lines.get(id).and_then(Option::as_deref).map_or(&[][..], |l| &l.references.value);
        let new = property.lines.get(id).map_or(&[][..], |l| &l.references.value);
        for reference in old.iter().filter(|r| links(r) && !new.contains(r)) {
            if let Some(lines) = property.index.references.get_mut(reference) {
                lines.retain(|l| l != id);
                seeds.extend(lines.iter().cloned());
                if lines.is_empty() {
                    property.index.references.remove(reference);
                }
            }
        }
        for reference in new.iter().filter(|r| links(r) && !old.contains(r)) {
            property.index.references.entry(reference.clone()).or_default().push(id.clone());
        }
    }
    seeds.into_iter().collect()
}
