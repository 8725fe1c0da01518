//! Properties in memory: a cache over the `state` table that no result depends on.
//!
//! Loaded on first touch, the longest untouched evicted when it grows beyond its size, and never
//! while a change is not yet in the table (pinned). Does not load by itself.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::log::Offset;
use crate::merge::Property;

struct Entry {
    property: Property,
    /// When it was last touched, in touches of the whole cache.
    touched: u64,
    /// It must not go before records up to here are committed.
    pinned: Offset,
    weight: usize,
}

/// The properties of one partition.
pub struct Cache {
    entries: HashMap<Arc<str>, Entry>,
    touches: u64,
    weight: usize,
    limit: usize,
}

impl Cache {
    /// A cache of about so many bytes.
    pub fn new(limit: usize) -> Cache {
        Cache { entries: HashMap::new(), touches: 0, weight: 0, limit }
    }

    pub fn contains(&self, property: &str) -> bool {
        self.entries.contains_key(property)
    }

    /// Takes a property as it stands in the table.
    pub fn insert(&mut self, property: Property) {
        let weight = property.weight();
        self.weight += weight;
        let entry = Entry { touched: self.touches, pinned: 0, weight, property };
        self.entries.insert(entry.property.name.clone(), entry);
    }

    /// The property, to be changed by the record at `offset`.
    pub fn touch(&mut self, property: &str, offset: Offset) -> Option<&mut Property> {
        self.touches += 1;
        let entry = self.entries.get_mut(property)?;
        entry.touched = self.touches;
        entry.pinned = offset + 1;
        Some(&mut entry.property)
    }

    /// The property, without being pinned by it.
    pub fn get_mut(&mut self, property: &str) -> Option<&mut Property> {
        self.entries.get_mut(property).map(|entry| &mut entry.property)
    }

    /// Weighs what a commit has changed, and evicts what is committed and longest untouched.
    pub fn settle<'a>(&mut self, changed: impl IntoIterator<Item = &'a Arc<str>>, committed: Offset) {
        for name in changed {
            if let Some(entry) = self.entries.get_mut(name) {
                let weight = entry.property.weight();
                self.weight = self.weight - entry.weight + weight;
                entry.weight = weight;
            }
        }
        if self.weight <= self.limit {
            return;
        }
        let mut idle: Vec<(u64, Arc<str>)> = self
            .entries
            .iter()
            .filter(|(_, e)| e.pinned <= committed && e.property.dirty.is_empty())
            .map(|(name, e)| (e.touched, name.clone()))
            .collect();
        idle.sort_unstable();
        // Some room, so that not every commit has to look for victims.
        let goal = self.limit - self.limit / 8;
        for (_, name) in idle {
            if self.weight <= goal {
                break;
            }
            if let Some(entry) = self.entries.remove(&name) {
                self.weight -= entry.weight;
            }
        }
    }
}
