//! Random draws without a host call for each request.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

/// A SplitMix64 generator, seeded once from the host's randomness, and shard keys that can't be guessed from others.
#[derive(Debug)]
pub(super) struct Draws {
    state: Cell<u64>,
    /// SipHash with keys of the host's randomness.
    keys: RandomState,
}

impl Draws {
    /// A generator of its own for each root context: no two workers draw the same sequence.
    pub(super) fn seeded() -> Self {
        // RandomState is the one way of the standard library to the host's randomness.
        let keys = RandomState::new();
        Self { state: Cell::new(keys.hash_one("seed")), keys }
    }

    /// The next draw, uniform over 64 bits.
    pub(super) fn next(&self) -> u64 {
        let state = self.state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.state.set(state);
        let mut draw = state;
        draw = (draw ^ (draw >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        draw = (draw ^ (draw >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        draw ^ (draw >> 31)
    }

    /// A new shard key.
    pub(super) fn new_key(&self) -> u128 {
        let draw = self.next();
        let half = |name: &str| u128::from(self.keys.hash_one((name, draw)));
        half("high") << 64 | half("low")
    }
}
