//! The tables of cases and refusals, sent to the filter in Envoy. The target `core` runs the same
//! tables on the core alone.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use testbed::backend::{Backend, named};
use testbed::bootstrap::{add_mirror, trust_source_and_metadata};
use testbed::cases::Table;
use testbed::client::{Http, served_by};
use testbed::envoy::{Envoy, Setup, Verdict};
use testbed::policies::one_endpoint;
use testbed::{cases, wait_until};

#[tokio::test(flavor = "multi_thread")]
async fn the_filter_decides_as_the_tables_say() {
    let tables = cases::tables().unwrap();
    let mut names: BTreeSet<String> = tables.iter().flat_map(Table::clusters).collect();
    names.insert("sentinel".to_owned());
    let backends = Backend::start_all(&names).await.unwrap();
    backends.iter().for_each(Backend::remember);
    let first = one_endpoint(json!({ "name": "first", "traffic": { "main": 1 } }));
    let adapt = |bootstrap: &mut Value| {
        // Some tables have shadows via mirror, and the first policy has none.
        add_mirror(bootstrap);
        trust_source_and_metadata(bootstrap);
    };
    let envoy = Envoy::start(&Setup { adapt, ..Setup::new(first, &backends) }).await.unwrap();
    let client = envoy.client(Http::V1);
    let mut expected_copies = BTreeMap::new();
    let mut expected_skips: BTreeMap<_, u64> = BTreeMap::new();
    for table in &tables {
        assert_eq!(envoy.apply(&table.policy.to_string()).await.unwrap(), Verdict::InForce, "{}", table.file);
        for case in table.cases.iter().filter(|case| case.only_native.is_none()) {
            let rule = format!("{}: {}", table.file, case.rule);
            let answer = case.send(&client, &rule).await.unwrap();
            let served = served_by(&answer);
            match (&case.cluster, &case.decision) {
                (Some(cluster), _) => assert_eq!(served, cluster.as_deref(), "{rule}"),
                (None, Some(expected)) => {
                    assert!(served.is_some_and(|name| expected.backend.contains(name)), "{rule}: {served:?} serves");
                }
                (None, None) => assert_eq!((served, answer.status().as_u16()), (None, 404), "{rule}"),
            }
            let named = table.policy["response_header"].as_str().and_then(|name| answer.headers().get(name));
            let expected = case.decision.as_ref().filter(|_| table.policy["response_header"].is_string());
            assert_eq!(named.is_some(), expected.is_some(), "{rule}: {named:?}");
            if let (Some(named), Some(expected)) = (named, expected) {
                assert!(expected.backend.contains(named.to_str().unwrap()), "{rule}: {named:?}");
            }
            if let Some(decision) = &case.decision {
                for (backend, reason) in &decision.skipped {
                    *expected_skips.entry((&decision.endpoint, backend, reason)).or_default() += 1;
                }
            }
            let copies = case.copies();
            if !copies.is_empty() {
                expected_copies.insert(rule, copies);
            }
        }
    }
    // The only worker sends copies in order. When this one has come, all others have left.
    let last = one_endpoint(json!({ "name": "last", "traffic": { "main": 1 }, "shadow": { "sentinel": 1 } }));
    envoy.apply(&last).await.unwrap();
    client.get("/", &[]).await.unwrap();
    wait_until("the last copy comes", async || named(&backends, "sentinel").count() == 1).await.unwrap();
    wait_until("every copy is answered", async || envoy.in_flight_of_all().await.unwrap() == 0).await.unwrap();
    let mut seen_copies: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for backend in &backends {
        for received in backend.take_received() {
            let Some(rule) = received.header("x-case").pop() else { continue };
            // The marker of a copy is the name of its shadow. A client's own marker is another
            // string.
            if let [marker] = received.header("x-traffic-shadow").as_slice()
                && marker != "elsewhere"
                && !marker.is_empty()
            {
                seen_copies.entry(rule).or_default().push(marker.clone());
            }
        }
    }
    seen_copies.values_mut().for_each(|copies| copies.sort());
    assert_eq!(seen_copies, expected_copies);
    for ((endpoint, backend, reason), count) in expected_skips {
        let labels = [("endpoint", endpoint.as_str()), ("backend", backend), ("result", reason)];
        assert_eq!(envoy.metric("traffic_policy_shadow_total", &labels).await.unwrap(), count, "{labels:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_policy_is_refused_and_the_one_before_stays_in_force() {
    let backends = Backend::start_all(["main"]).await.unwrap();
    let good = one_endpoint(json!({ "name": "good", "traffic": { "main": 1 } }));
    let envoy = Envoy::start(&Setup::new(good, &backends)).await.unwrap();
    let client = envoy.client(Http::V1);
    for refusal in cases::refusals().unwrap() {
        let text = refusal.text();
        // Protobuf's JSON has no empty Any, and the binary form has its own test.
        if text.is_empty() || text.starts_with("\n\u{11}") {
            continue;
        }
        let logged = envoy.log().len();
        assert_eq!(envoy.apply(&text).await.unwrap(), Verdict::Refused, "{}", refusal.rule);
        let log = envoy.log().split_off(logged);
        for error in &refusal.errors {
            let line = format!("traffic policy refused: {error}");
            assert!(log.contains(&line), "{}: no {line:?} in the log", refusal.rule);
        }
        let answer = client.get("/", &[]).await.unwrap();
        assert_eq!(served_by(&answer), Some("main"), "{}", refusal.rule);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_struct_is_refused_and_the_log_recommends_a_string() {
    let backends = Backend::start_all(["main"]).await.unwrap();
    let good = one_endpoint(json!({ "name": "good", "traffic": { "main": 1 } }));
    let envoy = Envoy::start(&Setup::new(good, &backends)).await.unwrap();
    let policy = json!({ "endpoints": [{ "name": "e", "traffic": { "main": 1 } }] });
    let configuration = json!({ "@type": "type.googleapis.com/google.protobuf.Struct", "value": policy });
    assert_eq!(envoy.apply_configuration(&configuration).await.unwrap(), Verdict::Refused);
    assert!(envoy.log().contains("give the policy as a google.protobuf.StringValue"), "{}", envoy.log());
    let empty = json!({ "@type": "type.googleapis.com/google.protobuf.StringValue", "value": "" });
    assert_eq!(envoy.apply_configuration(&empty).await.unwrap(), Verdict::Refused);
    assert!(envoy.log().contains("the plugin configuration is empty"), "{}", envoy.log());
}
