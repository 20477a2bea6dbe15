//! The command-line program, run as operators run it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, ensure};

use crate::project;

/// The program, and the policy file that its verbs change.
#[derive(Clone)]
pub struct Trafficctl {
    program: PathBuf,
    /// What `--file` names.
    pub file: PathBuf,
}

/// What a run ended with.
#[derive(Debug)]
pub struct Ended {
    /// The exit status; `None` if it was killed.
    pub status: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it complained of.
    pub stderr: String,
}

impl Trafficctl {
    /// The program at `program`, for the policy in `file`.
    pub fn new(program: impl Into<PathBuf>, file: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), file: file.into() }
    }

    /// Builds the program from the sources as they are now.
    ///
    /// # Errors
    /// When it does not build, with the compiler's words.
    pub fn build(file: impl Into<PathBuf>) -> anyhow::Result<Self> {
        let target = project().join("target");
        let output = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--package", "trafficctl"])
            .current_dir(project())
            .env("CARGO_TARGET_DIR", &target)
            .output()?;
        ensure!(output.status.success(), "trafficctl does not build:\n{}", String::from_utf8_lossy(&output.stderr));
        Ok(Self::new(target.join("debug/trafficctl"), file))
    }

    /// Where the program is.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// The command, ready to run.
    pub fn command<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).env("TRAFFICCTL_FILE", &self.file).stdin(Stdio::null());
        command
    }

    /// Runs it.
    ///
    /// # Panics
    /// When it can't be started.
    pub fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Ended {
        let output = self.command(arguments).output();
        output.map_or_else(|error| panic!("{}: {error}", self.program.display()), Ended::from)
    }

    /// Runs it, and returns what it printed.
    ///
    /// # Errors
    /// When it fails, with what it complained of.
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
