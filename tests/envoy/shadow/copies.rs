//! The content of copies, and the time at which they leave.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Value, json};
use testbed::backend::{Backend, named};
use testbed::bootstrap::{add_empty_cluster, http_filters, routes};
use testbed::client::{Http, served_by};
use testbed::envoy::{Envoy, Setup, Verdict};
use testbed::policies::{one_endpoint, shadowed};
use testbed::socket::connect_and_send;
use testbed::statistics::{FALSE_ALARM, assert_share, independence_p};
use testbed::{load, wait_until};
use tokio::io::AsyncWriteExt;

use super::stage::{copies, essence, main_and_copy, wait_for_outcome};

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_the_request_with_a_marker() {
    let (envoy, backends) = main_and_copy(json!(1), |_| ()).await;
    let large: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
    let headers: [(&str, &[u8]); 5] = [
        ("accept", b"a"),
        ("cookie", b"session=1"),
        ("accept", b"b"),
        ("x-envoy-of-the-client", b"1"),
        ("x-empty", b""),
    ];
    let requests = [("GET", "/a?q=1&q=2", Vec::new()), ("POST", "/b", b"body".to_vec()), ("PUT", "/c%2F/", large)];
    for http in [Http::V1, Http::V2] {
        let client = envoy.client(http);
        for (method, path, body) in &requests {
            let answer = client.send(method, path, headers, body.clone()).await.unwrap();
            assert_eq!(served_by(&answer), Some("main"));
            let original = named(&backends, "main").take_received().pop().unwrap();
            let copy = copies(&backends, 1).await.pop().unwrap();
            assert_eq!(essence(&original), essence(&copy), "{method} {path} over {http:?}");
            assert_eq!(copy.header("x-traffic-shadow"), ["copy"]);
            assert_eq!(original.header("x-traffic-shadow"), Vec::<String>::new());
            assert_eq!(original.header("x-envoy-of-the-client"), ["1"]);
            assert_eq!(copy.header("x-envoy-of-the-client"), Vec::<String>::new());
        }
    }
    wait_for_outcome(&envoy, "copy", "2xx", 6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_outlives_its_request_and_delays_nobody() {
    let backends = Backend::start_all(["main", "slow"]).await.unwrap();
    named(&backends, "slow").answer_after(Duration::from_secs(1));
    for workers in [1, 2] {
        let policy = shadowed(json!({ "slow": 1, "nowhere": 1 }));
        let envoy = Envoy::start(&Setup { workers, ..Setup::new(policy, &backends) }).await.unwrap();
        let start = Instant::now();
        for _ in 0..20 {
            // Each request has its own client, which is gone before the shadow answers.
            let answer = envoy.client(Http::V1).get("/", &[]).await.unwrap();
            assert_eq!(served_by(&answer), Some("main"));
        }
        let time = start.elapsed();
        assert!(time < Duration::from_secs(10), "twenty requests took {time:?}: they waited for the shadow");
        wait_for_outcome(&envoy, "slow", "2xx", 20).await;
        assert_eq!(envoy.outcomes("nowhere", "unknown_cluster").await.unwrap(), 20);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_in_flight_are_still_counted_after_the_policy_changes() {
    let backends = Backend::start_all(["main", "slow"]).await.unwrap();
    named(&backends, "slow").answer_after(Duration::from_secs(3));
    let policy = shadowed(json!({ "slow": 1 }));
    let envoy = Envoy::start(&Setup { workers: 2, ..Setup::new(policy, &backends) }).await.unwrap();
    let client = envoy.client(Http::V1);
    for round in 1..=2 {
        let tally = load::send(&client, "/", 20).await;
        assert_eq!(tally.failed, 0);
        let other = shadowed(json!({ "slow": 1, "other": 0, format!("round-{round}"): 0 }));
        assert_eq!(envoy.apply(&other).await.unwrap(), Verdict::InForce);
        let answered = envoy.outcomes("slow", "2xx").await.unwrap();
        assert!(answered < round * 20, "all copies were answered before the change");
        wait_for_outcome(&envoy, "slow", "2xx", round * 20).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shadows_draw_their_fractions_independently_of_each_other_and_of_the_split() {
    let backends = Backend::start_all(["stable", "canary", "a", "b"]).await.unwrap();
    backends.iter().for_each(Backend::remember);
    let policy = one_endpoint(json!({
        "name": "e", "traffic": { "stable": 0.9, "canary": 0.1 }, "shadow": { "a": 0.5, "b": 0.1, "canary": 0.1 }
    }));
    let envoy = Envoy::start(&Setup { workers: 2, ..Setup::new(policy, &backends) }).await.unwrap();
    let client = envoy.client(Http::V1);
    let count = 20_000;
    let tally = load::send_each(count, move |n| {
        let client = client.clone();
        async move { client.get("/", &[("x-n", &n.to_string())]).await }
    })
    .await;
    assert_eq!(tally.failed, 0);
    let requested: u64 = tally.total();
    let copies = async || {
        let mut sum = 0;
        for shadow in ["a", "b", "canary"] {
            sum += envoy.outcomes(shadow, "2xx").await.unwrap();
        }
        sum
    };
    let received = || backends.iter().map(Backend::count).sum::<u64>();
    wait_until("each copy is counted", async || copies().await == received() - requested).await.unwrap();

    let mut rows = vec![[false; 4]; 20_000];
    for backend in &backends {
        for received in backend.take_received() {
            let n: usize = received.header("x-n").pop().unwrap().parse().unwrap();
            let column = match (backend.name.as_str(), received.header("x-traffic-shadow").is_empty()) {
                ("stable", true) => continue,
                ("canary", true) => 0,
                ("a", false) => 1,
                ("b", false) => 2,
                ("canary", false) => 3,
                other => panic!("unexpected at {other:?}"),
            };
            assert!(!rows[n][column], "request {n} came twice to {}", backend.name);
            rows[n][column] = true;
        }
    }
    for (column, share) in [0.1, 0.5, 0.1, 0.1].into_iter().enumerate() {
        let seen = rows.iter().filter(|row| row[column]).count() as u64;
        assert_share(seen, count, share, &format!("column {column}"));
        for other in 0..column {
            let mut table = vec![vec![0; 2]; 2];
            for row in &rows {
                table[usize::from(row[column])][usize::from(row[other])] += 1;
            }
            let p = independence_p(&table);
            assert!(p > FALSE_ALARM, "{column} and {other} depend on each other: {table:?}, p = {p}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_are_not_utf_8_neither_crash_the_filter_nor_reach_the_copy() {
    let (envoy, backends) = main_and_copy(json!(1), |_| ()).await;
    let headers: [(&str, &[u8]); 3] =
        [("x-serve-shard-key", b"\xff\xfe"), ("x-bytes", b"\x80"), ("x-text", "h\u{e4}ns".as_bytes())];
    let answer = envoy.client(Http::V1).send("GET", "/", headers, Bytes::new()).await.unwrap();
    assert_eq!(served_by(&answer), Some("main"));
    let copy = copies(&backends, 1).await.pop().unwrap();
    assert_eq!(copy.header("x-bytes"), Vec::<String>::new());
    assert_eq!(copy.header("x-text"), ["h\u{e4}ns"]);
    assert_eq!(envoy.stat("wasm.traffic-policy.vm_reload_success").await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_copy_lacks_a_header_that_is_not_utf_8_and_a_metric_counts_that() {
    let (envoy, backends) = main_and_copy(json!(1), |_| ()).await;
    let headers: [(&str, &[u8]); 3] = [("x-a", b"\x80"), ("x-b", b"\xff"), ("x-c", b"c")];
    envoy.client(Http::V1).send("GET", "/", headers, Bytes::new()).await.unwrap();
    let copy = copies(&backends, 1).await.pop().unwrap();
    assert_eq!((copy.header("x-a"), copy.header("x-c")), (vec![], vec!["c".to_owned()]));
    let omitted = [("backend", "copy"), ("part", "header")];
    assert_eq!(envoy.metric("traffic_policy_shadow_omitted_total", &omitted).await.unwrap(), 2);
    let mut stream = connect_and_send(envoy.address, "").await.unwrap();
    stream.write_all(b"GET /\xff HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    wait_until("the path is judged", async || {
        // Envoy may refuse such a path. If it doesn't, the filter skips the copy.
        envoy.outcomes("copy", "skipped_not_utf8").await.unwrap() == 1
            || envoy.stat("http.main.downstream_cx_protocol_error").await.is_ok_and(|count| count == 1)
    })
    .await
    .unwrap();
    assert_eq!(envoy.stat("wasm.traffic-policy.vm_reload_success").await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_a_later_filter_or_the_route_answers_is_not_copied() {
    let backends = Backend::start_all(["main", "copy"]).await.unwrap();
    let adapt = |bootstrap: &mut Value| {
        // A later filter that denies requests, and a route that answers them itself.
        let deny = json!({ "name": "deny", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
            "rules": { "action": "DENY", "policies": { "p": {
                "permissions": [{ "header": { "name": "x-denied", "present_match": true } }], "principals": [{ "any": true }] } } } } });
        http_filters(bootstrap).insert(1, deny);
        let direct = json!({ "match": { "prefix": "/direct" }, "direct_response": { "status": 200 } });
        routes(bootstrap).insert(0, direct);
        add_empty_cluster(bootstrap, "empty");
    };
    let policy = json!({ "endpoints": [
        { "name": "empty", "route": "/empty", "traffic": { "empty": 1 }, "shadow": { "copy": 1 } },
        { "name": "e", "traffic": { "main": 1 }, "shadow": { "copy": 1 } },
    ] });
    let envoy = Envoy::start(&Setup { adapt, ..Setup::new(policy.to_string(), &backends) }).await.unwrap();
    let client = envoy.client(Http::V1);
    for (path, headers, status) in
        [("/", vec![("x-denied", "1")], 403), ("/direct", vec![], 200), ("/empty", vec![], 503)]
    {
        for method in ["GET", "POST"] {
            let headers = headers.iter().map(|(name, value): &(&str, &str)| (*name, value.as_bytes()));
            assert_eq!(client.send(method, path, headers, "").await.unwrap().status(), status, "{method} {path}");
        }
    }
    // The shadow gets its copy even if the primary's cluster has no host.
    wait_for_outcome(&envoy, "copy", "2xx", 2).await;
    wait_for_outcome(&envoy, "copy", "skipped_not_forwarded", 4).await;
    assert_eq!(named(&backends, "copy").count(), 2);
}
