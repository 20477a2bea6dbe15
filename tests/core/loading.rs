//! The time and the memory that loading takes, for documents of all shapes.

use std::time::Instant;

use allocation_counter::measure;
use policy::{Kind, Policy, limits};
use serde_json::json;
use testbed::shapes::{self, Shape, Strings};

/// How much faster than the document the time of its load grows: 1 where each byte costs the same,
/// 4 where every element is compared with all others.
fn growth(shape: &Shape, bytes: usize) -> f64 {
    let per_byte = |bytes| {
        let document = shape.document(bytes);
        let load = |_| {
            let start = Instant::now();
            let _ = std::hint::black_box(Policy::from_json(document.as_bytes()));
            start.elapsed().as_secs_f64()
        };
        (0..2).map(load).fold(f64::INFINITY, f64::min) / document.len() as f64
    };
    per_byte(bytes) / per_byte(bytes / 4)
}

#[test]
fn loading_takes_time_in_proportion_to_the_document_whichever_list_or_map_is_long() {
    const BYTES: usize = 80_000;
    const ALLOWED: f64 = 2.2;
    let is_slow = |shape: &Shape| (0..4).all(|_| growth(shape, BYTES) > ALLOWED);
    let shapes = shapes::all().unwrap().into_iter();
    let distinct = shapes.filter(|shape| shape.repeats() == 1 && shape.strings() == Strings::Distinct);
    let slow: Vec<_> = distinct.filter(is_slow).map(|shape| shape.name()).collect();
    assert!(slow.is_empty(), "{slow:#?}");
}

#[test]
fn loading_takes_memory_in_proportion_to_the_document_whatever_its_shape() {
    const BYTES: usize = 16_000;
    let mut rows = Vec::new();
    for shape in shapes::all().unwrap() {
        let document = shape.document(BYTES);
        let mut parsed = None;
        let memory = measure(|| parsed = Some(Policy::from_json(document.as_bytes())));
        let per_byte = |bytes: f64| bytes / document.len() as f64;
        rows.push((per_byte(memory.bytes_max as f64), per_byte(memory.bytes_current as f64), shape.name()));
    }
    rows.sort_by(|(one, ..), (other, ..)| other.total_cmp(one));
    for (peak, kept, name) in rows.iter().take(20) {
        println!("{peak:.0} bytes for each byte at once, {kept:.0} in the end: {name}");
    }
    assert!(rows[0].0 < limits::LOADING_BYTES_PER_BYTE as f64, "{:?}", rows[0]);
}

#[test]
fn a_report_is_bounded_whatever_the_number_and_the_length_of_wrong_names() {
    let traffic: serde_json::Map<_, _> = (0..3000).map(|n| (format!("v{n}"), json!(1))).collect();
    let only_from: Vec<_> = (0..6000).map(|n| format!("wrong-{n}")).collect();
    let many = json!({ "endpoints": [{ "name": "e", "traffic": traffic,
        "shadow": { "s": { "fraction": 1, "only_from": only_from } } }] });
    let long = json!({ "endpoints": [{ "name": "e", "traffic": { "x".repeat(1 << 20): 1 } }] });
    for (policy, count) in [(many, limits::FINDINGS + 1), (long, 1)] {
        let document = policy.to_string();
        let mut errors = None;
        let memory = measure(|| errors = Policy::from_json(document.as_bytes()).err());
        let errors = errors.unwrap().0;
        assert_eq!(errors.len(), count);
        let text: usize = errors.iter().map(|error| error.to_string().len()).sum();
        assert!(text < 40_000, "{text}");
        assert!(memory.bytes_current < 200_000, "{memory:?}");
        assert!(memory.bytes_max < 40 * document.len() as u64, "{memory:?}");
        if let Some(last) = errors.last().filter(|_| count > 1) {
            // The shares add up to 3000.
            assert_eq!(last.kind, Kind::More { count: 5901 });
            assert_eq!(last.to_string(), "policy: 5901 more errors; see to those above first");
        }
    }
}

#[test]
fn a_message_lists_the_ten_known_names_that_are_nearest() {
    let traffic: serde_json::Map<_, _> = (10..30).map(|n| (format!("v{n}"), json!(5))).collect();
    let policy = json!({ "endpoints": [{ "name": "e", "traffic": traffic,
        "shadow": { "s": { "fraction": 1, "only_from": ["v20x"] } } }] });
    let errors = Policy::from_json(policy.to_string().as_bytes()).unwrap_err();
    assert_eq!(
        errors.to_string(),
        "endpoints[0].shadow.s.only_from[0]: \"v20x\" serves none of these requests; their traffic names v16, v17, \
         v18, v19, v20, v21, v22, v23, v24, v25 and 10 more"
    );
}

#[test]
fn a_policy_that_would_take_too_much_memory_is_refused() {
    let document = |bytes: usize| format!("{{\"endpoints\":[]{}}}", " ".repeat(bytes - 16));
    assert!(Policy::from_json(document(limits::DOCUMENT_BYTES).as_bytes()).is_ok());
    let error = Policy::from_json(document(limits::DOCUMENT_BYTES + 1).as_bytes()).unwrap_err();
    assert!(error.to_string().starts_with("policy: the document has 4194305 bytes; "), "{error}");

    let conditions = |count| vec![json!({ "query": [{ "name": "q", "regex": "a" }] }); count];
    let with_regexes =
        |count| json!({ "endpoints": [{ "name": "e", "traffic": { "v1": 1 }, "match": conditions(count) }] });
    assert!(Policy::from_json(with_regexes(limits::REGEXES).to_string().as_bytes()).is_ok());
    let error = Policy::from_json(with_regexes(limits::REGEXES + 1).to_string().as_bytes()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "endpoints[0]: with this endpoint, the policy has 1025 regexes: more than 1024; compare with `exact` or \
         `prefix` where that will do"
    );

    let with_shadows = |count: usize| {
        let shadow: serde_json::Map<_, _> = (0..count).map(|n| (format!("s{n}"), json!(1))).collect();
        let cohort = |n| json!({ "name": format!("c{n}"), "match": { "query": [{ "name": "q", "exact": format!("{n}") }] }, "traffic": { "v1": 1 } });
        let cohorts: Vec<_> = (1..1024).map(cohort).collect();
        json!({ "endpoints": [{ "name": "e", "traffic": { "v1": 1 }, "shadow": shadow, "cohorts": cohorts }] })
    };
    assert!(Policy::from_json(with_shadows(16).to_string().as_bytes()).is_ok());
    let error = Policy::from_json(with_shadows(17).to_string().as_bytes()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "endpoints[0]: with this endpoint, the policy has 17408 shadows: more than 16384; name fewer in `shadow`: each \
         cohort has those of its endpoint, too"
    );
}

#[test]
fn endpoints_that_share_their_first_rules_are_compared_by_the_others() {
    let endpoint = |n: usize| json!({ "name": format!("e{n}"), "route": "/a", "methods": [format!("M{n}")], "traffic": { "v1": 1 } });
    let mut endpoints: Vec<_> = (0..3000).map(endpoint).collect();
    endpoints.push(json!({ "name": "late", "route": "/a/b", "methods": ["M2000"], "traffic": { "v1": 1 } }));
    let warnings = Policy::from_json(json!({ "endpoints": endpoints }).to_string().as_bytes()).unwrap().warnings;
    let warnings: Vec<_> = warnings.iter().map(ToString::to_string).collect();
    let expected =
        "endpoints[3000]: no request reaches \"late\": endpoints[2000] takes them all; put the more specific one first";
    assert_eq!(warnings, [expected]);
}
