//! Builds an OCI image layout: an image as files.
//!
//! See the [specification](https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md).

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use oci_spec::image::{
    ANNOTATION_LICENSES, ANNOTATION_REF_NAME, ANNOTATION_TITLE, ANNOTATION_VERSION, Descriptor, Digest, ImageIndex,
    ImageIndexBuilder, ImageManifest, MediaType, OciLayoutBuilder, SCHEMA_VERSION,
};
use serde::Serialize;

use crate::files::{Files, sha256};
use crate::version::Version;

/// The title of each image that this program writes. The program recognizes its own images by it.
const TITLE: &str = "traffic-policy";

/// The file that marks a folder as a layout.
const LAYOUT: &str = "oci-layout";

/// The version of the layout format.
const LAYOUT_VERSION: &str = "1.0.0";

/// The file that lists the images in a layout.
const INDEX: &str = "index.json";

/// The blobs of an image that has no manifest yet.
#[derive(Default)]
pub struct Blobs(Files);

impl Blobs {
    /// Adds a blob, and returns its descriptor for a manifest.
    ///
    /// # Errors
    /// Only if `oci-spec` rejects a digest.
    pub fn add(&mut self, media_type: impl Into<MediaType>, bytes: Vec<u8>) -> anyhow::Result<Descriptor> {
        let digest = sha256(&bytes)?;
        let size = u64::try_from(bytes.len())?;
        self.0.add(blob(&digest), bytes);
        Ok(Descriptor::new(media_type.into(), size, digest))
    }

    /// Adds a JSON document as a blob, and returns its descriptor for a manifest.
    ///
    /// # Errors
    /// If the document can't be serialized.
    pub fn add_json(
        &mut self,
        media_type: impl Into<MediaType>,
        document: &impl Serialize,
    ) -> anyhow::Result<Descriptor> {
        self.add(media_type, json(document)?)
    }

    /// The layout of the image with this manifest, tagged with its version.
    ///
    /// # Errors
    /// If a document can't be serialized.
    pub fn into_layout(mut self, manifest: &ImageManifest, version: &Version) -> anyhow::Result<Layout> {
        let mut descriptor = self.add_json(MediaType::ImageManifest, manifest)?;
        let digest = descriptor.digest().clone();
        descriptor.set_annotations(Some(HashMap::from([(ANNOTATION_REF_NAME.into(), version.to_string())])));
        let index = ImageIndexBuilder::default()
            .schema_version(SCHEMA_VERSION)
            .media_type(MediaType::ImageIndex)
            .manifests([descriptor])
            .build()?;
        let layout = OciLayoutBuilder::default().image_layout_version(LAYOUT_VERSION).build()?;
        self.0.add(LAYOUT, json(&layout)?);
        self.0.add(INDEX, json(&index)?);
        Ok(Layout { files: self.0, manifest: digest })
    }
}

/// An OCI image layout with exactly one image.
pub struct Layout {
    files: Files,
    manifest: Digest,
}

impl Layout {
    /// The files of the layout.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// The digest of the manifest. Registries address the image by it, and operators pin it.
    pub fn manifest(&self) -> &Digest {
        &self.manifest
    }
}

/// The annotations of every image, whatever its variant.
pub fn annotations(version: &Version) -> HashMap<String, String> {
    HashMap::from([
        (ANNOTATION_TITLE.into(), TITLE.into()),
        (ANNOTATION_VERSION.into(), version.to_string()),
        (ANNOTATION_LICENSES.into(), "Apache-2.0".into()),
    ])
}

/// Whether the paths in a folder are those of a layout with a single image that this program wrote.
/// A layout with other images in it doesn't count.
pub fn is_ours(folder: &Path, paths: &BTreeSet<String>) -> bool {
    let Ok(index) = ImageIndex::from_file(folder.join(INDEX)) else { return false };
    let [descriptor] = index.manifests().as_slice() else { return false };
    let Ok(manifest) = ImageManifest::from_file(folder.join(blob(descriptor.digest()))) else { return false };
    let title = manifest.annotations().as_ref().and_then(|annotations| annotations.get(ANNOTATION_TITLE));
    let blobs = [descriptor, manifest.config()].into_iter().chain(manifest.layers());
    let whole: BTreeSet<_> =
        [LAYOUT.into(), INDEX.into()].into_iter().chain(blobs.map(|each| blob(each.digest()))).collect();
    title.is_some_and(|title| title == TITLE) && *paths == whole
}

/// The path of a blob in a layout.
fn blob(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm(), digest.digest())
}

/// Serializes a document with sorted keys, since the maps of `oci-spec` have no fixed order.
fn json(document: &impl Serialize) -> anyhow::Result<Vec<u8>> {
    let mut value = serde_json::to_value(document)?;
    value.sort_all_objects();
    Ok(serde_json::to_vec(&value)?)
}
