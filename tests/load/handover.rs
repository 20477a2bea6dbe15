//! How long a worker is busy when it hands large copies over to Envoy.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::{Map, Value, json};
use testbed::backend::{Backend, named};
use testbed::client::{Client, Http};
use testbed::envoy::{Envoy, Setup};
use testbed::policies::one_endpoint;
use testbed::wait_until;

/// The longest time that a request took while a body of `bytes` bytes was uploaded and then handed
/// over to `shadows` shadows: in the best of some rounds, since other programs run, too.
async fn longest(shadows: usize, bytes: usize) -> Duration {
    const ROUNDS: u64 = 8;
    let names: Vec<_> = (0..shadows).map(|n| format!("copy-{n}")).collect();
    let backends = Backend::start_all(["main"].into_iter().chain(names.iter().map(String::as_str))).await.unwrap();
    let options = json!({ "fraction": 1, "methods": ["PUT"], "max_body_bytes": 32 << 20, "timeout_ms": 20_000 });
    let shadow: Map<String, Value> = names.iter().map(|name| (name.clone(), options.clone())).collect();
    let policy = one_endpoint(json!({ "name": "e", "traffic": { "main": 1 }, "shadow": shadow }));
    let envoy = Envoy::start(&Setup::new(policy, &backends)).await.unwrap();
    let (client, body) = (envoy.client(Http::V1), Bytes::from(vec![b'x'; bytes]));
    let mut best = Duration::MAX;
    for round in 1..=ROUNDS {
        client.send("PUT", "/", [], body.clone()).await.unwrap();
        let pings = tokio::spawn(ping(envoy.client(Http::V1)));
        wait_until("all copies come", async || names.iter().all(|name| named(&backends, name).count() == round))
            .await
            .unwrap();
        best = best.min(pings.await.unwrap());
    }
    best
}

/// The longest of the times that requests take for half a second.
async fn ping(client: Client) -> Duration {
    let (start, mut longest) = (Instant::now(), Duration::ZERO);
    while start.elapsed() < Duration::from_millis(500) {
        let sent = Instant::now();
        client.get("/", &[]).await.unwrap();
        longest = longest.max(sent.elapsed());
    }
    longest
}

#[tokio::test(flavor = "multi_thread")]
async fn other_requests_wait_for_one_large_copy_at_most_however_many_are_due() {
    let _turn = crate::turn().await;
    let one = longest(1, 7 << 20).await;
    let eight = longest(8, 7 << 20).await;
    let (small, largest) = (longest(1, 1 << 20).await, longest(1, 31 << 20).await);
    println!(
        "the longest request while copies are handed over: {small:?} for 1 MiB to one shadow, {one:?} for 7 MiB, \
         {eight:?} for 7 MiB to eight, {largest:?} for 31 MiB to one"
    );
    assert!(eight < 6 * one, "{eight:?} for eight copies, {one:?} for one");
}
