//! The lock on a folder: changes of the files in it wait for each other.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use rustix::fs::{major, minor};

use crate::error::Error;
use crate::terminal::warn;

/// How long to wait for the lock before the user learns what the program waits for.
const QUIET: Duration = Duration::from_secs(1);

/// Locks the folder at `path`, and waits at most `timeout` for another process that has locked it.
/// The lock lasts until the file is closed.
///
/// # Errors
/// [`Error::Wrong`] after the timeout, [`Error::Unreadable`] if the folder can't be opened or
/// locked.
pub fn lock(path: &Path, timeout: Duration) -> Result<File, Error> {
    let folder = File::open(path).map_err(|error| Error::cannot_read(path, &error))?;
    let cannot_lock = |error: io::Error| Error::Unreadable(format!("cannot lock {}: {error}", path.display()));
    match folder.try_lock() {
        Ok(()) => return Ok(folder),
        Err(TryLockError::WouldBlock) => (),
        Err(TryLockError::Error(error)) => return Err(cannot_lock(error)),
    }
    // A thread waits in the kernel's queue, in which those who came first are first. It ends with
    // the process if the lock never becomes free.
    let waiting = folder.try_clone().map_err(cannot_lock)?;
    let (sender, locked) = mpsc::channel();
    thread::spawn(move || sender.send(waiting.lock()));
    let quiet = QUIET.min(timeout);
    let mut result = locked.recv_timeout(quiet);
    if matches!(result, Err(RecvTimeoutError::Timeout)) && quiet < timeout {
        warn(&format!("waiting for {}: {} has locked the folder", path.display(), holder(&folder)));
        result = locked.recv_timeout(timeout.saturating_sub(quiet));
    }
    match result {
        Ok(result) => result.map(|()| folder).map_err(cannot_lock),
        Err(_) => Err(Error::Wrong(format!(
            "not changed: {} has locked the folder {} for {} s; wait for its end, or give it more time with --lock-timeout",
            holder(&folder),
            path.display(),
            timeout.as_secs()
        ))),
    }
}

/// The process that has locked `folder`, in words.
fn holder(folder: &File) -> String {
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    let Some(pid) = folder.metadata().ok().and_then(|folder| process(&locks, folder.dev(), folder.ino())) else {
        return "another process".to_owned();
    };
    match fs::read_to_string(format!("/proc/{pid}/comm")) {
        Ok(name) => format!("process {pid} ({})", name.trim_end()),
        Err(_) => format!("process {pid}"),
    }
}

/// The id of the process that has locked a file, from the text of Linux's `/proc/locks`, whose
/// lines are `1: FLOCK ADVISORY WRITE 4711 08:01:1234 0 EOF`.
fn process(locks: &str, device: u64, inode: u64) -> Option<u32> {
    let place = format!("{:02x}:{:02x}:{inode}", major(device), minor(device));
    locks.lines().find_map(|line| {
        // A process that waits for a lock has an arrow in front of its kind.
        let [_, "FLOCK", _, _, pid, at, ..] = line.split_whitespace().collect::<Vec<_>>()[..] else { return None };
        if at == place { pid.parse().ok() } else { None }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_of_a_lock_is_not_who_waits_for_it() {
        let locks = "1: POSIX  ADVISORY  WRITE 1 08:01:77 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 2 08:01:77 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 3 08:01:7 0 EOF\n\
                     4: FLOCK  ADVISORY  WRITE 4 fd:1a:77 0 EOF\n\
                     5: FLOCK  ADVISORY  WRITE 5 08:01:77 0 EOF\n";
        assert_eq!(process(locks, rustix::fs::makedev(8, 1), 77), Some(5));
        assert_eq!(process(locks, rustix::fs::makedev(0xfd, 0x1a), 77), Some(4));
        assert_eq!(process(locks, rustix::fs::makedev(8, 1), 78), None);
        assert_eq!(process("", 0, 0), None);
    }
}
