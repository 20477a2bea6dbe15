//! Atomic changes of files: nobody sees half of a change, and no two changes overlap.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::{Path, PathBuf};

use crate::error::Error;

/// A file that no other process of this program changes while the value lives.
pub struct Locked {
    path: PathBuf,
    /// The lock is on the folder: each change replaces the file itself.
    folder: File,
}

impl Locked {
    /// Waits for the lock on the file at `path`. A symbolic link is followed.
    ///
    /// # Errors
    /// [`Error::Usage`] for standard input, [`Error::Unreadable`] if the file or its folder can't
    /// be opened.
    pub fn open(path: &Path) -> Result<Self, Error> {
        if path == Path::new("-") {
            return Err(Error::Usage("this command changes a file, and can't change standard input".to_owned()));
        }
        let path = path.canonicalize().map_err(|error| Error::cannot_read(path, &error))?;
        // Only the root has no parent, and that is no file.
        let parent = path.parent().unwrap_or(&path);
        let folder = File::open(parent).map_err(|error| Error::cannot_read(parent, &error))?;
        let cannot_lock = |error| Error::Unreadable(format!("cannot lock {}: {error}", parent.display()));
        folder.lock().map_err(cannot_lock)?;
        Ok(Self { path, folder })
    }

    /// Replaces the text of the file, in one step. The permissions stay.
    ///
    /// # Errors
    /// [`Error::Unreadable`] if it can't be written. The file is unchanged then.
    pub fn replace(&self, text: &str) -> Result<(), Error> {
        let cannot_write = |error| Error::Unreadable(format!("cannot write {}: {error}", self.path.display()));
        self.try_replace(text).map_err(cannot_write)
    }

    fn try_replace(&self, text: &str) -> std::io::Result<()> {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        // Always the same name, so that the next run removes the file that a killed run left
        // behind.
        let new = self.path.with_file_name(format!(".{name}.trafficctl"));
        match fs::remove_file(&new) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => (),
        }
        let mut file = File::create_new(&new)?;
        let old = fs::metadata(&self.path)?;
        // Only root can give files away. Everybody else owns them already.
        let _ = fchown(&file, Some(old.uid()), Some(old.gid()));
        file.set_permissions(old.permissions())?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        self.folder.sync_all()
    }
}
