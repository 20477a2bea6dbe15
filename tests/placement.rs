//! The placement function: golden vectors, statistics over keys and draws, and properties.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;

use policy::placement::{Salt, fnv1a, mix, unit};
use policy::shadow::Draw;
use policy::{Backend, Traffic};
use proptest::prelude::*;
use serde::Deserialize;
use testbed::project;
use testbed::statistics::{binomial_bounds, chi_squared_p, independence_p};

/// What is promised of counts.
const P_PROMISED: f64 = 0.001;

#[derive(Deserialize)]
struct Golden {
    points: Vec<GoldenPoint>,
    choices: Vec<GoldenChoice>,
    shadows: Vec<GoldenShadow>,
}

#[derive(Deserialize)]
struct GoldenPoint {
    salt: String,
    key_hex: String,
    point: String,
}

#[derive(Deserialize)]
struct GoldenChoice {
    traffic: BTreeMap<String, f64>,
    point: String,
    backend: String,
}

#[derive(Deserialize)]
struct GoldenShadow {
    draw: String,
    backend: String,
    fraction: f64,
    copied: bool,
}

fn golden() -> Golden {
    let text = std::fs::read_to_string(project().join("tests/golden/placement.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn hex(digits: &str) -> u64 {
    u64::from_str_radix(digits, 16).unwrap()
}

fn bytes(digits: &str) -> Vec<u8> {
    (0..digits.len()).step_by(2).map(|n| u8::from_str_radix(&digits[n..n + 2], 16).unwrap()).collect()
}

fn backend(name: &str) -> Arc<Backend> {
    Arc::new(Backend { name: name.into(), cluster: name.into() })
}

fn traffic(shares: &[(&str, f64)]) -> Traffic {
    Traffic::new(shares.iter().map(|(name, share)| (backend(name), *share))).unwrap()
}

/// Numbers that look random and are the same on every run: SplitMix64.
fn draws(seed: u64) -> impl Iterator<Item = u64> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}

/// 10^5 keys of each kind that people use.
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

fn counts<'a>(names: &[&str], served: impl Iterator<Item = &'a Arc<Backend>>) -> Vec<u64> {
    let mut counts = vec![0; names.len()];
    for backend in served {
        counts[names.iter().position(|name| *name == backend.name).unwrap()] += 1;
    }
    counts
}

#[test]
fn the_golden_vectors_hold() {
    let golden = golden();
    assert!(golden.points.len() > 50 && golden.choices.len() > 500 && golden.shadows.len() > 200);
    for row in &golden.points {
        assert_eq!(Salt::new(&row.salt).point(&bytes(&row.key_hex)), hex(&row.point), "{} {}", row.salt, row.key_hex);
    }
    for row in &golden.choices {
        let traffic = Traffic::new(row.traffic.iter().map(|(name, share)| (backend(name), *share))).unwrap();
        assert_eq!(traffic.choose(hex(&row.point)).name, row.backend, "{:?} {}", row.traffic, row.point);
    }
    for row in &golden.shadows {
        let draw = Draw::new(&row.backend, row.fraction);
        assert_eq!(draw.takes(hex(&row.draw)), row.copied, "{} {} {}", row.backend, row.fraction, row.draw);
    }
}

#[test]
fn the_golden_vectors_are_what_the_python_reference_makes() {
    let output =
        Command::new("python3").arg("placement.py").current_dir(project().join("tests/golden")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let file = std::fs::read(project().join("tests/golden/placement.json")).unwrap();
    assert!(output.stdout == file, "tests/golden/placement.json is not current");
}

#[test]
fn ten_million_draws_split_as_asked() {
    for shares in [
        [("a", 0.5), ("b", 0.5), ("c", 0.0)].as_slice(),
        &[("default", 0.98), ("new", 0.01), ("new2", 0.01)],
        &[("stable", 0.9999), ("canary", 0.0001)],
    ] {
        let names: Vec<_> = shares.iter().map(|(name, _)| *name).collect();
        let wanted: Vec<_> = shares.iter().map(|(_, share)| *share).collect();
        let traffic = traffic(shares);
        let counts = counts(&names, draws(42).take(10_000_000).map(|draw| traffic.choose(draw)));
        let p = chi_squared_p(&counts, &wanted);
        assert!(p > P_PROMISED, "{shares:?}: {counts:?}, p = {p}");
    }
}

#[test]
fn keys_of_every_kind_split_as_asked() {
    for (kind, keys) in kinds_of_keys() {
        for shares in [
            [("a", 0.5), ("b", 0.5)].as_slice(),
            &[("a", 0.9), ("b", 0.1)],
            &[("default", 0.98), ("new", 0.01), ("new2", 0.01)],
            &[("a", 0.4), ("b", 0.3), ("c", 0.2), ("d", 0.1)],
        ] {
            for salt in ["ranker", "search"] {
                let names: Vec<_> = shares.iter().map(|(name, _)| *name).collect();
                let wanted: Vec<_> = shares.iter().map(|(_, share)| *share).collect();
                let (traffic, salt) = (traffic(shares), Salt::new(salt));
                let counts = counts(&names, keys.iter().map(|key| traffic.choose(salt.point(key))));
                let p = chi_squared_p(&counts, &wanted);
                assert!(p > P_PROMISED, "{kind} {shares:?}: {counts:?}, p = {p}");
            }
        }
    }
}

#[test]
fn a_thousand_short_sequential_keys_split_as_asked() {
    let salt = Salt::new("ranker");
    let traffic = traffic(&[("a", 0.9), ("b", 0.1)]);
    for prefix in ["", "user-", "u"] {
        let keys = (0..1000).map(|n| format!("{prefix}{n}"));
        let served: Vec<_> = keys.map(|key| traffic.choose(salt.point(key.as_bytes()))).collect();
        let counts = counts(&["a", "b"], served.into_iter());
        let p = chi_squared_p(&counts, &[0.9, 0.1]);
        assert!(p > P_PROMISED, "{prefix:?}: {counts:?}, p = {p}");
    }
}

#[test]
fn from_90_10_to_80_20_a_tenth_of_the_keys_move_and_none_leaves_the_growing_backend() {
    let salt = Salt::new("ranker");
    let before = traffic(&[("v1", 0.9), ("v2", 0.1)]);
    let after = traffic(&[("v1", 0.8), ("v2", 0.2)]);
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

/// The part of all keys that weighted rendezvous hashing moves: 1 - Σ 1 / Σ max(p_j / p_i, q_j / q_i), the probability
/// Jaccard distance (Moulton and Jiang, 2018).
fn movement(before: &[f64], after: &[f64]) -> f64 {
    let stay = |i: usize| {
        let ratio = |j: usize| f64::max(before[j] / before[i], after[j] / after[i]);
        if before[i] * after[i] > 0.0 { 1.0 / (0..before.len()).map(ratio).sum::<f64>() } else { 0.0 }
    };
    1.0 - (0..before.len()).map(stay).sum::<f64>()
}

#[test]
fn with_more_than_two_backends_movement_keeps_its_documented_bound() {
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
        let traffic_of = |shares: [f64; 4]| traffic(&names.into_iter().zip(shares).collect::<Vec<_>>());
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

#[test]
fn different_salts_place_keys_independently() {
    let traffic = traffic(&[("a", 0.5), ("b", 0.3), ("c", 0.2)]);
    let names = ["a", "b", "c"];
    for (kind, keys) in kinds_of_keys() {
        let mut table = vec![vec![0; 3]; 3];
        for key in &keys {
            let place = |salt: &str| {
                let name = &traffic.choose(Salt::new(salt).point(key)).name;
                names.iter().position(|known| known == name).unwrap()
            };
            table[place("ranker")][place("search")] += 1;
        }
        let p = independence_p(&table);
        assert!(p > P_PROMISED, "{kind}: {table:?}, p = {p}");
    }
}

#[test]
fn shadows_are_drawn_as_asked_and_independently_of_the_choice_and_of_each_other() {
    let traffic = traffic(&[("default", 0.98), ("new", 0.01), ("new2", 0.01)]);
    // One of them is also a backend that serves.
    let (a, b) = (Draw::new("new", 0.5), Draw::new("watcher", 0.1));
    let mut by_backend = vec![vec![0; 2]; 3];
    let mut by_each_other = vec![vec![0; 2]; 2];
    for draw in draws(7).take(1_000_000) {
        let served = ["default", "new", "new2"].iter().position(|name| traffic.choose(draw).name == *name).unwrap();
        by_backend[served][usize::from(a.takes(draw))] += 1;
        by_each_other[usize::from(a.takes(draw))][usize::from(b.takes(draw))] += 1;
    }
    let of_a = [by_each_other[0].iter().sum(), by_each_other[1].iter().sum()];
    let of_b = [by_each_other[0][0] + by_each_other[1][0], by_each_other[0][1] + by_each_other[1][1]];
    assert!(chi_squared_p(&of_a, &[0.5, 0.5]) > P_PROMISED, "{of_a:?}");
    assert!(chi_squared_p(&of_b, &[0.9, 0.1]) > P_PROMISED, "{of_b:?}");
    assert!(independence_p(&by_backend) > P_PROMISED, "{by_backend:?}");
    assert!(independence_p(&by_each_other) > P_PROMISED, "{by_each_other:?}");
}

/// Two to six backends with shares in thousandths; some may be 0.
fn shares() -> impl Strategy<Value = Vec<u32>> {
    proptest::collection::vec(0_u32..=1000, 2..=6)
        .prop_filter("a share above 0", |shares| shares.iter().any(|s| *s > 0))
}

fn traffic_of(shares: &[u32]) -> Traffic {
    Traffic::new(shares.iter().enumerate().map(|(n, share)| (backend(&format!("b{n}")), f64::from(*share)))).unwrap()
}

proptest! {
    #[test]
    fn a_share_of_zero_gets_nothing_and_the_choice_is_one_of_the_backends(shares in shares(), point: u64) {
        let chosen = traffic_of(&shares).choose(point).name.clone();
        let n: usize = chosen.strip_prefix('b').unwrap().parse().unwrap();
        prop_assert!(shares[n] > 0, "{chosen} of {shares:?}");
    }

    #[test]
    fn a_single_share_gets_everything(n in 0_usize..6, point: u64) {
        let shares: Vec<_> = (0..6).map(|other| u32::from(other == n)).collect();
        prop_assert_eq!(traffic_of(&shares).choose(point).name.clone(), format!("b{n}"));
    }

    #[test]
    fn the_same_point_and_traffic_give_the_same_backend_in_any_order(shares in shares(), point: u64, seed: u64) {
        let mut order: Vec<_> = (0..shares.len()).collect();
        order.sort_by_key(|n| mix(seed ^ *n as u64));
        let shuffled = order.iter().map(|n| (backend(&format!("b{n}")), f64::from(shares[*n])));
        let shuffled = Traffic::new(shuffled).unwrap();
        prop_assert_eq!(traffic_of(&shares).choose(point).clone(), shuffled.choose(point).clone());
    }

    #[test]
    fn a_key_moves_only_to_a_backend_whose_share_grew_or_from_one_whose_share_shrank(
        before in shares(), after in shares(), point: u64,
    ) {
        // Of the sum: that is what a share is.
        let part = |shares: &[u32], n: usize| {
            f64::from(shares.get(n).copied().unwrap_or(0)) / f64::from(shares.iter().sum::<u32>())
        };
        let number = |name: &str| name.strip_prefix('b').unwrap().parse::<usize>().unwrap();
        let from = number(&traffic_of(&before).choose(point).name);
        let to = number(&traffic_of(&after).choose(point).name);
        if from != to {
            // Its score relative to the old one must have fallen: the new share, over the old, is the larger ratio.
            let (shrunk, grown) = (part(&after, from) / part(&before, from), part(&after, to) / part(&before, to));
            prop_assert!(part(&before, to) == 0.0 || grown > shrunk, "{before:?} {after:?}: {from} to {to}");
        }
    }

    #[test]
    fn with_two_backends_no_key_leaves_one_whose_share_did_not_shrink(a in 0_u32..=1000, b in 0_u32..=1000, point: u64) {
        let (before, after) = (traffic_of(&[a, 1000 - a]), traffic_of(&[b, 1000 - b]));
        let (from, to) = (&before.choose(point).name, &after.choose(point).name);
        let expected = if b > a { "b0" } else { "b1" };
        prop_assert!(from == to || to == expected, "{a} to {b}: from {from} to {to}");
    }

    #[test]
    fn removing_a_backend_moves_only_its_keys_and_adding_it_again_brings_them_back(shares in shares(), point: u64) {
        let with = traffic_of(&shares);
        let mut without = shares.clone();
        without[0] = 0;
        prop_assume!(without.iter().any(|share| *share > 0));
        let without = traffic_of(&without);
        let before = with.choose(point);
        prop_assert!(before.name == "b0" || before == without.choose(point));
        prop_assert_eq!(before.clone(), traffic_of(&shares).choose(point).clone());
    }

    #[test]
    fn any_bytes_are_a_key(salt: String, key: Vec<u8>) {
        let point = Salt::new(&salt).point(&key);
        let joined = [salt.as_bytes(), &[0], &key].concat();
        prop_assert_eq!(point, mix(fnv1a(&joined)));
        prop_assert!((0.0..=1.0).contains(&unit(point)));
    }
}
