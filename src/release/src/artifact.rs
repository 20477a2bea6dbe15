//! The module as an OCI artifact: *oci* in the words of the
//! [Wasm Image Specification](https://github.com/solo-io/wasm/blob/master/spec/spec.md).

use std::collections::HashMap;

use anyhow::Result;
use oci_spec::image::{ANNOTATION_TITLE, Descriptor, ImageManifestBuilder, MediaType, SCHEMA_VERSION};
use serde_json::json;

use crate::image::PLUGIN;
use crate::layout::{Blobs, Layout, annotations};
use crate::module::Module;
use crate::version::Version;

/// The layer that says what the module is for, and the type of the artifact.
const CONFIG: &str = "application/vnd.module.wasm.config.v1+json";

/// The layer that is the module.
const CONTENT: &str = "application/vnd.module.wasm.content.layer.v1+wasm";

/// Packs a module as an artifact with two layers: Istio refuses one with more or fewer.
///
/// # Errors
/// Never, unless `oci-spec` refuses a document.
pub fn pack(module: &Module, version: &Version) -> Result<Layout> {
    // The ABI is the one of the SDK. The filter has no root identifiers: it answers to each.
    let runtime = json!({ "type": "envoy_proxy", "abiVersions": ["0.2.1"], "config": {} });

    let mut blobs = Blobs::default();
    let empty = blobs.add_json(MediaType::EmptyJSON, &json!({}))?;
    let runtime = titled(blobs.add_json(CONFIG, &runtime)?, "runtime-config.json");
    let content = titled(blobs.add(CONTENT, module.bytes().to_vec())?, PLUGIN);
    let manifest = ImageManifestBuilder::default()
        .schema_version(SCHEMA_VERSION)
        .media_type(MediaType::ImageManifest)
        .artifact_type(CONFIG)
        .config(empty)
        .layers([runtime, content])
        .annotations(annotations(version))
        .build()?;
    blobs.into_layout(&manifest, version)
}

/// A layer with a name, which `oras pull` gives to the file that it writes.
fn titled(mut layer: Descriptor, title: &str) -> Descriptor {
    layer.set_annotations(Some(HashMap::from([(ANNOTATION_TITLE.into(), title.into())])));
    layer
}
