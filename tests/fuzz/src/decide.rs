//! Decisions.

use arbitrary::{Arbitrary, Unstructured};
use policy::{Decision, Policy, Reason};
use serde_json::{Map, Value, json};

use crate::request::{AnyRequest, VALUES};

/// Any valid policy decides about any request: each time the same, within the policy, and as its
/// explanation says.
pub fn decide(data: &[u8]) {
    let mut bytes = Unstructured::new(data);
    let Ok(document) = document(&mut bytes) else { return };
    let Ok(request) = AnyRequest::arbitrary(&mut bytes) else { return };
    let Ok((draw, new_key)) = <(u64, u128)>::arbitrary(&mut bytes) else { return };
    let policy = match Policy::from_json(document.to_string().as_bytes()) {
        Ok(parsed) => parsed.policy,
        Err(errors) => panic!("{document}: {errors}"),
    };
    let decision = policy.decide(&request, draw, || new_key);
    assert_eq!(decision, policy.decide(&request, draw, || new_key), "{document}");
    let explanation = policy.explain(&request);
    assert_eq!(explanation.endpoint.map(|endpoint| &endpoint.name), decision.as_ref().map(|d| &d.endpoint.name));
    let Some(decision) = decision else { return };
    assert_eq!(explanation.cohort.map(|cohort| &cohort.name), decision.cohort.map(|cohort| &cohort.name));
    assert_eq!(explanation.reason, decision.reason);
    assert!(explanation.endpoints.last().unwrap().holds());
    assert!(explanation.endpoints.iter().rev().skip(1).all(|trial| !trial.holds()));
    assert_eq!(explanation.cohorts.iter().any(|trial| trial.holds()), decision.cohort.is_some());
    check_within(&document, &policy, &decision);
}

/// Checks that the policy has the decision: a backend with a share, shadows with a fraction, and so
/// on.
fn check_within(document: &Value, policy: &Policy, decision: &Decision<'_>) {
    let find =
        |list: &Value, name: &str| list.as_array().unwrap().iter().find(|one| one["name"] == name).unwrap().clone();
    let endpoint = find(&document["endpoints"], &decision.endpoint.name);
    let place = match decision.cohort {
        Some(cohort) => find(&endpoint["cohorts"], &cohort.name),
        None => endpoint.clone(),
    };
    let share = place["traffic"][&*decision.backend.name].as_f64();
    assert!(share.is_some_and(|share| share > 0.0), "{} has no share", decision.backend.name);
    assert!(decision.choice.index() < policy.choices());
    assert_eq!(decision.set_cookie.is_some(), decision.reason == Reason::Generated);
    for shadow in decision.shadows.iter().chain(decision.skipped.iter().map(|(shadow, _)| shadow)) {
        let of = |place: &Value| place["shadow"][&*shadow.entry.backend.name]["fraction"].as_f64();
        let fraction = decision.cohort.and_then(|_| of(&place)).or(of(&endpoint));
        assert!(fraction.is_some_and(|fraction| fraction > 0.0), "{} has no fraction", shadow.entry.backend.name);
    }
}

/// Any valid policy.
fn document(bytes: &mut Unstructured<'_>) -> arbitrary::Result<Value> {
    let mut endpoints = Vec::new();
    for n in 0..bytes.int_in_range(1..=4)? {
        let mut cohorts = Vec::new();
        for n in 0..bytes.int_in_range(0..=3)? {
            cohorts.push(json!({
                "name": format!("c{n}"), "match": matching(bytes)?, "traffic": traffic(bytes)?, "shadow": shadow(bytes)?,
            }));
        }
        endpoints.push(json!({
            "name": format!("e{n}"), "match": matching(bytes)?, "traffic": traffic(bytes)?, "shadow": shadow(bytes)?,
            "affinity": affinity(bytes)?, "cohorts": cohorts,
        }));
    }
    Ok(json!({ "endpoints": endpoints }))
}

fn traffic(bytes: &mut Unstructured<'_>) -> arbitrary::Result<Value> {
    let shares = [
        json!({ "a": 1 }),
        json!({ "a": 0.5, "b": 0.5 }),
        json!({ "a": 0, "b": 0.99, "c": 0.01 }),
        json!({ "b": 1e-9, "c": 0.999999999 }),
    ];
    Ok(bytes.choose(&shares)?.clone())
}

fn shadow(bytes: &mut Unstructured<'_>) -> arbitrary::Result<Value> {
    let mut shadows = Map::new();
    for name in ["s1", "s2"] {
        if bytes.arbitrary()? {
            let fraction = *bytes.choose(&[0.0, 1e-6, 0.5, 1.0])?;
            let sample = *bytes.choose(&["request", "key"])?;
            shadows.insert(name.to_owned(), json!({ "fraction": fraction, "sample": sample }));
        }
    }
    Ok(shadows.into())
}

fn affinity(bytes: &mut Unstructured<'_>) -> arbitrary::Result<Value> {
    let all = [
        Value::Null,
        json!({}),
        json!({ "keys": [{ "header": "x-user" }, { "cookie": "a" }, { "source_ip": true }] }),
        json!({ "keys": [{ "query": "a" }, { "property": ["p"] }, { "property": ["p"], "as": "number" },
            { "property": ["p"], "as": "bool" }], "salt": "other" }),
        json!({ "keys": [{ "cookie": "b" }], "on_missing": "generate_cookie", "cookie": { "name": "a" } }),
    ];
    Ok(bytes.choose(&all)?.clone())
}

/// Matches of all kinds.
fn matching(bytes: &mut Unstructured<'_>) -> arbitrary::Result<Value> {
    let mut alternatives = Vec::new();
    for _ in 0..bytes.int_in_range(1..=2)? {
        let mut all = Map::new();
        for _ in 0..bytes.int_in_range(0..=2)? {
            let text = *bytes.choose(&VALUES)?;
            let kind = *bytes.choose(&["exact", "prefix", "suffix", "contains", "regex"])?;
            let (flag, other): (bool, bool) = bytes.arbitrary()?;
            let value = |name: &str| json!([{ "name": name, kind: text, "ignore_case": flag, "invert": other }]);
            let (field, rule) = match bytes.int_in_range(0..=7)? {
                0 => ("path", json!({ "prefix": bytes.choose(&["/", "/a", "/a/b"])? })),
                1 => ("path", json!({ "exact": "/a" })),
                2 => ("methods", json!(["GET", "POST"])),
                3 => ("hosts", json!(["*.example.com", "a.example.com"])),
                4 => ("headers", value("x-a")),
                5 => ("cookies", value("a")),
                6 => ("query", value("a")),
                _ => ("source_ip", json!(["10.0.0.0/8", "2001:db8::/32"])),
            };
            all.insert(field.to_owned(), rule);
        }
        alternatives.push(all);
    }
    Ok(json!(alternatives))
}
