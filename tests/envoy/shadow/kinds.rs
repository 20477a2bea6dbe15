//! Copies of each kind of request.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body_util::channel::Channel;
use serde_json::json;
use testbed::backend::{Backend, Behaviour, named};
use testbed::bootstrap::{allow_tunnels, clusters, speak_http2};
use testbed::client::{Http, served_by};
use testbed::envoy::{Envoy, Setup};
use testbed::policies::shadowed;
use testbed::socket::{connect_and_send, read_until};
use testbed::wait_until;
use tokio::io::AsyncWriteExt;

use super::stage::{copies, echo_after, essence, main_and_copy, wait_for_outcome};

#[tokio::test(flavor = "multi_thread")]
async fn the_copy_lacks_trailers_and_a_metric_counts_that() {
    let (envoy, backends) =
        main_and_copy(json!(1), |bootstrap| clusters(bootstrap).iter_mut().for_each(speak_http2)).await;
    let (mut sender, body) = Channel::new(1);
    let client = envoy.client(Http::V2);
    let request = tokio::spawn(async move { client.send_body("POST", "/", [], body).await });
    sender.send_data("body".into()).await.unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("x-checksum", "1".parse().unwrap());
    sender.send_trailers(trailers).await.unwrap();
    drop(sender);
    assert_eq!(served_by(&request.await.unwrap().unwrap()), Some("main"));
    let original = named(&backends, "main").take_received().pop().unwrap();
    assert_eq!(original.trailers, [("x-checksum".to_owned(), b"1".to_vec())]);
    let copy = copies(&backends, 1).await.pop().unwrap();
    assert_eq!((copy.body, copy.trailers), (original.body, Vec::new()));
    let omitted = [("backend", "copy"), ("part", "trailers")];
    assert_eq!(envoy.metric("traffic_policy_shadow_omitted_total", &omitted).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grpc_call_is_copied() {
    let (envoy, backends) =
        main_and_copy(json!(1), |bootstrap| clusters(bootstrap).iter_mut().for_each(speak_http2)).await;
    let message: &[u8] = b"\0\0\0\0\x05hello";
    let headers: [(&str, &[u8]); 3] =
        [("content-type", b"application/grpc"), ("te", b"trailers"), ("grpc-timeout", b"1S")];
    let answer = envoy.client(Http::V2).send("POST", "/package.Service/Method", headers, message).await.unwrap();
    assert_eq!(served_by(&answer), Some("main"));
    let original = named(&backends, "main").take_received().pop().unwrap();
    let copy = copies(&backends, 1).await.pop().unwrap();
    assert_eq!(essence(&copy), essence(&original));
    assert_eq!(copy.header("te"), ["trailers"]);
    assert_eq!(copy.body, message);
    wait_for_outcome(&envoy, "copy", "2xx", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn head_and_answers_without_a_body_are_copied() {
    let (envoy, backends) = main_and_copy(json!(1), |_| ()).await;
    for http in [Http::V1, Http::V2] {
        let client = envoy.client(http);
        for (method, status) in
            [("HEAD", StatusCode::OK), ("GET", StatusCode::NO_CONTENT), ("DELETE", StatusCode::NO_CONTENT)]
        {
            for backend in &backends {
                backend.behave(Behaviour { status: Some(status), body_bytes: Some(0), ..Behaviour::default() });
            }
            let answer = client.send(method, "/", [], Bytes::new()).await.unwrap();
            assert_eq!(answer.status(), status);
            let copy = copies(&backends, 1).await.pop().unwrap();
            assert_eq!(essence(&copy), essence(&named(&backends, "main").take_received().pop().unwrap()));
        }
    }
    wait_for_outcome(&envoy, "copy", "2xx", 6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_expects_100_continue_is_copied() {
    let (envoy, backends) = main_and_copy(json!(1), |_| ()).await;
    let head = "PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n";
    let mut stream = connect_and_send(envoy.address, head).await.unwrap();
    assert!(read_until(&mut stream, "\r\n\r\n").await.unwrap().starts_with("HTTP/1.1 100 "));
    stream.write_all(b"body").await.unwrap();
    assert!(read_until(&mut stream, "main\n").await.unwrap().starts_with("HTTP/1.1 200 "));
    let copy = copies(&backends, 1).await.pop().unwrap();
    assert_eq!((copy.method.as_str(), &copy.body[..]), ("PUT", b"body".as_slice()));
    assert_eq!(copy.header("expect"), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunked_request_is_copied_with_its_length() {
    let (envoy, backends) = main_and_copy(json!(1), |_| ()).await;
    let text = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    let mut stream = connect_and_send(envoy.address, text).await.unwrap();
    assert!(read_until(&mut stream, "main\n").await.unwrap().starts_with("HTTP/1.1 200 "));
    let copy = copies(&backends, 1).await.pop().unwrap();
    assert_eq!((&copy.body[..], copy.header("content-length")), (b"abcde".as_slice(), vec!["5".to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_the_client_aborts_is_not_copied() {
    let (envoy, backends) = main_and_copy(json!(1), |_| ()).await;
    let stream =
        connect_and_send(envoy.address, "PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nhalf").await.unwrap();
    wait_until("the half comes", async || named(&backends, "main").body_bytes() == 4).await.unwrap();
    drop(stream);
    wait_for_outcome(&envoy, "copy", "skipped_incomplete", 1).await;
    assert_eq!(named(&backends, "copy").count(), 0);
}

/// Sends `request`, waits for `answer`, and sends bytes back and forth through the tunnel. Nothing
/// may be copied.
async fn tunnel(request: &str, upstream: SocketAddr, answer: &str) {
    let copy = Backend::start_all(["copy"]).await.unwrap();
    let mut setup = Setup { adapt: allow_tunnels, ..Setup::new(shadowed(json!({ "copy": 1 })), &copy) };
    setup.clusters.push(("main".to_owned(), upstream));
    let envoy = Envoy::start(&setup).await.unwrap();
    let mut stream = connect_and_send(envoy.address, request).await.unwrap();
    let head = read_until(&mut stream, "\r\n\r\n").await.unwrap();
    assert!(head.starts_with(answer), "{head}");
    for _ in 0..3 {
        stream.write_all(b"ping.").await.unwrap();
        assert_eq!(read_until(&mut stream, ".").await.unwrap(), "ping.");
    }
    wait_for_outcome(&envoy, "copy", "skipped_upgrade", 1).await;
    drop(stream);
    // The upstream does not answer a plain request, whose copy would wait for that. So the filter
    // decides about the copy when the client is gone.
    let plain = connect_and_send(envoy.address, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    wait_until("the plain request ends", async || {
        envoy.stat("http.main.downstream_rq_total").await.is_ok_and(|count| count == 2)
    })
    .await
    .unwrap();
    drop(plain);
    wait_until("the copy of the plain request has an outcome", async || envoy.all_outcomes("copy").await.unwrap() == 2)
        .await
        .unwrap();
    assert!(copy[0].count() <= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_is_not_copied() {
    let answer = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    let request = "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    tunnel(request, echo_after(answer).await, "HTTP/1.1 101 ").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connect_is_not_copied() {
    tunnel("CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n\r\n", echo_after("").await, "HTTP/1.1 200 ").await;
}
