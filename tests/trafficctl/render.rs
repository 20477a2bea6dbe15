//! `render`: the output is valid, contains the policy, and runs.

use serde_json::{Value, json};
use testbed::backend::{Backend, named};
use testbed::bootstrap::connection_manager;
use testbed::cargo::build_wasm;
use testbed::client::{Client, Http, served_by};
use testbed::process::Running;
use testbed::socket::free_address;
use testbed::{executable, project, read, wait_until};

use super::{Desk, POLICY};

#[test]
fn the_shipped_envoy_files_are_the_output_of_render() {
    let desk = Desk::with("unused", "");
    let policy = project().join("envoy/traffic-policy.yaml");
    let policy = policy.to_str().unwrap();
    let clusters = ["stable=127.0.0.1:18001", "canary=127.0.0.1:18002", "canary-2=127.0.0.1:18003"];
    let mut arguments = vec!["render", "envoy", policy, "--ecds", "envoy/traffic-policy.yaml"];
    arguments.extend(clusters.iter().flat_map(|cluster| ["--cluster", cluster]));
    assert_eq!(desk.trafficctl.ok(&arguments).unwrap(), read("envoy/envoy.yaml").unwrap());
    assert_eq!(desk.trafficctl.ok(["render", "ecds", policy]).unwrap(), read("envoy/traffic-policy.yaml").unwrap());
}

#[test]
fn each_form_contains_the_policy_that_it_was_made_from() {
    let policy: Value = serde_json::from_str(POLICY).unwrap();
    for form in ["envoy", "ecds", "istio --all-hosts --port 80", "envoy-gateway"] {
        let desk = Desk::with("policy.json", POLICY);
        let rendered = desk.ok(&format!("render {form} {}", desk.file()));
        let file = desk.put("rendered.yaml", rendered);
        desk.ok(&format!("check {file}"));
        let of = |file: &str| desk.json(["list", "--json", "-f", file]);
        assert_eq!(of(&file), of(desk.file()), "{form}");
        // Also from one form to another.
        let back = desk.ok(&format!("render ecds {file}"));
        let back = desk.put("back.yaml", back);
        assert_eq!(of(&back), of(desk.file()), "{form}");
        assert_eq!(policy["endpoints"][0]["name"], of(&back)["endpoints"][0]["name"]);
    }
}

#[test]
fn names_of_the_policy_are_in_their_places() {
    let text = POLICY.replacen('{', r#"{ "routing_header": "x-where", "backends": { "model-v2": { "cluster": "outbound|8080|v2|model.prod.svc" } },"#, 1);
    let desk = Desk::with(
        "policy.json",
        with_shadow(&text, r#"{ "fraction": 1, "via": "mirror", "mirror_header": "x-mine" }"#),
    );
    let envoy = desk.ok(&format!("render envoy {} --cluster s=[::1]:9", desk.file()));
    for expected in [
        "header: { key: x-where, value: model-v1 }",
        "cluster_header: x-where",
        "                  request_mirror_policies:\n                  - cluster_header: x-mine\n",
        "              - remove: x-mine\n",
        "                    - remove: x-mine\n",
        "- name: \"outbound|8080|v2|model.prod.svc\"\n    type: STRICT_DNS",
        "address: model.prod.svc, port_value: 8080",
        "address: \"::1\", port_value: 9",
        "# The filter, with its policy. To change it live",
    ] {
        assert!(envoy.contains(expected), "{expected}:\n{envoy}");
    }
    assert!(!envoy.contains("x-traffic-cluster") && !envoy.contains("x-traffic-mirror"), "{envoy}");
    let istio =
        desk.ok(&format!("render istio {} --namespace mesh --gateway ingress --all-hosts --port 80", desk.file()));
    assert!(
        istio.contains("cluster_header: x-where")
            && istio.contains("namespace: mesh")
            && istio.contains("istio: ingress"),
        "{istio}"
    );
    let without_mirror = desk.put("callout.json", with_shadow(&text, r#"{ "fraction": 1 }"#));
    let gateway = desk.ok(&format!(
        "render envoy-gateway {without_mirror} --cluster outbound|8080|v2|model.prod.svc=ranker.prod.svc:9000"
    ));
    assert!(gateway.contains("name: x-where"), "{gateway}");
    assert!(gateway.contains("- name: ranker\n      port: 9000\n      namespace: prod"), "{gateway}");
}

/// A policy with one endpoint, and a shadow `s` in it.
fn with_shadow(policy: &str, shadow: &str) -> String {
    policy.replace("}\n    }", &format!("}},\n      \"shadow\": {{ \"s\": {shadow} }} }}"))
}

#[test]
fn the_default_mirror_header_is_removed_except_where_the_policy_has_others() {
    for (shadow, routing_header, expected) in [
        ("0.5", "x-traffic-cluster", vec!["x-traffic-mirror"]),
        (r#"{ "fraction": 0, "via": "mirror" }"#, "x-traffic-cluster", vec!["x-traffic-mirror"]),
        (r#"{ "fraction": 0, "via": "mirror", "mirror_header": "x-mine" }"#, "x-traffic-cluster", vec!["x-mine"]),
        // The name of the fallback cluster stays.
        ("0.5", "x-traffic-mirror", vec![]),
    ] {
        let policy = POLICY.replacen('{', &format!(r#"{{ "routing_header": "{routing_header}","#), 1);
        let desk = Desk::with("policy.json", with_shadow(&policy, shadow));
        let mut rendered: Value = serde_saphyr::from_str(&desk.ok(&format!("render envoy {}", desk.file()))).unwrap();
        let manager = connection_manager(&mut rendered);
        let mutations = manager["early_header_mutation_extensions"][0]["typed_config"]["mutations"].as_array().unwrap();
        assert_eq!(mutations[0]["append"]["header"]["key"], routing_header);
        let removed: Vec<_> = mutations.iter().filter_map(|mutation| mutation["remove"].as_str()).collect();
        assert_eq!(removed, expected, "{shadow}");
    }
}

#[test]
fn the_policy_is_rendered_unchanged() {
    for policy in [
        // Names that also occur in the templates.
        r#"{ "routing_header": "x-traffic-cluster-v2", "default_cluster": "x-traffic-cluster", "endpoints": [] }"#,
        r#"{ "endpoints": [{ "name": "a", "route": "/target/wasm32-wasip1/release/traffic_policy.wasm", "traffic": { "x-traffic-mirror": 1 } }] }"#,
        // Layouts that would break a block of YAML.
        "   {\n\"endpoints\": [ { \"name\": \"a\",\n\n\"traffic\": { \"v\": 1 } } ] }\n\n",
        "{\r\"endpoints\":\r\n[ { \"name\": \"a\",\r\"traffic\": { \"v\": 1 } } ] }",
    ] {
        let expected: Value = serde_json::from_str(policy).unwrap();
        let desk = Desk::with("policy.json", policy);
        for form in ["envoy", "ecds"] {
            let rendered = desk.ok(&format!("render {form} {}", desk.file()));
            let text: Value = serde_saphyr::from_str(&rendered).unwrap();
            let config = if form == "ecds" {
                &text["resources"][0]["typed_config"]
            } else {
                &text["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"]
                    [0]["typed_config"]
            };
            let policy = config["config"]["configuration"]["value"].as_str().unwrap();
            assert_eq!(serde_json::from_str::<Value>(policy).unwrap(), expected, "{rendered}");
        }
    }
}

#[test]
fn an_option_without_effect_is_refused() {
    let desk = Desk::with("policy.json", POLICY);
    for (options, status, words) in [
        ("envoy --cluster model-v3=a:1", 1, "the policy names no cluster \"model-v3\": did you mean \"model-v1\"?"),
        ("envoy-gateway --cluster model-v1=10.0.0.1:1", 1, "the cluster \"model-v1\" is at an address"),
        (
            "istio --all-hosts --port 80 --cluster model-v1=a:1",
            2,
            "--cluster, --into, --gateway-resource and --destination-rule have an effect only with --routes virtual-service",
        ),
        ("ecds --image a/b:1", 2, "unexpected argument '--image' found"),
        ("ecds --cluster model-v1=a:1", 2, "unexpected argument '--cluster' found"),
        ("envoy --namespace mesh", 2, "unexpected argument '--namespace' found"),
        ("envoy-gateway --sidecar app=a", 2, "unexpected argument '--sidecar' found"),
        ("istio --ecds a.yaml", 2, "unexpected argument '--ecds' found"),
    ] {
        let (form, options) = options.split_once(' ').unwrap();
        let ended = desk.run(&format!("render {form} {} {options}", desk.file()));
        assert_eq!(ended.status, Some(status), "{options}");
        assert!(ended.stderr.contains(words), "{options}: {}", ended.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rendered_proxy_serves() {
    let wasm = build_wasm().unwrap();
    let backends = Backend::start_all(["model-v1", "model-v2"]).await.unwrap();
    let desk = Desk::with("policy.json", with_shadow(POLICY, r#"{ "fraction": 0, "via": "mirror" }"#));
    let mut arguments = vec!["render".to_owned(), "envoy".to_owned(), desk.file().to_owned()];
    arguments.extend(["--module".to_owned(), wasm.to_str().unwrap().to_owned()]);
    for backend in &backends {
        arguments.extend(["--cluster".to_owned(), format!("{}={}", backend.name, backend.address)]);
    }
    let rendered = desk.trafficctl.ok(&arguments).unwrap();
    let (listener, admin) = (free_address().unwrap(), free_address().unwrap());
    let rendered = rendered.replace("port_value: 10000", &format!("port_value: {}", listener.port()));
    let config = desk.put("envoy.yaml", rendered.replace("port_value: 9901", &format!("port_value: {}", admin.port())));
    let mut command = std::process::Command::new(executable().unwrap());
    command.args(["-c", &config, "--disable-hot-restart", "--concurrency", "1", "--log-level", "error"]);
    let _envoy = Running::start(&mut command).unwrap();
    let client = Client::new(listener, Http::V1);
    let mut answer = None;
    wait_until("the rendered proxy answers", async || {
        answer = client.get("/rank", &[("x-serve-shard-key", "alice")]).await.ok();
        answer.is_some()
    })
    .await
    .unwrap();
    let answer = answer.unwrap();
    assert_eq!(served_by(&answer), Some("model-v1"));
    assert_eq!(answer.headers()["x-traffic-backend"], "model-v1");
    // The route mirrors by this header, but not for a client.
    for _ in 0..20 {
        let headers = [("x-serve-shard-key", "alice"), ("x-traffic-mirror", "model-v2")];
        assert_eq!(served_by(&client.get("/rank", &headers).await.unwrap()), Some("model-v1"));
    }
    assert_eq!(named(&backends, "model-v2").count(), 0);
}

#[test]
fn a_backend_that_gets_nothing_now_has_its_cluster_and_its_route() {
    // The next change may give it a share: of 0, a fraction of 0, only in a cohort, only listed.
    let policy = json!({
        "backends": { "listed": {}, "renamed": { "cluster": "spare" } },
        "endpoints": [{
            "name": "e", "match": { "hosts": ["e.example"] }, "traffic": { "a": 1, "b": 0 }, "shadow": { "s": 0, "o": { "fraction": 0, "timeout_ms": 9 } },
            "cohorts": [{ "name": "c", "match": {}, "traffic": { "d": 0, "a": 1 }, "shadow": { "t": 0 } }],
        }],
    });
    let all = ["a", "b", "d", "listed", "o", "s", "spare", "t"];
    let desk = Desk::with("policy.json", policy.to_string());
    let addresses: String = all.iter().map(|cluster| format!(" --cluster {cluster}=host-{cluster}:80")).collect();
    let objects = |command: &str| -> Vec<Value> {
        let rendered = desk.ok(&format!("render {command} {}{addresses}", desk.file()));
        rendered.split("---\n").map(|document| serde_saphyr::from_str(document).unwrap()).collect()
    };
    let sorted = |names: Vec<&Value>| {
        let mut names: Vec<_> = names.into_iter().filter_map(Value::as_str).map(str::to_owned).collect();
        names.sort_unstable();
        names
    };
    let envoy = objects("envoy");
    let clusters = envoy[0]["static_resources"]["clusters"].as_array().unwrap();
    assert_eq!(sorted(clusters.iter().map(|cluster| &cluster["name"]).collect()), all);
    let istio = objects("istio --routes virtual-service --gateway-resource web --host e.example:80");
    let routes = istio[1]["spec"]["http"].as_array().unwrap();
    assert_eq!(
        sorted(routes.iter().map(|route| &route["match"][0]["headers"]["x-traffic-cluster"]["exact"]).collect()),
        all
    );
    let gateway = objects("envoy-gateway");
    let rules = gateway[1]["spec"]["rules"].as_array().unwrap();
    assert_eq!(sorted(rules.iter().map(|rule| &rule["matches"][0]["headers"][0]["value"]).collect()), all);
}
