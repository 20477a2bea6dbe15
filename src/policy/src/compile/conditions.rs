//! Numbers the distinct conditions of a policy.

use fnv::FnvHashMap;

use crate::matching::{Conditions, Number, Rule, Text};
use crate::policy::Endpoint;
use crate::source::Source;

/// The conditions and keys of a policy that are answered one by one. A policy with more is decided
/// sooner, and within bounds, by numbers.
const FEW: usize = 32;

/// Those among them that search all cookies, or all of the query string.
const FEW_SEARCHES: usize = 4;

/// Numbers the conditions of `endpoints`; `None` if they are few.
#[expect(clippy::mutable_key_type, reason = "a regex has the equality and the hash of its pattern")]
pub(super) fn number(endpoints: &mut [Endpoint]) -> Option<Conditions> {
    let (mut all, mut searches) = (0, 0);
    for source in endpoints.iter().flat_map(sources) {
        all += 1;
        searches += usize::from(matches!(source, Source::Cookie(_) | Source::Query(_)));
    }
    if all <= FEW && searches <= FEW_SEARCHES {
        return None;
    }
    let mut conditions = Conditions::default();
    let mut sources: FnvHashMap<Source, usize> = FnvHashMap::default();
    let mut texts: FnvHashMap<(usize, Text), usize> = FnvHashMap::default();
    for endpoint in endpoints {
        for key in endpoint.affinity.iter().flat_map(|affinity| &affinity.keys) {
            sources.entry(key.clone()).or_insert_with(|| conditions.add_source(key));
        }
        let of_cohorts = endpoint.cohorts.iter_mut().map(|cohort| &mut cohort.matching);
        let alternatives =
            std::iter::once(&mut endpoint.matching).chain(of_cohorts).flat_map(|matching| &mut matching.0);
        for rule in alternatives.flat_map(|alternative| &mut alternative.0) {
            if let Rule::Value { source, text, number, .. } = rule {
                let source = *sources.entry(source.clone()).or_insert_with(|| conditions.add_source(source));
                let condition = *texts.entry((source, text.clone())).or_insert_with(|| conditions.add(source, text));
                *number = Number { source, condition };
            }
        }
    }
    Some(conditions)
}

/// The sources of all conditions and keys of `endpoint`, one for each.
fn sources(endpoint: &Endpoint) -> impl Iterator<Item = &Source> {
    let of_cohorts = endpoint.cohorts.iter().map(|cohort| &cohort.matching);
    let rules = std::iter::once(&endpoint.matching).chain(of_cohorts).flat_map(|matching| &matching.0);
    let of_rules = rules.flat_map(|alternative| &alternative.0).filter_map(|rule| match rule {
        Rule::Value { source, .. } => Some(source),
        _ => None,
    });
    of_rules.chain(endpoint.affinity.iter().flat_map(|affinity| &affinity.keys))
}
