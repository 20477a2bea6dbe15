//! Claims of a signed token, as conditions and as keys.

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use policy::placement::Salt;
use serde_json::{Value, json};
use sha2::Sha256;
use testbed::backend::Backend;
use testbed::bootstrap::http_filters;
use testbed::client::{Client, Http, served_by};
use testbed::envoy::{Envoy, Setup};
use testbed::policies::{one_endpoint, traffic};

const SECRET: &[u8] = b"a secret of the test";

/// A token, signed with HS256 as an issuer would.
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
    http_filters(bootstrap).insert(0, filter);
}

/// The path of a claim.
fn claim(name: &str) -> Value {
    json!(["metadata", "filter_metadata", "envoy.filters.http.jwt_authn", "payload", name])
}

/// Sends a request with a token that has these claims. Returns who serves, or the status.
async fn served(client: &Client, claims: Option<Value>) -> Result<String, u16> {
    let bearer = claims.map(|claims| format!("Bearer {}", token(&claims)));
    let headers: Vec<_> = bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
    let answer = client.get("/", &headers).await.unwrap();
    served_by(&answer).map(str::to_owned).ok_or(answer.status().as_u16())
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_of_a_signed_token_select_cohort_and_key() {
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
    let get = async |claims| served(&client, claims).await;
    assert_eq!(get(None).await, Ok("stable".to_owned()));
    assert_eq!(get(Some(json!({ "iss": "tests", "sub": "a", "plan": "gold" }))).await, Ok("gold".to_owned()));
    // A null and a list are not strings. They crash nothing.
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

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_is_read_as_its_type_and_a_list_or_a_map_is_nothing() {
    let backends = Backend::start_all(["none", "seven", "half", "true", "false", "staff"]).await.unwrap();
    let cohort = |name: &str, read_as: &str, claim_name: &str, comparison: Value| {
        let mut condition = json!({ "path": claim(claim_name), "as": read_as });
        condition.as_object_mut().unwrap().extend(comparison.as_object().unwrap().clone());
        json!({ "name": name, "match": { "properties": [condition] }, "traffic": { name: 1 } })
    };
    let policy = one_endpoint(json!({ "name": "e", "traffic": { "none": 1 }, "affinity": null, "cohorts": [
        cohort("seven", "number", "n", json!({ "exact": "7" })),
        cohort("half", "number", "n", json!({ "exact": "0.5" })),
        cohort("true", "bool", "b", json!({ "exact": "true" })),
        cohort("false", "bool", "b", json!({ "exact": "false" })),
        cohort("staff", "string", "groups", json!({ "contains": "staff" })),
    ] }));
    let envoy = Envoy::start(&Setup { adapt: with_jwt_authn, ..Setup::new(policy, &backends) }).await.unwrap();
    let client = envoy.client(Http::V1);
    for (claims, expected) in [
        (json!({ "n": 7 }), "seven"),
        (json!({ "n": 7.0 }), "seven"),
        (json!({ "n": 0.5 }), "half"),
        (json!({ "n": "7" }), "none"),
        (json!({ "n": 8 }), "none"),
        (json!({ "n": [7] }), "none"),
        (json!({ "n": { "a": 7 } }), "none"),
        (json!({ "n": null }), "none"),
        (json!({ "b": true }), "true"),
        (json!({ "b": false }), "false"),
        (json!({ "b": "true" }), "none"),
        (json!({ "b": 1 }), "none"),
        (json!({ "b": [] }), "none"),
        (json!({ "groups": "non-staffing-agency" }), "staff"),
        (json!({ "groups": ["non-staffing-agency"] }), "none"),
        (json!({ "groups": { "staff": "staff" } }), "none"),
        (json!({ "groups": { "staff": { "staff": ["staff"] } } }), "none"),
        (json!({}), "none"),
    ] {
        let mut all = claims.clone();
        all["iss"] = json!("tests");
        assert_eq!(served(&client, Some(all)).await.as_deref(), Ok(expected), "{claims}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_is_a_number_is_hashed_as_its_text() {
    let backends = Backend::start_all(["v1", "v2"]).await.unwrap();
    let endpoint =
        |key: Value| json!({ "name": "e", "traffic": { "v1": 0.5, "v2": 0.5 }, "affinity": { "keys": [key] } });
    let policy = one_endpoint(endpoint(json!({ "property": claim("uid"), "as": "number" })));
    let envoy = Envoy::start(&Setup { adapt: with_jwt_authn, ..Setup::new(policy, &backends) }).await.unwrap();
    let client = envoy.client(Http::V1);
    let (traffic, salt) = (traffic([("v1", 0.5), ("v2", 0.5)]), Salt::new("e"));
    let uids = (0..40).map(|n| json!(n * 7919)).chain([json!(0.5), json!(-3), json!(9_007_199_254_740_991u64)]);
    for uid in uids {
        let expected = &traffic.choose(salt.point(uid.to_string().as_bytes())).name;
        assert_eq!(
            served(&client, Some(json!({ "iss": "tests", "uid": uid }))).await.as_deref(),
            Ok(&**expected),
            "{uid}"
        );
    }
    // A list and a string are no numbers.
    for uid in [json!([7]), json!("7"), json!({ "uid": 7 })] {
        served(&client, Some(json!({ "iss": "tests", "uid": uid }))).await.unwrap();
    }
    // Without `as`, a number is no key, and neither is a list.
    envoy.apply(&one_endpoint(endpoint(json!({ "property": claim("uid") })))).await.unwrap();
    for uid in [json!(7), json!(["user-1"]), json!(true), json!({})] {
        served(&client, Some(json!({ "iss": "tests", "uid": uid }))).await.unwrap();
    }
    for (reason, count) in [("key", 43), ("random", 7)] {
        let labels = [("reason", reason)];
        assert_eq!(envoy.metric("traffic_policy_requests_total", &labels).await.unwrap(), count, "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn attributes_of_the_connection_are_read_as_their_types() {
    let backends = Backend::start_all(["none", "plain", "mtls", "low"]).await.unwrap();
    let cohort = |name: &str, condition: Value| json!({ "name": name, "match": { "properties": [condition] }, "traffic": { name: 1 } });
    let mtls = |exact: &str| json!({ "path": ["connection", "mtls"], "as": "bool", "exact": exact });
    // Half of all ports. Linux gives a client odd ones or even ones only.
    let low = json!({ "path": ["source", "port"], "as": "number", "regex": "[0-9]{0,4}[0-4]" });
    let envoy = |cohorts: Value| {
        one_endpoint(json!({ "name": "e", "traffic": { "none": 1 }, "affinity": null, "cohorts": cohorts }))
    };
    let policy = envoy(json!([cohort("mtls", mtls("true")), cohort("plain", mtls("false"))]));
    let running = Envoy::start(&Setup::new(policy, &backends)).await.unwrap();
    assert_eq!(served(&running.client(Http::V1), None).await.as_deref(), Ok("plain"));
    running.apply(&envoy(json!([cohort("low", low)]))).await.unwrap();
    let mut seen = BTreeMap::new();
    for _ in 0..40 {
        // Each client has a connection of its own.
        *seen.entry(served(&running.client(Http::V1), None).await.unwrap()).or_insert(0) += 1;
    }
    assert_eq!(seen.keys().collect::<Vec<_>>(), ["low", "none"], "{seen:?}");
    running
        .apply(&envoy(json!([cohort("low", json!({ "path": ["request", "size"], "as": "number", "exact": "5" }))])))
        .await
        .unwrap();
    let client = running.client(Http::V1);
    for (body, expected) in [("12345", "low"), ("1234", "none")] {
        let answer = client.send("POST", "/", [], body).await.unwrap();
        assert_eq!(served_by(&answer), Some(expected), "{body}");
    }
}
