//! The steps of deciding one record, and the notes that they share.
//!
//! Knows in which order things are decided. The rules themselves are in `stays`, `rooms` and `contest`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::HashMap;

use super::apply::{Incoming, Touched};
use super::contest::{Answer, Incumbent, Question, differ, due};
use super::journal::Journal;
use super::state::{InventoryClaim, Night, NightField, Property, Published, Stay, StayId};
use super::{MasterData, Merge, Setup};
use crate::log::Offset;
use crate::policy::{Claim, Claimed, Contest, FAULT_RULE, Policy, Subject, Terms};
use crate::rows::{AuditClaim, ConflictKind, Decision};

/// What a conflict row is about; date and type of a stay are known only at the end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum About {
    Night(Night),
    Stay(StayId),
}

/// A conflict row in the making.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub about: About,
    pub kind: ConflictKind,
    pub decision: Decision,
    pub field: Arc<str>,
    pub claims: Vec<AuditClaim>,
    pub winner: Option<Arc<str>>,
    pub winner_value: String,
    pub rule: Arc<str>,
    pub reason: Arc<str>,
}

impl Draft {
    pub fn contest(
        about: About,
        kind: ConflictKind,
        field: Arc<str>,
        decision: Decision,
        claims: Vec<AuditClaim>,
        answer: &Answer,
    ) -> Draft {
        let winner = answer.winner.and_then(|w| claims.get(w));
        Draft {
            about,
            kind,
            decision,
            field,
            winner: winner.map(|c| c.source.clone()),
            winner_value: winner.map(|c| c.value.clone()).unwrap_or_default(),
            rule: answer.rule.clone(),
            reason: if decision == Decision::Agreement { agreement(claims.len()) } else { answer.reason.clone() },
            claims,
        }
    }
}

fn agreement(claims: usize) -> Arc<str> {
    match claims {
        0 => "no source claims a value any more".into(),
        1 => "one source alone claims a value".into(),
        _ => "the claims agree again".into(),
    }
}

/// One record on its way to its rows.
pub(super) struct Deciding<'a> {
    pub property: &'a mut Property,
    pub policy: &'a mut dyn Policy,
    pub setup: &'a Setup,
    pub master: &'a dyn MasterData,
    pub incoming: &'a Incoming<'a>,
    /// Position of the last reset of each source.
    pub resets: &'a HashMap<Arc<str>, Offset>,
    /// The claims as they were before the record.
    pub journal: &'a Journal,
    pub terms: Terms,
    /// The policy could not tell the property's terms.
    pub terms_fault: bool,
    /// Stays as they were before the record; `None` for those that are new.
    pub before: BTreeMap<StayId, Option<Box<Stay>>>,
    /// The stay that each line of a changed stay was in, if that stay was accepted.
    pub held: HashMap<super::state::LineId, StayId>,
    /// Room nights whose row is to be written.
    pub nights: BTreeSet<Night>,
    /// Room nights whose rooms became fewer or more.
    pub resized: BTreeSet<Night>,
    pub drafts: Vec<Draft>,
}

impl<'a> Deciding<'a> {
    pub fn new(
        property: &'a mut Property,
        merge: &'a mut Merge<'_>,
        incoming: &'a Incoming<'a>,
        resets: &'a HashMap<Arc<str>, Offset>,
        journal: &'a Journal,
    ) -> Deciding<'a> {
        let Merge { policy, master, setup } = merge;
        let told = policy.terms(&property.name);
        let terms_fault = told.is_err();
        // Without terms nothing is sold beyond capacity.
        let terms = told.unwrap_or_else(|_| Terms {
            class: Arc::default(),
            overbook: 0,
            rule: FAULT_RULE.into(),
            no_show_keeps_first_night: true,
        });
        Deciding {
            property,
            policy: &mut **policy,
            setup,
            master: *master,
            incoming,
            resets,
            journal,
            terms,
            terms_fault,
            before: BTreeMap::new(),
            held: HashMap::new(),
            nights: BTreeSet::new(),
            resized: BTreeSet::new(),
            drafts: Vec::new(),
        }
    }

    /// Decides everything that the record touched.
    pub fn decide(&mut self, touched: &Touched) {
        self.inventory(touched);
        if !touched.lines.is_empty() {
            self.stays(&touched.lines);
        }
        if !self.before.is_empty() || !self.resized.is_empty() {
            self.rooms();
        }
    }

    /// Remembers a stay as it is now, and takes it out of the indexes until it is decided again.
    pub fn journal_stay(&mut self, id: &StayId) {
        if self.before.contains_key(id) {
            return;
        }
        let stay = self.property.stays.get(id).cloned();
        if let Some(stay) = &stay {
            self.property.vacate(stay);
            if stay.is_accepted() {
                self.held.extend(stay.lines.iter().map(|l| (l.clone(), stay.id.clone())));
            }
        }
        self.before.insert(id.clone(), stay);
    }

    /// Resolves the fields of room nights, all questions in one call.
    fn inventory(&mut self, touched: &Touched) {
        let questions: Vec<(&(Night, Arc<str>), Question)> =
            touched.fields.iter().filter_map(|key| Some((key, field_question(self.property, key)?))).collect();
        let asked: Vec<Contest> =
            questions.iter().filter(|(_, q)| q.claims().len() > 1).map(|(_, q)| q.contest.clone()).collect();
        let mut verdicts = if asked.is_empty() { Vec::new() } else { self.policy.resolve(&asked) }.into_iter();
        for ((night, name), question) in questions {
            let answer = if question.claims().len() > 1 {
                question.answer(verdicts.next().unwrap_or_else(|| Err(crate::policy::Fault("no answer".into()))))
            } else {
                question.alone()
            };
            self.publish_field(night, name, &question, &answer);
        }
    }

    fn publish_field(&mut self, night: &Night, name: &Arc<str>, question: &Question, answer: &Answer) {
        let Some(state) = self.property.nights.get_mut(night) else { return };
        state.claimed |= !question.claims().is_empty();
        let field = state.field_mut(name);
        let (decision, now) = due(field.contest, answer, question.claims());
        field.contest = now;
        let winner = answer.winner.and_then(|w| question.claims().get(w));
        let published = winner.and_then(|claim| match &claim.value {
            Claimed::Value(value) => Some(Published { source: claim.source.clone(), value: value.clone() }),
            Claimed::Status(_) => None,
        });
        if &**name == super::CAPACITY {
            self.resized.insert(night.clone());
        }
        field.published = published;
        if let Some(decision) = decision {
            let (about, claims) = (About::Night(night.clone()), audit(field, self.resets));
            self.drafts.push(Draft::contest(about, ConflictKind::Field, name.clone(), decision, claims, answer));
        }
        self.nights.insert(night.clone());
    }
}

/// The question about one field of a room night.
pub(super) fn field_question(property: &Property, (night, name): &(Night, Arc<str>)) -> Option<Question> {
    let state = property.nights.get(night)?;
    let field = state.field(name)?;
    let made = field.claims.iter().filter_map(|claim| Some((claim, claim.value.clone()?)));
    let claims =
        made.map(|(claim, value)| Claim { source: claim.source.clone(), value: Claimed::Value(value) }).collect();
    let incumbent = field.published.clone().map(Incumbent::OfNight);
    let contest = Contest {
        property: property.name.clone(),
        room_type: night.0.clone(),
        subject: Subject::Field(name.clone()),
        claims,
    };
    let differ = differ(&contest.claims);
    Some(Question { contest, differ, tolerant: true, incumbent, fallback: None })
}

/// The claims to a field of a room night as the audit shows them.
pub(super) fn audit(field: &NightField, resets: &HashMap<Arc<str>, Offset>) -> Vec<AuditClaim> {
    let shown = |claim: &InventoryClaim| {
        let revision = claim.meta.own_revision(resets.get(&claim.source).copied());
        Some(AuditClaim {
            source: claim.source.clone(),
            value: claim.value.as_ref()?.to_string(),
            revision: revision.map(ToString::to_string).unwrap_or_default(),
            offset: claim.offset,
        })
    };
    field.claims.iter().filter_map(shown).collect()
}
