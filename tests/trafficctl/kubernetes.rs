//! `render istio` and `render envoy-gateway`: the output is valid for the models that these
//! projects publish.

use std::process::Command;

use serde_json::{Value, json};
use testbed::project;

use super::Desk;

/// The kinds of the rendered objects, and the modules of their models.
const MODELS: [(&str, &str); 6] = [
    ("WasmPlugin", "istio/extensions.istio.io/v1alpha1"),
    ("EnvoyFilter", "istio/networking.istio.io/v1alpha3"),
    ("VirtualService", "istio/networking.istio.io/v1"),
    ("DestinationRule", "istio/networking.istio.io/v1"),
    ("EnvoyExtensionPolicy", "envoy-gateway/gateway.envoyproxy.io/v1alpha1"),
    ("HTTPRoute", "gateway-api/gateway.networking.k8s.io/v1"),
];

/// Checks objects against the models. The types check each field, and the schemas each value.
///
/// # Errors
/// The messages of TypeScript or of the schemas.
pub(super) fn check(objects: &[Value]) -> Result<(), String> {
    let folder = tempfile::tempdir_in(project().join(".tools/kubernetes"))
        .unwrap_or_else(|error| panic!("`make tools` gets the models: {error}"));
    let mut text = String::new();
    for (kind, module) in MODELS {
        text += &format!("import {{ {kind} }} from \"@kubernetes-models/{module}/{kind}\";\n");
    }
    for object in objects {
        let mut object = object.clone();
        let members = object.as_object_mut().unwrap();
        let [kind, version] = ["kind", "apiVersion"].map(|name| members.remove(name).unwrap());
        let kind = kind.as_str().unwrap();
        let (_, module) = MODELS.iter().find(|(known, _)| *known == kind).unwrap();
        assert!(module.ends_with(version.as_str().unwrap()), "{kind} of {version}");
        text += &format!("new {kind}({object}).validate();\n");
    }
    for name in ["objects.mts", "objects.mjs"] {
        std::fs::write(folder.path().join(name), &text).unwrap();
    }
    let compiler = project().join(".tools/kubernetes/node_modules/typescript/bin/tsc");
    let options = "--noEmit --strict --skipLibCheck --module nodenext --target es2022 objects.mts";
    let mut types = Command::new("node");
    types.arg(compiler).args(options.split(' '));
    let mut values = Command::new("node");
    values.arg("objects.mjs");
    for command in [&mut types, &mut values] {
        let output = command.current_dir(folder.path()).output().unwrap();
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned());
        }
    }
    Ok(())
}

/// The objects of a rendered file.
pub(super) fn objects(text: &str) -> Vec<Value> {
    text.split("---\n").map(|document| serde_saphyr::from_str(document).unwrap()).collect()
}

/// A policy whose backends are subsets in Istio.
pub(super) const MESH: &str = r#"{
  "backends": {
    "v1": { "cluster": "outbound|8080|v1|ranker.default.svc.cluster.local" },
    "v2": { "cluster": "outbound|8080|v2|ranker.default.svc.cluster.local" }
  },
  "endpoints": [{
    "name": "ranker", "match": { "hosts": ["ranker.example.com"], "path": { "prefix": "/rank" } },
    "traffic": { "v1": 0.9, "v2": 0.1 }, "shadow": { "v2": { "fraction": 0.5, "methods": ["GET", "HEAD"] } }
  }]
}"#;

/// The same for the requests that other workloads of the mesh send.
fn within_the_mesh() -> String {
    MESH.replace(r#""ranker.example.com""#, r#""ranker", "ranker.default.svc.cluster.local""#)
}

#[test]
fn the_shipped_files_are_the_output_of_render_and_valid() {
    let desk = Desk::with("mesh.json", MESH);
    let within = desk.put("within.json", within_the_mesh());
    let mut all = Vec::new();
    for (file, options) in [
        ("istio-gateway.yaml", "istio --namespace default --host ranker.example.com"),
        (
            "istio-sidecar.yaml",
            "istio --namespace default --sidecar app=frontend --host ranker.default.svc.cluster.local",
        ),
        (
            "istio-virtual-service.yaml",
            "istio --namespace default --routes virtual-service --sidecar app=frontend --host ranker.default.svc.cluster.local",
        ),
        (
            "envoy-gateway.yaml",
            "envoy-gateway --cluster outbound|8080|v1|ranker.default.svc.cluster.local=ranker-v1:8080 --cluster outbound|8080|v2|ranker.default.svc.cluster.local=ranker-v2:8080",
        ),
    ] {
        let (form, options) = options.split_once(' ').unwrap_or((options, ""));
        let policy = if options.contains("--sidecar") { &within } else { desk.file() };
        let rendered = desk.ok(&format!("render {form} {policy} {options}"));
        let path = project().join("envoy").join(file);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &rendered).unwrap();
        }
        let shipped = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(rendered, shipped, "envoy/{file} is not current: run this test with UPDATE=1");
        all.extend(objects(&rendered));
    }
    check(&all).unwrap();
}

#[test]
fn a_policy_with_more_clusters_than_an_httproute_has_rules_is_refused() {
    let policy = |count: usize| {
        let shares: Value = (0..count).map(|n| (format!("v{n}"), json!(if n == 0 { 1 } else { 0 }))).collect();
        json!({ "endpoints": [{ "name": "e", "traffic": shares }] }).to_string()
    };
    let desk = Desk::with("policy.json", policy(15));
    check(&objects(&desk.ok(&format!("render envoy-gateway {}", desk.file())))).unwrap();
    let ended = desk.run(&format!("render envoy-gateway {}", desk.put("more.json", policy(16))));
    assert!(ended.stderr.contains("an HTTPRoute has at most 16 rules"), "{ended:?}");
}

#[test]
fn the_models_refuse_invalid_objects() {
    let plugin = |spec: Value| json!({ "apiVersion": "extensions.istio.io/v1alpha1", "kind": "WasmPlugin", "metadata": { "name": "a" }, "spec": spec });
    check(&[plugin(json!({ "url": "oci://a", "phase": "AUTHN" }))]).unwrap();
    for (spec, words) in [
        (json!({ "url": "oci://a", "phases": "AUTHN" }), "does not exist in type"),
        (json!({ "url": "oci://a", "failStrategy": "FAIL_SOON" }), "FAIL_SOON"),
        (json!({ "url": "oci://a", "sha256": "0" }), "data/spec/sha256"),
    ] {
        let error = check(&[plugin(spec)]).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn options_without_a_use_are_refused() {
    let desk = Desk::with("mesh.json", MESH);
    for (options, words) in [
        ("istio --sidecar app=frontend", "which hosts is the policy about? Name each with --host"),
        ("istio --routes virtual-service", "which hosts is the policy about? Name each with --host"),
        ("istio --routes virtual-service --all-hosts", "--routes virtual-service needs --host for the hosts"),
        ("istio --sha256 sha256:00", "64 hexadecimal digits"),
        ("envoy-gateway --phase authn", "unexpected argument '--phase' found"),
        ("envoy --sha256 00", "unexpected argument '--sha256' found"),
    ] {
        let (form, options) = options.split_once(' ').unwrap();
        let ended = desk.run(&format!("render {form} {} {options}", desk.file()));
        assert_eq!(ended.status, Some(2), "{options}");
        assert!(ended.stderr.contains(words), "{options}: {}", ended.stderr);
    }
}
