//! ClickHouse's RowBinary format: values one after another, rows without anything between them.
//!
//! Knows how a value of each type that Concord's tables use is laid out. Does not know the tables.

use crate::store::error::StoreError;

/// Appends an unsigned LEB128 number.
pub(crate) fn varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number as u8 & 0x7f) | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// A `String`.
pub(crate) fn string(out: &mut Vec<u8>, bytes: impl AsRef<[u8]>) {
    let bytes = bytes.as_ref();
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Implements the fixed-width numbers, all little-endian.
macro_rules! numbers {
    ($($name:ident: $type:ty),*) => {$(
        pub(crate) fn $name(out: &mut Vec<u8>, number: $type) {
            out.extend_from_slice(&number.to_le_bytes());
        }
    )*};
}
numbers!(u8: u8, u32: u32, u64: u64, i32: i32, i64: i64);

/// A `Nullable(T)`.
pub(crate) fn nullable<T>(out: &mut Vec<u8>, value: Option<T>, put: impl FnOnce(&mut Vec<u8>, T)) {
    out.push(u8::from(value.is_none()));
    if let Some(value) = value {
        put(out, value);
    }
}

/// An `Array(T)`.
pub(crate) fn array<T>(out: &mut Vec<u8>, items: &[T], mut put: impl FnMut(&mut Vec<u8>, &T)) {
    varint(out, items.len() as u64);
    items.iter().for_each(|item| put(out, item));
}

/// The bytes of a row still to be read. Every method answers `None` when they do not suffice.
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(count)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    pub(crate) fn fixed<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.fixed().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.fixed().map(u64::from_le_bytes)
    }

    pub(crate) fn i32(&mut self) -> Option<i32> {
        self.fixed().map(i32::from_le_bytes)
    }

    pub(crate) fn i64(&mut self) -> Option<i64> {
        self.fixed().map(i64::from_le_bytes)
    }

    /// An unsigned LEB128 number. What is over 64 bits long never ends.
    pub(crate) fn varint(&mut self) -> Option<usize> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.fixed()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return usize::try_from(number).ok();
            }
        }
        None
    }

    pub(crate) fn string(&mut self) -> Option<Vec<u8>> {
        let length = self.varint()?;
        self.take(length).map(<[u8]>::to_vec)
    }
}

/// Rows of a streamed answer, read one by one.
pub(crate) struct Rows {
    answer: crate::store::Answer,
    buffer: Vec<u8>,
    at: usize,
}

impl Rows {
    pub(crate) fn new(answer: crate::store::Answer) -> Rows {
        Rows { answer, buffer: Vec::new(), at: 0 }
    }

    /// The next row, as `decode` reads it; `None` after the last.
    pub(crate) async fn next<T>(
        &mut self,
        decode: impl Fn(&mut Cursor<'_>) -> Option<T>,
    ) -> Result<Option<T>, StoreError> {
        loop {
            let mut cursor = Cursor { bytes: &self.buffer, at: self.at };
            if self.at < self.buffer.len()
                && let Some(row) = decode(&mut cursor)
            {
                self.at = cursor.at;
                return Ok(Some(row));
            }
            let Some(chunk) = self.answer.next().await? else {
                if self.at < self.buffer.len() {
                    return Err(StoreError::Answer("it ended within a row".to_owned()));
                }
                return Ok(None);
            };
            self.buffer.drain(..self.at);
            self.at = 0;
            self.buffer.extend_from_slice(&chunk);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut bytes = Vec::new();
        string(&mut bytes, "x".repeat(300));
        u64(&mut bytes, 7);
        i32(&mut bytes, -7);
        let mut cursor = Cursor { bytes: &bytes, at: 0 };
        assert_eq!(cursor.string().map(|s| s.len()), Some(300));
        assert_eq!(cursor.u64(), Some(7));
        assert_eq!(cursor.i32(), Some(-7));
        assert_eq!(cursor.u32(), None);
    }

    #[test]
    fn a_cut_value_is_not_read() {
        let mut bytes = Vec::new();
        string(&mut bytes, "lobby");
        for end in 0..bytes.len() {
            assert_eq!(Cursor { bytes: &bytes[..end], at: 0 }.string(), None);
        }
        assert_eq!(Cursor { bytes: &[0xff; 20], at: 0 }.varint(), None);
    }
}
