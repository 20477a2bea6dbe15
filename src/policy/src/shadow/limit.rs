//! Limits how many copies are sent per second.

use std::time::Duration;

/// A token bucket with room for one second's tokens, like Envoy's own rate limits. It starts full.
#[derive(Clone, Debug, PartialEq)]
pub struct RateLimit {
    per_second: f64,
    tokens: f64,
    /// When it was last filled, on any clock. A clock that is set back adds no tokens.
    filled: Duration,
}

impl RateLimit {
    /// A limit of `per_second` events, which is above 0.
    pub fn new(per_second: f64) -> Self {
        Self { per_second, tokens: per_second.max(1.0), filled: Duration::ZERO }
    }

    /// Takes a token for an event at `now`; `false` if there is none left.
    pub fn take(&mut self, now: Duration) -> bool {
        let passed = now.saturating_sub(self.filled).as_secs_f64();
        self.tokens = (self.tokens + passed * self.per_second).min(self.per_second.max(1.0));
        self.filled = now;
        let is_allowed = self.tokens >= 1.0;
        if is_allowed {
            self.tokens -= 1.0;
        }
        is_allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_the_long_run_no_more_events_pass_than_the_limit() {
        for per_second in [0.5, 1.0, 10.0, 500.0] {
            let mut limit = RateLimit::new(per_second);
            let start = Duration::from_secs(1_800_000_000);
            let passed = (0..10_000).filter(|ms| limit.take(start + Duration::from_millis(*ms))).count() as f64;
            let expected = per_second * 10.0 + per_second.max(1.0);
            assert!((passed - expected).abs() <= expected / 100.0 + 1.0, "{passed} of {expected} at {per_second}");
        }
    }

    #[test]
    fn a_clock_that_is_set_back_neither_adds_tokens_nor_blocks() {
        let mut limit = RateLimit::new(1.0);
        assert!(limit.take(Duration::from_secs(100)));
        assert!(!limit.take(Duration::from_secs(50)));
        assert!(limit.take(Duration::from_secs(51)));
    }
}
