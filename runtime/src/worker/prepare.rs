//! First stages of a batch: records are told apart, normalized in calls of many, and mapped.
//!
//! Knows the configuration in force, nothing of what was merged before. The result depends on each
//! record alone. Stops before a configuration record: what follows may be decided under another.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;

use super::active::Active;
use crate::change::Change;
use crate::event::{self, Control, ControlKey, Event, Key, Parsed, Signed};
use crate::log::partitioner::partition;
use crate::log::{NewRecord, Offset, Partition, Record};
use crate::mapping::{self, Unmappable};
use crate::plugin::{self, HostError, Normalized};
use crate::rows::DeadLetterKind;

/// A record on its way to the merge.
#[derive(Debug)]
pub struct Prepared {
    pub offset: Offset,
    /// Milliseconds, of the record.
    pub log_time: i64,
    /// See [`Record::fingerprint`].
    pub print: u64,
    /// The record's value, should it become a dead letter.
    pub value: Bytes,
    /// The record is a copy of this one of another partition.
    pub origin: Option<(Partition, Offset)>,
    pub work: Work,
}

/// What is to be done about a record.
#[derive(Debug)]
pub enum Work {
    Merge(Changes),
    Dead(Dead),
    /// It belongs to another partition.
    Reroute {
        target: Partition,
        key: Option<Bytes>,
    },
    Control(Box<Signed>),
}

/// A normalized and mapped record.
#[derive(Debug)]
pub struct Changes {
    pub source: Arc<str>,
    pub id: String,
    pub property: Arc<str>,
    /// Place among its source's records: the offset, or the first one of a retried dead letter.
    pub order: Offset,
    pub plugin: Arc<str>,
    pub changes: Vec<Change>,
}

/// Why a record ends as a dead letter.
#[derive(Debug)]
pub struct Dead {
    pub source: Arc<str>,
    pub id: String,
    pub kind: DeadLetterKind,
    pub reason: String,
    pub plugin: Arc<str>,
}

impl Dead {
    fn new(kind: DeadLetterKind, reason: impl Into<String>) -> Dead {
        Dead { source: Arc::default(), id: String::new(), kind, reason: reason.into(), plugin: Arc::default() }
    }

    fn of(event: &Event, kind: DeadLetterKind, reason: impl Into<String>) -> Dead {
        Dead { source: event.source.as_str().into(), id: event.id.clone(), ..Dead::new(kind, reason) }
    }
}

/// A record whose event is known, waiting for its normalizer.
struct Waiting {
    /// Place in the result.
    at: usize,
    event: Event,
    key: Key,
    order: Offset,
    raw_key: Option<Bytes>,
}

/// Where the batch comes from and who may sign in it.
pub struct Place<'a> {
    pub partition: Partition,
    pub partitions: u32,
    pub key: &'a ControlKey,
}

/// Takes records off the queue, up to the next configuration record, and prepares them. A
/// configuration record comes alone.
pub fn prepare(
    queue: &mut VecDeque<Record>,
    active: &mut Active,
    place: &Place<'_>,
    call_records: usize,
) -> Result<Vec<Prepared>, HostError> {
    let mut prepared: Vec<Prepared> = Vec::with_capacity(queue.len());
    let mut waiting: BTreeMap<Arc<str>, Vec<Waiting>> = BTreeMap::new();
    while let Some(record) = queue.pop_front() {
        let parsed = event::parse(&record.value, place.key);
        let configuration = matches!(&parsed, Parsed::Control(c) if matches!(c.control, Control::Configuration { .. }));
        if configuration && !prepared.is_empty() {
            queue.push_front(record);
            break;
        }
        let at = prepared.len();
        // Of a copied or retried record the original is kept, not what carried it.
        let value = match &parsed {
            Parsed::Control(signed) => inner_value(&signed.control).unwrap_or(&record.value).clone(),
            _ => record.value.clone(),
        };
        let (work, origin, event) = sort(parsed, &record, active, at);
        let (offset, log_time, print) = (record.offset, record.timestamp, record.fingerprint());
        prepared.push(Prepared { offset, log_time, print, value, origin, work });
        if let Some((source, event)) = event {
            waiting.entry(source).or_default().push(event);
        }
        if configuration {
            break;
        }
    }
    for (source, waiting) in waiting {
        normalize(&source, waiting, active, place, call_records, &mut prepared)?;
    }
    Ok(prepared)
}

type Sorted = (Work, Option<(Partition, Offset)>, Option<(Arc<str>, Waiting)>);

/// Tells what a record is. An event for a normalizer waits; its work is a placeholder until then.
fn sort(parsed: Parsed, record: &Record, active: &Active, at: usize) -> Sorted {
    match parsed {
        Parsed::Event(event) => {
            let (work, waiting) = wait(event, record.key.clone(), record.offset, active, at);
            (work, None, waiting)
        }
        Parsed::Control(signed) => match &signed.control {
            Control::Copy { origin_partition, origin_offset, key, value } => {
                let origin = Some((*origin_partition, *origin_offset));
                let (work, waiting) = unwrap(value, key.clone(), record.offset, active, at);
                (work, origin, waiting)
            }
            Control::Retry { origin, key, value } => {
                let (work, waiting) = unwrap(value, key.clone(), *origin, active, at);
                (work, None, waiting)
            }
            _ => (Work::Control(signed), None, None),
        },
        Parsed::Forged(reason) => (Work::Dead(Dead::new(DeadLetterKind::Forged, reason)), None, None),
        Parsed::Invalid(event::Invalid::TooLarge { size, limit }) => {
            let reason = format!("the record has {size} bytes, more than {limit}");
            (Work::Dead(Dead::new(DeadLetterKind::TooLarge, reason)), None, None)
        }
        Parsed::Invalid(why) => (Work::Dead(Dead::new(DeadLetterKind::Rejected, why.to_string())), None, None),
    }
}

/// The record inside a control record: it may be anything but another control record.
fn unwrap(
    value: &Bytes,
    key: Option<Bytes>,
    order: Offset,
    active: &Active,
    at: usize,
) -> (Work, Option<(Arc<str>, Waiting)>) {
    match Event::parse(value) {
        Ok(event) if event::is_control(&event.r#type) => {
            let reason = "a control record cannot be copied or retried";
            (Work::Dead(Dead::of(&event, DeadLetterKind::Forged, reason)), None)
        }
        Ok(event) => wait(event, key, order, active, at),
        Err(why) => (Work::Dead(Dead::new(DeadLetterKind::Rejected, why.to_string())), None),
    }
}

fn wait(
    event: Event,
    raw_key: Option<Bytes>,
    order: Offset,
    active: &Active,
    at: usize,
) -> (Work, Option<(Arc<str>, Waiting)>) {
    let Some((source, _)) = active.document.sources.get_key_value(event.source.as_str()) else {
        let reason = format!("no source is named `{}`; add it to the pipeline and apply, then retry", event.source);
        return (Work::Dead(Dead::of(&event, DeadLetterKind::Rejected, reason)), None);
    };
    let limit = active.document.limits.max_record_bytes;
    if event.data.len() as u64 > limit {
        let reason = format!("the body has {} bytes, more than {limit} (log.max_record_bytes)", event.data.len());
        return (Work::Dead(Dead::of(&event, DeadLetterKind::TooLarge, reason)), None);
    }
    match Key::parse(raw_key.as_deref()) {
        Ok(key) => {
            let placeholder = Work::Dead(Dead::of(&event, DeadLetterKind::Fault, "the plugin gave no answer"));
            (placeholder, Some((source.clone(), Waiting { at, event, key, order, raw_key })))
        }
        Err(why) => (Work::Dead(Dead::of(&event, DeadLetterKind::Rejected, why.to_string())), None),
    }
}

/// One source's records through its normalizer, in calls of at most `call_records`.
fn normalize(
    source: &Arc<str>,
    mut waiting: Vec<Waiting>,
    active: &mut Active,
    place: &Place<'_>,
    call_records: usize,
    prepared: &mut [Prepared],
) -> Result<(), HostError> {
    let (Some(settings), Some(normalizer)) = (active.document.sources.get(source), active.normalizers.get_mut(source))
    else {
        return Ok(());
    };
    let plugin = normalizer.id();
    for chunk in waiting.chunks_mut(call_records.max(1)) {
        let events: Vec<plugin::Event> = chunk.iter_mut().map(plugin_event).collect();
        let answers = normalizer.normalize(&settings.settings, &events)?;
        for (waiting, answer) in chunk.iter().zip(answers) {
            let work = judge(source, settings, &plugin, waiting, answer, place);
            if let Some(slot) = prepared.get_mut(waiting.at) {
                slot.work = match work {
                    Work::Reroute { target, .. } if slot.origin.is_some() => {
                        let reason =
                            format!("copied here, it now belongs to partition {target}; it is not copied twice");
                        Work::Dead(Dead::of(&waiting.event, DeadLetterKind::Misrouted, reason))
                    }
                    work => work,
                };
            }
        }
    }
    Ok(())
}

/// The event as the plugin sees it; its body and attributes are moved out.
fn plugin_event(waiting: &mut Waiting) -> plugin::Event {
    let event = &mut waiting.event;
    plugin::Event {
        id: event.id.clone(),
        time: event.time,
        property: waiting.key.property.as_str().into(),
        date: waiting.key.date,
        content_type: event.content_type().to_owned(),
        attributes: std::mem::take(&mut event.attributes),
        body: std::mem::take(&mut event.data),
    }
}

/// What the plugin's answer makes of the record.
fn judge(
    source: &Arc<str>,
    settings: &crate::config::Source,
    plugin: &Arc<str>,
    waiting: &Waiting,
    answer: Normalized,
    place: &Place<'_>,
) -> Work {
    let dead = |kind, reason| {
        Work::Dead(Dead { source: source.clone(), id: waiting.event.id.clone(), kind, reason, plugin: plugin.clone() })
    };
    let (said, changes) = match answer {
        Normalized::Said { property, changes } => (property, changes),
        Normalized::Rejected(reason) => return dead(DeadLetterKind::Rejected, reason),
        Normalized::Fault(reason) => return dead(DeadLetterKind::Fault, reason),
        Normalized::TooLarge(reason) => return dead(DeadLetterKind::TooLarge, reason),
    };
    let refused = |why| match why {
        Unmappable::Unmapped(reason) => dead(DeadLetterKind::Unmapped, reason),
        Unmappable::Rejected(reason) => dead(DeadLetterKind::Rejected, reason),
        Unmappable::Stray(reason) => dead(DeadLetterKind::Fault, reason),
    };
    let property = match mapping::property(settings, &waiting.key.property, &said) {
        Ok(property) => property,
        Err(why) => return refused(why),
    };
    let target = partition(property.as_bytes(), place.partitions);
    if target != place.partition {
        return Work::Reroute { target, key: waiting.raw_key.clone() };
    }
    match mapping::changes(settings, &property, changes) {
        Ok(changes) => Work::Merge(Changes {
            source: source.clone(),
            id: waiting.event.id.clone(),
            property,
            order: waiting.order,
            plugin: plugin.clone(),
            changes,
        }),
        Err(why) => refused(why),
    }
}

/// The original that a control record carries.
fn inner_value(control: &Control) -> Option<&Bytes> {
    match control {
        Control::Copy { value, .. } | Control::Retry { value, .. } => Some(value),
        _ => None,
    }
}

/// The record that carries a re-routed one to its partition.
pub fn copy_record(
    key: &ControlKey,
    instance: &str,
    from: (Partition, Offset),
    original_key: Option<Bytes>,
    value: Bytes,
    log_time: i64,
) -> Result<NewRecord, event::Invalid> {
    let control = Control::Copy { origin_partition: from.0, origin_offset: from.1, key: original_key.clone(), value };
    let id = format!("copy-{}-{}", from.0, from.1);
    let value = event::sign_and_write(&control, key, &id, instance, log_time.saturating_mul(1000))?;
    Ok(NewRecord { key: original_key, value, timestamp: log_time })
}
