//! Deliveries become log records: split by the source's plugin, put into events, keyed and addressed.
//!
//! Every door uses it: files, standard input, networks. Does not append and does not know who sent a delivery. Card data
//! is masked before anything else sees a delivery. One that its plugin cannot split becomes a record all the same, so that it
//! ends as a dead letter with its reason and nothing is lost.

mod cards;

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use crate::config::{Document, Source};
use crate::event::{Event, Key, content_id, trim_json};
use crate::log::partitioner::partition;
use crate::log::{NewRecord, Partition};
use crate::plugin::{Delivery, Host, HostError, LoadError, Normalizer, Split};
use crate::types::Day;

pub use cards::{Masked, masked};

/// What became of one delivery.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// The records to append, in order.
    pub records: Vec<(Partition, NewRecord)>,
    /// Why the plugin could not split it. Its record is there all the same, and will be a dead letter.
    pub rejected: Option<String>,
    /// Parts that no log takes, with the reason: they are not among the records, and whoever sent them must hear of it.
    pub refused: Vec<String>,
    /// Properties that a part which the plugin could read is about, where the mapping knows them: what a connector has
    /// heard of.
    pub heard: BTreeSet<Arc<str>>,
    /// Card data that came along and went no further.
    pub masked: Masked,
}

/// The delivery without card data, in its body and in what the transport says of it.
fn without_cards(delivery: Delivery, masked: &mut Masked) -> Delivery {
    let mut clean = |bytes: &Bytes| {
        let (bytes, found) = cards::masked(bytes);
        masked.add(found);
        bytes
    };
    let body = clean(&trim_json(&delivery.body, Some(&delivery.content_type)));
    let mut text = |text: &str| {
        let clean = clean(&Bytes::copy_from_slice(text.as_bytes()));
        String::from_utf8_lossy(&clean).into_owned()
    };
    let content_type = text(&delivery.content_type);
    let attributes = delivery.attributes.iter().map(|(name, value)| (name.clone(), text(value))).collect();
    Delivery { content_type, attributes, body }
}

/// The sender's id, unless it is card data itself: masked, two ids could be one, so there is none then.
fn without_card<'a>(id: &'a str, masked: &mut Masked) -> Option<&'a str> {
    let (_, found) = cards::masked(&Bytes::copy_from_slice(id.as_bytes()));
    masked.add(found);
    (!found.any()).then_some(id)
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
        let mut delivered = Delivered::default();
        let id = id.and_then(|id| without_card(id, &mut delivered.masked));
        self.split(delivery, id, now, delivered)
    }

    /// One delivery of Concord's own making, as [`Deliverer::deliver`]. Its id is made of positions: digits that look like a
    /// card's are none.
    ///
    /// # Errors
    /// Only the host's.
    pub fn deliver_own(&mut self, delivery: Delivery, id: &str, now: i64) -> Result<Delivered, HostError> {
        self.split(delivery, Some(id), now, Delivered::default())
    }

    fn split(
        &mut self,
        delivery: Delivery,
        id: Option<&str>,
        now: i64,
        mut delivered: Delivered,
    ) -> Result<Delivered, HostError> {
        let delivery = without_cards(delivery, &mut delivered.masked);
        let id = match id {
            Some(id) => id.to_owned(),
            None => content_id(&self.name, Some(&delivery.content_type), &delivery.attributes, &delivery.body),
        };
        let parts = match self.normalizer.split(&self.source.settings, &delivery)? {
            Split::Routed(parts) => parts
                .into_iter()
                .map(|part| {
                    let known = self.source.mapping.property(&part.property);
                    delivered.heard.extend(known.clone());
                    (known.unwrap_or(part.property), part.date, part.body)
                })
                .collect(),
            Split::Rejected(reason) | Split::Fault(reason) | Split::TooLarge(reason) => {
                delivered.rejected = Some(reason);
                // Its normalizer will say the same, and the dead letter keeps it.
                vec![(self.name.clone(), Day::EPOCH, None)]
            }
        };
        let several = parts.len() > 1;
        for (number, (property, date, body)) in (1..).zip(parts) {
            let body = match body {
                None => delivery.body.clone(),
                // A plugin may have unpacked what was no number before.
                Some(body) => {
                    let (body, found) = cards::masked(&body);
                    delivered.masked.add(found);
                    body
                }
            };
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
