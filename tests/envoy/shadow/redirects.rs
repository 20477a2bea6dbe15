//! Requests that Envoy redirects internally: each begins again as a new request, with the headers of
//! the old one, changed.

use std::net::SocketAddr;

use serde_json::{Value, json};
use testbed::backend::{Backend, named};
use testbed::bootstrap::routes;
use testbed::client::{Http, served_by};
use testbed::envoy::{Envoy, Setup};
use testbed::socket::{read_until, serve_each};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::stage::{copies, wait_for_outcome};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_envoy_redirects_is_copied_as_the_request_that_it_becomes_and_not_as_both() {
    for (status, method, body) in [("303 See Other", "GET", ""), ("307 Temporary Redirect", "POST", "body")] {
        let (envoy, backends) = redirecting(status).await;
        let answer = envoy.client(Http::V1).send("POST", "/one", [], "body").await.unwrap();
        assert_eq!(served_by(&answer), Some("main"), "{status}");
        let original = named(&backends, "main").take_received().pop().unwrap();
        let copy = copies(&backends, 1).await.pop().unwrap();
        for (received, shadow) in [(&original, ""), (&copy, "-shadow")] {
            let head = (received.method.as_str(), received.path.as_str(), &received.body[..]);
            assert_eq!(head, (method, "/two?from=one", body.as_bytes()), "{status}");
            let host = received.header("host");
            assert!(host == ["other.test"] || host == [format!("other.test{shadow}")], "{status}: {host:?}");
        }
        let of = |endpoint, result| [("endpoint", endpoint), ("backend", "copy"), ("result", result)];
        wait_for_outcome(&envoy, "copy", "2xx", 1).await;
        wait_for_outcome(&envoy, "copy", "skipped_redirected", 1).await;
        for (endpoint, result) in [("one", "skipped_redirected"), ("two", "2xx")] {
            let count = envoy.metric("traffic_policy_shadow_total", &of(endpoint, result)).await.unwrap();
            assert_eq!(count, 1, "{status}: {endpoint} {result}");
        }
        assert_eq!(envoy.all_outcomes("copy").await.unwrap(), 2, "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_that_reaches_the_client_is_copied() {
    let (envoy, backends) = redirecting("308 Permanent Redirect").await;
    let answer = envoy.client(Http::V1).send("POST", "/one", [], "body").await.unwrap();
    assert_eq!(answer.status(), 308);
    let copy = copies(&backends, 1).await.pop().unwrap();
    assert_eq!((copy.method.as_str(), copy.path.as_str(), &copy.body[..]), ("POST", "/one", b"body".as_slice()));
}

/// An Envoy that redirects 303 and 307 internally, and whose endpoint `one` answers with a redirect
/// to the endpoint `two`. Both are copied.
async fn redirecting(status: &'static str) -> (Envoy, Vec<Backend>) {
    let backends = Backend::start_all(["main", "copy"]).await.unwrap();
    backends.iter().for_each(Backend::remember);
    let endpoint = |name: &str, backend: &str| json!({ "name": name, "route": format!("/{name}"), "traffic": { backend: 1 }, "shadow": { "copy": 1 } });
    let policy = json!({ "endpoints": [endpoint("one", "old"), endpoint("two", "main")] });
    let mut setup = Setup { adapt: redirect_internally, ..Setup::new(policy.to_string(), &backends) };
    setup.clusters.push(("old".to_owned(), redirects(status).await));
    (Envoy::start(&setup).await.unwrap(), backends)
}

fn redirect_internally(bootstrap: &mut Value) {
    for route in routes(bootstrap) {
        if let Some(route) = route.get_mut("route") {
            route["internal_redirect_policy"] = json!({ "redirect_response_codes": [303, 307] });
        }
    }
}

/// A server that answers a POST of `body` with a redirect.
async fn redirects(status: &'static str) -> SocketAddr {
    let serve = move |mut stream: TcpStream| async move {
        while read_until(&mut stream, "body").await.is_ok() {
            let head =
                format!("HTTP/1.1 {status}\r\nlocation: http://other.test/two?from=one\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
        }
    };
    serve_each(serve).await.unwrap()
}
