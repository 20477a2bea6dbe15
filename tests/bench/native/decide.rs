//! The cost of a decision natively: `cargo run --release --package native-bench`.

#[path = "../../testbed/request.rs"]
mod request;

use divan::Bencher;
use policy::Policy;
use request::TableRequest;
use serde_json::{Value, json};

fn main() {
    divan::Divan::from_args().run_benches();
}

/// A policy of `endpoints` endpoints, each with `cohorts` cohorts of `conditions` conditions.
fn policy(endpoints: usize, cohorts: usize, conditions: usize, backends: usize) -> Policy {
    let traffic: Value = (0..backends)
        .map(|n| (format!("b{n}"), json!(1.0 / backends as f64)))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let cohort = |n: usize| {
        let mut headers: Vec<_> = (1..conditions).map(|n| json!({ "name": format!("x-h{n}"), "exact": "1" })).collect();
        headers.push(json!({ "name": "x-cohort", "exact": n.to_string() }));
        json!({ "name": format!("c{n}"), "match": { "headers": headers }, "traffic": traffic })
    };
    let endpoint = |n: usize| {
        json!({ "name": format!("e{n}"), "route": format!("/e{n}"), "traffic": traffic,
                "cohorts": (0..cohorts).map(cohort).collect::<Vec<_>>() })
    };
    let document = json!({ "endpoints": (0..endpoints).map(endpoint).collect::<Vec<_>>() });
    Policy::from_json(document.to_string().as_bytes()).unwrap().policy
}

/// A request for the endpoint `e{n}` that meets all conditions of each cohort except for the last
/// one.
fn request(n: usize) -> TableRequest {
    let mut headers = Vec::new();
    headers.extend((1..20).map(|n| (format!("x-h{n}"), b"1".to_vec())));
    headers.push(("x-cohort".to_owned(), b"none".to_vec()));
    headers.push(("x-serve-shard-key".to_owned(), b"user-1".to_vec()));
    TableRequest::of_http("GET", Some(format!("/e{n}/x").into()), headers)
}

fn bench(bencher: Bencher, policy: &Policy, request: &TableRequest) {
    bencher.bench_local(|| policy.decide(divan::black_box(request), 7, || 0).is_some());
}

#[divan::bench(args = [1, 2, 5, 20])]
fn backends(bencher: Bencher, backends: usize) {
    bench(bencher, &policy(1, 0, 0, backends), &request(0));
}

#[divan::bench(args = [1, 10, 50, 200])]
fn endpoints_tried(bencher: Bencher, endpoints: usize) {
    bench(bencher, &policy(endpoints, 0, 0, 2), &request(endpoints - 1));
}

#[divan::bench(args = [1, 10, 50, 200])]
fn endpoints_not_tried(bencher: Bencher, endpoints: usize) {
    bench(bencher, &policy(endpoints, 0, 0, 2), &request(0));
}

#[divan::bench(args = [0, 1, 10])]
fn cohorts_of_20_conditions(bencher: Bencher, cohorts: usize) {
    bench(bencher, &policy(1, cohorts, 20, 2), &request(0));
}

/// Everything at once: the last of 50 endpoints, with all conditions of all ten cohorts.
#[divan::bench]
fn endpoints_50_cohorts_10_conditions_20(bencher: Bencher) {
    bench(bencher, &policy(50, 10, 20, 2), &request(49));
}
