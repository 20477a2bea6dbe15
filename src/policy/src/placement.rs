//! The placement function: hashes and draws, the same bits on every proxy, forever.
//!
//! All arithmetic is on unsigned 64 bits, wrapping. Nothing here may change within a major version:
//! a changed bit moves users. `tests/data/golden/placement.json` pins it; another implementation of
//! the same definition made that file.

use std::hash::Hasher;

use fnv::FnvHasher;

/// FNV-1a of `bytes`, 64 bits.
pub fn fnv1a(bytes: &[u8]) -> u64 {
    let mut hasher = FnvHasher::default();
    hasher.write(bytes);
    hasher.finish()
}

/// MurmurHash3's 64-bit finalizer.
///
/// FNV-1a alone leaves its high bits nearly constant for short, sequential keys, and [`unit()`]
/// reads the high bits.
pub fn mix(mut hash: u64) -> u64 {
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^= hash >> 33;
    hash
}

/// The upper 53 bits of `hash` as a number between 0 and 1: `((hash >> 11) + 0.5) * 2^-53`.
///
/// Never 0. It is 1 for one value in 2^53, where the half is lost to rounding: a comparison with a
/// fraction of 1 must not draw at all.
pub fn unit(hash: u64) -> f64 {
    const TWO_TO_MINUS_53: f64 = 1.0 / 9_007_199_254_740_992.0;
    ((hash >> 11) as f64 + 0.5) * TWO_TO_MINUS_53
}

/// The score of a backend at `point`: `-ln(u(mix(point ^ backend_hash))) / share`. The lowest score
/// serves.
///
/// `ln` is libm's on every platform, so that no last bit differs between the filter and native
/// tools.
pub fn score(point: u64, backend_hash: u64, share: f64) -> f64 {
    -libm::log(unit(mix(point ^ backend_hash))) / share
}

/// The hash of a salt, ready for the key: `fnv1a(salt ++ 0x00 ++ …)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Salt(u64);

impl Salt {
    /// Prepares `salt`. Different salts place the same key independently.
    pub fn new(salt: &str) -> Self {
        let mut hasher = FnvHasher::default();
        hasher.write(salt.as_bytes());
        hasher.write(&[0]);
        Self(hasher.finish())
    }

    /// The point of a shard key: `mix(fnv1a(salt ++ 0x00 ++ key))`.
    pub fn point(self, key: &[u8]) -> u64 {
        let mut hasher = FnvHasher::with_key(self.0);
        hasher.write(key);
        mix(hasher.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fnv1a_matches_its_published_vectors() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn a_salt_is_hashed_before_the_key_with_a_zero_byte_between() {
        assert_eq!(Salt::new("ranker").point(b"user-1"), mix(fnv1a(b"ranker\0user-1")));
    }

    #[test]
    fn unit_stays_above_zero_and_reaches_one_only_at_the_very_top() {
        assert!(unit(0) > 0.0);
        assert_eq!(unit(u64::MAX), 1.0);
        assert!(unit(u64::MAX - (1 << 11)) < 1.0);
    }
}
