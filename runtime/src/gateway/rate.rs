//! How often a source may deliver: a bucket of tokens that fills by the clock. The clock is the caller's.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Holds as many tokens as come in a second.
#[derive(Debug)]
pub struct Rate {
    per_second: f64,
    /// Tokens, and when they were counted.
    state: Mutex<(f64, Option<Instant>)>,
}

impl Rate {
    pub fn new(per_second: u32) -> Rate {
        let per_second = f64::from(per_second.max(1));
        Rate { per_second, state: Mutex::new((per_second, None)) }
    }

    /// Takes a token, or says how long it takes until there is one.
    pub fn take(&self, now: Instant) -> Result<(), Duration> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (tokens, since) = *state;
        let passed = since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        let tokens = (tokens + passed.as_secs_f64() * self.per_second).min(self.per_second);
        if tokens >= 1.0 {
            *state = (tokens - 1.0, Some(now));
            return Ok(());
        }
        *state = (tokens, Some(now));
        Err(Duration::from_secs_f64((1.0 - tokens) / self.per_second))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_s_worth_at_once_then_as_time_passes() {
        let (rate, start) = (Rate::new(2), Instant::now());
        let at = |millis: u64| start + Duration::from_millis(millis);
        assert_eq!(rate.take(at(0)), Ok(()));
        assert_eq!(rate.take(at(0)), Ok(()));
        assert_eq!(rate.take(at(0)), Err(Duration::from_millis(500)));
        assert_eq!(rate.take(at(250)), Err(Duration::from_millis(250)));
        assert_eq!(rate.take(at(500)), Ok(()));
        // A long silence saves up no more than a second's worth.
        for expected in [true, true, false] {
            assert_eq!(rate.take(at(60_000)).is_ok(), expected);
        }
        // A clock that goes back does no harm.
        assert!(rate.take(at(0)).is_err());
    }
}
