//! Hostile requests: whatever bytes a client sends, the filter survives, and every other request
//! goes to the right backend.

mod corpus;
mod frames;
mod tally;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use policy::{Policy, Reason};
use serde_json::{Value, json};
use testbed::backend::{Backend, Received, named};
use testbed::bootstrap::{allow_tunnels, connection_manager};
use testbed::client::{Http, served_by};
use testbed::envoy::{Envoy, Setup};
use testbed::request::TableRequest;
use testbed::{PATIENCE, read, wait_until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use self::corpus::Hostile;
use self::tally::Tally;

/// The backends that serve, and those that get copies.
const SERVING: [&str; 3] = ["a", "b", "c"];
const COPIED: [&str; 2] = ["copy", "some"];

struct Stage {
    envoy: Envoy,
    backends: Vec<Backend>,
    policy: Policy,
    /// The number of good requests so far.
    good: u64,
}

#[tokio::test(flavor = "multi_thread")]
async fn no_bytes_from_a_client_crash_the_filter_or_misdirect_other_requests() {
    let tally = Stage::start(close_at_once).await.play(corpus::corpus()).await;
    assert!(tally.decided > 3_500 && tally.arrived > 3_000, "Envoy accepted too few: {tally}");
    assert!(tally.refused() > 2_000, "Envoy refused too few: {tally}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_bytes_crash_the_filter_where_envoy_accepts_as_much_as_it_can() {
    let tally = Stage::start(accept_much).await.play(corpus::corpus().filter(|group| group.len() == 1)).await;
    for (rule, of_rule) in &tally.by_rule {
        assert!(of_rule.decided > 0 || !rule.starts_with("HTTP/1.1: large: "), "{rule}: not accepted");
    }
    assert!(tally.decided > 250, "Envoy accepted too few: {tally}");
}

/// Makes Envoy close a connection as soon as it has refused a request, without waiting for the
/// client.
fn close_at_once(bootstrap: &mut Value) {
    connection_manager(bootstrap)["delayed_close_timeout"] = json!("0.001s");
}

/// Raises Envoy's limits, and lets tunnels through.
fn accept_much(bootstrap: &mut Value) {
    close_at_once(bootstrap);
    let manager = connection_manager(bootstrap);
    manager["max_request_headers_kb"] = json!(8192);
    manager["common_http_protocol_options"] = json!({ "max_headers_count": 20_000 });
    manager["stream_error_on_invalid_http_message"] = json!(true);
    manager["http_protocol_options"] = json!({
        "accept_http_10": true, "default_host_for_http_10": "a", "enable_trailers": true, "allow_chunked_length": true,
        "allow_custom_methods": true });
    manager["http2_protocol_options"] =
        json!({ "allow_connect": true, "max_consecutive_inbound_frames_with_empty_payload": 10_000 });
    allow_tunnels(bootstrap);
}

/// A request from this machine with these headers, pseudo-headers among them. It has one property,
/// its user agent.
fn arrived(headers: Vec<(String, Vec<u8>)>) -> TableRequest {
    let agent = headers.iter().find(|(name, value)| name == "user-agent" && !value.is_empty());
    let path = ["request", "useragent"].map(str::to_owned).to_vec();
    let properties = agent.map(|(_, agent)| (path, agent.clone())).into_iter().collect();
    TableRequest { headers, source: Some("127.0.0.1:1".to_owned()), properties }
}

impl Stage {
    async fn start(adapt: fn(&mut Value)) -> Self {
        let backends = Backend::start_all(SERVING.into_iter().chain(COPIED)).await.unwrap();
        backends.iter().for_each(Backend::remember);
        let policy = read("tests/data/hostile/policy.json").unwrap();
        let envoy = Envoy::start(&Setup { adapt, ..Setup::new(policy.as_str(), &backends) }).await.unwrap();
        let policy = Policy::from_json(policy.as_bytes()).unwrap().policy;
        Self { envoy, backends, policy, good: 0 }
    }

    /// Sends each group of the corpus at once, and a good request after it. The filter must
    /// survive.
    async fn play(mut self, groups: impl IntoIterator<Item = Vec<Hostile>>) -> Tally {
        let mut tally = Tally::default();
        let vms = self.envoy.stat("wasm.envoy.wasm.runtime.v8.created").await.unwrap();
        assert!(vms > 0, "no VM was created");
        for group in groups {
            let rule = group[0].rule.clone();
            let start = Instant::now();
            let sends: Vec<_> =
                group.into_iter().map(|hostile| tokio::spawn(send(self.envoy.address, hostile))).collect();
            let mut outcomes = Vec::new();
            for send in sends {
                outcomes.push(send.await.unwrap());
            }
            let time = start.elapsed();
            let arrived = self.check_received(&rule);
            self.send_good(&rule).await;
            let decided = self.decided_by_living_filter(&rule, vms).await - self.good - tally.decided;
            tally.add(&rule, outcomes, time, decided, arrived);
        }
        self.close_the_books(&mut tally).await;
        println!("{tally}");
        tally
    }

    /// How many requests the filter has decided about. None of its VMs may have died.
    async fn decided_by_living_filter(&self, rule: &str, vms: u64) -> u64 {
        let stats = self.envoy.admin("/stats?filter=requests_total|vm_reload|v8.created").await.unwrap();
        let mut decided = 0;
        for (name, value) in stats.lines().filter_map(|line| line.rsplit_once(": ")) {
            let value: u64 = value.parse().unwrap();
            match name {
                "wasm.envoy.wasm.runtime.v8.created" => assert_eq!(value, vms, "{rule}: a VM was created"),
                name if name.contains("vm_reload") => assert_eq!(value, 0, "{rule}: {name}"),
                name if name.ends_with("traffic_policy_requests_total") => decided += value,
                _ => {}
            }
        }
        let log = self.envoy.log();
        for sign in ["panicked", "Function: ", "RuntimeError", "the host could not"] {
            assert!(!log.contains(sign), "{rule}: {sign:?} in the log");
        }
        decided
    }

    /// Sends a good request on a new connection. It must go to the backend of its shard key or
    /// cohort.
    async fn send_good(&mut self, rule: &str) {
        self.good += 1;
        let key = format!("user-{}", self.good);
        let headers = [("x-serve-shard-key", key.as_str()), ("x-cohort", "V1.2")];
        let headers = if self.good.is_multiple_of(4) { &headers[..] } else { &headers[..1] };
        let bytes = headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()));
        let expected = self.policy.decide(&arrived(bytes.collect()), 0, || 0).unwrap().backend.name.to_string();
        let answer = self.envoy.client(Http::V1).get("/good", headers).await;
        let answer = answer.unwrap_or_else(|error| panic!("{rule}: the good request after it fails: {error:#}"));
        assert_eq!(served_by(&answer), Some(expected.as_str()), "{rule}: the good request after it");
        assert_eq!(answer.headers()["x-traffic-backend"], expected.as_str(), "{rule}");
        self.check_received(rule);
    }

    /// Checks the requests that backends have got against the policy. Returns how many came from
    /// clients.
    fn check_received(&self, rule: &str) -> u64 {
        let mut arrived = 0;
        for backend in &self.backends {
            for received in backend.take_received() {
                assert!(!received.path.contains("smuggled"), "{rule}: {received:?}");
                if SERVING.contains(&backend.name.as_str()) {
                    arrived += 1;
                    assert_eq!(received.header("x-variant"), [backend.name.as_str()], "{rule}: {received:?}");
                    assert_eq!(received.header("x-traffic-cluster"), Vec::<String>::new(), "{rule}: {received:?}");
                    let expected = self.expected(&received);
                    assert!(
                        expected.is_none_or(|name| name == backend.name),
                        "{rule}: not {expected:?} got {received:?}"
                    );
                }
            }
        }
        arrived
    }

    /// The backend that must serve the request, according to the core, or `None` if chance decides.
    fn expected(&self, received: &Received) -> Option<&str> {
        let mut headers = received.headers.clone();
        let host = received.header("host").concat();
        for (name, value) in [(":method", &received.method), (":path", &received.path), (":authority", &host)] {
            headers.push((name.to_owned(), value.clone().into_bytes()));
        }
        let decision = self.policy.decide(&arrived(headers), 0, || 0).unwrap();
        let is_sure = decision.reason == Reason::Key || decision.cohort.is_some();
        is_sure.then_some(&*decision.backend.name)
    }

    /// Checks that each request that the filter decided about has an outcome of its copy and a
    /// response, and that nothing is in flight.
    async fn close_the_books(&self, tally: &mut Tally) {
        let sum = async |name: &str, labels: &[(&str, &str)]| self.envoy.metric(name, labels).await.unwrap();
        let decided = async || sum("traffic_policy_requests_total", &[]).await;
        wait_until("each copy has its outcome", async || {
            self.envoy.all_outcomes("copy").await.unwrap() == decided().await
        })
        .await
        .unwrap();
        wait_until("each response is counted", async || {
            sum("traffic_policy_responses_total", &[]).await == decided().await
        })
        .await
        .unwrap();
        wait_until("nothing is in flight", async || self.envoy.in_flight_of_all().await.unwrap() == 0).await.unwrap();
        for backend in COPIED {
            let mut copies = BTreeMap::new();
            for line in self.envoy.admin("/stats?filter=shadow_total").await.unwrap().lines() {
                let of_backend = line.contains(&format!("backend=.={backend};.;"));
                let result = line.split_once("result=.=").and_then(|(_, rest)| rest.split_once(";.;"));
                let count = line.rsplit_once(": ").and_then(|(_, count)| count.parse::<u64>().ok());
                if let (true, Some((result, _)), Some(count)) = (of_backend, result, count) {
                    *copies.entry(result.to_owned()).or_insert(0) += count;
                }
            }
            println!("copies to {backend}: {copies:?}");
            let at_backend = named(&self.backends, backend).count();
            // A backend may refuse a request that Envoy accepts.
            assert_eq!(copies.get("2xx"), Some(&at_backend), "{backend}");
        }
        self.check_received("at the end");
        tally.decided = decided().await - self.good;
    }
}

/// Sends a request on its own connection, and returns the outcome.
async fn send(envoy: SocketAddr, hostile: Hostile) -> String {
    let (mut reader, mut writer) = TcpStream::connect(envoy).await.unwrap().into_split();
    // Envoy may refuse the request and close the connection before it has come in whole.
    let writing = async { writer.write_all(&hostile.bytes).await.is_ok() };
    let mut answer = Vec::new();
    let reading = async {
        let patience = if hostile.stays_open { Duration::from_millis(50) } else { PATIENCE / 40 };
        loop {
            let mut part = [0; 4096];
            match tokio::time::timeout(patience, reader.read(&mut part)).await {
                Err(_) => return false,
                Ok(Ok(0) | Err(_)) => return true,
                Ok(Ok(size)) => answer.extend_from_slice(&part[..size]),
            }
            if hostile.is_answered(&answer) {
                return false;
            }
        }
    };
    let (_, is_closed) = tokio::join!(writing, reading);
    hostile.outcome(&answer, is_closed)
}
