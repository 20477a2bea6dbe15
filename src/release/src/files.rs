//! Holds files in memory until they are written to a folder or an archive.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::Context;
use oci_spec::image::{Digest, Sha256Digest};
use sha2::Sha256;

/// Files sorted by path, so that the same files always give the same archive.
#[derive(Default)]
pub struct Files(BTreeMap<String, File>);

/// The contents and the permissions of a file.
struct File {
    bytes: Vec<u8>,
    mode: u32,
}

impl Files {
    /// Adds a file that is not executable.
    pub fn add(&mut self, path: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.0.insert(path.into(), File { bytes: bytes.into(), mode: 0o644 });
    }

    /// Adds an executable file.
    pub fn add_program(&mut self, path: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        self.0.insert(path.into(), File { bytes: bytes.into(), mode: 0o755 });
    }

    /// Writes the files to a folder.
    ///
    /// # Errors
    /// If a file can't be written.
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

    /// The files as a tar archive, with owner 0 and the time 0 for each.
    ///
    /// # Errors
    /// If a path or a file is too long for the format.
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

    /// The checksums of the files, in the format that `sha256sum --check` reads.
    ///
    /// # Errors
    /// Only if `oci-spec` rejects a digest.
    pub fn checksums(&self) -> anyhow::Result<String> {
        let mut text = String::new();
        for (path, file) in &self.0 {
            writeln!(text, "{}  {path}", sha256(&file.bytes)?.digest())?;
        }
        Ok(text)
    }
}

/// The SHA-256 digest of `bytes`.
///
/// # Errors
/// Only if `oci-spec` rejects a digest.
pub fn sha256(bytes: &[u8]) -> anyhow::Result<Digest> {
    let mut digits = String::new();
    for byte in <Sha256 as sha2::Digest>::digest(bytes) {
        write!(digits, "{byte:02x}")?;
    }
    Ok(digits.parse::<Sha256Digest>()?.into())
}
