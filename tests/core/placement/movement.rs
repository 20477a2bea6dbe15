//! Which keys a change of shares moves.

use policy::placement::Salt;
use testbed::policies::traffic;
use testbed::statistics::binomial_bounds;

use super::{P_PROMISED, kinds_of_keys};

#[test]
fn from_90_10_to_80_20_a_tenth_of_the_keys_moves_and_none_leaves_the_growing_backend() {
    let salt = Salt::new("ranker");
    let before = traffic([("v1", 0.9), ("v2", 0.1)]);
    let after = traffic([("v1", 0.8), ("v2", 0.2)]);
    for (kind, keys) in kinds_of_keys() {
        let mut moved = 0;
        for key in &keys {
            let point = salt.point(key);
            let (from, to) = (&before.choose(point).name, &after.choose(point).name);
            assert!(from == to || (from == "v1" && to == "v2"), "{kind}: {key:?} moved from {from} to {to}");
            moved += u64::from(from != to);
        }
        let percent = moved as f64 * 100.0 / keys.len() as f64;
        assert!((percent - 10.0).abs() <= 0.3, "{kind}: {percent} % moved");
    }
}

/// The part of all keys that weighted rendezvous hashing moves: the probability Jaccard distance,
/// 1 - Σ 1 / Σ max(p_j / p_i, q_j / q_i) (Moulton and Jiang, 2018).
fn movement(before: &[f64], after: &[f64]) -> f64 {
    let stay = |i: usize| {
        let ratio = |j: usize| f64::max(before[j] / before[i], after[j] / after[i]);
        if before[i] * after[i] > 0.0 { 1.0 / (0..before.len()).map(ratio).sum::<f64>() } else { 0.0 }
    };
    1.0 - (0..before.len()).map(stay).sum::<f64>()
}

#[test]
fn with_more_than_two_backends_movement_keeps_the_documented_bound() {
    let names = ["a", "b", "c", "d"];
    let keys = kinds_of_keys();
    for (before, after) in [
        ([0.99, 0.01, 0.0, 0.0], [0.98, 0.01, 0.01, 0.0]),
        ([0.5, 0.3, 0.2, 0.0], [0.4, 0.3, 0.3, 0.0]),
        ([0.5, 0.3, 0.2, 0.0], [0.3, 0.5, 0.2, 0.0]),
        ([0.5, 0.3, 0.2, 0.0], [0.4, 0.24, 0.16, 0.2]),
        ([0.25, 0.25, 0.25, 0.25], [0.1, 0.2, 0.3, 0.4]),
        ([1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5]),
    ] {
        let least = before.iter().zip(&after).map(|(p, q)| f64::max(q - p, 0.0)).sum::<f64>();
        let expected = movement(&before, &after);
        assert!((least - 1e-12..=2.0 * least / (1.0 + least) + 1e-12).contains(&expected), "{before:?} {after:?}");
        let traffic_of = |shares: [f64; 4]| traffic(names.into_iter().zip(shares));
        let (old, new) = (traffic_of(before), traffic_of(after));
        for (kind, keys) in &keys {
            let points = keys.iter().map(|key| Salt::new("ranker").point(key));
            let moved = points.filter(|point| old.choose(*point).name != new.choose(*point).name).count() as u64;
            let (low, high) = binomial_bounds(keys.len() as u64, expected, P_PROMISED);
            assert!(
                (low..=high).contains(&moved),
                "{kind} {before:?} {after:?}: {moved} moved, {low} to {high} expected"
            );
        }
    }
}
