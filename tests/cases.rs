//! The tables of cases, run by the native core. `tests/envoy.rs` runs the same in a real Envoy.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod table_request;

use std::collections::{BTreeMap, BTreeSet};

use policy::{Copied, Decision, Policy, Reason};
use table_request::TableRequest;
use testbed::cases::{self, Case, Expected};

/// The request of a case.
fn request_of(case: &Case) -> TableRequest {
    let lower_case = |(name, value): (String, Vec<u8>)| {
        let name = name.to_ascii_lowercase();
        (if name == "host" { ":authority".to_owned() } else { name }, value)
    };
    let mut headers: Vec<_> = case.headers().into_iter().map(lower_case).collect();
    headers.push((":method".to_owned(), case.method.clone().into_bytes()));
    headers.push((":path".to_owned(), case.path.clone().into_bytes()));
    let path = |key: &str| ["metadata", "filter_metadata", "test", key].map(str::to_owned).to_vec();
    TableRequest {
        headers,
        source: case.source.map(|ip| std::net::SocketAddr::new(ip, 50_000).to_string()),
        properties: case.metadata.iter().map(|(key, value)| (path(key), value.clone())).collect(),
    }
}

fn check(decision: Option<&Decision>, expected: Option<&Expected>, rule: &str) {
    let (Some(decision), Some(expected)) = (decision, expected) else {
        assert!(decision.is_none() && expected.is_none(), "{rule}: {decision:?} and not {expected:?}");
        return;
    };
    assert_eq!(&*decision.endpoint.name, expected.endpoint, "{rule}");
    assert_eq!(decision.cohort.map(|cohort| &*cohort.name), expected.cohort.as_deref(), "{rule}");
    assert!(expected.backend.contains(&decision.backend.name), "{rule}: {} serves", decision.backend.name);
    assert_eq!(decision.reason.name(), expected.reason, "{rule}");
    let shadows: Vec<_> = decision.shadows.iter().map(|shadow| &shadow.backend.name).collect();
    assert_eq!(shadows, expected.shadows.iter().collect::<Vec<_>>(), "{rule}");
    let skipped: Vec<_> =
        decision.skipped.iter().map(|(shadow, skip)| (shadow.backend.name.clone(), skip.name().to_owned())).collect();
    assert_eq!(skipped, expected.skipped, "{rule}");
}

#[test]
fn the_core_decides_as_the_tables_say() {
    let mut count = 0;
    for table in cases::tables().unwrap() {
        let parsed = Policy::from_json(table.policy.to_string().as_bytes())
            .unwrap_or_else(|errors| panic!("{}: {errors}", table.file));
        assert_eq!(parsed.warnings, [], "{}", table.file);
        for case in &table.cases {
            let rule = format!("{}: {}", table.file, case.rule);
            let request = request_of(case);
            for draw in [0, 1, u64::MAX, 0x0123_4567_89ab_cdef] {
                let decision = parsed.policy.decide(&request, draw, || u128::from(draw));
                check(decision.as_ref(), case.decision.as_ref(), &rule);
                let cluster = match &decision {
                    Some(decision) => Some(&decision.backend.cluster),
                    None => parsed.policy.default_cluster.as_ref(),
                };
                match &case.cluster {
                    Some(expected) => assert_eq!(cluster, expected.as_ref(), "{rule}"),
                    None => assert_eq!(cluster, decision.as_ref().map(|decision| &decision.backend.name), "{rule}"),
                }
            }
            count += 1;
        }
    }
    assert!(count > 40, "only {count} cases");
}

#[test]
fn an_explanation_is_of_the_decision() {
    for table in cases::tables().unwrap() {
        let policy = Policy::from_json(table.policy.to_string().as_bytes()).unwrap().policy;
        for case in &table.cases {
            let rule = format!("{}: {}", table.file, case.rule);
            let request = request_of(case);
            let explanation = policy.explain(&request);
            for draw in [0, 1, u64::MAX, 0x0123_4567_89ab_cdef] {
                let Some(decision) = policy.decide(&request, draw, || u128::from(draw)) else {
                    assert!(explanation.endpoint.is_none(), "{rule}");
                    assert!(explanation.endpoints.iter().all(|trial| !trial.holds()), "{rule}");
                    continue;
                };
                assert_eq!(explanation.endpoint, Some(decision.endpoint), "{rule}");
                assert_eq!(explanation.endpoints.last().map(|trial| &*trial.name), Some(&*decision.endpoint.name));
                assert_eq!(explanation.cohort, decision.cohort, "{rule}");
                assert_eq!(explanation.reason, decision.reason, "{rule}");
                let chance =
                    |name: &str| explanation.backends.iter().find(|known| known.backend.name == name).unwrap().chance;
                assert!(chance(&decision.backend.name) > 0.0, "{rule}");
                if decision.reason == Reason::Key {
                    assert_eq!(chance(&decision.backend.name), 1.0, "{rule}");
                    let lowest =
                        explanation.backends.iter().min_by(|a, b| a.score.partial_cmp(&b.score).unwrap()).unwrap();
                    assert!(lowest.score.is_some(), "{rule}");
                    assert_eq!(lowest.backend, decision.backend, "{rule}");
                }
                let has_key = explanation.keys.last().is_some_and(|tried| tried.key.is_some());
                assert_eq!(has_key, decision.reason == Reason::Key, "{rule}");
                for shadow in &explanation.shadows {
                    let is_copied = decision.shadows.iter().any(|copied| **copied == *shadow.shadow);
                    let is_skipped = decision.skipped.iter().find(|(skipped, _)| **skipped == *shadow.shadow);
                    match shadow.copied {
                        Copied::Never(skip) => {
                            assert!(!is_copied && is_skipped.is_none_or(|(_, why)| *why == skip), "{rule}")
                        }
                        _ => assert!(is_skipped.is_none(), "{rule}"),
                    }
                    assert!(!is_copied || shadow.chance > 0.0, "{rule}");
                    assert!(is_copied || is_skipped.is_some() || shadow.chance < 1.0, "{rule}");
                }
            }
        }
    }
}

#[test]
fn each_backend_of_an_endpoint_or_cohort_has_a_number_of_its_own() {
    for table in cases::tables().unwrap() {
        let policy = Policy::from_json(table.policy.to_string().as_bytes()).unwrap().policy;
        let mut numbers = BTreeMap::new();
        for case in &table.cases {
            for draw in [0, 1, u64::MAX, 0x0123_4567_89ab_cdef] {
                let Some(decision) = policy.decide(&request_of(case), draw, || u128::from(draw)) else { continue };
                let cohort = decision.cohort.map(|cohort| &*cohort.name);
                let chosen = (&*decision.endpoint.name, cohort, &decision.backend.name);
                assert!(decision.choice < policy.choices(), "{}: {}", table.file, case.rule);
                assert_eq!(*numbers.entry(decision.choice).or_insert(chosen), chosen, "{}", table.file);
            }
        }
        let chosen: BTreeSet<_> = numbers.values().collect();
        assert_eq!(chosen.len(), numbers.len(), "{}", table.file);
    }
}

#[test]
fn each_wrong_policy_is_refused_with_its_place_and_a_remedy() {
    for refusal in cases::refusals().unwrap() {
        let Err(errors) = Policy::from_json(refusal.text().as_bytes()) else {
            panic!("{}: accepted", refusal.rule);
        };
        let messages: Vec<_> = errors.0.iter().map(ToString::to_string).collect();
        assert_eq!(messages, refusal.errors, "{}", refusal.rule);
    }
}

#[test]
fn an_endpoint_that_an_earlier_one_hides_is_a_warning() {
    let policy = r#"{"endpoints": [
        {"name": "writes", "route": "/", "methods": ["POST", "PUT"], "traffic": {"a": 1}},
        {"name": "rank", "route": "/rank/", "traffic": {"a": 1}},
        {"name": "ranking", "route": "/ranking", "traffic": {"a": 1}},
        {"name": "top", "route": "/rank/top", "methods": ["GET"], "traffic": {"a": 1}},
        {"name": "posts", "route": "/x", "methods": ["POST"], "traffic": {"a": 1}},
        {"name": "both", "route": "/x", "methods": ["POST", "GET"], "traffic": {"a": 1}}
    ]}"#;
    let warnings = Policy::from_json(policy.as_bytes()).unwrap().warnings;
    let warnings: Vec<_> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            r#"endpoints[3]: no request reaches "top": endpoints[1] takes them all; put the more specific one first"#,
            r#"endpoints[4]: no request reaches "posts": endpoints[0] takes them all; put the more specific one first"#,
        ]
    );
}

#[test]
fn the_policies_of_the_readme_are_valid() {
    let readme = std::fs::read_to_string(testbed::project().join("README.md")).unwrap();
    let blocks = readme.split("```json\n").skip(1).filter_map(|rest| Some(rest.split_once("```")?.0.trim()));
    let mut count = 0;
    for block in blocks {
        // A whole policy, or a member of an endpoint.
        let policy = if block.starts_with('{') {
            block.to_owned()
        } else {
            format!(r#"{{"endpoints": [{{"name": "e", "traffic": {{"model-v1": 1}}, {block}}}]}}"#)
        };
        Policy::from_json(policy.as_bytes()).unwrap_or_else(|errors| panic!("{block}\n{errors}"));
        count += 1;
    }
    assert_eq!(count, 3);
}
