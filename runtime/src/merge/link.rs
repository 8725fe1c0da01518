//! Which lines of different sources are the same stay (merge rule 10).
//!
//! A pure function of the lines as they now are. Does not know what the stays were before.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::{HashMap, HashSet};

use super::state::{Line, LineId, Property, links, source_of};
use crate::change::Reference;
use crate::types::Day;

/// The stays that a set of connected lines makes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Grouping {
    /// Each in the order of first mention.
    pub stays: Vec<Vec<LineId>>,
    /// Nothing was linked, since it cannot be said what belongs together.
    pub doubt: bool,
}

/// The sets of connected lines that contain the seeds: lines of different sources are connected
/// when they share a reference that links.
pub(super) fn connected(property: &Property, seeds: impl IntoIterator<Item = LineId>) -> Vec<Vec<LineId>> {
    let mut seen: HashSet<LineId> = HashSet::new();
    let mut followed: HashSet<&Reference> = HashSet::new();
    let mut sets = Vec::new();
    for seed in seeds {
        if !property.lines.contains_key(&seed) || !seen.insert(seed.clone()) {
            continue;
        }
        let mut set = vec![seed];
        let mut next = 0;
        while let Some(line) = set.get(next).and_then(|id| property.line(id)) {
            next += 1;
            for reference in line.references.value.iter().filter(|r| links(r)) {
                if followed.insert(reference) {
                    set.extend(linked(property, reference).iter().filter(|id| seen.insert((*id).clone())).cloned());
                }
            }
        }
        set.sort_by_key(|id| property.line(id).map(|l| l.first));
        sets.push(set);
    }
    sets
}

/// The lines that a reference connects: all that have it, if they are of several sources.
fn linked<'p>(property: &'p Property, reference: &Reference) -> &'p [LineId] {
    let lines = property.index.references.get(reference).map_or(&[][..], |lines| lines);
    let sources = lines.windows(2).any(|pair| matches!(pair, [a, b] if source_of(a) != source_of(b)));
    if sources { lines } else { &[] }
}

/// Whether two lines share a reference that links, and are of different sources.
fn share(a: &Line, b: &Line) -> bool {
    a.source() != b.source() && a.references.value.iter().any(|r| links(r) && b.references.value.contains(r))
}

/// Pairs the lines of one connected set, given in the order of first mention.
pub(super) fn group(lines: &[&Line]) -> Grouping {
    let sources: BTreeSet<&str> = lines.iter().map(|l| l.source()).collect();
    if sources.len() == lines.len() {
        return Grouping { stays: vec![lines.iter().map(|l| l.id.clone()).collect()], doubt: false };
    }
    let mut stays = Vec::new();
    for cancelled in [false, true] {
        let part: Vec<&Line> = lines.iter().filter(|l| l.is_cancelled() == cancelled).copied().collect();
        let tuples = pair(&part);
        if tuples.iter().any(|t| !is_connected(t)) || singles_share(&tuples) {
            return Grouping { stays: lines.iter().map(|l| vec![l.id.clone()]).collect(), doubt: true };
        }
        stays.extend(tuples.into_iter().map(|tuple| tuple.iter().map(|l| l.id.clone()).collect()));
    }
    Grouping { stays, doubt: false }
}

/// Lines of equal arrival and booked type pair in line order: the first of each source, the second, ... A line of
/// which one of the two is not known equals no other.
fn pair<'l>(lines: &[&'l Line]) -> Vec<Vec<&'l Line>> {
    type Likeness<'a> = (Day, &'a str);
    let mut ordered = lines.to_vec();
    ordered.sort_by_key(|line| (line.first_order, line.first.1));
    let mut ordinal: BTreeMap<(&str, Likeness<'_>), usize> = BTreeMap::new();
    let mut tuples: BTreeMap<(Likeness<'_>, usize), Vec<&Line>> = BTreeMap::new();
    let mut alone = Vec::new();
    for line in ordered {
        let parts = &line.placement.value;
        let (Some(arrival), Some(room_type)) = (parts.arrival, parts.room_type.as_deref()) else {
            alone.push(vec![line]);
            continue;
        };
        let nth = ordinal.entry((line.source(), (arrival, room_type))).or_default();
        tuples.entry(((arrival, room_type), *nth)).or_default().push(line);
        *nth += 1;
    }
    let mut tuples: Vec<Vec<&Line>> = tuples.into_values().chain(alone).collect();
    for tuple in &mut tuples {
        tuple.sort_by_key(|line| line.first);
    }
    tuples
}

/// Whether shared references connect a tuple without help from outside.
fn is_connected(tuple: &[&Line]) -> bool {
    let Some((first, rest)) = tuple.split_first() else { return true };
    let (mut reached, mut left) = (vec![*first], rest.to_vec());
    while let Some(at) = left.iter().position(|l| reached.iter().any(|r| share(r, l))) {
        reached.push(left.swap_remove(at));
    }
    left.is_empty()
}

/// Whether two lines that found no partner share a reference: they may be one room told differently.
fn singles_share(tuples: &[Vec<&Line>]) -> bool {
    let mut sources: HashMap<&Reference, &str> = HashMap::new();
    let singles = tuples.iter().filter(|t| t.len() == 1).flatten();
    let mut shown = singles.flat_map(|line| line.references.value.iter().map(move |r| (r, line.source())));
    shown.any(|(reference, source)| links(reference) && *sources.entry(reference).or_insert(source) != source)
}
