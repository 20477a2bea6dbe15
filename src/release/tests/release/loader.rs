//! Loads an image as Istio's fetcher does (`pkg/wasm/imagefetcher.go`), and Envoy Gateway's, too.
//!
//! It shares no code with the program.

use std::io::Read;
use std::path::Path;

use serde_json::Value;
use sha2::{Digest, Sha256};

/// The digest of bytes, in the notation of registries.
pub fn digest(bytes: &[u8]) -> String {
    let digits: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{digits}")
}

/// An image in a layout, whose blobs match their descriptors.
pub struct Image {
    pub descriptor: Value,
    pub manifest: Value,
    pub config: Vec<u8>,
    pub layers: Vec<(String, Vec<u8>)>,
}

impl Image {
    /// Reads the only image of a layout, and checks the size and the digest of each blob.
    pub fn read(layout: &Path) -> Self {
        let marker: Value = serde_json::from_slice(&std::fs::read(layout.join("oci-layout")).unwrap()).unwrap();
        assert_eq!(marker["imageLayoutVersion"], "1.0.0");
        let index: Value = serde_json::from_slice(&std::fs::read(layout.join("index.json")).unwrap()).unwrap();
        assert_eq!(index["schemaVersion"], 2);
        assert_eq!(index["mediaType"], "application/vnd.oci.image.index.v1+json");
        let [descriptor] = index["manifests"].as_array().unwrap().as_slice() else { panic!("{index}") };
        assert_eq!(descriptor["mediaType"], "application/vnd.oci.image.manifest.v1+json");
        let manifest: Value = serde_json::from_slice(&blob(layout, descriptor)).unwrap();
        assert_eq!(manifest["schemaVersion"], 2);
        assert_eq!(manifest["mediaType"], descriptor["mediaType"]);
        let layers = manifest["layers"].as_array().unwrap().iter();
        let layers =
            layers.map(|layer| (layer["mediaType"].as_str().unwrap().to_owned(), blob(layout, layer))).collect();
        Self { config: blob(layout, &manifest["config"]), layers, descriptor: descriptor.clone(), manifest }
    }

    /// The module of a standard image: `plugin.wasm` in the last layer.
    pub fn standard(&self) -> Result<Vec<u8>, String> {
        let (media_type, layer) = self.layers.last().ok_or("number of layers must be greater than zero")?;
        if media_type != "application/vnd.oci.image.layer.v1.tar+gzip" {
            return Err(format!("invalid media type {media_type}"));
        }
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(layer.as_slice()));
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            if entry.path().unwrap().file_name().is_some_and(|name| name == "plugin.wasm") {
                let mut module = Vec::new();
                entry.read_to_end(&mut module).unwrap();
                return Ok(module);
            }
        }
        Err("plugin.wasm not found in the archive".into())
    }

    /// The module of an artifact: one of exactly two layers.
    pub fn artifact(&self) -> Result<Vec<u8>, String> {
        if self.layers.len() != 2 {
            return Err(format!("number of layers must be 2 but got {}", self.layers.len()));
        }
        let content = "application/vnd.module.wasm.content.layer.v1+wasm";
        let layer = self.layers.iter().find(|(media_type, _)| media_type == content);
        layer.map(|(_, module)| module.clone()).ok_or("could not find the layer".into())
    }
}

fn blob(layout: &Path, descriptor: &Value) -> Vec<u8> {
    let name = descriptor["digest"].as_str().unwrap();
    let bytes = std::fs::read(layout.join("blobs").join(name.replace(':', "/"))).unwrap();
    assert_eq!(digest(&bytes), name);
    assert_eq!(descriptor["size"], bytes.len());
    bytes
}
