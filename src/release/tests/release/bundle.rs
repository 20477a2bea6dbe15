//! Tests of `bundle`.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::loader::{Image, digest};
use super::{Desk, contents, printed, wasm};

const COMMAND: &str = "bundle --version 1.2.3 --module module.wasm --trafficctl trafficctl --output out";

/// The file name of `trafficctl` in the release.
fn program() -> String {
    format!("trafficctl-{}-{}", std::env::consts::ARCH, std::env::consts::OS)
}

/// Checks a release with `sha256sum`.
fn sha256sum(release: &Path) -> Output {
    Command::new("sha256sum").args(["--check", "--strict", "SHA256SUMS"]).current_dir(release).output().unwrap()
}

#[test]
fn a_release_contains_the_documented_files_and_no_others() {
    let desk = Desk::new();
    desk.ok(COMMAND);
    let out = desk.path("out");
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let read = |path: &str| std::fs::read(project.join(path)).unwrap();
    let mut expected = vec![
        (PathBuf::from("LICENSE"), read("LICENSE")),
        ("alerts.yaml".into(), read("envoy/alerts.yaml")),
        ("dashboard.json".into(), read("envoy/dashboard.json")),
        ("policy.schema.json".into(), read("envoy/policy.schema.json")),
        ("traffic_policy.wasm".into(), wasm()),
        (program().into(), b"#!/bin/sh\n".to_vec()),
    ];
    for name in ["SHA256SUMS", "traffic-policy-artifact.tar", "traffic-policy-image.tar"] {
        expected.push((name.into(), std::fs::read(out.join(name)).unwrap()));
    }
    expected.sort();
    assert_eq!(contents(&out), expected);
}

#[test]
fn the_program_is_executable_and_the_folder_has_the_usual_permissions() {
    let desk = Desk::new();
    desk.ok(COMMAND);
    std::fs::create_dir(desk.path("plain")).unwrap();
    let mode = |name: &str| std::fs::metadata(desk.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("out"), mode("plain"));
    assert_eq!((mode(&format!("out/{}", program())), mode("out/traffic_policy.wasm")), (0o755, 0o644));
}

#[test]
fn sha256sum_accepts_the_checksums_of_every_file() {
    let desk = Desk::new();
    desk.ok(COMMAND);
    let out = desk.path("out");
    let checked = sha256sum(&out);
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    // All files but the checksums themselves.
    assert_eq!(checked.stdout.iter().filter(|byte| **byte == b'\n').count(), contents(&out).len() - 1);
    std::fs::write(out.join("alerts.yaml"), "groups: []\n").unwrap();
    assert!(!sha256sum(&out).status.success());
}

#[test]
fn the_archives_contain_the_layouts_of_the_other_commands() {
    let desk = Desk::new();
    let report = desk.ok(COMMAND);
    for form in ["image", "artifact"] {
        desk.ok(&format!("{form} --module module.wasm --version 1.2.3 --output layout-{form}"));
        let unpacked = desk.path("unpacked").join(form);
        let archive = std::fs::File::open(desk.path("out").join(format!("traffic-policy-{form}.tar"))).unwrap();
        tar::Archive::new(archive).unpack(&unpacked).unwrap();
        assert_eq!(contents(&unpacked), contents(&desk.path(&format!("layout-{form}"))));
        let line = report.lines().find(|line| line.starts_with(form)).unwrap();
        assert_eq!(printed(line, "manifest"), Image::read(&unpacked).descriptor["digest"]);
    }
    assert_eq!(printed(&report, "module"), digest(&wasm()));
}

#[test]
fn a_second_run_writes_the_same_bytes_over_the_first() {
    let desk = Desk::new();
    desk.ok(COMMAND);
    let first = contents(&desk.path("out"));
    // Neither the current time nor the times of the files may matter.
    desk.put("module.wasm", wasm());
    desk.ok(COMMAND);
    assert_eq!(contents(&desk.path("out")), first);
    assert!(sha256sum(&desk.path("out")).status.success());
}

#[test]
fn a_folder_with_other_contents_is_left_unchanged() {
    for other in ["out/notes", "out/below/notes"] {
        let desk = Desk::new();
        desk.ok(COMMAND);
        std::fs::create_dir_all(desk.path("out/below")).unwrap();
        desk.put(other, "mine");
        desk.leaves_unchanged(COMMAND);
    }
}

#[test]
fn a_foreign_folder_with_checksums_is_left_unchanged() {
    let desk = Desk::new();
    std::fs::create_dir(desk.path("out")).unwrap();
    desk.put("out/notes", "mine");
    desk.put("out/SHA256SUMS", format!("{}  notes\n", digest(b"mine").trim_start_matches("sha256:")));
    assert!(sha256sum(&desk.path("out")).status.success());
    desk.leaves_unchanged(COMMAND);
    assert!(desk.path("out/notes").exists());
}

#[test]
fn an_empty_folder_is_filled() {
    let desk = Desk::new();
    std::fs::create_dir(desk.path("out")).unwrap();
    desk.ok(COMMAND);
}

#[test]
fn a_file_in_place_of_the_folder_is_left_unchanged() {
    let desk = Desk::new();
    desk.put("out", "mine");
    let error = desk.refused(COMMAND);
    assert!(error.contains("can't list out"), "{error}");
    assert_eq!(std::fs::read(desk.path("out")).unwrap(), b"mine");
}

#[test]
fn the_error_names_a_missing_program() {
    let desk = Desk::new();
    let error = desk.refused(&COMMAND.replace("--trafficctl trafficctl", "--trafficctl none"));
    assert!(error.contains("can't read the program none: build it with `make trafficctl`"), "{error}");
    assert!(!desk.path("out").exists());
}

#[test]
fn a_run_leaves_nothing_next_to_the_folder() {
    let desk = Desk::new();
    desk.ok(COMMAND);
    desk.ok(COMMAND);
    let mut names: Vec<_> =
        std::fs::read_dir(desk.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["module.wasm", "out", "trafficctl"]);
}
