//! The tables of cases, decided by the core alone. The target `envoy` sends the same cases to
//! Envoy.

use std::collections::{BTreeMap, BTreeSet};

use policy::{Copied, Decision, Explanation, Policy, Reason};
use testbed::cases::{self, Expected, Table};

/// The draws for each case, whose expectation must not depend on them.
const DRAWS: [u64; 4] = [0, 1, u64::MAX, 0x0123_4567_89ab_cdef];

fn policy_of(table: &Table) -> Policy {
    let parsed = Policy::from_json(table.policy.to_string().as_bytes());
    let parsed = parsed.unwrap_or_else(|errors| panic!("{}: {errors}", table.file));
    assert_eq!(parsed.warnings, [], "{}", table.file);
    parsed.policy
}

fn check(decision: Option<&Decision>, expected: Option<&Expected>, rule: &str) {
    let (Some(decision), Some(expected)) = (decision, expected) else {
        assert!(decision.is_none() && expected.is_none(), "{rule}: {decision:?} instead of {expected:?}");
        return;
    };
    assert_eq!(&*decision.endpoint.name, expected.endpoint, "{rule}");
    assert_eq!(decision.cohort.map(|cohort| &*cohort.name), expected.cohort.as_deref(), "{rule}");
    assert!(expected.backend.contains(&decision.backend.name), "{rule}: {} serves", decision.backend.name);
    assert_eq!(decision.reason.name(), expected.reason, "{rule}");
    let shadows: Vec<_> = decision.shadows.iter().map(|shadow| &*shadow.entry.backend.name).collect();
    assert_eq!(shadows, expected.shadows, "{rule}");
    let skipped =
        decision.skipped.iter().map(|(shadow, skip)| (shadow.entry.backend.name.to_string(), skip.name().to_owned()));
    assert_eq!(skipped.collect::<Vec<_>>(), expected.skipped, "{rule}");
}

#[test]
fn the_core_decides_as_the_tables_say() {
    let mut count = 0;
    for table in cases::tables().unwrap() {
        let policy = policy_of(&table);
        for case in &table.cases {
            let rule = format!("{}: {}", table.file, case.rule);
            let request = case.table();
            for draw in DRAWS {
                let decision = policy.decide(&request, draw, || u128::from(draw));
                check(decision.as_ref(), case.decision.as_ref(), &rule);
                let cluster = match &decision {
                    Some(decision) => Some(&*decision.backend.cluster),
                    None => policy.default_cluster.as_deref(),
                };
                let same_name = decision.as_ref().map(|decision| &*decision.backend.name);
                let expected = case.cluster.as_ref().map_or(same_name, Option::as_deref);
                assert_eq!(cluster, expected, "{rule}");
            }
            count += 1;
        }
    }
    assert!(count > 40, "only {count} cases");
}

#[test]
fn an_explanation_agrees_with_the_decision() {
    for table in cases::tables().unwrap() {
        let policy = policy_of(&table);
        for case in &table.cases {
            let rule = format!("{}: {}", table.file, case.rule);
            let request = case.table();
            let explanation = policy.explain(&request);
            for draw in DRAWS {
                match policy.decide(&request, draw, || u128::from(draw)) {
                    Some(decision) => agrees(&explanation, &decision, &rule),
                    None => {
                        assert!(explanation.endpoint.is_none(), "{rule}");
                        assert!(explanation.endpoints.iter().all(|trial| !trial.holds()), "{rule}");
                    }
                }
            }
        }
    }
}

fn agrees(explanation: &Explanation, decision: &Decision, rule: &str) {
    assert_eq!(explanation.endpoint, Some(decision.endpoint), "{rule}");
    assert_eq!(explanation.endpoints.last().map(|trial| &*trial.name), Some(&*decision.endpoint.name));
    assert_eq!(explanation.cohort, decision.cohort, "{rule}");
    assert_eq!(explanation.reason, decision.reason, "{rule}");
    let standing = explanation.backends.iter().find(|standing| standing.backend == decision.backend).unwrap();
    assert!(standing.chance > 0.0, "{rule}");
    if decision.reason == Reason::Key {
        assert_eq!(standing.chance, 1.0, "{rule}");
        let lowest = explanation.backends.iter().min_by(|a, b| a.score.partial_cmp(&b.score).unwrap()).unwrap();
        assert!(lowest.score.is_some(), "{rule}");
        assert_eq!(lowest.backend, decision.backend, "{rule}");
    }
    let has_key = explanation.keys.last().is_some_and(|tried| tried.key.is_some());
    assert_eq!(has_key, decision.reason == Reason::Key, "{rule}");
    for chance in &explanation.shadows {
        let is_copied = decision.shadows.iter().any(|shadow| **shadow == *chance.shadow);
        let skipped = decision.skipped.iter().find(|(shadow, _)| **shadow == *chance.shadow);
        match chance.copied {
            Copied::Never(skip) => {
                assert!(!is_copied && skipped.is_none_or(|(_, why)| *why == skip), "{rule}");
            }
            _ => assert!(skipped.is_none(), "{rule}"),
        }
        assert!(!is_copied || chance.chance > 0.0, "{rule}");
        assert!(is_copied || skipped.is_some() || chance.chance < 1.0, "{rule}");
    }
}

#[test]
fn each_backend_of_an_endpoint_or_cohort_has_its_own_id() {
    for table in cases::tables().unwrap() {
        let policy = policy_of(&table);
        let mut by_id = BTreeMap::new();
        for case in &table.cases {
            for draw in DRAWS {
                let Some(decision) = policy.decide(&case.table(), draw, || u128::from(draw)) else { continue };
                let cohort = decision.cohort.map(|cohort| &*cohort.name);
                let chosen = (&*decision.endpoint.name, cohort, &decision.backend.name);
                assert!(decision.choice.index() < policy.choices(), "{}: {}", table.file, case.rule);
                assert_eq!(*by_id.entry(decision.choice).or_insert(chosen), chosen, "{}", table.file);
            }
        }
        let chosen: BTreeSet<_> = by_id.values().collect();
        assert_eq!(chosen.len(), by_id.len(), "{}", table.file);
    }
}
