//! Endpoints and cohorts that no request reaches.

use fnv::FnvHashMap;

use crate::finding::{Finding, Kind};
use crate::matching::{Match, Rule};
use crate::place::At;
use crate::policy::Endpoint;

/// A warning for each endpoint and cohort all of whose requests an earlier one takes.
pub(super) fn unreachable(endpoints: &[Endpoint]) -> Vec<Finding> {
    let list = At::Root.member("endpoints");
    let matches: Vec<(&str, _)> = endpoints.iter().map(|endpoint| (&*endpoint.name, &endpoint.matching)).collect();
    let mut warnings = hidden(&list, &matches);
    for (n, endpoint) in endpoints.iter().enumerate() {
        let endpoint_at = list.element(n);
        let cohorts = endpoint.cohorts.iter();
        let matches: Vec<(&str, _)> = cohorts.map(|cohort| (&*cohort.name, &cohort.matching)).collect();
        warnings.extend(hidden(&endpoint_at.member("cohorts"), &matches));
    }
    warnings
}

fn hidden(list: &At<'_>, matches: &[(&str, &Match)]) -> Vec<Finding> {
    let mut warnings = Vec::new();
    let mut earlier = Earlier::default();
    for (n, (name, matching)) in matches.iter().enumerate() {
        let covers = |earlier: usize| matches.get(earlier).is_some_and(|(_, earlier)| earlier.covers(matching));
        if let Some(earlier) = earlier.candidates(matching).into_iter().find(|earlier| covers(*earlier)) {
            let other = list.element(earlier).place();
            let problem = format!("no request reaches {name:?}: {other} takes them all");
            let remedy = "put the more specific one first";
            warnings.push(Finding::warning(Kind::Unreachable, list.element(n).place(), problem, remedy));
        }
        earlier.push(n, matching);
    }
    warnings
}

/// Matches by the rule that they ask first: comparing each of ten thousand with all others takes
/// seconds.
#[derive(Default)]
struct Earlier {
    by_rule: FnvHashMap<u64, Vec<usize>>,
    /// Those that may cover a match with another first rule.
    others: Vec<usize>,
}

impl Earlier {
    fn push(&mut self, n: usize, matching: &Match) {
        for alternative in &matching.0 {
            match alternative.0.first() {
                None | Some(Rule::Methods(_)) => self.others.push(n),
                Some(rule) => self.by_rule.entry(rule.digest()).or_default().push(n),
            }
        }
    }

    /// All that may cover `matching`, in order. A match that covers it covers the first of its
    /// alternatives.
    fn candidates(&self, matching: &Match) -> Vec<usize> {
        let mut candidates = self.others.clone();
        for rule in matching.0.first().into_iter().flat_map(|alternative| &alternative.0) {
            for digest in std::iter::once(rule.digest()).chain(rule.digests_of_prefixes()) {
                candidates.extend(self.by_rule.get(&digest).into_iter().flatten());
            }
        }
        candidates.sort_unstable();
        candidates.dedup();
        candidates
    }
}
