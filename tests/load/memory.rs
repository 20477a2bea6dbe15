//! The memory and the series that a large policy takes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};
use testbed::backend::Backend;
use testbed::client::Http;
use testbed::envoy::{Envoy, Setup, Verdict};
use testbed::load::send_each;
use testbed::policies::one_endpoint;

#[tokio::test(flavor = "multi_thread")]
async fn series_and_memory_of_a_large_policy_are_bounded_whatever_clients_send() {
    const ENDPOINTS: usize = 50;
    const COHORTS: usize = 10;
    let _turn = crate::turn().await;
    let names: Vec<_> = (0..5).map(|n| format!("backend-{n}")).collect();
    let backends = Backend::start_all(&names).await.unwrap();
    let traffic: Value = names.iter().map(|name| (name.clone(), json!(0.2))).collect::<serde_json::Map<_, _>>().into();
    let cohort = |n: usize| json!({ "name": format!("cohort-{n}"), "match": { "headers": [{ "name": "x-cohort", "exact": n.to_string() }] }, "traffic": traffic });
    let endpoint = |n: usize| json!({ "name": format!("endpoint-{n}"), "route": format!("/e{n}"), "traffic": traffic, "cohorts": (0..COHORTS).map(cohort).collect::<Vec<_>>() });
    let policy = json!({ "endpoints": (0..ENDPOINTS).map(endpoint).collect::<Vec<_>>() }).to_string();
    let small = one_endpoint(json!({ "name": "e", "traffic": { "backend-0": 1 } }));
    let envoy = Envoy::start(&Setup { workers: 2, ..Setup::new(small, &backends) }).await.unwrap();
    let before = envoy.resident_bytes().unwrap();
    let start = Instant::now();
    assert_eq!(envoy.apply(&policy).await.unwrap(), Verdict::InForce);
    let configured = start.elapsed();
    let idle = envoy.resident_bytes().unwrap();
    // Every endpoint and cohort, by key and at random, with values that no policy names.
    let clients = [envoy.client(Http::V1), envoy.client(Http::V1)];
    let requests = (ENDPOINTS * (COHORTS + 1) * 40) as u64;
    let tally = send_each(requests, move |n| {
        let client = clients[usize::from(n % 2 == 0)].clone();
        async move {
            let (n, draw) = (usize::try_from(n).unwrap(), n / 550);
            let path = format!("/e{}/client-{n}?client={n}", n % ENDPOINTS);
            let cohort = ((n / ENDPOINTS) % (COHORTS + 1)).to_string();
            let key = if draw % 2 == 0 { format!("client-{n}") } else { String::new() };
            let headers =
                [("x-cohort", cohort.as_bytes()), ("x-serve-shard-key", key.as_bytes()), ("user-agent", b"client")];
            client.send("GET", &path, headers, Bytes::new()).await
        }
    })
    .await;
    assert_eq!(tally.failed, 0);
    let choices = ENDPOINTS * (COHORTS + 1) * names.len();
    let series: BTreeMap<_, _> =
        envoy.series().await.unwrap().into_iter().map(|(name, labels)| (name, labels.len())).collect();
    let full = envoy.resident_bytes().unwrap();
    let mib = |bytes: u64| bytes / (1 << 20);
    println!(
        "{choices} choices of {} bytes of policy: configured in {configured:?}; resident {} MiB before, {} MiB configured, {} MiB after {requests} requests; series: {series:?}",
        policy.len(),
        mib(before),
        mib(idle),
        mib(full)
    );
    // The policy alone bounds the series. For each choice: requests by key and at random, good and
    // bad responses, and a share. And one for the policy.
    assert_eq!(series["traffic_policy_traffic_share_millionths"], choices + 1);
    assert!(series["traffic_policy_requests_total"] <= 2 * choices, "{series:?}");
    assert_eq!(series["traffic_policy_responses_total"], 2 * (choices + 1));
    assert_eq!(series["traffic_policy_misrouted_total"], ENDPOINTS + 1);
    assert_eq!(series["traffic_policy_policy_info"], 1);
    let page = envoy.admin("/stats/prometheus").await.unwrap();
    assert!(!page.contains("client-"), "a client's value is in a series");
    assert!(configured < Duration::from_secs(10), "{configured:?}");
    assert!(full < before + (200 << 20), "{} MiB", mib(full - before));
}
