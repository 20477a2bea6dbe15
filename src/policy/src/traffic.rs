//! Traffic: backends and their shares, and the choice of one of them.

use std::sync::Arc;

use crate::names::{BackendName, ClusterName};
use crate::placement::{fnv1a, score};

/// A name that the policy gives to an Envoy cluster.
#[derive(Debug, PartialEq, Eq)]
pub struct Backend {
    /// The name in the policy. Hashes, metrics and the response header use it.
    pub name: BackendName,
    /// The Envoy cluster that serves it.
    pub cluster: ClusterName,
}

/// Backends with their shares, ready to choose from: weighted rendezvous hashing.
///
/// The choice depends only on the point and on the set of names and shares, not on their order.
/// When shares change, a point moves only to a backend whose share grew, or from one whose share
/// shrank.
#[derive(Debug, PartialEq)]
pub struct Traffic {
    first: Candidate,
    others: Box<[Candidate]>,
}

/// A backend that can be chosen: its share is above 0.
#[derive(Debug, PartialEq)]
struct Candidate {
    backend: Arc<Backend>,
    hash: u64,
    share: f64,
}

impl Traffic {
    /// Prepares `shares`, which are finite, not negative and in any unit: they are divided by their
    /// sum. Backends with a share of 0 are left out.
    ///
    /// `None` if no share is above 0.
    pub fn new(shares: impl IntoIterator<Item = (Arc<Backend>, f64)>) -> Option<Self> {
        // By name, so that neither the sum nor a tie depends on the order in which they were
        // written.
        let mut by_name: Vec<_> = shares.into_iter().filter(|(_, share)| *share > 0.0).collect();
        by_name.sort_by(|(backend, _), (other, _)| backend.name.cmp(&other.name));
        let sum: f64 = by_name.iter().map(|(_, share)| share).sum();
        let mut candidates = by_name.into_iter().map(|(backend, share)| Candidate {
            hash: fnv1a(backend.name.as_bytes()),
            share: share / sum,
            backend,
        });
        let first = candidates.next()?;
        Some(Self { first, others: candidates.collect() })
    }

    /// The backend that serves `point`: the one with the lowest score. On a tie, the name that
    /// sorts first wins.
    pub fn choose(&self, point: u64) -> &Arc<Backend> {
        self.choose_numbered(point).1
    }

    /// The backend that serves `point`, and its number among those that can be chosen, from 0.
    pub(crate) fn choose_numbered(&self, point: u64) -> (usize, &Arc<Backend>) {
        let (mut number, mut best) = (0, &self.first);
        if !self.others.is_empty() {
            let mut lowest = best.score(point);
            for (n, candidate) in self.others.iter().enumerate() {
                let score = candidate.score(point);
                if score < lowest {
                    (number, best, lowest) = (n + 1, candidate, score);
                }
            }
        }
        (number, &best.backend)
    }

    /// The backends that can be chosen, by name, with their shares, which add up to 1.
    pub fn shares(&self) -> impl Iterator<Item = (&Arc<Backend>, f64)> {
        self.candidates().map(|candidate| (&candidate.backend, candidate.share))
    }

    /// The backends that can be chosen, with their scores at `point`. The lowest score serves.
    pub(crate) fn scores(&self, point: u64) -> impl Iterator<Item = (&Arc<Backend>, f64)> {
        self.candidates().map(move |candidate| (&candidate.backend, candidate.score(point)))
    }

    fn candidates(&self) -> impl Iterator<Item = &Candidate> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// How many backends can be chosen.
    pub(crate) fn count(&self) -> usize {
        1 + self.others.len()
    }
}

impl Candidate {
    fn score(&self, point: u64) -> f64 {
        score(point, self.hash, self.share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traffic(shares: &[(&str, f64)]) -> Traffic {
        let backend = |name: &str| Arc::new(Backend { name: name.parse().unwrap(), cluster: name.parse().unwrap() });
        Traffic::new(shares.iter().map(|(name, share)| (backend(name), *share))).unwrap()
    }

    #[test]
    fn traffic_without_any_share_is_none() {
        let backend = Arc::new(Backend { name: "a".parse().unwrap(), cluster: "a".parse().unwrap() });
        assert_eq!(Traffic::new([(backend, 0.0)]), None);
        assert_eq!(Traffic::new([]), None);
    }

    #[test]
    fn the_order_in_which_shares_are_written_does_not_matter() {
        assert_eq!(traffic(&[("b", 0.3), ("a", 0.7)]), traffic(&[("a", 0.7), ("b", 0.3)]));
    }

    #[test]
    fn on_a_tie_the_name_that_sorts_first_serves() {
        let mut tied = traffic(&[("b", 0.5), ("a", 0.5)]);
        tied.others[0].hash = tied.first.hash;
        assert_eq!(tied.choose(1).name, "a");
    }

    #[test]
    fn shares_are_divided_by_their_sum() {
        assert_eq!(traffic(&[("a", 90.0), ("b", 10.0)]), traffic(&[("a", 0.9), ("b", 0.1)]));
    }
}
