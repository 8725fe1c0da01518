//! What a proposed configuration would change, in lines for a person.
//!
//! Knows two documents. Does not know what the change does to outcomes: `concord rules what-if` finds that out.

use std::collections::BTreeMap;
use std::fmt::Display;

use crate::types::FieldType;

use super::document::{Document, Limits, RuleSet, Source};
use super::mapping::{Codes, Mapping, Own, Table};
use super::master::{MasterData, Property};

/// Single entries shown per list before the rest is only counted.
const SHOWN: usize = 8;

/// One line per change, in a fixed order; empty when the two are equal. `active` is `None` before the first start.
pub fn difference(active: Option<&Document>, proposal: &Document) -> Vec<String> {
    let Some(active) = active else { return first(proposal) };
    let mut lines = Vec::new();
    changed(&mut lines, "pipeline", &active.pipeline, &proposal.pipeline);
    rules(&mut lines, &active.rules, &proposal.rules);
    let (before, after) = (active.precedence.digest, proposal.precedence.digest);
    changed(&mut lines, "precedence plugin", &before.short(), &after.short());
    compare(
        &mut lines,
        "source",
        &active.sources,
        &proposal.sources,
        |_| String::new(),
        |lines, what, a, b| {
            source(lines, what, a, b);
        },
    );
    compare(
        &mut lines,
        "field",
        &active.fields,
        &proposal.fields,
        |kind| format!(" ({})", word(kind)),
        |lines, what, a, b| {
            changed(lines, what, &word(a), &word(b));
        },
    );
    master(&mut lines, &active.master, &proposal.master);
    limits(&mut lines, &active.limits, &proposal.limits);
    let (before, after) = (active.policies.stale_data, proposal.policies.stale_data);
    changed(&mut lines, "policy stale_data", &before.as_str(), &after.as_str());
    lines
}

fn first(proposal: &Document) -> Vec<String> {
    let (name, version) = proposal.rules.header();
    let sources: Vec<&str> = proposal.sources.keys().map(AsRef::as_ref).collect();
    vec![
        format!("first configuration of the pipeline {}", proposal.pipeline),
        format!("rule set {name} {version} ({})", proposal.rules.digest().short()),
        format!("sources: {}", sources.join(", ")),
        format!("properties in the master data: {}", proposal.master.properties.len()),
    ]
}

fn rules(lines: &mut Vec<String>, active: &RuleSet, proposal: &RuleSet) {
    if active.text == proposal.text {
        return changed(lines, "rule set: file", &active.file, &proposal.file);
    }
    let ((old_name, old), (name, new)) = (active.header(), proposal.header());
    let digests = format!("{} -> {}", active.digest().short(), proposal.digest().short());
    lines.push(match (old_name == name, old == new) {
        (true, false) => format!("rule set {name}: {old} -> {new} ({digests})"),
        (true, true) => format!("rule set {name}: the text changes, the version stays {new} ({digests})"),
        (false, _) => format!("rule set: {old_name} {old} -> {name} {new} ({digests})"),
    });
}

fn source(lines: &mut Vec<String>, what: &str, active: &Source, proposal: &Source) {
    changed(lines, &format!("{what}: plugin"), &active.plugin.digest.short(), &proposal.plugin.digest.short());
    changed(lines, &format!("{what}: settings"), &active.settings, &proposal.settings);
    changed(lines, &format!("{what}: inventory"), &active.inventory, &proposal.inventory);
    mapping(lines, what, &active.mapping, &proposal.mapping);
}

fn mapping(lines: &mut Vec<String>, what: &str, active: &Mapping, proposal: &Mapping) {
    codes(lines, &format!("{what}: property codes"), &active.properties, &proposal.properties);
    codes(lines, &format!("{what}: room type codes"), &active.room_types, &proposal.room_types);
    codes(lines, &format!("{what}: room codes"), &active.rooms, &proposal.rooms);
    let none = Own::default();
    let properties: std::collections::BTreeSet<_> = active.property.keys().chain(proposal.property.keys()).collect();
    for property in properties {
        let a = active.property.get(property).unwrap_or(&none);
        let b = proposal.property.get(property).unwrap_or(&none);
        own(lines, &format!("{what}: room type codes in {property}"), a.room_types.as_ref(), b.room_types.as_ref());
        own(lines, &format!("{what}: room codes in {property}"), a.rooms.as_ref(), b.rooms.as_ref());
    }
}

fn codes(lines: &mut Vec<String>, what: &str, active: &Codes, proposal: &Codes) {
    match (active, proposal) {
        (Codes::Identity, Codes::Identity) => {}
        (Codes::Table(a), Codes::Table(b)) => table(lines, what, a, b),
        (Codes::Identity, Codes::Table(b)) => lines.push(format!("{what}: identity -> a table of {}", b.len())),
        (Codes::Table(a), Codes::Identity) => lines.push(format!("{what}: a table of {} -> identity", a.len())),
    }
}

fn own(lines: &mut Vec<String>, what: &str, active: Option<&Table>, proposal: Option<&Table>) {
    match (active, proposal) {
        (None, None) => {}
        (Some(a), Some(b)) => table(lines, what, a, b),
        (None, Some(b)) => lines.push(format!("{what}: a table of {} added", b.len())),
        (Some(a), None) => lines.push(format!("{what}: the table of {} removed", a.len())),
    }
}

/// Added, removed and changed entries, each as one line that names the first few.
fn table<K: Ord + Display, V: Eq + Display>(
    lines: &mut Vec<String>,
    what: &str,
    active: &BTreeMap<K, V>,
    proposal: &BTreeMap<K, V>,
) {
    let added =
        proposal.iter().filter(|(key, _)| !active.contains_key(key)).map(|(key, value)| format!("{key} = {value}"));
    let removed =
        active.iter().filter(|(key, _)| !proposal.contains_key(key)).map(|(key, value)| format!("{key} = {value}"));
    let other = active.iter().filter_map(|(key, old)| {
        proposal.get(key).filter(|new| *new != old).map(|new| format!("{key}: {old} -> {new}"))
    });
    list(lines, &format!("{what} added"), added.collect());
    list(lines, &format!("{what} removed"), removed.collect());
    list(lines, &format!("{what} changed"), other.collect());
}

fn list(lines: &mut Vec<String>, what: &str, entries: Vec<String>) {
    if entries.is_empty() {
        return;
    }
    let rest = entries.len().saturating_sub(SHOWN);
    let shown = entries[..entries.len() - rest].join(", ");
    lines.push(if rest == 0 { format!("{what}: {shown}") } else { format!("{what}: {shown} and {rest} more") });
}

fn master(lines: &mut Vec<String>, active: &MasterData, proposal: &MasterData) {
    let describe = |p: &Property| format!(" ({} room types, {} rooms)", p.room_types.len(), p.rooms.len());
    compare(lines, "property", &active.properties, &proposal.properties, describe, |lines, what, a, b| {
        changed(lines, &format!("{what}: name"), &a.name, &b.name);
        changed(lines, &format!("{what}: region"), &a.region, &b.region);
        changed(lines, &format!("{what}: time zone"), &a.time_zone, &b.time_zone);
        table(lines, &format!("{what}: default capacities"), &capacities(a), &capacities(b));
        table(lines, &format!("{what}: rooms"), &a.rooms, &b.rooms);
    });
}

fn capacities(property: &Property) -> BTreeMap<&str, String> {
    let show = |rooms: &Option<u32>| rooms.map_or_else(|| "unlimited".to_owned(), |rooms| rooms.to_string());
    property.room_types.iter().map(|(name, rooms)| (name.as_ref(), show(rooms))).collect()
}

fn limits(lines: &mut Vec<String>, active: &Limits, proposal: &Limits) {
    // By their names on the wire, so that no limit is forgotten here.
    let numbers = |limits: &Limits| serde_json::to_value(limits).unwrap_or_default();
    let (before, after) = (numbers(active), numbers(proposal));
    for (name, old) in before.as_object().into_iter().flatten() {
        changed(lines, &format!("limit {name}"), old, after.get(name).unwrap_or(&serde_json::Value::Null));
    }
}

/// Named things on both sides: those only on one side in a line each, the others by `inner`.
fn compare<K: Ord + Display, V: Eq>(
    lines: &mut Vec<String>,
    what: &str,
    active: &BTreeMap<K, V>,
    proposal: &BTreeMap<K, V>,
    describe: impl Fn(&V) -> String,
    inner: impl Fn(&mut Vec<String>, &str, &V, &V),
) {
    for (name, value) in proposal.iter().filter(|(name, _)| !active.contains_key(name)) {
        lines.push(format!("{what} {name}: added{}", describe(value)));
    }
    for (name, value) in active {
        match proposal.get(name) {
            None => lines.push(format!("{what} {name}: removed{}", describe(value))),
            Some(other) if other == value => {}
            Some(other) => inner(lines, &format!("{what} {name}"), value, other),
        }
    }
}

fn changed<T: Eq + Display>(lines: &mut Vec<String>, what: &str, before: &T, after: &T) {
    if before != after {
        lines.push(format!("{what}: {before} -> {after}"));
    }
}

/// The word of the `[fields]` table.
fn word(kind: &FieldType) -> &'static str {
    match kind {
        FieldType::Integer => "integer",
        FieldType::Decimal => "decimal",
        FieldType::Money => "money",
        FieldType::Text => "text",
        FieldType::Boolean => "boolean",
    }
}
