//! A folder that is written as a whole, over what an earlier run left and over nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, ensure};

use crate::files::Files;

/// Makes `folder` hold `files` and nothing else. `is_ours` is asked whether an earlier run left what the folder holds; it gets the
/// folder and the paths in it.
///
/// The files are written beside the folder first, so that a run that fails leaves what was there.
///
/// # Errors
/// When the folder holds other things, or can't be written.
pub fn replace(folder: &Path, files: &Files, is_ours: fn(&Path, &BTreeSet<String>) -> bool) -> anyhow::Result<()> {
    let name = folder.display();
    let exists = fs::symlink_metadata(folder).is_ok();
    if exists {
        let found = paths(folder, "").with_context(|| format!("can't look into {name}"))?;
        ensure!(
            found.is_empty() || is_ours(folder, &found),
            "{name} holds what an earlier run did not write: name another folder, or clear it"
        );
    }
    // The parent of a bare name is "", which is no folder's name.
    let parent = folder.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
    let write = || -> anyhow::Result<()> {
        fs::create_dir_all(parent)?;
        // A temporary folder is its owner's alone, and this one is here to be handed out.
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

/// What a folder holds, at any depth: files, and as `path/` the folders that are empty.
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
