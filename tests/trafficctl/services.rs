//! `render istio` and `create-backend` in a mesh: the clusters of Services.

use serde_json::{Value, json};

use super::Desk;
use super::kubernetes::{MESH, objects};

/// The options of a rendering for all hosts.
const ALL: &str = "--namespace default --all-hosts";

/// A policy with a backend of each kind.
const PLAIN: &str = r#"{
  "default_cluster": "web",
  "backends": { "listed": { "variant": "x" }, "given": { "cluster": "outbound|1||given.example.com" } },
  "endpoints": [{ "name": "e", "traffic": { "given": 1, "ranker-v1": 0 }, "shadow": { "ranker-v2": 0.5 } }]
}"#;

/// The policy that these options render, and the standard error.
fn rendered(policy: &str, options: &str) -> (Value, String) {
    let desk = Desk::with("policy.json", policy);
    let ended = desk.run(format!("render istio {} {ALL} {options}", desk.file()).trim());
    assert_eq!(ended.status, Some(0), "{options}: {}", ended.stderr);
    (objects(&ended.stdout)[0]["spec"]["pluginConfig"].clone(), ended.stderr)
}

/// The error and the exit status of a rendering.
fn refused(policy: &str, options: &str) -> String {
    let desk = Desk::with("policy.json", policy);
    let ended = desk.run(format!("render istio {} {ALL} {options}", desk.file()).trim());
    assert_eq!((ended.status, ended.stdout.as_str()), (Some(1), ""), "{options}: {}", ended.stderr);
    ended.stderr
}

#[test]
fn a_backend_without_a_cluster_is_the_service_of_its_name() {
    let (policy, _) = rendered(PLAIN, "--port 8080");
    let expected = json!({
        "listed": { "variant": "x", "cluster": "outbound|8080||listed.default.svc.cluster.local" },
        "given": { "cluster": "outbound|1||given.example.com" },
        "ranker-v1": { "cluster": "outbound|8080||ranker-v1.default.svc.cluster.local" },
        "ranker-v2": { "cluster": "outbound|8080||ranker-v2.default.svc.cluster.local" },
    });
    assert_eq!(policy["backends"], expected);
    assert_eq!(policy["default_cluster"], "outbound|8080||web.default.svc.cluster.local");
    // All else is as it was.
    let written: Value = serde_json::from_str(PLAIN).unwrap();
    assert_eq!(policy["endpoints"], written["endpoints"]);
    let (policy, _) = rendered(
        PLAIN,
        "--port 80 --service-namespace prod --cluster-domain mesh.example --subset ranker-v1=ranker/v1 --subset ranker-v2=ranker/v2",
    );
    assert_eq!(policy["backends"]["listed"]["cluster"], "outbound|80||listed.prod.svc.mesh.example");
    assert_eq!(policy["backends"]["ranker-v1"]["cluster"], "outbound|80|v1|ranker.prod.svc.mesh.example");
    assert_eq!(policy["backends"]["ranker-v2"]["cluster"], "outbound|80|v2|ranker.prod.svc.mesh.example");
    // A policy without a list of backends gets one.
    let (policy, warnings) = rendered(r#"{ "endpoints": [{ "name": "e", "traffic": { "a": 1 } }] }"#, "--port 80");
    assert_eq!(policy["backends"], json!({ "a": { "cluster": "outbound|80||a.default.svc.cluster.local" } }));
    assert_eq!(warnings, "");
}

#[test]
fn a_backend_that_is_no_cluster_of_istio_is_refused() {
    for (policy, options, words) in [
        (
            PLAIN,
            "",
            "error: the backends \"listed\", \"ranker-v1\", \"ranker-v2\" have no cluster, and Istio has none of that name: with --port,",
        ),
        (
            r#"{ "endpoints": [{ "name": "e", "traffic": { "a": 1 } }] }"#,
            "",
            r#"write "backends": {"a": {"cluster": "outbound|PORT||SERVICE.default.svc.cluster.local"}}"#,
        ),
        (
            r#"{ "endpoints": [{ "name": "e", "traffic": { "ranker_v1": 1 } }] }"#,
            "--port 80",
            "the backend \"ranker_v1\" can't be a Service, by its name: write its `cluster` into `backends`",
        ),
        (
            PLAIN,
            "--port 80 --subset ranker-v3=ranker/v3",
            "--subset: unknown backend \"ranker-v3\": did you mean \"ranker-v1\"?",
        ),
        (PLAIN, "--port 80 --subset given=ranker/v3", "--subset: the backend \"given\" has a cluster already"),
        (
            r#"{ "backends": { "a": { "cluster": "inbound-vip|80|http|a.b.svc.cluster.local" } }, "endpoints": [{ "name": "e", "traffic": { "a": 1 } }] }"#,
            "",
            "is one of a waypoint, and the filter is not supported in waypoints",
        ),
    ] {
        let found = refused(policy, options);
        assert!(found.contains(words), "{options}: {found}");
    }
}

#[test]
fn a_cluster_that_istio_can_not_have_is_a_warning() {
    let policy = |cluster: &str| {
        json!({ "backends": { "a": { "cluster": cluster } }, "endpoints": [{ "name": "e", "traffic": { "a": 1 } }] })
            .to_string()
    };
    for cluster in ["ranker-v1", "outbound|8080||ranker", "outbound|8080|ranker.prod.svc.cluster.local"] {
        let (_, warnings) = rendered(&policy(cluster), "--port 80");
        let expected = format!(
            "warning: the cluster of \"a\", {cluster:?}, is no name that Istio gives: it is outbound|PORT|SUBSET|HOST"
        );
        assert!(warnings.contains(&expected), "{warnings}");
    }
    assert_eq!(rendered(&policy("PassthroughCluster"), "").1, "");
    assert_eq!(rendered(MESH, "").1, "");
    let default = MESH.replacen('{', r#"{ "default_cluster": "web","#, 1);
    let (_, warnings) = rendered(&default, "");
    assert!(warnings.contains("default_cluster, \"web\", is no name that Istio gives"), "{warnings}");
}

/// A file with a WasmPlugin whose policy has these backends.
fn plugin(backends: &Value) -> Desk {
    let names = backends.as_object().unwrap().keys();
    let shares: Value = names.enumerate().map(|(n, name)| (name.clone(), json!(if n == 0 { 1 } else { 0 }))).collect();
    let policy = json!({ "backends": backends, "endpoints": [{ "name": "e", "traffic": shares }] });
    let plugin = json!({
        "apiVersion": "extensions.istio.io/v1alpha1", "kind": "WasmPlugin", "metadata": { "name": "traffic-policy" },
        "spec": { "url": "oci://a", "pluginConfig": policy },
    });
    Desk::with("istio.yaml", serde_saphyr::to_string(&plugin).unwrap())
}

fn service(name: &str) -> Value {
    json!({ "cluster": format!("outbound|8080||{name}.prod.svc.cluster.local") })
}

fn subset(name: &str) -> Value {
    json!({ "cluster": format!("outbound|8080|{name}|ranker.prod.svc.cluster.local") })
}

#[test]
fn a_new_backend_in_a_mesh_has_a_cluster_like_the_others() {
    for (backends, new, cluster) in [
        (
            json!({ "ranker-v1": service("ranker-v1"), "ranker-v2": service("ranker-v2") }),
            "ranker-v3",
            service("ranker-v3"),
        ),
        (json!({ "v1": subset("v1"), "v2": subset("v2") }), "v3", subset("v3")),
        (json!({ "ranker-v1": subset("v1") }), "ranker-v3", subset("v3")),
    ] {
        let desk = plugin(&backends);
        desk.ok(&format!("create-backend {new}"));
        let file: Value = serde_saphyr::from_str(&desk.text()).unwrap();
        assert_eq!(file["spec"]["pluginConfig"]["backends"][new], cluster, "{backends}");
    }
    // In a file for another proxy, a backend is the cluster of its name.
    let desk = Desk::with("policy.json", json!({ "backends": { "v1": subset("v1") }, "endpoints": [] }).to_string());
    desk.ok("create-backend v2");
    assert_eq!(serde_json::from_str::<Value>(&desk.text()).unwrap()["backends"]["v2"], json!({}));
}

#[test]
fn a_new_backend_in_a_mesh_that_fits_no_form_is_refused() {
    for (backends, new) in [
        (json!({ "ranker-v1": service("ranker-v1"), "ranker-v2": subset("v2") }), "ranker-v3"),
        (json!({ "ranker-v1": {} }), "ranker-v3"),
        (json!({ "stable": service("ranker") }), "ranker-v3"),
        (json!({ "ranker-v1": subset("v1") }), "other"),
        (json!({ "ranker-v1": service("ranker-v1") }), "Ranker"),
    ] {
        let desk = plugin(&backends);
        let before = desk.text();
        let ended = desk.run(&format!("create-backend {new}"));
        assert_eq!((ended.status, desk.text()), (Some(1), before), "{backends}");
        assert!(ended.stderr.contains("name its cluster, as in --cluster 'outbound|8080||SERVICE"), "{}", ended.stderr);
        desk.ok(&format!("create-backend {new} --cluster outbound|8080||other.prod.svc.cluster.local"));
    }
}
