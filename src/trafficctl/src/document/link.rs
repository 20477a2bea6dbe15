//! Symbolic links to a file that is to be changed.

use std::path::{Path, PathBuf};

use crate::error::Error;

/// The file that a change of the file at `path` replaces.
///
/// Envoy watches the folder of the path that it was given. If that path is a link, it does not see
/// that the link's target changes. Links to folders on the way to the file make no difference.
///
/// # Errors
/// [`Error::Unreadable`] if there is no such file. [`Error::Wrong`] if it is a symbolic link and
/// `follows` is false, and for any file in a volume that Kubernetes writes: the next sync replaces
/// it.
pub fn target(path: &Path, follows: bool) -> Result<PathBuf, Error> {
    let target = path.canonicalize().map_err(|error| Error::cannot_read(path, &error))?;
    let name = path.display();
    if is_in_volume(&target) {
        return Err(Error::Wrong(format!(
            "not changed: Kubernetes writes {name} from a ConfigMap or a Secret, and its next sync would undo the \
             change; change the policy that the ConfigMap is made from, and apply that: kubectl create configmap \
             NAME --from-file=FILE --dry-run=client --output=yaml | kubectl apply -f -"
        )));
    }
    if path.is_symlink() && !follows {
        let target = target.display();
        return Err(Error::Wrong(format!(
            "not changed: {name} is a symbolic link to {target}, and Envoy, which watches the folder of the path that \
             it was given, would not see a change there; if Envoy was given the path of the target, name that; \
             otherwise use --follow, and then rename a new link over this one"
        )));
    }
    Ok(target)
}

/// Whether Kubernetes writes the file: its volumes have the files in a folder of their own, to
/// which the link `..data` points. A sync points the link to a new folder.
fn is_in_volume(file: &Path) -> bool {
    file.ancestors().skip(1).any(|folder| {
        let link = folder.parent().map(|volume| volume.join("..data"));
        link.is_some_and(|link| link.is_symlink() && link.canonicalize().is_ok_and(|data| data == folder))
    })
}
