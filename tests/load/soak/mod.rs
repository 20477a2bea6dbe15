//! Full load with all features on, another policy every second and uploads that are held open over
//! the changes: every answer is right, none fails, every counter is exact, and memory is flat.

mod counts;
mod load;
mod requests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use counts::{Counts, Expected, counted};
use load::{Generated, Load};
use requests::{BACKENDS, POLICIES, SHADOWS, decide, numbered, policy, requests};
use testbed::backend::{Backend, named};
use testbed::envoy::{Envoy, Setup};
use testbed::policies::hash;
use testbed::wait_until;
use tokio::time::{MissedTickBehavior, interval};

/// The environment variable `SOAK_SECONDS` sets the time; `make soak` takes ten minutes.
#[tokio::test(flavor = "multi_thread")]
async fn under_full_load_with_another_policy_every_second_answers_are_right_counters_exact_and_memory_flat() {
    let _turn = crate::turn().await;
    let duration = Duration::from_secs(std::env::var("SOAK_SECONDS").map_or(20, |seconds| seconds.parse().unwrap()));
    let (requests, mut decided) = (requests(), Vec::new());
    let questions = requests.iter().flat_map(|request| (0..POLICIES).map(move |number| (number, request)));
    decide(questions, |answer| decided.push(answer));
    let load = Arc::new(Load::new(requests, decided));
    let backends = Backend::start_all(BACKENDS.into_iter().chain(SHADOWS)).await.unwrap();
    named(&backends, "slow").answer_after(Duration::from_millis(50));
    let envoy = Envoy::start(&Setup { workers: 2, ..Setup::new(policy(0).to_string(), &backends) }).await.unwrap();

    let start = Instant::now();
    let senders = load.start(&envoy);
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut changes, mut slowest, mut memory) = (0, Duration::ZERO, Vec::new());
    while start.elapsed() < duration && !load.is_over.load(Ordering::SeqCst) {
        ticks.tick().await;
        let change = Instant::now();
        changes += 1;
        load.put.store(changes, Ordering::SeqCst);
        let policy = policy(numbered(changes)).to_string();
        envoy.put_policy(&policy).unwrap();
        envoy.wait_until_published(&policy).await.unwrap();
        // One worker may have published it before the other one decides by it.
        tokio::time::sleep(Duration::from_millis(200)).await;
        load.in_force.store(changes, Ordering::SeqCst);
        slowest = slowest.max(change.elapsed());
        memory.push(envoy.resident_bytes().unwrap() >> 20);
    }
    // For one more second only the last policy is in force.
    ticks.tick().await;
    load.is_over.store(true, Ordering::SeqCst);
    for sent in senders.join_all().await {
        sent.unwrap_or_else(|wrong| panic!("{wrong:?}"));
    }
    let took = start.elapsed();

    let mut expected = Expected::new(&load);
    let generated = load.take_generated();
    let mut with_keys = generated.iter();
    decide(generated.iter().map(|Generated { policy, request, .. }| (*policy, request)), |decided| {
        let Generated { request, backend, .. } = with_keys.next().unwrap();
        assert!(
            decided.reason == "key" && decided.backends.contains_key(*backend),
            "{request} by {backend}: {decided:?}"
        );
        expected.draw(&decided, backend, 1);
    });
    let (mut counts, mut differences) = (Counts::new(), Vec::new());
    let waited = wait_until("everything is counted", async || {
        counts = counted(&envoy).await;
        differences = expected.differences(&counts, &backends);
        differences.is_empty() && envoy.in_flight_of_all().await.unwrap() == 0
    });
    waited.await.unwrap_or_else(|error| panic!("{error}: {differences:#?}"));
    assert_eq!(envoy.policy_hash().await.unwrap(), hash(&policy(numbered(changes)).to_string()));

    let mut copies = BTreeMap::<_, u64>::new();
    for (series, count) in counts.iter().filter(|(series, _)| series.metric == "shadow_total") {
        *copies.entry(series.last.as_str()).or_default() += count;
    }
    let tenths: Vec<_> = (1..=10).map(|n| memory[(memory.len() * n).div_ceil(10) - 1]).collect();
    let (requests, seconds) = (load.sent(), took.as_secs_f64());
    println!(
        "{requests} requests in {seconds:.0} s, {:.0} a second, {} with a generated key; {changes} policies, each in \
         force after {slowest:?} at most; copies: {copies:?}; resident MiB by tenths: {tenths:?}",
        requests as f64 / seconds,
        generated.len(),
    );
    // After a minute the code, connections, buffers and series are there, and memory is flat. A run
    // of seconds shows only that it doesn't grow much.
    if seconds > 180.0 {
        let settled = &memory[60..];
        let (least, most) = (settled.iter().min().unwrap(), settled.iter().max().unwrap());
        assert!(most - least <= 10, "memory is not within 5 MiB of a value: {least} to {most} MiB, {tenths:?}");
    } else {
        let (early, late) = (tenths[2], tenths[9]);
        assert!(late <= early + early / 5, "memory grows: {tenths:?} MiB");
    }
}
