//! How a record lies in the embedded log.
//!
//! One byte of format, the timestamp (8 bytes, little-endian), the key's length plus one (4 bytes;
//! 0 means no key), the key, the value. The offset is the storage key.

use bytes::Bytes;

use crate::log::{NewRecord, Offset, Record};

const FORMAT: u8 = 1;
const HEAD: usize = 1 + 8 + 4;

/// Bytes that count against the limit of a record.
pub(super) fn size(record: &NewRecord) -> usize {
    record.key.as_ref().map_or(0, Bytes::len) + record.value.len()
}

/// Keys are far below 4 GiB: the limit of a record is checked before.
pub(super) fn encode(record: &NewRecord) -> Bytes {
    let mut bytes = Vec::with_capacity(HEAD + size(record));
    bytes.push(FORMAT);
    bytes.extend_from_slice(&record.timestamp.to_le_bytes());
    let key_length = record.key.as_ref().map_or(0, |key| u32::try_from(key.len()).unwrap_or(u32::MAX - 1) + 1);
    bytes.extend_from_slice(&key_length.to_le_bytes());
    bytes.extend_from_slice(record.key.as_deref().unwrap_or_default());
    bytes.extend_from_slice(&record.value);
    Bytes::from(bytes)
}

/// `None` when the bytes are no record of this format.
pub(super) fn decode(offset: Offset, bytes: &Bytes) -> Option<Record> {
    let (&format, rest) = bytes.split_first()?;
    let (timestamp, rest) = rest.split_first_chunk::<8>()?;
    let (key_length, rest) = rest.split_first_chunk::<4>()?;
    if format != FORMAT {
        return None;
    }
    let key_length = usize::try_from(u32::from_le_bytes(*key_length)).ok()?;
    let (key, value_at) = match key_length.checked_sub(1) {
        None => (None, HEAD),
        Some(length) if length <= rest.len() => (Some(bytes.slice(HEAD..HEAD + length)), HEAD + length),
        Some(_) => return None,
    };
    Some(Record { offset, timestamp: i64::from_le_bytes(*timestamp), key, value: bytes.slice(value_at..) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_whole() {
        for key in [None, Some(Bytes::new()), Some(Bytes::from_static(b"H1/2026-03-01"))] {
            for value in [Bytes::new(), Bytes::from_static(b"{}"), Bytes::from(vec![0xff; 70_000])] {
                let new = NewRecord { key: key.clone(), value: value.clone(), timestamp: -5 };
                let record = Record { offset: 7, timestamp: -5, key: key.clone(), value };
                assert_eq!(decode(7, &encode(&new)), Some(record));
            }
        }
    }

    #[test]
    fn damaged_bytes_are_no_record() {
        let whole = encode(&NewRecord { key: Some(Bytes::from_static(b"key")), value: Bytes::new(), timestamp: 1 });
        for length in 0..whole.len() {
            assert_eq!(decode(0, &whole.slice(..length)), None, "{length} bytes");
        }
        assert_eq!(decode(0, &Bytes::from_static(&[9; 20])), None);
    }
}
