//! trafficctl, run as operators run it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, ensure};

use crate::cargo::build_trafficctl;

/// The program, and the file that its verbs change.
#[derive(Clone)]
pub struct Trafficctl {
    program: PathBuf,
    /// The file that `--file` names.
    pub file: PathBuf,
}

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit status, or `None` if it was killed.
    pub status: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Trafficctl {
    /// The program at `program`, for the policy in `file`.
    pub fn new(program: impl Into<PathBuf>, file: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), file: file.into() }
    }

    /// Builds the program from the current sources, once for each process.
    ///
    /// # Errors
    /// When it does not build, with the compiler's messages.
    pub fn build(file: impl Into<PathBuf>) -> anyhow::Result<Self> {
        Ok(Self::new(build_trafficctl()?, file))
    }

    /// The path of the program.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The command with these arguments, ready to run.
    pub fn command<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).env("TRAFFICCTL_FILE", &self.file).stdin(Stdio::null());
        command
    }

    /// Runs the program.
    ///
    /// # Panics
    /// When it can't be started.
    pub fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Ended {
        let output = self.command(arguments).output();
        output.map_or_else(|error| panic!("{}: {error}", self.program.display()), Ended::from)
    }

    /// Runs the program and returns its standard output.
    ///
    /// # Errors
    /// When it fails. The error contains its standard error.
    pub fn ok<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> anyhow::Result<String> {
        let ended = self.run(arguments);
        ensure!(ended.status == Some(0), "trafficctl ended with {:?}:\n{}", ended.status, ended.stderr);
        Ok(ended.stdout)
    }

    /// Renders the policy in `policy` as the file that Envoy watches, and renames it into place.
    ///
    /// # Errors
    /// When the policy is wrong, or the file can't be written.
    pub fn render_ecds(&self, policy: &Path, module: &Path) -> anyhow::Result<()> {
        let module = module.to_str().context("a path that is UTF-8")?;
        let policy = policy.to_str().context("a path that is UTF-8")?;
        let text = self.ok(["render", "ecds", policy, "--module", module])?;
        let new = self.file.with_extension("new");
        std::fs::write(&new, text)?;
        Ok(std::fs::rename(new, &self.file)?)
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self { status: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}
