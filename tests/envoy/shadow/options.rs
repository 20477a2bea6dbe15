//! The options of a shadow, and Envoy's own mirror.

use std::collections::{BTreeMap, BTreeSet};

use http::StatusCode;
use policy::placement::Salt;
use policy::shadow::Draw;
use serde_json::{Value, json};
use testbed::backend::{Backend, named};
use testbed::bootstrap::connection_manager;
use testbed::client::{Http, served_by};
use testbed::envoy::{Envoy, Setup};
use testbed::statistics::assert_share;
use testbed::{load, wait_until};

use super::stage::{copies, main_and_copy, wait_for_outcome};

#[tokio::test(flavor = "multi_thread")]
async fn with_sample_key_all_or_none_of_a_users_requests_are_copied() {
    const USERS: u64 = 400;
    let (envoy, backends) =
        main_and_copy(json!({ "fraction": 0.3, "sample": "key", "max_in_flight": 10_000 }), |_| ()).await;
    let client = envoy.client(Http::V1);
    let tally = load::send_each(USERS * 3, move |n| {
        let client = client.clone();
        async move { client.get("/", &[("x-serve-shard-key", &format!("user-{}", n % USERS))]).await }
    })
    .await;
    assert_eq!(tally.failed, 0);
    let (draw, salt) = (Draw::new("copy", 0.3), Salt::new("e"));
    let is_in = |user: &String| draw.takes(salt.point(user.as_bytes()));
    let expected: BTreeSet<_> = (0..USERS).map(|n| format!("user-{n}")).filter(is_in).collect();
    assert_share(expected.len() as u64, USERS, 0.3, "users");
    wait_for_outcome(&envoy, "copy", "2xx", 3 * expected.len() as u64).await;
    let mut by_user = BTreeMap::new();
    for copy in named(&backends, "copy").take_received() {
        *by_user.entry(copy.header("x-serve-shard-key").concat()).or_insert(0) += 1;
    }
    assert_eq!(by_user, expected.into_iter().map(|user| (user, 3)).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_policy_changes_host_and_headers_of_copies() {
    let shadow = json!({
        "fraction": 1, "host": "shadow.example:8080",
        "headers": { "set": { "X-Env": "shadow", "accept": "none" }, "remove": ["Authorization"] }
    });
    let (envoy, backends) = main_and_copy(shadow, |_| ()).await;
    let headers = [("authorization", "secret"), ("accept", "a"), ("accept", "b"), ("x-kept", "1")];
    envoy.client(Http::V1).get("/", &headers).await.unwrap();
    let copy = copies(&backends, 1).await.pop().unwrap();
    assert_eq!(copy.header("host"), ["shadow.example:8080"]);
    assert_eq!(copy.header("authorization"), Vec::<String>::new());
    assert_eq!(copy.header("accept"), ["none"]);
    assert_eq!(copy.header("x-env"), ["shadow"]);
    assert_eq!(copy.header("x-kept"), ["1"]);
    let original = named(&backends, "main").take_received().pop().unwrap();
    assert_eq!((original.header("authorization"), original.header("x-env")), (vec!["secret".to_owned()], vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn envoys_own_mirror_copies_a_body_of_any_size() {
    let (envoy, backends) = main_and_copy(json!({ "fraction": 1, "via": "mirror" }), |_| ()).await;
    let body: Vec<u8> = (0..5_000_000_u32).map(|n| (n % 251) as u8).collect();
    let headers: [(&str, &[u8]); 1] = [("x-traffic-mirror", b"main")];
    let answer = envoy.client(Http::V1).send("PUT", "/big?x=1", headers, body.clone()).await.unwrap();
    assert_eq!(served_by(&answer), Some("main"));
    let copy = copies(&backends, 1).await.pop().unwrap();
    assert!(copy.body == body, "the copy differs");
    assert_eq!((copy.method.as_str(), copy.path.as_str()), ("PUT", "/big?x=1"));
    assert_eq!(copy.header("x-traffic-shadow"), ["copy"]);
    assert_eq!(copy.header("x-traffic-mirror"), Vec::<String>::new());
    assert_eq!(envoy.outcomes("copy", "mirrored").await.unwrap(), 1);
    // A marked request is not mirrored again.
    envoy.client(Http::V1).get("/", &[("x-traffic-shadow", "copy")]).await.unwrap();
    assert_eq!(envoy.outcomes("copy", "skipped_marked").await.unwrap(), 1);
    assert_eq!(named(&backends, "copy").count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_never_controls_the_mirror_even_where_only_the_filter_prevents_that() {
    let backends = Backend::start_all(["main", "copy"]).await.unwrap();
    let policy = json!({ "endpoints": [
        { "name": "mirrored", "route": "/mirrored", "traffic": { "main": 1 },
          "shadow": { "copy": { "fraction": 1, "via": "mirror" } } },
        { "name": "plain", "route": "/plain", "traffic": { "main": 1 } },
    ] });
    let adapt = |bootstrap: &mut Value| {
        let manager = connection_manager(bootstrap).as_object_mut().unwrap();
        manager.remove("early_header_mutation_extensions").unwrap();
    };
    let envoy = Envoy::start(&Setup { adapt, ..Setup::new(policy.to_string(), &backends) }).await.unwrap();
    let client = envoy.client(Http::V1);
    let answer = client.get("/plain", &[("x-traffic-mirror", "copy")]).await.unwrap();
    assert_eq!(served_by(&answer), Some("main"));
    assert_eq!(client.get("/nowhere", &[("x-traffic-mirror", "copy")]).await.unwrap().status(), StatusCode::NOT_FOUND);
    // Mirrored requests leave with their primary. When this one has come, all others have left.
    client.get("/mirrored", &[("x-traffic-mirror", "main")]).await.unwrap();
    wait_until("the copy comes", async || named(&backends, "copy").count() > 0).await.unwrap();
    assert_eq!((named(&backends, "main").count(), named(&backends, "copy").count()), (2, 1));
}
