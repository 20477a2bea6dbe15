//! Traffic: backends and their shares, and the choice of one of them.

use std::str::FromStr;
use std::sync::Arc;

use crate::finding::Fault;
use crate::names::{BackendName, ClusterName, Variant};
use crate::placement::{fnv1a, score};

/// A name that the policy gives to an Envoy cluster.
#[derive(Debug, PartialEq, Eq)]
pub struct Backend {
    /// The name in the policy. Metrics and the response header use it.
    pub name: BackendName,
    /// The Envoy cluster that serves it.
    pub cluster: ClusterName,
    /// What the placement hashes of it. By default its name.
    pub variant: Variant,
}

impl FromStr for Backend {
    type Err = Fault;

    /// The backend of this name, with the cluster and the variant of the same name.
    fn from_str(name: &str) -> Result<Self, Fault> {
        Ok(Self { name: name.parse()?, cluster: name.parse()?, variant: name.parse()? })
    }
}

/// Backends with their shares, ready to choose from: weighted rendezvous hashing.
///
/// The choice depends only on the point and on the set of variants and shares, not on their order.
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
    /// sum. Backends with a share of 0 are left out. No two have the same variant.
    ///
    /// `None` if no share is above 0.
    pub fn new(shares: impl IntoIterator<Item = (Arc<Backend>, f64)>) -> Option<Self> {
        // By variant, so that neither the sum nor a tie depends on the names, or on the order in
        // which they were written.
        let mut sorted: Vec<(Arc<Backend>, f64)> = Vec::new();
        for (backend, share) in shares.into_iter().filter(|(_, share)| *share > 0.0) {
            // Those of a policy come sorted by name, so that most go to the end.
            let at = sorted.partition_point(|(known, _)| known.variant < backend.variant);
            sorted.insert(at, (backend, share));
        }
        let sum: f64 = sorted.iter().map(|(_, share)| share).sum();
        let mut candidates = sorted.into_iter().map(|(backend, share)| Candidate {
            hash: fnv1a(backend.variant.as_bytes()),
            share: share / sum,
            backend,
        });
        let first = candidates.next()?;
        Some(Self { first, others: candidates.collect() })
    }

    /// The backend that serves `point`: the one with the lowest score. On a tie, the variant
    /// that sorts first wins.
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

    /// The backends that can be chosen, by variant, with their shares, which add up to 1.
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
        let backend = |name: &str| Arc::new(name.parse::<Backend>().unwrap());
        Traffic::new(shares.iter().map(|(name, share)| (backend(name), *share))).unwrap()
    }

    #[test]
    fn traffic_without_any_share_is_none() {
        let backend = Arc::new("a".parse::<Backend>().unwrap());
        assert_eq!(Traffic::new([(backend, 0.0)]), None);
        assert_eq!(Traffic::new([]), None);
    }

    #[test]
    fn the_order_in_which_shares_are_written_does_not_matter() {
        assert_eq!(traffic(&[("b", 0.3), ("a", 0.7)]), traffic(&[("a", 0.7), ("b", 0.3)]));
    }

    #[test]
    fn equal_variants_and_shares_choose_alike_whatever_the_names() {
        let named = |names: [(&str, &str); 3]| {
            let backend = |name: &str, variant: &str| {
                Arc::new(Backend { variant: variant.parse().unwrap(), ..name.parse().unwrap() })
            };
            let shares = [0.7, 0.1, 0.2];
            Traffic::new(names.iter().zip(shares).map(|((name, variant), share)| (backend(name, variant), share)))
        };
        let one = named([("web-1", "v1"), ("web-2", "v2"), ("web-3", "v3")]).unwrap();
        let other = named([("z", "v1"), ("y", "v2"), ("x", "v3")]).unwrap();
        for point in (0..1000).map(crate::placement::mix) {
            assert_eq!(one.choose(point).variant, other.choose(point).variant);
            assert!(one.scores(point).map(|(_, score)| score).eq(other.scores(point).map(|(_, score)| score)));
        }
    }

    #[test]
    fn on_a_tie_the_variant_that_sorts_first_serves() {
        let mut tied = traffic(&[("b", 0.5), ("a", 0.5)]);
        tied.others[0].hash = tied.first.hash;
        assert_eq!(tied.choose(1).name, "a");
    }

    #[test]
    fn shares_are_divided_by_their_sum() {
        assert_eq!(traffic(&[("a", 90.0), ("b", 10.0)]), traffic(&[("a", 0.9), ("b", 0.1)]));
    }
}
