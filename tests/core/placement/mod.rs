//! The placement function: golden vectors, statistics over keys and draws, and properties.

mod golden;
mod movement;
mod properties;
mod split;

use std::sync::Arc;

use policy::Backend;

/// A count fails its test if chance alone would make it that far off less often than this.
const P_PROMISED: f64 = 0.001;

/// Numbers that look random and are the same in every run, by SplitMix64.
fn draws(seed: u64) -> impl Iterator<Item = u64> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}

/// 100,000 keys of each kind that people use.
fn kinds_of_keys() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    const COUNT: usize = 100_000;
    let uuid = |(high, low): (u64, u64)| {
        let (a, b, c) = (high >> 32, (high >> 16) & 0xffff, high & 0xfff);
        let (d, e) = ((low >> 48) & 0x3fff | 0x8000, low & 0xffff_ffff_ffff);
        format!("{a:08x}-{b:04x}-4{c:03x}-{d:04x}-{e:012x}").into_bytes()
    };
    let random = |(high, low): (u64, u64)| [high.to_be_bytes(), low.to_be_bytes()].concat();
    let pairs = || draws(1).zip(draws(2)).take(COUNT);
    vec![
        ("user-N", (1..=COUNT).map(|n| format!("user-{n}").into_bytes()).collect()),
        ("decimal integers", (0..COUNT).map(|n| n.to_string().into_bytes()).collect()),
        ("UUIDs", pairs().map(uuid).collect()),
        ("random bytes", pairs().map(random).collect()),
    ]
}

/// How often each of `names` is among the backends that were chosen.
fn counts<'a>(names: &[&str], served: impl Iterator<Item = &'a Arc<Backend>>) -> Vec<u64> {
    let mut counts = vec![0; names.len()];
    for backend in served {
        counts[names.iter().position(|name| **name == *backend.name).unwrap()] += 1;
    }
    counts
}
