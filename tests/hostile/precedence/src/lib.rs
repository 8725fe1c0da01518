//! A precedence plugin that answers as the property's name tells it to.

use std::hint::black_box;

mod bindings {
    wit_bindgen::generate!({ path: "../../../wit", world: "precedence" });
}

use bindings::concord::plugin::log::{self, Level};
use bindings::exports::concord::plugin::rules::{
    Contest, Diagnostic, Guest, PropertyTerms, Ranking, RoomClaim, Summary, Verdict, Vocabulary,
};

struct Hostile;

impl Guest for Hostile {
    fn configure(rule_set: String, vocabulary: Vocabulary) -> Result<Summary, Vec<Diagnostic>> {
        std::panic::set_hook(Box::new(|panic| log::write(Level::Error, &panic.to_string())));
        let summary = |rules: &[&str]| Summary {
            name: "hostile".into(),
            version: vocabulary.sources.join("+"),
            rules: rules.iter().map(|rule| rule.to_string()).collect(),
        };
        match rule_set.as_str() {
            "panic" => panic!("cannot read this"),
            "loop" => forever(),
            "silence" => Err(Vec::new()),
            "reserved" => Ok(summary(&["!fault"])),
            "wrong" => Err(vec![Diagnostic {
                line: 3,
                column: 9,
                message: "the source `pmss` is unknown".into(),
                proposal: Some("pms".into()),
            }]),
            _ => Ok(summary(&["first", "rooms"])),
        }
    }

    fn terms(properties: Vec<String>) -> Vec<PropertyTerms> {
        let terms = |property: String| {
            misbehave(&property);
            PropertyTerms {
                overbook: if property == "overbook" { u32::MAX } else { 1 },
                rule: if property == "rule" { "no such rule".into() } else { "rooms".into() },
                no_show_keeps_first_night: false,
                class: property,
            }
        };
        properties.into_iter().map(terms).collect()
    }

    fn resolve(contests: Vec<Contest>) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        for contest in contests {
            misbehave(&contest.property);
            let verdict = Verdict {
                winner: if contest.property == "range" { contest.claims.len() as u32 } else { 0 },
                rule: if contest.property == "rule" { "no such rule".into() } else { "first".into() },
                reason: format!("{} comes first", contest.claims[0].source),
                agree: false,
            };
            if contest.property == "twice" {
                verdicts.push(verdict.clone());
            }
            if contest.property != "missing" {
                verdicts.push(verdict);
            }
        }
        verdicts
    }

    fn rank(claims: Vec<RoomClaim>) -> Vec<Ranking> {
        let mut rankings = Vec::new();
        for claim in claims {
            misbehave(&claim.property);
            let rule = if claim.property == "rule" { "no such rule" } else { "rooms" };
            if claim.property != "missing" {
                rankings.push(Ranking { priority: -7, rule: rule.into() });
            }
        }
        rankings
    }
}

fn misbehave(property: &str) {
    match property {
        "panic" => panic!("no rule for this"),
        "loop" => forever(),
        _ => {}
    }
}

fn forever() -> ! {
    let mut count = 0_u64;
    loop {
        count = black_box(count.wrapping_add(1));
    }
}

bindings::export!(Hostile with_types_in bindings);
