//! A source's codes into Concord's own, and the check that a record speaks about what its key says.
//!
//! Knows the mapping of one source. Does not know what the changes mean. One code that cannot be
//! mapped makes the whole record unmapped (merge rule 8).

use std::sync::Arc;

use crate::change::{Action, Change, LineChange, RoomNights, Scope};
use crate::config::Source;

/// Why a normalized record goes no further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unmappable {
    /// The mapping does not know a code: a retry helps once it does.
    Unmapped(String),
    /// The source may not say this.
    Rejected(String),
    /// The plugin speaks about a property that the record is not about.
    Stray(String),
}

/// The property of a record: what its changes name, mapped. The key has to name the same one, by the
/// source's code or by Concord's.
pub fn property(source: &Source, key: &str, said: &str) -> Result<Arc<str>, Unmappable> {
    let mapped = source.mapping.property(said);
    if key != said && mapped.as_deref() != Some(key) {
        return Err(Unmappable::Stray(format!(
            "the plugin speaks about property `{said}`, the record's key names `{key}`"
        )));
    }
    mapped.ok_or_else(|| {
        Unmappable::Unmapped(format!("property `{said}` is not in the source's mapping; add it, then retry"))
    })
}

/// The changes in Concord's codes.
pub fn changes(source: &Source, property: &str, changes: Vec<Change>) -> Result<Vec<Change>, Unmappable> {
    let mapper = Mapper { source, property };
    changes.into_iter().map(|change| mapper.change(change)).collect()
}

struct Mapper<'a> {
    source: &'a Source,
    property: &'a str,
}

impl Mapper<'_> {
    fn change(&self, change: Change) -> Result<Change, Unmappable> {
        let action = match change.action {
            Action::InventorySet(nights) => Action::InventorySet(self.room_nights(nights)?),
            Action::InventoryReplace { scope, nights } => Action::InventoryReplace {
                scope: self.scope(scope)?,
                nights: nights.into_iter().map(|n| self.room_nights(n)).collect::<Result<_, _>>()?,
            },
            Action::Withdraw(scope) => Action::Withdraw(self.scope(scope)?),
            Action::LineSet { reservation, line } => Action::LineSet { reservation, line: self.line(line)? },
            Action::ReservationReplace { reservation, lines } => Action::ReservationReplace {
                reservation,
                lines: lines.into_iter().map(|l| self.line(l)).collect::<Result<_, _>>()?,
            },
            unchanged @ (Action::LineCancel { .. } | Action::SnapshotBegin | Action::SnapshotEnd) => unchanged,
        };
        Ok(Change { action, ..change })
    }

    fn room_nights(&self, nights: RoomNights) -> Result<RoomNights, Unmappable> {
        self.may_claim_inventory()?;
        Ok(RoomNights { room_type: self.room_type(&nights.room_type)?, ..nights })
    }

    fn scope(&self, scope: Scope) -> Result<Scope, Unmappable> {
        self.may_claim_inventory()?;
        let room_types = scope.room_types.iter().map(|t| self.room_type(t)).collect::<Result<_, _>>()?;
        Ok(Scope { room_types, ..scope })
    }

    fn line(&self, line: LineChange) -> Result<LineChange, Unmappable> {
        let room_type = line.room_type.as_ref().map(|t| self.room_type(t)).transpose()?;
        let room = line.room.as_ref().map(|r| self.room(r)).transpose()?;
        Ok(LineChange { room_type, room, ..line })
    }

    fn room_type(&self, code: &str) -> Result<Arc<str>, Unmappable> {
        self.source.mapping.room_type(self.property, code).ok_or_else(|| self.unmapped("room type", code))
    }

    fn room(&self, code: &str) -> Result<Arc<str>, Unmappable> {
        self.source.mapping.room(self.property, code).ok_or_else(|| self.unmapped("room", code))
    }

    fn unmapped(&self, what: &str, code: &str) -> Unmappable {
        Unmappable::Unmapped(format!(
            "{what} `{code}` of property {} is not in the source's mapping; add it, then retry",
            self.property
        ))
    }

    /// Merge rule 18: several codes for one room type may carry bookings, never inventory.
    fn may_claim_inventory(&self) -> Result<(), Unmappable> {
        if self.source.inventory {
            return Ok(());
        }
        Err(Unmappable::Rejected(
            "the source is configured with `inventory = false` and sends inventory; correct one or the other"
                .to_owned(),
        ))
    }
}
