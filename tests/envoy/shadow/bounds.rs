//! The limits of copying: sizes, rates, copies in flight, memory and time.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::channel::Channel;
use serde_json::json;
use testbed::backend::{Backend, Behaviour, named};
use testbed::client::{Http, served_by};
use testbed::envoy::{Envoy, Setup, Verdict};
use testbed::policies::shadowed;
use testbed::upload::Upload;
use testbed::{load, wait_until};

use super::stage::{copies, echo_after, main_and_copy, wait_for_outcome};

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_streams_through_while_it_is_copied() {
    const CHUNK: usize = 100_000;
    const CHUNKS: usize = 100;
    let (envoy, backends) =
        main_and_copy(json!({ "fraction": 1, "max_body_bytes": 16 << 20, "timeout_ms": 20_000 }), |_| ()).await;
    let main = named(&backends, "main");
    let mut skipped = 0;
    for limit in [16 << 20, 1 << 20] {
        if limit == 1 << 20 {
            assert_eq!(envoy.apply(&shadowed(json!({ "copy": 1 }))).await.unwrap(), Verdict::InForce);
        }
        for http in [Http::V1, Http::V2] {
            let client = envoy.client(http);
            let (mut sender, body) = Channel::new(1);
            let before = main.body_bytes();
            let request = tokio::spawn(async move { client.send_body("PUT", "/upload", [], body).await });
            for n in 0..CHUNKS {
                let chunk: Vec<u8> = (0..CHUNK).map(|at| ((at * 31 + n * 7) % 251) as u8).collect();
                sender.send_data(chunk.into()).await.unwrap();
                // The next chunk is sent only when the upstream has seen this one.
                let sent = before + ((n + 1) * CHUNK) as u64;
                wait_until("the upstream sees the chunk", async || main.body_bytes() >= sent).await.unwrap();
                if limit == 1 << 20 && n == 20 {
                    // The filter gives the copy up in the middle of the upload, not at its end.
                    skipped += 1;
                    wait_for_outcome(&envoy, "copy", "skipped_body", skipped).await;
                }
            }
            drop(sender);
            assert_eq!(served_by(&request.await.unwrap().unwrap()), Some("main"));
            let original = main.take_received().pop().unwrap();
            assert_eq!(original.body.len(), CHUNK * CHUNKS);
            if limit == 16 << 20 {
                let copy = copies(&backends, 1).await.pop().unwrap();
                assert!(copy.body == original.body, "the copy differs");
                assert_eq!(copy.header("content-length"), [(CHUNK * CHUNKS).to_string()]);
            }
        }
    }
    assert_eq!(named(&backends, "copy").count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_larger_than_the_limit_is_served_and_not_copied() {
    let (envoy, backends) = main_and_copy(json!(1), |_| ()).await;
    let client = envoy.client(Http::V1);
    for size in [(1 << 20) + 1, 1 << 20] {
        let answer = client.send("POST", "/", [], vec![b'x'; size]).await.unwrap();
        assert_eq!(served_by(&answer), Some("main"));
        assert_eq!(named(&backends, "main").take_received().pop().unwrap().body.len(), size);
    }
    wait_until("the copy of the smaller comes", async || named(&backends, "copy").count() > 0).await.unwrap();
    let sizes: Vec<_> = named(&backends, "copy").take_received().iter().map(|copy| copy.body.len()).collect();
    assert_eq!(sizes, [1 << 20]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_body_is_copied_to_two_shadows() {
    let backends = Backend::start_all(["main", "a", "b"]).await.unwrap();
    backends.iter().for_each(Backend::remember);
    let largest = json!({ "fraction": 1, "max_body_bytes": 32 << 20, "timeout_ms": 60_000 });
    let policy = shadowed(json!({ "a": largest, "b": largest }));
    let envoy = Envoy::start(&Setup::new(policy, &backends)).await.unwrap();
    let body = Bytes::from((0..32_u32 << 20).map(|n| (n % 251) as u8).collect::<Vec<_>>());
    for round in 1..=2 {
        let answer = envoy.client(Http::V1).send("PUT", "/", [], body.clone()).await.unwrap();
        assert_eq!(served_by(&answer), Some("main"));
        for name in ["a", "b"] {
            wait_for_outcome(&envoy, name, "2xx", round).await;
            assert!(named(&backends, name).take_received().pop().unwrap().body == body, "the copy differs");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_comes_byte_by_byte_takes_little_more_memory_than_its_size() {
    const BYTES: usize = 200_000;
    let (envoy, backends) = main_and_copy(json!(1), |_| ()).await;
    let before = envoy.resident_bytes().unwrap();
    let mut uploads = Vec::new();
    for _ in 0..4 {
        let client = envoy.client(Http::V2);
        let (mut sender, body) = Channel::new(64);
        let request = tokio::spawn(async move { client.send_body("PUT", "/", [], body).await });
        uploads.push(tokio::spawn(async move {
            for n in 0..BYTES {
                sender.send_data(vec![n as u8].into()).await.unwrap();
            }
            drop(sender);
            request.await.unwrap().unwrap()
        }));
    }
    for upload in uploads {
        assert_eq!(served_by(&upload.await.unwrap()), Some("main"));
    }
    for copy in copies(&backends, 4).await {
        assert!(copy.body.len() == BYTES && copy.body.iter().enumerate().all(|(n, byte)| *byte == n as u8));
    }
    let grown = envoy.resident_bytes().unwrap().saturating_sub(before) >> 20;
    assert!(grown < 24, "{grown} MiB for four bodies of 200 KB");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_holds_a_bounded_number_of_bytes_and_releases_all_of_them() {
    let (envoy, backends) = main_and_copy(json!({ "fraction": 1, "max_body_bytes": 16 << 20 }), |_| ()).await;
    let main = named(&backends, "main");
    for round in 1..=2 {
        let mut uploads = Vec::new();
        let before = main.body_bytes();
        // Six bodies of 12 MiB are 72 MiB. A worker holds 64 of them.
        for _ in 0..6 {
            uploads.push(Upload::start(&envoy.client(Http::V1), 12 << 20).await.unwrap());
        }
        wait_until("the uploads come in", async || main.body_bytes() == before + (72 << 20)).await.unwrap();
        wait_for_outcome(&envoy, "copy", "skipped_memory", round).await;
        uploads.iter().for_each(Upload::abort);
        // The worker releases the bytes, so that the next round has as much room.
        wait_for_outcome(&envoy, "copy", "skipped_incomplete", round * 5).await;
    }
    assert_eq!(named(&backends, "copy").count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_no_more_copies_in_flight_than_allowed() {
    let (envoy, backends) =
        main_and_copy(json!({ "fraction": 1, "max_in_flight": 3, "timeout_ms": 20_000 }), |_| ()).await;
    named(&backends, "copy").answer_after(Duration::from_secs(5));
    let tally = load::send(&envoy.client(Http::V1), "/", 200).await;
    assert_eq!(tally.failed, 0);
    wait_for_outcome(&envoy, "copy", "skipped_in_flight", 197).await;
    wait_until("three are in flight", async || envoy.in_flight("copy").await.unwrap() == 3).await.unwrap();
    wait_until("three have come", async || named(&backends, "copy").count() == 3).await.unwrap();
    wait_for_outcome(&envoy, "copy", "2xx", 3).await;
    // There is room again.
    load::send(&envoy.client(Http::V1), "/", 1).await;
    wait_for_outcome(&envoy, "copy", "2xx", 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_no_more_copies_a_second_than_allowed() {
    const RATE: u64 = 50;
    let (envoy, backends) = main_and_copy(json!({ "fraction": 1, "max_per_second": RATE }), |_| ()).await;
    let client = envoy.client(Http::V1);
    let start = Instant::now();
    let mut sent = 0;
    while start.elapsed() < Duration::from_secs(3) {
        sent += load::send(&client, "/", 20).await.total();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let seconds = start.elapsed().as_secs_f64();
    wait_until("each request has its outcome", async || envoy.all_outcomes("copy").await.unwrap() == sent)
        .await
        .unwrap();
    let copied = named(&backends, "copy").count();
    // One second's worth of copies at once, and then the rate.
    let allowed = RATE as f64 * (seconds + 1.0);
    assert!((allowed * 0.5..=allowed + 5.0).contains(&(copied as f64)), "{copied} of {allowed} in {seconds} s");
    assert_eq!(envoy.outcomes("copy", "skipped_rate").await.unwrap(), sent - copied);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_whose_circuit_breaker_is_open_is_unavailable() {
    let (envoy, backends) = main_and_copy(json!(1), |bootstrap| {
        bootstrap["static_resources"]["clusters"][1]["circuit_breakers"] =
            json!({ "thresholds": [{ "max_requests": 1, "max_connections": 1, "max_pending_requests": 1 }] });
    })
    .await;
    named(&backends, "copy").answer_after(Duration::from_secs(3));
    assert_eq!(load::send(&envoy.client(Http::V1), "/", 10).await.failed, 0);
    wait_until("most are not sent", async || envoy.outcomes("copy", "unavailable").await.unwrap() >= 8).await.unwrap();
    wait_until("the rest is answered", async || envoy.all_outcomes("copy").await.unwrap() == 10).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_times_out_if_its_shadow_stalls_in_mid_answer_or_is_a_silent_grpc_server() {
    // A server that sends the head of an answer and half of its body.
    let half = echo_after("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await;
    let main = Backend::start_all(["main"]).await.unwrap();
    let policy = shadowed(json!({ "copy": { "fraction": 1, "timeout_ms": 300 } }));
    let mut setup = Setup::new(policy, &main);
    setup.clusters.push(("copy".to_owned(), half));
    let envoy = Envoy::start(&setup).await.unwrap();
    envoy.client(Http::V1).get("/", &[]).await.unwrap();
    wait_for_outcome(&envoy, "copy", "timeout", 1).await;

    let (envoy, backends) = main_and_copy(json!({ "fraction": 1, "timeout_ms": 300 }), |_| ()).await;
    named(&backends, "copy").answer_after(Duration::from_secs(3600));
    envoy.client(Http::V2).send("POST", "/", [("content-type", b"application/grpc".as_slice())], "").await.unwrap();
    wait_for_outcome(&envoy, "copy", "timeout", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_collects_no_more_of_an_answer_than_the_shipped_limit() {
    let (envoy, backends) = main_and_copy(json!(1), |_| ()).await;
    for (size, result) in [(2 << 20, "2xx"), (8 << 20, "reset")] {
        named(&backends, "copy").behave(Behaviour { body_bytes: Some(size), ..Behaviour::default() });
        envoy.client(Http::V1).get("/", &[]).await.unwrap();
        wait_for_outcome(&envoy, "copy", result, 1).await;
    }
}
