//! Short names that occur often (sources, fields, room types, rooms) are kept in memory once.
//!
//! Serde helpers: a name read from the state is looked up in a pool of the thread before it is
//! allocated. Does not know what the names mean.

use std::cell::RefCell;
use std::sync::Arc;

use hashbrown::HashSet;
use serde::{Deserialize, Deserializer, Serializer};

/// Names kept; a pool that has grown beyond it starts anew (the names stay valid).
const POOL: usize = 65_536;

thread_local! {
    static NAMES: RefCell<HashSet<Arc<str>>> = RefCell::new(HashSet::new());
}

/// The one copy of a name in this thread.
pub fn intern(name: &str) -> Arc<str> {
    NAMES.with_borrow_mut(|names| {
        if let Some(known) = names.get(name) {
            return known.clone();
        }
        if names.len() >= POOL {
            names.clear();
        }
        let name: Arc<str> = name.into();
        names.insert(name.clone());
        name
    })
}

pub fn serialize<S: Serializer>(name: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(name)
}

pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<str>, D::Error> {
    <&str>::deserialize(deserializer).map(intern)
}

/// The same for names that can be missing.
pub mod option {
    use super::*;

    pub fn serialize<S: Serializer>(name: &Option<Arc<str>>, serializer: S) -> Result<S::Ok, S::Error> {
        serde::Serialize::serialize(&name.as_deref(), serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Arc<str>>, D::Error> {
        Ok(<Option<&str>>::deserialize(deserializer)?.map(intern))
    }
}
