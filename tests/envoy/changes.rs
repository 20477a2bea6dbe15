//! What holds over changes of the policy: limits, memory, the results of copies, and what is
//! published.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testbed::backend::{Backend, named};
use testbed::client::{Http, served_by};
use testbed::envoy::{Envoy, Setup};
use testbed::load;
use testbed::policies::{hash, one_endpoint};
use testbed::upload::Upload;
use testbed::wait_until;

use crate::listeners::{discover_listeners, put_listener};

/// A policy whose endpoint goes to `main` and is copied to `copy`, and which differs from others by
/// `number` only.
fn numbered(number: usize, shadow: &Value) -> String {
    one_endpoint(json!({
        "name": "e",
        "traffic": { "main": 1 },
        "shadow": { "copy": shadow },
        "affinity": { "salt": number.to_string() },
    }))
}

async fn start(shadow: &Value) -> (Envoy, Vec<Backend>) {
    let backends = Backend::start_all(["main", "copy"]).await.unwrap();
    let envoy = Envoy::start(&Setup::new(numbered(0, shadow), &backends)).await.unwrap();
    (envoy, backends)
}

/// Puts a policy into force, also one that Envoy takes up again without loading it.
async fn put(envoy: &Envoy, policy: &str) {
    envoy.put_policy(policy).unwrap();
    envoy.wait_until_published(policy).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_that_are_held_open_over_changes_take_no_more_memory_than_one_policy_may() {
    const CHANGES: usize = 6;
    const BYTES: usize = (31 << 20) - 1;
    let shadow = json!({ "fraction": 1, "max_body_bytes": 32 << 20 });
    let (envoy, backends) = start(&shadow).await;
    let client = envoy.client(Http::V1);
    let mut uploads = Vec::new();
    let before = envoy.resident_bytes().unwrap();
    for number in 1..=CHANGES {
        for _ in 0..2 {
            uploads.push(Upload::start(&client, BYTES).await.unwrap());
        }
        let received = (uploads.len() * BYTES) as u64;
        wait_until("the uploads come in", async || named(&backends, "main").body_bytes() == received).await.unwrap();
        put(&envoy, &numbered(number, &shadow)).await;
    }
    // Two uploads are held; there is no room for others.
    let skipped = 2 * (CHANGES as u64 - 1);
    wait_until("the others are skipped", async || envoy.outcomes("copy", "skipped_memory").await.unwrap() == skipped)
        .await
        .unwrap();
    let grown = envoy.resident_bytes().unwrap().saturating_sub(before) >> 20;
    println!("{grown} MiB for {} uploads of 31 MiB", uploads.len());
    assert!(grown < 150, "{grown} MiB");
    for upload in uploads {
        assert_eq!(served_by(&upload.finish().await.unwrap()), Some("main"));
    }
    wait_until("the two are copied", async || envoy.outcomes("copy", "2xx").await.unwrap() == 2).await.unwrap();
    assert_eq!(envoy.all_outcomes("copy").await.unwrap(), skipped + 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_policy_lets_no_more_copies_a_second_pass() {
    const RATE: u64 = 5;
    let shadow = json!({ "fraction": 1, "max_per_second": RATE });
    let (envoy, backends) = start(&shadow).await;
    let client = envoy.client(Http::V1);
    let start = Instant::now();
    let mut sent = 0;
    for number in 1..=20 {
        sent += load::send(&client, "/", 20).await.total();
        put(&envoy, &numbered(number, &shadow)).await;
    }
    wait_until("each request has its outcome", async || envoy.all_outcomes("copy").await.unwrap() == sent)
        .await
        .unwrap();
    let seconds = start.elapsed().as_secs_f64();
    let copied = named(&backends, "copy").count() as f64;
    // One second's worth of copies at once, and then the rate.
    let allowed = RATE as f64 * (seconds + 1.0) + 1.0;
    println!("{copied} copies in {seconds:.1} s over 20 policies; {allowed:.0} allowed");
    assert!(copied <= allowed, "{copied} of {allowed} in {seconds} s");
    assert!(copied >= RATE as f64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_policy_lets_no_more_copies_be_in_flight_and_the_gauge_counts_them_all() {
    let shadow = json!({ "fraction": 1, "max_in_flight": 4, "timeout_ms": 30_000 });
    let (envoy, backends) = start(&shadow).await;
    named(&backends, "copy").answer_after(Duration::from_secs(8));
    let client = envoy.client(Http::V1);
    for number in 1..=10 {
        load::send(&client, "/", 10).await;
        put(&envoy, &numbered(number, &shadow)).await;
    }
    wait_until("the others are skipped", async || envoy.all_outcomes("copy").await.unwrap() == 96).await.unwrap();
    assert_eq!(envoy.outcomes("copy", "skipped_in_flight").await.unwrap(), 96);
    assert_eq!(envoy.in_flight("copy").await.unwrap(), 4);
    wait_until("the four are answered", async || envoy.outcomes("copy", "2xx").await.unwrap() == 4).await.unwrap();
    assert_eq!((envoy.in_flight("copy").await.unwrap(), named(&backends, "copy").count()), (0, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_held_open_does_not_keep_its_policy_in_memory() {
    const CHANGES: usize = 12;
    const ENDPOINTS: usize = 10_000;
    let backends = Backend::start_all(["main"]).await.unwrap();
    let endpoint = |n: usize| {
        json!({ "name": format!("endpoint-{n}"), "route": format!("/endpoint-{n}"),
            "traffic": { "main": 1 } })
    };
    let catch_all = json!({ "name": "all", "traffic": { "main": 1 } });
    let endpoints: Vec<_> = (0..ENDPOINTS).map(endpoint).chain([catch_all]).collect();
    let policy = |n: usize| json!({ "default_cluster": format!("unused-{n}"), "endpoints": endpoints }).to_string();
    let bytes = policy(0).len();
    let envoy = Envoy::start(&Setup::new(policy(0), &backends)).await.unwrap();
    let client = envoy.client(Http::V1);
    let (mut uploads, mut resident) = (Vec::new(), Vec::new());
    for number in 1..=CHANGES {
        uploads.push(Upload::start(&client, 1).await.unwrap());
        wait_until("the upload comes in", async || named(&backends, "main").body_bytes() == uploads.len() as u64)
            .await
            .unwrap();
        put(&envoy, &policy(number)).await;
        resident.push(envoy.resident_bytes().unwrap());
    }
    // The first changes fill what later ones use again.
    const FIRST: usize = 5;
    let grown = resident[CHANGES - 1].saturating_sub(resident[FIRST]) / (CHANGES - 1 - FIRST) as u64;
    println!("{} KiB for each change of a policy of {} KiB", grown >> 10, bytes >> 10);
    // Envoy itself keeps 2.7 bytes for each byte of a policy, and the filter one more.
    assert!(grown < 7 * bytes as u64, "{grown} bytes for each of {bytes}");
    for upload in uploads {
        assert_eq!(served_by(&upload.finish().await.unwrap()), Some("main"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_results_of_a_shadow_add_up_when_policies_come_back_before_their_copies_are_answered() {
    let shadow = json!({ "fraction": 1, "timeout_ms": 30_000 });
    let (envoy, backends) = start(&shadow).await;
    named(&backends, "copy").answer_after(Duration::from_secs(6));
    let client = envoy.client(Http::V1);
    let [a, b] = [0, 1].map(|number| numbered(number, &shadow));
    for policy in [&b, &a, &b, &a] {
        load::send(&client, "/", 10).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        put(&envoy, policy).await;
    }
    wait_until("all are counted", async || envoy.all_outcomes("copy").await.unwrap() == 40).await.unwrap();
    wait_until("nothing is in flight", async || envoy.in_flight("copy").await.unwrap() == 0).await.unwrap();
    let outcomes = async |result: &str| envoy.outcomes("copy", result).await.unwrap();
    // Each policy came back once, and was replaced again.
    assert_eq!((outcomes("2xx").await, outcomes("cut_off").await), (20, 20));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_envoy_takes_up_again_without_loading_it_decides_and_is_published_within_a_second() {
    let backends = Backend::start_all(["a", "b", "c"]).await.unwrap();
    let [a, b, c] = ["a", "b", "c"].map(|name| one_endpoint(json!({ "name": "e", "traffic": { name: 1 } })));
    let setup = Setup { workers: 2, adapt: discover_listeners, ..Setup::new(a.as_str(), &backends) };
    let envoy = Envoy::start(&setup).await.unwrap();
    envoy.wait_until_published(&a).await.unwrap();
    let share = async |backend: &str| {
        envoy.metric("traffic_policy_traffic_share_millionths", &[("backend", backend)]).await.unwrap()
    };
    let send = async || {
        let answer = envoy.client(Http::V1).get("/", &[]).await.unwrap();
        served_by(&answer).unwrap().to_owned()
    };
    // After the first three, none is loaded again. The first one has given up its memory.
    for (name, policy) in [("b", &b), ("c", &c), ("a", &a), ("b", &b), ("a", &a)] {
        put_listener(&envoy, policy);
        wait_until("it decides", async || send().await == name).await.unwrap();
        let decided = Instant::now();
        while envoy.policy_hash().await.unwrap() != hash(policy) {
            // A load of some twenty requests a second.
            tokio::time::sleep(Duration::from_millis(50)).await;
            assert_eq!(send().await, name);
            assert!(decided.elapsed() < Duration::from_secs(1), "{:?}", decided.elapsed());
        }
        // The worker that was the last to load the policy before may have published that once more.
        wait_until("the shares are published", async || {
            let shares = [("a", share("a").await), ("b", share("b").await), ("c", share("c").await)];
            shares.iter().all(|(other, share)| (*share == 1_000_000) == (*other == name))
        })
        .await
        .unwrap();
    }
    // For a trial, on the main thread, and on two workers.
    assert_eq!(envoy.loads(), 3 * 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_worker_and_the_main_thread_count_as_contexts_of_the_policy_in_force() {
    let backends = Backend::start_all(["a", "b"]).await.unwrap();
    let [a, b] = ["a", "b"].map(|name| one_endpoint(json!({ "name": "e", "traffic": { name: 1 } })));
    let envoy = Envoy::start(&Setup { workers: 2, ..Setup::new(a.as_str(), &backends) }).await.unwrap();
    let contexts = async |count: u64| {
        let metric = "traffic_policy_policy_contexts";
        wait_until("the contexts are counted", async || {
            envoy.stat(&format!("wasmcustom.{metric}")).await.unwrap() == count
        })
        .await
        .unwrap();
    };
    for policy in [&a, &b, &a, &b] {
        if policy != &a || envoy.loads() > 4 {
            put(&envoy, policy).await;
        }
        contexts(3).await;
        assert_eq!(envoy.policy_hash().await.unwrap(), hash(policy));
    }
}
