//! Many requests with copies of mixed size: memory and counters. Alone in its file, since it measures memory under
//! full load.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking"
)]

use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use testbed::backend::{Backend, named};
use testbed::client::Http;
use testbed::envoy::{Envoy, Setup, shadowed};
use testbed::load;
use testbed::wait_until;

/// `SOAK_REQUESTS` says how many; `make soak` sends a million.
#[tokio::test(flavor = "multi_thread")]
async fn memory_reaches_a_plateau_and_no_copy_is_lost() {
    let count: u64 = std::env::var("SOAK_REQUESTS").map_or(20_000, |count| count.parse().unwrap());
    let backends = Backend::start_all(["main", "quick", "slow"]).await.unwrap();
    named(&backends, "slow").answer_after(Duration::from_millis(50));
    let policy = shadowed(json!({ "quick": 1, "slow": { "fraction": 0.5, "max_in_flight": 16 } }));
    let envoy = Envoy::start(&Setup { workers: 2, ..Setup::new(policy, &backends) }).await.unwrap();
    let bodies = [0, 100, 1_000, 10_000, 100_000, 0, 1_000, 300_000].map(|size| Bytes::from(vec![b'x'; size]));
    let mut memory = Vec::new();
    for _ in 0..10 {
        let (client, bodies) = (envoy.client(Http::V1), bodies.clone());
        let tally = load::send_each(count / 10, move |n| {
            let (client, body) = (client.clone(), bodies[(n % 8) as usize].clone());
            async move { client.send("POST", "/", [], body).await }
        })
        .await;
        assert_eq!(tally.failed, 0);
        memory.push(envoy.resident_bytes().unwrap() >> 20);
    }
    println!("resident MiB after each tenth of {count} requests: {memory:?}");
    let (early, late) = (memory[2], memory[9]);
    assert!(late <= early + early / 5, "memory grows: {memory:?} MiB");
    wait_until("every copy has its outcome", async || envoy.all_outcomes("quick").await.unwrap() == count / 10 * 10)
        .await
        .unwrap();
    for backend in ["quick", "slow"] {
        let answered = async || envoy.outcomes(backend, "2xx").await.unwrap();
        wait_until("sent is answered", async || envoy.in_flight(backend).await.unwrap() == 0).await.unwrap();
        assert_eq!(answered().await, named(&backends, backend).count(), "{backend}");
        let skipped = envoy.outcomes(backend, "skipped_in_flight").await.unwrap()
            + envoy.outcomes(backend, "skipped_memory").await.unwrap();
        assert_eq!(answered().await + skipped, envoy.all_outcomes(backend).await.unwrap(), "{backend}: other outcomes");
    }
}
