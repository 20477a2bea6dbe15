//! The image that every registry takes: *compat* in the words of the
//! [Wasm Image Specification](https://github.com/solo-io/wasm/blob/master/spec/spec-compat.md), and what `FROM scratch` and
//! `COPY plugin.wasm ./` make.

use std::io::Write;

use anyhow::Result;
use flate2::Compression;
use flate2::write::GzEncoder;
use oci_spec::image::{
    Arch, ImageConfigurationBuilder, ImageManifestBuilder, MediaType, Os, RootFsBuilder, SCHEMA_VERSION,
};

use crate::files::{Files, sha256};
use crate::layout::{Blobs, Layout, annotations};
use crate::module::Module;
use crate::version::Version;

/// The name by which Istio and Envoy Gateway find the module in a layer.
pub const PLUGIN: &str = "plugin.wasm";

/// The platform that the image says it is for.
///
/// `wasip1/wasm` would be true to the module, but those who look do not want the truth: Docker's own image store says "operating
/// system is not supported", and containerd since 2.1 does not unpack for Kubernetes what is not for its host. Istio and Envoy
/// Gateway do not look. The images that their documentation has people build say what this one says.
const PLATFORM: (Os, Arch) = (Os::Linux, Arch::Amd64);

/// Packs a module as an image with one layer, which holds the module as `plugin.wasm`.
///
/// # Errors
/// Never, unless the module is too long for an archive.
pub fn pack(module: &Module, version: &Version) -> Result<Layout> {
    let mut files = Files::default();
    files.add(PLUGIN, module.bytes());
    let layer = files.to_tar()?;
    let (os, architecture) = PLATFORM;
    let rootfs = RootFsBuilder::default().typ("layers").diff_ids([sha256(&layer)?.to_string()]).build()?;
    // No time of creation: it would be the one thing that differs from run to run.
    let config = ImageConfigurationBuilder::default().os(os).architecture(architecture).rootfs(rootfs).build()?;

    let mut blobs = Blobs::default();
    let config = blobs.add_json(MediaType::ImageConfig, &config)?;
    let layer = blobs.add(MediaType::ImageLayerGzip, gzip(&layer)?)?;
    let mut annotations = annotations(version);
    // The specification asks for it; Istio finds out by itself.
    annotations.insert("module.wasm.image/variant".into(), "compat".into());
    let manifest = ImageManifestBuilder::default()
        .schema_version(SCHEMA_VERSION)
        .media_type(MediaType::ImageManifest)
        .config(config)
        .layers([layer])
        .annotations(annotations)
        .build()?;
    blobs.into_layout(&manifest, version)
}

/// Compresses bytes, with no time and no name in the header.
fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}
