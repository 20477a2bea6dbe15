//! Upstreams that close connections, hang or answer with garbage.

use std::net::SocketAddr;

use http::StatusCode;
use serde_json::json;
use testbed::backend::{Backend, named};
use testbed::bootstrap::{connection_manager, routes};
use testbed::client::{Answer, Http, served_by};
use testbed::envoy::{Envoy, Setup};
use testbed::policies::shadowed;
use testbed::socket::serve_each;
use testbed::{PATIENCE, wait_until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How an upstream fails after it has read the head of a request.
#[derive(Clone, Copy)]
enum Fault {
    /// Sends this string, and closes the connection.
    Sends(&'static str),
    /// Resets the connection.
    Resets,
    /// Sends nothing, and keeps the connection open.
    Hangs,
}

/// An upstream with this fault on every connection.
async fn faulty(fault: Fault) -> SocketAddr {
    let serve = move |mut stream: TcpStream| async move {
        let mut head = [0; 4096];
        let _ = stream.read(&mut head).await;
        match fault {
            Fault::Sends(text) => stream.write_all(text.as_bytes()).await.unwrap(),
            Fault::Resets => stream.set_zero_linger().unwrap(),
            Fault::Hangs => std::future::pending().await,
        }
    };
    serve_each(serve).await.unwrap()
}

/// The status and body of an answer, or `None` if it did not come whole.
fn essence(answer: anyhow::Result<Answer>) -> Option<(StatusCode, Vec<u8>)> {
    answer.ok().map(|answer| (answer.status(), answer.body().to_vec()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_primary_fails_as_without_shadows_and_its_copies_are_sent() {
    const REQUESTS: u64 = 5;
    let faults = [
        ("half-a-body", Fault::Sends("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"), None, "2xx"),
        ("half-a-chunk", Fault::Sends("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nff\r\nhalf"), None, "2xx"),
        ("half-a-head", Fault::Sends("HTTP/1.1 200 OK\r\nx-a: "), Some(502), "5xx"),
        ("garbage", Fault::Sends("\0\u{1}garbage\r\n\r\n"), Some(502), "5xx"),
        ("a-bad-length", Fault::Sends("HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n"), Some(502), "5xx"),
        ("nothing", Fault::Sends(""), Some(503), "5xx"),
        ("resets", Fault::Resets, Some(503), "5xx"),
        ("hangs", Fault::Hangs, Some(504), "5xx"),
    ];
    let backends = Backend::start_all(["copy", "good"]).await.unwrap();
    let mut setup = Setup {
        adapt: |bootstrap| {
            routes(bootstrap)[0]["route"]["timeout"] = json!("0.3s");
            connection_manager(bootstrap)["delayed_close_timeout"] = json!("0.01s");
        },
        ..Setup::new("", &backends)
    };
    let mut endpoints =
        vec![json!({ "name": "good", "route": "/good", "traffic": { "good": 1 }, "shadow": { "copy": 1 } })];
    for (name, fault, ..) in faults {
        setup.clusters.push((name.to_owned(), faulty(fault).await));
        let endpoint = json!({ "name": name, "route": format!("/{name}"), "traffic": { name: 1 } });
        let mut copied = endpoint.clone();
        copied["name"] = json!(format!("{name}-copied"));
        copied["route"] = json!(format!("/{name}-copied"));
        copied["shadow"] = json!({ "copy": 1 });
        endpoints.extend([endpoint, copied]);
    }
    setup.policy = json!({ "endpoints": endpoints }).to_string();
    let envoy = Envoy::start(&setup).await.unwrap();
    let client = envoy.client(Http::V1);
    for (name, _, status, class) in faults {
        for _ in 0..REQUESTS {
            let alone = essence(client.send("POST", &format!("/{name}"), [], "body").await);
            let copied = essence(client.send("POST", &format!("/{name}-copied"), [], "body").await);
            assert_eq!(alone, copied, "{name}");
            assert_eq!(alone.map(|(status, _)| status.as_u16()), status, "{name}");
        }
        let answer = client.get("/good", &[]).await.unwrap();
        assert_eq!(served_by(&answer), Some("good"), "after {name}");
        for name in [name.to_owned(), format!("{name}-copied")] {
            let labels = [("endpoint", name.as_str()), ("code_class", class)];
            let counted = async || envoy.metric("traffic_policy_responses_total", &labels).await.unwrap();
            wait_until("the responses are counted", async || counted().await == REQUESTS).await.unwrap();
        }
        let labels = [("endpoint", format!("{name}-copied")), ("result", "2xx".to_owned())];
        let labels = labels.each_ref().map(|(key, value)| (*key, value.as_str()));
        let copies = async || envoy.metric("traffic_policy_shadow_total", &labels).await.unwrap();
        wait_until("the copies are answered", async || copies().await == REQUESTS).await.unwrap_or_else(|error| {
            panic!("{name}: {error}");
        });
    }
    wait_until("nothing is in flight", async || envoy.in_flight_of_all().await.unwrap() == 0).await.unwrap();
    let sent = (faults.len() as u64) * (REQUESTS + 1);
    wait_until("each copy has come", async || named(&backends, "copy").count() == sent).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_request_is_not_copied_when_the_primary_answers_early() {
    let early = faulty(Fault::Sends("HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\nearly\n")).await;
    let copy = Backend::start_all(["copy"]).await.unwrap();
    let mut setup = Setup::new(shadowed(json!({ "copy": 1 })), &copy);
    setup.clusters.push(("main".to_owned(), early));
    let envoy = Envoy::start(&setup).await.unwrap();
    let mut stream = TcpStream::connect(envoy.address).await.unwrap();
    stream.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nhalf").await.unwrap();
    let mut answer = String::new();
    let reading = tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer));
    reading.await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("early\n"), "{answer}");
    let skipped = async || envoy.outcomes("copy", "skipped_incomplete").await.unwrap();
    wait_until("the copy is skipped", async || skipped().await == 1).await.unwrap();
    assert_eq!(copy[0].count(), 0);
}
