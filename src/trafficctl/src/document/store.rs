//! Atomic changes of files: nobody sees half of a change, and no two changes overlap.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::attributes::{Attributes, Lost, Owner};
use super::link::target;
use super::lock::lock;
use crate::error::Error;
use crate::terminal::warn;

/// A file that no other process of this program changes while the value lives.
pub struct Locked {
    path: PathBuf,
    /// The lock is on the folder: each change replaces the file itself.
    folder: File,
}

impl Locked {
    /// Waits for the lock on the file at `path`, at most for `timeout`. A symbolic link is followed
    /// if `follows` is true.
    ///
    /// # Errors
    /// [`Error::Usage`] for standard input, [`Error::Unreadable`] if the file or its folder can't
    /// be opened. [`Error::Wrong`] if a change would not have the intended effect (see [`target`]),
    /// the file has several names, or the lock does not become free in time.
    pub fn open(path: &Path, follows: bool, timeout: Duration) -> Result<Self, Error> {
        if path == Path::new("-") {
            return Err(Error::Usage("this command changes a file, and can't change standard input".to_owned()));
        }
        let target = target(path, follows)?;
        // Only the root has no parent, and that is no file.
        let folder = lock(target.parent().unwrap_or(&target), timeout)?;
        let metadata = fs::metadata(&target).map_err(|error| Error::cannot_read(path, &error))?;
        if metadata.is_file() && metadata.nlink() > 1 {
            return Err(Error::Wrong(format!(
                "not changed: {} has {} names (hard links), and the others would keep the old policy; find them with \
                 find -samefile, and leave one",
                path.display(),
                metadata.nlink()
            )));
        }
        Ok(Self { path: target, folder })
    }

    /// Replaces the text of the file, in one step. Owner, group, permissions and extended
    /// attributes stay. If the owner can't stay, but whoever could read the file still can, the
    /// user is warned.
    ///
    /// # Errors
    /// [`Error::Unreadable`] if it can't be written, [`Error::Wrong`] if something of it would be
    /// lost. The file is unchanged then.
    pub fn replace(&self, text: &str) -> Result<(), Error> {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        // Always the same name, so that the next run removes the file that a killed run left
        // behind.
        let new = self.path.with_file_name(format!(".{name}.trafficctl"));
        let owner = self.try_replace(&new, text).map_err(|lost| {
            let _ = fs::remove_file(&new);
            self.refusal(&lost)
        })?;
        if let Some(Owner { kind, before, now }) = owner {
            warn(&format!(
                "{} belonged to the {kind} {before}, and belongs to the {kind} {now} now",
                self.path.display()
            ));
        }
        Ok(())
    }

    fn try_replace(&self, new: &Path, text: &str) -> Result<Option<Owner>, Lost> {
        match fs::remove_file(new) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
            _ => (),
        }
        let mut file = File::create_new(new)?;
        let owner = Attributes::of(&File::open(&self.path)?)?.give(&file)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(new, &self.path)?;
        self.folder.sync_all()?;
        Ok(owner)
    }

    fn refusal(&self, lost: &Lost) -> Error {
        let path = self.path.display();
        match lost {
            Lost::Access(Owner { kind, before, now }) => Error::Wrong(format!(
                "not changed: {path} would belong to the {kind} {now} instead of the {kind} {before}, which could not \
                 read it any more: only root can give files away; run this as the file's owner or as root, or let \
                 everyone read the file (chmod o+r)"
            )),
            Lost::Attribute(what, error) => Error::Wrong(format!(
                "not changed: {path} would lose its {what}: {error}; run this as the file's owner or as root"
            )),
            Lost::Failed(error) => Error::Unreadable(format!("cannot write {path}: {error}")),
        }
    }
}
