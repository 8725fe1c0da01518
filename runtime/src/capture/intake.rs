//! Changed rows enter the log, by the door that every delivery takes: split by the source's plugin, mapped, appended.
//!
//! Follows the configuration in force. When it says that rows are taken, they are durable. Does not know databases.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use futures::future::try_join_all;
use tokio::sync::watch;

use super::CaptureError;
use crate::config::{Codes, Document};
use crate::connect::{Desk, Pulse};
use crate::event::Key;
use crate::log::{Identity, Log, NewRecord, Partition};
use crate::plugin::Delivery;
use crate::worker::{InForce, Shared, now_millis};

/// A document with the id that its position gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Captured {
    pub id: String,
    pub body: Bytes,
}

/// Documents that have become records, not yet appended.
#[derive(Default)]
pub(super) struct Gathered {
    records: BTreeMap<Partition, Vec<NewRecord>>,
    /// Concord's ids of the properties that they are about.
    pub properties: BTreeSet<String>,
}

/// One source's way into the log.
pub(super) struct Intake<L> {
    name: Arc<str>,
    shared: Arc<Shared<L>>,
    in_force: watch::Receiver<Option<Arc<InForce>>>,
    desk: Desk,
    /// Records appended by this process.
    pub records: u64,
    /// What is durable in the log has been heard.
    pub pulse: Arc<Pulse>,
}

impl<L: Log> Intake<L> {
    pub fn new(name: Arc<str>, shared: Arc<Shared<L>>, pulse: Arc<Pulse>) -> Intake<L> {
        let in_force = shared.in_force();
        let partitions = shared.log.identity().partitions;
        let desk = Desk::new(name.clone(), shared.host.clone(), partitions, in_force.clone());
        Intake { name, shared, in_force, desk, records: 0, pulse }
    }

    /// The log that records go to.
    pub fn log(&self) -> Identity {
        self.shared.log.identity()
    }

    /// The configuration in force; waits for the first.
    pub async fn configuration(&mut self) -> Result<Arc<InForce>, CaptureError> {
        let known = self.in_force.wait_for(Option::is_some).await;
        let known = known.ok().and_then(|known| known.clone());
        known.ok_or_else(|| CaptureError::Away("the pipeline ends".to_owned()))
    }

    /// Splits documents into records. Whatever is wrong with one makes a dead letter of it.
    pub async fn gather(&mut self, documents: &[Captured]) -> Result<Gathered, CaptureError> {
        self.configuration().await?;
        let (desk, name) = (&self.desk, &self.name);
        tokio::task::block_in_place(|| {
            let mut gathered = Gathered::default();
            for document in documents {
                let delivery = Delivery {
                    content_type: "application/json".to_owned(),
                    attributes: Vec::new(),
                    body: document.body.clone(),
                };
                let delivered = desk.deliver_own(delivery, &document.id, now_millis())?;
                let placed = delivered.rejected.is_none();
                if let Some(reason) = delivered.rejected {
                    tracing::debug!(source = %name, id = document.id, "a dead letter: {reason}");
                }
                for reason in delivered.refused {
                    tracing::error!(source = %name, id = document.id, "a change is not in the log: {reason}");
                }
                for (partition, record) in delivered.records {
                    let key = Key::parse(record.key.as_deref()).ok().filter(|_| placed);
                    gathered.properties.extend(key.map(|key| key.property));
                    gathered.records.entry(partition).or_default().push(record);
                }
            }
            Ok(gathered)
        })
    }

    /// Appends; durable when it returns. Waits while the log is away.
    pub async fn append(&mut self, gathered: Gathered) -> Result<(), CaptureError> {
        let count: usize = gathered.records.values().map(Vec::len).sum();
        let appends = gathered.records.into_iter().map(|(partition, records)| self.shared.append(partition, records));
        try_join_all(appends).await?;
        self.records += count as u64;
        self.pulse.hear(gathered.properties.iter().map(|property| property.as_str().into()));
        Ok(())
    }

    /// Both at once.
    pub async fn take(&mut self, documents: &[Captured]) -> Result<(), CaptureError> {
        if documents.is_empty() {
            return Ok(());
        }
        let gathered = self.gather(documents).await?;
        self.append(gathered).await
    }
}

/// The properties that a source may speak about, in its own codes, as far as the configuration names them.
pub(super) fn properties(document: &Document, source: &str) -> BTreeSet<String> {
    let Some(source) = document.sources.get(source) else { return BTreeSet::new() };
    match &source.mapping.properties {
        Codes::Table(table) => table.keys().map(ToString::to_string).collect(),
        Codes::Identity => document.master.properties.keys().map(ToString::to_string).collect(),
    }
}

/// The code of a property that the configuration does not name, if the source's codes are Concord's own.
pub(super) fn own_code(document: &Document, source: &str, property: &str) -> Option<String> {
    let mapping = &document.sources.get(source)?.mapping;
    matches!(mapping.properties, Codes::Identity).then(|| mapping.property(property)).flatten().map(|id| id.to_string())
}
