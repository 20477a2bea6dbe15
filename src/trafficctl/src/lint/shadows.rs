//! Shadows that repeat requests with side effects, or whose copies nothing sends.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::document::outline::{list, members, plans};
use policy::limits::MIRROR_HEADER;
use policy::{Finding, Kind, Place};

/// Methods without side effects (RFC 9110, section 9.2.1).
const SAFE_METHODS: [&str; 4] = ["GET", "HEAD", "OPTIONS", "TRACE"];

/// Warns of each shadow that copies other methods, unless it lists its methods.
pub fn unsafe_shadows(document: &Value) -> impl Iterator<Item = Finding> {
    list(document, "endpoints").enumerate().flat_map(|(n, endpoint)| {
        let place = Place::root().member("endpoints").element(n);
        let methods = methods_of(endpoint).or_else(|| endpoint.get("match").and_then(methods_of_match));
        let mut findings = of_plan(&place, endpoint, methods.as_deref());
        for (n, cohort) in list(endpoint, "cohorts").enumerate() {
            let of_cohort = cohort.get("match").and_then(methods_of_match);
            let place = place.member("cohorts").element(n);
            findings.extend(of_plan(&place, cohort, of_cohort.as_deref().or(methods.as_deref())));
        }
        findings
    })
}

fn methods_of(value: &Value) -> Option<Vec<&str>> {
    Some(value.get("methods")?.as_array()?.iter().filter_map(Value::as_str).collect())
}

/// The methods that a match, or a list of matches, accepts at most; `None` for any.
fn methods_of_match(matching: &Value) -> Option<Vec<&str>> {
    match matching {
        Value::Array(alternatives) => {
            let methods: Option<Vec<_>> = alternatives.iter().map(methods_of).collect();
            methods.map(|methods| methods.concat())
        }
        _ => methods_of(matching),
    }
}

/// The warnings about an endpoint or a cohort whose requests have these methods.
fn of_plan(place: &Place, plan: &Value, methods: Option<&[&str]>) -> Vec<Finding> {
    let is_unsafe = |method: &&str| !SAFE_METHODS.contains(method);
    let copied = match methods {
        None => "every method, also POST, PUT and DELETE".to_owned(),
        Some(methods) if methods.iter().any(is_unsafe) => {
            methods.iter().copied().filter(is_unsafe).collect::<Vec<_>>().join(", ")
        }
        Some(_) => return Vec::new(),
    };
    let mut findings = Vec::new();
    for (backend, shadow) in members(plan, "shadow") {
        let fraction = shadow.get("fraction").unwrap_or(shadow).as_f64().unwrap_or_default();
        if fraction > 0.0 && shadow.get("methods").is_none() {
            let problem = format!("copies {copied}: the side effects of such a request happen twice");
            let remedy = format!(
                "list the methods that may be copied, as in {{\"fraction\": {fraction}, \"methods\": [\"GET\", \"HEAD\"]}}"
            );
            let place = place.member("shadow").member(backend);
            findings.push(Finding::warning(Kind::UnsafeShadow, place, problem, remedy));
        }
    }
    findings
}

/// Warns of each shadow that copies by Envoy's mirror, if no route mirrors by its header. `mirrors`
/// are the headers that routes mirror by.
pub fn without_mirror(document: &Value, mirrors: &BTreeSet<String>) -> impl Iterator<Item = Finding> {
    let shadows = plans(document).flat_map(|(place, plan)| {
        let place = place.member("shadow");
        members(plan, "shadow").map(move |(backend, shadow)| (place.member(backend), shadow))
    });
    shadows.filter_map(|(place, shadow)| {
        let is_on = shadow.get("fraction").and_then(Value::as_f64).is_some_and(|fraction| fraction > 0.0);
        let is_mirror = shadow.get("via").and_then(Value::as_str) == Some("mirror");
        let header = shadow.get("mirror_header").and_then(Value::as_str).unwrap_or(MIRROR_HEADER).to_ascii_lowercase();
        (is_on && is_mirror && !mirrors.contains(&header)).then(|| {
            let problem =
                format!("no route mirrors by {header:?}: copies are counted as mirrored, and nothing sends them");
            let remedy = "add a mirror policy to the route, as `trafficctl render` does, or use \"via\": \"callout\"";
            Finding::warning(Kind::Conflict, place, problem, remedy)
        })
    })
}
