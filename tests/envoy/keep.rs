//! Policies with errors and `if_invalid: keep`: the update is taken, and the last good policy goes
//! on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use testbed::backend::{Backend, named};
use testbed::bootstrap::{connection_manager, routes};
use testbed::cargo::build_wasm;
use testbed::client::{Client, Http, served_by};
use testbed::envoy::{Envoy, Setup, Verdict};
use testbed::load::Background;
use testbed::policies::hash;
use testbed::wait_until;

use crate::listeners::{self, change_listener, discover_listeners, put_listener};

const KEYS: usize = 40;

/// A policy of this name that splits `/rank`. `number` makes its document another one.
fn policy(name: &str, number: usize) -> Value {
    json!({ "name": name, "if_invalid": "keep", "description": format!("number {number}"), "endpoints": [
        { "name": "rank", "route": "/rank", "traffic": { "a": 0.5, "b": 0.5 } }] })
}

/// A policy that sends all to `b`.
fn all_to_b(name: &str) -> Value {
    let mut policy = policy(name, 0);
    policy["endpoints"][0]["traffic"] = json!({ "b": 1 });
    policy
}

/// The same policy with another split, which has an error.
fn spoilt(name: &str, number: usize) -> String {
    let mut policy = policy(name, number);
    policy["endpoints"][0]["traffic"] = json!({ "a": 0.9, "b": 0.9 });
    policy.to_string()
}

/// The routes that `render istio` makes: one for requests with the routing header of a policy in
/// front of those of the team, which lead to `own`. The client's header reaches the filter.
fn insert_routes(bootstrap: &mut Value) {
    let by_header = |header: &str| {
        json!({ "match": { "prefix": "/", "headers": [{ "name": header, "present_match": true }] },
            "route": { "cluster_header": header }, "request_headers_to_remove": [header] })
    };
    *routes(bootstrap) = vec![
        by_header("x-traffic-cluster-ranker"),
        by_header("x-traffic-cluster-search"),
        json!({ "match": { "prefix": "/" }, "route": { "cluster": "own" } }),
    ];
    connection_manager(bootstrap).as_object_mut().unwrap().remove("early_header_mutation_extensions");
}

fn in_listener(bootstrap: &mut Value) {
    insert_routes(bootstrap);
    discover_listeners(bootstrap);
}

/// Another plugin in the same VM, for another policy.
fn two_in_listener(bootstrap: &mut Value) {
    in_listener(bootstrap);
    let file = bootstrap.pointer("/dynamic_resources/lds_config/path_config_source/path").unwrap().as_str().unwrap();
    let mut listeners: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let filters = &mut listeners::connection_manager(&mut listeners["resources"][0])["http_filters"];
    let mut other = filters[0].clone();
    other["name"] = json!("other");
    other["typed_config"]["config"]["name"] = json!("other");
    other["typed_config"]["config"]["configuration"]["value"] = json!(search("a").to_string());
    filters.as_array_mut().unwrap().insert(1, other);
    std::fs::write(file, listeners.to_string()).unwrap();
}

/// A second policy, which sends `/search` to one backend.
fn search(backend: &str) -> Value {
    json!({ "name": "search", "if_invalid": "keep", "endpoints": [
        { "name": "search", "route": "/search", "traffic": { backend: 1 } }] })
}

/// Writes another module: the filter after a change of its bytes. Envoy runs it in a new VM.
fn other_module(path: PathBuf, change: impl FnOnce(&mut Vec<u8>)) -> PathBuf {
    let mut module = std::fs::read(build_wasm().unwrap()).unwrap();
    change(&mut module);
    std::fs::write(&path, module).unwrap();
    path
}

/// Adds a custom section, which changes nothing.
fn add_section(module: &mut Vec<u8>) {
    module.extend(b"\0\x06\x05other");
}

/// Renames the field `description`, so that the module refuses a policy that has one.
fn rename_description(module: &mut [u8]) {
    const FIELD: &[u8] = b"description";
    let places: Vec<_> = (0..module.len()).filter(|at| module.get(*at..*at + FIELD.len()) == Some(FIELD)).collect();
    let [at] = places[..] else { panic!("the field is at {places:?}") };
    module[at] = b'D';
}

/// An Envoy under load: on the policy's path, and on another one, whose requests go to `own`.
struct Stage {
    envoy: Envoy,
    backends: Vec<Backend>,
    loads: Vec<Background>,
}

impl Stage {
    async fn start(policy: &str, adapt: fn(&mut Value)) -> Self {
        Self::start_with(policy, |setup| setup.adapt = adapt).await
    }

    async fn start_with(policy: &str, change: impl FnOnce(&mut Setup)) -> Self {
        let backends = Backend::start_all(["a", "b", "own"]).await.unwrap();
        let mut setup = Setup { workers: 2, ..Setup::new(policy, &backends) };
        change(&mut setup);
        let envoy = Envoy::start(&setup).await.unwrap();
        let loads = ["/rank", "/other"].map(|path| Background::start(&envoy.client(Http::V2), path)).into();
        Self { envoy, backends, loads }
    }

    /// Waits until the gauge of the policy of this name has a value, on the latest load.
    async fn wait_refused(&self, name: &str, value: u64) {
        let client = self.envoy.client(Http::V1);
        wait_until(&format!("traffic_policy_refused of {name} is {value}"), async || {
            // On new connections: the others may be those of a listener that is drained, with the
            // policy that it had.
            for path in ["/rank", "/search"] {
                client.get(path, &[]).await.unwrap();
            }
            let series = self.envoy.series().await.unwrap();
            let is_there = series.get("traffic_policy_refused").is_some_and(|labels| !labels.is_empty());
            is_there && self.refused(name).await == value
        })
        .await
        .unwrap();
    }

    async fn refused(&self, name: &str) -> u64 {
        let labels = [("policy", name)];
        let labels = if name.is_empty() { &[] } else { &labels[..] };
        self.envoy.metric("traffic_policy_refused", labels).await.unwrap()
    }

    /// The hash of the policy of this name that serves.
    async fn hash_of(&self, name: &str) -> u64 {
        self.envoy.metric("traffic_policy_policy_info", &[("policy", name)]).await.unwrap()
    }

    /// Waits until a policy is published, without another that was refused.
    async fn wait_in_force(&self, policy: &Value) {
        let name = policy["name"].as_str().unwrap();
        let expected = hash(&policy.to_string());
        wait_until("the policy is in force", async || self.hash_of(name).await == expected).await.unwrap();
        self.wait_refused(name, 0).await;
    }

    /// Applies a policy that is refused, and waits until that shows. `name` is that of the policy
    /// that serves.
    async fn put_refused(&self, document: &str, name: &str) {
        self.envoy.put_policy(document).unwrap();
        self.wait_refused(name, 1).await;
        // Envoy may have taken up a plugin again without a word.
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(self.refused(name).await, 1);
    }

    /// Applies a policy with another module.
    fn put_with_module(&self, document: &str, module: &Path) {
        let mut file: Value = serde_json::from_slice(&std::fs::read(self.envoy.policy_file()).unwrap()).unwrap();
        let config = &mut file["resources"][0]["typed_config"]["config"];
        config["vm_config"]["code"]["local"]["filename"] = json!(module);
        config["configuration"]["value"] = json!(document);
        self.envoy.put_file(file.to_string().as_bytes()).unwrap();
    }

    /// The backend of each key.
    async fn placed(&self) -> BTreeMap<String, String> {
        let client = self.envoy.client(Http::V1);
        let mut placed = BTreeMap::new();
        for n in 0..KEYS {
            let key = format!("user-{n}");
            let answer = client.get("/rank", &[("x-serve-shard-key", &key)]).await.unwrap();
            placed.insert(key, served_by(&answer).expect("a backend answers").to_owned());
        }
        placed
    }

    /// Ends the load. Nothing else than a backend may have answered.
    async fn end(self) {
        assert_eq!(self.loads.len(), 2);
        for load in self.loads {
            let tally = load.stop().await;
            assert_eq!(tally.failed, 0, "of {}", tally.total());
            assert!(tally.total() > 100, "{tally:?}");
        }
        assert!(!self.envoy.log().contains("panicked"));
    }
}

async fn send(client: &Client, path: &str, header: &str) -> String {
    let answer = client.get(path, &[(header, "b")]).await.unwrap();
    served_by(&answer).expect("a backend answers").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_policy_that_is_kept_changes_nothing_however_often_it_comes() {
    let good = policy("ranker", 0);
    let stage = Stage::start(&good.to_string(), insert_routes).await;
    stage.wait_in_force(&good).await;
    let before = stage.placed().await;
    assert!(before.values().any(|backend| backend == "a") && before.values().any(|backend| backend == "b"));
    let bad = spoilt("ranker", 1);
    for document in [&bad, &bad.replace(':', ": "), &spoilt("ranker", 2), &bad, r#"{"if_invalid": "keep"}"#] {
        stage.put_refused(document, "ranker").await;
        assert_eq!(stage.hash_of("ranker").await, hash(&good.to_string()));
        assert_eq!(stage.placed().await, before);
    }
    let error = "traffic policy ranker refused: endpoints[0].traffic: the shares add up to 1.8;";
    assert!(stage.envoy.log().contains(error), "{}", stage.envoy.log());
    let next = all_to_b("ranker");
    stage.envoy.put_policy(&next.to_string()).unwrap();
    stage.wait_in_force(&next).await;
    assert_eq!(stage.placed().await.values().filter(|backend| *backend == "b").count(), KEYS);
    // The policy before the last good one, which Envoy may take up again without loading it.
    for document in [&bad, &good.to_string(), &bad, &next.to_string(), &good.to_string()] {
        if *document == bad {
            stage.put_refused(document, "ranker").await;
        } else {
            stage.envoy.put_policy(document).unwrap();
            stage.wait_in_force(&serde_json::from_str(document).unwrap()).await;
        }
    }
    assert_eq!(stage.placed().await, before);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_policy_that_is_kept_does_not_hold_up_other_changes_of_the_listener() {
    let good = policy("ranker", 0);
    let stage = Stage::start(&good.to_string(), in_listener).await;
    stage.wait_in_force(&good).await;
    let before = stage.placed().await;
    let rename = |name: &'static str| {
        change_listener(&stage.envoy, |listener| {
            listeners::connection_manager(listener)["server_name"] = json!(name);
        });
    };
    let is_renamed = async |name: &str| {
        wait_until("the change is in force", async || {
            let answer = stage.envoy.client(Http::V1).get("/other", &[]).await.unwrap();
            answer.headers()["server"] == name
        })
        .await
        .unwrap();
    };
    put_listener(&stage.envoy, &spoilt("ranker", 1));
    stage.wait_refused("ranker", 1).await;
    rename("one");
    is_renamed("one").await;
    change_listener(&stage.envoy, |listener| {
        listeners::connection_manager(listener)["server_name"] = json!("two");
        *listeners::configuration(listener, 0) = json!(spoilt("ranker", 2));
    });
    is_renamed("two").await;
    assert_eq!((stage.refused("ranker").await, stage.placed().await), (1, before));
    // Envoy returns to the first policy without loading it, and the gauge follows the requests.
    put_listener(&stage.envoy, &good.to_string());
    stage.wait_in_force(&good).await;
    is_renamed("two").await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_envoy_returns_to_is_the_last_good_one_when_the_other_has_ended() {
    const DRAIN_S: u32 = 6;
    let (good, other) = (policy("ranker", 0), all_to_b("ranker"));
    let change = |setup: &mut Setup| (setup.adapt, setup.drain_s) = (in_listener, DRAIN_S);
    let stage = Stage::start_with(&good.to_string(), change).await;
    stage.wait_in_force(&good).await;
    let before = stage.placed().await;
    let loads = || stage.envoy.log().matches("traffic policy ranker in force").count();
    put_listener(&stage.envoy, &other.to_string());
    stage.wait_in_force(&other).await;
    let loaded = loads();
    // The first listener is still drained, so Envoy has its plugin.
    put_listener(&stage.envoy, &good.to_string());
    stage.wait_in_force(&good).await;
    assert_eq!(loads(), loaded, "Envoy has loaded the policy again");
    tokio::time::sleep(Duration::from_secs(u64::from(DRAIN_S) + 2)).await;
    put_listener(&stage.envoy, &spoilt("ranker", 1));
    stage.wait_refused("ranker", 1).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!((stage.hash_of("ranker").await, stage.placed().await), (hash(&good.to_string()), before));
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_starts_with_a_refused_policy_lets_requests_pass_without_the_clients_headers() {
    let bad = spoilt("ranker", 1);
    let stage = Stage::start(&bad, insert_routes).await;
    let client = stage.envoy.client(Http::V1);
    stage.wait_refused("ranker", 1).await;
    assert_eq!(stage.hash_of("ranker").await, 0);
    let own = named(&stage.backends, "own");
    own.remember();
    for path in ["/rank", "/other"] {
        for header in ["x-traffic-cluster-ranker", "x-traffic-point-ranker"] {
            assert_eq!(send(&client, path, header).await, "own", "{path} with {header}");
        }
    }
    let received = own.take_received();
    let has_ours = |(name, _): &(String, Vec<u8>)| name.ends_with("-ranker");
    assert!(received.len() >= 4 && !received.iter().any(|request| request.headers.iter().any(has_ours)));
    // A document that says less has the default headers.
    stage.put_refused(r#"{"if_invalid": "keep", "routing_header": "x-traffic-cluster-search"}"#, "").await;
    assert_eq!(send(&client, "/rank", "x-traffic-cluster-search").await, "own");
    assert_eq!(send(&client, "/rank", "x-traffic-cluster-ranker").await, "b");
    let good = policy("ranker", 0);
    stage.envoy.put_policy(&good.to_string()).unwrap();
    stage.wait_in_force(&good).await;
    assert!(stage.placed().await.values().all(|backend| backend == "a" || backend == "b"));
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_plugins_in_one_vm_keep_their_own_policies() {
    let good = policy("ranker", 0);
    let stage = Stage::start(&good.to_string(), two_in_listener).await;
    let client = stage.envoy.client(Http::V1);
    stage.wait_in_force(&good).await;
    stage.wait_in_force(&search("a")).await;
    let before = stage.placed().await;
    change_listener(&stage.envoy, |listener| {
        *listeners::configuration(listener, 0) = json!(spoilt("ranker", 1));
        *listeners::configuration(listener, 1) = json!(search("b").to_string());
    });
    stage.wait_in_force(&search("b")).await;
    stage.wait_refused("ranker", 1).await;
    assert_eq!((stage.placed().await, stage.hash_of("ranker").await), (before.clone(), hash(&good.to_string())));
    wait_until("the other policy decides", async || send(&client, "/search", "x-any").await == "b").await.unwrap();
    // The other way round: each has the last good policy of its own name.
    change_listener(&stage.envoy, |listener| {
        *listeners::configuration(listener, 1) = json!(r#"{"name": "search", "if_invalid": "keep"}"#);
    });
    stage.wait_refused("search", 1).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!((stage.placed().await, send(&client, "/search", "x-any").await), (before, "b".to_owned()));
    change_listener(&stage.envoy, |listener| {
        *listeners::configuration(listener, 0) = json!(all_to_b("ranker").to_string());
    });
    stage.wait_in_force(&all_to_b("ranker")).await;
    stage.wait_refused("search", 1).await;
    assert_eq!(stage.hash_of("search").await, hash(&search("b").to_string()));
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_good_policy_outlives_the_module() {
    let good = policy("ranker", 0);
    let stage = Stage::start(&good.to_string(), insert_routes).await;
    stage.wait_in_force(&good).await;
    let before = stage.placed().await;
    let kept = |words: &str| stage.envoy.log().matches(&format!("traffic policy ranker kept: {words}")).count();
    let other = other_module(stage.envoy.folder().join("other.wasm"), add_section);
    // With the module comes a refused policy; then the module changes alone.
    for (module, number) in [(&*other, 1), (stage.envoy.module(), 1), (&*other, 2)] {
        let loads = kept("the last good policy goes on");
        stage.put_with_module(&spoilt("ranker", number), module);
        wait_until("each thread has a new VM", async || kept("the last good policy goes on") >= loads + 3)
            .await
            .unwrap();
        stage.wait_refused("ranker", 1).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!((stage.refused("ranker").await, stage.hash_of("ranker").await), (1, hash(&good.to_string())));
        assert_eq!(stage.placed().await, before);
    }
    // This one refuses the last good policy, too.
    let stricter = other_module(stage.envoy.folder().join("stricter.wasm"), |module| rename_description(module));
    stage.put_with_module(&spoilt("ranker", 2), &stricter);
    let error = "the last good policy is not valid any more: description: ";
    wait_until("the filter says so", async || kept(error) >= 3).await.unwrap();
    stage.wait_refused("ranker", 1).await;
    let client = stage.envoy.client(Http::V1);
    wait_until("requests pass", async || stage.hash_of("ranker").await == 0).await.unwrap();
    assert_eq!(send(&client, "/rank", "x-traffic-cluster-ranker").await, "own");
    // It is not forgotten: the module before goes on with it.
    stage.put_with_module(&spoilt("ranker", 3), &other);
    wait_until("it serves", async || stage.hash_of("ranker").await == hash(&good.to_string())).await.unwrap();
    stage.wait_refused("ranker", 1).await;
    assert_eq!(stage.placed().await, before);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_policy_that_is_not_kept_is_refused_by_envoy() {
    let good = policy("ranker", 0);
    let stage = Stage::start(&good.to_string(), insert_routes).await;
    stage.wait_in_force(&good).await;
    for if_invalid in ["\"refuse\"", "\"Keep\"", "true"] {
        let document = spoilt("ranker", 1).replace("\"keep\"", if_invalid);
        let verdict = stage.envoy.judge(async || stage.envoy.put_policy(&document));
        assert_eq!(verdict.await.unwrap(), Verdict::Refused, "{if_invalid}");
        assert_eq!((stage.refused("ranker").await, stage.hash_of("ranker").await), (0, hash(&good.to_string())));
    }
    stage.end().await;
}
