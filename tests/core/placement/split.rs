//! How keys and draws split among backends and shadows.

use policy::placement::Salt;
use policy::shadow::Draw;
use testbed::policies::traffic;
use testbed::statistics::{chi_squared_p, independence_p};

use super::{P_PROMISED, counts, draws, kinds_of_keys};

#[test]
fn ten_million_draws_split_by_the_shares() {
    for shares in [
        [("a", 0.5), ("b", 0.5), ("c", 0.0)].as_slice(),
        &[("default", 0.98), ("new", 0.01), ("new2", 0.01)],
        &[("stable", 0.9999), ("canary", 0.0001)],
    ] {
        let names: Vec<_> = shares.iter().map(|(name, _)| *name).collect();
        let wanted: Vec<_> = shares.iter().map(|(_, share)| *share).collect();
        let traffic = traffic(shares.iter().copied());
        let counts = counts(&names, draws(42).take(10_000_000).map(|draw| traffic.choose(draw)));
        let p = chi_squared_p(&counts, &wanted);
        assert!(p > P_PROMISED, "{shares:?}: {counts:?}, p = {p}");
    }
}

#[test]
fn keys_of_every_kind_split_by_the_shares() {
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
                let (traffic, salt) = (traffic(shares.iter().copied()), Salt::new(salt));
                let counts = counts(&names, keys.iter().map(|key| traffic.choose(salt.point(key))));
                let p = chi_squared_p(&counts, &wanted);
                assert!(p > P_PROMISED, "{kind} {shares:?}: {counts:?}, p = {p}");
            }
        }
    }
}

#[test]
fn a_thousand_short_sequential_keys_split_by_the_shares() {
    let salt = Salt::new("ranker");
    let traffic = traffic([("a", 0.9), ("b", 0.1)]);
    for prefix in ["", "user-", "u"] {
        let keys = (0..1000).map(|n| format!("{prefix}{n}"));
        let served: Vec<_> = keys.map(|key| traffic.choose(salt.point(key.as_bytes()))).collect();
        let counts = counts(&["a", "b"], served.into_iter());
        let p = chi_squared_p(&counts, &[0.9, 0.1]);
        assert!(p > P_PROMISED, "{prefix:?}: {counts:?}, p = {p}");
    }
}

#[test]
fn different_salts_place_keys_independently() {
    let traffic = traffic([("a", 0.5), ("b", 0.3), ("c", 0.2)]);
    let names = ["a", "b", "c"];
    for (kind, keys) in kinds_of_keys() {
        let mut table = vec![vec![0; 3]; 3];
        for key in &keys {
            let place = |salt: &str| {
                let name = &traffic.choose(Salt::new(salt).point(key)).name;
                names.iter().position(|known| **known == **name).unwrap()
            };
            table[place("ranker")][place("search")] += 1;
        }
        let p = independence_p(&table);
        assert!(p > P_PROMISED, "{kind}: {table:?}, p = {p}");
    }
}

#[test]
fn shadows_draw_their_fractions_independently_of_the_choice_and_of_each_other() {
    let traffic = traffic([("default", 0.98), ("new", 0.01), ("new2", 0.01)]);
    // One of the shadows is also a backend that serves.
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
