//! Claims of a signed token, as conditions and as keys.

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use testbed::backend::Backend;
use testbed::bootstrap::http_filters;
use testbed::client::{Http, served_by};
use testbed::envoy::{Envoy, Setup};
use testbed::policies::one_endpoint;

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

#[tokio::test(flavor = "multi_thread")]
async fn claims_of_a_signed_token_select_cohort_and_key() {
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
