//! Properties that hold for any shares, points and keys.

use policy::Traffic;
use policy::placement::{Salt, fnv1a, mix, unit};
use proptest::prelude::*;
use testbed::policies::traffic;

/// The shares of two to six backends in thousandths. Some may be 0, but not all.
fn shares() -> impl Strategy<Value = Vec<u32>> {
    proptest::collection::vec(0_u32..=1000, 2..=6)
        .prop_filter("a share above 0", |shares| shares.iter().any(|s| *s > 0))
}

fn traffic_of(shares: &[u32]) -> Traffic {
    traffic(shares.iter().enumerate().map(|(n, share)| (format!("b{n}"), f64::from(*share))))
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
        prop_assert_eq!(traffic_of(&shares).choose(point).name.to_string(), format!("b{n}"));
    }

    #[test]
    fn the_same_point_and_traffic_give_the_same_backend_in_any_order(shares in shares(), point: u64, seed: u64) {
        let mut order: Vec<_> = (0..shares.len()).collect();
        order.sort_by_key(|n| mix(seed ^ *n as u64));
        let shuffled = traffic(order.iter().map(|n| (format!("b{n}"), f64::from(shares[*n]))));
        prop_assert_eq!(traffic_of(&shares).choose(point).clone(), shuffled.choose(point).clone());
    }

    #[test]
    fn a_key_moves_only_to_a_backend_whose_share_grew_or_from_one_whose_share_shrank(
        before in shares(), after in shares(), point: u64,
    ) {
        // A share is a part of the sum.
        let part = |shares: &[u32], n: usize| {
            f64::from(shares.get(n).copied().unwrap_or(0)) / f64::from(shares.iter().sum::<u32>())
        };
        let number = |name: &str| name.strip_prefix('b').unwrap().parse::<usize>().unwrap();
        let from = number(&traffic_of(&before).choose(point).name);
        let to = number(&traffic_of(&after).choose(point).name);
        if from != to {
            // The new backend's score must have fallen relative to the old one's. So the ratio of
            // its new share to its old share is the larger one.
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
