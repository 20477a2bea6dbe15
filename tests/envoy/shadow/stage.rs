//! The Envoy and the backends that these tests share.

use std::net::SocketAddr;

use bytes::Bytes;
use serde_json::{Value, json};
use testbed::backend::{Backend, Received, named};
use testbed::envoy::{Envoy, Setup};
use testbed::policies::shadowed;
use testbed::socket::{read_until, serve_each};
use testbed::wait_until;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// The parts of a request that a copy must have unchanged.
pub(crate) fn essence(received: &Received) -> (String, String, Bytes, Vec<(String, Vec<u8>)>) {
    let differs = |name: &str| {
        name.starts_with("x-envoy-")
            || ["x-traffic-shadow", "content-length", "transfer-encoding", "expect"].contains(&name)
    };
    let headers = received.headers.iter().filter(|(name, _)| !differs(name)).cloned().collect();
    (received.method.clone(), received.path.clone(), received.body.clone(), headers)
}

/// Waits until exactly `count` copies for `backend` have had this result.
pub(crate) async fn wait_for_outcome(envoy: &Envoy, backend: &str, result: &str, count: u64) {
    let what = format!("{count} of {result} for {backend}");
    wait_until(&what, async || envoy.outcomes(backend, result).await.unwrap() == count).await.unwrap_or_else(|error| {
        panic!("{error}");
    });
}

/// An Envoy whose only endpoint goes to `main` and is copied to `copy`, and these two backends,
/// which remember requests.
pub(crate) async fn main_and_copy(shadow: Value, adapt: fn(&mut Value)) -> (Envoy, Vec<Backend>) {
    let backends = Backend::start_all(["main", "copy"]).await.unwrap();
    backends.iter().for_each(Backend::remember);
    let policy = shadowed(json!({ "copy": shadow }));
    let envoy = Envoy::start(&Setup { adapt, ..Setup::new(policy, &backends) }).await.unwrap();
    (envoy, backends)
}

/// Waits for `count` copies and returns them. There must be no more.
pub(crate) async fn copies(backends: &[Backend], count: u64) -> Vec<Received> {
    let copy = named(backends, "copy");
    wait_until("the copies come", async || copy.count() >= count).await.unwrap();
    assert_eq!(copy.take_count(), count);
    copy.take_received()
}

/// A server that answers the first request of a connection with `answer`, and then sends back
/// whatever it gets.
pub(crate) async fn echo_after(answer: &'static str) -> SocketAddr {
    let serve = move |mut stream: TcpStream| async move {
        if !answer.is_empty() {
            read_until(&mut stream, "\r\n\r\n").await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        let (mut reader, mut writer) = stream.split();
        // The client ends the connection, in whatever way.
        let _ = tokio::io::copy(&mut reader, &mut writer).await;
    };
    serve_each(serve).await.unwrap()
}
