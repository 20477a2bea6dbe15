//! A decision that needs no memory of its own takes none.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod table_request;

use allocation_counter::measure;
use table_request::TableRequest;
use traffic_policy::{Policy, Reason};

#[test]
fn a_decision_without_a_copy_or_a_new_key_allocates_nothing() {
    let policy = r#"{"endpoints": [
        {"name": "other", "route": "/other", "traffic": {"a": 1}},
        {"name": "e", "route": "/e", "methods": ["GET", "POST"],
         "match": {"hosts": ["*.example.com"], "query": [{"name": "v", "prefix": "1"}]},
         "traffic": {"a": 0.5, "b": 0.3, "c": 0.2}, "shadow": {"s": 1e-9},
         "affinity": {"keys": [{"header": "x-user"}, {"cookie": "session"}, {"source_ip": true}]},
         "cohorts": [
           {"name": "c1", "match": {"headers": [{"name": "x-a", "exact": "1"}]}, "traffic": {"b": 1}},
           {"name": "c2", "match": {"cookies": [{"name": "beta", "contains": "x", "ignore_case": true}]}, "traffic": {"b": 1}},
           {"name": "c3", "match": {"source_ip": ["10.0.0.0/8"]}, "traffic": {"b": 1}}
         ]}
    ]}"#;
    let policy = Policy::from_json(policy.as_bytes()).unwrap().policy;
    let request = |key: Option<&str>| {
        let mut headers = vec![
            (":path", "/e/x?u=0&v=1.5"),
            (":method", "POST"),
            (":authority", "api.example.com:443"),
            ("x-a", "2"),
            ("cookie", "theme=dark; beta=no"),
        ];
        headers.extend(key.map(|key| ("x-user", key)));
        TableRequest::new(&headers, Some("192.0.2.1:50000"))
    };
    for (request, reason) in [(request(Some("user-1")), Reason::Key), (request(None), Reason::Key)] {
        // The count is of this thread, and of what happens inside.
        let allocations = measure(|| {
            let decision = policy.decide(&request, 7, || 0).unwrap();
            assert_eq!((&*decision.endpoint.name, decision.reason), ("e", reason));
        });
        assert_eq!(allocations.count_total, 0);
    }
}

#[test]
fn the_counter_counts() {
    assert_eq!(measure(|| drop(std::hint::black_box(vec![1]))).count_total, 1);
}
