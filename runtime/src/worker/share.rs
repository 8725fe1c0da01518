//! Which partitions a worker takes, when several share a topic.
//!
//! Worker I of N takes the partitions whose number leaves I when divided by N. Changing N, or starting a worker
//! elsewhere, needs nothing else: what a partition's worker knows lies in ClickHouse. Does not know whether somebody
//! else took the same share: the log says so (`concord.owner`).

use std::fmt;
use std::str::FromStr;

use crate::log::Partition;

/// A share of a topic's partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    index: u32,
    of: u32,
}

/// Why a text is no share.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no share: write I/N with I from 0 to N-1, such as 0/4; a name that ends in -I, as pods of a StatefulSet \
     have, may stand for I (concord-0/4)"
)]
pub struct NoShare(String);

impl Share {
    /// Everything: one worker.
    pub const WHOLE: Share = Share { index: 0, of: 1 };

    /// Of the workers that share a topic.
    pub fn workers(self) -> u32 {
        self.of
    }

    /// Whether the partition is this worker's.
    pub fn has(self, partition: Partition) -> bool {
        partition % self.of == self.index
    }

    /// Of so many partitions, those that are this worker's; none when there are more workers than partitions.
    pub fn of(self, partitions: u32) -> Vec<Partition> {
        (0..partitions).filter(|partition| self.has(*partition)).collect()
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

impl FromStr for Share {
    type Err = NoShare;

    fn from_str(text: &str) -> Result<Share, NoShare> {
        let read = || {
            let (name, of) = text.rsplit_once('/')?;
            let index = match name.rsplit_once('-') {
                Some(("", _)) => return None,
                Some((_, ordinal)) => ordinal,
                None => name,
            };
            let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            if !digits(index) || !digits(of) {
                return None;
            }
            Some(Share { index: index.parse().ok()?, of: of.parse().ok()? })
        };
        read().filter(|share| share.index < share.of).ok_or_else(|| NoShare(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_complete_and_do_not_overlap() {
        for of in 1..6 {
            let mut all: Vec<Partition> = (0..of).flat_map(|index| Share { index, of }.of(8)).collect();
            all.sort_unstable();
            assert_eq!(all, (0..8).collect::<Vec<_>>(), "{of} workers");
        }
        assert!(Share { index: 9, of: 10 }.of(8).is_empty());
    }

    #[test]
    fn pods_of_a_stateful_set_are_understood() {
        for text in ["2/4", "concord-2/4", "hotels-eu-1-2/4", "02/4"] {
            assert_eq!(text.parse(), Ok(Share { index: 2, of: 4 }), "{text}");
        }
        for text in ["", "2", "4/4", "-1/4", "1/0", "a/4", "concord-/4", "1/4/x", "+1/4", "concord2/4", "1/99999999999"]
        {
            let error = text.parse::<Share>().unwrap_err();
            assert!(error.to_string().contains("write I/N"), "{text}");
        }
        assert_eq!(Share { index: 2, of: 4 }.to_string(), "2/4");
    }
}
