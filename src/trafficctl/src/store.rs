//! Changes files so that nobody ever sees half of a change, and no two changes at once.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

/// A file that nobody else changes by this program while the value lives.
pub struct Locked {
    path: PathBuf,
    /// The lock is the folder's: the file itself is another one after each change.
    folder: File,
}

impl Locked {
    /// Waits for its turn to change the file at `path`. A symbolic link is followed: what it leads to is changed.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        ensure!(path != Path::new("-"), "a verb changes a file: standard input is none");
        let path = path.canonicalize().with_context(|| format!("cannot read {}", path.display()))?;
        let folder = path.parent().context("a file has a folder")?;
        let folder = File::open(folder).with_context(|| format!("cannot open {}", folder.display()))?;
        folder.lock().context("cannot lock the folder")?;
        Ok(Self { path, folder })
    }

    /// Replaces the file by one with this text, at once, with the same permissions.
    pub fn replace(&self, text: &str) -> anyhow::Result<()> {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        // Always the same name: what a killed run left behind is gone with the next.
        let new = self.path.with_file_name(format!(".{name}.trafficctl"));
        match fs::remove_file(&new) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).context("cannot remove what an earlier run left");
            }
            _ => (),
        }
        let write = || -> std::io::Result<()> {
            let mut file = File::create_new(&new)?;
            let old = fs::metadata(&self.path)?;
            // Only root can give files away; for everybody else they are their own already.
            let _ = fchown(&file, Some(old.uid()), Some(old.gid()));
            file.set_permissions(old.permissions())?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, &self.path)?;
            self.folder.sync_all()
        };
        write().with_context(|| format!("cannot write {}", self.path.display()))
    }
}
