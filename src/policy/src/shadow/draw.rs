//! The chance of a request to be copied.

use crate::placement::{fnv1a, mix, unit};

/// The chance of a request to be copied.
///
/// It is independent of the backend that serves the request, and of every other shadow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Draw {
    fraction: f64,
    hash: u64,
}

impl Draw {
    /// Copies `fraction` (0 to 1) of the requests to the backend of this variant.
    pub fn new(variant: &str, fraction: f64) -> Self {
        Self { fraction, hash: fnv1a(format!("shadow\0{variant}").as_bytes()) }
    }

    /// The fraction of the requests that is copied, 0 to 1.
    pub fn fraction(self) -> f64 {
        self.fraction
    }

    /// Whether a request with this draw, or a shard key with this point, is copied.
    pub fn takes(self, draw: u64) -> bool {
        self.fraction >= 1.0 || unit(mix(draw ^ self.hash)) < self.fraction
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fraction_of_one_copies_every_draw_and_a_fraction_of_zero_none() {
        let (all, none) = (Draw::new("b", 1.0), Draw::new("b", 0.0));
        // The inverse of `mix`: the draw for which `unit` rounds up to 1.
        let top = 0x89a5_850e_63c5_f8aa_u64 ^ all.hash;
        assert_eq!(unit(mix(top ^ all.hash)), 1.0);
        for draw in [0, 1, u64::MAX, top] {
            assert!(all.takes(draw));
            assert!(!none.takes(draw));
        }
    }

    #[test]
    fn a_draw_equal_to_the_fraction_is_not_copied() {
        // Below a half, where a fraction can be this precise.
        let draw = (0..).find(|draw| unit(mix(*draw)) < 0.5).unwrap();
        let at = Draw { fraction: unit(mix(draw)), hash: 0 };
        assert!(!at.takes(draw));
        assert!(Draw { fraction: at.fraction.next_up(), ..at }.takes(draw));
    }
}
