//! The traffic as JSON.

use serde_json::{Map, Value, json};

use super::picture::{ChoiceRow, Picture, ShadowRow};

/// The traffic as JSON.
pub fn of(picture: &Picture) -> Value {
    json!({
        "policy": picture.policy.map(|hash| format!("{hash:014x}")),
        "seconds": picture.seconds,
        "traffic": picture.rows.iter().map(choice).collect::<Vec<_>>(),
        "shadows": picture.shadows.iter().map(shadow).collect::<Vec<_>>(),
    })
}

fn choice(row: &ChoiceRow) -> Value {
    json!({
        "endpoint": row.labels.endpoint,
        "cohort": null_if_empty(&row.labels.cohort),
        "backend": row.labels.backend,
        "requests_per_second": row.rate,
        "share_asked": row.asked,
        "share_seen": row.seen,
        "errors": row.errors,
        "p50_milliseconds": row.p50,
        "p99_milliseconds": row.p99,
    })
}

fn shadow(row: &ShadowRow) -> Value {
    let results: Map<_, _> = row.results.iter().map(|(name, part)| (name.clone(), json!(part))).collect();
    json!({
        "endpoint": row.labels.endpoint,
        "cohort": null_if_empty(&row.labels.cohort),
        "backend": row.labels.backend,
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
