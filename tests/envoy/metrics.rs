//! The filter's counts, compared with those of clients and backends.

use std::time::Duration;

use http::StatusCode;
use serde_json::json;
use testbed::backend::{Backend, Behaviour, named};
use testbed::client::Http;
use testbed::envoy::{Envoy, Setup, Verdict};
use testbed::load::{Tally, send_each};
use testbed::policies::{hash, one_endpoint};
use testbed::wait_until;

/// Sends requests to two endpoints over both versions of HTTP. Some are in the cohort `beta`.
async fn send(envoy: &Envoy, count: u64) -> Tally {
    let clients = [envoy.client(Http::V1), envoy.client(Http::V2)];
    send_each(count, move |n| {
        let client = clients[usize::from(n % 2 == 0)].clone();
        async move {
            let path = if n % 3 == 0 { "/b" } else { "/a" };
            let headers: &[_] = if n % 5 == 0 { &[("x-beta", "1")] } else { &[("x-serve-shard-key", "alice")] };
            client.get(path, headers).await
        }
    })
    .await
}

fn policy(share: f64) -> String {
    let split = json!({ "v1": 1.0 - share, "v2": share });
    json!({ "endpoints": [
        { "name": "a", "route": "/a", "traffic": split,
          "cohorts": [{ "name": "beta", "match": { "headers": [{ "name": "x-beta", "present": true }] }, "traffic": { "v1": 0.5, "v2": 0.5 } }] },
        { "name": "b", "route": "/b", "traffic": split, "affinity": null },
    ] })
    .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_agree_with_the_backends_over_reloads() {
    const COUNT: u64 = 3_000;
    let backends = Backend::start_all(["v1", "v2"]).await.unwrap();
    let failing = Behaviour { status: Some(StatusCode::SERVICE_UNAVAILABLE), ..Behaviour::default() };
    named(&backends, "v2").behave(failing);
    let envoy = Envoy::start(&Setup { workers: 2, ..Setup::new(policy(0.2), &backends) }).await.unwrap();
    send(&envoy, COUNT).await;
    assert_eq!(envoy.apply(&policy(0.7)).await.unwrap(), Verdict::InForce);
    send(&envoy, COUNT).await;
    assert_eq!(envoy.apply(r#"{"endpoints": 1}"#).await.unwrap(), Verdict::Refused);
    send(&envoy, COUNT).await;
    let count = async |name: &str, labels: &[(&str, &str)]| envoy.metric(name, labels).await.unwrap();
    let total = async |backend: &str| count("traffic_policy_responses_total", &[("backend", backend)]).await;
    wait_until("all responses are counted", async || total("v1").await + total("v2").await == 3 * COUNT).await.unwrap();
    for (backend, class) in [("v1", "2xx"), ("v2", "5xx")] {
        let served = named(&backends, backend).count();
        let of_backend = ("backend", backend);
        assert_eq!(count("traffic_policy_requests_total", &[of_backend]).await, served, "{backend}");
        assert_eq!(count("traffic_policy_responses_total", &[of_backend, ("code_class", class)]).await, served);
        assert_eq!(total(backend).await, served);
        // Envoy gathers histograms every five seconds.
        let times = async || count("traffic_policy_response_time_milliseconds_count", &[of_backend]).await;
        wait_until("all times are counted", async || times().await == served).await.unwrap();
    }
    // Every third request is for the endpoint b, and every fifth is in the cohort.
    let of = async |labels: &[(&str, &str)]| count("traffic_policy_responses_total", labels).await;
    assert_eq!(of(&[("endpoint", "b")]).await, COUNT);
    assert_eq!(of(&[("endpoint", "a"), ("cohort", "beta")]).await, 2 * COUNT / 5);
    assert_eq!(count("traffic_policy_requests_total", &[("endpoint", "b"), ("reason", "random")]).await, COUNT);
    assert_eq!(count("traffic_policy_requests_total", &[("reason", "key")]).await, 2 * COUNT * 4 / 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_is_counted_by_class_and_its_time_is_recorded() {
    let backends = Backend::start_all(["main"]).await.unwrap();
    let main = named(&backends, "main");
    let envoy = Envoy::start(&Setup::new(one_endpoint(json!({ "name": "e", "traffic": { "main": 1 } })), &backends))
        .await
        .unwrap();
    let client = envoy.client(Http::V1);
    let of_class =
        async |class: &str| envoy.metric("traffic_policy_responses_total", &[("code_class", class)]).await.unwrap();
    for (status, class) in [(204, "2xx"), (301, "3xx"), (404, "4xx"), (500, "5xx")] {
        main.behave(Behaviour { status: Some(StatusCode::from_u16(status).unwrap()), ..Behaviour::default() });
        client.get("/", &[]).await.unwrap();
        wait_until("the response is counted", async || of_class(class).await == 1).await.unwrap();
    }
    // Envoy answers 503 for a backend that hangs up.
    main.behave(Behaviour { status: None, ..Behaviour::default() });
    client.get("/", &[]).await.unwrap();
    wait_until("the response is counted", async || of_class("5xx").await == 2).await.unwrap();
    // A client that goes away early gets no response.
    main.behave(Behaviour { delay: Duration::from_secs(2), ..Behaviour::default() });
    let request = client.get("/", &[]);
    tokio::time::timeout(Duration::from_millis(200), request).await.unwrap_err();
    wait_until("the end is counted", async || of_class("none").await == 1).await.unwrap();
    main.behave(Behaviour { delay: Duration::from_millis(300), ..Behaviour::default() });
    let sum = async || envoy.metric("traffic_policy_response_time_milliseconds_sum", &[]).await.unwrap_or_default();
    client.get("/", &[]).await.unwrap();
    // The requests before took two seconds at most. The buckets of the histogram round by a tenth.
    wait_until("the time is counted", async || sum().await >= 270).await.unwrap();
    assert!(sum().await < 3_000, "{}", sum().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn responses_are_not_counted_where_the_policy_turns_that_off() {
    let backends = Backend::start_all(["main"]).await.unwrap();
    let policy = json!({ "metrics": { "responses": false }, "endpoints": [{ "name": "e", "traffic": { "main": 1 } }] });
    let envoy = Envoy::start(&Setup::new(policy.to_string(), &backends)).await.unwrap();
    send(&envoy, 100).await;
    assert_eq!(envoy.metric("traffic_policy_requests_total", &[]).await.unwrap(), 100);
    let page = envoy.admin("/stats/prometheus").await.unwrap();
    assert!(!page.contains("traffic_policy_response"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hash_and_the_shares_of_the_policy_in_force_are_gauges() {
    let backends = Backend::start_all(["v1", "v2"]).await.unwrap();
    let first = r#"{"endpoints": [{"name": "e", "route": "/", "traffic": {"v1": 0.75, "v2": 0.25}}]}"#;
    let envoy = Envoy::start(&Setup { workers: 2, ..Setup::new(first, &backends) }).await.unwrap();
    let reported =
        async || envoy.metric("traffic_policy_policy_info", &[("version", env!("CARGO_PKG_VERSION"))]).await.unwrap();
    let share = async |backend: &str| {
        envoy
            .metric("traffic_policy_traffic_share_millionths", &[("endpoint", "e"), ("backend", backend)])
            .await
            .unwrap()
    };
    envoy.wait_until_published(first).await.unwrap();
    assert_eq!(reported().await, hash(first));
    assert_eq!((share("v1").await, share("v2").await), (750_000, 250_000));
    // With another layout, as a control plane may write it, it is the same policy.
    let same = r#"{ "endpoints": [ { "traffic": { "v2": 2.5e-1, "v1": 0.750 }, "route": "/", "name": "e" } ] }"#;
    envoy.apply(same).await.unwrap();
    assert_eq!(reported().await, hash(first));
    let other = r#"{"endpoints": [{"name": "e", "route": "/", "traffic": {"v1": 1}}]}"#;
    envoy.apply(other).await.unwrap();
    assert_eq!(reported().await, hash(other));
    assert_ne!(hash(first), hash(other));
    assert_eq!((share("v1").await, share("v2").await), (1_000_000, 0));
    assert_eq!(envoy.apply("{}").await.unwrap(), Verdict::Refused);
    assert_eq!(reported().await, hash(other));
    let swapped = r#"{"endpoints": [{"name": "e", "route": "/", "traffic": {"v1": 0.25, "v2": 0.75}}]}"#;
    assert_ne!(hash(first), hash(swapped));
    assert!(hash(first) < 1 << 53);
}
