//! Policy files that are torn, empty, deleted, or replaced in quick succession.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use testbed::backend::{Backend, named};
use testbed::client::Http;
use testbed::envoy::{Envoy, Setup, Verdict};
use testbed::policies::{all_to, hash, one_endpoint};
use testbed::wait_until;

use super::load::Load;

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_empty_or_deleted_policy_file_changes_nothing_and_the_next_valid_one_takes_effect() {
    let backends = Backend::start_all(["a", "b"]).await.unwrap();
    let envoy = Envoy::start(&Setup { workers: 2, ..Setup::new(all_to("a"), &backends) }).await.unwrap();
    let loads = [Http::V1, Http::V2].map(|http| Load::start(envoy.client(http)));
    let whole = std::fs::read(envoy.policy_file()).unwrap();
    let unreadable =
        async || envoy.stat("extension_config_discovery.http_filter.traffic-policy.update_failure").await.unwrap();
    let mut good = ["b", "a"].into_iter().cycle();
    let mut in_force = "a";
    for (fault, length) in
        [("torn", whole.len() / 2), ("torn near its end", whole.len() - 3), ("empty", 0), ("deleted", 0)]
    {
        let (before, hash_before) = (unreadable().await, envoy.policy_hash().await.unwrap());
        if fault == "deleted" {
            std::fs::remove_file(envoy.policy_file()).unwrap();
        } else {
            envoy.put_file(&whole[..length]).unwrap();
            wait_until("Envoy reads the file", async || unreadable().await > before).await.unwrap();
        }
        let serving = named(&backends, in_force);
        let count = serving.count();
        wait_until("load flows on", async || serving.count() > count + 200).await.unwrap();
        assert_eq!(envoy.policy_hash().await.unwrap(), hash_before, "{fault}");
        in_force = good.next().unwrap();
        // With a name that no policy had before.
        let policy = one_endpoint(json!({ "name": fault.replace(' ', "-"), "traffic": { in_force: 1 } }));
        assert_eq!(envoy.apply(&policy).await.unwrap(), Verdict::InForce, "after {fault}");
        assert_eq!(envoy.policy_hash().await.unwrap(), hash(&policy), "after {fault}");
        let serving = named(&backends, in_force);
        let count = serving.count();
        wait_until("load flows to the other", async || serving.count() > count + 200).await.unwrap();
    }
    for load in loads {
        assert_eq!(load.stop().await.failed, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_five_hundred_policies_at_a_hundred_a_second_the_last_is_in_force_and_no_request_has_failed() {
    const SWAPS: u64 = 500;
    const SWAPS_IN_A_ROW: u64 = 50;
    let backends = Backend::start_all(["a", "b"]).await.unwrap();
    let envoy = Envoy::start(&Setup { workers: 2, ..Setup::new(all_to("a"), &backends) }).await.unwrap();
    let vms = async || envoy.stat("wasm.envoy.wasm.runtime.v8.active").await.unwrap();
    let (vms_before, memory_before) = (vms().await, envoy.resident_bytes().unwrap());
    let loads = [Http::V1, Http::V2].map(|http| Load::start(envoy.client(http)));
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    for n in 1..=SWAPS {
        ticks.tick().await;
        // In turn; the last policy is all to b.
        let policy = all_to(if n % 2 == 0 { "b" } else { "a" });
        envoy.put_policy(&policy).unwrap();
        if n % SWAPS_IN_A_ROW == 0 {
            // Envoy may reuse the filter of an earlier policy without telling it.
            wait_until("the gauges show the policy in force", async || {
                envoy.policy_hash().await.unwrap() == hash(&policy)
                    && (share(&envoy, "a").await, share(&envoy, "b").await) == (0, 1_000_000)
            })
            .await
            .unwrap();
            ticks.reset();
        }
    }
    wait_until("a gets nothing more", async || {
        named(&backends, "a").take_count();
        tokio::time::sleep(Duration::from_millis(100)).await;
        named(&backends, "a").count() == 0
    })
    .await
    .unwrap();
    let count = named(&backends, "b").count();
    wait_until("load flows to b", async || named(&backends, "b").count() > count + 200).await.unwrap();
    for load in loads {
        let served = load.stop().await;
        assert_eq!(served.failed, 0);
        assert_eq!(
            served.by_key.values().flatten().collect::<BTreeSet<_>>().len(),
            2,
            "only one policy was ever in force"
        );
    }
    assert_eq!(named(&backends, "a").count(), 0);
    let in_force = envoy.log().matches("traffic policy in force").count();
    let memory = envoy.resident_bytes().unwrap().saturating_sub(memory_before) >> 20;
    println!("{SWAPS} swaps: loaded {in_force} times on all threads, {memory} MiB more");
    assert!(in_force > 100, "Envoy has loaded only {in_force} of them");
    assert!(memory < 64, "{memory} MiB more");
    assert_eq!(vms().await, vms_before, "there are VMs left over");
}

async fn share(envoy: &Envoy, backend: &str) -> u64 {
    envoy.metric("traffic_policy_traffic_share_millionths", &[("backend", backend)]).await.unwrap()
}
