//! Who goes where, in a real Envoy: cohorts, generated keys, and claims of a signed token.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::time::Instant;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use testbed::backend::Backend;
use testbed::client::{Client, Http, served_by};
use testbed::envoy::{Envoy, Setup, Verdict, connection_manager, one_endpoint};
use testbed::load;
use testbed::statistics::{FALSE_ALARM, binomial_bounds};

/// A model for phones is tried on iOS in the US, beside a canary for everyone; employees and beta users always get it.
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
    // Another endpoint with users of its own.
    let search = json!({ "name": "search", "route": "/search", "affinity": { "keys": [{ "header": "x-user" }] },
        "traffic": split(everyone / 2.0) });
    json!({ "endpoints": [ranker, search] }).to_string()
}

const IOS_US: [(&str, &str); 2] = [("user-agent", "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0)"), ("x-country", "US")];
const IOS_DE: [(&str, &str); 2] = [("user-agent", "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0)"), ("x-country", "DE")];

/// The backend of each of the users `user-0`, `user-1`, …
async fn place(client: &Client, path: &str, headers: &[(&str, &str)], users: u64) -> Vec<String> {
    let mut placed = Vec::new();
    for n in 0..users {
        let user = format!("user-{n}");
        let headers: Vec<_> = headers.iter().copied().chain([("x-user", user.as_str())]).collect();
        placed.push(served_by(&client.get(path, &headers).await.unwrap()).unwrap().to_owned());
    }
    placed
}

fn assert_share(placed: &[String], share: f64, who: &str) {
    let count = placed.iter().filter(|backend| *backend == "canary").count() as u64;
    let (low, high) = binomial_bounds(placed.len() as u64, share, FALSE_ALARM);
    assert!((low..=high).contains(&count), "{who}: {count} of {}, {low} to {high} expected", placed.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_cohort_has_its_own_split_and_users_stay_where_they_are() {
    const USERS: u64 = 1000;
    let backends = Backend::start_all(["stable", "canary"]).await.unwrap();
    let envoy = Envoy::start(&Setup { workers: 2, ..Setup::new(rollout(0.3, 0.1), &backends) }).await.unwrap();
    let (client, h2) = (envoy.client(Http::V1), envoy.client(Http::V2));

    let everyone = place(&client, "/rank", &IOS_DE, USERS).await;
    let ios_us = place(&client, "/rank", &IOS_US, USERS).await;
    let search = place(&client, "/search", &IOS_US, USERS).await;
    assert_share(&everyone, 0.1, "everyone else");
    assert_share(&ios_us, 0.3, "iOS in the US");
    assert_share(&search, 0.05, "the other endpoint");
    assert_share(&place(&client, "/rank", &[("x-employee", "")], 100).await, 1.0, "employees");
    assert_share(&place(&client, "/rank", &[("cookie", "a=b; beta=1")], 100).await, 1.0, "beta users");
    let forced: Vec<_> = IOS_US.into_iter().chain([("x-employee", "7")]).collect();
    assert_share(&place(&client, "/rank", &forced, 100).await, 1.0, "employees with a phone in the US");
    // Each cohort is counted by itself.
    let canaries = |placed: &[String]| placed.iter().filter(|backend| *backend == "canary").count() as u64;
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
    // On every device and connection.
    assert_eq!(place(&h2, "/rank", &[("user-agent", "Android")], USERS).await, everyone);

    // A lower share moves only that cohort's users, and only away from the canary.
    assert_eq!(envoy.apply(&rollout(0.2, 0.1)).await.unwrap(), Verdict::InForce);
    let fewer = place(&client, "/rank", &IOS_US, USERS).await;
    assert_share(&fewer, 0.2, "iOS in the US, fewer");
    assert!(
        ios_us.iter().zip(&fewer).all(|(before, now)| before == now || now == "stable"),
        "a user was moved needlessly"
    );
    assert_eq!(place(&client, "/rank", &IOS_DE, USERS).await, everyone);
    assert_eq!(place(&client, "/search", &IOS_US, USERS).await, search);

    // A change of everyone's share moves nobody in the cohort; the other endpoint's share changes too, and only grows.
    assert_eq!(envoy.apply(&rollout(0.2, 0.4)).await.unwrap(), Verdict::InForce);
    assert_eq!(place(&client, "/rank", &IOS_US, USERS).await, fewer);
    let more = place(&client, "/rank", &IOS_DE, USERS).await;
    assert_share(&more, 0.4, "everyone else, more");
    assert!(everyone.iter().zip(&more).all(|(before, now)| before == now || now == "canary"), "a user flipped back");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_cohorts_copies_are_counted_by_themselves_and_share_the_limits_of_their_entry() {
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
    testbed::wait_until("all copies have their outcome", async || {
        envoy.all_outcomes("copy").await.is_ok_and(|count| count == 300) && count("own", "2xx").await == 100
    })
    .await
    .unwrap();
    let (inherited, skipped) = (count("inherits", "2xx").await, count("inherits", "skipped_rate").await);
    assert_eq!(inherited + skipped, 100);
    // Together, those in the cohort and those in none may send one second's worth, and what has been filled up since.
    let in_none = envoy.outcomes("copy", "2xx").await.unwrap() - inherited - 100;
    let allowed = 50.0 * (1.0 + start.elapsed().as_secs_f64());
    assert!(inherited >= 50 && (inherited + in_none) as f64 <= allowed, "{inherited} and {in_none} of {allowed}");
    assert_eq!(count("off", "2xx").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generated_cookie_places_its_client_from_the_first_request_on() {
    const CLIENTS: usize = 2000;
    let backends = Backend::start_all(["stable", "canary"]).await.unwrap();
    let cookie = json!({ "name": "tid", "max_age_s": 3600, "path": "/" });
    let policy = one_endpoint(json!({
        "name": "e", "traffic": { "stable": 0.8, "canary": 0.2 },
        "affinity": { "keys": [{ "header": "x-user" }], "on_missing": "generate_cookie", "cookie": cookie },
    }));
    let envoy = Envoy::start(&Setup { workers: 2, ..Setup::new(policy, &backends) }).await.unwrap();
    let client = envoy.client(Http::V1);
    let mut jars = vec![String::new(); CLIENTS];
    let mut first = Vec::new();
    for round in 0..5 {
        let mut placed = Vec::new();
        for jar in &mut jars {
            let headers: Vec<_> = if round == 0 { Vec::new() } else { vec![("cookie", jar.as_str())] };
            let answer = client.get("/", &headers).await.unwrap();
            placed.push(served_by(&answer).unwrap().to_owned());
            let set: Vec<_> =
                answer.headers().get_all("set-cookie").iter().map(|v| v.to_str().unwrap().to_owned()).collect();
            if round > 0 {
                assert_eq!(set, Vec::<String>::new(), "a client with a cookie gets no other");
                continue;
            }
            let [set] = set.try_into().unwrap();
            let (pair, attributes) = set.split_once("; ").unwrap();
            assert_eq!(attributes, "Path=/; Max-Age=3600; SameSite=Lax; Secure; HttpOnly");
            assert_eq!(pair.len(), "tid=".len() + 32, "{pair}");
            // As a browser sends it, among others.
            *jar = format!("theme=dark; {pair}");
        }
        // No drift: all five the same, the very first among them.
        if round == 0 {
            first = placed;
            assert_share(&first, 0.2, "new clients");
        } else {
            assert_eq!(placed, first, "round {round}");
        }
    }
    jars.sort();
    jars.dedup();
    assert_eq!(jars.len(), CLIENTS, "two clients got the same key");
    for (reason, count) in [("generated", CLIENTS as u64), ("key", 4 * CLIENTS as u64), ("random", 0)] {
        assert_eq!(
            envoy.metric("traffic_policy_requests_total", &[("reason", reason)]).await.unwrap(),
            count,
            "{reason}"
        );
    }
    // With a key of its own a client gets none.
    let answer = client.get("/", &[("x-user", "u")]).await.unwrap();
    assert!(!answer.headers().contains_key("set-cookie"));
}

const SECRET: &[u8] = b"a secret of the test";

/// A token as an issuer would sign it: HS256.
fn token(claims: &Value) -> String {
    let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let signed = format!(
        "{}.{}",
        encode(json!({ "alg": "HS256", "typ": "JWT", "kid": "test" }).to_string().as_bytes()),
        encode(claims.to_string().as_bytes())
    );
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET).unwrap();
    mac.update(signed.as_bytes());
    let signature = encode(&mac.finalize().into_bytes());
    format!("{signed}.{signature}")
}

fn with_jwt_authn(bootstrap: &mut Value) {
    let keys = json!({ "keys": [{ "kty": "oct", "alg": "HS256", "kid": "test", "k": BASE64_URL_SAFE_NO_PAD.encode(SECRET) }] });
    let provider = json!({ "issuer": "tests", "payload_in_metadata": "payload",
        "local_jwks": { "inline_string": keys.to_string() } });
    let filter = json!({ "name": "jwt", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
        "providers": { "tests": provider },
        "rules": [{ "match": { "prefix": "/" }, "requires": { "requires_any": { "requirements": [
            { "provider_name": "tests" }, { "allow_missing": {} } ] } } }] } });
    connection_manager(bootstrap)["http_filters"].as_array_mut().unwrap().insert(0, filter);
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_of_a_signed_token_choose_cohort_and_key() {
    let claim = |name: &str| json!(["metadata", "filter_metadata", "envoy.filters.http.jwt_authn", "payload", name]);
    let backends = Backend::start_all(["stable", "gold", "v1", "v2"]).await.unwrap();
    let policy = one_endpoint(json!({
        "name": "e", "traffic": { "stable": 1 },
        "affinity": { "keys": [{ "property": claim("sub") }] },
        "cohorts": [
            { "name": "gold", "match": { "properties": [{ "path": claim("plan"), "exact": "gold" }] }, "traffic": { "gold": 1 } },
            { "name": "users", "match": { "properties": [{ "path": claim("sub"), "present": true }] },
              "traffic": { "v1": 0.5, "v2": 0.5 } },
        ],
    }));
    let envoy = Envoy::start(&Setup { adapt: with_jwt_authn, ..Setup::new(policy, &backends) }).await.unwrap();
    let client = envoy.client(Http::V1);
    let get = async |claims: Option<Value>| {
        let bearer = claims.map(|claims| format!("Bearer {}", token(&claims)));
        let headers: Vec<_> = bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
        let answer = client.get("/", &headers).await.unwrap();
        served_by(&answer).map(str::to_owned).ok_or(answer.status().as_u16())
    };
    assert_eq!(get(None).await, Ok("stable".to_owned()));
    assert_eq!(get(Some(json!({ "iss": "tests", "sub": "a", "plan": "gold" }))).await, Ok("gold".to_owned()));
    // A null or a list is no text; it crashes nothing.
    assert_eq!(get(Some(json!({ "iss": "tests", "plan": null }))).await, Ok("stable".to_owned()));
    assert_eq!(get(Some(json!({ "iss": "tests", "plan": ["gold"] }))).await, Ok("stable".to_owned()));
    let mut seen = BTreeMap::new();
    for n in 0..40 {
        let claims = json!({ "iss": "tests", "sub": format!("user-{n}"), "plan": "silver" });
        let backend = get(Some(claims.clone())).await.unwrap();
        assert_eq!(get(Some(claims)).await.unwrap(), backend, "user-{n}");
        *seen.entry(backend).or_insert(0) += 1;
    }
    assert_eq!(seen.keys().collect::<Vec<_>>(), ["v1", "v2"]);
    // A forged token never reaches the filter.
    let forged = format!("Bearer {}x", token(&json!({ "iss": "tests", "sub": "a", "plan": "gold" })));
    let answer = client.get("/", &[("authorization", &forged)]).await.unwrap();
    assert_eq!(answer.status(), 401);
    assert_eq!(envoy.stat("wasm.traffic-policy.vm_reload").await.unwrap(), 0);
}
