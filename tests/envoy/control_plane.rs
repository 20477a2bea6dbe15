//! Policies from a control plane over gRPC, as in Istio.

use std::time::Duration;

use serde_json::{Value, json};
use testbed::backend::{Backend, named};
use testbed::client::{Http, served_by};
use testbed::control_plane::{ControlPlane, Reply};
use testbed::envoy::{Envoy, Setup};
use testbed::load::Background;
use testbed::policies::{hash, one_endpoint};
use testbed::{cases, load, wait_until};

const WORKERS: usize = 2;

/// An Envoy and its control plane.
struct Mesh {
    envoy: Envoy,
    control_plane: ControlPlane,
}

impl Mesh {
    /// Starts both, with this policy in force.
    async fn start(policy: &str, backends: &[Backend]) -> Self {
        let (mesh, reply) = Self::start_and_reply(policy, backends).await;
        assert_eq!(reply, Reply::Ack);
        mesh.envoy.wait_until_published(policy).await.unwrap();
        mesh
    }

    /// Starts both with this policy, and returns Envoy's reply.
    async fn start_and_reply(policy: &str, backends: &[Backend]) -> (Self, Reply) {
        let mut control_plane = ControlPlane::start().await.unwrap();
        let setup = Setup {
            workers: WORKERS as u32,
            control_plane: Some(control_plane.address),
            ..Setup::new(policy, backends)
        };
        // Envoy is not ready before a policy has come.
        let (envoy, reply) = tokio::join!(Envoy::start(&setup), control_plane.push(policy));
        (Self { envoy: envoy.unwrap(), control_plane }, reply.unwrap())
    }

    /// Pushes a policy that Envoy has not seen yet, and waits until all workers decide by it.
    async fn push_good(&mut self, policy: &str) {
        let before = self.envoy.loads();
        assert_eq!(self.control_plane.push(policy).await.unwrap(), Reply::Ack);
        // Envoy accepts once the policy is loaded for a trial and on the main thread. The workers
        // follow.
        wait_until("each worker loads the policy", async || self.envoy.loads() == before + 2 + WORKERS).await.unwrap();
        self.envoy.wait_until_published(policy).await.unwrap();
    }

    /// Pushes an invalid policy. It must be refused with these errors, and the policy before must
    /// stay in force.
    async fn push_bad(&mut self, policy: &str, errors: &[String], rule: &str) {
        let before = self.envoy.policy_hash().await.unwrap();
        let logged = self.envoy.log().len();
        assert_eq!(self.control_plane.push(policy).await.unwrap(), refused(), "{rule}");
        let log = self.envoy.log().split_off(logged);
        for error in errors {
            assert!(log.contains(&format!("traffic policy refused: {error}")), "{rule}: no {error:?} in the log");
        }
        assert_eq!(self.envoy.policy_hash().await.unwrap(), before, "{rule}");
    }
}

/// Envoy's reply to a policy that the filter refuses. Only its log contains the reasons.
fn refused() -> Reply {
    Reply::Nack("Unable to create Wasm plugin traffic-policy".to_owned())
}

/// The filter in Envoy's dump of its configuration.
async fn dumped_filter(envoy: &Envoy) -> Value {
    let dump: Value = serde_json::from_str(&envoy.admin("/config_dump").await.unwrap()).unwrap();
    let mut parts = dump["configs"].as_array().unwrap().iter();
    parts.find_map(|part| part.pointer("/ecds_filters/0/ecds_filter")).unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_control_plane_serves_the_same_filter_as_the_shipped_file() {
    let backends = Backend::start_all(["main"]).await.unwrap();
    let policy = one_endpoint(json!({ "name": "e", "traffic": { "main": 1 } }));
    let from_file = Envoy::start(&Setup::new(policy.as_str(), &backends)).await.unwrap();
    let mesh = Mesh::start(&policy, &backends).await;
    assert_eq!(dumped_filter(&mesh.envoy).await, dumped_filter(&from_file).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_pushes_under_load_good_ones_take_effect_bad_ones_are_refused_and_no_request_fails() {
    const BAD: usize = 25;
    let backends = Backend::start_all(["a", "b", "c"]).await.unwrap();
    let all_to = |name: &str, n: usize| one_endpoint(json!({ "name": format!("push-{n}"), "traffic": { name: 1 } }));
    let mut mesh = Mesh::start(&all_to("c", 0), &backends).await;
    let clients = [Http::V1, Http::V2, Http::V2].map(|http| mesh.envoy.client(http));
    let loads = clients.map(|client| Background::start(&client, "/"));
    // Evenly spread over the file, in which similar ones stand together.
    let refusals = cases::refusals().unwrap();
    let bad: Vec<_> = refusals.iter().step_by(refusals.len() / BAD).take(BAD).collect();
    assert_eq!(bad.len(), BAD);
    for (n, refusal) in (1..).zip(bad) {
        let name = ["a", "b", "c"][n % 3];
        let serving = named(&backends, name);
        let take_others =
            || backends.iter().filter(|backend| backend.name != name).map(Backend::take_count).sum::<u64>();
        let flows_on = async || {
            let before = serving.count();
            wait_until("load flows on", async || serving.count() >= before + 100).await.unwrap();
        };
        mesh.push_good(&all_to(name, n)).await;
        wait_until("requests in flight are answered", async || {
            take_others();
            tokio::time::sleep(Duration::from_millis(20)).await;
            take_others() == 0
        })
        .await
        .unwrap();
        flows_on().await;
        mesh.push_bad(&refusal.text(), &refusal.errors, &refusal.rule).await;
        flows_on().await;
        assert_eq!(take_others(), 0, "{}: not only {name} serves", refusal.rule);
    }
    for load in loads {
        let tally = load.stop().await;
        assert_eq!(tally.failed, 0, "of {}", tally.total());
    }
}

// This is how Envoy 1.40 behaves. So an operator must look at the metric, and not at the dump or
// the acknowledgement, to see the policy in force.
#[tokio::test(flavor = "multi_thread")]
async fn envoy_dumps_a_refused_policy_and_acknowledges_it_the_second_time_but_the_metric_is_right() {
    let backends = Backend::start_all(["a"]).await.unwrap();
    let good = one_endpoint(json!({ "name": "e", "traffic": { "a": 1 } }));
    let mut mesh = Mesh::start(&good, &backends).await;
    for reply in [refused(), Reply::Ack] {
        assert_eq!(mesh.control_plane.push("[]").await.unwrap(), reply);
        let dumped = dumped_filter(&mesh.envoy).await;
        assert_eq!(dumped.pointer("/typed_config/config/configuration/value"), Some(&json!("[]")));
        assert_eq!(mesh.envoy.policy_hash().await.unwrap(), hash(&good));
        let answer = mesh.envoy.client(Http::V1).get("/", &[]).await.unwrap();
        assert_eq!(served_by(&answer), Some("a"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_whose_first_policy_is_invalid_answers_500_until_a_valid_one_comes() {
    let backends = Backend::start_all(["a"]).await.unwrap();
    let (mut mesh, reply) = Mesh::start_and_reply("[]", &backends).await;
    assert_eq!(reply, refused());
    let client = mesh.envoy.client(Http::V1);
    assert_eq!(client.get("/", &[]).await.unwrap().status(), 500);
    mesh.push_good(&one_endpoint(json!({ "name": "e", "traffic": { "a": 1 } }))).await;
    assert_eq!(served_by(&client.get("/", &[]).await.unwrap()), Some("a"));
}

/// `value` as JSON, with numbers in this form and members in order or reversed.
fn written(value: &Value, number: fn(f64) -> String, is_reversed: bool) -> String {
    match value {
        Value::Number(value) => number(value.as_f64().unwrap()),
        Value::Array(values) => {
            let values: Vec<_> = values.iter().map(|value| written(value, number, is_reversed)).collect();
            format!("[{}]", values.join(","))
        }
        Value::Object(members) => {
            let member = |(key, value)| format!("{}:{}", Value::from(key), written(value, number, is_reversed));
            let mut members: Vec<_> = members.iter().map(|(key, value)| member((key.as_str(), value))).collect();
            if is_reversed {
                members.reverse();
            }
            format!("{{{}}}", members.join(","))
        }
        other => other.to_string(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_the_same_whatever_the_form_of_its_numbers_and_the_order_of_its_members() {
    const COUNT: u64 = 200;
    let backends = Backend::start_all(["a", "b", "copy", "other"]).await.unwrap();
    let policy = json!({
        "response_header": "x-backend",
        "metrics": { "responses": true },
        "endpoints": [{
            "name": "e",
            "traffic": { "a": 0.5, "b": 0.5 },
            "shadow": { "copy": { "fraction": 1, "timeout_ms": 5000, "max_in_flight": 500, "max_body_bytes": 65536 } },
            "cohorts": [{
                "name": "beta",
                "match": { "headers": [{ "name": "x-beta", "present": true }] },
                "traffic": { "b": 1, "a": 0 },
                "shadow": { "copy": 0 },
            }],
        }],
    });
    let other = |n: usize| one_endpoint(json!({ "name": format!("other-{n}"), "traffic": { "other": 1 } }));
    let mut mesh = Mesh::start(&other(0), &backends).await;
    let client = mesh.envoy.client(Http::V1);
    // 0.5, 1 and 5000; 0.5, 1.0 and 5000.0; 5e-1, 1e0 and 5e3; 5E-1, 1E0 and 5E3.
    let forms: [fn(f64) -> String; 4] =
        [|n| format!("{n}"), |n| format!("{n:?}"), |n| format!("{n:e}"), |n| format!("{n:E}")];
    let orders = [false, true];
    let texts = forms.iter().flat_map(|form| orders.map(|is_reversed| written(&policy, *form, is_reversed)));
    for (n, text) in (1..).zip(texts) {
        assert_eq!(hash(&text), hash(&policy.to_string()), "{text}");
        mesh.push_good(&text).await;
        let tally = load::send(&client, "/", COUNT).await;
        assert!(tally.of("a") > 0 && tally.of("b") > 0, "{tally:?} by {text}");
        assert_eq!(tally.of("a") + tally.of("b"), COUNT, "{tally:?} by {text}");
        let copies = || mesh.envoy.outcomes("copy", "2xx");
        wait_until("each is copied", async || copies().await.unwrap() == COUNT * n as u64).await.unwrap();
        let answer = client.get("/", &[("x-beta", "1")]).await.unwrap();
        assert_eq!(served_by(&answer), Some("b"), "{text}");
        mesh.push_good(&other(n)).await;
        let answer = client.get("/", &[]).await.unwrap();
        assert_eq!(served_by(&answer), Some("other"), "after {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_of_a_megabyte_takes_effect_and_an_error_at_its_end_is_found() {
    const ENDPOINTS: usize = 7000;
    const NAMES: [&str; 3] = ["a", "b", "c"];
    let backends = Backend::start_all(NAMES).await.unwrap();
    let endpoint = |n: usize| {
        let (name, of_beta) = (NAMES[n % 3], NAMES[(n + 1) % 3]);
        let beta = json!({ "name": "beta", "match": { "headers": [{ "name": "x-beta", "present": true }] },
            "traffic": { of_beta: 1 } });
        json!({ "name": format!("e{n}"), "route": format!("/e{n}"), "traffic": { name: 1 }, "cohorts": [beta] })
    };
    let mut endpoints: Vec<_> = (0..ENDPOINTS).map(endpoint).collect();
    let policy = json!({ "endpoints": endpoints }).to_string();
    assert!(policy.len() > 1_000_000, "{} bytes", policy.len());
    endpoints[ENDPOINTS - 1]["traffic"]["d"] = json!(0.5);
    let bad = json!({ "endpoints": endpoints }).to_string();
    let small = one_endpoint(json!({ "name": "first", "traffic": { "a": 1 } }));
    let mut mesh = Mesh::start(&small, &backends).await;
    let clients = [Http::V1, Http::V2].map(|http| mesh.envoy.client(http));
    mesh.push_good(&policy).await;
    for is_after_bad in [false, true] {
        if is_after_bad {
            let error = format!("endpoints[{}].traffic: the shares add up to 1.5;", ENDPOINTS - 1);
            mesh.push_bad(&bad, &[error], "a wrong sum").await;
        }
        for n in (0..ENDPOINTS).step_by(150).chain([ENDPOINTS - 1]) {
            for client in &clients {
                let path = format!("/e{n}/x");
                let answer = client.get(&path, &[]).await.unwrap();
                assert_eq!(served_by(&answer), Some(NAMES[n % 3]), "{path}");
                let answer = client.get(&path, &[("x-beta", "1")]).await.unwrap();
                assert_eq!(served_by(&answer), Some(NAMES[(n + 1) % 3]), "{path} of beta");
            }
        }
    }
}
