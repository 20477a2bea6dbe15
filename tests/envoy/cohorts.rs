//! Cohorts: their splits, their users and their copies.

use std::time::Instant;

use serde_json::json;
use testbed::backend::Backend;
use testbed::client::{Client, Http, served_by};
use testbed::envoy::{Envoy, Setup, Verdict};
use testbed::policies::one_endpoint;
use testbed::statistics::assert_share;
use testbed::{load, wait_until};

/// A canary for everyone, with another share for iOS users in the US. Employees and beta users
/// always get it.
fn rollout(ios_us: f64, everyone: f64) -> String {
    let split = |share: f64| json!({ "stable": 1.0 - share, "canary": share });
    let ranker = json!({
        "name": "ranker",
        "route": "/rank",
        "affinity": { "keys": [{ "header": "x-user" }] },
        "traffic": split(everyone),
        "cohorts": [
            { "name": "internal", "traffic": { "canary": 1 },
              "match": { "headers": [{ "name": "x-employee", "present": true }] } },
            { "name": "beta", "traffic": { "canary": 1 },
              "match": { "cookies": [{ "name": "beta", "exact": "1" }] } },
            { "name": "ios-us", "traffic": split(ios_us),
              "match": { "headers": [{ "name": "user-agent", "contains": "iPhone" },
                                     { "name": "x-country", "exact": "US" }] } },
        ],
    });
    // Another endpoint, with its own users.
    let search = json!({ "name": "search", "route": "/search", "affinity": { "keys": [{ "header": "x-user" }] },
        "traffic": split(everyone / 2.0) });
    json!({ "endpoints": [ranker, search] }).to_string()
}

const IOS_US: [(&str, &str); 2] = [("user-agent", "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0)"), ("x-country", "US")];

const IOS_DE: [(&str, &str); 2] = [("user-agent", "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0)"), ("x-country", "DE")];

/// The backend that serves each of the users `user-0`, `user-1`, …
async fn place(client: &Client, path: &str, headers: &[(&str, &str)], users: u64) -> Vec<String> {
    let mut placed = Vec::new();
    for n in 0..users {
        let user = format!("user-{n}");
        let headers: Vec<_> = headers.iter().copied().chain([("x-user", user.as_str())]).collect();
        placed.push(served_by(&client.get(path, &headers).await.unwrap()).unwrap().to_owned());
    }
    placed
}

/// How many of these users the canary serves.
fn canaries(placed: &[String]) -> u64 {
    placed.iter().filter(|backend| *backend == "canary").count() as u64
}

fn assert_canaries(placed: &[String], share: f64, who: &str) {
    assert_share(canaries(placed), placed.len() as u64, share, who);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_cohort_has_its_own_split_and_its_users_stay_where_they_are() {
    const USERS: u64 = 1000;
    let backends = Backend::start_all(["stable", "canary"]).await.unwrap();
    let envoy = Envoy::start(&Setup { workers: 2, ..Setup::new(rollout(0.3, 0.1), &backends) }).await.unwrap();
    let (client, h2) = (envoy.client(Http::V1), envoy.client(Http::V2));

    let everyone = place(&client, "/rank", &IOS_DE, USERS).await;
    let ios_us = place(&client, "/rank", &IOS_US, USERS).await;
    let search = place(&client, "/search", &IOS_US, USERS).await;
    assert_canaries(&everyone, 0.1, "everyone else");
    assert_canaries(&ios_us, 0.3, "iOS in the US");
    assert_canaries(&search, 0.05, "the other endpoint");
    assert_canaries(&place(&client, "/rank", &[("x-employee", "")], 100).await, 1.0, "employees");
    assert_canaries(&place(&client, "/rank", &[("cookie", "a=b; beta=1")], 100).await, 1.0, "beta users");
    let forced: Vec<_> = IOS_US.into_iter().chain([("x-employee", "7")]).collect();
    assert_canaries(&place(&client, "/rank", &forced, 100).await, 1.0, "employees with a phone in the US");
    // Each cohort has its own counts.
    for (cohort, backend, count) in [
        ("internal", "canary", 200),
        ("beta", "canary", 100),
        ("ios-us", "canary", canaries(&ios_us)),
        ("ios-us", "stable", USERS - canaries(&ios_us)),
    ] {
        let labels = [("endpoint", "ranker"), ("cohort", cohort), ("backend", backend), ("reason", "key")];
        assert_eq!(envoy.metric("traffic_policy_requests_total", &labels).await.unwrap(), count, "{cohort} {backend}");
    }
    let of_endpoint = [("endpoint", "ranker"), ("backend", "canary")];
    let of_all = canaries(&everyone) + 300 + canaries(&ios_us);
    assert_eq!(envoy.metric("traffic_policy_requests_total", &of_endpoint).await.unwrap(), of_all);
    // The same on every device and connection.
    assert_eq!(place(&h2, "/rank", &[("user-agent", "Android")], USERS).await, everyone);

    // A lower share moves only that cohort's users, and only away from the canary.
    assert_eq!(envoy.apply(&rollout(0.2, 0.1)).await.unwrap(), Verdict::InForce);
    let fewer = place(&client, "/rank", &IOS_US, USERS).await;
    assert_canaries(&fewer, 0.2, "iOS in the US, fewer");
    assert!(
        ios_us.iter().zip(&fewer).all(|(before, now)| before == now || now == "stable"),
        "a user was moved needlessly"
    );
    assert_eq!(place(&client, "/rank", &IOS_DE, USERS).await, everyone);
    assert_eq!(place(&client, "/search", &IOS_US, USERS).await, search);

    // A change of everyone's share moves nobody in the cohort. The share of the other endpoint
    // changes, too, and only grows.
    assert_eq!(envoy.apply(&rollout(0.2, 0.4)).await.unwrap(), Verdict::InForce);
    assert_eq!(place(&client, "/rank", &IOS_US, USERS).await, fewer);
    let more = place(&client, "/rank", &IOS_DE, USERS).await;
    assert_canaries(&more, 0.4, "everyone else, more");
    assert!(everyone.iter().zip(&more).all(|(before, now)| before == now || now == "canary"), "a user flipped back");
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_are_counted_for_each_cohort_and_share_the_limits_of_their_entry() {
    let backends = Backend::start_all(["main", "copy"]).await.unwrap();
    let policy = one_endpoint(json!({
        "name": "e", "traffic": { "main": 1 }, "shadow": { "copy": { "fraction": 1, "max_per_second": 50 } },
        "cohorts": [
            { "name": "inherits", "match": { "path": { "exact": "/inherits" } }, "traffic": { "main": 1 } },
            { "name": "own", "match": { "path": { "exact": "/own" } }, "traffic": { "main": 1 }, "shadow": { "copy": 1 } },
            { "name": "off", "match": { "path": { "exact": "/off" } }, "traffic": { "main": 1 }, "shadow": { "copy": 0 } },
        ],
    }));
    let envoy = Envoy::start(&Setup::new(policy, &backends)).await.unwrap();
    let client = envoy.client(Http::V1);
    let start = Instant::now();
    for path in ["/inherits", "/own", "/off"] {
        assert_eq!(load::send(&client, path, 100).await.failed, 0);
    }
    assert_eq!(load::send(&client, "/", 100).await.failed, 0);
    let count = async |cohort: &str, result: &str| {
        let labels = [("cohort", cohort), ("result", result)];
        envoy.metric("traffic_policy_shadow_total", &labels).await.unwrap()
    };
    wait_until("all copies have their outcome", async || {
        envoy.all_outcomes("copy").await.is_ok_and(|count| count == 300) && count("own", "2xx").await == 100
    })
    .await
    .unwrap();
    let (inherited, skipped) = (count("inherits", "2xx").await, count("inherits", "skipped_rate").await);
    assert_eq!(inherited + skipped, 100);
    // The cohort and the requests in no cohort share one rate limit: one second's worth of copies
    // at once, and then the rate.
    let in_none = envoy.outcomes("copy", "2xx").await.unwrap() - inherited - 100;
    let allowed = 50.0 * (1.0 + start.elapsed().as_secs_f64());
    assert!(inherited >= 50 && (inherited + in_none) as f64 <= allowed, "{inherited} and {in_none} of {allowed}");
    assert_eq!(count("off", "2xx").await, 0);
}
