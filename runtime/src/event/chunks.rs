//! A plugin's bytes in pieces that fit into records.
//!
//! Knows how to cut and to put together again. The digest says which plugin a piece is of and
//! whether the whole is right.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Control, sha256_hex};

/// Of one piece; as Base64 in its record it stays below 1 MiB.
pub const PART_BYTES: usize = 512 << 10;
/// Of one plugin: 64 MiB.
pub const MAX_PARTS: u32 = 128;
/// Plugins that may be incomplete at a time.
const MAX_PENDING: usize = 256;

/// Why pieces do not make a plugin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    #[error("the plugin has {0} bytes; the limit is {limit}", limit = PART_BYTES * MAX_PARTS as usize)]
    TooLarge(usize),
    #[error("part {part} of {parts} of plugin {digest} does not fit the parts before it")]
    Misfit { digest: String, part: u32, parts: u32 },
    #[error("the parts of plugin {digest} make one with digest {found}")]
    OtherDigest { digest: String, found: String },
    #[error("more than {MAX_PENDING} plugins are incomplete")]
    TooMany,
}

/// A plugin's digest and the control records that bring its bytes, in order. At least one.
pub fn cut(plugin: &Bytes) -> Result<(String, Vec<Control>), ChunkError> {
    let digest = sha256_hex(plugin);
    let parts = u32::try_from(plugin.len().div_ceil(PART_BYTES).max(1)).unwrap_or(u32::MAX);
    if parts > MAX_PARTS {
        return Err(ChunkError::TooLarge(plugin.len()));
    }
    let piece = |part: u32| {
        let start = part as usize * PART_BYTES;
        let bytes = plugin.slice(start..plugin.len().min(start + PART_BYTES));
        Control::Plugin { digest: digest.clone(), part, parts, bytes }
    };
    let controls = (0..parts).map(piece).collect();
    Ok((digest, controls))
}

/// Puts plugins together from pieces in any order, repeated or not.
#[derive(Clone, Debug, Default)]
pub struct Assembler {
    pending: BTreeMap<String, Vec<Option<Bytes>>>,
}

impl Assembler {
    /// Takes a piece (`part` from 0) and returns the plugin when it was the last one missing.
    /// After an error the plugin has to begin anew.
    pub fn add(&mut self, digest: &str, part: u32, parts: u32, bytes: Bytes) -> Result<Option<Bytes>, ChunkError> {
        let misfit = || ChunkError::Misfit { digest: digest.to_owned(), part, parts };
        if part >= parts || parts > MAX_PARTS || bytes.len() > PART_BYTES {
            return Err(misfit());
        }
        if !self.pending.contains_key(digest) && self.pending.len() == MAX_PENDING {
            return Err(ChunkError::TooMany);
        }
        let pieces = self.pending.entry(digest.to_owned()).or_insert_with(|| vec![None; parts as usize]);
        let slot = if pieces.len() == parts as usize { pieces.get_mut(part as usize) } else { None };
        let Some(slot) = slot else {
            self.pending.remove(digest);
            return Err(misfit());
        };
        *slot = Some(bytes);
        if pieces.iter().any(Option::is_none) {
            return Ok(None);
        }
        let whole: Vec<u8> = pieces.iter().flatten().flatten().copied().collect();
        self.pending.remove(digest);
        let found = sha256_hex(&whole);
        if found == digest {
            Ok(Some(Bytes::from(whole)))
        } else {
            Err(ChunkError::OtherDigest { digest: digest.to_owned(), found })
        }
    }

    /// Digests of the plugins that are incomplete.
    pub fn pending(&self) -> impl Iterator<Item = &str> {
        self.pending.keys().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pieces of a plugin of this many bytes.
    fn pieces(bytes: usize) -> (Bytes, String, Vec<(u32, u32, Bytes)>) {
        let plugin: Bytes = (0..bytes).map(|i| u8::try_from(i % 251).unwrap_or(0)).collect();
        let (digest, controls) = cut(&plugin).expect("small enough");
        let pieces = controls.into_iter().map(|control| match control {
            Control::Plugin { part, parts, bytes, .. } => (part, parts, bytes),
            other => panic!("no plugin: {other:?}"),
        });
        (plugin, digest, pieces.collect())
    }

    #[test]
    fn plugins_come_back_in_any_order() {
        for bytes in [0, 1, PART_BYTES, PART_BYTES + 1, 3 * PART_BYTES - 1] {
            let (plugin, digest, pieces) = pieces(bytes);
            let mut assembler = Assembler::default();
            for (i, (part, parts, bytes)) in pieces.iter().rev().enumerate() {
                let whole = assembler.add(&digest, *part, *parts, bytes.clone()).expect("a piece that fits");
                assert_eq!(whole, (i + 1 == pieces.len()).then(|| plugin.clone()));
            }
            assert_eq!(assembler.pending().count(), 0);
        }
    }

    #[test]
    fn pieces_that_do_not_fit_are_refused() {
        let (_, digest, pieces) = pieces(PART_BYTES + 1);
        let mut assembler = Assembler::default();
        let misfit = |r| matches!(r, Err(ChunkError::Misfit { .. }));
        assert!(misfit(assembler.add(&digest, 2, 2, Bytes::new())));
        assert!(misfit(assembler.add(&digest, 0, MAX_PARTS + 1, Bytes::new())));
        assert_eq!(assembler.add(&digest, 0, 2, pieces[0].2.clone()), Ok(None));
        assert!(misfit(assembler.add(&digest, 0, 3, pieces[0].2.clone())));
        assert_eq!(assembler.add(&digest, 0, 2, pieces[0].2.clone()), Ok(None));
        let wrong = assembler.add(&digest, 1, 2, Bytes::from_static(b"x"));
        assert!(matches!(wrong, Err(ChunkError::OtherDigest { .. })));
        let large = Bytes::from(vec![0; PART_BYTES * MAX_PARTS as usize + 1]);
        assert_eq!(cut(&large).err(), Some(ChunkError::TooLarge(large.len())));
    }
}
