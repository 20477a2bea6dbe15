//! Shadow traffic in a real Envoy: what is copied, what becomes of it, and that no user notices.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body_util::channel::Channel;
use serde_json::{Value, json};
use testbed::backend::{Backend, Behaviour, Received, named};
use testbed::client::{Client, Http, served_by};
use testbed::envoy::{Envoy, Setup, Verdict, one_endpoint, shadowed};
use testbed::load;
use testbed::statistics::{FALSE_ALARM, binomial_bounds, independence_p};
use testbed::wait_until;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use traffic_policy::placement::Salt;
use traffic_policy::shadow::Draw;

/// What both the upstream and the shadow were sent, without what differs on purpose.
fn essence(received: &Received) -> (String, String, Bytes, Vec<(String, Vec<u8>)>) {
    let differs = |name: &str| {
        name.starts_with("x-envoy-")
            || ["x-traffic-shadow", "content-length", "transfer-encoding", "expect"].contains(&name)
    };
    let headers = received.headers.iter().filter(|(name, _)| !differs(name)).cloned().collect();
    (received.method.clone(), received.path.clone(), received.body.clone(), headers)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_the_request_with_a_marker() {
    let backends = Backend::start_all(["main", "copy"]).await.unwrap();
    backends.iter().for_each(Backend::remember);
    let envoy = Envoy::start(&Setup::new(shadowed(json!({ "copy": 1 })), &backends)).await.unwrap();
    let large: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
    let headers: [(&str, &[u8]); 5] = [
        ("accept", b"a"),
        ("cookie", b"session=1"),
        ("accept", b"b"),
        ("x-envoy-of-the-client", b"1"),
        ("x-empty", b""),
    ];
    let requests = [("GET", "/a?q=1&q=2", Vec::new()), ("POST", "/b", b"body".to_vec()), ("PUT", "/c%2F/", large)];
    for http in [Http::V1, Http::V2] {
        let client = envoy.client(http);
        for (method, path, body) in &requests {
            let answer = client.send(method, path, headers, body.clone()).await.unwrap();
            assert_eq!(served_by(&answer), Some("main"));
            wait_until("the copy comes", async || named(&backends, "copy").count() == 1).await.unwrap();
            named(&backends, "copy").take_count();
            let (original, copy) = (
                named(&backends, "main").take_received().pop().unwrap(),
                named(&backends, "copy").take_received().pop().unwrap(),
            );
            assert_eq!(essence(&original), essence(&copy), "{method} {path} over {http:?}");
            assert_eq!(copy.header("x-traffic-shadow"), ["copy"]);
            assert_eq!(original.header("x-traffic-shadow"), Vec::<String>::new());
            assert_eq!(original.header("x-envoy-of-the-client"), ["1"]);
            assert_eq!(copy.header("x-envoy-of-the-client"), Vec::<String>::new());
        }
    }
    wait_until("all answers are counted", async || envoy.outcomes("copy", "2xx").await.unwrap() == 6).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_larger_than_the_limit_is_served_and_not_copied() {
    let backends = Backend::start_all(["main", "copy"]).await.unwrap();
    backends.iter().for_each(Backend::remember);
    let envoy = Envoy::start(&Setup::new(shadowed(json!({ "copy": 1 })), &backends)).await.unwrap();
    let client = envoy.client(Http::V1);
    for size in [(1 << 20) + 1, 1 << 20] {
        let answer = client.send("POST", "/", [], vec![b'x'; size]).await.unwrap();
        assert_eq!(served_by(&answer), Some("main"));
        assert_eq!(named(&backends, "main").take_received().pop().unwrap().body.len(), size);
    }
    wait_until("the copy of the smaller comes", async || named(&backends, "copy").count() > 0).await.unwrap();
    let sizes: Vec<_> = named(&backends, "copy").take_received().iter().map(|copy| copy.body.len()).collect();
    assert_eq!(sizes, [1 << 20]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_outlives_its_request_and_holds_up_nobody() {
    let backends = Backend::start_all(["main", "slow"]).await.unwrap();
    named(&backends, "slow").answer_after(Duration::from_secs(1));
    for workers in [1, 2] {
        let policy = shadowed(json!({ "slow": 1, "nowhere": 1 }));
        let envoy = Envoy::start(&Setup { workers, ..Setup::new(policy, &backends) }).await.unwrap();
        let start = Instant::now();
        for _ in 0..20 {
            // A client of its own for each: it is gone before the shadow answers.
            let answer = envoy.client(Http::V1).get("/", &[]).await.unwrap();
            assert_eq!(served_by(&answer), Some("main"));
        }
        let time = start.elapsed();
        assert!(time < Duration::from_secs(10), "twenty requests took {time:?}: they waited for the shadow");
        wait_until("each copy's answer is counted", async || envoy.outcomes("slow", "2xx").await.unwrap() == 20)
            .await
            .unwrap();
        assert_eq!(envoy.outcomes("nowhere", "unknown_cluster").await.unwrap(), 20);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_in_flight_are_waited_for_when_the_policy_changes() {
    let backends = Backend::start_all(["main", "slow"]).await.unwrap();
    named(&backends, "slow").answer_after(Duration::from_secs(3));
    let policy = shadowed(json!({ "slow": 1 }));
    let envoy = Envoy::start(&Setup { workers: 2, ..Setup::new(policy, &backends) }).await.unwrap();
    let client = envoy.client(Http::V1);
    for round in 1..=2 {
        let tally = load::send(&client, "/", 20).await;
        assert_eq!(tally.failed, 0);
        let other = shadowed(json!({ "slow": 1, "other": 0, format!("round-{round}"): 0 }));
        assert_eq!(envoy.apply(&other).await.unwrap(), Verdict::InForce);
        let answered = envoy.outcomes("slow", "2xx").await.unwrap();
        assert!(answered < round * 20, "the change came too late to show anything");
        wait_until("each copy's answer is counted", async || {
            envoy.outcomes("slow", "2xx").await.unwrap() == round * 20
        })
        .await
        .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shadows_get_their_fractions_independently_of_each_other_and_of_the_split() {
    let backends = Backend::start_all(["stable", "canary", "a", "b"]).await.unwrap();
    backends.iter().for_each(Backend::remember);
    let policy = one_endpoint(json!({
        "name": "e", "traffic": { "stable": 0.9, "canary": 0.1 }, "shadow": { "a": 0.5, "b": 0.1, "canary": 0.1 }
    }));
    let envoy = Envoy::start(&Setup { workers: 2, ..Setup::new(policy, &backends) }).await.unwrap();
    let client = envoy.client(Http::V1);
    let count = 20_000;
    let tally = load::send_each(count, move |n| {
        let client = client.clone();
        async move { client.get("/", &[("x-n", &n.to_string())]).await }
    })
    .await;
    assert_eq!(tally.failed, 0);
    let requested: u64 = tally.total();
    let copies = async || {
        let mut sum = 0;
        for shadow in ["a", "b", "canary"] {
            sum += envoy.outcomes(shadow, "2xx").await.unwrap();
        }
        sum
    };
    let received = || backends.iter().map(Backend::count).sum::<u64>();
    wait_until("each copy is counted", async || copies().await == received() - requested).await.unwrap();

    let mut rows = vec![[false; 4]; 20_000];
    for backend in &backends {
        for received in backend.take_received() {
            let n: usize = received.header("x-n").pop().unwrap().parse().unwrap();
            let column = match (backend.name.as_str(), received.header("x-traffic-shadow").is_empty()) {
                ("stable", true) => continue,
                ("canary", true) => 0,
                ("a", false) => 1,
                ("b", false) => 2,
                ("canary", false) => 3,
                other => panic!("unexpected at {other:?}"),
            };
            assert!(!rows[n][column], "request {n} came twice to {}", backend.name);
            rows[n][column] = true;
        }
    }
    for (column, share) in [0.1, 0.5, 0.1, 0.1].into_iter().enumerate() {
        let seen = rows.iter().filter(|row| row[column]).count() as u64;
        let (low, high) = binomial_bounds(count, share, FALSE_ALARM);
        assert!((low..=high).contains(&seen), "column {column}: {seen}, {low} to {high} expected");
        for other in 0..column {
            let mut table = vec![vec![0; 2]; 2];
            for row in &rows {
                table[usize::from(row[column])][usize::from(row[other])] += 1;
            }
            let p = independence_p(&table);
            assert!(p > FALSE_ALARM, "{column} and {other} are tied: {table:?}, p = {p}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_not_utf_8_neither_crash_the_filter_nor_reach_the_copy() {
    let backends = Backend::start_all(["main", "copy"]).await.unwrap();
    backends.iter().for_each(Backend::remember);
    let envoy = Envoy::start(&Setup::new(shadowed(json!({ "copy": 1 })), &backends)).await.unwrap();
    let client: Client = envoy.client(Http::V1);
    let headers: [(&str, &[u8]); 3] =
        [("x-serve-shard-key", b"\xff\xfe"), ("x-bytes", b"\x80"), ("x-text", "h\u{e4}ns".as_bytes())];
    let answer = client.send("GET", "/", headers, Bytes::new()).await.unwrap();
    assert_eq!(served_by(&answer), Some("main"));
    wait_until("the copy comes", async || named(&backends, "copy").count() == 1).await.unwrap();
    let copy = named(&backends, "copy").take_received().pop().unwrap();
    assert_eq!(copy.header("x-bytes"), Vec::<String>::new());
    assert_eq!(copy.header("x-text"), ["h\u{e4}ns"]);
    assert_eq!(envoy.stat("wasm.traffic-policy.vm_reload").await.unwrap(), 0);
}

async fn wait_for_outcome(envoy: &Envoy, backend: &str, result: &str, count: u64) {
    let what = format!("{count} of {result} for {backend}");
    wait_until(&what, async || envoy.outcomes(backend, result).await.unwrap() == count).await.unwrap_or_else(|error| {
        panic!("{error}");
    });
}

/// An Envoy whose one endpoint goes to `main` and is copied to `copy`, and its backends, which remember.
async fn main_and_copy(shadow: Value, adapt: fn(&mut Value)) -> (Envoy, Vec<Backend>) {
    let backends = Backend::start_all(["main", "copy"]).await.unwrap();
    backends.iter().for_each(Backend::remember);
    let policy = shadowed(json!({ "copy": shadow }));
    let envoy = Envoy::start(&Setup { adapt, ..Setup::new(policy, &backends) }).await.unwrap();
    (envoy, backends)
}

async fn copies(backends: &[Backend], count: u64) -> Vec<Received> {
    let copy = named(backends, "copy");
    wait_until("the copies come", async || copy.count() >= count).await.unwrap();
    assert_eq!(copy.take_count(), count);
    copy.take_received()
}

// ---------------------------------------------------------------------------------------------- the primary never waits

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_streams_through_while_it_is_copied() {
    const CHUNK: usize = 100_000;
    const CHUNKS: usize = 100;
    let (envoy, backends) =
        main_and_copy(json!({ "fraction": 1, "max_body_bytes": 16 << 20, "timeout_ms": 20_000 }), |_| ()).await;
    let main = named(&backends, "main");
    let mut skipped = 0;
    for limit in [16 << 20, 1 << 20] {
        if limit == 1 << 20 {
            assert_eq!(envoy.apply(&shadowed(json!({ "copy": 1 }))).await.unwrap(), Verdict::InForce);
        }
        for http in [Http::V1, Http::V2] {
            let client = envoy.client(http);
            let (mut sender, body) = Channel::new(1);
            let before = main.body_bytes();
            let request = tokio::spawn(async move { client.send_body("PUT", "/upload", [], body).await });
            for n in 0..CHUNKS {
                let chunk: Vec<u8> = (0..CHUNK).map(|at| ((at * 31 + n * 7) % 251) as u8).collect();
                sender.send_data(chunk.into()).await.unwrap();
                // The next chunk is sent only when the upstream has seen this one.
                let sent = before + ((n + 1) * CHUNK) as u64;
                wait_until("the upstream sees the chunk", async || main.body_bytes() >= sent).await.unwrap();
                if limit == 1 << 20 && n == 20 {
                    // Given up in the middle of the upload, not at its end.
                    skipped += 1;
                    wait_for_outcome(&envoy, "copy", "skipped_body", skipped).await;
                }
            }
            drop(sender);
            assert_eq!(served_by(&request.await.unwrap().unwrap()), Some("main"));
            let original = main.take_received().pop().unwrap();
            assert_eq!(original.body.len(), CHUNK * CHUNKS);
            if limit == 16 << 20 {
                let copy = copies(&backends, 1).await.pop().unwrap();
                assert!(copy.body == original.body, "the copy differs");
                assert_eq!(copy.header("content-length"), [(CHUNK * CHUNKS).to_string()]);
            }
        }
    }
    assert_eq!(named(&backends, "copy").count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_holds_a_bounded_number_of_bytes_and_lets_all_of_them_go() {
    let (envoy, backends) = main_and_copy(json!({ "fraction": 1, "max_body_bytes": 16 << 20 }), |_| ()).await;
    let main = named(&backends, "main");
    for round in 1..=2 {
        let mut uploads = Vec::new();
        let before = main.body_bytes();
        // Six bodies of 12 MiB are 72 MiB, of which a worker holds 64.
        for _ in 0..6 {
            let client = envoy.client(Http::V1);
            let (mut sender, body) = Channel::new(1);
            let request = tokio::spawn(async move { client.send_body("PUT", "/", [], body).await });
            for _ in 0..12 {
                sender.send_data(vec![b'x'; 1 << 20].into()).await.unwrap();
            }
            uploads.push((sender, request));
        }
        wait_until("the uploads come in", async || main.body_bytes() == before + (72 << 20)).await.unwrap();
        wait_for_outcome(&envoy, "copy", "skipped_memory", round).await;
        for (_, request) in &uploads {
            request.abort();
        }
        // What is held is let go: the next round has as much room.
        wait_for_outcome(&envoy, "copy", "skipped_incomplete", round * 5).await;
    }
    assert_eq!(named(&backends, "copy").count(), 0);
}

// ------------------------------------------------------------------------------------------------------- kinds of requests

#[tokio::test(flavor = "multi_thread")]
async fn trailers_are_not_copied_and_this_is_counted() {
    let (envoy, backends) = main_and_copy(json!(1), |bootstrap| {
        for cluster in bootstrap["static_resources"]["clusters"].as_array_mut().unwrap() {
            http2(cluster);
        }
    })
    .await;
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

fn http2(cluster: &mut Value) {
    cluster["typed_extension_protocol_options"] = json!({ "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": { "http2_protocol_options": {} } } });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grpc_call_is_copied() {
    let (envoy, backends) = main_and_copy(json!(1), |bootstrap| {
        for cluster in bootstrap["static_resources"]["clusters"].as_array_mut().unwrap() {
            http2(cluster);
        }
    })
    .await;
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

/// Sends `text` on a connection of its own.
async fn raw(address: SocketAddr, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

/// Reads until what has come ends with `end`.
async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut seen = Vec::new();
    let reading = async {
        while !seen.ends_with(end.as_bytes()) {
            let mut byte = [0];
            assert!(stream.read(&mut byte).await.unwrap() > 0, "ended after {:?}", String::from_utf8_lossy(&seen));
            seen.push(byte[0]);
        }
    };
    let in_time = tokio::time::timeout(testbed::PATIENCE, reading).await.is_ok();
    let seen = String::from_utf8_lossy(&seen).into_owned();
    assert!(in_time, "waited in vain for {end:?} after {seen:?}");
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_expects_100_continue_is_copied() {
    let (envoy, backends) = main_and_copy(json!(1), |_| ()).await;
    let head = "PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n";
    let mut stream = raw(envoy.address, head).await;
    assert!(read_until(&mut stream, "\r\n\r\n").await.starts_with("HTTP/1.1 100 "));
    stream.write_all(b"body").await.unwrap();
    assert!(read_until(&mut stream, "main\n").await.starts_with("HTTP/1.1 200 "));
    let copy = copies(&backends, 1).await.pop().unwrap();
    assert_eq!((copy.method.as_str(), &copy.body[..]), ("PUT", b"body".as_slice()));
    assert_eq!(copy.header("expect"), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chunked_request_is_copied_with_its_length() {
    let (envoy, backends) = main_and_copy(json!(1), |_| ()).await;
    let text = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    let mut stream = raw(envoy.address, text).await;
    assert!(read_until(&mut stream, "main\n").await.starts_with("HTTP/1.1 200 "));
    let copy = copies(&backends, 1).await.pop().unwrap();
    assert_eq!((&copy.body[..], copy.header("content-length")), (b"abcde".as_slice(), vec!["5".to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_the_client_breaks_off_is_not_copied() {
    let (envoy, backends) = main_and_copy(json!(1), |_| ()).await;
    let stream = raw(envoy.address, "PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nhalf").await;
    wait_until("the half comes", async || named(&backends, "main").body_bytes() == 4).await.unwrap();
    drop(stream);
    wait_for_outcome(&envoy, "copy", "skipped_incomplete", 1).await;
    assert_eq!(named(&backends, "copy").count(), 0);
}

/// A server that answers the first request with `answer` and then sends back what it gets.
async fn echo_after(answer: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                if !answer.is_empty() {
                    read_until(&mut stream, "\r\n\r\n").await;
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
                let (mut reader, mut writer) = stream.split();
                // The client ends the connection, in whatever way.
                let _ = tokio::io::copy(&mut reader, &mut writer).await;
            });
        }
    });
    address
}

fn with_upgrades(bootstrap: &mut Value) {
    let manager =
        bootstrap.pointer_mut("/static_resources/listeners/0/filter_chains/0/filters/0/typed_config").unwrap();
    manager["upgrade_configs"] = json!([{ "upgrade_type": "websocket" }, { "upgrade_type": "CONNECT" }]);
    let routes = manager.pointer_mut("/route_config/virtual_hosts/0/routes").unwrap().as_array_mut().unwrap();
    let mut connect = routes[0].clone();
    connect["match"] = json!({ "connect_matcher": {} });
    connect["route"]["upgrade_configs"] = json!([{ "upgrade_type": "CONNECT", "connect_config": {} }]);
    routes.insert(0, connect);
}

/// Sends `request`, waits for `answer`, and plays ping-pong through the tunnel; nothing may be copied.
async fn tunnel(request: &str, upstream: SocketAddr, answer: &str) {
    let copy = Backend::start_all(["copy"]).await.unwrap();
    let mut setup = Setup { adapt: with_upgrades, ..Setup::new(shadowed(json!({ "copy": 1 })), &copy) };
    setup.clusters.push(("main".to_owned(), upstream));
    let envoy = Envoy::start(&setup).await.unwrap();
    let mut stream = raw(envoy.address, request).await;
    let head = read_until(&mut stream, "\r\n\r\n").await;
    assert!(head.starts_with(answer), "{head}");
    for _ in 0..3 {
        stream.write_all(b"ping.").await.unwrap();
        assert_eq!(read_until(&mut stream, ".").await, "ping.");
    }
    wait_for_outcome(&envoy, "copy", "skipped_upgrade", 1).await;
    drop(stream);
    // Upstream, a plain request gets no answer that a copy would wait for: it is judged when its client is gone.
    let plain = raw(envoy.address, "GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    wait_until("the plain request ends", async || {
        envoy.stat("http.main.downstream_rq_total").await.is_ok_and(|count| count == 2)
    })
    .await
    .unwrap();
    drop(plain);
    wait_until("the plain request is judged", async || envoy.all_outcomes("copy").await.unwrap() == 2).await.unwrap();
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

// ----------------------------------------------------------------------------------------------------------------- options

#[tokio::test(flavor = "multi_thread")]
async fn whole_users_are_copied_by_their_key() {
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
    let (low, high) = binomial_bounds(USERS, 0.3, FALSE_ALARM);
    assert!((low..=high).contains(&(expected.len() as u64)), "{} users", expected.len());
    wait_for_outcome(&envoy, "copy", "2xx", 3 * expected.len() as u64).await;
    let mut by_user = BTreeMap::new();
    for copy in named(&backends, "copy").take_received() {
        *by_user.entry(copy.header("x-serve-shard-key").concat()).or_insert(0) += 1;
    }
    assert_eq!(by_user, expected.into_iter().map(|user| (user, 3)).collect());
}

#[tokio::test(flavor = "multi_thread")]
async fn host_and_headers_of_copies_are_changed_as_the_policy_says() {
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
async fn no_more_copies_are_in_flight_than_allowed() {
    let (envoy, backends) =
        main_and_copy(json!({ "fraction": 1, "max_in_flight": 3, "timeout_ms": 20_000 }), |_| ()).await;
    named(&backends, "copy").answer_after(Duration::from_secs(5));
    let tally = load::send(&envoy.client(Http::V1), "/", 200).await;
    assert_eq!(tally.failed, 0);
    wait_for_outcome(&envoy, "copy", "skipped_in_flight", 197).await;
    wait_until("three are in flight", async || envoy.in_flight("copy").await.unwrap() == 3).await.unwrap();
    wait_until("three have come", async || named(&backends, "copy").count() == 3).await.unwrap();
    wait_for_outcome(&envoy, "copy", "2xx", 3).await;
    // There is room again.
    load::send(&envoy.client(Http::V1), "/", 1).await;
    wait_for_outcome(&envoy, "copy", "2xx", 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_copies_a_second_are_sent_than_allowed() {
    const RATE: u64 = 50;
    let (envoy, backends) = main_and_copy(json!({ "fraction": 1, "max_per_second": RATE }), |_| ()).await;
    let client = envoy.client(Http::V1);
    let start = Instant::now();
    let mut sent = 0;
    while start.elapsed() < Duration::from_secs(3) {
        sent += load::send(&client, "/", 20).await.total();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let seconds = start.elapsed().as_secs_f64();
    wait_until("each request has its outcome", async || envoy.all_outcomes("copy").await.unwrap() == sent)
        .await
        .unwrap();
    let copied = named(&backends, "copy").count();
    // One second's worth at once, and then as many as there are seconds.
    let allowed = RATE as f64 * (seconds + 1.0);
    assert!((allowed * 0.5..=allowed + 5.0).contains(&(copied as f64)), "{copied} of {allowed} in {seconds} s");
    assert_eq!(envoy.outcomes("copy", "skipped_rate").await.unwrap(), sent - copied);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_is_not_utf_8_is_left_out_of_the_copy_and_counted() {
    let (envoy, backends) = main_and_copy(json!(1), |_| ()).await;
    let headers: [(&str, &[u8]); 3] = [("x-a", b"\x80"), ("x-b", b"\xff"), ("x-c", b"c")];
    envoy.client(Http::V1).send("GET", "/", headers, Bytes::new()).await.unwrap();
    let copy = copies(&backends, 1).await.pop().unwrap();
    assert_eq!((copy.header("x-a"), copy.header("x-c")), (vec![], vec!["c".to_owned()]));
    let omitted = [("backend", "copy"), ("part", "header")];
    assert_eq!(envoy.metric("traffic_policy_shadow_omitted_total", &omitted).await.unwrap(), 2);
    let path_is_not_utf_8 = raw(envoy.address, "").await;
    let mut stream = path_is_not_utf_8;
    stream.write_all(b"GET /\xff HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    wait_until("the path is judged", async || {
        // Envoy itself may refuse it; if it lets it pass, the copy is skipped.
        envoy.outcomes("copy", "skipped_not_utf8").await.unwrap() == 1
            || envoy.stat("http.main.downstream_cx_protocol_error").await.is_ok_and(|count| count == 1)
    })
    .await
    .unwrap();
    assert_eq!(envoy.stat("wasm.traffic-policy.vm_reload").await.unwrap(), 0);
}

// ------------------------------------------------------------------------------------------------------------------ mirror

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
    // A mirror that gets a marked request mirrors it no more.
    envoy.client(Http::V1).get("/", &[("x-traffic-shadow", "copy")]).await.unwrap();
    assert_eq!(envoy.outcomes("copy", "skipped_marked").await.unwrap(), 1);
    assert_eq!(named(&backends, "copy").count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_never_steers_the_mirror_even_where_nothing_but_the_filter_prevents_it() {
    let backends = Backend::start_all(["main", "copy"]).await.unwrap();
    let policy = json!({ "endpoints": [
        { "name": "mirrored", "route": "/mirrored", "traffic": { "main": 1 },
          "shadow": { "copy": { "fraction": 1, "via": "mirror" } } },
        { "name": "plain", "route": "/plain", "traffic": { "main": 1 } },
    ] });
    let adapt = |bootstrap: &mut Value| {
        let manager = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";
        let manager = bootstrap.pointer_mut(manager).unwrap().as_object_mut().unwrap();
        manager.remove("early_header_mutation_extensions").unwrap();
    };
    let envoy = Envoy::start(&Setup { adapt, ..Setup::new(policy.to_string(), &backends) }).await.unwrap();
    let client = envoy.client(Http::V1);
    let answer = client.get("/plain", &[("x-traffic-mirror", "copy")]).await.unwrap();
    assert_eq!(served_by(&answer), Some("main"));
    assert_eq!(client.get("/nowhere", &[("x-traffic-mirror", "copy")]).await.unwrap().status(), StatusCode::NOT_FOUND);
    // Mirrors leave with their primary: when this one's has come, no other will.
    client.get("/mirrored", &[("x-traffic-mirror", "main")]).await.unwrap();
    wait_until("the copy comes", async || named(&backends, "copy").count() > 0).await.unwrap();
    assert_eq!((named(&backends, "main").count(), named(&backends, "copy").count()), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_collects_no_more_of_an_answer_than_the_shipped_limit() {
    let (envoy, backends) = main_and_copy(json!(1), |_| ()).await;
    for (size, result) in [(2 << 20, "2xx"), (8 << 20, "reset")] {
        named(&backends, "copy").behave(Behaviour { body_bytes: Some(size), ..Behaviour::default() });
        envoy.client(Http::V1).get("/", &[]).await.unwrap();
        wait_for_outcome(&envoy, "copy", result, 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_a_later_filter_or_the_route_answers_is_not_copied() {
    let backends = Backend::start_all(["main", "copy"]).await.unwrap();
    let adapt = |bootstrap: &mut Value| {
        let manager = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";
        let manager = bootstrap.pointer_mut(manager).unwrap();
        // A later filter that denies, and a route that answers by itself.
        let deny = json!({ "name": "deny", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
            "rules": { "action": "DENY", "policies": { "p": {
                "permissions": [{ "header": { "name": "x-denied", "present_match": true } }], "principals": [{ "any": true }] } } } } });
        manager["http_filters"].as_array_mut().unwrap().insert(1, deny);
        let direct = json!({ "match": { "prefix": "/direct" }, "direct_response": { "status": 200 } });
        manager.pointer_mut("/route_config/virtual_hosts/0/routes").unwrap().as_array_mut().unwrap().insert(0, direct);
        let empty = json!({ "name": "empty", "type": "STATIC", "load_assignment": { "cluster_name": "empty" } });
        bootstrap["static_resources"]["clusters"].as_array_mut().unwrap().push(empty);
    };
    let policy = json!({ "endpoints": [
        { "name": "empty", "route": "/empty", "traffic": { "empty": 1 }, "shadow": { "copy": 1 } },
        { "name": "e", "traffic": { "main": 1 }, "shadow": { "copy": 1 } },
    ] });
    let envoy = Envoy::start(&Setup { adapt, ..Setup::new(policy.to_string(), &backends) }).await.unwrap();
    let client = envoy.client(Http::V1);
    for (path, headers, status) in
        [("/", vec![("x-denied", "1")], 403), ("/direct", vec![], 200), ("/empty", vec![], 503)]
    {
        for method in ["GET", "POST"] {
            let headers = headers.iter().map(|(name, value): &(&str, &str)| (*name, value.as_bytes()));
            assert_eq!(client.send(method, path, headers, "").await.unwrap().status(), status, "{method} {path}");
        }
    }
    // The primary's cluster without a host is no reason to leave out its shadow.
    wait_for_outcome(&envoy, "copy", "2xx", 2).await;
    wait_for_outcome(&envoy, "copy", "skipped_not_forwarded", 4).await;
    assert_eq!(named(&backends, "copy").count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_whose_circuit_breaker_is_open_is_unavailable() {
    let (envoy, backends) = main_and_copy(json!(1), |bootstrap| {
        bootstrap["static_resources"]["clusters"][1]["circuit_breakers"] =
            json!({ "thresholds": [{ "max_requests": 1, "max_connections": 1, "max_pending_requests": 1 }] });
    })
    .await;
    named(&backends, "copy").answer_after(Duration::from_secs(3));
    assert_eq!(load::send(&envoy.client(Http::V1), "/", 10).await.failed, 0);
    wait_until("most are not sent", async || envoy.outcomes("copy", "unavailable").await.unwrap() >= 8).await.unwrap();
    wait_until("the rest is answered", async || envoy.all_outcomes("copy").await.unwrap() == 10).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_that_stalls_in_mid_answer_and_a_grpc_shadow_time_out() {
    // It sends the head of an answer and half of its body.
    let half = echo_after("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await;
    let main = Backend::start_all(["main"]).await.unwrap();
    let policy = shadowed(json!({ "copy": { "fraction": 1, "timeout_ms": 300 } }));
    let mut setup = Setup::new(policy, &main);
    setup.clusters.push(("copy".to_owned(), half));
    let envoy = Envoy::start(&setup).await.unwrap();
    envoy.client(Http::V1).get("/", &[]).await.unwrap();
    wait_for_outcome(&envoy, "copy", "timeout", 1).await;

    let (envoy, backends) = main_and_copy(json!({ "fraction": 1, "timeout_ms": 300 }), |_| ()).await;
    named(&backends, "copy").answer_after(Duration::from_secs(3600));
    envoy.client(Http::V2).send("POST", "/", [("content-type", b"application/grpc".as_slice())], "").await.unwrap();
    wait_for_outcome(&envoy, "copy", "timeout", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_body_is_copied_to_two_shadows() {
    let backends = Backend::start_all(["main", "a", "b"]).await.unwrap();
    backends.iter().for_each(Backend::remember);
    let largest = json!({ "fraction": 1, "max_body_bytes": 32 << 20, "timeout_ms": 60_000 });
    let policy = shadowed(json!({ "a": largest, "b": largest }));
    let envoy = Envoy::start(&Setup::new(policy, &backends)).await.unwrap();
    let body = Bytes::from((0..32_u32 << 20).map(|n| (n % 251) as u8).collect::<Vec<_>>());
    for round in 1..=2 {
        let answer = envoy.client(Http::V1).send("PUT", "/", [], body.clone()).await.unwrap();
        assert_eq!(served_by(&answer), Some("main"));
        for name in ["a", "b"] {
            wait_for_outcome(&envoy, name, "2xx", round).await;
            assert!(named(&backends, name).take_received().pop().unwrap().body == body, "the copy differs");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_comes_byte_by_byte_takes_no_more_memory_than_its_size() {
    const BYTES: usize = 200_000;
    let (envoy, backends) = main_and_copy(json!(1), |_| ()).await;
    let before = envoy.resident_bytes().unwrap();
    let mut uploads = Vec::new();
    for _ in 0..4 {
        let client = envoy.client(Http::V2);
        let (mut sender, body) = Channel::new(64);
        let request = tokio::spawn(async move { client.send_body("PUT", "/", [], body).await });
        uploads.push(tokio::spawn(async move {
            for n in 0..BYTES {
                sender.send_data(vec![n as u8].into()).await.unwrap();
            }
            drop(sender);
            request.await.unwrap().unwrap()
        }));
    }
    for upload in uploads {
        assert_eq!(served_by(&upload.await.unwrap()), Some("main"));
    }
    for copy in copies(&backends, 4).await {
        assert!(copy.body.len() == BYTES && copy.body.iter().enumerate().all(|(n, byte)| *byte == n as u8));
    }
    let grown = envoy.resident_bytes().unwrap().saturating_sub(before) >> 20;
    assert!(grown < 24, "{grown} MiB for four times 200 KB");
}
