//! Which partition a property lives on.
//!
//! Knows the hash that Fluvio's own producers use, so that a foreign producer that keys its records
//! by the property alone lands where Concord expects it. Does not know keys with a date: those are
//! cut to the property first.
//!
//! Fluvio's default is `SiphashRoundRobinPartitioner` (in its repository:
//! `crates/fluvio/src/producer/partitioning.rs`, function `partition_siphash`; the same in the
//! versions from 2021 to commit 311f7e7c). It is
//!
//! ```text
//! let mut hasher = SipHasher::new();      // siphasher::sip: SipHash-2-4, both keys 0
//! key.hash(&mut hasher);                  // Hash for [u8]: the length as usize, then the bytes
//! hasher.finish() % partition_count       // unsigned, 64 bits
//! ```
//!
//! `Hash for [u8]` puts the length in front, eight little-endian bytes on the 64-bit machines that
//! producers run on. It is written out here, since Rust's standard library does not promise it. (A
//! producer on a 32-bit machine, in a browser for instance, hashes four bytes of length and so
//! chooses another partition: its records are re-routed.) Records without a key go round robin.

use siphasher::sip::SipHasher24;
use std::hash::Hasher;

use super::Partition;

/// The partition of a property. `partitions` below 1 counts as 1.
pub fn partition(property: &[u8], partitions: u32) -> Partition {
    // The remainder is below a u32, so it is one.
    u32::try_from(key_hash(property) % u64::from(partitions.max(1))).unwrap_or(0)
}

/// What `Hash for [u8]` feeds to SipHash-2-4 with zero keys.
fn key_hash(key: &[u8]) -> u64 {
    let mut hasher = SipHasher24::new();
    hasher.write(&(key.len() as u64).to_le_bytes());
    hasher.write(key);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed by another implementation of SipHash-2-4, written from the paper and checked against
    /// the vector in its appendix (0xa129ca6149be45e5), over length and bytes.
    const VECTORS: [(&str, u64); 6] = [
        ("", 0xe849_e8bb_6ffe_2567),
        ("H1", 0x5e45_9db2_c1eb_0141),
        ("MAD001", 0x246d_7612_0487_aef2),
        ("LON-PADDINGTON", 0x8b5b_21a2_b45f_2e50),
        ("hotel/42", 0xa299_7d2a_484a_7339),
        ("Zürich", 0x0afe_c436_4f3d_eb7a),
    ];

    #[test]
    fn hashes_are_those_of_the_algorithm() {
        for (key, hash) in VECTORS {
            assert_eq!(key_hash(key.as_bytes()), hash, "{key:?}");
        }
    }

    #[test]
    fn hashes_are_those_of_the_code_that_fluvio_runs() {
        use std::hash::Hash;
        for length in 0..300 {
            let key = vec![b'k'; length];
            let mut hasher = siphasher::sip::SipHasher::new();
            key.as_slice().hash(&mut hasher);
            assert_eq!(key_hash(&key), hasher.finish(), "{length} bytes");
        }
    }

    #[test]
    fn partitions_are_remainders() {
        let eight = VECTORS.map(|(key, _)| partition(key.as_bytes(), 8));
        assert_eq!(eight, [7, 1, 2, 0, 1, 2]);
        let thousand = VECTORS.map(|(key, _)| partition(key.as_bytes(), 1000));
        assert_eq!(thousand, [119, 737, 106, 16, 145, 106]);
        assert_eq!(partition(b"H1", 1), 0);
        assert_eq!(partition(b"H1", 0), 0);
    }
}
