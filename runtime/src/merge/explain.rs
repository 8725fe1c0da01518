//! Why things are as they are: the questions behind what is published, asked once more.
//!
//! Reads what is remembered and changes nothing. The answers are those of the rules that the policy holds now; what
//! is published was decided when one of the claims last changed.

use std::sync::Arc;

use hashbrown::HashMap;

use super::CAPACITY;
use super::contest::{Answer, Question};
use super::decide::{self, field_question};
use super::state::{Night, Property, Stay, StayField};
use super::stays::{self, lines_of, name, question};
use crate::policy::Policy;
use crate::rows::AuditClaim;
use crate::types::Value;

/// One field: who claims what, and whose claim holds.
#[derive(Clone, Debug)]
pub struct Explained {
    pub field: Arc<str>,
    pub claims: Vec<AuditClaim>,
    /// What is published.
    pub value: Option<String>,
    /// Index of the claim that the rules prefer.
    pub winner: Option<usize>,
    /// Empty where a single claim needs no rule.
    pub rule: Arc<str>,
    pub reason: Arc<str>,
    /// The claims differ by more than the rule tolerates.
    pub contested: bool,
}

impl Explained {
    fn new(
        field: &str,
        value: Option<String>,
        (question, claims): (Question, Vec<AuditClaim>),
        policy: &mut dyn Policy,
        always: bool,
    ) -> Explained {
        let ask = claims.len() > 1 || always && !claims.is_empty();
        let answer = if ask {
            let verdict = policy.resolve(std::slice::from_ref(&question.contest)).pop();
            question.answer(verdict.unwrap_or_else(|| Err(crate::policy::Fault("no answer".into()))))
        } else {
            question.alone()
        };
        let Answer { winner, rule, reason, contested } = answer;
        Explained { field: field.into(), claims, value, winner, rule, reason, contested }
    }
}

/// Every field of a room night that anybody claims.
pub fn room_night(property: &Property, policy: &mut dyn Policy, night: &Night) -> Vec<Explained> {
    let Some(state) = property.nights.get(night) else { return Vec::new() };
    let fields = state.fields.iter().filter(|field| field.claims.iter().any(|claim| claim.value.is_some()));
    fields
        .filter_map(|field| {
            let question = field_question(property, &(night.clone(), field.name.clone()))?;
            let asked = (question, decide::audit(field, &HashMap::new()));
            let value = field.published.as_ref().map(|published| published.value.to_string());
            Some(Explained::new(&field.name, value, asked, policy, false))
        })
        .collect()
}

/// Status, placement, money and guests of a stay, where anybody claims them.
pub fn stay(property: &Property, policy: &mut dyn Policy, stay: &Stay) -> Vec<Explained> {
    let lines = lines_of(property, stay);
    let fields = [StayField::Status, StayField::Placement, StayField::Money, StayField::Guests];
    fields
        .into_iter()
        .map(|field| {
            let value = match field {
                StayField::Status => stay.status.as_ref().map(|merged| merged.status.to_string()),
                StayField::Placement => stay.placement.as_ref().map(ToString::to_string),
                StayField::Money => stay.money.map(|money| Value::Money(money).to_string()),
                StayField::Guests => stay.guests.map(|guests| guests.to_string()),
            };
            let asked = (question(&property.name, stay, &lines, field), stays::audit(&lines, field, &HashMap::new()));
            Explained::new(name(field), value, asked, policy, field == StayField::Status)
        })
        .filter(|explained| !explained.claims.is_empty())
        .collect()
}

/// The rooms of a type on a night: what is merged, and whether any source claims it.
pub fn merged_capacity(property: &Property, night: &Night) -> Option<i64> {
    match property.nights.get(night)?.value(CAPACITY)? {
        Value::Integer(rooms) => Some(*rooms),
        _ => None,
    }
}
