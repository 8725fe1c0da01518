//! Where one source's deliveries become records, under the configuration that is in force in the log.
//!
//! Follows its changes by itself. Keeps as many plugins ready as were needed at a time. Does not know HTTP.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::deliver::{Delivered, Deliverer};
use crate::plugin::{Delivery, Host, HostError, LoadError};
use crate::worker::InForce;

/// Why a delivery could not be looked at. All of it may be better later.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    #[error("no configuration is in force yet")]
    NotYet,
    #[error("the source is not in the configuration in force: `concord apply` puts it there")]
    NoSource,
    #[error("the source's plugin cannot be loaded: {0}")]
    Load(#[from] LoadError),
    #[error(transparent)]
    Host(#[from] HostError),
}

/// One source's desk.
pub struct Desk {
    name: Arc<str>,
    host: Host,
    partitions: u32,
    in_force: watch::Receiver<Option<Arc<InForce>>>,
    idle: Mutex<Idle>,
}

/// Deliverers that nobody uses at the moment, and the configuration that they are for.
#[derive(Default)]
struct Idle {
    sequence: Option<u64>,
    deliverers: Vec<Deliverer>,
}

impl Desk {
    pub fn new(name: Arc<str>, host: Host, partitions: u32, in_force: watch::Receiver<Option<Arc<InForce>>>) -> Desk {
        Desk { name, host, partitions, in_force, idle: Mutex::default() }
    }

    /// The source's name.
    pub fn source(&self) -> &Arc<str> {
        &self.name
    }

    /// Concord's id of a property that the source names so, by the mapping in force.
    pub fn property(&self, code: &str) -> Option<Arc<str>> {
        let in_force = self.in_force.borrow().clone()?;
        in_force.document.sources.get(&self.name)?.mapping.property(code)
    }

    /// As [`Deliverer::deliver`]. Computes for as long as the plugin may, so it is called where that does no harm.
    pub fn deliver(&self, delivery: Delivery, id: Option<&str>, now: i64) -> Result<Delivered, DeskError> {
        self.with(|deliverer| deliverer.deliver(delivery, id, now))
    }

    /// As [`Deliverer::deliver_own`], likewise.
    pub fn deliver_own(&self, delivery: Delivery, id: &str, now: i64) -> Result<Delivered, DeskError> {
        self.with(|deliverer| deliverer.deliver_own(delivery, id, now))
    }

    fn with(&self, work: impl FnOnce(&mut Deliverer) -> Result<Delivered, HostError>) -> Result<Delivered, DeskError> {
        let in_force = self.in_force.borrow().clone().ok_or(DeskError::NotYet)?;
        let mut deliverer = self.deliverer(&in_force)?;
        let delivered = work(&mut deliverer)?;
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.sequence == Some(in_force.sequence) {
            idle.deliverers.push(deliverer);
        }
        Ok(delivered)
    }

    fn deliverer(&self, in_force: &InForce) -> Result<Deliverer, DeskError> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.sequence != Some(in_force.sequence) {
            *idle = Idle { sequence: Some(in_force.sequence), deliverers: Vec::new() };
        }
        if let Some(ready) = idle.deliverers.pop() {
            return Ok(ready);
        }
        drop(idle);
        let document = &in_force.document;
        let source = document.sources.get(&self.name).ok_or(DeskError::NoSource)?;
        let plugin = in_force.plugins.get(&source.plugin.digest).ok_or(DeskError::NotYet)?;
        let made = Deliverer::new(&self.host, document, &self.name, plugin, self.partitions)?;
        made.ok_or(DeskError::NoSource)
    }
}
