//! Putting differing claims before the policy, and what is done when the policy fails (rules 19, 20).
//!
//! Knows how a verdict is judged safe and how a contest is recognized again. Does not know fields of
//! stays or room nights.

use std::borrow::Cow;
use std::sync::Arc;

use super::order::content_hash;
use super::state::{Published, Won};
use crate::policy::{Claim, Claimed, Contest, FAULT_RULE, Fault, Verdict};
use crate::rows::Decision;
use crate::types::Value;

/// A question with all that is needed to judge its answer.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub contest: Contest,
    /// Whether the host sees the claims differ.
    pub differ: bool,
    /// Whether the rule may let a difference pass: fields of a room night, and money.
    pub tolerant: bool,
    /// What is published until now.
    pub incumbent: Option<Incumbent>,
    /// What to take when the policy fails and nothing published is still claimed.
    pub fallback: Option<usize>,
}

/// A published claim, as it is remembered.
#[derive(Clone, Debug)]
pub(super) enum Incumbent {
    OfNight(Published),
    OfStay(Won),
}

impl Incumbent {
    fn source(&self) -> &str {
        match self {
            Incumbent::OfNight(published) => &published.source,
            Incumbent::OfStay(won) => &won.source,
        }
    }

    /// The claims that have its value, in words.
    fn claimed_alike<'c>(&self, claims: &'c [Claim]) -> impl Iterator<Item = (usize, &'c Claim)> {
        let (words, hash) = match self {
            Incumbent::OfNight(published) => (Some(published.value.to_string()), 0),
            Incumbent::OfStay(won) => (None, won.value),
        };
        claims.iter().enumerate().filter(move |(_, claim)| match &words {
            Some(words) => text(&claim.value) == *words,
            None => content_hash(&*text(&claim.value)) == hash,
        })
    }

    /// The claim, if it is still made: by its source, else by another one.
    fn still(&self, claims: &[Claim]) -> Option<usize> {
        let own = self.claimed_alike(claims).find(|(_, claim)| *claim.source == *self.source());
        own.or_else(|| self.claimed_alike(claims).next()).map(|(index, _)| index)
    }
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
    pub fn claims(&self) -> &[Claim] {
        &self.contest.claims
    }

    /// Judges the policy's verdict. Safety is here: only what was claimed can win.
    pub fn answer(&self, verdict: Result<Verdict, Fault>) -> Answer {
        match verdict {
            Ok(verdict) if verdict.winner < self.claims().len() => Answer {
                winner: Some(verdict.winner),
                rule: verdict.rule,
                reason: verdict.reason,
                contested: self.differ && !(self.tolerant && verdict.agree),
            },
            Ok(verdict) => self.fault(format!("the plugin named claim {} of {}", verdict.winner, self.claims().len())),
            Err(Fault(message)) => self.fault(message),
        }
    }

    /// The answer where nothing has to be asked.
    pub fn alone(&self) -> Answer {
        let winner = Some(0).filter(|_| !self.claims().is_empty());
        Answer { winner, rule: Arc::default(), reason: Arc::default(), contested: false }
    }

    /// The policy failed: what is published stays while someone still claims it.
    fn fault(&self, message: String) -> Answer {
        let agreed = Some(0).filter(|_| !self.differ && !self.claims().is_empty());
        let incumbent = self.incumbent.as_ref().and_then(|incumbent| incumbent.still(self.claims()));
        Answer {
            winner: incumbent.or(agreed).or(self.fallback),
            rule: FAULT_RULE.into(),
            reason: message.into(),
            contested: self.differ,
        }
    }
}

/// What makes a contest the same contest (rule 23): its set of (source, value), winner and rule.
fn signature(claims: &[Claim], winner: Option<usize>, rule: &str) -> u64 {
    let mut set: Vec<(&str, Cow<'_, str>)> = claims.iter().map(|c| (&*c.source, text(&c.value))).collect();
    set.sort_unstable();
    let winner = winner.and_then(|w| claims.get(w)).map(|c| &*c.source);
    content_hash(&(set, winner, rule))
}

/// The row that is due after a contest was decided, and the signature to keep.
pub(super) fn due(before: Option<u64>, answer: &Answer, claims: &[Claim]) -> (Option<Decision>, Option<u64>) {
    let now = answer.contested.then(|| signature(claims, answer.winner, &answer.rule));
    let row = match (before, now) {
        (_, Some(now)) if before != Some(now) => Some(Decision::Contest),
        (Some(_), None) => Some(Decision::Agreement),
        _ => None,
    };
    (row, now)
}

/// As it stands in the audit.
pub(super) fn text(value: &Claimed) -> Cow<'_, str> {
    match value {
        Claimed::Value(Value::Text(text)) => Cow::Borrowed(text),
        Claimed::Value(value) => Cow::Owned(value.to_string()),
        Claimed::Status(status) => Cow::Borrowed(status.as_str()),
    }
}

/// Whether any two claims differ.
pub(super) fn differ(claims: &[Claim]) -> bool {
    claims.windows(2).any(|pair| matches!(pair, [a, b] if a.value != b.value))
}
