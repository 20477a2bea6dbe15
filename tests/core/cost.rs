//! The cost of a decision: the questions that it asks the request, and the memory that it
//! allocates.

use std::borrow::Cow;
use std::cell::RefCell;

use allocation_counter::measure;
use policy::{Policy, Property, Reason, Request};
use testbed::request::TableRequest;

/// A request with an address of its own.
fn from_somewhere(method: &str, path: &str, headers: &[(&str, &str)]) -> TableRequest {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()));
    let request = TableRequest::of_http(method, Some(path.into()), headers);
    TableRequest { source: Some("192.0.2.1:50000".to_owned()), ..request }
}

#[test]
fn a_decision_without_a_copy_or_a_new_key_allocates_nothing() {
    let policy = r#"{"endpoints": [
        {"name": "other", "route": "/other", "traffic": {"a": 1}},
        {"name": "e", "route": "/e", "methods": ["GET", "POST"],
         "match": {"hosts": ["*.example.com"], "query": [{"name": "v", "prefix": "1"}]},
         "traffic": {"a": 0.5, "b": 0.3, "c": 0.2}, "shadow": {"s": 1e-9},
         "affinity": {"keys": [{"header": "x-user"}, {"cookie": "session"}]},
         "cohorts": [
           {"name": "c1", "match": {"headers": [{"name": "x-a", "exact": "1"}]}, "traffic": {"b": 1}},
           {"name": "c2", "match": {"cookies": [{"name": "beta", "contains": "x", "ignore_case": true}]}, "traffic": {"b": 1}},
           {"name": "c3", "match": {"source_ip": ["10.0.0.0/8"]}, "traffic": {"b": 1}}
         ]}
    ]}"#;
    let policy = Policy::from_json(policy.as_bytes()).unwrap().policy;
    let request = |key: Option<&str>| {
        let mut headers = vec![("host", "api.example.com:443"), ("x-a", "2"), ("cookie", "theme=dark; beta=no")];
        headers.extend(key.map(|key| ("x-user", key)));
        from_somewhere("POST", "/e/x?u=0&v=1.5", &headers)
    };
    for (request, reason) in [(request(Some("user-1")), Reason::Key), (request(None), Reason::Random)] {
        // Counts the allocations of this thread inside the closure.
        let allocations = measure(|| {
            let decision = policy.decide(&request, 7, || 0).unwrap();
            assert_eq!((&*decision.endpoint.name, decision.reason), ("e", reason));
        });
        assert_eq!(allocations.count_total, 0);
    }
}

/// A request that records the questions it is asked.
#[derive(Default)]
struct Asked {
    request: TableRequest,
    names: RefCell<Vec<String>>,
}

impl Request for Asked {
    fn header<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.names.borrow_mut().push(name.to_owned());
        self.request.header(name)
    }

    fn source_address(&self) -> Option<&[u8]> {
        self.names.borrow_mut().push("source_address".to_owned());
        self.request.source_address()
    }

    fn property<'a>(&'a self, property: &Property) -> Option<Cow<'a, [u8]>> {
        self.names.borrow_mut().push(property.path().join("."));
        self.request.property(property)
    }
}

#[test]
fn a_decision_asks_only_for_values_that_the_policy_names_and_only_in_their_turn() {
    let cohort = r#"{"name": "c", "match": {"headers": [{"name": "x-canary", "present": true}]}, "traffic": {"b": 1}}"#;
    for (endpoint, expected) in [
        (r#""affinity": null"#.to_owned(), vec![]),
        (r#""shadow": {"s": 1e-9}, "affinity": null"#.to_owned(), vec![]),
        (r#""route": "/e""#.to_owned(), vec![":path", "x-serve-shard-key"]),
        (format!(r#""affinity": null, "cohorts": [{cohort}]"#), vec!["x-canary"]),
        (r#""route": "/other", "match": {"source_ip": ["10.0.0.0/8"]}"#.to_owned(), vec![":path"]),
        (
            r#""affinity": {"keys": [{"header": "x-user"}, {"source_ip": true}, {"property": ["a", "b"]}]}"#.to_owned(),
            vec!["x-user", "source_address"],
        ),
    ] {
        let policy = format!(r#"{{"endpoints": [{{"name": "e", "traffic": {{"a": 0.5, "b": 0.5}}, {endpoint}}}]}}"#);
        let policy = Policy::from_json(policy.as_bytes()).unwrap().policy;
        let request = from_somewhere("GET", "/e", &[]);
        let asked = Asked { request, ..Asked::default() };
        policy.decide(&asked, 7, || 0);
        assert_eq!(asked.names.into_inner(), expected, "{endpoint}");
    }
}

#[test]
fn the_allocation_counter_counts() {
    assert_eq!(measure(|| drop(std::hint::black_box(vec![1]))).count_total, 1);
}
