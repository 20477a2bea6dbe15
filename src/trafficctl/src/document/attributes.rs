//! What a file has besides its content: owner, group, permissions, and extended attributes, among
//! which are access control lists and SELinux labels.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt, fchown};

use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fremovexattr, fsetxattr};
use rustix::io::Errno;

/// The attributes of a file.
pub struct Attributes {
    metadata: Metadata,
    extended: BTreeMap<CString, Vec<u8>>,
}

/// Why a file can't have the attributes of another one.
#[derive(Debug)]
pub enum Lost {
    /// Only the owner or the group could read it, and that would be another one.
    Access(Owner),
    /// An attribute that this user can't set, with its name.
    Attribute(String, io::Error),
    /// An operation that should work does not.
    Failed(io::Error),
}

/// A new owner of a file, or a new group.
#[derive(Debug)]
pub struct Owner {
    /// `user` or `group`.
    pub kind: &'static str,
    /// The id before.
    pub before: u32,
    /// The id now.
    pub now: u32,
}

/// The access control list of a file.
const ACCESS_LIST: &str = "system.posix_acl_access";

/// Attributes that the kernel computes from the content of a file.
const COMPUTED: [&str; 2] = ["security.ima", "security.evm"];

impl Attributes {
    /// The attributes of a file.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn of(file: &File) -> io::Result<Self> {
        let extended = names(file)?.into_iter().map(|name| Ok((name.clone(), value(file, &name)?)));
        Ok(Self { metadata: file.metadata()?, extended: extended.collect::<io::Result<_>>()? })
    }

    /// Gives the attributes to a new file, before it has its content. Returns the new owner if the
    /// old one can't stay: only root can give files away.
    ///
    /// # Errors
    /// [`Lost`] if whoever could read the file might not be able to, or an attribute would be lost.
    pub fn give(&self, new: &File) -> Result<Option<Owner>, Lost> {
        let owner = self.give_owner(new)?;
        // A folder may give its access control list to new files: nobody gets access through that.
        for name in names(new)? {
            if !self.extended.contains_key(&name) && !name.as_bytes().starts_with(b"security.") {
                fremovexattr(new, &name).map_err(|error| lost(&name, error))?;
            }
        }
        new.set_permissions(self.metadata.permissions())?;
        for (name, wanted) in &self.extended {
            let is_computed = COMPUTED.iter().any(|computed| computed.as_bytes() == name.as_bytes());
            if is_computed || value(new, name).is_ok_and(|value| value == *wanted) {
                continue;
            }
            fsetxattr(new, name, wanted, XattrFlags::empty()).map_err(|error| lost(name, error))?;
        }
        Ok(owner)
    }

    fn give_owner(&self, new: &File) -> Result<Option<Owner>, Lost> {
        let (user, group) = (self.metadata.uid(), self.metadata.gid());
        // A member of the group can give a file to the group, but not to another user.
        if fchown(new, Some(user), Some(group)).is_err() {
            let _ = fchown(new, None, Some(group));
        }
        let now = new.metadata()?;
        let changed = if now.uid() != user {
            Some((Owner { kind: "user", before: user, now: now.uid() }, 0o400))
        } else if now.gid() != group {
            Some((Owner { kind: "group", before: group, now: now.gid() }, 0o040))
        } else {
            None
        };
        let mode = self.metadata.mode();
        match changed {
            Some((owner, read)) if mode & read != 0 && mode & 0o004 == 0 => Err(Lost::Access(owner)),
            changed => Ok(changed.map(|(owner, _)| owner)),
        }
    }
}

impl From<io::Error> for Lost {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

fn lost(name: &CString, error: Errno) -> Lost {
    let name = name.to_string_lossy();
    let what = match &*name {
        ACCESS_LIST => format!("access control list ({name})"),
        "security.selinux" => format!("SELinux label ({name})"),
        _ => format!("extended attribute {name}"),
    };
    Lost::Attribute(what, error.into())
}

/// The names of a file's extended attributes; none where the file system has no such attributes.
fn names(file: &File) -> io::Result<Vec<CString>> {
    let list = match read(|buffer| flistxattr(file, buffer)) {
        Err(Errno::NOTSUP) => Vec::new(),
        list => list?,
    };
    let names = list.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    Ok(names.filter_map(|name| CString::new(name).ok()).collect())
}

fn value(file: &File, name: &CString) -> io::Result<Vec<u8>> {
    Ok(read(|buffer| fgetxattr(file, name, buffer))?)
}

/// Reads into a buffer that is large enough: Linux allows 64 KiB for a value and for all names.
fn read(read: impl FnOnce(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut buffer = vec![0; 1 << 16];
    let length = read(&mut buffer)?;
    buffer.truncate(length);
    Ok(buffer)
}
