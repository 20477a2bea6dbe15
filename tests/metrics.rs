//! What the filter counts, in a real Envoy, against what clients and backends count themselves.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Value, json};
use testbed::backend::{Backend, Behaviour, named};
use testbed::client::Http;
use testbed::envoy::{Envoy, Setup, Verdict, connection_manager, one_endpoint};
use testbed::load::{Tally, send_each};
use testbed::{project, wait_until};

/// Sends requests to two endpoints, some of them of the cohort `beta`, over both versions of HTTP.
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
    // Each third request is of b, and each fifth of a cohort.
    let of = async |labels: &[(&str, &str)]| count("traffic_policy_responses_total", labels).await;
    assert_eq!(of(&[("endpoint", "b")]).await, COUNT);
    assert_eq!(of(&[("endpoint", "a"), ("cohort", "beta")]).await, 2 * COUNT / 5);
    assert_eq!(count("traffic_policy_requests_total", &[("endpoint", "b"), ("reason", "random")]).await, COUNT);
    assert_eq!(count("traffic_policy_requests_total", &[("reason", "key")]).await, 2 * COUNT * 4 / 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_is_counted_by_its_class_and_its_time() {
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
    // A client that goes away before the response gets none.
    main.behave(Behaviour { delay: Duration::from_secs(2), ..Behaviour::default() });
    let request = client.get("/", &[]);
    tokio::time::timeout(Duration::from_millis(200), request).await.unwrap_err();
    wait_until("the end is counted", async || of_class("none").await == 1).await.unwrap();
    main.behave(Behaviour { delay: Duration::from_millis(300), ..Behaviour::default() });
    let sum = async || envoy.metric("traffic_policy_response_time_milliseconds_sum", &[]).await.unwrap_or_default();
    client.get("/", &[]).await.unwrap();
    // What came before took two seconds at most. The histogram's buckets round by a tenth.
    wait_until("the time is counted", async || sum().await >= 270).await.unwrap();
    assert!(sum().await < 3_000, "{}", sum().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn responses_are_not_counted_if_the_policy_does_not_want_it() {
    let backends = Backend::start_all(["main"]).await.unwrap();
    let policy = json!({ "metrics": { "responses": false }, "endpoints": [{ "name": "e", "traffic": { "main": 1 } }] });
    let envoy = Envoy::start(&Setup::new(policy.to_string(), &backends)).await.unwrap();
    send(&envoy, 100).await;
    assert_eq!(envoy.metric("traffic_policy_requests_total", &[]).await.unwrap(), 100);
    let page = envoy.admin("/stats/prometheus").await.unwrap();
    assert!(!page.contains("traffic_policy_response"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_upstream_and_the_access_log_are_told_the_decision() {
    let backends = Backend::start_all(["v1", "copy"]).await.unwrap();
    backends.iter().for_each(Backend::remember);
    let policy = json!({ "request_header": "X-Variant", "filter_state": "traffic_policy", "endpoints": [
        { "name": "e", "route": "/e", "traffic": { "v1": 1 }, "shadow": { "copy": 1 },
          "cohorts": [{ "name": "beta", "match": { "headers": [{ "name": "x-beta", "present": true }] }, "traffic": { "v1": 1 } }] }],
        "default_cluster": "v1" });
    // As the commented lines of envoy.yaml say.
    let with_log = |bootstrap: &mut Value| {
        let shipped = std::fs::read_to_string(project().join("envoy/envoy.yaml")).unwrap();
        let lines = shipped.lines().skip_while(|line| !line.contains("# access_log:"));
        let lines = lines.map_while(|line| line.trim_start().strip_prefix("# ")).collect::<Vec<_>>().join("\n");
        let mut log: Value = serde_saphyr::from_str(&lines).unwrap();
        log["access_log"][0]["typed_config"]["path"] = json!("/dev/stderr");
        connection_manager(bootstrap)["access_log"] = log["access_log"].clone();
    };
    let envoy = Envoy::start(&Setup { adapt: with_log, ..Setup::new(policy.to_string(), &backends) }).await.unwrap();
    let client = envoy.client(Http::V1);
    let spoof = ("x-variant", "other");
    client.get("/e", &[spoof, ("x-beta", "1")]).await.unwrap();
    client.get("/e", &[spoof, ("x-serve-shard-key", "alice")]).await.unwrap();
    client.get("/elsewhere", &[spoof]).await.unwrap();
    let told: Vec<_> =
        named(&backends, "v1").take_received().iter().map(|received| received.header("x-variant")).collect();
    // Where no endpoint matches the client tells nothing, either.
    assert_eq!(told, [vec!["v1"], vec!["v1"], vec![]]);
    wait_until("the copies come", async || named(&backends, "copy").count() == 2).await.unwrap();
    for copy in named(&backends, "copy").take_received() {
        assert_eq!(copy.header("x-variant"), Vec::<String>::new());
    }
    let decisions = || -> Vec<String> {
        let log = envoy.log();
        let lines = log.lines().filter(|line| line.contains("] GET 200 "));
        lines.map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect()
    };
    wait_until("Envoy writes its log", async || decisions().len() == 3).await.unwrap();
    assert_eq!(decisions(), ["e/beta/v1/random", "e/-/v1/key", "-"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policys_hash_and_shares_are_gauges() {
    let backends = Backend::start_all(["v1", "v2"]).await.unwrap();
    let first = r#"{"endpoints": [{"name": "e", "route": "/", "traffic": {"v1": 0.75, "v2": 0.25}}]}"#;
    let envoy = Envoy::start(&Setup { workers: 2, ..Setup::new(first, &backends) }).await.unwrap();
    let hash =
        async || envoy.metric("traffic_policy_policy_info", &[("version", env!("CARGO_PKG_VERSION"))]).await.unwrap();
    let share = async |backend: &str| {
        envoy
            .metric("traffic_policy_traffic_share_millionths", &[("endpoint", "e"), ("backend", backend)])
            .await
            .unwrap()
    };
    let native = |json: &str| policy::Policy::from_json(json.as_bytes()).unwrap().policy.hash;
    assert_eq!(hash().await, native(first));
    assert_eq!((share("v1").await, share("v2").await), (750_000, 250_000));
    // Laid out otherwise, as a control plane would, it is the same policy.
    let same = r#"{ "endpoints": [ { "traffic": { "v2": 2.5e-1, "v1": 0.750 }, "route": "/", "name": "e" } ] }"#;
    envoy.apply(same).await.unwrap();
    assert_eq!(hash().await, native(first));
    let other = r#"{"endpoints": [{"name": "e", "route": "/", "traffic": {"v1": 1}}]}"#;
    envoy.apply(other).await.unwrap();
    assert_eq!(hash().await, native(other));
    assert_ne!(native(first), native(other));
    assert_eq!((share("v1").await, share("v2").await), (1_000_000, 0));
    assert_eq!(envoy.apply("{}").await.unwrap(), Verdict::Refused);
    assert_eq!(hash().await, native(other));
    let swapped = r#"{"endpoints": [{"name": "e", "route": "/", "traffic": {"v1": 0.25, "v2": 0.75}}]}"#;
    assert_ne!(native(first), native(swapped));
    assert!(native(first) < 1 << 53);
}

/// The series of the filter's own, by metric.
async fn series(envoy: &Envoy) -> BTreeMap<String, usize> {
    let mut series: BTreeMap<String, usize> = BTreeMap::new();
    for line in envoy.admin("/stats/prometheus").await.unwrap().lines() {
        if let Some((name, _)) = line.split_once('{').filter(|(name, _)| name.starts_with("traffic_policy_")) {
            *series.entry(name.to_owned()).or_default() += 1;
        }
    }
    series
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_policy_has_so_many_series_and_takes_so_much_memory() {
    const ENDPOINTS: usize = 50;
    const COHORTS: usize = 10;
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
    // Every endpoint and cohort, by key and at random, with values that only a client could think of.
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
    let series = series(&envoy).await;
    let full = envoy.resident_bytes().unwrap();
    let mib = |bytes: u64| bytes / (1 << 20);
    println!(
        "{choices} choices of {} bytes of policy: configured in {configured:?}; resident {} MiB before, {} MiB configured, {} MiB after {requests} requests; series: {series:?}",
        policy.len(),
        mib(before),
        mib(idle),
        mib(full)
    );
    // Bounds from the policy alone: by key and at random; 2xx; the share; and one of the policy.
    assert_eq!(series["traffic_policy_traffic_share_millionths"], choices + 1);
    assert!(series["traffic_policy_requests_total"] <= 2 * choices, "{series:?}");
    assert!(
        series["traffic_policy_responses_total"] <= choices
            && series["traffic_policy_responses_total"] > choices * 9 / 10
    );
    assert_eq!(series["traffic_policy_policy_info"], 1);
    let page = envoy.admin("/stats/prometheus").await.unwrap();
    assert!(!page.contains("client-"), "a client's value is in a series");
    assert!(configured < Duration::from_secs(10), "{configured:?}");
    assert!(full < before + (200 << 20), "{} MiB", mib(full - before));
}

#[test]
fn istio_gets_the_same_labels_as_envoy() {
    let read = |file: &str| -> Value {
        serde_saphyr::from_str(&std::fs::read_to_string(project().join(file)).unwrap()).unwrap()
    };
    let tags = read("envoy/envoy.yaml")["stats_config"]["stats_tags"].clone();
    let tags: Vec<_> = tags.as_array().unwrap().iter().map(|tag| tag["tag_name"].clone()).collect();
    let of_istio = read("envoy/istio-stat-tags.yaml")["meshConfig"]["defaultConfig"]["extraStatTags"].clone();
    assert_eq!(of_istio.as_array().unwrap().iter().collect::<std::collections::HashSet<_>>(), tags.iter().collect());
    // Istio makes each regex of this form from the name.
    for tag in read("envoy/envoy.yaml")["stats_config"]["stats_tags"].as_array().unwrap() {
        assert_eq!(tag["regex"], format!(r"({}=\.=(.*?);\.;)", tag["tag_name"].as_str().unwrap()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_readmes_table_names_each_metric_and_label() {
    let readme = std::fs::read_to_string(project().join("README.md")).unwrap();
    let mut documented: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in readme.lines().filter(|line| line.starts_with("| `traffic_policy_")) {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let labels = cells[3].split(", ").map(|label| label.trim_matches('`').to_owned());
        documented.insert(cells[1].trim_matches('`').to_owned(), labels.collect());
    }
    let backends = Backend::start_all(["main", "copy"]).await.unwrap();
    let policy = json!({ "endpoints": [{ "name": "e", "traffic": { "main": 1 }, "shadow": { "copy": 1 },
        "cohorts": [{ "name": "c", "match": { "headers": [{ "name": "x-c", "present": true }] }, "traffic": { "main": 1 } }] }] });
    let envoy = Envoy::start(&Setup::new(policy.to_string(), &backends)).await.unwrap();
    let client = envoy.client(Http::V1);
    // A value that is not UTF-8 is left out of the copy, and that is counted.
    client.send("GET", "/", [("x-c", b"\xff".as_slice())], Bytes::new()).await.unwrap();
    client.get("/", &[]).await.unwrap();
    wait_until("the copies are answered", async || envoy.outcomes("copy", "2xx").await.unwrap() == 2).await.unwrap();
    let mut seen: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in envoy.admin("/stats/prometheus").await.unwrap().lines() {
        let Some((name, rest)) = line.split_once('{').filter(|(name, _)| name.starts_with("traffic_policy_")) else {
            continue;
        };
        let name = ["_bucket", "_count", "_sum"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
        let labels =
            rest.split_once('}').unwrap().0.split("\",").filter_map(|label| Some(label.split_once('=')?.0.to_owned()));
        seen.entry(name.to_owned()).or_default().extend(labels.filter(|label| label != "le"));
    }
    assert_eq!(documented, seen);
}
