//! Records as Fluvio lays them out in batches.
//!
//! Knows batches; does not know connections. Timestamps are kept to the millisecond, which the client's
//! own producer would not do: it stamps records itself.

use bytes::Bytes;
use fluvio::dataplane::record::{BATCH_HEADER_SIZE, Batch, RawRecords, Record as WireRecord, RecordData, RecordSet};

use super::follow::Chunk;
use crate::log::{LogError, NewRecord, Offset, Partition, Record};

/// A batch is closed when it has this many bytes; a larger record is a batch of its own.
const BATCH_BYTES: usize = 1 << 20;
/// What a record costs beyond key and value, at most: length, timestamp, offset and two more lengths.
const RECORD_OVERHEAD: usize = 40;
/// Offset and length before a batch's header.
const PREAMBLE: usize = 12;
/// Of the schema id that some batches have after the header.
const SCHEMA_BYTES: usize = 4;

/// Bytes that count against the limit of a record.
pub(super) fn size(record: &NewRecord) -> usize {
    record.key.as_ref().map_or(0, Bytes::len) + record.value.len()
}

/// Records as batches, in order.
pub(super) fn encode(records: Vec<NewRecord>) -> Result<RecordSet<RawRecords>, LogError> {
    let mut set = RecordSet::default();
    let mut open = Open::default();
    for record in records {
        if !open.takes(&record) {
            open.close_into(&mut set)?;
        }
        open.push(record);
    }
    open.close_into(&mut set)?;
    Ok(set)
}

/// A batch that is being filled.
#[derive(Default)]
struct Open {
    records: Vec<WireRecord>,
    bytes: usize,
    first: i64,
    latest: i64,
}

impl Open {
    /// Whether the record has room, and its distance in time from the first one: the format writes wrong numbers for
    /// distances beyond 31 bits (25 days).
    fn takes(&self, record: &NewRecord) -> bool {
        let distance = i128::from(record.timestamp) - i128::from(self.first);
        self.records.is_empty()
            || self.bytes + size(record) + RECORD_OVERHEAD <= BATCH_BYTES && i32::try_from(distance).is_ok()
    }

    fn push(&mut self, record: NewRecord) {
        if self.records.is_empty() {
            (self.first, self.latest) = (record.timestamp, record.timestamp);
        }
        self.bytes += size(&record) + RECORD_OVERHEAD;
        self.latest = self.latest.max(record.timestamp);
        let mut wire = WireRecord {
            key: record.key.map(|key| RecordData::from(Vec::from(key))),
            value: RecordData::from(Vec::from(record.value)),
            ..WireRecord::default()
        };
        wire.get_mut_header().set_timestamp_delta(record.timestamp - self.first);
        self.records.push(wire);
    }

    fn close_into(&mut self, set: &mut RecordSet<RawRecords>) -> Result<(), LogError> {
        if self.records.is_empty() {
            return Ok(());
        }
        let closed = std::mem::take(self);
        let mut batch = Batch::from(closed.records);
        batch.header.first_timestamp = closed.first;
        batch.header.max_time_stamp = closed.latest;
        let raw = Batch::<RawRecords>::try_from(batch)
            .map_err(|error| LogError::Failed(format!("records cannot be put into a batch: {error}")))?;
        set.batches.push(raw);
        Ok(())
    }
}

/// The records that a response brought whole. The client's own decoding passes over the rest of a batch that was
/// cut off, and goes on behind it.
pub(super) fn decode(partition: Partition, set: RecordSet<RawRecords>, fetch: u32) -> Result<Chunk, LogError> {
    let mut chunk = Chunk::default();
    if set.batches.is_empty() {
        // Not even the header of a batch.
        chunk.needs = Some(fetch.saturating_mul(2));
    }
    for batch in set.batches {
        let Some(missing) = missing(&batch) else { return Err(damaged(partition, batch.base_offset, "its length")) };
        let first = Offset::try_from(batch.base_offset)
            .map_err(|_| damaged(partition, batch.base_offset, "its offset is negative"))?;
        if missing > 0 {
            let whole = PREAMBLE + usize::try_from(batch.batch_len).unwrap_or(0);
            chunk.needs = Some(u32::try_from(whole).unwrap_or(u32::MAX));
            // Part of something compressed is nothing.
            if !matches!(batch.get_compression(), Ok(fluvio::Compression::None)) {
                break;
            }
        }
        let records =
            batch.memory_records().map_err(|error| damaged(partition, batch.base_offset, &error.to_string()))?;
        if missing == 0 && records.len() != batch.records_len() {
            return Err(damaged(partition, batch.base_offset, "the number of its records"));
        }
        let base = batch.get_base_timestamp();
        chunk.records.extend((first..).zip(records).map(|(offset, wire)| record(offset, base, wire)));
        if missing > 0 {
            break;
        }
    }
    Ok(chunk)
}

fn record(offset: Offset, base: i64, wire: WireRecord) -> Record {
    let timestamp = base.saturating_add(wire.timestamp_delta());
    Record { offset, timestamp, key: wire.key.as_deref().cloned(), value: Bytes::clone(&wire.value) }
}

/// Bytes that the batch says it has and that did not come; `None` if what it says makes no sense.
fn missing(batch: &Batch<RawRecords>) -> Option<usize> {
    let schema = if batch.header.has_schema() { SCHEMA_BYTES } else { 0 };
    let said = usize::try_from(batch.batch_len).ok()?.checked_sub(BATCH_HEADER_SIZE + schema)?;
    said.checked_sub(batch.records().0.len())
}

fn damaged(partition: Partition, offset: i64, why: &str) -> LogError {
    LogError::Failed(format!(
        "partition {partition}: the batch at offset {offset} is damaged ({why}); look at the broker's disk, and restore \
         the topic from a replica"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use fluvio::dataplane::{Decoder, Encoder};

    fn new(value: impl Into<Bytes>, timestamp: i64) -> NewRecord {
        NewRecord { key: Some(Bytes::from_static(b"H1/2026-03-01")), value: value.into(), timestamp }
    }

    /// What a broker would keep: offsets are given, bytes are as they were sent.
    fn stored(records: Vec<NewRecord>, first: Offset) -> Vec<u8> {
        let mut set = encode(records).unwrap();
        let mut next = i64::try_from(first).unwrap();
        for batch in &mut set.batches {
            batch.set_base_offset(next);
            next += i64::try_from(batch.records_len()).unwrap();
        }
        let mut bytes = Vec::new();
        set.encode(&mut bytes, 0).unwrap();
        bytes
    }

    /// As a response with only so many bytes of the batches.
    fn response(stored: &[u8], bytes: usize) -> RecordSet<RawRecords> {
        let body = &stored[4..];
        let part = &body[..bytes.min(body.len())];
        let mut cut = Vec::from(i32::try_from(part.len()).unwrap().to_be_bytes());
        cut.extend_from_slice(part);
        RecordSet::decode_from(&mut std::io::Cursor::new(cut), 0).unwrap()
    }

    #[test]
    fn records_come_back_as_they_were() {
        let day = 86_400_000;
        let records: Vec<NewRecord> = [0, -5, i64::MAX, i64::MIN, 30 * day, 0, 24 * day, 24 * day + 1, -1]
            .into_iter()
            .enumerate()
            .flat_map(|(i, at)| {
                let plain = NewRecord { key: None, value: Bytes::new(), timestamp: at };
                [plain, new(vec![b'v'; i * 100], at)]
            })
            .collect();
        let chunk = decode(0, response(&stored(records.clone(), 7), usize::MAX), 1).unwrap();
        assert_eq!(chunk.needs, None);
        let back: Vec<_> = chunk.records.iter().map(|r| r.offset).collect();
        assert_eq!(back, (7..7 + records.len() as u64).collect::<Vec<_>>());
        for (record, NewRecord { key, value, timestamp }) in chunk.records.into_iter().zip(records) {
            assert_eq!((record.key, record.value, record.timestamp), (key, value, timestamp));
        }
    }

    #[test]
    fn large_records_are_batches_of_their_own() {
        let set = encode(vec![new("a", 0), new(vec![0; 3 << 20], 0), new("b", 0), new("c", 0)]).unwrap();
        assert_eq!(set.batches.iter().map(Batch::records_len).collect::<Vec<_>>(), [1, 1, 2]);
    }

    #[test]
    fn what_is_cut_off_is_asked_for_and_never_passed_over() {
        let records: Vec<NewRecord> = (0..20).map(|i| new(vec![b'x'; 50 + i], 0)).collect();
        let bytes = stored(records, 100);
        let whole = bytes.len() - 4;
        for cut in 0..whole {
            let chunk = decode(0, response(&bytes, cut), 1000).unwrap();
            let offsets: Vec<Offset> = chunk.records.iter().map(|r| r.offset).collect();
            assert_eq!(offsets, (100..100 + offsets.len() as u64).collect::<Vec<_>>(), "{cut} bytes");
            assert!(offsets.len() < 20, "{cut} bytes");
            let needs = chunk.needs.unwrap_or_else(|| panic!("{cut} bytes: as if nothing was missing"));
            assert!(needs as usize == whole || needs == 2000, "{cut} bytes: {needs}");
        }
        let chunk = decode(0, response(&bytes, whole), 1000).unwrap();
        assert_eq!((chunk.records.len(), chunk.needs), (20, None));
    }

    #[test]
    fn what_other_producers_compress_is_read() {
        use fluvio::Compression::{Gzip, Lz4, Snappy, Zstd};
        for compression in [Gzip, Snappy, Lz4, Zstd] {
            let values = (0..50).map(|i| format!("value {i} {}", "again ".repeat(20)));
            let mut batch = Batch::from(values.map(WireRecord::new).collect::<Vec<_>>());
            batch.header.first_timestamp = 5;
            batch.header.set_compression(compression);
            let set = RecordSet { batches: vec![Batch::<RawRecords>::try_from(batch).unwrap()] };
            let mut bytes = Vec::new();
            set.encode(&mut bytes, 0).unwrap();
            let chunk = decode(0, response(&bytes, usize::MAX), 1000).unwrap();
            assert_eq!((chunk.records.len(), chunk.needs, chunk.records[49].timestamp), (50, None, 5));
            let cut = decode(0, response(&bytes, bytes.len() - 10), 1000).unwrap();
            assert_eq!((cut.records.len(), cut.needs), (0, Some(bytes.len() as u32 - 4)), "{compression:?}");
        }
    }

    #[test]
    fn a_damaged_batch_is_no_hole() {
        let mut bytes = stored(vec![new("a", 0), new("b", 0)], 0);
        // The header's count of records.
        let at = 4 + PREAMBLE + 4 + 1 + 4 + 2;
        bytes[at..at + 4].copy_from_slice(&7_i32.to_be_bytes());
        let error = decode(3, response(&bytes, usize::MAX), 1000).unwrap_err();
        assert!(error.to_string().contains("partition 3: the batch at offset 0 is damaged"), "{error}");
    }
}
