//! Replaces a folder as a whole, but only if an earlier run wrote it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, ensure};

use crate::files::Files;

/// Replaces the contents of `folder` with `files`. If the folder is not empty, `is_ours` decides
/// whether an earlier run wrote it. It gets the folder and the paths in it.
///
/// The files are first written next to the folder. A run that fails leaves the old folder in place.
///
/// # Errors
/// If the folder has other contents, or can't be written.
pub fn replace(folder: &Path, files: &Files, is_ours: fn(&Path, &BTreeSet<String>) -> bool) -> anyhow::Result<()> {
    let name = folder.display();
    let exists = fs::symlink_metadata(folder).is_ok();
    if exists {
        let found = paths(folder, "").with_context(|| format!("can't list {name}"))?;
        ensure!(
            found.is_empty() || is_ours(folder, &found),
            "{name} was not written by an earlier run: choose another folder, or empty this one"
        );
    }
    // The parent of a bare name is "", which can't be opened.
    let parent = folder.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
    let write = || -> anyhow::Result<()> {
        fs::create_dir_all(parent)?;
        // By default only the owner can open a temporary folder. This one is for others, too.
        let new = tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o755)).tempdir_in(parent)?;
        files.write_to(new.path())?;
        if exists {
            fs::remove_dir_all(folder)?;
        }
        fs::rename(new.keep(), folder)?;
        Ok(())
    };
    write().with_context(|| format!("can't write {name}"))
}

/// The files below a folder, at any depth, and its empty folders as `path/`.
fn paths(folder: &Path, prefix: &str) -> std::io::Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            let path = format!("{path}/");
            let below = paths(&entry.path(), &path)?;
            if below.is_empty() {
                found.insert(path);
            } else {
                found.extend(below);
            }
        } else {
            found.insert(path);
        }
    }
    Ok(found)
}
