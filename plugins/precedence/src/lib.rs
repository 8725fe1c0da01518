//! The business's rules: a TOML rule set, checked, and then the decisions it takes.
//!
//! [`RuleSet::read`] is `configure`: it refuses a set that leaves a question open or holds something that
//! can never apply. [`RuleSet::resolve`], [`RuleSet::rank`] and [`RuleSet::terms`] answer the host's questions.
//! All of it is pure. What is safe (no more stays than rooms, no value that nobody claimed) the host sees to.
//!
//! As a component this crate exports the world `precedence`; natively it is the same rules as a library,
//! for tests that want no wasm engine.

mod check;
mod decide;
mod document;
#[cfg(target_arch = "wasm32")]
mod guest;
mod read;
mod rules;
mod words;

pub use decide::{Claim, Claimed, Contest, Decimal, Ranking, RoomClaim, Subject, Terms, Value, Verdict};
pub use rules::{
    Class, Entry, Freshness, Group, Hold, Kind, NO_RULE, NoShow, Rule, RuleSet, Status, Summary, Vocabulary, Who,
};

/// Something that keeps a rule set from being used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub proposal: Option<String>,
}

impl RuleSet {
    /// Reads a rule set and checks it against the words that it may use.
    ///
    /// # Errors
    /// Every finding, in the order of the text. Findings about what the rules leave open come only once
    /// the text itself is in order, since a misspelt name leaves something open as well.
    pub fn read(text: &str, vocabulary: &Vocabulary) -> Result<RuleSet, Vec<Diagnostic>> {
        let (set, mut findings) = read::rule_set(text, vocabulary);
        if findings.is_empty() {
            findings = check::findings(&set, vocabulary, text.len());
        }
        if findings.is_empty() {
            return Ok(set);
        }
        findings.sort_by_key(|finding| finding.at);
        Err(findings.into_iter().map(|finding| finding.diagnostic(text)).collect())
    }
}
