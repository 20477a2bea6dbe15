//! Makes random draws, without a host call for each request.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

/// A SplitMix64 generator that is seeded once. It also makes shard keys that can't be guessed from
/// earlier ones.
#[derive(Debug)]
pub struct Draws {
    state: Cell<u64>,
    /// SipHash with random keys.
    keys: RandomState,
}

impl Draws {
    /// A generator with a random seed. Each root context needs its own, so that no two workers draw
    /// the same sequence.
    pub fn seeded() -> Self {
        // Only this type of the standard library gives access to the host's randomness.
        let keys = RandomState::new();
        Self { state: Cell::new(keys.hash_one("seed")), keys }
    }

    /// The next draw, uniform over 64 bits.
    pub fn next(&self) -> u64 {
        let state = self.state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.state.set(state);
        let mut draw = state;
        draw = (draw ^ (draw >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        draw = (draw ^ (draw >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        draw ^ (draw >> 31)
    }

    /// A new shard key.
    pub fn new_key(&self) -> u128 {
        let draw = self.next();
        let half = |name: &str| u128::from(self.keys.hash_one((name, draw)));
        half("high") << 64 | half("low")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn draws_match_the_published_sequence_of_splitmix64() {
        let draws = Draws { state: Cell::new(1_234_567), keys: RandomState::new() };
        for expected in [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423] {
            assert_eq!(draws.next(), expected);
        }
    }

    #[test]
    fn two_generators_draw_different_sequences() {
        let (one, other) = (Draws::seeded(), Draws::seeded());
        let drawn: HashSet<_> = (0..1_000).flat_map(|_| [one.next(), other.next()]).collect();
        assert_eq!(drawn.len(), 2_000);
    }

    #[test]
    fn shard_keys_differ_in_both_halves() {
        let draws = Draws::seeded();
        let keys: Vec<_> = (0..1_000).map(|_| draws.new_key()).collect();
        for half in [|key: &u128| key >> 64, |key: &u128| key & u128::from(u64::MAX)] {
            assert_eq!(keys.iter().map(half).collect::<HashSet<_>>().len(), 1_000);
        }
        // Two generators in the same state make different keys.
        let other = Draws { state: draws.state.clone(), keys: RandomState::new() };
        assert_ne!(draws.new_key(), other.new_key());
    }
}
