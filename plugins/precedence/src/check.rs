//! What a rule set leaves open, and what in it can never apply.
//!
//! Takes a set whose names are all known. Tries every question that the host may ask: each field, class,
//! status and source. Does not change the set.

use crate::read::STAY_FIELDS;
use crate::rules::{Kind, NoShow, Rule, RuleSet, Status, Vocabulary, Who, matches};
use crate::words::{Finding, listed, quoted};

/// A source that the pipeline may get one day: what only it could reach is no mistake.
const LATER: &str = "\u{0}";

/// All findings. `end` is the length of the text, where something may be missing.
pub fn findings(set: &RuleSet, vocabulary: &Vocabulary, end: usize) -> Vec<Finding> {
    let mut findings = Vec::new();
    classes(set, &mut findings);
    for kind in Kind::ALL {
        coverage(set, vocabulary, kind, end, &mut findings);
    }
    for rule in &set.rules {
        order(set, vocabulary, rule, &mut findings);
    }
    findings
}

/// Patterns that an earlier pattern covers.
fn classes(set: &RuleSet, findings: &mut Vec<Finding>) {
    let mut earlier: Vec<(&str, &str)> = Vec::new();
    for class in &set.classes {
        for (pattern, at) in &class.patterns {
            if let Some((by, of)) = earlier.iter().find(|(earlier, _)| matches(earlier, pattern)) {
                let message =
                    format!("the pattern {pattern:?} can never apply: {by:?} of class {of:?} comes before it");
                let proposal =
                    if *of == class.name { "remove it" } else { "move the class further up, or remove the pattern" };
                findings.push(Finding::new(*at, message).propose(proposal));
            }
            earlier.push((pattern, &class.name));
        }
    }
}

/// The classes that a property may have; `None` where it may have none.
fn possible_classes(set: &RuleSet) -> Vec<Option<usize>> {
    let named = (0..set.classes.len()).map(Some);
    let all_caught = set.classes.iter().flat_map(|class| &class.patterns).any(|(pattern, _)| matches(pattern, "*"));
    named.chain((!all_caught).then_some(None)).collect()
}

fn class_name(set: &RuleSet, class: Option<usize>) -> String {
    let named = class.and_then(|index| set.classes.get(index));
    named.map_or_else(|| "no class".to_owned(), |class| format!("class {}", class.name))
}

/// Fields and classes without a rule, and rules that never get a turn.
fn coverage(set: &RuleSet, vocabulary: &Vocabulary, kind: Kind, end: usize, findings: &mut Vec<Finding>) {
    let fields: Vec<&str> = match kind {
        Kind::Field => vocabulary.fields.iter().map(String::as_str).collect(),
        Kind::StayField => STAY_FIELDS.to_vec(),
        Kind::StayStatus | Kind::Capacity => vec![""],
    };
    let classes = possible_classes(set);
    let rules: Vec<&Rule> = set.rules.iter().filter(|rule| rule.kind == kind).collect();
    let end = rules.last().map_or(end, |rule| rule.at);
    // Fields that lack a rule for the same classes are one finding.
    let mut open: Vec<(Vec<Option<usize>>, Vec<&str>)> = Vec::new();
    for field in &fields {
        let lacking = |class: &Option<usize>| set.rule_for(kind, field, *class).is_none();
        let lacking: Vec<Option<usize>> = classes.iter().copied().filter(lacking).collect();
        match open.iter_mut().find(|(classes, _)| *classes == lacking) {
            _ if lacking.is_empty() => {}
            Some((_, fields)) => fields.push(field),
            None => open.push((lacking, vec![field])),
        }
    }
    for (lacking, fields) in open {
        findings.push(uncovered(set, vocabulary, kind, &fields, &lacking, lacking.len() == classes.len(), end));
    }
    for (index, rule) in rules.iter().enumerate() {
        unreachable(set, &rules[..index], rule, &fields, &classes, findings);
    }
}

fn uncovered(
    set: &RuleSet,
    vocabulary: &Vocabulary,
    kind: Kind,
    fields: &[&str],
    lacking: &[Option<usize>],
    everywhere: bool,
    end: usize,
) -> Finding {
    let subject = match kind {
        Kind::Field if fields.len() == 1 => format!("the field {}", fields[0]),
        Kind::Field => format!("the fields {}", listed(fields)),
        Kind::StayField => format!("{} of a stay", listed(fields)),
        Kind::StayStatus => "the status of a stay".to_owned(),
        Kind::Capacity => "which booking keeps a room".to_owned(),
    };
    let names: Vec<String> = lacking.iter().map(|class| class_name(set, *class)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let place = if everywhere { String::new() } else { format!(" for properties of {}", listed(&names)) };
    let class = match lacking {
        [Some(index)] if !everywhere => set.classes.get(*index).map(|class| format!("class = \"{}\"\n", class.name)),
        _ => None,
    };
    let class = class.unwrap_or_default();
    let sources: Vec<&str> = vocabulary.sources.iter().map(String::as_str).collect();
    let lines =
        if kind.by_status() { "order = [\"*@*\"]".to_owned() } else { format!("order = [{}]", quoted(&sources)) };
    let fields = if kind.by_status() { String::new() } else { format!("fields = [{}]\n", quoted(fields)) };
    let table = kind.table();
    let id = table.replace('.', "-");
    Finding::new(end, format!("no rule decides {subject}{place}"))
        .propose(format!("add: [[{table}]]\nid = \"{id}-else\"\n{fields}{class}{lines}"))
}

/// Reports the rule, or the fields of it, that earlier rules leave nothing to decide.
fn unreachable(
    set: &RuleSet,
    earlier: &[&Rule],
    rule: &Rule,
    fields: &[&str],
    classes: &[Option<usize>],
    findings: &mut Vec<Finding>,
) {
    let reaches = |field: &str| {
        let open = |class: &&Option<usize>| {
            rule.covers(field, **class) && !earlier.iter().any(|earlier| earlier.covers(field, **class))
        };
        classes.iter().find(open).is_some()
    };
    // A star also stands for fields that are declared later.
    let starred = rule.fields.iter().any(|(name, _)| name == "*");
    let reached = fields.iter().any(|field| reaches(field)) || (starred && reaches(LATER));
    if !reached {
        let overlaps = |earlier: &Rule| {
            let covers = |field: &str, class| rule.covers(field, class) && earlier.covers(field, class);
            fields.iter().any(|field| classes.iter().any(|class| covers(field, *class)))
        };
        let before: Vec<&str> = earlier.iter().filter(|rule| overlaps(rule)).map(|rule| rule.id.as_str()).collect();
        let why = match before.as_slice() {
            [] => format!("no property can be of {}", class_name(set, rule.class)),
            [one] => format!("{one} before it covers all that it does"),
            several => format!("{} before it cover all that it does", listed(several)),
        };
        let finding = Finding::new(rule.at, format!("the rule {:?} can never apply: {why}", rule.id));
        findings.push(finding.propose("move it further up, or remove it"));
        return;
    }
    for (field, at) in rule.fields.iter().filter(|(field, _)| field != "*" && !reaches(field)) {
        let by = earlier.iter().find(|earlier| classes.iter().any(|class| earlier.covers(field, *class)));
        let by = by.map_or("", |rule| rule.id.as_str());
        let message = format!("{field:?} can never apply in rule {:?}: the rule {by:?} decides it", rule.id);
        findings.push(Finding::new(*at, message).propose("remove it here, or move the rule further up"));
    }
}

/// Entries that can never apply, and claims that no entry covers.
fn order(set: &RuleSet, vocabulary: &Vocabulary, rule: &Rule, findings: &mut Vec<Finding>) {
    let statuses = statuses(set, rule.kind);
    let sources: Vec<&str> = vocabulary.sources.iter().map(String::as_str).chain([LATER]).collect();
    let mut taken: Vec<(Option<Status>, &str, usize)> = Vec::new();
    for (index, entry) in rule.order.iter().enumerate() {
        let claims = statuses.iter().flat_map(|status| sources.iter().map(move |source| (*status, *source)));
        let own: Vec<_> = claims.filter(|(status, source)| set.place_in(entry, source, *status).is_some()).collect();
        let by = |claim: &(Option<Status>, &str)| {
            taken.iter().find(|(status, source, _)| (*status, *source) == *claim).map(|(_, _, by)| *by)
        };
        let takers: Vec<Option<usize>> = own.iter().map(by).collect();
        if takers.iter().all(Option::is_some) {
            findings.push(shadowed(rule, index, &takers));
        }
        let new: Vec<_> =
            own.into_iter().zip(takers).filter(|(_, taker)| taker.is_none()).map(|(claim, _)| claim).collect();
        taken.extend(new.into_iter().map(|(status, source)| (status, source, index)));
    }
    let open = |status: Option<Status>, source: &str| !taken.iter().any(|(s, o, _)| (*s, *o) == (status, source));
    left_out(rule, vocabulary, &statuses, open, findings);
}

/// The statuses that an order has to know: none where it is about sources only.
fn statuses(set: &RuleSet, kind: Kind) -> Vec<Option<Status>> {
    let occupies = |status: &Status| match status {
        Status::Cancelled => false,
        Status::NoShow => set.no_show == NoShow::FirstNight,
        _ => true,
    };
    match kind {
        Kind::Field | Kind::StayField => vec![None],
        Kind::StayStatus => Status::ALL.into_iter().map(Some).collect(),
        Kind::Capacity => Status::ALL.into_iter().filter(occupies).map(Some).collect(),
    }
}

fn shadowed(rule: &Rule, index: usize, takers: &[Option<usize>]) -> Finding {
    let entry = &rule.order[index];
    let mut by: Vec<&str> = Vec::new();
    for taker in takers.iter().flatten() {
        let text = rule.order[*taker].text.as_str();
        if !by.contains(&text) {
            by.push(text);
        }
    }
    let message = match (by.as_slice(), entry.status) {
        ([], Some(status)) => {
            format!(
                "{:?} can never apply in rule {:?}: a stay that is {} needs no room",
                entry.text,
                rule.id,
                status.as_str()
            )
        }
        (by, _) => {
            let verb = if by.len() == 1 { "comes" } else { "come" };
            format!("{:?} can never apply in rule {:?}: {} {verb} before it", entry.text, rule.id, quoted(by))
        }
    };
    let proposal = if by.is_empty() || by == [entry.text.as_str()] || !matches!(entry.who, Who::Any) {
        "remove it, or move it further up"
    } else {
        "remove it"
    };
    Finding::new(entry.at, message).propose(proposal)
}

fn left_out(
    rule: &Rule,
    vocabulary: &Vocabulary,
    statuses: &[Option<Status>],
    open: impl Fn(Option<Status>, &str) -> bool,
    findings: &mut Vec<Finding>,
) {
    let mut missing: Vec<String> = Vec::new();
    let sources = vocabulary.sources.iter().map(String::as_str);
    let (unknown, known): (Vec<&str>, Vec<&str>) =
        sources.partition(|source| statuses.iter().all(|status| open(*status, source)));
    missing.extend(unknown.iter().map(|source| claim_text(rule.kind.by_status().then_some("*"), source)));
    for status in statuses.iter().flatten() {
        let lacking: Vec<&str> = known.iter().copied().filter(|source| open(Some(*status), source)).collect();
        let everybody = lacking.len() > 1 && lacking.len() == known.len();
        let lacking = if everybody { vec!["*"] } else { lacking };
        missing.extend(lacking.iter().map(|source| claim_text(Some(status.as_str()), source)));
    }
    if missing.is_empty() {
        return;
    }
    let names: Vec<&str> = missing.iter().map(String::as_str).collect();
    let rest = if rule.kind.by_status() { "*@*" } else { "*" };
    let finding = Finding::new(rule.order_at, format!("the order of rule {:?} leaves out {}", rule.id, listed(&names)));
    findings.push(finding.propose(format!("add to its end: {}, or \"{rest}\" for all the rest", quoted(&names))));
}

/// A claim as an order names it.
fn claim_text(status: Option<&str>, source: &str) -> String {
    status.map_or_else(|| source.to_owned(), |status| format!("{status}@{source}"))
}

#[cfg(test)]
mod tests;
