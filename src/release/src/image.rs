//! Packs the module as an image that every registry accepts: the *compat* variant of the
//! [Wasm Image Specification](https://github.com/solo-io/wasm/blob/master/spec/spec-compat.md).
//!
//! It is the image that a Dockerfile with `FROM scratch` and `COPY plugin.wasm ./` builds.

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

/// The platform in the image's configuration.
///
/// `wasip1/wasm` would be correct, but it fails in practice: Docker's image store reports
/// "operating system is not supported", and since 2.1 containerd does not unpack an image for
/// Kubernetes unless its platform is that of the host. Istio and Envoy Gateway ignore the platform.
/// The images that their documentation describes have this one.
const PLATFORM: (Os, Arch) = (Os::Linux, Arch::Amd64);

/// Packs a module as an image with one layer, which contains the module as `plugin.wasm`.
///
/// # Errors
/// Only if the module is too long for a tar archive.
pub fn pack(module: &Module, version: &Version) -> Result<Layout> {
    let mut files = Files::default();
    files.add(PLUGIN, module.bytes());
    let layer = files.to_tar()?;
    let (os, architecture) = PLATFORM;
    let rootfs = RootFsBuilder::default().typ("layers").diff_ids([sha256(&layer)?.to_string()]).build()?;
    // Without a creation time, each run gives the same bytes.
    let config = ImageConfigurationBuilder::default().os(os).architecture(architecture).rootfs(rootfs).build()?;

    let mut blobs = Blobs::default();
    let config = blobs.add_json(MediaType::ImageConfig, &config)?;
    let layer = blobs.add(MediaType::ImageLayerGzip, gzip(&layer)?)?;
    let mut annotations = annotations(version);
    // The specification requires it, although Istio detects the variant itself.
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

/// Compresses bytes, without a time or a name in the header.
fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}
