//! The work of the worst request, natively. `tests/load/worst.rs` measures the same in Envoy.

use std::time::{Duration, Instant};

use policy::Policy;
use serde_json::{Value, json};
use testbed::costly::SHAPES;
use testbed::request::TableRequest;

/// Far more than the filter takes in Envoy, and far less than any of these took when its work was
/// not bounded. This build is not optimised.
const MOST: Duration = Duration::from_millis(60);

fn request(path: &str, headers: &[(String, String)]) -> TableRequest {
    let headers = headers.iter().map(|(name, value)| (name.clone(), value.clone().into_bytes()));
    let request = TableRequest::of_http("GET", Some(path.into()), headers);
    TableRequest { source: Some("192.0.2.1:50000".to_owned()), ..request }
}

/// The least of several times, since others use the machine, too.
fn time(policy: &Policy, request: &TableRequest) -> Duration {
    let once = || {
        let start = Instant::now();
        std::hint::black_box(policy.decide(request, 7, || 0).is_some());
        start.elapsed()
    };
    (0..5).map(|_| once()).min().unwrap()
}

#[test]
fn the_work_of_a_request_is_bounded_under_every_policy_that_is_accepted() {
    for shape in SHAPES {
        let (count, policy) = shape.largest(200_000);
        let policy = Policy::from_json(policy.as_bytes()).unwrap().policy;
        let (path, headers) = (shape.request)();
        let time = time(&policy, &request(&path, &headers));
        println!("{count:6} {:40} {time:?}", shape.name);
        assert!(time < MOST, "{count} {}: {time:?}", shape.name);
    }
}

fn one_endpoint(matching: impl Iterator<Item = Value>) -> String {
    let alternatives: Vec<_> = matching.collect();
    json!({ "endpoints": [{ "name": "e", "match": alternatives, "traffic": { "a": 1 } }] }).to_string()
}

#[test]
fn a_policy_under_which_a_request_would_cost_too_much_is_refused() {
    for (rule, policy) in [
        (
            "a regex with too many states",
            one_endpoint([json!({ "headers": [{ "name": "a", "regex": "(?:.*a){134}b" }] })].into_iter()),
        ),
        (
            "a regex that counts far",
            one_endpoint([json!({ "headers": [{ "name": "a", "regex": ".*a.{335}b" }] })].into_iter()),
        ),
        (
            "26,000 properties",
            one_endpoint((0..26_000).map(|n| json!({ "properties": [{ "path": [n.to_string()], "exact": "1" }] }))),
        ),
        (
            "500 searches of cookies",
            one_endpoint((0..500).map(|n| json!({ "cookies": [{ "name": "a", "contains": n.to_string() }] }))),
        ),
        (
            "100 regexes of paths with the same start",
            one_endpoint((0..100).map(|n| json!({ "path": { "regex": format!("/a/.*b.*{n}") } }))),
        ),
    ] {
        let error = Policy::from_json(policy.as_bytes()).expect_err(rule).to_string();
        let is_about_work = error.contains("of CPU time; the limit is 10 ms") || error.contains(" states; use a regex");
        assert!(is_about_work && error.lines().count() == 1, "{rule}: {error}");
    }
}

#[test]
fn large_policies_as_operators_write_them_are_accepted() {
    let traffic = json!({ "a": 0.9, "b": 0.1 });
    let cohort = |n: usize| {
        json!({ "name": format!("c{n}"), "traffic": traffic, "match": [
            { "headers": [{ "name": "x-cohort", "exact": n.to_string() }, { "name": "user-agent", "contains": "iPhone" }] },
            { "headers": [{ "name": "x-user-email", "regex": format!("[^@]+@(staff|qa{n})\\.example\\.com") }] },
            { "cookies": [{ "name": "tester", "prefix": format!("yes-{n}") }], "query": [{ "name": "preview", "exact": "1", "invert": true }] } ] })
    };
    let cohorts: Vec<_> = (0..10).map(cohort).collect();
    let tested = |n: usize| json!({ "name": format!("e{n}"), "route": format!("/e{n}"), "traffic": traffic, "cohorts": cohorts });
    let plain = |n: usize| {
        let path = if n.is_multiple_of(2) {
            json!({ "exact": format!("/service/{n}") })
        } else {
            json!({ "prefix": format!("/service/{n}") })
        };
        json!({ "name": format!("e{n}"), "methods": ["GET", "HEAD"], "match": { "path": path }, "traffic": traffic })
    };
    let of_value = |n: usize| json!({ "name": format!("c{n}"), "match": { "headers": [{ "name": "x-cohort", "exact": format!("v{n}") }] }, "traffic": traffic });
    let by_regex = |n: usize| json!({ "name": format!("e{n}"), "match": { "path": { "regex": format!("/v[12]/service-{n}/[^/]+/items(/.*)?") } }, "traffic": traffic });
    let of_service = |n: usize| json!({ "name": format!("e{n}"), "match": { "path": { "regex": format!("/service-{n}/v[12]/[^/]+/items(/.*)?") } }, "traffic": traffic });
    let grpc = |n: usize| {
        json!({ "name": format!("e{n}"), "traffic": traffic, "route": format!("/package.Service{n}"), "match": { "headers": [
            { "name": "content-type", "prefix": "application/grpc" }, { "name": "user-agent", "regex": format!("grpc-[a-z]+/1\\.{n}\\..*") } ] } })
    };
    for (rule, endpoints) in [
        ("50 endpoints with 10 cohorts each", (0..50).map(tested).collect::<Vec<_>>()),
        ("15,000 endpoints with paths and methods", (0..15_000).map(plain).collect()),
        (
            "5,000 values of one cohort header",
            vec![json!({ "name": "e", "traffic": traffic, "cohorts": (0..5000).map(of_value).collect::<Vec<_>>() })],
        ),
        ("20 endpoints with regexes that start alike", (0..20).map(by_regex).collect()),
        ("1,000 endpoints with regexes that start with the service", (0..1000).map(of_service).collect()),
        ("1,000 gRPC services with a regex each", (0..1000).map(grpc).collect()),
    ] {
        let policy = json!({ "endpoints": endpoints }).to_string();
        if let Err(errors) = Policy::from_json(policy.as_bytes()) {
            panic!("{rule}: {errors}");
        }
    }
}

/// A request is decided alike whether its conditions are answered one by one or by numbers.
#[test]
fn conditions_hold_alike_in_small_and_large_policies() {
    let conditions: Vec<Value> = ["exact", "prefix", "suffix", "contains"]
        .iter()
        .flat_map(|kind| ["1", "ab", "A", "\"", " "].map(|text| json!({ "name": "n", *kind: text })))
        .chain([
            json!({ "name": "n", "present": true }),
            json!({ "name": "n", "regex": "[a-c]+" }),
            json!({ "name": "n", "exact": "" }),
        ])
        .flat_map(|one| {
            [(false, false), (true, false), (false, true)].map(|(invert, ignore_case)| {
                let mut one = one.clone();
                one["invert"] = json!(invert);
                one["ignore_case"] = json!(ignore_case);
                one
            })
        })
        .collect();
    let values = ["1", "ab", "AB", "aab", "", " ab ", "\"ab\"", "abab", "a\u{e4}", "c"];
    let fields = ["headers", "cookies", "query"];
    let requests: Vec<_> = values
        .iter()
        .flat_map(|one| {
            values.map(|other| {
                let headers = [("n", *one), ("n", other), ("cookie", &format!("n={one}; m=1;n={other}"))];
                let headers: Vec<_> =
                    headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
                request(&format!("/?n={one}&n={other}&m"), &headers)
            })
        })
        .chain([request("/", &[])])
        .collect();
    let matches: Vec<_> =
        fields.iter().flat_map(|field| conditions.iter().map(move |one| json!({ *field: [one] }))).collect();
    // The cohort of its own comes last; those before it have other names and never match.
    let filler: Vec<_> =
        (0..40).map(|n| json!({ "headers": [{ "name": format!("f{n}"), "present": true }] })).collect();
    for matching in matches {
        let small = json!({ "endpoints": [{ "name": "e", "match": [matching], "traffic": { "a": 1 } }] }).to_string();
        let large: Vec<_> = filler.iter().chain([&matching, &matching]).collect();
        let large = json!({ "endpoints": [{ "name": "e", "match": large, "traffic": { "a": 1 } }] }).to_string();
        let [small, large] = [small, large].map(|policy| Policy::from_json(policy.as_bytes()).unwrap().policy);
        for request in &requests {
            let [one, other] = [&small, &large].map(|policy| policy.decide(request, 7, || 0).is_some());
            assert_eq!(one, other, "{matching} of {request:?}");
        }
    }
}
