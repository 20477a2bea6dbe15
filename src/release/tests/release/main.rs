//! Runs the program as a release does, and reads its output by the rules of the loaders.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod artifact;
mod bundle;
mod image;
mod loader;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use loader::{Image, digest};
use tempfile::TempDir;

/// A module without code, and with enough data to compress.
fn wasm() -> Vec<u8> {
    [b"\0asm\x01\0\0\0".as_slice(), b"\0\x84\x02\x01n".as_slice(), &[7; 258]].concat()
}

/// A folder with the inputs of the program, which runs in it.
struct Desk {
    folder: TempDir,
}

impl Desk {
    /// A folder with `module.wasm` and `trafficctl`.
    fn new() -> Self {
        let desk = Self { folder: tempfile::tempdir().unwrap() };
        desk.put("module.wasm", wasm());
        desk.put("trafficctl", "#!/bin/sh\n");
        desk
    }

    /// A path in the folder.
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file to the folder.
    fn put(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    /// Runs the program with arguments, separated by spaces.
    fn run(&self, arguments: &str) -> Output {
        Command::new(env!("CARGO_BIN_EXE_release"))
            .args(arguments.split(' '))
            .current_dir(self.folder.path())
            .output()
            .unwrap()
    }

    /// Runs the program, which must succeed, and returns its output.
    fn ok(&self, arguments: &str) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs the program, which must fail, and returns its errors.
    fn refused(&self, arguments: &str) -> String {
        let output = self.run(arguments);
        assert!(!output.status.success(), "{arguments} succeeds: {}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8(output.stderr).unwrap()
    }

    /// Runs the program, which must refuse to write to `out` and leave it unchanged.
    fn leaves_unchanged(&self, arguments: &str) {
        let before = contents(&self.path("out"));
        let error = self.refused(arguments);
        assert!(error.contains("out was not written by an earlier run"), "{error}");
        assert_eq!(contents(&self.path("out")), before);
    }
}

/// The word after `name` in the output of the program.
fn printed<'a>(report: &'a str, name: &str) -> &'a str {
    report.split_whitespace().skip_while(|word| *word != name).nth(1).unwrap()
}

/// All files below a folder with their contents, sorted by path.
fn contents(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push((path.strip_prefix(folder).unwrap().to_owned(), std::fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn the_error_names_a_missing_module() {
    let desk = Desk::new();
    for form in ["image", "artifact", "bundle --trafficctl trafficctl"] {
        let error = desk.refused(&format!("{form} --module none.wasm --version 1.2.3 --output out"));
        assert!(error.contains("can't read the module none.wasm: build it with `make build`"), "{error}");
        assert!(!desk.path("out").exists());
    }
}

#[test]
fn a_file_that_is_not_a_module_is_refused() {
    let component = b"\0asm\x0d\0\x01\0".as_slice();
    for bytes in [b"".as_slice(), b"\0as", b"(module)", b"\0asm", component] {
        let desk = Desk::new();
        desk.put("module.wasm", bytes);
        for form in ["image", "artifact", "bundle --trafficctl trafficctl"] {
            let error = desk.refused(&format!("{form} --module module.wasm --version 1.2.3 --output out"));
            assert!(error.contains("module.wasm is not a WebAssembly module"), "{error}");
            assert!(!desk.path("out").exists());
        }
    }
}

#[test]
fn the_digests_of_manifest_and_module_are_printed() {
    for form in ["image", "artifact"] {
        let desk = Desk::new();
        let report = desk.ok(&format!("{form} --module module.wasm --version 1.2.3 --output out"));
        assert_eq!(printed(&report, "manifest"), Image::read(&desk.path("out")).descriptor["digest"], "{form}");
        assert_eq!(printed(&report, "module"), digest(&wasm()), "{form}");
    }
}

#[test]
fn a_second_run_writes_the_same_bytes_over_the_first() {
    for form in ["image", "artifact"] {
        let desk = Desk::new();
        let written = |folder| {
            desk.ok(&format!("{form} --module module.wasm --version 1.2.3 --output {folder}"));
            contents(&desk.path(folder))
        };
        let first = written("out");
        assert_eq!(written("out"), first, "{form}");
        assert_eq!(written("a/new/folder"), first, "{form}");
    }
}

#[test]
fn a_version_that_is_not_a_valid_tag_is_refused() {
    let desk = Desk::new();
    for version in ["", ".1", "-1", "1.0+build", "a/b", "ü", &"1".repeat(129)] {
        let error = desk.refused(&format!("image --module module.wasm --version={version} --output out"));
        assert!(error.contains("the version is also an image tag"), "{version}: {error}");
    }
    desk.ok(&format!("image --module module.wasm --version {} --output out", "1".repeat(128)));
}
