//! Tests of `image`.

use serde_json::{Value, json};

use super::loader::{Image, digest};
use super::{Desk, contents, printed, wasm};

const COMMAND: &str = "image --module module.wasm --version 1.2.3 --output out";

fn image() -> Image {
    let desk = Desk::new();
    desk.ok(COMMAND);
    Image::read(&desk.path("out"))
}

#[test]
fn istio_finds_the_module_in_a_standard_image() {
    let image = image();
    assert_eq!(image.standard().unwrap(), wasm());
    assert!(image.artifact().is_err());
}

#[test]
fn the_layer_contains_only_plugin_wasm_without_owner_or_time() {
    let image = image();
    let [(_, layer)] = image.layers.as_slice() else { panic!("{}", image.manifest) };
    let mut gzip = flate2::read::GzDecoder::new(layer.as_slice());
    let mut archive = tar::Archive::new(&mut gzip);
    let mut entries = archive.entries().unwrap();
    let entry = entries.next().unwrap().unwrap();
    let header = entry.header();
    assert_eq!(entry.path_bytes().as_ref(), b"plugin.wasm");
    assert_eq!(header.entry_type(), tar::EntryType::Regular);
    assert_eq!(header.mode().unwrap(), 0o644);
    assert_eq!((header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap()), (0, 0, 0));
    assert!(entries.next().is_none());
    let header = gzip.header().unwrap();
    assert_eq!((header.mtime(), header.filename()), (0, None));
}

#[test]
fn the_configuration_has_the_digest_of_the_layer() {
    let image = image();
    let mut layer = Vec::new();
    std::io::copy(&mut flate2::read::GzDecoder::new(image.layers[0].1.as_slice()), &mut layer).unwrap();
    let config: Value = serde_json::from_slice(&image.config).unwrap();
    let rootfs = json!({ "type": "layers", "diff_ids": [digest(&layer)] });
    assert_eq!(config, json!({ "os": "linux", "architecture": "amd64", "rootfs": rootfs }));
    assert_eq!(image.manifest["config"]["mediaType"], "application/vnd.oci.image.config.v1+json");
}

#[test]
fn the_tag_is_the_version_and_the_manifest_is_annotated() {
    let image = image();
    assert_eq!(image.descriptor["annotations"], json!({ "org.opencontainers.image.ref.name": "1.2.3" }));
    let expected = json!({
        "module.wasm.image/variant": "compat",
        "org.opencontainers.image.licenses": "Apache-2.0",
        "org.opencontainers.image.title": "traffic-policy",
        "org.opencontainers.image.version": "1.2.3",
    });
    assert_eq!(image.manifest["annotations"], expected);
}

/// Operators pin the digest. If it changes for the same module, say so in the changelog. A new
/// version of the compressor may change it.
#[test]
fn the_same_module_and_version_have_the_same_digest_forever() {
    let report = Desk::new().ok(COMMAND);
    assert_eq!(printed(&report, "manifest"), "sha256:9be02542d1944a0cfa28d72993605cdb86286f39f591bc553c4853ad16f90397");
}

#[test]
fn a_new_version_replaces_the_old_one_completely() {
    let desk = Desk::new();
    desk.ok(COMMAND);
    desk.ok(&COMMAND.replace("1.2.3", "1.2.4"));
    assert_eq!(Image::read(&desk.path("out")).descriptor["annotations"]["org.opencontainers.image.ref.name"], "1.2.4");
    // Layout, index, manifest, configuration and layer.
    assert_eq!(contents(&desk.path("out")).len(), 5);
}

#[test]
fn a_folder_with_other_contents_is_left_unchanged() {
    for other in ["out/notes", "out/blobs/sha256/0123"] {
        let desk = Desk::new();
        desk.ok(COMMAND);
        desk.put(other, "mine");
        desk.leaves_unchanged(COMMAND);
    }
}

#[test]
fn a_layout_with_another_image_is_left_unchanged() {
    let desk = Desk::new();
    desk.ok(COMMAND);
    let index = desk.path("out/index.json");
    let mut document: Value = serde_json::from_slice(&std::fs::read(&index).unwrap()).unwrap();
    let manifests = document["manifests"].as_array_mut().unwrap();
    manifests.push(manifests[0].clone());
    std::fs::write(&index, document.to_string()).unwrap();
    desk.leaves_unchanged(COMMAND);
    assert_eq!(std::fs::read_to_string(&index).unwrap(), document.to_string());
}

#[test]
fn a_foreign_image_is_left_unchanged() {
    let desk = Desk::new();
    let report = desk.ok(COMMAND);
    let manifest = desk.path("out/blobs").join(printed(&report, "manifest").replace(':', "/"));
    let foreign = std::fs::read_to_string(&manifest).unwrap().replace("traffic-policy", "other-policy");
    std::fs::write(&manifest, &foreign).unwrap();
    desk.leaves_unchanged(COMMAND);
    assert_eq!(std::fs::read_to_string(&manifest).unwrap(), foreign);
}
