//! Generated keys, which clients get as a cookie.

use serde_json::json;
use testbed::backend::Backend;
use testbed::client::{Http, served_by};
use testbed::envoy::{Envoy, Setup};
use testbed::policies::one_endpoint;
use testbed::statistics::assert_share;

#[tokio::test(flavor = "multi_thread")]
async fn a_generated_cookie_keeps_its_client_on_one_backend_from_the_first_request_on() {
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
                assert_eq!(set, Vec::<String>::new(), "a client with a cookie gets another one");
                continue;
            }
            let [set] = set.try_into().unwrap();
            let (pair, attributes) = set.split_once("; ").unwrap();
            assert_eq!(attributes, "Path=/; Max-Age=3600; SameSite=Lax; Secure; HttpOnly");
            assert_eq!(pair.len(), "tid=".len() + 32, "{pair}");
            // A browser sends it among other cookies.
            *jar = format!("theme=dark; {pair}");
        }
        // All five rounds give the same backends, including the first, without a cookie.
        if round == 0 {
            first = placed;
            let on_canary = first.iter().filter(|backend| *backend == "canary").count() as u64;
            assert_share(on_canary, CLIENTS as u64, 0.2, "new clients");
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
    // A client with its own key gets no cookie.
    let answer = client.get("/", &[("x-user", "u")]).await.unwrap();
    assert!(!answer.headers().contains_key("set-cookie"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_cookie_could_not_come_back_leaves_its_client_where_it_is() {
    let backends = Backend::start_all(["stable", "canary"]).await.unwrap();
    let policy = one_endpoint(json!({
        "name": "e", "traffic": { "stable": 0.5, "canary": 0.5 },
        "affinity": { "keys": [], "on_missing": "generate_cookie",
            "cookie": { "name": "id", "path": "/app", "domain": "example.com", "partitioned": true } },
    }));
    let envoy = Envoy::start(&Setup::new(policy, &backends)).await.unwrap();
    let client = envoy.client(Http::V1);
    let preflight = [("origin", "https://a.example"), ("access-control-request-method", "PUT")];
    for n in 0..60 {
        let answer = client.get("/app/start?page=1", &[("host", "www.example.com")]).await.unwrap();
        let backend = served_by(&answer).unwrap().to_owned();
        let set = answer.headers()["set-cookie"].to_str().unwrap();
        let (pair, attributes) = set.split_once("; ").unwrap();
        assert_eq!(attributes, "Path=/app; Domain=example.com; SameSite=Lax; Secure; HttpOnly; Partitioned");
        let cookie = pair.to_owned();
        // A browser sends these without the cookie.
        let others = [
            ("GET", "/favicon.ico", "www.example.com", &[][..]),
            ("GET", "/apple", "www.example.com", &[]),
            ("OPTIONS", "/app/save", "www.example.com", &preflight),
            ("GET", "/app/start", "elsewhere.example", &[]),
        ];
        for (method, path, host, headers) in others {
            let headers = headers.iter().copied().chain([("host", host)]);
            let headers = headers.map(|(name, value)| (name, value.as_bytes()));
            let answer = client.send(method, path, headers, bytes::Bytes::new()).await.unwrap();
            assert!(!answer.headers().contains_key("set-cookie"), "{method} {path} to {host} gets a cookie");
        }
        let answer = client.get("/app/next", &[("host", "example.com"), ("cookie", &cookie)]).await.unwrap();
        assert_eq!(served_by(&answer), Some(&*backend), "client {n}");
        assert!(!answer.headers().contains_key("set-cookie"));
    }
    for (reason, count) in [("generated", 60), ("key", 60), ("random", 240)] {
        let labels = [("reason", reason)];
        assert_eq!(envoy.metric("traffic_policy_requests_total", &labels).await.unwrap(), count, "{reason}");
    }
}
