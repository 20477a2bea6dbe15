//! The tour in the documents, command by command, against a running Envoy.

use std::collections::BTreeMap;

use serde_json::Value;
use testbed::backend::{Backend, named};
use testbed::client::{Client, Http, served_by};
use testbed::envoy::{Envoy, Setup, Verdict};
use testbed::statistics::assert_share;
use testbed::trafficctl::Trafficctl;
use testbed::{load, read, wait_until};

use super::Desk;

const REQUESTS: u64 = 2_000;
const USERS: usize = 300;

/// The page with the tour.
const PAGE: &str = "src/trafficctl/README.md";

/// The commands of the tour, except for those that prepare it.
fn tour() -> Vec<String> {
    let page = read(PAGE).unwrap();
    let section = page.split_once("### A tour\n").unwrap().1.split_once("\n### ").unwrap().0;
    let block = section.split_once("```sh\n").unwrap().1.split_once("```").unwrap().0;
    let commands = block.lines().filter_map(|line| line.strip_prefix("trafficctl "));
    let commands = commands.map(|command| command.split('#').next().unwrap().trim().to_owned());
    commands.filter(|command| !command.starts_with("render")).collect()
}

/// The backend that serves each user of an endpoint.
async fn serve_users(client: &Client, endpoint: &str) -> Vec<String> {
    let mut served = Vec::new();
    for n in 0..USERS {
        let key = format!("user-{n}");
        let answer = client.get(&format!("/{endpoint}"), &[("x-serve-shard-key", &key)]).await.unwrap();
        served.push(served_by(&answer).unwrap_or_default().to_owned());
    }
    served
}

/// The users that a change moves according to `diff`: from one backend to another.
fn predicted(desk: &Desk, endpoint: &str, old: &str, new: &str) -> BTreeMap<String, (String, String)> {
    let keys: Vec<_> = (0..USERS).map(|n| format!("user-{n}")).collect();
    let keys = desk.put("keys", keys.join("\n"));
    let report = desk.json(["diff", old, new, "--keys", &keys, "--json"]);
    let change = report["changes"].as_array().unwrap().iter().find(|change| change["name"] == endpoint);
    let moves = change.and_then(|change| change["users"]["keys"].as_array()).into_iter().flatten();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    moves.map(|user| (text(&user["key"]), (text(&user["from"]), text(&user["to"])))).collect()
}

/// Sends requests to an endpoint, and checks the counts of its backends and shadows.
async fn check_endpoint(envoy: &Envoy, backends: &[Backend], endpoint: &Value, command: &str) {
    let counted = |backend: &str| {
        let backend = backend.to_owned();
        async move { envoy.all_outcomes(&backend).await.unwrap() }
    };
    let mut before = BTreeMap::new();
    for (shadow, _) in endpoint["shadow"].as_object().unwrap() {
        before.insert(shadow.clone(), counted(shadow).await);
    }
    for backend in backends {
        backend.take_count();
    }
    let name = endpoint["name"].as_str().unwrap();
    let tally = load::send(&envoy.client(Http::V1), &format!("/{name}"), REQUESTS).await;
    assert_eq!(tally.failed, 0, "{command}");
    for (backend, share) in endpoint["traffic"].as_object().unwrap() {
        assert_share(tally.of(backend), REQUESTS, share.as_f64().unwrap(), &format!("{command}: served by {backend}"));
    }
    assert_eq!(
        tally.by_backend.len(),
        tally.by_backend.keys().filter(|name| endpoint["traffic"].get(name).is_some()).count()
    );
    for (shadow, fraction) in endpoint["shadow"].as_object().unwrap() {
        let mut copies = 0;
        wait_until("every copy has come and is counted", async || {
            let so_far = counted(shadow).await - before[shadow];
            let is_stable = so_far == copies && envoy.in_flight(shadow).await.unwrap() == 0;
            copies = so_far;
            is_stable && named(backends, shadow).count() == so_far
        })
        .await
        .unwrap();
        assert_share(copies, REQUESTS, fraction.as_f64().unwrap(), &format!("{command}: copies to {shadow}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_command_of_the_tour_has_its_effect_in_envoy() {
    let commands = tour();
    let created: Vec<_> = commands.iter().filter_map(|command| command.strip_prefix("create-backend ")).collect();
    let backends = Backend::start_all(created).await.unwrap();
    let none = r#"{ "endpoints": [] }"#;
    let envoy = Envoy::start(&Setup { workers: 2, ..Setup::new(none, &backends) }).await.unwrap();
    let desk = Desk::with("policy.json", none);
    let trafficctl = Trafficctl::build(envoy.policy_file()).unwrap();
    // The layout differs from the testbed's. The policy is the same, so there is no verdict to wait
    // for.
    trafficctl.render_ecds(&desk.trafficctl.file, envoy.module()).unwrap();
    let client = envoy.client(Http::V1);
    let mut verbs: BTreeMap<&str, usize> = BTreeMap::new();
    for command in &commands {
        let words: Vec<_> = command.split(' ').collect();
        *verbs.entry(words[0]).or_default() += 1;
        if words[0] == "list" || words[0] == "explain" || words[0] == "diff" {
            trafficctl.ok(&words).unwrap();
            continue;
        }
        let old = desk.put("old.yaml", std::fs::read_to_string(envoy.policy_file()).unwrap());
        let is_of_endpoint = ["set-traffic", "shadow-traffic"].contains(&words[0]);
        let users = if is_of_endpoint { serve_users(&client, words[1]).await } else { Vec::new() };
        let verdict = envoy.judge(async || trafficctl.ok(&words).map(drop)).await.unwrap();
        assert_eq!(verdict, Verdict::InForce, "{command}");
        if words[0] == "create-backend" || words[0].starts_with("delete") {
            continue;
        }
        let list: Value = serde_json::from_str(&trafficctl.ok(["list", "--json"]).unwrap()).unwrap();
        let endpoint =
            list["endpoints"].as_array().unwrap().iter().find(|endpoint| endpoint["name"] == words[1]).unwrap();
        check_endpoint(&envoy, &backends, endpoint, command).await;
        if is_of_endpoint {
            let now = serve_users(&client, words[1]).await;
            let mut moved = BTreeMap::new();
            for (n, (before, after)) in users.into_iter().zip(now).enumerate() {
                if before != after {
                    moved.insert(format!("user-{n}"), (before, after));
                }
            }
            let new = desk.put("new.yaml", std::fs::read_to_string(envoy.policy_file()).unwrap());
            assert_eq!(moved, predicted(&desk, words[1], &old, &new), "{command}");
        }
    }
    // The tour covers what Ray Serve offered: a split; a canary, a second one beside it, all to the
    // new one, and back; four steps and a rollback; two shadows, and none.
    assert_eq!((verbs["create-endpoint"], verbs["set-traffic"], verbs["shadow-traffic"]), (4, 10, 4), "{verbs:?}");
}
