//! The module, and the configuration files that are shipped with it.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::{Value, json};
use testbed::backend::Backend;
use testbed::cargo::build_wasm;
use testbed::client::{Http, served_by};
use testbed::envoy::{Envoy, Setup, Verdict};
use testbed::policies::{self, all_to};
use testbed::{executable, project, read};

#[test]
fn the_shipped_files_are_valid() {
    build_wasm().unwrap();
    let output = Command::new(executable().unwrap())
        .args(["--mode", "validate", "--config-path", "envoy/envoy.yaml"])
        .current_dir(project())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_policy_is_in_force() {
    let backends = Backend::start_all(["stable", "canary", "canary-2"]).await.unwrap();
    let envoy = Envoy::start(&Setup::new(policies::shipped().unwrap(), &backends)).await.unwrap();
    let answer = envoy.client(Http::V1).get("/", &[]).await.unwrap();
    assert_eq!(served_by(&answer), answer.headers()["x-traffic-backend"].to_str().ok());
}

#[test]
fn the_module_exports_exactly_the_callbacks_that_the_shipped_file_allows() {
    let module = std::fs::read(build_wasm().unwrap()).unwrap();
    let parts = wasmparser::Parser::new(0).parse_all(&module);
    let mut exported = BTreeSet::new();
    for part in parts {
        if let wasmparser::Payload::ExportSection(exports) = part.unwrap() {
            exported.extend(exports.into_iter().map(|export| export.unwrap().name.to_owned()));
        }
    }
    let callbacks: BTreeSet<_> = exported.iter().filter(|name| name.starts_with("proxy_on_")).cloned().collect();
    let shipped = read("envoy/traffic-policy.yaml").unwrap();
    let allowed = shipped.lines().filter_map(|line| line.trim().split_once(": {}"));
    let allowed: BTreeSet<_> =
        allowed.map(|(name, _)| name.to_owned()).filter(|name| name.starts_with("proxy_on_")).collect();
    assert_eq!(callbacks, allowed);
}

#[test]
fn the_module_is_small() {
    let size = std::fs::metadata(build_wasm().unwrap()).unwrap().len();
    assert!(size < 505_000, "{size} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_policy_needs_no_call_that_the_shipped_file_allows_for_other_features() {
    let shipped = read("envoy/traffic-policy.yaml").unwrap();
    let for_others = shipped.lines().filter(|line| line.contains("# for ") && line.ends_with(" only"));
    let for_others: Vec<_> = for_others.map(|line| line.trim().split_once(':').unwrap().0).collect();
    assert!(for_others.len() >= 3, "{for_others:?}");
    let backends = Backend::start_all(["a"]).await.unwrap();
    let policy = json!({ "metrics": { "responses": false }, "endpoints": [{ "name": "e", "traffic": { "a": 1 } }] });
    let envoy = Envoy::start(&Setup::new(policy.to_string(), &backends)).await.unwrap();
    let verdict = envoy.judge(async || {
        let mut file: Value = serde_json::from_slice(&std::fs::read(envoy.policy_file())?)?;
        let vm = &mut file["resources"][0]["typed_config"]["config"]["vm_config"];
        // With another id, since Envoy would otherwise use the VM that it has.
        vm["vm_id"] = json!("restricted");
        let allowed = &mut vm["capability_restriction_config"]["allowed_capabilities"];
        for call in &for_others {
            allowed.as_object_mut().unwrap().remove(*call).unwrap();
        }
        envoy.put_file(file.to_string().as_bytes())
    });
    assert_eq!(verdict.await.unwrap(), Verdict::InForce);
    for _ in 0..200 {
        let answer = envoy.client(Http::V1).get("/", &[]).await.unwrap();
        assert_eq!(served_by(&answer), Some("a"));
    }
    assert!(!envoy.log().contains("panicked"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_does_not_allow_a_call_of_the_filter_is_refused_before_a_worker_loads_it() {
    let backends = Backend::start_all(["a"]).await.unwrap();
    let envoy = Envoy::start(&Setup::new(all_to("a"), &backends)).await.unwrap();
    envoy.wait_until_published(&all_to("a")).await.unwrap();
    let shipped: Value = serde_json::from_slice(&std::fs::read(envoy.policy_file()).unwrap()).unwrap();
    for call in ["proxy_get_shared_data", "proxy_set_shared_data"] {
        let mut file = shipped.clone();
        let vm = &mut file["resources"][0]["typed_config"]["config"]["vm_config"];
        // Otherwise Envoy would use the VM and the shared data that it has.
        vm["vm_id"] = json!(call);
        let allowed = &mut vm["capability_restriction_config"]["allowed_capabilities"];
        allowed.as_object_mut().unwrap().remove(call).unwrap();
        let verdict = envoy.judge(async || envoy.put_file(file.to_string().as_bytes()));
        assert_eq!(verdict.await.unwrap(), Verdict::Refused, "{call}");
        let answer = envoy.client(Http::V1).get("/", &[]).await.unwrap();
        assert_eq!(served_by(&answer), Some("a"), "{call}");
    }
}
