//! `image`.

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
fn the_layer_is_plugin_wasm_alone_and_says_nothing_of_who_made_it_when() {
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
fn the_configuration_names_what_is_in_the_layer() {
    let image = image();
    let mut layer = Vec::new();
    std::io::copy(&mut flate2::read::GzDecoder::new(image.layers[0].1.as_slice()), &mut layer).unwrap();
    let config: Value = serde_json::from_slice(&image.config).unwrap();
    let rootfs = json!({ "type": "layers", "diff_ids": [digest(&layer)] });
    assert_eq!(config, json!({ "os": "linux", "architecture": "amd64", "rootfs": rootfs }));
    assert_eq!(image.manifest["config"]["mediaType"], "application/vnd.oci.image.config.v1+json");
}

#[test]
fn the_tag_is_the_version_and_the_manifest_says_what_it_is() {
    let image = image();
    assert_eq!(image.descriptor["annotations"], json!({ "org.opencontainers.image.ref.name": "1.2.3" }));
    let said = json!({
        "module.wasm.image/variant": "compat",
        "org.opencontainers.image.licenses": "Apache-2.0",
        "org.opencontainers.image.title": "traffic-policy",
        "org.opencontainers.image.version": "1.2.3",
    });
    assert_eq!(image.manifest["annotations"], said);
}

/// An operator pins the digest: a build that gives another one for the same module is a change that the changelog must name. The
/// compressor's next version may do that.
#[test]
fn the_same_module_and_version_have_the_same_digest_for_ever() {
    let report = Desk::new().ok(COMMAND);
    assert_eq!(printed(&report, "manifest"), "sha256:9be02542d1944a0cfa28d72993605cdb86286f39f591bc553c4853ad16f90397");
}

#[test]
fn another_version_leaves_nothing_of_the_first() {
    let desk = Desk::new();
    desk.ok(COMMAND);
    desk.ok(&COMMAND.replace("1.2.3", "1.2.4"));
    assert_eq!(Image::read(&desk.path("out")).descriptor["annotations"]["org.opencontainers.image.ref.name"], "1.2.4");
    // Layout, index, manifest, configuration and layer.
    assert_eq!(contents(&desk.path("out")).len(), 5);
}

#[test]
fn a_folder_with_other_things_stays_as_it_is() {
    for other in ["out/notes", "out/blobs/sha256/0123"] {
        let desk = Desk::new();
        desk.ok(COMMAND);
        desk.put(other, "mine");
        let before = contents(&desk.path("out"));
        let error = desk.refused(COMMAND);
        assert!(error.contains("out holds what an earlier run did not write"), "{error}");
        assert_eq!(contents(&desk.path("out")), before);
    }
}

#[test]
fn a_layout_with_another_image_stays_as_it_is() {
    let desk = Desk::new();
    desk.ok(COMMAND);
    let index = desk.path("out/index.json");
    let mut document: Value = serde_json::from_slice(&std::fs::read(&index).unwrap()).unwrap();
    let manifests = document["manifests"].as_array_mut().unwrap();
    manifests.push(manifests[0].clone());
    std::fs::write(&index, document.to_string()).unwrap();
    let error = desk.refused(COMMAND);
    assert!(error.contains("out holds what an earlier run did not write"), "{error}");
    assert_eq!(std::fs::read_to_string(&index).unwrap(), document.to_string());
}

#[test]
fn an_image_of_somebody_else_stays_as_it_is() {
    let desk = Desk::new();
    let report = desk.ok(COMMAND);
    let manifest = desk.path("out/blobs").join(printed(&report, "manifest").replace(':', "/"));
    let theirs = std::fs::read_to_string(&manifest).unwrap().replace("traffic-policy", "other-policy");
    std::fs::write(&manifest, &theirs).unwrap();
    let error = desk.refused(COMMAND);
    assert!(error.contains("out holds what an earlier run did not write"), "{error}");
    assert_eq!(std::fs::read_to_string(&manifest).unwrap(), theirs);
}
