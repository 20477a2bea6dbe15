//! Shadows cost the primary nothing, in whatever way they fail.

use std::time::{Duration, Instant};

use http::StatusCode;
use serde_json::{Value, json};
use testbed::backend::{Backend, Behaviour, named};
use testbed::bootstrap::add_empty_cluster;
use testbed::client::Http;
use testbed::envoy::{Envoy, Setup};
use testbed::statistics::paired_difference;
use testbed::wait_until;

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_changes_neither_answers_nor_latency_of_the_primary_however_it_fails() {
    const COUNT: usize = 1000;
    let _turn = crate::turn().await;
    let backends =
        Backend::start_all(["main", "good", "slow", "silent", "resetting", "failing", "huge"]).await.unwrap();
    let status = |status| Behaviour { status, ..Behaviour::default() };
    named(&backends, "slow").answer_after(Duration::from_secs(5));
    named(&backends, "silent").answer_after(Duration::from_secs(3600));
    named(&backends, "resetting").behave(status(None));
    named(&backends, "failing").behave(status(Some(StatusCode::INTERNAL_SERVER_ERROR)));
    named(&backends, "huge").behave(Behaviour { body_bytes: Some(40 << 20), ..Behaviour::default() });
    let endpoint = |backend: &str, shadow: Value| json!({ "name": backend, "route": format!("/{backend}"), "traffic": { "main": 1 }, "shadow": shadow });
    // Each kind of shadow, with the outcomes that its copies may have.
    let kinds = [
        ("good", json!(1), vec!["2xx"]),
        (
            "slow",
            json!({ "fraction": 1, "timeout_ms": 15_000, "max_in_flight": 200 }),
            vec!["2xx", "skipped_in_flight"],
        ),
        (
            "silent",
            json!({ "fraction": 1, "timeout_ms": 1000, "max_in_flight": 16 }),
            vec!["timeout", "skipped_in_flight"],
        ),
        ("resetting", json!(1), vec!["reset"]),
        ("failing", json!(1), vec!["5xx"]),
        ("huge", json!({ "fraction": 1, "max_in_flight": 2 }), vec!["reset", "skipped_in_flight"]),
        ("empty", json!(1), vec!["unavailable"]),
        ("nowhere", json!(1), vec!["unknown_cluster"]),
    ];
    let mut endpoints: Vec<_> =
        kinds.iter().map(|(name, shadow, _)| endpoint(name, json!({ *name: shadow }))).collect();
    endpoints.push(endpoint("plain", json!({})));
    let policy = json!({ "endpoints": endpoints }).to_string();
    let adapt = |bootstrap: &mut Value| {
        add_empty_cluster(bootstrap, "empty");
    };
    let envoy = Envoy::start(&Setup { adapt, ..Setup::new(policy, &backends) }).await.unwrap();
    let client = envoy.client(Http::V1);
    let timed = async |path: &str| {
        let start = Instant::now();
        let answer = client.send("POST", path, [], "body").await.unwrap();
        let micros = start.elapsed().as_secs_f64() * 1e6;
        let (mut head, body) = answer.into_parts();
        for varies in ["date", "x-envoy-upstream-service-time"] {
            head.headers.remove(varies);
        }
        (micros, (head.status, head.headers, body))
    };
    let (_, expected) = timed("/plain").await;
    assert_eq!(expected.0, StatusCode::OK);
    let mut coin = 7_u32;
    for (name, _, _) in &kinds {
        let (mut plain, mut shadowed) = (Vec::new(), Vec::new());
        while plain.len().min(shadowed.len()) < COUNT {
            // A coin decides, so that after-effects of the request before hit both kinds alike. In
            // the pause its copy leaves.
            coin = coin.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let is_shadowed = if shadowed.len() == COUNT { false } else { plain.len() == COUNT || coin >> 31 == 0 };
            let path = if is_shadowed { format!("/{name}") } else { "/plain".to_owned() };
            tokio::time::sleep(Duration::from_millis(2)).await;
            let (micros, answer) = timed(&path).await;
            assert_eq!(answer, expected, "{path}");
            if is_shadowed { &mut shadowed } else { &mut plain }.push(micros);
        }
        for part in [0.5, 0.99] {
            let (difference, noise) = paired_difference(&plain, &shadowed, part);
            println!("{name}: quantile {part}: {difference:+.0} µs, noise ± {noise:.0} µs");
            // On a quiet machine drawing and copying take more than noise: some microseconds.
            assert!(difference < noise.max(100.0), "{name}: {difference} µs more at {part}; noise is {noise} µs");
        }
    }
    for (name, _, results) in &kinds {
        wait_until("every copy has its outcome", async || envoy.all_outcomes(name).await.unwrap() == COUNT as u64)
            .await
            .unwrap();
        let mut seen = 0;
        for result in results {
            let labels = [("backend", *name), ("result", *result)];
            let count = envoy.metric("traffic_policy_shadow_total", &labels).await.unwrap();
            assert!(count > 0, "{name}: no {result}");
            seen += count;
        }
        assert_eq!(seen, COUNT as u64, "{name}: other outcomes than {results:?}");
        assert_eq!(envoy.in_flight(name).await.unwrap(), 0, "{name}");
    }
    // The filter records the times of answers, and of nothing else.
    let histogram = |name: &'static str| {
        let envoy = &envoy;
        async move {
            envoy.metric("traffic_policy_shadow_response_time_milliseconds_count", &[("backend", name)]).await.unwrap()
        }
    };
    wait_until("response times are merged", async || histogram("good").await == COUNT as u64).await.unwrap();
    let slow = envoy.outcomes("slow", "2xx").await.unwrap();
    wait_until("response times are merged", async || histogram("slow").await == slow).await.unwrap();
    assert_eq!(histogram("silent").await, 0);
}
