//! Deliveries become log records: split by the source's plugin, put into events, keyed and addressed.
//!
//! Every door uses it: files, standard input, networks. Does not append and does not know who sent a delivery. A
//! delivery that its plugin cannot split becomes a record as it is, card numbers masked, so that it ends as a dead letter
//! with its reason and nothing is lost.

mod cards;

use std::sync::Arc;

use bytes::Bytes;

use crate::config::{Document, Source};
use crate::event::{Event, Key, content_id, trim_json};
use crate::log::partitioner::partition;
use crate::log::{NewRecord, Partition};
use crate::plugin::{Delivery, Host, HostError, LoadError, Normalizer, Split};
use crate::types::Day;

/// What became of one delivery.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// The records to append, in order.
    pub records: Vec<(Partition, NewRecord)>,
    /// Why the plugin could not split it. Its record is there all the same, and will be a dead letter.
    pub rejected: Option<String>,
    /// Parts that no log takes, with the reason: they are not among the records, and whoever sent them must hear of it.
    pub refused: Vec<String>,
}

/// Takes one source's deliveries under one configuration.
pub struct Deliverer {
    name: Arc<str>,
    source: Source,
    max_record_bytes: u64,
    partitions: u32,
    normalizer: Normalizer,
}

impl Deliverer {
    /// For the source of this name, if the configuration has it. `component` are its plugin's bytes; `partitions` is
    /// the log's number.
    ///
    /// # Errors
    /// Whatever makes the component unfit.
    pub fn new(
        host: &Host,
        document: &Document,
        name: &str,
        component: &[u8],
        partitions: u32,
    ) -> Result<Option<Deliverer>, LoadError> {
        let Some((name, source)) = document.sources.get_key_value(name) else { return Ok(None) };
        Ok(Some(Deliverer {
            name: name.clone(),
            source: source.clone(),
            max_record_bytes: document.limits.max_record_bytes,
            partitions,
            normalizer: crate::worker::active::normalizer(host, document, component)?,
        }))
    }

    /// One delivery. `id` is the sender's delivery id; without one the content's hash takes its place. `now` is the
    /// time of arrival in milliseconds since 1970-01-01T00:00:00Z.
    ///
    /// # Errors
    /// Only the host's: whatever is wrong with the delivery is data.
    pub fn deliver(&mut self, delivery: Delivery, id: Option<&str>, now: i64) -> Result<Delivered, HostError> {
        let body = trim_json(&delivery.body, Some(&delivery.content_type));
        let delivery = Delivery { body, ..delivery };
        let mut delivered = Delivered::default();
        let id = match id {
            Some(id) => id.to_owned(),
            None => content_id(&self.name, Some(&delivery.content_type), &delivery.attributes, &delivery.body),
        };
        let parts = match self.normalizer.split(&self.source.settings, &delivery)? {
            Split::Routed(parts) => parts
                .into_iter()
                .map(|part| {
                    let property = self.source.mapping.property(&part.property).unwrap_or(part.property);
                    (property, part.date, part.body.unwrap_or_else(|| delivery.body.clone()))
                })
                .collect(),
            Split::Rejected(reason) | Split::Fault(reason) | Split::TooLarge(reason) => {
                delivered.rejected = Some(reason);
                // Its normalizer will say the same, and the dead letter keeps it.
                vec![(self.name.clone(), Day::EPOCH, cards::masked(&delivery.body))]
            }
        };
        let several = parts.len() > 1;
        for (number, (property, date, body)) in (1..).zip(parts) {
            if !self.fits(&body, &mut delivered) {
                continue;
            }
            let id = if several { format!("{id}#{number}") } else { id.clone() };
            match self.record(&delivery, &property, date, id, body, now) {
                Ok(record) => delivered.records.push(record),
                Err(why) => delivered.refused.push(why),
            }
        }
        Ok(delivered)
    }

    /// Each part is judged alone: a delivery of many parts may be larger than a record.
    fn fits(&self, body: &Bytes, delivered: &mut Delivered) -> bool {
        let (size, limit) = (body.len() as u64, self.max_record_bytes);
        if size > limit {
            let reason = format!("{size} bytes are more than a record may have ({limit}, log.max_record_bytes)");
            delivered.refused.push(reason);
        }
        size <= limit
    }

    fn record(
        &self,
        delivery: &Delivery,
        property: &str,
        date: Day,
        id: String,
        body: Bytes,
        now: i64,
    ) -> Result<(Partition, NewRecord), String> {
        let event = Event {
            source: self.name.to_string(),
            id,
            r#type: "delivery".to_owned(),
            time: Some(now.saturating_mul(1000)),
            subject: None,
            datacontenttype: Some(delivery.content_type.clone()).filter(|kind| !kind.is_empty()),
            data: body,
            attributes: delivery.attributes.clone(),
        };
        let key = Key::new(property, date).map_err(|why| why.to_string())?;
        let value = event.write().map_err(|why| why.to_string())?;
        let target = partition(key.property.as_bytes(), self.partitions);
        Ok((target, NewRecord { key: Some(key.to_bytes()), value, timestamp: now }))
    }
}
