//! Packs the module as an OCI artifact: the *oci* variant of the
//! [Wasm Image Specification](https://github.com/solo-io/wasm/blob/master/spec/spec.md).

use std::collections::HashMap;

use anyhow::Result;
use oci_spec::image::{ANNOTATION_TITLE, Descriptor, ImageManifestBuilder, MediaType, SCHEMA_VERSION};
use serde_json::json;

use crate::image::PLUGIN;
use crate::layout::{Blobs, Layout, annotations};
use crate::module::Module;
use crate::version::Version;

/// The media type of the layer that describes the runtime. It is also the artifact's type.
const CONFIG: &str = "application/vnd.module.wasm.config.v1+json";

/// The media type of the layer that is the module.
const CONTENT: &str = "application/vnd.module.wasm.content.layer.v1+wasm";

/// Packs a module as an artifact with two layers. Istio rejects any other number of layers.
///
/// # Errors
/// Only if `oci-spec` rejects a document.
pub fn pack(module: &Module, version: &Version) -> Result<Layout> {
    // The SDK decides the ABI. The filter ignores the root id, so that none needs to be listed.
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

/// Names a layer. `oras pull` uses the name for the file that it writes.
fn titled(mut layer: Descriptor, title: &str) -> Descriptor {
    layer.set_annotations(Some(HashMap::from([(ANNOTATION_TITLE.into(), title.into())])));
    layer
}
