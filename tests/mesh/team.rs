//! What two teams have in a mesh: one whose service has versions, and a neighbour.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::ensure;
use serde_json::{Value, json};
use testbed::backend::{Backend, named};
use testbed::cargo::build_wasm;
use testbed::client::{Answer, Client, served_by};
use testbed::load::send_each;
use testbed::mesh::gateway::Gateway;
use testbed::mesh::istio::Istio;
use testbed::mesh::ports::Ports;
use testbed::mesh::registry::sha256;
use testbed::policies::hash;
use testbed::statistics::assert_share;
use testbed::trafficctl::{Ended, Trafficctl};
use testbed::wait_until;
use tokio::task::JoinHandle;

/// The host of the team with the policy.
pub const RANKER: &str = "ranker.example.com";
/// The host of its neighbour.
pub const SHOP: &str = "shop.example.com";

/// Paths of each host; the first two are those of the policy's endpoint.
const PATHS: [&str; 6] = ["/rank", "/rank/1", "/other", "/old", "/direct", "/"];

/// The header that names the backend that the filter chose.
const CHOSEN: &str = "x-traffic-backend";

/// A mesh with the services of both teams.
pub struct Mesh {
    pub istio: Istio,
    /// v1, v2 and v3 of the ranker, and the shop.
    pub backends: Vec<Backend>,
    /// The port of the gateway's listener.
    pub port: u16,
    trafficctl: Trafficctl,
}

impl Mesh {
    /// Starts the control plane and the services; backends listen on addresses of the network with
    /// this prefix.
    pub async fn start(network: [u8; 3]) -> Self {
        let [a, b, c] = network;
        let istio = Istio::start(Ipv4Addr::new(a, b, c, 1)).await.unwrap();
        let ports = Ports::find(2).unwrap();
        let (port, backend_port) = (ports.nth(0), ports.nth(1));
        let mut backends = Vec::new();
        let subsets = ["v1", "v2", "v3"].map(|name| json!({ "name": name, "labels": { "version": name } }));
        let mut objects = vec![
            service("ranker", backend_port),
            service("shop", backend_port),
            json!({
                "apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": { "name": "ranker" },
                "spec": {
                    "host": "ranker.default.svc.cluster.local",
                    "trafficPolicy": { "connectionPool": { "http": { "http2MaxRequests": 777 } } },
                    "subsets": subsets,
                },
            }),
        ];
        for (n, (name, app)) in
            [("v1", "ranker"), ("v2", "ranker"), ("v3", "ranker"), ("shop", "shop")].iter().enumerate()
        {
            let address = Ipv4Addr::new(a, b, c, 11 + n as u8);
            let backend = Backend::start(name, SocketAddr::from((address, backend_port))).await.unwrap();
            backend.remember();
            backends.push(backend);
            objects.push(json!({
                "apiVersion": "networking.istio.io/v1", "kind": "WorkloadEntry", "metadata": { "name": name },
                "spec": { "address": address, "labels": { "app": app, "version": name } },
            }));
        }
        istio.kubernetes.apply(&list(objects)).await.unwrap();
        let file = istio.kubernetes.folder().join("policy.json");
        Self { istio, backends, port, trafficctl: Trafficctl::build(file).unwrap() }
    }

    /// Applies the Gateway and the VirtualServices of both teams.
    pub async fn open_gateway(&self) {
        let [ranker, shop] = [virtual_service("ranker", RANKER, "v1"), virtual_service("shop", SHOP, "")];
        self.istio.kubernetes.apply(&list([gateway(self.port), ranker, shop])).await.unwrap();
    }

    /// Runs `trafficctl render istio` for a policy.
    pub fn try_render(&self, policy: &Value, options: &str) -> Ended {
        std::fs::write(&self.trafficctl.file, policy.to_string()).unwrap();
        self.trafficctl.run(format!("render istio {options}").split_whitespace())
    }

    /// Runs `trafficctl render istio` for a policy, with the module as a file, and returns the
    /// objects.
    pub fn render(&self, policy: &Value, options: &str) -> String {
        let module = build_wasm().unwrap();
        self.render_image(policy, options, &format!("file://{}", module.display()), &sha256(&module).unwrap())
    }

    /// Runs `trafficctl render istio` for a policy, with the module from `image`, and returns the
    /// objects.
    pub fn render_image(&self, policy: &Value, options: &str, image: &str, sha256: &str) -> String {
        let ended = self.try_render(policy, &format!("{options} --image {image} --sha256 {sha256}"));
        assert_eq!(ended.status, Some(0), "{options}: {}", ended.stderr);
        ended.stdout
    }

    /// Applies objects with a policy in them, and waits until the gateway decides by it.
    pub async fn apply(&self, objects: &str, gateway: &Gateway) {
        self.istio.kubernetes.apply(objects).await.unwrap();
        let expected = hash_of(objects);
        let is_in_force = async || gateway.policy_hash().await.is_ok_and(|hash| hash == expected);
        wait_until("the policy is in force", is_in_force)
            .await
            .unwrap_or_else(|error| panic!("{error}\n{}", gateway.log()));
    }

    /// Forgets what the backends have got.
    pub fn forget(&self) {
        for backend in &self.backends {
            backend.take_count();
            backend.take_received();
        }
    }

    /// Checks that the policy of [`policy`] decides: shares, keys and copies. `path` is one of its
    /// endpoint, on `host`.
    pub async fn assert_split(&self, client: &Client, host: &str, path: &str) {
        self.forget();
        let send = get(client, host, path);
        let decided = move |n| {
            let answer = send(n);
            async move {
                let answer = answer.await?;
                ensure!(answer.headers().contains_key(CHOSEN), "the filter has not decided: {answer:?}");
                Ok(answer)
            }
        };
        let tally = send_each(2000, decided).await;
        assert_eq!((tally.failed, tally.of("v1") + tally.of("v2")), (0, 2000), "{host}{path}: {tally:?}");
        assert_share(tally.of("v2"), 2000, 0.1, "v2");
        let copies = || named(&self.backends, "v3").count();
        // Copies arrive a moment later.
        let mut before = u64::MAX;
        wait_until("all copies have arrived", async || {
            tokio::time::sleep(Duration::from_secs(1)).await;
            std::mem::replace(&mut before, copies()) == copies()
        })
        .await
        .unwrap();
        assert_share(copies(), 2000, 0.5, "copies");
        for received in named(&self.backends, "v3").take_received() {
            assert_eq!(received.header("x-traffic-shadow"), ["v3"]);
        }
        for key in 0..200 {
            let key = format!("user-{key}");
            let headers = [("host", host), ("x-serve-shard-key", key.as_str())];
            let mut seen = BTreeSet::new();
            for _ in 0..5 {
                let answer = client.get(path, &headers).await.unwrap();
                let served = served_by(&answer).unwrap().to_owned();
                assert_eq!(answer.headers()[CHOSEN], served);
                seen.insert(served);
            }
            assert_eq!(seen.len(), 1, "{key}: {seen:?}");
        }
    }
}

/// A policy for the ranker: 10 % to v2, half of all requests copied to v3.
pub fn policy() -> Value {
    let cluster =
        |version: &str| json!({ "cluster": format!("outbound|8080|{version}|ranker.default.svc.cluster.local") });
    json!({
        "response_header": CHOSEN,
        "backends": { "v1": cluster("v1"), "v2": cluster("v2"), "v3": cluster("v3") },
        "endpoints": [{
            "name": "ranker", "route": "/rank", "match": { "hosts": [RANKER] },
            "traffic": { "v1": 0.9, "v2": 0.1 },
            // Without limits that a slow machine might reach.
            "shadow": { "v3": { "fraction": 0.5, "methods": ["GET"], "max_in_flight": 1000, "timeout_ms": 60000 } },
        }],
    })
}

/// Whether the filter has decided about a request of the endpoint.
pub async fn is_decided(client: &Client) -> bool {
    client.get("/rank", &[("host", RANKER)]).await.unwrap().headers().contains_key(CHOSEN)
}

/// The policy's hash, as the filter reports it, in a file with a WasmPlugin.
pub fn hash_of(objects: &str) -> u64 {
    let plugin = objects.split("---\n").map(|object| serde_saphyr::from_str::<Value>(object).unwrap());
    let plugin = plugin.into_iter().find(|object| object["kind"] == "WasmPlugin").unwrap();
    hash(&plugin["spec"]["pluginConfig"].to_string())
}

/// A function that sends GET requests.
pub fn get(
    client: &Client,
    host: &str,
    path: &str,
) -> impl Fn(u64) -> futures_util::future::BoxFuture<'static, anyhow::Result<Answer>> + Clone + Send + Sync + use<> {
    let (client, host, path) = (client.clone(), host.to_owned(), path.to_owned());
    move |_| {
        let (client, host, path) = (client.clone(), host.clone(), path.clone());
        Box::pin(async move { client.get(&path, &[("host", &host)]).await })
    }
}

/// An answer, without what differs each time.
pub type Seen = (u16, Vec<(String, String)>, String);

/// The answers to requests of the neighbour, and to those of the team that no endpoint takes: paths,
/// redirects, direct responses, an unknown host, with and without headers that a client must not set.
pub async fn untouched(client: &Client) -> Vec<(String, Seen)> {
    let mut all = Vec::new();
    for (host, paths) in [(SHOP, &PATHS[..]), (RANKER, &PATHS[2..]), ("unknown.example.com", &PATHS[..])] {
        all.extend(untouched_of(client, host, paths).await);
    }
    all
}

/// The answers to requests of `host`, with and without a header that a client must not set.
pub async fn untouched_of(client: &Client, host: &str, paths: &[&str]) -> Vec<(String, Seen)> {
    let mut all = Vec::new();
    for path in paths {
        for steering in [None, Some("outbound|8080|v2|ranker.default.svc.cluster.local")] {
            let headers = [("host", host), ("x-traffic-cluster", steering.unwrap_or_default())];
            let headers = if steering.is_some() { &headers[..] } else { &headers[..1] };
            let answer = client.get(path, headers).await.unwrap();
            all.push((format!("{host}{path} {steering:?}"), seen(&answer)));
        }
    }
    all
}

/// Checks that no backend but the team's own has got a header of ours, or a copy.
pub fn assert_no_trace(backends: &[Backend]) {
    for backend in backends {
        for received in backend.take_received() {
            let is_copy = received.header("x-traffic-shadow") == ["v3"] && backend.name == "v3";
            let ours: Vec<_> = received.headers.iter().filter(|(name, _)| name.starts_with("x-traffic")).collect();
            assert!(ours.is_empty() || is_copy, "{}: {received:?}", backend.name);
        }
    }
}

fn seen(answer: &Answer) -> Seen {
    let varies = ["date", "x-envoy-upstream-service-time"];
    let headers = answer.headers().iter().filter(|(name, _)| !varies.contains(&name.as_str()));
    let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    (answer.status().as_u16(), headers, String::from_utf8_lossy(answer.body()).into_owned())
}

/// The Gateway resource of the gateway in [`Setup::new`](testbed::mesh::gateway::Setup::new), for all
/// hosts.
pub fn gateway(port: u16) -> Value {
    let server =
        json!({ "port": { "number": port, "name": "http", "protocol": "HTTP" }, "bind": "127.0.0.1", "hosts": ["*"] });
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "Gateway", "metadata": { "name": "public" },
        "spec": { "selector": { "istio": "gateway" }, "servers": [server] },
    })
}

/// A Service of the pods with its name as their label `app`, which listen on `port`.
pub fn service(name: &str, port: u16) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": name },
        "spec": { "selector": { "app": name }, "ports": [{ "name": "http", "port": 8080, "targetPort": port }] },
    })
}

/// Two paths, a redirect, a direct response and the rest.
pub fn virtual_service(name: &str, host: &str, subset: &str) -> Value {
    let mut destination = json!({ "host": format!("{name}.default.svc.cluster.local"), "port": { "number": 8080 } });
    if !subset.is_empty() {
        destination["subset"] = json!(subset);
    }
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": { "name": name },
        "spec": { "hosts": [host], "gateways": ["public"], "http": [
            { "name": "old", "match": [{ "uri": { "exact": "/old" } }], "redirect": { "uri": "/new" } },
            { "name": "direct", "match": [{ "uri": { "exact": "/direct" } }],
              "directResponse": { "status": 418, "body": { "string": "short and stout" } } },
            { "name": "other", "match": [{ "uri": { "prefix": "/other" } }], "timeout": "3s",
              "route": [{ "destination": destination }] },
            { "name": "rest", "route": [{ "destination": destination }] },
        ] },
    })
}

/// Objects as one document.
pub fn list(objects: impl Into<Vec<Value>>) -> String {
    json!({ "apiVersion": "v1", "kind": "List", "items": objects.into() }).to_string()
}

/// Fifty requests a second to both teams, until it is stopped.
pub struct Watch {
    is_stopped: Arc<AtomicBool>,
    task: JoinHandle<(u64, Vec<String>)>,
}

impl Watch {
    /// Starts to send requests.
    pub fn start(client: &Client) -> Self {
        let is_stopped = Arc::new(AtomicBool::new(false));
        let (client, stop) = (client.clone(), Arc::clone(&is_stopped));
        let task = tokio::spawn(async move {
            let targets: [(&str, &str, &[&str]); 3] =
                [(RANKER, "/rank", &["v1", "v2"]), (RANKER, "/other", &["v1"]), (SHOP, "/rank", &["shop"])];
            let (mut sent, mut wrong) = (0, Vec::new());
            let mut clock = tokio::time::interval(Duration::from_millis(20));
            for (host, path, right) in targets.iter().cycle() {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                clock.tick().await;
                let answer = client.get(path, &[("host", host)]).await;
                sent += 1;
                if !answer.as_ref().ok().and_then(served_by).is_some_and(|name| right.contains(&name)) {
                    wrong.push(format!("{host}{path}: {answer:?}"));
                }
            }
            (sent, wrong)
        });
        Self { is_stopped, task }
    }

    /// Stops, and checks that the right backend has answered each request. Returns how many there
    /// were.
    pub async fn stop(self) -> u64 {
        self.is_stopped.store(true, Ordering::Relaxed);
        let (sent, wrong) = self.task.await.unwrap();
        assert!(wrong.is_empty(), "{} of {sent}: {:?}", wrong.len(), wrong.first());
        sent
    }
}
