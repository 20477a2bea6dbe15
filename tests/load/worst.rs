//! The request that costs most, under the policies that make it cost most.

use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use testbed::backend::Backend;
use testbed::client::{Client, Http};
use testbed::costly::{SHAPES, Shape};
use testbed::envoy::{Envoy, Setup, Verdict};
use testbed::policies::{all_to, one_endpoint};

/// The CPU time of the shape's request, the least of several.
async fn cost(envoy: &Envoy, client: &Client, shape: &Shape) -> Duration {
    const TRIES: usize = 24;
    let (path, headers) = (shape.request)();
    let mut least = Duration::MAX;
    for _ in 0..TRIES {
        let before = envoy.cpu_time().unwrap();
        let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        client.send("GET", &path, headers, Bytes::new()).await.unwrap();
        // Copies leave after the response.
        tokio::time::sleep(Duration::from_millis(30)).await;
        least = least.min(envoy.cpu_time().unwrap() - before);
    }
    least
}

#[tokio::test(flavor = "multi_thread")]
async fn no_policy_that_is_accepted_lets_a_request_cost_more_than_ten_milliseconds() {
    const POLICY_BYTES: usize = 1_000_000;
    const MOST: Duration = Duration::from_millis(10);
    let _turn = crate::turn().await;
    let backends = Backend::start_all(["a"]).await.unwrap();
    let envoy = Envoy::start(&Setup::new(all_to("a"), &backends)).await.unwrap();
    let client = envoy.client(Http::V1);
    let mut worst = Vec::new();
    for shape in SHAPES {
        let plain = one_endpoint(json!({ "name": "plain", "traffic": { "a": 1 }, "affinity": { "salt": shape.name } }));
        assert_eq!(envoy.apply(&plain).await.unwrap(), Verdict::InForce);
        let base = cost(&envoy, &client, &shape).await;
        let (count, policy) = shape.largest(POLICY_BYTES);
        assert_eq!(envoy.apply(&policy).await.unwrap(), Verdict::InForce, "{}", shape.name);
        let cost = cost(&envoy, &client, &shape).await.saturating_sub(base);
        println!("{count:6} {:40} {:8} bytes {cost:?} beside {base:?}", shape.name, policy.len());
        worst.push((cost, shape.name, count));
    }
    let worst = worst.into_iter().max().unwrap();
    println!("the worst: {worst:?}");
    assert!(worst.0 <= MOST, "{worst:?}");
}
