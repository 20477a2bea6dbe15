//! A sidecar with real iptables: a policy decides about what a workload sends.

use std::net::{Ipv4Addr, SocketAddr};

use serde_json::json;
use testbed::client::{Client, Http};
use testbed::mesh::sidecar::{NETWORK, Sidecar, in_own_network};
use testbed::wait_until;

use crate::team::{Mesh, assert_no_trace, hash_of, policy, untouched_of};

const RANKER: &str = "ranker.default.svc.cluster.local:8080";
const SHOP: &str = "shop.default.svc.cluster.local:8080";

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_decides_about_what_a_workload_sends_to_its_host_and_about_nothing_else() {
    let name = "sidecar::a_policy_decides_about_what_a_workload_sends_to_its_host_and_about_nothing_else";
    if !in_own_network(name).unwrap() {
        return;
    }
    let mesh = Mesh::start(NETWORK).await;
    let routes = json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": { "name": "ranker" },
        "spec": { "hosts": ["ranker.default.svc.cluster.local"], "http": [
            { "name": "old", "match": [{ "uri": { "exact": "/old" } }], "redirect": { "uri": "/new" } },
            { "name": "direct", "match": [{ "uri": { "exact": "/direct" } }], "directResponse": { "status": 418 } },
            { "name": "rest", "route": [{ "destination": {
                "host": "ranker.default.svc.cluster.local", "subset": "v1", "port": { "number": 8080 } } }] },
        ] },
    });
    mesh.istio.kubernetes.apply(&routes.to_string()).await.unwrap();
    let sidecar = Sidecar::start(&mesh.istio, "frontend-0", &json!({ "app": "frontend" })).await.unwrap();
    let address = async |service: &str| -> SocketAddr {
        let arguments = ["get", "service", service, "-o", "jsonpath={.spec.clusterIP}"];
        let address = mesh.istio.kubernetes.kubectl(&arguments).await.unwrap();
        (address.parse::<Ipv4Addr>().unwrap(), 8080).into()
    };
    let (ranker, shop) = (address("ranker").await, address("shop").await);
    // The ranker's host as clients write it, and the neighbour's.
    let answers = async || {
        let (ranker, shop) = (Client::new(ranker, Http::V1), Client::new(shop, Http::V1));
        let mut all = untouched_of(&ranker, RANKER, &["/other", "/old", "/direct", "/"]).await;
        all.extend(untouched_of(&shop, SHOP, &["/rank", "/other", "/"]).await);
        all
    };
    let before = sidecar.run(answers).unwrap();

    let mut policy = policy();
    policy["endpoints"][0]["match"]["hosts"] = json!(["ranker.default.svc.cluster.local", "ranker"]);
    let objects = mesh.render(&policy, "--sidecar app=frontend --host ranker.default.svc.cluster.local");
    mesh.istio.kubernetes.apply(&objects).await.unwrap();
    let expected = hash_of(&objects);
    let is_in_force = async || sidecar.policy_hash().unwrap() == expected;
    wait_until("the policy is in force", is_in_force)
        .await
        .unwrap_or_else(|error| panic!("{error}\n{}", sidecar.log()));
    sidecar
        .run(async || {
            let client = Client::new(ranker, Http::V1);
            mesh.assert_split(&client, RANKER, "/rank").await;
            // A short name is the same host.
            mesh.assert_split(&client, "ranker:8080", "/rank").await;
        })
        .unwrap();
    mesh.forget();
    assert_eq!(sidecar.run(answers).unwrap(), before);
    assert_no_trace(&mesh.backends);
}
