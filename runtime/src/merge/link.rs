//! Which lines of different sources are the same stay (merge rule 10).
//!
//! A pure function of the lines as they now are. Does not know what the stays were before.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashSet;

use super::state::{Line, LineId, Property, links};
use crate::types::Day;
use std::sync::Arc;

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
    let mut sets = Vec::new();
    for seed in seeds {
        if !property.lines.contains_key(&seed) || !seen.insert(seed.clone()) {
            continue;
        }
        let mut set = vec![seed];
        let mut next = 0;
        while let Some(line) = set.get(next).and_then(|id| property.lines.get(id)) {
            next += 1;
            for neighbour in neighbours(property, line) {
                if seen.insert(neighbour.clone()) {
                    set.push(neighbour);
                }
            }
        }
        set.sort_by_key(|id| property.lines.get(id).map(|l| l.first));
        sets.push(set);
    }
    sets
}

fn neighbours(property: &Property, line: &Line) -> Vec<LineId> {
    let sharing = line.references.value.iter().filter(|r| links(r));
    let ids = sharing.filter_map(|r| property.index.references.get(r)).flatten();
    ids.filter(|id| super::state::source_of(id) != line.source()).cloned().collect()
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

/// Lines of equal arrival and booked type pair in line order: the first of each source, the second, ...
fn pair<'l>(lines: &[&'l Line]) -> Vec<Vec<&'l Line>> {
    /// Arrival and booked type.
    type Likeness = (Option<Day>, Option<Arc<str>>);
    let mut ordinal: BTreeMap<(&str, Likeness), usize> = BTreeMap::new();
    let mut tuples: BTreeMap<(Likeness, usize), Vec<&Line>> = BTreeMap::new();
    for line in lines {
        let likeness = (line.placement.value.arrival, line.placement.value.room_type.clone());
        let nth = ordinal.entry((line.source(), likeness.clone())).or_default();
        tuples.entry((likeness, *nth)).or_default().push(line);
        *nth += 1;
    }
    tuples.into_values().collect()
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
    let singles: Vec<&Line> = tuples.iter().filter(|t| t.len() == 1).flatten().copied().collect();
    singles.iter().enumerate().any(|(i, a)| singles.iter().skip(i + 1).any(|b| share(a, b)))
}
