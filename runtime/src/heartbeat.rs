//! Heartbeats: what a connector tells the log, so that a source with nothing to say can be told from one that is not heard.
//!
//! Every connector (webhooks, folders, polled endpoints, captured databases) notes in [`Heard`] which properties' systems it
//! has really heard from, and now and then appends what [`records`] makes of that. Pure: no clock, no log. What follows
//! from a heartbeat, and when a source counts as stale, the workers know.
//!
//! A heartbeat for a property stands on the property's partition, in order with all else about it; the connector's own stands
//! on partition 0. None of them takes part in merging.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::event::{self, Control, ControlKey, Invalid};
use crate::log::partitioner::partition;
use crate::log::{NewRecord, Partition};

/// The properties from whose systems a connector has heard since its last heartbeat, and the source's own time of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard(BTreeMap<Arc<str>, i64>);

impl Heard {
    /// Something came from this property's system (or the system said that there is nothing new). `property` is Concord's
    /// id, not the source's code. `time` is the source's own, in microseconds since 1970-01-01T00:00:00Z; where it gives
    /// none, the time of arrival. An earlier time than one already noted changes nothing.
    pub fn note(&mut self, property: Arc<str>, time: i64) {
        let noted = self.0.entry(property).or_insert(time);
        *noted = (*noted).max(time);
    }

    /// Takes over what another one has noted.
    pub fn merge(&mut self, other: Heard) {
        other.0.into_iter().for_each(|(property, time)| self.note(property, time));
    }

    /// The properties, in byte order, with their times.
    pub fn properties(&self) -> impl Iterator<Item = (&str, i64)> {
        self.0.iter().map(|(property, time)| (&**property, *time))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Who sends heartbeats, and with what.
#[derive(Clone, Copy, Debug)]
pub struct Connector<'a> {
    /// The source's name in the configuration.
    pub source: &'a str,
    /// Which connector it is, and of which process: stands in the records as their author. At most 256 bytes.
    pub name: &'a str,
    /// Signs: the pipeline's own.
    pub key: &'a ControlKey,
    /// The log's number of partitions.
    pub partitions: u32,
}

/// The heartbeat of a connector that is alive `now` (microseconds since 1970-01-01T00:00:00Z): one record for the
/// connector alone, and one per property heard. To be appended in this order to the partitions that stand beside them;
/// one that is appended twice does no harm.
///
/// # Errors
/// A name or property that does not fit into an event, such as one with a line break.
pub fn records(connector: Connector<'_>, heard: &Heard, now: i64) -> Result<Vec<(Partition, NewRecord)>, Invalid> {
    let alone = std::iter::once((None, now));
    let properties = heard.properties().map(|(property, time)| (Some(property), time));
    let record = |(property, time): (Option<&str>, i64)| {
        let Connector { source, name, key, partitions } = connector;
        let target = property.map_or(0, |property| partition(property.as_bytes(), partitions));
        let control = Control::Heartbeat { source: source.to_owned(), property: property.map(str::to_owned), time };
        let value = event::sign_and_write(&control, key, &format!("heartbeat-{source}-{now}"), name, now)?;
        Ok((target, NewRecord { key: None, value, timestamp: now.div_euclid(1000) }))
    };
    alone.chain(properties).map(record).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Parsed;

    fn heartbeats(key: &ControlKey, heard: &Heard, now: i64) -> Vec<(Partition, Option<String>, i64)> {
        let connector = Connector { source: "pms", name: "webhooks@w1", key, partitions: 8 };
        let read = |(target, record): (Partition, NewRecord)| {
            let Parsed::Control(signed) = event::parse(&record.value, key) else { panic!("{:?}", record.value) };
            assert_eq!((signed.author.as_str(), signed.time, record.timestamp), ("webhooks@w1", Some(now), now / 1000));
            let Control::Heartbeat { source, property, time } = signed.control else { panic!("another control") };
            assert_eq!(source, "pms");
            (target, property, time)
        };
        records(connector, heard, now).expect("records").into_iter().map(read).collect()
    }

    #[test]
    fn a_connector_vouches_for_itself_and_for_what_it_has_heard() {
        let folder = tempfile::tempdir().expect("a folder");
        let key = ControlKey::load_or_create(&folder.path().join("key")).expect("a key");
        let mut heard = Heard::default();
        assert_eq!(heartbeats(&key, &heard, 5_000), [(0, None, 5_000)]);
        for (property, time) in [("H2", 3), ("H1", 4), ("H2", 1)] {
            heard.note(property.into(), time);
        }
        let on = |property: &str| partition(property.as_bytes(), 8);
        let expected = [(0, None, 7_000), (on("H1"), Some("H1".to_owned()), 4), (on("H2"), Some("H2".to_owned()), 3)];
        assert_eq!(heartbeats(&key, &heard, 7_000), expected);
    }

    #[test]
    fn an_unsigned_or_foreign_heartbeat_is_forged() {
        let folder = tempfile::tempdir().expect("a folder");
        let own = ControlKey::load_or_create(&folder.path().join("own")).expect("a key");
        let other = ControlKey::load_or_create(&folder.path().join("other")).expect("a key");
        let connector = Connector { source: "pms", name: "poll", key: &other, partitions: 1 };
        for (_, record) in records(connector, &Heard::default(), 1).expect("records") {
            assert!(matches!(event::parse(&record.value, &own), Parsed::Forged(_)));
        }
    }
}
