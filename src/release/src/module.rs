//! The filter, as it was built.

use std::path::Path;

use anyhow::{Context, ensure};
use oci_spec::image::Digest;

use crate::files::sha256;

/// How a module of WebAssembly begins: the magic number and version 1. What Istio checks before it loads one, and more: a
/// component begins with the same magic number, and no proxy loads it.
const HEADER: &[u8] = b"\0asm\x01\0\0\0";

/// A module of WebAssembly.
pub struct Module(Vec<u8>);

impl Module {
    /// Reads a module.
    ///
    /// # Errors
    /// When the file can't be read, or is no module.
    pub fn read(file: &Path) -> anyhow::Result<Self> {
        let name = file.display();
        let bytes =
            std::fs::read(file).with_context(|| format!("can't read the module {name}: build it with `make build`"))?;
        ensure!(
            bytes.starts_with(HEADER),
            "{name} is not a WebAssembly module: it does not begin with \\0asm and version 1"
        );
        Ok(Self(bytes))
    }

    /// The module's bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// What an operator pins where the module is loaded from a URL of its own.
    ///
    /// # Errors
    /// Never, unless `oci-spec` refuses a digest.
    pub fn digest(&self) -> anyhow::Result<Digest> {
        sha256(&self.0)
    }
}
