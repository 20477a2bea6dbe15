//! Requests that Envoy sends elsewhere than the filter chose.

use policy::metrics::Metric;
use serde_json::{Value, json};
use testbed::backend::Backend;
use testbed::bootstrap::{clusters, routes};
use testbed::client::Http;
use testbed::envoy::{Envoy, Setup};
use testbed::load;
use testbed::policies::all_to;
use testbed::statistics::assert_share;

const REQUESTS: u64 = 40_000;

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_go_elsewhere_than_chosen_are_counted_and_no_others() {
    for (what, policy, backend, adapt, is_misrouted) in [
        ("as chosen", all_to("a"), "a", (|_| ()) as fn(&mut Value), false),
        ("an aggregate of the cluster", all_to("aggregate"), "a", aggregate, false),
        ("a route with a cluster of its own", all_to("a"), "b", to_b, true),
    ] {
        let backends = Backend::start_all(["a", "b"]).await.unwrap();
        let envoy = Envoy::start(&Setup { workers: 2, adapt, ..Setup::new(policy, &backends) }).await.unwrap();
        let tally = load::send(&envoy.client(Http::V1), "/", REQUESTS).await;
        assert_eq!(tally.of(backend), REQUESTS, "{what}: {tally:?}");
        let count = envoy.metric("traffic_policy_misrouted_total", &[("endpoint", "e")]).await.unwrap();
        let share = if is_misrouted { 1.0 / Metric::SAMPLED as f64 } else { 0.0 };
        assert_share(count, REQUESTS, share, what);
    }
}

/// Makes the routes choose a cluster themselves.
fn to_b(bootstrap: &mut Value) {
    for route in routes(bootstrap) {
        if let Some(action) = route.get_mut("route") {
            *action = json!({ "cluster": "b" });
        }
    }
}

/// Adds a cluster that stands for the cluster `a`.
fn aggregate(bootstrap: &mut Value) {
    clusters(bootstrap).push(json!({
        "name": "aggregate",
        "lb_policy": "CLUSTER_PROVIDED",
        "cluster_type": { "name": "envoy.clusters.aggregate", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.clusters.aggregate.v3.ClusterConfig",
            "clusters": ["a"],
        } },
    }));
}
