//! Endpoints and cohorts that no request reaches.

use std::hash::Hasher;

use fnv::FnvHasher;

use crate::finding::{Finding, Kind, Warnings};
use crate::matching::{AllOf, Match, Rule};
use crate::names::Method;
use crate::place::At;
use crate::placement::{fnv1a, mix};
use crate::policy::Endpoint;

/// A warning for each endpoint and cohort all of whose requests an earlier one takes.
pub(super) fn unreachable(endpoints: &[Endpoint]) -> Vec<Finding> {
    let mut search = Search::new(endpoints);
    let list = At::Root.member("endpoints");
    search.list(&list, endpoints.iter().map(|endpoint| (&*endpoint.name, &endpoint.matching)).collect());
    for (n, endpoint) in endpoints.iter().enumerate() {
        let cohorts = endpoint.cohorts.iter().map(|cohort| (&*cohort.name, &cohort.matching)).collect();
        search.list(&list.element(n).member("cohorts"), cohorts);
    }
    if search.is_cut_short {
        let problem = "the matches are too much alike to find all that no request reaches";
        search.warnings.add(|| Finding::warning(Kind::Unreachable, list.place(), problem, ""));
    }
    search.warnings.finish()
}

/// The search through all lists of a policy.
struct Search {
    warnings: Warnings,
    /// How many comparisons of two rules may follow. Matches can be made so that each has to be
    /// compared with all others, and loading must not take longer for it.
    comparisons: usize,
    /// Whether there were too few comparisons.
    is_cut_short: bool,
}

impl Search {
    fn new(endpoints: &[Endpoint]) -> Self {
        const AT_LEAST: usize = 1 << 20;
        const FOR_EACH_RULE: usize = 16;
        let of_cohorts = endpoints.iter().flat_map(|endpoint| &endpoint.cohorts).map(|cohort| weight(&cohort.matching));
        let rules: usize = endpoints.iter().map(|endpoint| weight(&endpoint.matching)).chain(of_cohorts).sum();
        Self { warnings: Warnings::default(), comparisons: AT_LEAST + FOR_EACH_RULE * rules, is_cut_short: false }
    }

    fn list(&mut self, list: &At<'_>, matches: Vec<(&str, &Match)>) {
        if matches.len() < 2 {
            return;
        }
        let earlier = Earlier::new(&matches);
        for (n, (name, matching)) in matches.iter().enumerate() {
            let Some(earlier) = self.earliest(&earlier, &matches, n, matching) else { continue };
            self.warnings.add(|| {
                let problem = format!("no request reaches {name:?}: {} takes them all", list.element(earlier).place());
                let remedy = "put the more specific one first";
                Finding::warning(Kind::Unreachable, list.element(n).place(), problem, remedy)
            });
        }
    }

    /// The first match before `n` that covers `matching`.
    fn earliest(&mut self, earlier: &Earlier, matches: &[(&str, &Match)], n: usize, matching: &Match) -> Option<usize> {
        let mut first = n;
        // A match that covers this one covers the first of its alternatives.
        for key in matching.0.first().map(|alternative| earlier.keys_that_cover(alternative)).unwrap_or_default() {
            for (_, candidate) in
                earlier.of(key).iter().take_while(|(other, candidate)| *other == key && *candidate < first)
            {
                let Some((_, wide)) = matches.get(*candidate) else { continue };
                let comparisons = weight(wide).saturating_mul(weight(matching));
                let Some(left) = self.comparisons.checked_sub(comparisons) else {
                    self.is_cut_short = true;
                    break;
                };
                self.comparisons = left;
                if wide.covers(matching) {
                    first = *candidate;
                    break;
                }
            }
        }
        (first < n).then_some(first)
    }
}

/// The matches of a list by their keys: a match that covers another has one of the keys that cover
/// it.
struct Earlier {
    /// How often each key occurs in the rules of the list, sorted.
    keys: Vec<u64>,
    /// Each match under the rarest key of each of its alternatives, sorted.
    by_key: Vec<(u64, usize)>,
}

/// The key of an alternative without rules.
const ANY: u64 = 0;

impl Earlier {
    fn new(matches: &[(&str, &Match)]) -> Self {
        let alternatives = || {
            matches
                .iter()
                .enumerate()
                .flat_map(|(n, (_, matching))| matching.0.iter().map(move |alternative| (n, alternative)))
        };
        let rules = || alternatives().flat_map(|(_, alternative)| &alternative.0);
        let mut keys = Vec::new();
        // Where each alternative has one key, none is rarer.
        if alternatives().any(|(_, alternative)| alternative.0.iter().flat_map(keys_of).nth(1).is_some()) {
            keys.extend(rules().flat_map(keys_of));
            keys.sort_unstable();
        }
        let mut earlier = Self { keys, by_key: Vec::new() };
        for (n, alternative) in alternatives() {
            let rarity = |rule: &&Rule| keys_of(rule).map(|key| earlier.count(key)).max();
            let rarest = match alternative.0.as_slice() {
                [only] => Some(only),
                rules => rules.iter().min_by_key(rarity),
            };
            match rarest {
                Some(rarest) => earlier.by_key.extend(keys_of(rarest).map(|key| (key, n))),
                None => earlier.by_key.push((ANY, n)),
            }
        }
        earlier.by_key.sort_unstable();
        earlier.by_key.dedup();
        earlier
    }

    /// How many rules have this key.
    fn count(&self, key: u64) -> usize {
        let start = self.keys.partition_point(|other| *other < key);
        self.keys.partition_point(|other| *other <= key) - start
    }

    /// The matches under a key, in their order, and then those under others.
    fn of(&self, key: u64) -> &[(u64, usize)] {
        let start = self.by_key.partition_point(|(other, _)| *other < key);
        self.by_key.get(start..).unwrap_or_default()
    }

    /// The keys of all alternatives that may cover this one.
    fn keys_that_cover(&self, narrow: &AllOf) -> Vec<u64> {
        let mut keys = vec![ANY];
        for rule in &narrow.0 {
            match rule {
                // Whatever covers it names all of its methods.
                Rule::Methods(_) => keys.extend(keys_of(rule).min_by_key(|key| self.count(*key))),
                Rule::Path(path) => {
                    keys.extend(keys_of(rule));
                    keys.extend(path.as_path().into_iter().flat_map(keys_of_prefixes));
                }
                _ => keys.extend(keys_of(rule)),
            }
        }
        keys.sort_unstable();
        keys.dedup();
        keys
    }
}

/// The keys of a rule: one, or for a list of methods one for each.
fn keys_of(rule: &Rule) -> impl Iterator<Item = u64> {
    let (methods, other): (&[Method], _) = match rule {
        Rule::Methods(methods) => (methods, None),
        other => (&[], Some(key(other.digest()))),
    };
    methods.iter().map(|method| !key(fnv1a(method.as_bytes()))).chain(other)
}

/// The keys of the rules that a path is under one of its own prefixes.
fn keys_of_prefixes(path: &str) -> impl Iterator<Item = u64> {
    let mut hasher = FnvHasher::default();
    let segments = path.split('/').enumerate();
    segments.map(move |(n, segment)| {
        if n > 0 {
            hasher.write(b"/");
        }
        hasher.write(segment.as_bytes());
        key(hasher.finish())
    })
}

/// Never [`ANY`].
fn key(digest: u64) -> u64 {
    mix(digest) | 1
}

/// How many things `matching` compares.
fn weight(matching: &Match) -> usize {
    let of_rule = |rule: &Rule| match rule {
        Rule::Methods(methods) => methods.len(),
        Rule::Hosts(hosts) => hosts.len(),
        Rule::SourceIp(networks) => networks.len(),
        Rule::Path(_) | Rule::Value { .. } => 1,
    };
    matching.0.iter().map(|alternative| 1 + alternative.0.iter().map(of_rule).sum::<usize>()).sum()
}
