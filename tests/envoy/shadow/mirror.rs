//! What clients can do with the headers that steer Envoy's mirror and mark copies.

use bytes::Bytes;
use serde_json::{Value, json};
use testbed::backend::{Backend, named};
use testbed::bootstrap::{add_mirror, connection_manager};
use testbed::client::{Http, served_by};
use testbed::envoy::{Envoy, Setup};
use testbed::policies::shadowed;
use testbed::{read, wait_until};

use super::stage::{copies, main_and_copy, wait_for_outcome};

/// Shadows that do not use `x-traffic-mirror`, by which the route mirrors all the same.
fn unused() -> [(&'static str, Value); 4] {
    [
        ("switched off", json!({ "copy": { "fraction": 0, "via": "mirror" } })),
        ("removed", json!({})),
        ("renamed", json!({ "copy": { "fraction": 1, "via": "mirror", "mirror_header": "x-other" } })),
        ("changed to a callout", json!({ "copy": { "fraction": 1 } })),
    ]
}

/// How many of 20 requests a client gets copied to `secret`, a cluster of the proxy that no policy
/// names.
async fn stolen(policy: String, adapt: fn(&mut Value)) -> u64 {
    let backends = Backend::start_all(["main", "copy", "secret"]).await.unwrap();
    let envoy = Envoy::start(&Setup { adapt, ..Setup::new(policy, &backends) }).await.unwrap();
    for http in [Http::V1, Http::V2] {
        let client = envoy.client(http);
        for _ in 0..10 {
            let headers: [(&str, &[u8]); 1] = [("X-Traffic-Mirror", b"secret")];
            let answer = client.send("POST", "/", headers, Bytes::from_static(b"body")).await.unwrap();
            assert_eq!(served_by(&answer), Some("main"));
        }
    }
    // Envoy starts a mirrored request before the primary answers, and connects for the first one.
    if envoy.stat("cluster.secret.upstream_cx_total").await.unwrap() == 0 {
        return 0;
    }
    wait_until("the copies are through", async || {
        let [waiting, active] = ["pending_active", "active"].map(|what| format!("cluster.secret.upstream_rq_{what}"));
        envoy.stat(&waiting).await.unwrap() + envoy.stat(&active).await.unwrap() == 0
    })
    .await
    .unwrap();
    named(&backends, "secret").count()
}

fn mirror_without_removal(bootstrap: &mut Value) {
    add_mirror(bootstrap);
    connection_manager(bootstrap).as_object_mut().unwrap().remove("early_header_mutation_extensions").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_early_removal_keeps_clients_from_the_mirror_whatever_the_policy_says() {
    for (case, shadow) in unused() {
        assert_eq!(stolen(shadowed(shadow), add_mirror).await, 0, "{case}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_early_removal_the_filter_protects_the_headers_of_its_policy_alone() {
    for (case, shadow) in unused() {
        let expected = if case == "switched off" { 0 } else { 20 };
        assert_eq!(stolen(shadowed(shadow), mirror_without_removal).await, expected, "{case}");
    }
    let of_cohort = json!({ "endpoints": [{ "name": "e", "traffic": { "main": 1 }, "cohorts": [
        { "name": "c", "match": { "methods": ["PUT"] }, "traffic": { "main": 1 },
          "shadow": { "copy": { "fraction": 0, "via": "mirror" } } }
    ] }] });
    assert_eq!(stolen(of_cohort.to_string(), mirror_without_removal).await, 0, "switched off in a cohort");
}

/// Makes active what `envoy.yaml` only offers.
fn remove_markers(bootstrap: &mut Value) {
    let text = read("envoy/envoy.yaml").unwrap();
    let line = "# - remove: x-traffic-shadow";
    assert_eq!(text.matches(line).count(), 1);
    let mut active: Value = serde_saphyr::from_str(&text.replace(line, &line[2..])).unwrap();
    let early = "early_header_mutation_extensions";
    let mutations = connection_manager(&mut active)[early].take();
    assert_eq!(mutations.pointer("/0/typed_config/mutations/2"), Some(&json!({ "remove": "x-traffic-shadow" })));
    connection_manager(bootstrap)[early] = mutations;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_marker_of_a_client_reaches_the_upstream_and_stops_the_copy() {
    let (envoy, backends) = main_and_copy(json!(1), |_| ()).await;
    envoy.client(Http::V1).get("/", &[("x-traffic-shadow", "forged")]).await.unwrap();
    wait_for_outcome(&envoy, "copy", "skipped_marked", 1).await;
    let original = named(&backends, "main").take_received().pop().unwrap();
    assert_eq!(original.header("x-traffic-shadow"), ["forged"]);
    assert_eq!(named(&backends, "copy").count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_proxy_removes_the_marker_of_clients_only_copies_have_one() {
    for shadow in [json!(1), json!({ "fraction": 1, "via": "mirror" })] {
        let (envoy, backends) = main_and_copy(shadow, remove_markers).await;
        envoy.client(Http::V1).get("/", &[("x-traffic-shadow", "forged")]).await.unwrap();
        let copy = copies(&backends, 1).await.pop().unwrap();
        assert_eq!(copy.header("x-traffic-shadow"), ["copy"]);
        let original = named(&backends, "main").take_received().pop().unwrap();
        assert_eq!(original.header("x-traffic-shadow"), Vec::<String>::new());
    }
}
