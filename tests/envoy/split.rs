//! The split of requests among backends.

use policy::placement::Salt;
use serde_json::json;
use testbed::backend::Backend;
use testbed::client::{Http, served_by};
use testbed::envoy::{Envoy, Setup};
use testbed::load;
use testbed::policies::{self, one_endpoint};
use testbed::statistics::{FALSE_ALARM, assert_share, chi_squared_p};

#[tokio::test(flavor = "multi_thread")]
async fn twenty_thousand_requests_split_by_the_shares() {
    let backends = Backend::start_all(["a", "b", "c"]).await.unwrap();
    let splits = [("/half", [0.5, 0.5, 0.0]), ("/canaries", [0.98, 0.01, 0.01]), ("/tiny", [0.9999, 0.0001, 0.0])];
    let endpoint = |(route, [a, b, c]): (&str, [f64; 3])| json!({ "name": route.trim_start_matches('/'), "route": route, "traffic": { "a": a, "b": b, "c": c } });
    let policy = json!({ "endpoints": splits.map(endpoint) }).to_string();
    let envoy = Envoy::start(&Setup { workers: 2, ..Setup::new(policy, &backends) }).await.unwrap();
    let client = envoy.client(Http::V1);
    for (route, shares) in splits {
        let tally = load::send(&client, route, 20_000).await;
        assert_eq!(tally.failed, 0, "{route}");
        let counts = ["a", "b", "c"].map(|name| tally.of(name));
        // The chi-squared test needs an expectation of five or more. The binomial bounds are exact.
        if shares.iter().all(|share| *share == 0.0 || share * 20_000.0 >= 5.0) {
            let p = chi_squared_p(&counts, &shares);
            assert!(p > FALSE_ALARM, "{route}: {counts:?}, p = {p}");
        }
        for (count, share) in counts.iter().zip(shares) {
            assert_share(*count, 20_000, share, route);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_reaches_the_same_backend_on_every_worker_and_proxy_over_both_versions_of_http() {
    let backends = Backend::start_all(["v1", "v2", "v3"]).await.unwrap();
    let traffic = json!({ "v1": 0.5, "v2": 0.3, "v3": 0.2 });
    let policy = one_endpoint(json!({ "name": "ranker", "traffic": traffic }));
    let native = policies::traffic([("v1", 0.5), ("v2", 0.3), ("v3", 0.2)]);
    let salt = Salt::new("ranker");
    // The third Envoy is the second one, started again.
    for workers in [1, 2, 2] {
        let envoy = Envoy::start(&Setup { workers, ..Setup::new(policy.as_str(), &backends) }).await.unwrap();
        for http in [Http::V1, Http::V2] {
            for connection in 0..4 {
                // Each client opens its own connection, which Envoy hands to one of its workers.
                let client = envoy.client(http);
                for n in 0..100 {
                    let key = format!("user-{n}");
                    let answer = client.get("/", &[("x-serve-shard-key", &key)]).await.unwrap();
                    let expected = &*native.choose(salt.point(key.as_bytes())).name;
                    assert_eq!(
                        served_by(&answer),
                        Some(expected),
                        "{key}, {workers} workers, {http:?}, connection {connection}"
                    );
                }
            }
        }
    }
}
