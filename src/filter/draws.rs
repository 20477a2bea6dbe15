//! Random draws without a host call for each request.

use std::cell::Cell;
use std::hash::{BuildHasher, Hasher, RandomState};

/// A SplitMix64 generator, seeded once from the host's randomness.
#[derive(Debug)]
pub(super) struct Draws(Cell<u64>);

impl Draws {
    /// A generator of its own for each root context: no two workers draw the same sequence.
    pub(super) fn seeded() -> Self {
        // RandomState is the one way of the standard library to the host's randomness.
        Self(Cell::new(RandomState::new().build_hasher().finish()))
    }

    /// The next draw, uniform over 64 bits.
    pub(super) fn next(&self) -> u64 {
        let state = self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.0.set(state);
        let mut draw = state;
        draw = (draw ^ (draw >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        draw = (draw ^ (draw >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        draw ^ (draw >> 31)
    }
}
