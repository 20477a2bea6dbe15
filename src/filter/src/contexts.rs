//! What the root contexts of a process serve.
//!
//! A policy is loaded on the main thread and on each worker, and a load may fail on one of them
//! only. So what one thread runs says nothing about the others. The threads keep this record in
//! Envoy's shared data.
//!
//! A VM that dies says nothing, and neither does Envoy: with `FAIL_OPEN` its worker goes on without
//! the filter. So each context renews its entry, and one that is not renewed does not count.

use std::time::Duration;

/// How often a context renews its entry.
pub const BEAT: Duration = Duration::from_secs(20);

/// How long an entry counts after it was renewed.
const LIFE: Duration = Duration::from_secs(60);

/// The record, as the threads share it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contexts {
    published: u64,
    running: Vec<Running>,
}

/// A root context.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Running {
    id: u64,
    standing: u64,
    /// When it was renewed, in milliseconds since 1970.
    renewed: u64,
}

impl Contexts {
    /// Reads what [`Contexts::to_bytes`] wrote. Ignores a part of an entry at the end.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut numbers = bytes.chunks_exact(8).filter_map(|number| Some(u64::from_le_bytes(number.try_into().ok()?)));
        let published = numbers.next().unwrap_or_default();
        let mut running = Vec::new();
        while let (Some(id), Some(standing), Some(renewed)) = (numbers.next(), numbers.next(), numbers.next()) {
            running.push(Running { id, standing, renewed });
        }
        Self { published, running }
    }

    /// The record as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let running = self.running.iter().flat_map(|running| [running.id, running.standing, running.renewed]);
        [self.published].into_iter().chain(running).flat_map(u64::to_le_bytes).collect()
    }

    /// The root context `id` has this standing, and is alive. Entries that do not count are removed.
    pub fn renew(&mut self, id: u64, standing: u64, now: Duration) {
        self.running.retain(|running| running.id != id && running.counts(now));
        self.running.push(Running { id, standing, renewed: milliseconds(now) });
    }

    /// The root context `id` has ended.
    pub fn leave(&mut self, id: u64) {
        self.running.retain(|running| running.id != id);
    }

    /// This standing is the one that is published.
    pub fn publish(&mut self, standing: u64) {
        self.published = standing;
    }

    /// The standing that is published; 0 if none is.
    pub fn published(&self) -> u64 {
        self.published
    }

    /// How many root contexts have this standing.
    pub fn count(&self, standing: u64, now: Duration) -> u64 {
        self.running.iter().filter(|running| running.standing == standing && running.counts(now)).count() as u64
    }
}

impl Running {
    fn counts(&self, now: Duration) -> bool {
        // The clock may be set.
        u128::from(self.renewed.abs_diff(milliseconds(now))) <= LIFE.as_millis()
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_000_000);

    #[test]
    fn the_contexts_of_each_standing_are_counted() {
        let mut contexts = Contexts::default();
        for (id, standing) in [(1, 7), (2, 9), (3, 7)] {
            contexts.renew(id, standing, NOW);
        }
        contexts.publish(9);
        let counts = |contexts: &Contexts| [7, 9, 8].map(|standing| contexts.count(standing, NOW));
        assert_eq!((contexts.published(), counts(&contexts)), (9, [2, 1, 0]));
        contexts.leave(2);
        contexts.leave(4);
        assert_eq!((contexts.published(), counts(&contexts)), (9, [2, 0, 0]));
        contexts.renew(3, 8, NOW);
        assert_eq!(counts(&contexts), [1, 0, 1]);
    }

    #[test]
    fn a_context_that_is_not_renewed_does_not_count_and_takes_no_room() {
        let mut contexts = Contexts::default();
        contexts.renew(1, 7, NOW);
        contexts.renew(2, 7, NOW);
        let mut now = NOW;
        for _ in 0..3 {
            now += BEAT;
            contexts.renew(2, 7, now);
            assert_eq!(contexts.count(7, now), 2);
        }
        now += BEAT;
        assert_eq!(contexts.count(7, now), 1);
        contexts.renew(2, 7, now);
        let mut only = Contexts::default();
        only.renew(2, 7, now);
        assert_eq!(contexts, only);
        // A clock that is set back does not keep a dead one alive.
        assert_eq!(contexts.count(7, now - 2 * LIFE), 0);
    }

    #[test]
    fn the_record_is_read_as_it_was_written() {
        let mut contexts = Contexts::default();
        contexts.renew(1, u64::MAX, NOW);
        contexts.renew(2, 1, NOW);
        contexts.publish(1);
        let bytes = contexts.to_bytes();
        assert_eq!(Contexts::from_bytes(&bytes), contexts);
        assert_eq!(Contexts::from_bytes(&bytes[..bytes.len() - 1]).count(u64::MAX, NOW), 1);
        assert_eq!(Contexts::from_bytes(&[]), Contexts::default());
    }
}
