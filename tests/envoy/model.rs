//! The reference model and the filter in Envoy decide the same about random requests under random
//! policies.
//!
//! The environment variable `ENVOY_CASES` sets the number of requests. Run with `-- --nocapture` to
//! see what they covered.

use std::collections::BTreeSet;
use std::time::Instant;

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};
use testbed::backend::Backend;
use testbed::bootstrap::{metadata_header, routes, trust_source_and_metadata};
use testbed::cases::bytes_of;
use testbed::client::{Client, Http, served_by};
use testbed::envoy::{Envoy, Setup, Verdict};
use testbed::model::{Case, Line, OUTCOMES, Outcomes, cases, generate};
use testbed::policies::one_endpoint;

/// Passes source and metadata in headers, and shows the whole decision in a response header.
fn with_decision(bootstrap: &mut Value) {
    trust_source_and_metadata(bootstrap);
    let header = json!({ "key": "x-decision", "value": "%FILTER_STATE(wasm.traffic_policy:PLAIN)%" });
    for route in routes(bootstrap) {
        route["response_headers_to_add"] = json!([{ "header": header.clone() }]);
    }
}

/// Sends the request of a case. Returns how the answer differs from the reference's decision, or
/// `None` if it doesn't.
async fn difference(client: &Client, policy: &Value, case: &Case) -> Option<String> {
    let (request, expected) = (&case.request, &case.expected);
    let mut headers: Vec<_> = request.headers.iter().map(|(name, value)| (name.clone(), bytes_of(value))).collect();
    let source = request.source.as_deref().unwrap().rsplit_once(':').unwrap().0.trim_matches(['[', ']']);
    headers.push(("x-forwarded-for".to_owned(), bytes_of(source)));
    let properties = request.properties.iter();
    headers.extend(properties.map(|(path, value)| metadata_header(path.last().unwrap(), value)));
    let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
    let path = request.path.as_deref().unwrap();
    let answer = match client.send(&request.method, path, headers, Bytes::new()).await {
        Ok(answer) => answer,
        Err(error) => return Some(format!("{error:#}")),
    };
    let text = |name: &str| Some(answer.headers().get(name)?.to_str().unwrap().to_owned());
    let (decision, served) = (text("x-decision").filter(|value| value != "-"), served_by(&answer));
    let Some(endpoint) = &expected.endpoint else {
        let is_right = decision.is_none()
            && served == expected.cluster.as_deref()
            && (served.is_some() || answer.status() == StatusCode::NOT_FOUND);
        return (!is_right).then(|| format!("{answer:?}"));
    };
    // A key determines the backend. Without one the filter draws it.
    let backend = match (expected.reason.as_str(), &decision) {
        ("key", _) => expected.backend.clone(),
        (_, decision) => decision.as_ref().and_then(|text| text.split('/').nth(2)).map(str::to_owned),
    };
    let (backend, cohort) = (backend.unwrap_or_default(), expected.cohort.as_deref().unwrap_or("-"));
    let is_right = decision == Some(format!("{endpoint}/{cohort}/{backend}/{}", expected.reason))
        && served.is_some()
        && served == expected.candidates.get(&backend).map(String::as_str)
        && text("set-cookie").is_some() == expected.set_cookie.is_some()
        && policy.get("response_header").is_none_or(|name| text(name.as_str().unwrap()) == Some(backend));
    (!is_right).then(|| format!("{answer:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_filter_decides_as_the_reference_does() {
    let start = Instant::now();
    let mut lines = Vec::new();
    // More than are sent, because some can't be.
    let count = cases("ENVOY_CASES", 200);
    generate(2, count * 3, 25, |line| lines.push(line)).unwrap();
    let mut clusters = BTreeSet::from(["main".to_owned()]);
    for line in &lines {
        if let Line::Case(case) = line {
            clusters.extend(case.expected.candidates.values().chain(&case.expected.cluster).cloned());
            clusters.extend(case.expected.shadows.iter().cloned());
        }
    }
    let backends = Backend::start_all(clusters).await.unwrap();
    let first = one_endpoint(json!({ "name": "first", "traffic": { "main": 1 } }));
    let envoy = Envoy::start(&Setup { adapt: with_decision, ..Setup::new(first, &backends) }).await.unwrap();
    let client = envoy.client(Http::V1);
    let mut outcomes = Outcomes::default();
    let (mut sent, mut policy) = (0, Value::Null);
    for line in lines {
        match line {
            _ if sent == count => break,
            Line::Policy(mut value) => {
                value["filter_state"] = json!("traffic_policy");
                assert_eq!(envoy.apply(&value.to_string()).await.unwrap(), Verdict::InForce, "{value}");
                policy = value;
                outcomes.add("policies");
            }
            Line::Case(case) => {
                if let Some(reason) = &case.only_native {
                    outcomes.add(format!("not sent: {reason}"));
                } else if case.expected.near_tie {
                    outcomes.add("near ties, not compared");
                } else {
                    let difference = difference(&client, &policy, &case).await;
                    assert!(difference.is_none(), "{policy}\n{case:?}\nEnvoy: {}", difference.unwrap_or_default());
                    outcomes.add("requests");
                    outcomes.add_decision(&case.expected);
                    sent += 1;
                }
            }
            Line::Tried(_) => {}
        }
    }
    outcomes.print(start.elapsed());
    assert_eq!(sent, count);
    outcomes.check(&OUTCOMES, count / 100);
}
