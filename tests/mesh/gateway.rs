//! Istio's gateways: a policy decides about its own requests, and about nothing else.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testbed::client::{Http, served_by};
use testbed::mesh::gateway::{Gateway, Setup};
use testbed::trafficctl::Trafficctl;
use testbed::wait_until;

use crate::team::{Mesh, RANKER, SHOP, Watch, assert_no_trace, hash_of, is_decided, list, policy, untouched};

/// Checks that the policy decides about its own requests, and that the rest is as it was.
async fn assert_good_neighbour(mesh: &Mesh, gateway: &Gateway, options: &[&str]) {
    let client = gateway.client(Http::V1);
    let before = untouched(&client).await;
    for options in options {
        let objects = mesh.render(&policy(), options);
        mesh.apply(&objects, gateway).await;
        // Objects that were deleted have left their series behind. And open connections serve one more
        // request with the listener that they came by.
        wait_until("the filter decides", async || is_decided(&gateway.client(Http::V1)).await).await.unwrap();
        let client = gateway.client(Http::V1);
        mesh.assert_split(&client, RANKER, "/rank").await;
        let counted = async || gateway.metric("traffic_policy_requests_total", &[]).await.unwrap();
        let decided = counted().await;
        mesh.forget();
        assert_eq!(untouched(&client).await, before, "{options}");
        assert_no_trace(&mesh.backends);
        assert_eq!(counted().await, decided, "{options}");
        mesh.istio.kubernetes.delete(&objects).await.unwrap();
        let is_gone = async || !is_decided(&gateway.client(Http::V1)).await;
        wait_until("the policy is gone", is_gone).await.unwrap();
        assert_eq!(untouched(&gateway.client(Http::V1)).await, before, "after {options}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_decides_about_its_host_and_the_rest_of_an_istio_gateway_is_as_before() {
    let mesh = Mesh::start([127, 0, 0]).await;
    mesh.open_gateway().await;
    let gateway = Gateway::start(&mesh.istio, &Setup::new(mesh.port)).await.unwrap();
    let before = untouched(&gateway.client(Http::V1)).await;
    for status in [200, 301, 404, 418] {
        assert!(before.iter().any(|(_, (seen, ..))| *seen == status), "{status}: {before:?}");
    }
    let one_port = format!("--host {RANKER}:{}", mesh.port);
    let options = ["--host ranker.example.com", &one_port, "--all-hosts"];
    assert_good_neighbour(
        &mesh,
        &gateway,
        &options.map(|options| format!("--gateway gateway {options}")).each_ref().map(|o| &**o),
    )
    .await;
}

/// A route of the Gateway API for a host.
fn http_route(name: &str, host: &str, service: &str) -> Value {
    let path = |path: &str| json!([{ "path": { "type": "Exact", "value": path } }]);
    let redirect = json!({ "type": "RequestRedirect", "requestRedirect": { "path": { "type": "ReplaceFullPath", "replaceFullPath": "/new" } } });
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": { "name": name },
        "spec": { "parentRefs": [{ "name": "public" }], "hostnames": [host], "rules": [
            { "matches": path("/old"), "filters": [redirect] },
            { "backendRefs": [{ "name": service, "port": 8080 }] },
        ] },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_decides_about_its_host_and_the_rest_of_a_gateway_of_the_gateway_api_is_as_before() {
    let mesh = Mesh::start([127, 0, 0]).await;
    let label = json!({ "gateway.networking.k8s.io/gateway-name": "public" });
    let listener = json!({ "name": "http", "port": mesh.port, "protocol": "HTTP" });
    let address = json!({ "type": "Hostname", "value": "public.default.svc.cluster.local" });
    let port = json!({ "name": "http", "port": mesh.port });
    let target = mesh.backends[0].address.port();
    let stable_service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": "ranker-stable" },
        "spec": { "selector": { "version": "v1" }, "ports": [{ "name": "http", "port": 8080, "targetPort": target }] },
    });
    let objects = [
        json!({ "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": { "name": "public" },
            "spec": { "gatewayClassName": "istio", "addresses": [address], "listeners": [listener] } }),
        json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "public" }, "spec": { "selector": label, "ports": [port] } }),
        json!({ "apiVersion": "networking.istio.io/v1", "kind": "WorkloadEntry", "metadata": { "name": "public" },
            "spec": { "address": "127.0.0.21", "labels": label } }),
        stable_service,
        http_route("ranker", RANKER, "ranker-stable"),
        http_route("shop", SHOP, "shop"),
    ];
    mesh.istio.kubernetes.apply(&list(objects)).await.unwrap();
    let setup = Setup { name: "public-0".to_owned(), labels: label, ..Setup::new(mesh.port) };
    let gateway = Gateway::start(&mesh.istio, &setup).await.unwrap();
    let client = gateway.client(Http::V1);
    let serves = async || client.get("/", &[("host", SHOP)]).await.is_ok_and(|answer| answer.status() == 200);
    wait_until("the gateway serves", serves).await.unwrap();
    assert_good_neighbour(&mesh, &gateway, &["--target gateway/public --host ranker.example.com"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_live_changes_at_fifty_requests_a_second_fail_none_and_are_in_force_within_three_seconds() {
    let mesh = Mesh::start([127, 0, 0]).await;
    mesh.open_gateway().await;
    let gateway = Gateway::start(&mesh.istio, &Setup::new(mesh.port)).await.unwrap();
    let objects = mesh.render(&policy(), "--gateway gateway --host ranker.example.com");
    mesh.apply(&objects, &gateway).await;
    let file = mesh.istio.kubernetes.folder().join("mesh-policy.yaml");
    std::fs::write(&file, objects).unwrap();
    let trafficctl = Trafficctl::build(&file).unwrap();
    let client = gateway.client(Http::V1);
    let watch = Watch::start(&client);
    for change in 1..=10 {
        let began = Instant::now();
        let (v1, v2) = (format!("v1={}%", 100 - change), format!("v2={change}%"));
        trafficctl.ok(["set-traffic", "ranker", &v1, &v2]).unwrap();
        mesh.apply(&std::fs::read_to_string(&file).unwrap(), &gateway).await;
        let took = began.elapsed();
        assert!(took < Duration::from_secs(3), "change {change}: {took:?}");
        tokio::time::sleep(Duration::from_secs(1).saturating_sub(took)).await;
    }
    let sent = watch.stop().await;
    assert!(sent > 200, "{sent}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_policies_with_names_share_a_gateway() {
    let mesh = Mesh::start([127, 0, 0]).await;
    mesh.open_gateway().await;
    let gateway = Gateway::start(&mesh.istio, &Setup::new(mesh.port)).await.unwrap();
    let client = gateway.client(Http::V1);
    let ranker = mesh.render(&policy(), "--gateway gateway --host ranker.example.com --name ranker");
    let shop = json!({
        "response_header": "x-traffic-backend",
        "endpoints": [{ "name": "shop", "match": { "hosts": [SHOP] }, "traffic": { "shop": 1 } }],
    });
    let shop = mesh.render(&shop, "--gateway gateway --host shop.example.com --name shop --port 8080");
    mesh.istio.kubernetes.apply(&ranker).await.unwrap();
    mesh.istio.kubernetes.apply(&shop).await.unwrap();
    for (objects, name) in [(&ranker, "ranker"), (&shop, "shop")] {
        let expected = hash_of(objects);
        wait_until("both policies are in force", async || {
            let labels = [("policy", name)];
            gateway.metric("traffic_policy_policy_info", &labels).await.is_ok_and(|hash| hash == expected)
        })
        .await
        .unwrap();
    }
    mesh.assert_split(&client, RANKER, "/rank").await;
    let answer = client.get("/rank", &[("host", SHOP)]).await.unwrap();
    assert_eq!((served_by(&answer), answer.headers()["x-traffic-backend"].to_str().unwrap()), (Some("shop"), "shop"));
    // Neither lets a client choose.
    for header in ["x-traffic-cluster-ranker", "x-traffic-cluster-shop"] {
        mesh.forget();
        let headers = [("host", RANKER), (header, "outbound|8080|v2|ranker.default.svc.cluster.local")];
        assert_eq!(served_by(&client.get("/other", &headers).await.unwrap()), Some("v1"));
        assert_no_trace(&mesh.backends);
    }
}
