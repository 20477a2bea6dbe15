//! Limits how many copies are sent per second.

use std::time::Duration;

/// A token bucket with room for one second's tokens, like Envoy's own rate limits. It starts full.
///
/// The rate is not a part of it, so that it outlives a policy that changes the rate.
#[derive(Clone, Debug, PartialEq)]
pub struct RateLimit {
    tokens: f64,
    filled: Duration,
    /// When it will be full again.
    full: Duration,
}

impl RateLimit {
    /// A full bucket.
    pub fn new() -> Self {
        Self { tokens: f64::INFINITY, filled: Duration::ZERO, full: Duration::ZERO }
    }

    /// Takes a token; `false` if there is none. `per_second` tokens come in each second. `now` is
    /// the time since any fixed moment.
    pub fn take(&mut self, now: Duration, per_second: f64) -> bool {
        let room = per_second.max(1.0);
        let passed = now.saturating_sub(self.filled).as_secs_f64();
        self.tokens = (self.tokens + passed * per_second).min(room);
        self.filled = now;
        let is_allowed = self.tokens >= 1.0;
        if is_allowed {
            self.tokens -= 1.0;
        }
        let wait = Duration::try_from_secs_f64((room - self.tokens) / per_second).unwrap_or(Duration::MAX);
        self.full = now.saturating_add(wait);
        is_allowed
    }

    /// Whether the bucket is full at `now`, so that a new one would do as well.
    pub fn is_full(&self, now: Duration) -> bool {
        now >= self.full
    }
}

impl Default for RateLimit {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_the_long_run_no_more_events_pass_than_the_limit() {
        for per_second in [0.5, 1.0, 10.0, 500.0] {
            let mut limit = RateLimit::new();
            let start = Duration::from_secs(1_800_000_000);
            let take = |ms: &u64| limit.take(start + Duration::from_millis(*ms), per_second);
            let passed = (0..10_000).filter(take).count() as f64;
            let expected = per_second * 10.0 + per_second.max(1.0);
            assert!((passed - expected).abs() <= expected / 100.0 + 1.0, "{passed} of {expected} at {per_second}");
        }
    }

    #[test]
    fn a_clock_that_is_set_back_neither_adds_tokens_nor_blocks() {
        let mut limit = RateLimit::new();
        assert!(limit.take(Duration::from_secs(100), 1.0));
        assert!(!limit.take(Duration::from_secs(50), 1.0));
        assert!(limit.take(Duration::from_secs(51), 1.0));
    }

    #[test]
    fn a_lower_rate_holds_at_once() {
        let mut limit = RateLimit::new();
        let at = Duration::from_secs;
        assert!(limit.take(at(100), 1_000.0));
        assert!((0..10).filter(|_| limit.take(at(100), 2.0)).count() == 2);
        assert!((0..10).filter(|_| limit.take(at(101), 2.0)).count() == 2);
    }

    #[test]
    fn a_bucket_is_full_again_after_the_time_that_its_tokens_take() {
        let mut limit = RateLimit::new();
        let at = Duration::from_secs;
        assert!(limit.is_full(at(100)));
        assert!(limit.take(at(100), 0.25));
        assert!(!limit.is_full(at(103)));
        assert!(limit.is_full(at(104)));
    }
}
