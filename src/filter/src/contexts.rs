//! What the root contexts of a process serve.
//!
//! A policy is loaded on the main thread and on each worker, and a load may fail on one of them
//! only. So what one thread runs says nothing about the others. The threads keep this record in
//! Envoy's shared data.

/// The record, as the threads share it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contexts {
    published: u64,
    running: Vec<Running>,
}

/// A policy that root contexts run.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Running {
    hash: u64,
    contexts: u64,
}

impl Contexts {
    /// Reads what [`Contexts::to_bytes`] wrote. Ignores a part of a number at the end.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut numbers = bytes.chunks_exact(8).filter_map(|number| Some(u64::from_le_bytes(number.try_into().ok()?)));
        let published = numbers.next().unwrap_or_default();
        let mut running = Vec::new();
        while let (Some(hash), Some(contexts)) = (numbers.next(), numbers.next()) {
            running.push(Running { hash, contexts });
        }
        Self { published, running }
    }

    /// The record as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let running = self.running.iter().flat_map(|running| [running.hash, running.contexts]);
        [self.published].into_iter().chain(running).flat_map(u64::to_le_bytes).collect()
    }

    /// A root context runs the policy with this hash from now on.
    pub fn join(&mut self, hash: u64) {
        match self.running.iter_mut().find(|running| running.hash == hash) {
            Some(running) => running.contexts = running.contexts.saturating_add(1),
            None => self.running.push(Running { hash, contexts: 1 }),
        }
    }

    /// A root context that has joined has ended.
    pub fn leave(&mut self, hash: u64) {
        for running in &mut self.running {
            if running.hash == hash {
                running.contexts = running.contexts.saturating_sub(1);
            }
        }
        self.running.retain(|running| running.contexts > 0);
    }

    /// The policy with this hash is the one that is published.
    pub fn publish(&mut self, hash: u64) {
        self.published = hash;
    }

    /// The hash of the policy that is published; 0 if none is.
    pub fn published(&self) -> u64 {
        self.published
    }

    /// How many root contexts run the policy with this hash.
    pub fn count(&self, hash: u64) -> u64 {
        self.running.iter().find(|running| running.hash == hash).map_or(0, |running| running.contexts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contexts_of_each_policy_are_counted() {
        let mut contexts = Contexts::default();
        for hash in [7, 9, 7] {
            contexts.join(hash);
        }
        contexts.publish(9);
        assert_eq!((contexts.published(), [7, 9, 8].map(|hash| contexts.count(hash))), (9, [2, 1, 0]));
        contexts.leave(9);
        contexts.leave(8);
        assert_eq!((contexts.published(), [7, 9, 8].map(|hash| contexts.count(hash))), (9, [2, 0, 0]));
    }

    #[test]
    fn a_policy_that_no_context_runs_takes_no_room() {
        let mut contexts = Contexts::default();
        let bytes = contexts.to_bytes();
        for hash in 1..100 {
            contexts.join(hash);
            contexts.leave(hash);
        }
        assert_eq!(contexts.to_bytes(), bytes);
    }

    #[test]
    fn the_record_is_read_as_it_was_written() {
        let mut contexts = Contexts::default();
        contexts.join(u64::MAX);
        contexts.join(1);
        contexts.publish(1);
        let bytes = contexts.to_bytes();
        assert_eq!(Contexts::from_bytes(&bytes), contexts);
        assert_eq!(Contexts::from_bytes(&bytes[..bytes.len() - 1]).count(u64::MAX), 1);
        assert_eq!(Contexts::from_bytes(&[]), Contexts::default());
    }
}
