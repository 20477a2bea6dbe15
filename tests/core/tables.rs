//! The tables of cases, run by the core alone. The target `envoy` runs the same tables in Envoy.

use std::collections::{BTreeMap, BTreeSet};

use policy::{Copied, Decision, Policy, Reason};
use testbed::cases;
use testbed::cases::Expected;

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
            let request = case.table();
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
            let request = case.table();
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
                let Some(decision) = policy.decide(&case.table(), draw, || u128::from(draw)) else { continue };
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
