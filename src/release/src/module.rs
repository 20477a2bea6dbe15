//! Reads the WebAssembly module of the filter.

use std::path::Path;

use anyhow::{Context, ensure};
use oci_spec::image::Digest;

use crate::files::sha256;

/// The first bytes of a WebAssembly module: the magic number and version 1.
///
/// Istio checks only the magic number. A component has the same one, but no proxy can load it.
const HEADER: &[u8] = b"\0asm\x01\0\0\0";

/// A WebAssembly module.
pub struct Module(Vec<u8>);

impl Module {
    /// Reads a module from a file.
    ///
    /// # Errors
    /// If the file can't be read, or isn't a module.
    pub fn read(file: &Path) -> anyhow::Result<Self> {
        let name = file.display();
        let bytes =
            std::fs::read(file).with_context(|| format!("can't read the module {name}: build it with `make build`"))?;
        ensure!(
            bytes.starts_with(HEADER),
            "{name} is not a WebAssembly module: it does not start with \\0asm and version 1"
        );
        Ok(Self(bytes))
    }

    /// The bytes of the module.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The digest of the module. Operators pin it where a proxy loads the module itself from a URL.
    ///
    /// # Errors
    /// Only if `oci-spec` rejects a digest.
    pub fn digest(&self) -> anyhow::Result<Digest> {
        sha256(&self.0)
    }
}
