//! A change of the policy under load.

use std::time::{Duration, Instant};

use serde_json::json;
use testbed::backend::{Backend, named};
use testbed::client::Http;
use testbed::envoy::{Envoy, Setup, Verdict};
use testbed::load::Background;
use testbed::policies::one_endpoint;
use testbed::wait_until;

#[tokio::test(flavor = "multi_thread")]
async fn a_new_policy_is_in_force_within_two_seconds_under_load_and_no_request_fails() {
    let backends = Backend::start_all(["a", "b"]).await.unwrap();
    let all_to = |name: &str| one_endpoint(json!({ "name": "e", "traffic": { name: 1 } }));
    let setup = Setup { workers: 2, ..Setup::new(all_to("a"), &backends) };
    let envoy = Envoy::start(&setup).await.unwrap();
    let load = Background::start(&envoy.client(Http::V1), "/");
    let load_h2 = Background::start(&envoy.client(Http::V2), "/");
    for (old, new) in [("a", "b"), ("b", "a"), ("a", "b"), ("b", "a")] {
        wait_until("load flows", async || named(&backends, old).count() > 100).await.unwrap();
        let start = Instant::now();
        envoy.put_policy(&all_to(new)).unwrap();
        wait_until("the old backend gets nothing more", async || {
            named(&backends, old).take_count();
            tokio::time::sleep(Duration::from_millis(100)).await;
            named(&backends, old).count() == 0
        })
        .await
        .unwrap();
        let time = start.elapsed();
        assert!(time < Duration::from_secs(2), "{time:?}");
    }
    // An invalid policy in between changes nothing.
    assert_eq!(
        envoy.apply(r#"{"endpoints": [{"name": "e", "traffic": {"b": 0.5}}]}"#).await.unwrap(),
        Verdict::Refused
    );
    let place = "traffic policy refused: endpoints[0].traffic: the shares add up to 0.5;";
    assert!(envoy.log().contains(place), "{}", envoy.log());
    let before = named(&backends, "a").count();
    wait_until("load flows on", async || named(&backends, "a").count() > before + 100).await.unwrap();
    named(&backends, "b").take_count();
    let tally = load.stop().await;
    let tally_h2 = load_h2.stop().await;
    assert_eq!((tally.failed, tally_h2.failed), (0, 0), "of {} and {}", tally.total(), tally_h2.total());
    assert_eq!(named(&backends, "b").count(), 0);
}
