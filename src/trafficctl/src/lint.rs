//! What is valid but may not be meant.

use std::collections::{BTreeMap, BTreeSet};

use policy::{Policy, Traffic, member};
use serde_json::Value;

use crate::check::{Finding, did_you_mean};
use crate::tree::{Step, in_words};

/// Methods that change nothing on the server (RFC 9110, section 9.2.1).
const SAFE_METHODS: [&str; 4] = ["GET", "HEAD", "OPTIONS", "TRACE"];

/// How many requests a day a share should show at least.
const REQUESTS_A_DAY: f64 = 10.0;

/// What is known beside the policy.
#[derive(Default)]
pub struct Context {
    /// The clusters of the proxy, if all are known.
    pub clusters: Option<BTreeSet<String>>,
    pub requests_per_second: Option<f64>,
    /// Whether the policy is being changed: what is not used yet, or only once, is no news then.
    pub is_change: bool,
}

/// All that is odd about `policy`, whose text is `document`.
pub fn lint(document: &Value, policy: &Policy, context: &Context) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (n, endpoint) in list(document, "endpoints").enumerate() {
        let place = format!("endpoints[{n}]");
        let methods = methods_of(endpoint).or_else(|| endpoint.get("match").and_then(methods_of_match));
        unsafe_shadows(&place, endpoint, methods.as_ref(), &mut findings);
        for (n, cohort) in list(endpoint, "cohorts").enumerate() {
            let of_cohort = cohort.get("match").and_then(methods_of_match);
            unsafe_shadows(
                &format!("{place}.cohorts[{n}]"),
                cohort,
                of_cohort.as_ref().or(methods.as_ref()),
                &mut findings,
            );
        }
    }
    let named = names(document);
    match &context.clusters {
        Some(clusters) => unknown_clusters(document, &named, clusters, &mut findings),
        None if context.is_change => (),
        None => named_once(document, &named, &mut findings),
    }
    if !context.is_change {
        never_used(document, &named, &mut findings);
    }
    if let Some(rate) = context.requests_per_second {
        tiny_shares(policy, rate, &mut findings);
    }
    findings
}

fn list<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn members<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    value.get(name).and_then(Value::as_object).into_iter().flatten()
}

fn methods_of(value: &Value) -> Option<Vec<&str>> {
    Some(value.get("methods")?.as_array()?.iter().filter_map(Value::as_str).collect())
}

/// The methods that a match, or a list of matches, takes at most; `None` for any.
fn methods_of_match(matching: &Value) -> Option<Vec<&str>> {
    match matching {
        Value::Array(alternatives) => {
            let methods: Option<Vec<_>> = alternatives.iter().map(methods_of).collect();
            methods.map(|methods| methods.concat())
        }
        _ => methods_of(matching),
    }
}

fn unsafe_shadows(place: &str, plan: &Value, methods: Option<&Vec<&str>>, findings: &mut Vec<Finding>) {
    let is_unsafe = |method: &&str| !SAFE_METHODS.contains(method);
    let what = match methods {
        None => "every method, also POST, PUT and DELETE".to_owned(),
        Some(methods) if methods.iter().any(is_unsafe) => {
            methods.iter().copied().filter(is_unsafe).collect::<Vec<_>>().join(", ")
        }
        Some(_) => return,
    };
    for (backend, shadow) in members(plan, "shadow") {
        let fraction = shadow.get("fraction").unwrap_or(shadow).as_f64().unwrap_or_default();
        if fraction > 0.0 && shadow.get("methods").is_none() {
            let problem = format!("copies {what}: what such a request does would be done twice");
            let remedy = format!(
                "name the methods that may be copied, as in {{\"fraction\": {fraction}, \"methods\": [\"GET\", \"HEAD\"]}}"
            );
            findings.push(Finding::warning(member(&member(place, "shadow"), backend), problem, remedy));
        }
    }
}

/// A place at which a backend is named.
#[derive(Clone)]
pub struct Place {
    pub path: Vec<Step>,
    /// Whether it has a share or a fraction of 0 there.
    pub is_idle: bool,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&in_words(&self.path))
    }
}

/// Where each backend is named, but for the list of backends.
pub fn names(document: &Value) -> BTreeMap<&str, Vec<Place>> {
    let mut named: BTreeMap<&str, Vec<Place>> = BTreeMap::new();
    for (n, endpoint) in list(document, "endpoints").enumerate() {
        let path: Vec<Step> = vec!["endpoints".into(), n.into()];
        names_of_plan(&path, endpoint, &mut named);
        for (n, cohort) in list(endpoint, "cohorts").enumerate() {
            names_of_plan(&[path.as_slice(), &["cohorts".into(), n.into()]].concat(), cohort, &mut named);
        }
    }
    named
}

fn names_of_plan<'a>(path: &[Step], plan: &'a Value, named: &mut BTreeMap<&'a str, Vec<Place>>) {
    for field in ["traffic", "shadow"] {
        for (backend, value) in members(plan, field) {
            let path = [path, &[field.into(), backend.as_str().into()]].concat();
            for (n, from) in list(value, "only_from").enumerate() {
                let path = [path.as_slice(), &["only_from".into(), n.into()]].concat();
                named.entry(from.as_str().unwrap_or_default()).or_default().push(Place { path, is_idle: false });
            }
            let is_idle = value.get("fraction").unwrap_or(value).as_f64() == Some(0.0);
            named.entry(backend).or_default().push(Place { path, is_idle });
        }
    }
}

fn is_listed(document: &Value, backend: &str) -> bool {
    document.get("backends").is_some_and(|backends| backends.get(backend).is_some())
}

fn never_used(document: &Value, named: &BTreeMap<&str, Vec<Place>>, findings: &mut Vec<Finding>) {
    for (backend, _) in members(document, "backends") {
        if !named.contains_key(backend.as_str()) {
            let mut finding = Finding::warning(
                member("backends", backend),
                "the backend is listed and never used",
                "use it, or delete it",
            );
            finding.help = did_you_mean(backend, named.keys().copied().filter(|name| !is_listed(document, name)));
            findings.push(finding);
        }
    }
}

/// A name that occurs once may be a slip of the pen. All of them make one warning: a policy may have many.
fn named_once(document: &Value, named: &BTreeMap<&str, Vec<Place>>, findings: &mut Vec<Finding>) {
    let is_alone = |(backend, places): &(&&str, &Vec<Place>)| places.len() == 1 && !is_listed(document, backend);
    let alone: Vec<_> = named.iter().filter(is_alone).collect();
    let Some((first, _)) = alone.first() else { return };
    let names: Vec<_> = alone.iter().map(|(backend, _)| format!("{backend:?}")).collect();
    let problem = match names.as_slice() {
        [only] => format!("the backend {only} is named only here"),
        _ => format!("the backends {} are each named only once", names.join(", ")),
    };
    let mut finding = Finding::warning("", problem, "check the spelling, or list what is meant under `backends`");
    finding.places = alone.iter().flat_map(|(_, places)| places.iter().map(Place::to_string)).collect();
    if alone.len() == 1 {
        finding.help = did_you_mean(first, named.keys().copied());
    }
    findings.push(finding);
}

fn unknown_clusters(
    document: &Value,
    named: &BTreeMap<&str, Vec<Place>>,
    clusters: &BTreeSet<String>,
    findings: &mut Vec<Finding>,
) {
    let known = || clusters.iter().map(String::as_str);
    let mut missing = |place: &str, cluster: &str| {
        if !clusters.contains(cluster) {
            let mut finding = Finding::warning(
                place,
                format!("Envoy's configuration has no cluster {cluster:?}"),
                "add it, or name one that is there",
            );
            finding.help = did_you_mean(cluster, known());
            findings.push(finding);
        }
    };
    if let Some(cluster) = document.get("default_cluster").and_then(Value::as_str) {
        missing("default_cluster", cluster);
    }
    for (backend, places) in named {
        let cluster =
            document.pointer("/backends").and_then(|backends| backends.get(*backend)?.get("cluster")?.as_str());
        match (cluster, places.first()) {
            (Some(cluster), _) => missing(&member(&member("backends", backend), "cluster"), cluster),
            (None, Some(place)) => missing(&place.to_string(), backend),
            (None, None) => (),
        }
    }
}

fn tiny_shares(policy: &Policy, rate: f64, findings: &mut Vec<Finding>) {
    for (n, endpoint) in policy.endpoints().enumerate() {
        let place = format!("endpoints[{n}]");
        tiny_shares_of(&place, endpoint.traffic(), rate, findings);
        for (n, cohort) in endpoint.cohorts().enumerate() {
            tiny_shares_of(&format!("{place}.cohorts[{n}]"), cohort.traffic(), rate, findings);
        }
    }
}

fn tiny_shares_of(place: &str, traffic: &Traffic, rate: f64, findings: &mut Vec<Finding>) {
    for (backend, share) in traffic.shares() {
        let a_day = rate * share * 86_400.0;
        if a_day < REQUESTS_A_DAY {
            let problem = format!("at {rate} requests a second this share shows {a_day:.1} of them in a day");
            let remedy = "too few to tell a good backend from a bad one: give it a larger share, or shadow it first";
            findings.push(Finding::warning(member(&member(place, "traffic"), &backend.name), problem, remedy));
        }
    }
}
