//! A program of the mesh: its log, and its end with all of its children.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, ensure};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::project;

/// A running program. Dropping the value kills it and the programs that it has started.
pub(super) struct Program {
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts `command`. Its output goes to `NAME.log` in `folder`.
    pub(super) fn start(name: &str, folder: &Path, command: &mut Command) -> anyhow::Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let file = File::options().create(true).append(true).open(&log)?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).process_group(0);
        let child = command.spawn().with_context(|| name.to_owned())?;
        Ok(Self { child, log })
    }

    /// The id of the process.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed so far.
    pub(super) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().rev().take(40).collect();
            eprintln!("---- the end of {} ----", self.log.display());
            lines.iter().rev().for_each(|line| eprintln!("{line}"));
        }
        // The calls fail only if it has ended already.
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

/// The path of a program that `make mesh` builds or fetches.
pub(super) fn tool(file: &str) -> anyhow::Result<PathBuf> {
    let path = project().join(".tools/mesh").join(file);
    ensure!(path.exists(), "there is no {}: run `make mesh`", path.display());
    Ok(path)
}
