//! Random logs: small worlds in which everything collides. Seeded; the seed repeats the log.
//!
//! Does not know what the right tables are.

use concord::change::Change;
use sha2::{Digest, Sha256};

/// A delivery id that is only a hash of the content.
pub fn hash_id(changes: &[Change]) -> String {
    let digest = Sha256::digest(format!("{changes:?}").as_bytes());
    let hex: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("sha256-{hex}")
}
