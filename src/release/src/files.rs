//! Files that are ready to be written: into a folder or into an archive.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::Context;
use oci_spec::image::{Digest, Sha256Digest};
use sha2::Sha256;

/// Files by their paths, in the order of their paths: what is made of them is the same each time.
#[derive(Default)]
pub struct Files(BTreeMap<String, File>);

/// What a file holds, and whether it can be run.
struct File {
    bytes: Vec<u8>,
    mode: u32,
}

impl Files {
    /// Adds a file to read.
    pub fn add(&mut self, path: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.0.insert(path.into(), File { bytes: bytes.into(), mode: 0o644 });
    }

    /// Adds a file to run.
    pub fn add_program(&mut self, path: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.0.insert(path.into(), File { bytes: bytes.into(), mode: 0o755 });
    }

    /// Writes the files into a folder.
    ///
    /// # Errors
    /// When one can't be written.
    pub fn write_to(&self, folder: &Path) -> anyhow::Result<()> {
        for (path, file) in &self.0 {
            let path = folder.join(path);
            let write = || {
                fs::create_dir_all(path.parent().unwrap_or(folder))?;
                fs::write(&path, &file.bytes)?;
                fs::set_permissions(&path, fs::Permissions::from_mode(file.mode))
            };
            write().with_context(|| format!("can't write {}", path.display()))?;
        }
        Ok(())
    }

    /// The files as an archive: nobody's, from 1970.
    ///
    /// # Errors
    /// When a path or a file is too long for an archive.
    pub fn to_tar(&self) -> anyhow::Result<Vec<u8>> {
        let mut archive = tar::Builder::new(Vec::new());
        for (path, file) in &self.0 {
            let mut header = tar::Header::new_ustar();
            header.set_size(u64::try_from(file.bytes.len())?);
            header.set_mode(file.mode);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(0);
            archive.append_data(&mut header, path, file.bytes.as_slice())?;
        }
        Ok(archive.into_inner()?)
    }

    /// The files' checksums, in the form that `sha256sum --check` reads.
    ///
    /// # Errors
    /// Never, unless `oci-spec` refuses a digest.
    pub fn checksums(&self) -> anyhow::Result<String> {
        let mut text = String::new();
        for (path, file) in &self.0 {
            writeln!(text, "{}  {path}", sha256(&file.bytes)?.digest())?;
        }
        Ok(text)
    }
}

/// The digest of bytes.
///
/// # Errors
/// Never, unless `oci-spec` refuses a digest.
pub fn sha256(bytes: &[u8]) -> anyhow::Result<Digest> {
    let mut digits = String::new();
    for byte in <Sha256 as sha2::Digest>::digest(bytes) {
        write!(digits, "{byte:02x}")?;
    }
    Ok(digits.parse::<Sha256Digest>()?.into())
}
