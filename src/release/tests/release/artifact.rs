//! Tests of `artifact`.

use serde_json::{Value, json};

use super::loader::Image;
use super::{Desk, printed, wasm};

const COMMAND: &str = "artifact --module module.wasm --version 1.2.3 --output out";

fn artifact() -> Image {
    let desk = Desk::new();
    desk.ok(COMMAND);
    Image::read(&desk.path("out"))
}

#[test]
fn istio_finds_the_module_in_an_artifact() {
    let artifact = artifact();
    assert!(artifact.standard().is_err());
    assert_eq!(artifact.artifact().unwrap(), wasm());
}

#[test]
fn the_other_layer_describes_the_runtime() {
    let artifact = artifact();
    let (media_type, config) = &artifact.layers[0];
    assert_eq!(media_type, "application/vnd.module.wasm.config.v1+json");
    let config: Value = serde_json::from_slice(config).unwrap();
    assert_eq!(config, json!({ "type": "envoy_proxy", "abiVersions": ["0.2.1"], "config": {} }));
}

#[test]
fn the_manifest_declares_an_artifact_and_names_its_files() {
    let manifest = artifact().manifest;
    assert_eq!(manifest["artifactType"], "application/vnd.module.wasm.config.v1+json");
    assert_eq!(manifest["config"]["mediaType"], "application/vnd.oci.empty.v1+json");
    let title = |layer: usize| &manifest["layers"][layer]["annotations"]["org.opencontainers.image.title"];
    assert_eq!((title(0), title(1)), (&json!("runtime-config.json"), &json!("plugin.wasm")));
    assert_eq!(manifest["annotations"]["org.opencontainers.image.version"], "1.2.3");
}

#[test]
fn the_same_module_and_version_have_the_same_digest_forever() {
    let report = Desk::new().ok(COMMAND);
    assert_eq!(printed(&report, "manifest"), "sha256:d1f471cfdd3fa484cc07b5615a783c17876216439405d05d88948701591f0215");
}
