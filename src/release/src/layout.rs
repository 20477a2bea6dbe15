//! An OCI image layout: an image as files. See the [specification](https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md).

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use oci_spec::image::{
    ANNOTATION_LICENSES, ANNOTATION_REF_NAME, ANNOTATION_TITLE, ANNOTATION_VERSION, Descriptor, Digest, ImageIndex,
    ImageIndexBuilder, ImageManifest, MediaType, OciLayoutBuilder, SCHEMA_VERSION,
};
use serde::Serialize;

use crate::files::{Files, sha256};
use crate::version::Version;

/// The name of each image that this program makes, and how it knows its own.
const TITLE: &str = "traffic-policy";

/// The file that says that a folder is a layout.
const LAYOUT: &str = "oci-layout";

/// The version of layouts.
const LAYOUT_VERSION: &str = "1.0.0";

/// The file that names the images in a layout.
const INDEX: &str = "index.json";

/// What an image is made of, before it has a manifest.
#[derive(Default)]
pub struct Blobs(Files);

impl Blobs {
    /// Adds bytes, and returns how a manifest refers to them.
    ///
    /// # Errors
    /// Never, unless `oci-spec` refuses a digest.
    pub fn add(&mut self, media_type: impl Into<MediaType>, bytes: Vec<u8>) -> anyhow::Result<Descriptor> {
        let digest = sha256(&bytes)?;
        let size = u64::try_from(bytes.len())?;
        self.0.add(blob(&digest), bytes);
        Ok(Descriptor::new(media_type.into(), size, digest))
    }

    /// Adds a document, and returns how a manifest refers to it.
    ///
    /// # Errors
    /// When it can't be written as JSON.
    pub fn add_json(
        &mut self,
        media_type: impl Into<MediaType>,
        document: &impl Serialize,
    ) -> anyhow::Result<Descriptor> {
        self.add(media_type, json(document)?)
    }

    /// The layout of one image, tagged with its version.
    ///
    /// # Errors
    /// When a document can't be written as JSON.
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

/// An OCI image layout that holds one image and nothing else.
pub struct Layout {
    files: Files,
    manifest: Digest,
}

impl Layout {
    /// The layout's files.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// The digest of the image's manifest: what a registry calls the image, and what an operator pins.
    pub fn manifest(&self) -> &Digest {
        &self.manifest
    }
}

/// What is said of each image, whatever its form.
pub fn annotations(version: &Version) -> HashMap<String, String> {
    HashMap::from([
        (ANNOTATION_TITLE.into(), TITLE.into()),
        (ANNOTATION_VERSION.into(), version.to_string()),
        (ANNOTATION_LICENSES.into(), "Apache-2.0".into()),
    ])
}

/// Whether the paths in a folder are those of a layout with one image, and this program made it. A layout that somebody keeps
/// other images in is not.
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

/// Where a blob lies in a layout.
fn blob(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm(), digest.digest())
}

/// A document as JSON with its keys in order: the maps of `oci-spec` have none of their own.
fn json(document: &impl Serialize) -> anyhow::Result<Vec<u8>> {
    let mut value = serde_json::to_value(document)?;
    value.sort_all_objects();
    Ok(serde_json::to_vec(&value)?)
}
