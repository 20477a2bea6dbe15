//! The part of the users that moves when shares change, computed exactly from the shares.
//!
//! The score of a backend is an exponential variable divided by its share. The chance that one
//! backend serves a user before and another one after is therefore an integral with a closed form.

use std::collections::BTreeMap;

use policy::Traffic;

/// The part of the users for each pair of backends, before and after.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Movement(pub BTreeMap<(String, String), f64>);

/// The sums of a movement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moved {
    /// The part of the users whose backend changes.
    pub moved: f64,
    /// The part that any placement has to move for these shares, at least.
    pub least: f64,
    /// The part that moves from a backend that keeps its share to one that gains none.
    pub needless: f64,
}

/// Shares by backend.
pub type Shares = BTreeMap<String, f64>;

/// How far equal shares may differ: they are divided by their sum, which changes the last bits.
pub const ROUNDING: f64 = 1e-12;

/// Whether the shares are equal.
pub fn is_alike(before: &Shares, after: &Shares) -> bool {
    before.len() == after.len() && before.iter().all(|(name, part)| (part - share(after, name)).abs() <= ROUNDING)
}

/// The shares of some traffic, by backend.
pub fn shares(traffic: &Traffic) -> Shares {
    traffic.shares().map(|(backend, share)| (backend.name.to_string(), share)).collect()
}

/// The shares of some traffic, by what the placement hashes of each backend.
fn shares_of_variants(traffic: &Traffic) -> Shares {
    traffic.shares().map(|(backend, share)| (backend.variant.to_string(), share)).collect()
}

impl Movement {
    /// The movement of users that keep their keys and their salt.
    pub fn of_placed(before: &Traffic, after: &Traffic) -> Self {
        let (old, new) = (shares_of_variants(before), shares_of_variants(after));
        let part = |from: &str, to: &str| if from == to { stay(&old, &new, from) } else { go(&old, &new, from, to) };
        let mut parts = BTreeMap::new();
        for (from, _) in before.shares() {
            for (to, _) in after.shares() {
                parts.insert((from.name.to_string(), to.name.to_string()), part(&from.variant, &to.variant));
            }
        }
        Self(parts)
    }

    /// The movement of users that are placed again, by another salt or another key.
    pub fn of_unrelated(before: &Shares, after: &Shares) -> Self {
        let pairs = before.keys().flat_map(|from| after.keys().map(move |to| (from, to)));
        let part = |from: &str, to: &str| share(before, from) * share(after, to);
        Self(pairs.map(|(from, to)| ((from.clone(), to.clone()), part(from, to))).collect())
    }

    /// The movement of users that were seen: for each, the backend before and the backend after.
    pub fn of_seen<'a>(seen: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut counts: BTreeMap<(String, String), f64> = BTreeMap::new();
        let mut total = 0.0;
        for (from, to) in seen {
            *counts.entry((from.to_owned(), to.to_owned())).or_default() += 1.0;
            total += 1.0;
        }
        Self(counts.into_iter().map(|(pair, count)| (pair, count / total)).collect())
    }

    /// The part of the users that moves from one backend to another.
    pub fn part(&self, from: &str, to: &str) -> f64 {
        self.0.get(&(from.to_owned(), to.to_owned())).copied().unwrap_or_default()
    }

    /// Sums up the users that move, and those that move needlessly.
    pub fn moved(&self, before: &Shares, after: &Shares) -> Moved {
        let (mut moved, mut needless) = (0.0, 0.0);
        for ((from, to), part) in self.0.iter().filter(|((from, to), _)| from != to) {
            moved += part;
            if is_needless(before, after, from, to) {
                needless += part;
            }
        }
        let least = before.iter().map(|(backend, before)| (before - share(after, backend)).max(0.0)).sum();
        Moved { moved, least, needless }
    }
}

/// Whether such a move is needless: the one backend keeps its share, and the other one gains none.
pub fn is_needless(before: &Shares, after: &Shares, from: &str, to: &str) -> bool {
    let lost = share(before, from) - share(after, from);
    let gained = share(after, to) - share(before, to);
    from != to && lost <= ROUNDING && gained <= ROUNDING
}

fn share(shares: &Shares, backend: &str) -> f64 {
    shares.get(backend).copied().unwrap_or_default()
}

/// The part of the users that `backend` serves before and after: it has the lowest score both
/// times.
fn stay(before: &Shares, after: &Shares, backend: &str) -> f64 {
    let (p, q) = (share(before, backend), share(after, backend));
    let all = before.keys().chain(after.keys().filter(|name| !before.contains_key(*name)));
    1.0 / all.map(|other| (share(before, other) / p).max(share(after, other) / q)).sum::<f64>()
}

/// The part of the users that goes from one backend to another.
///
/// Let x and y be the exponential variables of the two, and t = y / x. Then t lies between the
/// ratios of their shares, and each other backend loses against both. The integral over x is
/// 1 / (a + b t)². Here a and b change only where another backend starts to lose against the second
/// of the two before it loses against the first.
fn go(before: &Shares, after: &Shares, from: &str, to: &str) -> f64 {
    let (p, q) = (share(before, from), share(after, to));
    let (start, end) = (share(before, to) / p, q / share(after, from));
    if start >= end {
        return 0.0;
    }
    let others: Vec<(f64, f64)> = before
        .keys()
        .chain(after.keys().filter(|name| !before.contains_key(*name)))
        .filter(|name| *name != from && *name != to)
        .map(|name| (share(before, name) / p, share(after, name) / q))
        .collect();
    let mut cuts: Vec<f64> = others.iter().map(|(a, b)| a / b).filter(|cut| start < *cut && *cut < end).collect();
    cuts.extend([start, end]);
    cuts.sort_by(f64::total_cmp);
    let integral = |window: &[f64; 2]| {
        let [low, high] = *window;
        let middle = if high.is_finite() { (low + high) / 2.0 } else { low * 2.0 + 1.0 };
        let (mut constant, mut slope) = (1.0, 1.0);
        for (a, b) in &others {
            if *a > middle * b { constant += a } else { slope += b }
        }
        let at_low = constant + slope * low;
        if high.is_finite() { (high - low) / (at_low * (constant + slope * high)) } else { 1.0 / (slope * at_low) }
    };
    cuts.array_windows().map(integral).sum()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use policy::placement::mix;
    use policy::{Backend, Traffic};

    use super::{Moved, Movement, shares};

    /// Traffic of backends, each written as its name, or as `name/variant`.
    fn traffic(shares: &[(&str, f64)]) -> Traffic {
        let backend = |name: &str| {
            let (name, variant) = name.split_once('/').unwrap_or((name, name));
            Arc::new(Backend { variant: variant.parse().unwrap(), ..name.parse().unwrap() })
        };
        Traffic::new(shares.iter().map(|(name, share)| (backend(name), *share))).unwrap()
    }

    type Shares = &'static [(&'static str, f64)];

    const CHANGES: [(Shares, Shares); 9] = [
        (&[("a", 0.9), ("b", 0.1)], &[("a", 0.8), ("b", 0.2)]),
        (&[("a", 1.0)], &[("b", 1.0)]),
        (&[("a", 0.5), ("b", 0.5)], &[("b", 0.5), ("c", 0.5)]),
        (&[("a", 0.99), ("b", 0.01)], &[("a", 0.98), ("b", 0.01), ("c", 0.01)]),
        (&[("a", 0.5), ("b", 0.3), ("c", 0.2)], &[("a", 0.2), ("b", 0.3), ("c", 0.5)]),
        (&[("a", 0.4), ("b", 0.3), ("c", 0.2), ("d", 0.1)], &[("a", 0.1), ("b", 0.4), ("c", 0.1), ("e", 0.4)]),
        (&[("a", 0.7), ("b", 0.3)], &[("a", 0.7), ("b", 0.3)]),
        (&[("a/x", 0.6), ("b/y", 0.4)], &[("a/x", 0.5), ("b/y", 0.2), ("c/z", 0.3)]),
        (&[("b/y", 0.4), ("a/z", 0.6)], &[("c/y", 0.6), ("a/z", 0.4)]),
    ];

    #[test]
    fn the_formula_agrees_with_the_placement() {
        const USERS: u32 = 400_000;
        for (before, after) in CHANGES {
            let (before, after) = (traffic(before), traffic(after));
            let points = (0..USERS).map(|n| mix(u64::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15)));
            let seen: Vec<_> = points.map(|point| (before.choose(point), after.choose(point))).collect();
            let seen = Movement::of_seen(seen.iter().map(|(from, to)| (&*from.name, &*to.name)));
            let exact = Movement::of_placed(&before, &after);
            for ((from, to), part) in &exact.0 {
                // Six standard deviations.
                let bound = 6.0 * (part * (1.0 - part) / f64::from(USERS)).sqrt() + 1e-9;
                let count = seen.part(from, to);
                assert!((part - count).abs() <= bound, "{from} to {to}: {part} and not {count}");
            }
            assert!((exact.0.values().sum::<f64>() - 1.0).abs() < 1e-12);
            for (backend, share) in shares(&before) {
                let left: f64 = exact.0.iter().filter(|((from, _), _)| *from == backend).map(|(_, part)| part).sum();
                assert!((left - share).abs() < 1e-12, "{backend}: {left} and not {share}");
            }
        }
    }

    #[test]
    fn a_change_of_shares_moves_no_user_needlessly() {
        for (before, after) in CHANGES {
            let (before, after) = (traffic(before), traffic(after));
            let movement = Movement::of_placed(&before, &after);
            let moved = movement.moved(&shares(&before), &shares(&after));
            assert_eq!(moved.needless, 0.0);
            assert!(
                moved.least <= moved.moved + 1e-12 && moved.moved <= 2.0 * moved.least / (1.0 + moved.least) + 1e-12
            );
        }
    }

    #[test]
    fn another_variant_moves_users_needlessly_and_another_name_moves_them_all() {
        let before = traffic(&[("a", 0.5), ("b", 0.5)]);
        let moved = |after: &[(&str, f64)]| {
            let after = traffic(after);
            Movement::of_placed(&before, &after).moved(&shares(&before), &shares(&after))
        };
        let new_variant = moved(&[("a", 0.5), ("b/c", 0.5)]);
        assert!(new_variant.moved > 0.3 && new_variant.needless == new_variant.moved, "{new_variant:?}");
        // The users of b are now those of c, and nobody else moves.
        assert_eq!(moved(&[("a", 0.5), ("c/b", 0.5)]), Moved { moved: 0.5, least: 0.5, needless: 0.0 });
    }

    #[test]
    fn another_salt_moves_users_needlessly() {
        let shares = shares(&traffic(&[("a", 0.5), ("b", 0.5)]));
        let moved = Movement::of_unrelated(&shares, &shares).moved(&shares, &shares);
        assert_eq!(moved, Moved { moved: 0.5, least: 0.0, needless: 0.5 });
    }
}
