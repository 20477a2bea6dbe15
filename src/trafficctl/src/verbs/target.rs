//! The file that a command works on.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::Error;

/// The file of a command, by its position, an option or a variable.
#[derive(clap::Args)]
#[group(skip)]
pub struct Target {
    #[command(flatten)]
    position: Position,
    #[command(flatten)]
    named: Named,
}

/// The file as the last operand.
#[derive(clap::Args)]
#[group(skip)]
pub struct Position {
    /// The policy, or the file that holds it: an ECDS file, an Envoy configuration, a WasmPlugin,
    /// an EnvoyExtensionPolicy. By default the file that TRAFFICCTL_FILE names.
    #[arg(
        id = "position",
        value_name = "FILE",
        required_unless_present_any = ["option", "variable"],
        conflicts_with = "option"
    )]
    file: Option<PathBuf>,
}

/// The file by an option or a variable.
#[derive(clap::Args)]
#[group(skip)]
pub struct Named {
    /// The same as FILE, as an option.
    #[arg(id = "option", short = 'f', long = "file", value_name = "FILE")]
    option: Option<PathBuf>,
    #[arg(id = "variable", long = "file-by-default", env = "TRAFFICCTL_FILE", hide = true)]
    variable: Option<PathBuf>,
}

/// How a command changes its file.
#[derive(clap::Args)]
#[group(skip)]
pub struct EditTarget {
    #[command(flatten)]
    named: Named,
    /// Check the change and show it, but write nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Accept a new name although it is near one that the policy has: it is no misspelling.
    #[arg(long)]
    pub new: bool,
    /// Change the target of a symbolic link. Envoy does not see such a change if it was given the
    /// path of the link.
    #[arg(long)]
    pub follow: bool,
    /// How long to wait for another process that changes files in the same folder.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(..=86_400), value_name = "SECONDS")]
    lock_timeout: u64,
}

impl Target {
    /// The file.
    ///
    /// # Errors
    /// [`Error::Usage`] if there is none.
    pub fn file(&self) -> Result<&Path, Error> {
        self.named.file_or(self.position.file())
    }
}

impl Position {
    /// The operand.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }
}

impl Named {
    /// The operand, or else the file by the option, or else by the variable.
    ///
    /// # Errors
    /// [`Error::Usage`] if there is none, or both an operand and the option.
    pub fn file_or<'a>(&'a self, operand: Option<&'a Path>) -> Result<&'a Path, Error> {
        if let (Some(operand), Some(option)) = (operand, &self.option) {
            let (operand, option) = (operand.display(), option.display());
            return Err(Error::Usage(format!("two files, {operand} and {option}: name one")));
        }
        let none = || Error::Usage("no file: name it as FILE, with -f, or in TRAFFICCTL_FILE".to_owned());
        operand.or(self.option.as_deref()).or(self.variable.as_deref()).ok_or_else(none)
    }

    /// The files among operands, with the one by the option; without either, the one by the
    /// variable.
    pub fn files_or(&self, operands: &[PathBuf]) -> Vec<PathBuf> {
        let given: Vec<_> = operands.iter().chain(&self.option).cloned().collect();
        if given.is_empty() { self.variable.iter().cloned().collect() } else { given }
    }
}

impl EditTarget {
    /// The file, where `operand` may name it.
    ///
    /// # Errors
    /// [`Error::Usage`] if there is none, or both an operand and the option.
    pub fn file<'a>(&'a self, operand: Option<&'a Path>) -> Result<&'a Path, Error> {
        self.named.file_or(operand)
    }

    /// How long to wait for another process.
    pub fn lock_timeout(&self) -> Duration {
        Duration::from_secs(self.lock_timeout)
    }
}
