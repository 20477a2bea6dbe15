//! The size up to which a policy is checked.
//!
//! Kubernetes stops an expression, or all of them, that take too long. A policy that is too large is
//! left to the filter as a whole: the limits apply to what is measured, not to a guess.

use super::cel::{has, member};
use super::section::POLICY;

/// The most endpoints of a policy that is checked, and the most cohorts.
const CHOICES: usize = 1000;

/// The most parts of a policy that is checked: fields and elements of endpoints and cohorts. The
/// check of so many takes one to two seconds.
const PARTS: usize = 5000;

/// Whether a policy has more of something: a bool in CEL, for a policy of any shape. What is cheap to
/// count comes first, so that the count itself is within the limits.
pub fn is_large() -> String {
    // The alternatives of a match take longest.
    let of = |object: &str, key: &str| {
        let value = format!("{object}[{key}]");
        format!(
            "{object}.map({key}, type({value}) == list || type({value}) == map \
             ? size({value}) * ({key} == 'match' ? 2 : 1) : 1).sum()"
        )
    };
    let in_cohorts = |sum: &str| format!("('cohorts' in e && type(e['cohorts']) == list ? {sum} : 0)");
    let endpoints = member(POLICY, "endpoints");
    let cohorts = format!("{endpoints}.map(e, type(e) == map ? {} : 0).sum()", in_cohorts("size(e['cohorts'])"));
    let of_cohorts = in_cohorts(&format!("e['cohorts'].map(c, type(c) == map ? {} : 1).sum()", of("c", "k")));
    let parts = format!("{endpoints}.map(e, type(e) == map ? {} + {of_cohorts} : 1).sum()", of("e", "k"));
    let is_policy = format!("type({POLICY}) == map && {} && type({endpoints}) == list", has(POLICY, "endpoints"));
    format!("{is_policy} && (size({endpoints}) > {CHOICES} || {cohorts} > {CHOICES} || {parts} > {PARTS})")
}
