//! `render admission`: what a real API server refuses with these rules, and what it takes.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use policy::Policy;
use serde_json::{Value, json};
use testbed::client::{Client, Http};
use testbed::mesh::kubernetes::Kubernetes;
use testbed::mesh::ports::Ports;
use testbed::model::Line;
use testbed::process::Running;
use testbed::trafficctl::Trafficctl;
use testbed::{cases, model, policies, project, read, shapes, wait_for};

/// Refusals of the table that CEL can't express, and why.
const BEYOND: [(&str, &str); 7] = [
    ("a match with a path regex that is none", REGEX),
    ("a match with a regex that does not balance", REGEX),
    ("a match with a regex with a back reference", REGEX),
    ("a match with a regex that is too large", REGEX),
    ("a request that may cost too much, in one endpoint", COST),
    ("a request that may cost too much, in several endpoints", COST),
    ("too many mirror headers", "CEL of Kubernetes 1.30 has no set of distinct strings"),
];

const REGEX: &str = "CEL has another syntax of regexes, and no way to try one";
const COST: &str = "the model of a request's cost needs the states of regexes";

/// The words before the reason in a refusal by these rules.
const DENIED: &str = "ValidatingAdmissionPolicy 'traffic-policy' with binding 'traffic-policy' denied request: ";

/// What becomes of an object.
#[derive(Debug, PartialEq)]
enum Verdict {
    Admitted,
    /// The rules refuse it, for this reason.
    Refused(String),
    /// The API server refuses it before the rules see it.
    Unreadable(String),
}

/// An API server with the rules.
struct Api {
    kubernetes: Kubernetes,
    /// It adds the credentials, so that a plain client will do: a request for each case.
    _proxy: Running,
    client: Client,
}

impl Api {
    /// Starts one with the rules as they are rendered, and with another `failurePolicy` if one is given.
    async fn start(failure_policy: &str) -> Self {
        let kubernetes = Kubernetes::start().await.unwrap();
        let rules = Trafficctl::build("unused").unwrap().ok(["render", "admission"]).unwrap();
        assert_eq!(rules.matches("failurePolicy: Ignore").count(), 1);
        let rules = rules.replace("failurePolicy: Ignore", &format!("failurePolicy: {failure_policy}"));
        kubernetes.apply(&rules).await.unwrap();
        let port = Ports::find(1).unwrap().nth(0);
        let mut proxy = Command::new(project().join(".tools/mesh/bin/kubectl"));
        proxy.arg("--kubeconfig").arg(kubernetes.kubeconfig()).args(["proxy", &format!("--port={port}")]);
        proxy.stdin(Stdio::null()).stdout(Stdio::null());
        let proxy = Running::start(&mut proxy).unwrap();
        let client = Client::new(([127, 0, 0, 1], port).into(), Http::V1);
        let api = Self { kubernetes, _proxy: proxy, client };
        let are_in_force = async || {
            let answer = api.client.get("/readyz", &[]).await;
            answer.is_ok() && matches!(api.policy(&json!({})).await, Verdict::Refused(_))
        };
        wait_for(std::time::Duration::from_secs(90), "the rules are in force", are_in_force).await.unwrap();
        api
    }

    /// What becomes of a WasmPlugin with this policy.
    async fn policy(&self, policy: &Value) -> Verdict {
        self.text(&policy.to_string()).await
    }

    /// What becomes of a WasmPlugin with this text in the place of the policy.
    async fn text(&self, policy: &str) -> Verdict {
        let spec = json!({ "url": "oci://a", "pluginName": "traffic-policy", "pluginConfig": "POLICY" });
        self.spec(&spec.to_string().replace("\"POLICY\"", policy)).await
    }

    /// What becomes of a WasmPlugin with this `spec`.
    async fn spec(&self, spec: &str) -> Verdict {
        let object = format!(
            r#"{{"apiVersion": "extensions.istio.io/v1alpha1", "kind": "WasmPlugin", "metadata": {{"name": "x"}}, "spec": {spec}}}"#
        );
        let path =
            "/apis/extensions.istio.io/v1alpha1/namespaces/default/wasmplugins?dryRun=All&fieldValidation=Strict";
        let headers = [("content-type", &b"application/json"[..])];
        let answer = self.client.send("POST", path, headers, object).await.unwrap();
        if answer.status() == 201 {
            return Verdict::Admitted;
        }
        let status: Value = serde_json::from_slice(answer.body()).unwrap();
        let message = status["message"].as_str().unwrap();
        match message.split_once(DENIED) {
            Some((_, reason)) => Verdict::Refused(reason.to_owned()),
            None => Verdict::Unreadable(message.to_owned()),
        }
    }
}

/// The place at the start of a message.
fn place(message: &str) -> &str {
    message.split_once(": ").unwrap().0
}

#[tokio::test(flavor = "multi_thread")]
async fn admission_refuses_what_the_filter_refuses() {
    let api = Api::start("Ignore").await;
    let (mut by_rules, mut unreadable, mut admitted) = (0, 0, BTreeSet::new());
    let refusals = cases::refusals().unwrap();
    for refusal in &refusals {
        match api.text(&refusal.text()).await {
            Verdict::Refused(reason) => {
                by_rules += 1;
                let at = place(&reason);
                // The filter names this place, or one around it.
                let is_there = |error: &String| error.contains(at) || at.starts_with(place(error));
                assert!(refusal.errors.iter().any(is_there), "{}: {reason}\n{:?}", refusal.rule, refusal.errors);
            }
            Verdict::Unreadable(_) => unreadable += 1,
            Verdict::Admitted => {
                admitted.insert(refusal.rule.as_str());
            }
        }
    }
    let beyond: BTreeSet<&str> = BEYOND.iter().map(|(rule, _)| *rule).collect();
    assert_eq!(admitted, beyond, "these are admitted, and those are listed");
    let readable = refusals.len() - unreadable;
    assert!(by_rules * 100 >= readable * 80, "{by_rules} of {readable}");
    let claim = format!(
        "Of the {} refusals in the tests, the API server refuses {unreadable} by itself, since they are not JSON, \
         have a key twice or are no object, and the rules refuse {by_rules} of the other {readable} ({:.1} %).",
        refusals.len(),
        100.0 * by_rules as f64 / readable as f64,
    );
    let page = read("src/trafficctl/README.md").unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(page.contains(&claim), "src/trafficctl/README.md does not say: {claim}");
}

#[tokio::test(flavor = "multi_thread")]
async fn admission_takes_every_valid_policy() {
    // An expression that fails would refuse the policy, too.
    let api = Api::start("Fail").await;
    let mut valid: Vec<(String, String)> = Vec::new();
    let mut add = |name: String, text: String| {
        if Policy::from_json(text.as_bytes()).is_ok() {
            valid.push((name, text));
            return true;
        }
        false
    };
    for table in cases::tables().unwrap() {
        assert!(add(table.file, table.policy.to_string()));
    }
    assert!(add("the shipped policy".to_owned(), policies::shipped().unwrap()));
    for page in ["README.md", "envoy/README.md", "src/policy/README.md", "src/trafficctl/README.md"] {
        for (n, block) in read(page).unwrap().split("```json\n").skip(1).enumerate() {
            let block = block.split("```").next().unwrap();
            let whole = if block.trim_start().starts_with('{') {
                block.to_owned()
            } else {
                policies::one_endpoint(json!("ENDPOINT"))
                    .replace("\"ENDPOINT\"", &format!(r#"{{"name": "e", "traffic": {{"model-v1": 1}}, {block}}}"#))
            };
            assert!(add(format!("{page}, block {n}"), whole));
        }
    }
    for file in ["istio-gateway.yaml", "istio-sidecar.yaml", "istio-virtual-service.yaml"] {
        api.kubernetes.judge(&read(&format!("envoy/{file}")).unwrap()).await.unwrap();
    }
    for shape in shapes::all().unwrap() {
        add(shape.name(), shape.with_count(2));
    }
    let seeds: Vec<String> = serde_json::from_str(&read("tests/data/seeds/policy.json").unwrap()).unwrap();
    for seed in seeds {
        add(seed.clone(), seed);
    }
    model::generate(1, 300, 3, |line| {
        if let Line::Policy(policy) = line {
            assert!(add("a policy of the model".to_owned(), policy.to_string()));
        }
    })
    .unwrap();
    assert!(valid.len() > 300, "only {} policies", valid.len());
    println!("{} valid policies", valid.len());
    for (name, policy) in valid {
        let verdict = api.text(&policy).await;
        assert_eq!(verdict, Verdict::Admitted, "{name}\n{policy}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn admission_judges_no_plugin_of_another_team_and_no_policy_that_is_too_large() {
    let api = Api::start("Ignore").await;
    for spec in [
        json!({ "url": "oci://a" }),
        json!({ "url": "oci://a", "pluginName": "other" }),
        json!({ "url": "oci://a", "pluginName": "other-traffic-policy", "pluginConfig": { "endpoints": 1 } }),
        json!({ "url": "oci://a", "pluginName": "traffic-policyholder", "pluginConfig": { "endpoints": 1 } }),
        json!({ "url": "oci://a", "pluginConfig": { "endpoints": [{ "name": 1 }], "any": [null, 1.5, { "x": [] }] } }),
    ] {
        assert_eq!(api.spec(&spec.to_string()).await, Verdict::Admitted, "{spec}");
    }
    let own = json!({ "url": "oci://a", "pluginName": "traffic-policy-shop", "pluginConfig": { "endpoints": 1 } });
    assert_eq!(api.spec(&own.to_string()).await, Verdict::Refused("endpoints: expected a list".to_owned()));

    let endpoint = |n: usize, share: f64| {
        json!({ "name": format!("endpoint-{n:05}"), "route": format!("/service/{n}"),
                "traffic": { "model-v1": share, "model-v2": 0.1 } })
    };
    let with_last = |count: usize, share: f64| {
        let endpoints: Vec<Value> = (0..count).map(|n| endpoint(n, if n + 1 == count { share } else { 0.9 })).collect();
        json!({ "endpoints": endpoints })
    };
    for (count, is_checked) in [(50, true), (500, true), (1000, true), (1001, false), (5000, false)] {
        assert_eq!(api.policy(&with_last(count, 0.9)).await, Verdict::Admitted, "{count} endpoints");
        let verdict = api.policy(&with_last(count, 0.8)).await;
        let refused = format!("endpoints[{}].traffic: the shares add up to 0.9", count - 1);
        let is_refused = matches!(&verdict, Verdict::Refused(reason) if reason.starts_with(&refused));
        assert_eq!(is_refused, is_checked, "{count} endpoints: {verdict:?}");
    }
    let cohort = |n: usize| {
        json!({ "name": format!("cohort-{n}"), "match": { "headers": [{ "name": "x-group", "exact": n.to_string() }] },
                "traffic": { "a": 0.5, "b": 0.5 } })
    };
    for (count, nested) in [(10, 90), (1, 900), (100, 9), (100, 50), (2000, 3)] {
        let cohorts: Vec<Value> = (0..nested).map(cohort).collect();
        let endpoints: Vec<Value> =
            (0..count).map(|n| json!({ "name": format!("e{n}"), "traffic": { "a": 1 }, "cohorts": cohorts })).collect();
        let verdict = api.policy(&json!({ "endpoints": endpoints })).await;
        assert_eq!(verdict, Verdict::Admitted, "{count} endpoints of {nested} cohorts");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_apply_says_where_a_policy_is_wrong() {
    let api = Api::start("Ignore").await;
    let shipped = read("envoy/istio-gateway.yaml").unwrap();
    api.kubernetes.apply(&shipped).await.unwrap();
    let mut objects = shipped.split("---\n");
    let plugin: Value = serde_saphyr::from_str(objects.next().unwrap()).unwrap();
    let applied = async |pointer: &str, value: Value| {
        let mut plugin = plugin.clone();
        *plugin.pointer_mut(pointer).unwrap() = value;
        api.kubernetes.apply(&plugin.to_string()).await
    };
    let traffic = "/spec/pluginConfig/endpoints/0/traffic";
    let error = applied(traffic, json!({ "v1": 0.9, "v2": 0.05 })).await.unwrap_err().to_string();
    assert!(error.contains("endpoints[0].traffic: the shares add up to 0.95"), "{error}");
    let error = applied(traffic, json!({ "v1": "0.9", "v2": 0.1 })).await.unwrap_err().to_string();
    assert!(error.contains("endpoints[0].traffic.v1: expected a number, not in quotes"), "{error}");
    for shares in [json!({ "v1": 99, "v2": 1 }), json!({ "v1": 0.5, "v2": 0.5 }), json!({ "v1": 1, "v2": 0 })] {
        applied(traffic, shares).await.unwrap();
    }
}
