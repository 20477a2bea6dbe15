//! How much a policy has of what takes more memory than its part of the document.

use crate::config::{EndpointConfig, MatchConfig, MatchFields};
use crate::finding::Errors;
use crate::limits::{REGEXES, SHADOWS, SHORTHAND_COPIES};
use crate::place::At;

/// The amounts of the endpoints so far.
#[derive(Default)]
pub(super) struct Amounts {
    regexes: Amount<REGEXES>,
    shadows: Amount<SHADOWS>,
    copies: Amount<SHORTHAND_COPIES>,
}

/// A number of things that is at most `MAX`.
#[derive(Default)]
struct Amount<const MAX: usize>(usize);

impl Amounts {
    /// Counts what an endpoint has, before any of it takes memory. Whether that may be compiled.
    ///
    /// The first endpoint with which there is too much of something is an error.
    pub(super) fn add(&mut self, at: &At<'_>, endpoint: &EndpointConfig, errors: &mut Errors) -> bool {
        let cohorts = &endpoint.cohorts;
        let matches = cohorts.iter().map(|cohort| &cohort.matching).chain(&endpoint.matching);
        let regexes = matches.map(regexes).sum();
        let own: usize = cohorts.iter().map(|cohort| cohort.shadow.len()).sum();
        let shadows = endpoint.shadow.len().saturating_mul(cohorts.len() + 1).saturating_add(own);
        let remedy = "compare with `exact` or `prefix` where that will do";
        let are_few = self.regexes.add(regexes, at, "regexes", remedy, errors);
        let remedy = "name fewer in `shadow`: each cohort has those of its endpoint, too";
        let are_few = self.shadows.add(shadows, at, "shadows", remedy, errors) && are_few;
        let remedy = "make the list in `match` shorter, or `route` and `methods` beside it";
        self.copies.add(copies(endpoint), at, "copies of `route` and `methods`", remedy, errors) && are_few
    }
}

impl<const MAX: usize> Amount<MAX> {
    fn add(&mut self, more: usize, at: &At<'_>, what: &str, remedy: &'static str, errors: &mut Errors) -> bool {
        let before = self.0;
        self.0 = before.saturating_add(more);
        if before <= MAX && self.0 > MAX {
            let problem = format!("with this endpoint, the policy has {} {what}: more than {MAX}", self.0);
            errors.refuse(at, problem, remedy);
        }
        self.0 <= MAX
    }
}

/// Each alternative of an endpoint has its `route` and `methods`: the methods, and each started 64
/// bytes of the route, for each alternative after the first.
fn copies(endpoint: &EndpointConfig) -> usize {
    const ROUTE_BYTES: usize = 64;
    let alternatives = match &endpoint.matching {
        Some(MatchConfig::AnyOf(list)) => list.len(),
        Some(MatchConfig::One(_)) | None => 1,
    };
    let route = endpoint.route.as_ref().map_or(0, |route| route.len().div_ceil(ROUTE_BYTES));
    let methods = endpoint.methods.as_ref().map_or(0, Vec::len);
    alternatives.saturating_sub(1).saturating_mul(route + methods)
}

fn regexes(matching: &MatchConfig) -> usize {
    match matching {
        MatchConfig::One(fields) => regexes_of(fields),
        MatchConfig::AnyOf(list) => list.iter().map(regexes_of).sum(),
    }
}

fn regexes_of(fields: &MatchFields) -> usize {
    let MatchFields { path, methods: _, hosts: _, headers, cookies, query, source_ip: _, properties } = fields;
    let of_path = path.iter().filter(|path| path.regex.is_some()).count();
    let values = [headers, cookies, query].into_iter().flatten().flatten();
    let of_values = values.filter(|value| value.regex.is_some()).count();
    of_path + of_values + properties.iter().flatten().filter(|property| property.regex.is_some()).count()
}
