//! A bad edit never takes a gateway down.

use std::time::Duration;

use serde_json::Value;
use testbed::client::{Http, served_by};
use testbed::mesh::gateway::{Gateway, Setup};
use testbed::wait_until;

use crate::alerts;
use crate::team::{Mesh, RANKER, SHOP, Watch, policy, untouched};

/// Waits until the filter reports whether a policy was refused.
async fn wait_until_refused(gateway: &Gateway, refused: u64) {
    let is_so = async || gateway.metric("traffic_policy_refused", &[]).await.is_ok_and(|now| now == refused);
    wait_until(&format!("traffic_policy_refused is {refused}"), is_so)
        .await
        .unwrap_or_else(|error| panic!("{error}\n{}", gateway.log()));
}

/// The policy with shares that add up to 95 %.
fn spoiled() -> Value {
    let mut policy = policy();
    policy["endpoints"][0]["traffic"]["v1"] = 0.85.into();
    policy
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_policy_harms_no_host_of_a_running_or_a_new_gateway() {
    const OPTIONS: &str = "--gateway gateway --host ranker.example.com";
    let mesh = Mesh::start([127, 0, 0]).await;
    mesh.open_gateway().await;
    let setup = Setup { workers: 2, ..Setup::new(mesh.port) };
    let gateway = Gateway::start(&mesh.istio, &setup).await.unwrap();
    let client = gateway.client(Http::V1);
    let before = untouched(&client).await;
    let good = mesh.render(&policy(), OPTIONS);
    mesh.apply(&good, &gateway).await;
    wait_until_refused(&gateway, 0).await;
    let hash = gateway.policy_hash().await.unwrap();

    let watch = Watch::start(&client);
    let bad = good.replace("v1: 0.9", "v1: 0.85");
    assert_ne!(bad, good);
    // `render` would not have written it.
    assert_eq!(mesh.try_render(&spoiled(), OPTIONS).status, Some(1));
    mesh.istio.kubernetes.apply(&bad).await.unwrap();
    wait_until_refused(&gateway, 1).await;
    assert!(gateway.log().contains("traffic policy refused: "), "{}", gateway.log());
    // Pushed again.
    let plugin = "wasmplugin/traffic-policy";
    mesh.istio.kubernetes.kubectl(&["annotate", plugin, "pushed=again"]).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    // Another team's plugin on the same listener is taken.
    let other = serde_json::json!({ "response_header": "x-other", "routing_header": "x-other-cluster", "endpoints": [{
        "name": "shop", "match": { "hosts": [SHOP] }, "traffic": { "shop": 1 } }] });
    let other = mesh.render(&other, "--gateway gateway --host shop.example.com --name other --port 8080");
    mesh.istio.kubernetes.apply(&other).await.unwrap();
    let has_other = async || client.get("/rank", &[("host", SHOP)]).await.unwrap().headers().contains_key("x-other");
    wait_until("the other plugin is in force", has_other).await.unwrap();
    let sent = watch.stop().await;
    assert!(sent > 100, "{sent}");
    mesh.assert_split(&client, RANKER, "/rank").await;
    mesh.istio.kubernetes.delete(&other).await.unwrap();
    let has_none = async || !client.get("/rank", &[("host", SHOP)]).await.unwrap().headers().contains_key("x-other");
    wait_until("the other plugin is gone", has_none).await.unwrap();
    assert_eq!(gateway.policy_hash().await.unwrap(), hash);
    assert_eq!(untouched(&client).await, before);

    // A new proxy has no policy before: the teams' own routes serve.
    drop(gateway);
    let gateway = Gateway::start(&mesh.istio, &setup).await.unwrap();
    let client = gateway.client(Http::V1);
    let watch = Watch::start(&client);
    wait_until_refused(&gateway, 1).await;
    assert_eq!(gateway.policy_hash().await.unwrap(), 0);
    let steered = [("host", RANKER), ("x-traffic-cluster", "outbound|8080|v2|ranker.default.svc.cluster.local")];
    for _ in 0..50 {
        assert_eq!(served_by(&client.get("/rank", &steered).await.unwrap()), Some("v1"));
    }
    mesh.forget();
    assert_eq!(untouched(&client).await, before);
    crate::team::assert_no_trace(&mesh.backends);
    for alert in ["PolicyRefused", "NoPolicyInForce"] {
        alerts::assert_holds(&gateway, alert).await;
    }

    // A good one is in force within seconds.
    mesh.apply(&good, &gateway).await;
    wait_until_refused(&gateway, 0).await;
    watch.stop().await;
    mesh.assert_split(&client, RANKER, "/rank").await;
}
