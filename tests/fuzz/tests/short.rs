//! A short run of each check: over the seeds, and over changes of them that are the same in every
//! run.

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut draw = self.0;
        draw = (draw ^ (draw >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        draw = (draw ^ (draw >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((draw ^ (draw >> 31)) % limit.max(1) as u64) as usize
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.below(256) as u8).collect()
    }

    /// `seed` with a few bytes changed, moved, removed or inserted.
    fn change(&mut self, seed: &[u8]) -> Vec<u8> {
        let mut bytes = seed.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len() + 1);
            let end = (at + self.below(16)).min(bytes.len());
            match self.below(4) {
                0 => drop(bytes.drain(at..end)),
                1 => drop(bytes.splice(at..at, seed[..end.min(seed.len())].iter().rev().take(8).copied())),
                2 => drop(
                    bytes.splice(at..at, b"{}[]\",:;=?&#%0-1e9 \\\0\xff\x80".iter().copied().skip(end % 20).take(2)),
                ),
                _ => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (end % 8)),
            }
        }
        bytes
    }
}

#[test]
fn each_property_holds_for_seeds_and_changes_of_them() {
    const CHANGES: usize = 20_000;
    let mut random = Random(1);
    for (name, check) in fuzz::CHECKS {
        let seeds = fuzz::seeds::seeds(name);
        assert!(name != "policy" || seeds.len() >= 10, "the tables have no policies");
        seeds.iter().for_each(|seed| check(seed));
        for _ in 0..CHANGES {
            let bytes = if seeds.is_empty() {
                let length = random.below(400);
                random.bytes(length)
            } else {
                let seed = random.below(seeds.len());
                random.change(&seeds[seed])
            };
            check(&bytes);
        }
    }
}
