//! Putting differing claims before the policy, and what is done when the policy fails (rules 19, 20).
//!
//! Knows how a verdict is judged safe and how a contest is recognized again. Does not know fields of
//! stays or room nights.

use std::sync::Arc;

use super::order::content_hash;
use crate::policy::{Claim, Contest, FAULT_RULE, Fault, Verdict};
use crate::rows::{AuditClaim, Decision};

/// A question with all that is needed to write its answer down.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub contest: Contest,
    /// For the audit, parallel to the contest's claims.
    pub claims: Vec<AuditClaim>,
    /// Whether the host sees the claims differ.
    pub differ: bool,
    /// Whether the rule may let a difference pass: fields of a room night, and money.
    pub tolerant: bool,
    /// The source whose claim is published until now, and that claim's index if it is still made by someone.
    pub incumbent: Option<usize>,
    /// What to take when the policy fails and nothing published is still claimed.
    pub fallback: Option<usize>,
}

/// The answer, made safe.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    /// Index into the claims; `None` publishes nothing.
    pub winner: Option<usize>,
    pub rule: Arc<str>,
    pub reason: Arc<str>,
    /// The claims differ by more than the rule tolerates.
    pub contested: bool,
}

impl Question {
    /// Judges the policy's verdict. Safety is here: only what was claimed can win.
    pub fn answer(&self, verdict: Result<Verdict, Fault>) -> Answer {
        match verdict {
            Ok(verdict) if verdict.winner < self.claims.len() => Answer {
                winner: Some(verdict.winner),
                rule: verdict.rule,
                reason: verdict.reason,
                contested: self.differ && !(self.tolerant && verdict.agree),
            },
            Ok(verdict) => self.fault(format!("the plugin named claim {} of {}", verdict.winner, self.claims.len())),
            Err(Fault(message)) => self.fault(message),
        }
    }

    /// The answer where nothing has to be asked.
    pub fn alone(&self) -> Answer {
        let winner = Some(0).filter(|_| !self.claims.is_empty());
        Answer { winner, rule: Arc::default(), reason: Arc::default(), contested: false }
    }

    /// The policy failed: what is published stays while someone still claims it.
    fn fault(&self, message: String) -> Answer {
        let agreed = Some(0).filter(|_| !self.differ && !self.claims.is_empty());
        Answer {
            winner: self.incumbent.or(agreed).or(self.fallback),
            rule: FAULT_RULE.into(),
            reason: message.into(),
            contested: self.differ,
        }
    }
}

/// What makes a contest the same contest (rule 23): its set of (source, value), winner and rule.
pub(super) fn signature(claims: &[AuditClaim], winner: Option<usize>, rule: &str) -> u64 {
    let mut set: Vec<(&str, &str)> = claims.iter().map(|c| (&*c.source, &*c.value)).collect();
    set.sort_unstable();
    let winner = winner.and_then(|w| claims.get(w)).map(|c| &*c.source);
    content_hash(&(set, winner, rule))
}

/// The row that is due after a contest was decided, and the signature to keep.
pub(super) fn due(before: Option<u64>, answer: &Answer, claims: &[AuditClaim]) -> (Option<Decision>, Option<u64>) {
    let now = answer.contested.then(|| signature(claims, answer.winner, &answer.rule));
    let row = match (before, now) {
        (_, Some(now)) if before != Some(now) => Some(Decision::Contest),
        (Some(_), None) => Some(Decision::Agreement),
        _ => None,
    };
    (row, now)
}

/// The claim that is published, if it is still made: by its source, else by another one.
pub(super) fn incumbent(claims: &[AuditClaim], source: &str, same: impl Fn(&AuditClaim) -> bool) -> Option<usize> {
    let own = claims.iter().position(|claim| *claim.source == *source && same(claim));
    own.or_else(|| claims.iter().position(same))
}

/// Whether any two claims differ.
pub(super) fn differ(claims: &[Claim]) -> bool {
    claims.windows(2).any(|pair| matches!(pair, [a, b] if a.value != b.value))
}
