//! Each stage alone, on the same records as the whole: what the whole is measured against.
//!
//! The log, the plugins, the merge and ClickHouse one after another, each with nothing else running, on one thread
//! (ClickHouse uses what threads it likes). Each function is a run in a process of its own.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use concord::audit;
use concord::change::{Action, Change, FieldChange, RoomNights};
use concord::cli::open::Pipeline;
use concord::config::Proposal;
use concord::event::{self, Key, Parsed};
use concord::log::{Log, Offset, Partition, Record};
use concord::merge::{
    Bounds, Clock, Effects, Incoming, Judged, MasterData, Merge, Property, Setup, codec, row_version,
};
use concord::plugin::{self, Normalized, Normalizer, Precedence};
use concord::policy::Policy;
use concord::rows::{AuditHead, Decided};
use concord::types::{Amount, Currency, Day, Days, Money, Revision, Value as FieldValue};
use concord::worker::active;
use concord_tests::fixed_rules::FixedRules;
use serde_json::{Value, json};

use crate::flow::Size;
use crate::machine::{self, Watch};
use crate::place::{self, Open, PARTITIONS};
use crate::workload::{Hotels, ROOM_TYPES, ROOMS, SOURCES, property};

/// Records of one partition that go into one commit here.
const COMMIT: usize = 2_048;
/// Records per call of a normalizer: the pipeline's default.
const CALL: usize = 128;

/// Ten thousand rooms of every type, or a few.
struct Rooms(u32);

impl MasterData for Rooms {
    fn default_capacity(&self, _property: &str, _room_type: &str) -> Option<u32> {
        Some(self.0)
    }

    fn room_type_of(&self, _property: &str, _room: &str) -> Option<std::sync::Arc<str>> {
        None
    }
}

/// A normalized record.
struct Ready {
    offset: Offset,
    log_time: i64,
    source: std::sync::Arc<str>,
    id: String,
    property: std::sync::Arc<str>,
    changes: Vec<Change>,
}

/// The plugins as the files name them.
fn plugins(pipeline: &Pipeline) -> Result<(Normalizer, Precedence)> {
    let proposal = Proposal::read(&pipeline.file)?;
    let host = pipeline.host()?;
    let document = &proposal.document;
    let native = &document.sources[SOURCES[0]].plugin.digest;
    let bytes = |digest| proposal.plugin_bytes.get(digest).context("a plugin's bytes");
    let normalizer = active::normalizer(&host, document, bytes(native)?)?;
    let precedence = active::precedence(&host, document, bytes(&document.precedence.digest)?)?;
    Ok((normalizer, precedence))
}

/// What the stages take, one after another, in microseconds per record.
pub async fn stages(dir: &Path, size: Size) -> Result<Value> {
    let open = Open::new(place::pipeline(dir, size.properties, "")?).await?;
    let mut hotels = Hotels::new(size.seed, size.properties);
    let mut ends = Vec::new();
    for partition in 0..PARTITIONS {
        ends.push(open.log.bounds(partition).await?.1);
    }
    open.append((0..size.records).map(|_| hotels.message())).await?;
    let micros = |watch: &Watch| {
        let (wall, cpu) = watch.read();
        json!({ "wall": wall * 1e6 / size.records as f64, "cpu": cpu * 1e6 / size.records as f64 })
    };

    let watch = Watch::start();
    let mut records: BTreeMap<Partition, Vec<Record>> = BTreeMap::new();
    for partition in 0..PARTITIONS {
        let (_, end) = open.log.bounds(partition).await?;
        let mut from = ends[partition as usize];
        while from < end {
            let read = open.log.read(partition, from, 4096, 4 << 20).await?;
            from = read.last().map_or(end, |record| record.offset + 1);
            records.entry(partition).or_default().extend(read);
        }
    }
    let log = micros(&watch);

    let key = open.pipeline.key()?;
    let watch = Watch::start();
    let mut events: BTreeMap<Partition, Vec<(&Record, event::Event)>> = BTreeMap::new();
    for (partition, records) in &records {
        for record in records {
            let Parsed::Event(event) = event::parse(&record.value, &key) else {
                bail!("no event at {}", record.offset)
            };
            events.entry(*partition).or_default().push((record, event));
        }
    }
    let envelope = micros(&watch);

    let (mut normalizer, mut precedence) = plugins(&open.pipeline)?;
    let watch = Watch::start();
    let mut ready: BTreeMap<Partition, Vec<Ready>> = BTreeMap::new();
    for (partition, events) in &events {
        let ready = ready.entry(*partition).or_default();
        for chunk in events.chunks(CALL) {
            let asked: Vec<plugin::Event> =
                chunk.iter().map(|(record, event)| asked(record, event)).collect::<Result<_>>()?;
            for ((record, event), answer) in chunk.iter().zip(normalizer.normalize("{}", &asked)?) {
                let Normalized::Said { property, changes } = answer else { bail!("{answer:?}") };
                let (source, id) = (event.source.as_str().into(), event.id.clone());
                ready.push(Ready { offset: record.offset, log_time: record.timestamp, source, id, property, changes });
            }
        }
    }
    let normalize = micros(&watch);
    drop(events);

    let watch = Watch::start();
    merge(&ready, &mut fixed_rules(), false)?;
    let merge_alone = micros(&watch);

    let watch = Watch::start();
    merge(&ready, &mut precedence, false)?;
    let merge_wasm = micros(&watch);

    let mut decided = merge(&ready, &mut precedence, true)?;
    let rows = |of: fn(&Decided) -> usize| decided.iter().flatten().map(of).sum::<usize>() as f64 / size.records as f64;
    let rows = json!({
        "conflicts": rows(|d| d.conflicts.len()),
        "reservations": rows(|d| d.reservations.len()),
        "room_nights": rows(|d| d.room_nights.len()),
        "state": rows(|d| d.state.len()),
    });
    open.store
        .store
        .declare_fields(&[
            ("min_stay", concord::types::FieldType::Integer),
            ("price", concord::types::FieldType::Money),
        ])
        .await?;
    let (mut writes, watch) = (0, Watch::start());
    // As the pipeline does under load: every partition's commit in one write.
    let rounds = decided.iter().map(Vec::len).max().unwrap_or(0);
    for _ in 0..rounds {
        let batches: Vec<Decided> =
            decided.iter_mut().filter_map(|of| (!of.is_empty()).then(|| of.remove(0))).collect();
        open.store.store.write(&batches).await?;
        writes += 1;
    }
    let store = micros(&watch);
    let written = open.number("SELECT count() FROM conflicts").await?;
    open.close().await;
    Ok(json!({
        "log": log, "envelope": envelope, "normalize": normalize, "merge": merge_alone, "merge_wasm": merge_wasm,
        "store": store, "rows": rows, "writes": writes, "conflicts": written,
    }))
}

fn asked(record: &Record, event: &event::Event) -> Result<plugin::Event> {
    let key = Key::parse(record.key.as_deref())?;
    Ok(plugin::Event {
        id: event.id.clone(),
        time: event.time,
        property: key.property.as_str().into(),
        date: key.date,
        content_type: event.content_type().to_owned(),
        attributes: event.attributes.clone(),
        body: event.data.clone(),
    })
}

/// Orders much like those of the rule set, in plain Rust.
fn fixed_rules() -> FixedRules {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    FixedRules { order: names(&["pms", "booking-com", "expedia", "website"]), ..FixedRules::default() }
}

fn setup(partition: Partition) -> Setup {
    Setup {
        partition,
        rule_set: "hotels@2026-11-23#0123456789ab".into(),
        plugin: "precedence@0123456789ab".into(),
        bounds: Bounds { stay_nights: 1_000, entities: active::ENTITIES_PER_RECORD },
        dedup_span: 7 * 86_400_000,
    }
}

/// Merges everything, partition by partition; with `keep`, as the commits that would be written.
fn merge(ready: &BTreeMap<Partition, Vec<Ready>>, policy: &mut dyn Policy, keep: bool) -> Result<Vec<Vec<Decided>>> {
    let mut all = Vec::new();
    for (partition, ready) in ready {
        let setup = setup(*partition);
        let mut properties: HashMap<std::sync::Arc<str>, Property> = HashMap::new();
        let (mut decided, mut audit) = (Vec::new(), AuditHead::default());
        for commit in ready.chunks(COMMIT) {
            let mut effects = Effects::default();
            for record in commit {
                let incoming = Incoming {
                    source: record.source.clone(),
                    id: &record.id,
                    content_id: false,
                    order: record.offset,
                    position: record.offset,
                    log_time: record.log_time,
                    changes: &record.changes,
                };
                let property =
                    properties.entry(record.property.clone()).or_insert_with(|| Property::new(record.property.clone()));
                let clock = Clock { now: 0, first: 0, resets: &Default::default() };
                let mut merge = Merge { policy, master: &Rooms(ROOMS), setup: &setup };
                let judged = merge.record(property, &incoming, clock, &mut effects);
                ensure!(judged == Judged::Merged, "record {}: {judged:?}", record.offset);
            }
            if keep {
                let next = commit.last().map_or(0, |record| record.offset + 1);
                decided.push(close(*partition, effects, &mut properties, &mut audit, next)?);
            }
        }
        all.push(decided);
    }
    Ok(all)
}

/// A commit: of each row the last, the changed state, the audit chain.
fn close(
    partition: Partition,
    effects: Effects,
    properties: &mut HashMap<std::sync::Arc<str>, Property>,
    audit: &mut AuditHead,
    next: Offset,
) -> Result<Decided> {
    let before = *audit;
    let (after, hashes) = audit::chain(before, &effects.conflicts);
    *audit = after;
    let mut state = Vec::new();
    for property in properties.values_mut().filter(|property| !property.dirty.is_empty()) {
        state.extend(codec::drain(property)?);
    }
    let nights: HashMap<_, _> = effects
        .room_nights
        .into_iter()
        .map(|row| ((row.property.clone(), row.date, row.room_type.clone()), row))
        .collect();
    let stays: HashMap<_, _> = effects
        .reservations
        .into_iter()
        .map(|row| ((row.property.clone(), row.date, row.room_type.clone(), row.stay.clone()), row))
        .collect();
    Ok(Decided {
        partition,
        next,
        audit_before: before,
        conflicts: effects.conflicts,
        conflict_hashes: hashes,
        reservations: stays.into_values().collect(),
        room_nights: nights.into_values().collect(),
        state,
        state_version: row_version(next),
        ..Decided::default()
    })
}

/// The native normalizer as a component and as plain Rust, in turns: microseconds per record.
pub fn wasm(dir: &Path, size: Size) -> Result<Value> {
    use concord_native::Native;
    use concord_plugin::Normalizer as _;
    let pipeline = place::pipeline(dir, size.properties, "")?;
    let (mut normalizer, _) = plugins(&pipeline)?;
    let mut hotels = Hotels::new(size.seed, size.properties);
    let messages: Vec<_> = (0..size.records).map(|_| hotels.message()).collect();
    let events: Vec<plugin::Event> = messages
        .iter()
        .map(|message| plugin::Event {
            id: message.stay.clone(),
            time: None,
            property: message.property.as_str().into(),
            date: message.date,
            content_type: "application/json".to_owned(),
            attributes: Vec::new(),
            body: message.body.clone().into(),
        })
        .collect();
    let native: Vec<concord_plugin::Event> = (0..)
        .zip(&messages)
        .map(|(index, message)| concord_plugin::Event {
            index,
            id: message.stay.clone(),
            time: None,
            property: message.property.clone(),
            date: message.date.0,
            content_type: "application/json".to_owned(),
            attributes: Vec::new(),
            body: message.body.clone().into_bytes(),
        })
        .collect();
    let (mut guest, mut plain) = (Vec::new(), Vec::new());
    let settings = concord_native::Settings::default();
    for _ in 0..7 {
        let watch = Watch::start();
        for chunk in events.chunks(CALL) {
            let answers = normalizer.normalize("{}", chunk)?;
            ensure!(answers.iter().all(|answer| matches!(answer, Normalized::Said { .. })), "{answers:?}");
        }
        guest.push(watch.read().1 * 1e6 / size.records as f64);
        let watch = Watch::start();
        for event in &native {
            let said = Native::normalize_one(&settings, event);
            ensure!(said.is_ok_and(|said| !std::hint::black_box(said).changes.is_empty()), "a record is refused");
        }
        plain.push(watch.read().1 * 1e6 / size.records as f64);
    }
    Ok(json!({ "wasm": crate::median(&mut guest), "native": crate::median(&mut plain) }))
}

/// Resident bytes of `properties` times 4 times `nights` room nights with three claims each, in memory.
pub fn memory(properties: u64, nights: i32) -> Result<Value> {
    let setup = setup(0);
    let mut policy = fixed_rules();
    let before = machine::resident();
    let begin = Instant::now();
    let (mut kept, mut weight) = (Vec::new(), 0);
    for number in 0..properties {
        let mut one = Property::new(property(number).into());
        let mut offset = 0;
        for source in ["booking-com", "pms", "website"] {
            for room_type in ROOM_TYPES {
                let price = Money { amount: Amount(1_000_000), currency: Currency::parse("EUR").context("EUR")? };
                let fields = vec![FieldChange { name: "price".into(), value: Some(FieldValue::Money(price)) }];
                let nights = Days { first: Day(20_000), end: Day(20_000 + nights) };
                let nights = RoomNights { room_type: room_type.into(), nights, fields };
                let revision = Some(Revision::Sequence([7].into()));
                let changes = [Change { revision, action: Action::InventorySet(nights) }];
                offset += 1;
                let id = format!("{source}-{offset}");
                let incoming = Incoming {
                    source: source.into(),
                    id: &id,
                    content_id: false,
                    order: offset,
                    position: offset,
                    log_time: 0,
                    changes: &changes,
                };
                let clock = Clock { now: 0, first: 0, resets: &Default::default() };
                let mut merge = Merge { policy: &mut policy, master: &Rooms(ROOMS), setup: &setup };
                let judged = merge.record(&mut one, &incoming, clock, &mut Effects::default());
                ensure!(judged == Judged::Merged, "{judged:?}");
                codec::drain(&mut one)?;
            }
        }
        weight += one.weight();
        kept.push(one);
    }
    let room_nights: usize = kept.iter().map(|property| property.nights.len()).sum();
    let million = 1e6 / room_nights as f64;
    Ok(json!({
        "room_nights": room_nights,
        "resident": (machine::resident() - before) as f64 * million,
        "weight": weight as f64 * million,
        "seconds": begin.elapsed().as_secs_f64(),
    }))
}
