//! The traffic as JSON.

use serde_json::{Map, Value, json};

use super::picture::{ChoiceRow, Group, Picture, ShadowRow};
use super::refusal::Refusal;

/// The traffic, and the updates that the proxy refused, as JSON.
pub fn of(picture: &Picture, refusals: &[Refusal]) -> Value {
    let groups = || picture.groups.iter();
    let misrouted = groups().filter(|group| group.misrouted > 0.0);
    let misrouted: Map<_, _> = misrouted.map(|group| (group.endpoint.clone(), json!(group.misrouted))).collect();
    let policies = picture.policies.iter();
    let policies: Vec<_> =
        policies.map(|(name, hash)| json!({ "name": null_if_empty(name), "hash": hash_in_words(*hash) })).collect();
    json!({
        "policy": picture.policies.values().next().filter(|_| policies.len() == 1).map(|hash| hash_in_words(*hash)),
        "policies": policies,
        "refused": refusals.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "seconds": picture.seconds,
        "traffic": groups().flat_map(|group| group.choices.iter().map(|row| choice(group, row))).collect::<Vec<_>>(),
        "shadows": groups().flat_map(|group| group.shadows.iter().map(|row| shadow(group, row))).collect::<Vec<_>>(),
        "misrouted_samples": misrouted,
    })
}

fn hash_in_words(hash: u64) -> String {
    format!("{hash:014x}")
}

fn choice(group: &Group, row: &ChoiceRow) -> Value {
    json!({
        "endpoint": group.endpoint,
        "cohort": null_if_empty(&group.cohort),
        "backend": row.backend,
        "requests_per_second": row.rate,
        "share_asked": row.asked,
        "share_seen": row.seen,
        "errors": row.errors,
        "p50_milliseconds": row.p50,
        "p99_milliseconds": row.p99,
    })
}

fn shadow(group: &Group, row: &ShadowRow) -> Value {
    let results: Map<_, _> = row.results.iter().map(|(name, part)| (name.clone(), json!(part))).collect();
    json!({
        "endpoint": group.endpoint,
        "cohort": null_if_empty(&group.cohort),
        "backend": row.backend,
        "copies_per_second": row.rate,
        "results": results,
        "in_flight": row.in_flight,
        "p50_milliseconds": row.p50,
        "p99_milliseconds": row.p99,
    })
}

fn null_if_empty(name: &str) -> Option<&str> {
    (!name.is_empty()).then_some(name)
}
