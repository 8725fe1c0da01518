//! The component: between the interface's types and the rules' own.
//!
//! Holds the rule set between calls. Does not decide anything.

use std::cell::RefCell;
use std::sync::Once;

use crate::decide;
use crate::rules::{RuleSet, Status, Vocabulary};

wit_bindgen::generate!({ path: "../../wit", world: "precedence" });

use concord::plugin::log;
use concord::plugin::types::{Decimal, Value};
use exports::concord::plugin::rules as interface;
use interface::{Claim, Claimed, Contest, StayStatus, Subject};

struct Component;

thread_local! {
    static HELD: RefCell<RuleSet> = RefCell::new(RuleSet::default());
}

impl interface::Guest for Component {
    fn configure(
        rule_set: String,
        vocabulary: interface::Vocabulary,
    ) -> Result<interface::Summary, Vec<interface::Diagnostic>> {
        report_panics();
        let vocabulary = Vocabulary { sources: vocabulary.sources, fields: vocabulary.fields };
        let set = RuleSet::read(&rule_set, &vocabulary).map_err(|diagnostics| {
            let outside = |d: crate::Diagnostic| interface::Diagnostic {
                line: d.line,
                column: d.column,
                message: d.message,
                proposal: d.proposal,
            };
            diagnostics.into_iter().map(outside).collect::<Vec<_>>()
        })?;
        let summary = set.summary();
        HELD.with(|held| held.replace(set));
        Ok(interface::Summary { name: summary.name, version: summary.version, rules: summary.rules })
    }

    fn terms(properties: Vec<String>) -> Vec<interface::PropertyTerms> {
        with_rules(|set| properties.iter().map(|property| outside_terms(set.terms(property))).collect())
    }

    fn resolve(contests: Vec<Contest>) -> Vec<interface::Verdict> {
        with_rules(|set| contests.iter().map(|contest| resolve(set, contest)).collect())
    }

    fn rank(claims: Vec<interface::RoomClaim>) -> Vec<interface::Ranking> {
        with_rules(|set| {
            let ranking = |claim: &interface::RoomClaim| {
                let (property, source, status) = (&*claim.property, &*claim.source, inside_status(claim.status));
                let ranking = set.rank(&decide::RoomClaim { property, source, status });
                interface::Ranking { priority: ranking.priority, rule: ranking.rule.to_owned() }
            };
            claims.iter().map(ranking).collect()
        })
    }
}

fn with_rules<T>(answer: impl FnOnce(&RuleSet) -> T) -> T {
    report_panics();
    HELD.with(|held| answer(&held.borrow()))
}

fn resolve(set: &RuleSet, contest: &Contest) -> interface::Verdict {
    let claims: Vec<decide::Claim<'_>> = contest.claims.iter().map(inside_claim).collect();
    let subject = match &contest.subject {
        Subject::Field(name) => decide::Subject::Field(name),
        Subject::Status => decide::Subject::Status,
        Subject::StayField(name) => decide::Subject::StayField(name),
    };
    let verdict = set.resolve(&decide::Contest { property: &contest.property, subject, claims: &claims });
    interface::Verdict {
        winner: u32::try_from(verdict.winner).unwrap_or(u32::MAX),
        rule: verdict.rule.to_owned(),
        reason: verdict.reason,
        agree: verdict.agree,
    }
}

fn inside_claim(claim: &Claim) -> decide::Claim<'_> {
    let decimal = |d: &Decimal| decide::Decimal { units: d.units, scale: d.scale };
    let value = match &claim.value {
        Claimed::Status(status) => decide::Claimed::Status(inside_status(*status)),
        Claimed::Value(value) => decide::Claimed::Value(match value {
            Value::Integer(number) => decide::Value::Integer(*number),
            Value::Decimal(number) => decide::Value::Decimal(decimal(number)),
            Value::Money(money) => decide::Value::Money(decimal(&money.amount), &money.currency),
            Value::Text(text) => decide::Value::Text(text),
            Value::Boolean(value) => decide::Value::Boolean(*value),
        }),
    };
    decide::Claim { source: &claim.source, value }
}

fn inside_status(status: StayStatus) -> Status {
    match status {
        StayStatus::Tentative => Status::Tentative,
        StayStatus::Confirmed => Status::Confirmed,
        StayStatus::Reinstated => Status::Reinstated,
        StayStatus::CheckedIn => Status::CheckedIn,
        StayStatus::CheckedOut => Status::CheckedOut,
        StayStatus::Cancelled => Status::Cancelled,
        StayStatus::NoShow => Status::NoShow,
    }
}

fn outside_terms(terms: decide::Terms<'_>) -> interface::PropertyTerms {
    interface::PropertyTerms {
        class: terms.class.to_owned(),
        overbook: terms.overbook,
        rule: terms.rule.to_owned(),
        no_show_keeps_first_night: terms.no_show_keeps_first_night,
    }
}

/// A panic traps, and a trap has no text: hand it to the host before.
fn report_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|panic| log::write(log::Level::Error, &panic.to_string())));
    });
}

export!(Component);
