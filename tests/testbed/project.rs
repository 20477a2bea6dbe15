//! The project's files.

use std::fs;
use std::path::Path;

use anyhow::Context;
use serde_json::Value;

/// The project's root folder.
pub fn project() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests)
}

/// Reads a file of the project; `file` is relative to its root.
///
/// # Errors
/// When the file can't be read. The error names it.
pub fn read(file: &str) -> anyhow::Result<String> {
    fs::read_to_string(project().join(file)).with_context(|| file.to_owned())
}

/// Reads a YAML file of the project; `file` is relative to its root.
///
/// # Errors
/// When the file can't be read or is not YAML. The error names it.
pub fn read_yaml(file: &str) -> anyhow::Result<Value> {
    serde_saphyr::from_str(&read(file)?).with_context(|| file.to_owned())
}
