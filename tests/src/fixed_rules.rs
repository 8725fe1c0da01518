//! A precedence policy for tests: fixed orders of sources and statuses, and nothing clever.
//!
//! Does not know rule files; the precedence plugin does.

use std::collections::{BTreeMap, BTreeSet};

use concord::policy::{Claimed, Contest, Fault, Policy, Ranking, RoomClaim, Subject, Terms, Verdict};
use concord::types::{Status, Value};

/// A status of a source; `None` stands for any.
pub type Pattern = (Option<Status>, Option<String>);

#[derive(Clone, Debug, Default, PartialEq)]
pub struct FixedRules {
    /// Sources by field, the highest first; sources left out come last, in byte order.
    pub orders: BTreeMap<String, Vec<String>>,
    /// For fields without an order of their own.
    pub order: Vec<String>,
    /// Which claim about a status holds, the highest first.
    pub statuses: Vec<Pattern>,
    /// Which stay keeps the room, the highest first.
    pub capacity: Vec<Pattern>,
    /// Id of the capacity rule.
    pub capacity_rule: String,
    pub overbook: u32,
    pub no_show_keeps_first_night: bool,
    /// Questions on which the policy fails: names of fields, `status`, `placement`, `rank`.
    pub failing: BTreeSet<String>,
    /// Percent of all other questions on which it fails, chosen by what is asked: equal questions fail alike.
    pub failing_share: u64,
    /// Largest difference that counts as agreeing, by field: in whole numbers or ten-thousandths of a currency.
    pub equal_within: BTreeMap<String, i64>,
}

impl FixedRules {
    fn place_of_source(&self, field: &str, source: &str) -> usize {
        let order = self.orders.get(field).unwrap_or(&self.order);
        order.iter().position(|name| name == source).unwrap_or(order.len())
    }

    /// Whether this question is among those of `failing_share`.
    fn stumbles(&self, question: &impl std::fmt::Debug) -> bool {
        let fnv = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        let hash = format!("{question:?}").as_bytes().iter().fold(0xcbf2_9ce4_8422_2325, fnv);
        (hash >> 32) % 100 < self.failing_share
    }

    fn agree(&self, field: &str, claims: &[concord::policy::Claim]) -> bool {
        let numbers: Option<Vec<(String, i64)>> = claims.iter().map(|claim| number(&claim.value)).collect();
        let (Some(within), Some(numbers)) = (self.equal_within.get(field), numbers) else { return false };
        let one_unit = numbers.iter().all(|(unit, _)| *unit == numbers[0].0);
        let largest = numbers.iter().map(|(_, n)| *n).max().unwrap_or(0);
        let smallest = numbers.iter().map(|(_, n)| *n).min().unwrap_or(0);
        one_unit && largest - smallest <= *within
    }
}

fn number(claimed: &Claimed) -> Option<(String, i64)> {
    match claimed {
        Claimed::Value(Value::Integer(n)) => Some((String::new(), *n)),
        Claimed::Value(Value::Money(money)) => Some((money.currency.as_str().to_owned(), money.amount.0)),
        _ => None,
    }
}

fn place(patterns: &[Pattern], status: Status, source: &str) -> usize {
    let fits = |(of, by): &Pattern| of.is_none_or(|of| of == status) && by.as_ref().is_none_or(|by| by == source);
    patterns.iter().position(fits).unwrap_or(patterns.len())
}

impl Policy for FixedRules {
    fn resolve(&mut self, contests: &[Contest]) -> Vec<Result<Verdict, Fault>> {
        let answer = |contest: &Contest| {
            let (field, rule) = match &contest.subject {
                Subject::Field(name) => (name.to_string(), format!("field:{name}")),
                Subject::StayField(name) => ((*name).to_owned(), format!("stay:{name}")),
                Subject::Status => ("status".to_owned(), "status".to_owned()),
            };
            if self.failing.contains(&field) || self.failing_share > 0 && self.stumbles(contest) {
                return Err(Fault(format!("fails on {field}")));
            }
            let key = |claim: &concord::policy::Claim| match claim.value {
                Claimed::Status(status) => place(&self.statuses, status, &claim.source),
                Claimed::Value(_) => self.place_of_source(&field, &claim.source),
            };
            let winner = (0..contest.claims.len()).min_by_key(|at| (key(&contest.claims[*at]), *at));
            let winner = winner.ok_or_else(|| Fault("no claims".into()))?;
            let agree = self.agree(&field, &contest.claims);
            Ok(Verdict { winner, rule: rule.into(), reason: "it stands first".into(), agree })
        };
        contests.iter().map(answer).collect()
    }

    fn rank(&mut self, claims: &[RoomClaim]) -> Vec<Result<Ranking, Fault>> {
        let answer = |claim: &RoomClaim| {
            if self.failing.contains("rank") || self.failing_share > 0 && self.stumbles(claim) {
                return Err(Fault("fails on rank".into()));
            }
            let place = i32::try_from(place(&self.capacity, claim.status, &claim.source)).unwrap_or(i32::MAX);
            Ok(Ranking { priority: -place, rule: self.capacity_rule.as_str().into() })
        };
        claims.iter().map(answer).collect()
    }

    fn terms(&mut self, _property: &str) -> Result<Terms, Fault> {
        Ok(Terms {
            class: "all".into(),
            overbook: self.overbook,
            rule: self.capacity_rule.as_str().into(),
            no_show_keeps_first_night: self.no_show_keeps_first_night,
        })
    }
}
