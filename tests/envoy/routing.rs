//! The routing header, which the filter sets and a client can't.

use std::collections::BTreeMap;

use policy::Policy;
use policy::placement::Salt;
use serde_json::{Value, json};
use testbed::backend::{Backend, named};
use testbed::bootstrap::{connection_manager, routes};
use testbed::client::{Http, served_by};
use testbed::envoy::{Envoy, Setup};
use testbed::policies::one_endpoint;

#[tokio::test(flavor = "multi_thread")]
async fn a_client_never_chooses_the_cluster() {
    let backends = Backend::start_all(["stable", "other"]).await.unwrap();
    backends.iter().for_each(Backend::remember);
    let policy = one_endpoint(json!({ "name": "e", "route": "/e", "traffic": { "stable": 1 } }));
    let bypass = |bootstrap: &mut Value| {
        let routes = routes(bootstrap);
        let mut bypassed = routes[0].clone();
        bypassed["match"]["prefix"] = json!("/bypassed");
        bypassed["typed_per_filter_config"] = json!({ "traffic-policy": {
            "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "disabled": true } });
        routes.insert(0, bypassed);
    };
    let envoy = Envoy::start(&Setup { adapt: bypass, ..Setup::new(policy, &backends) }).await.unwrap();
    for http in [Http::V1, Http::V2] {
        let client = envoy.client(http);
        for spoof in [vec!["other"], vec!["other", "other"], vec!["", "other"], vec!["other,other"]] {
            let headers: Vec<_> = spoof.iter().map(|value| ("X-Traffic-Cluster", *value)).collect();
            for (path, expected) in [("/e", Some("stable")), ("/unmatched", None), ("/bypassed", Some("stable"))] {
                let answer = client.get(path, &headers).await.unwrap();
                assert_eq!(served_by(&answer), expected, "{path} with {spoof:?} over {http:?}");
            }
        }
    }
    assert_eq!(named(&backends, "other").count(), 0);
    for received in named(&backends, "stable").take_received() {
        assert_eq!(received.header("x-traffic-cluster"), Vec::<String>::new(), "the header is forwarded");
    }
}

/// Istio's VirtualService and the Gateway API's HTTPRoute have a route for each cluster instead of
/// `cluster_header`.
#[tokio::test(flavor = "multi_thread")]
async fn routes_that_match_the_routing_header_follow_the_filter() {
    let backends = Backend::start_all(["stable", "canary"]).await.unwrap();
    let policy = json!({ "endpoints": [{ "name": "e", "route": "/e", "traffic": { "stable": 0.5, "canary": 0.5 } }] });
    let by_value = |bootstrap: &mut Value| {
        connection_manager(bootstrap)["early_header_mutation_extensions"] = json!([]);
        let to = |cluster: &str| json!({ "match": { "prefix": "/" }, "route": { "cluster": cluster } });
        let mut all: Vec<_> = ["stable", "canary"].map(to).into();
        for (route, cluster) in all.iter_mut().zip(["stable", "canary"]) {
            let header = json!({ "name": "x-traffic-cluster", "string_match": { "exact": cluster } });
            route["match"]["headers"] = json!([header]);
        }
        all.push(to("stable"));
        *routes(bootstrap) = all;
    };
    let envoy = Envoy::start(&Setup { adapt: by_value, ..Setup::new(policy.to_string(), &backends) }).await.unwrap();
    let policy = Policy::from_json(policy.to_string().as_bytes()).unwrap().policy;
    let traffic = policy.endpoints.first().unwrap().traffic();
    let client = envoy.client(Http::V1);
    let mut served = BTreeMap::new();
    for user in 0..100 {
        let key = format!("user-{user}");
        let answer = client.get("/e", &[("x-serve-shard-key", &key), ("x-traffic-cluster", "canary")]).await.unwrap();
        let expected = &*traffic.choose(Salt::new("e").point(key.as_bytes())).name;
        assert_eq!(served_by(&answer), Some(expected), "{key}");
        *served.entry(expected).or_insert(0) += 1;
    }
    assert_eq!(served.len(), 2, "{served:?}");
    // A request that matches no endpoint takes the route of requests that the filter never saw,
    // whatever the client sends.
    let answer = client.get("/other", &[("x-traffic-cluster", "canary")]).await.unwrap();
    assert_eq!(served_by(&answer), Some("stable"));
}
