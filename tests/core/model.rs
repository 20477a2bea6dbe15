//! The reference model and the core decide the same about random requests under random policies.
//!
//! The environment variable `MODEL_CASES` sets the number of requests. Run with `-- --nocapture` to
//! see what they covered.

use std::time::Instant;

use policy::Policy;
use serde_json::Value;
use testbed::model::{Case, Decided, Line, OUTCOMES, Outcomes, cases, generate};

/// What must have become of shadows.
const SHADOWED: [&str; 6] =
    ["copies", "skipped_marked", "skipped_upgrade", "skipped_method", "only_from: False", "shadow by key: True"];
/// Conditions that must have held, and sources that must have had a key.
const HELD: [&str; 33] = [
    "path exact: True",
    "path prefix: True",
    "path regex: True",
    "methods: True",
    "hosts: True",
    "headers: True",
    "cookies: True",
    "query: True",
    "source_ip: True",
    "properties: True",
    "exact: True",
    "prefix: True",
    "suffix: True",
    "contains: True",
    "regex: True",
    "present: True",
    "regex ignore_case: True",
    "key of header",
    "key of cookie",
    "key of query",
    "key of property",
    "key of source_ip",
    "key of property as number",
    "key of property as bool",
    "float as number",
    "bool as bool",
    "list as string",
    "dict as string",
    "float as string",
    "cookie comes back",
    "cookie outside its path",
    "cookie outside its domain",
    "cookie of a preflight",
];

/// The core's decision, in the reference's words.
fn decided(policy: &Policy, case: &Case) -> Decided {
    let draw = u64::from_str_radix(&case.draw, 16).unwrap();
    let new_key = || u128::from_str_radix(&case.request.new_key, 16).unwrap();
    let request = case.request.table();
    // The core has no say in these two, so they are taken from the reference.
    let near_tie = case.expected.near_tie;
    let candidates = case.expected.candidates.clone();
    let Some(decision) = policy.decide(&request, draw, new_key) else {
        let cluster = policy.default_cluster.as_ref().map(ToString::to_string);
        return Decided { cluster, reason: "none".to_owned(), near_tie, candidates, ..Decided::default() };
    };
    let mut shadows: Vec<_> = decision.shadows.iter().map(|shadow| shadow.entry.backend.name.to_string()).collect();
    let skipped = decision.skipped.iter();
    let mut skipped: Vec<_> =
        skipped.map(|(shadow, skip)| (shadow.entry.backend.name.to_string(), skip.name().to_owned())).collect();
    shadows.sort();
    skipped.sort();
    let start = |cookie: String| Some(cookie.split_inclusive(';').next()?.to_owned());
    Decided {
        endpoint: Some(decision.endpoint.name.to_string()),
        cohort: decision.cohort.map(|cohort| cohort.name.to_string()),
        backend: Some(decision.backend.name.to_string()),
        cluster: Some(decision.backend.cluster.to_string()),
        reason: decision.reason.name().to_owned(),
        candidates,
        near_tie,
        shadows,
        skipped,
        set_cookie: decision.set_cookie.and_then(start),
    }
}

#[test]
fn the_core_decides_as_the_reference_does() {
    let start = Instant::now();
    let count = cases("MODEL_CASES", 10_000);
    let mut outcomes = Outcomes::default();
    let mut differences = Vec::new();
    let (mut written, mut policy) = (Value::Null, None);
    generate(1, count, 20, |line| match line {
        Line::Policy(value) => {
            let text = value.to_string();
            let parsed = Policy::from_json(text.as_bytes()).unwrap_or_else(|errors| panic!("{text}\n{errors}"));
            (written, policy) = (value, Some(parsed.policy));
            outcomes.add("policies");
        }
        Line::Case(case) => {
            let found = decided(policy.as_ref().unwrap(), &case);
            outcomes.add("requests");
            outcomes.add_decision(&case.expected);
            if case.expected.near_tie {
                outcomes.add("near ties, not compared");
            } else if found != case.expected {
                differences.push(format!("{written}\n{case:?}\nthe core: {found:?}"));
            }
        }
        Line::Tried(tried) => outcomes.extend(tried),
    })
    .unwrap();
    outcomes.print(start.elapsed());
    let first = differences.iter().take(3).cloned().collect::<Vec<_>>().join("\n\n");
    assert!(differences.is_empty(), "{} cases differ. The first of them:\n{first}", differences.len());
    outcomes.check(&OUTCOMES, count / 100);
    outcomes.check(&SHADOWED, count / 100);
    outcomes.check(&HELD, count / 2000);
}
