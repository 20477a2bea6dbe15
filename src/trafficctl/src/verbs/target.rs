//! The file that a command works on.

use std::path::PathBuf;
use std::time::Duration;

/// The file of a command that reads or changes one policy.
#[derive(clap::Args)]
pub struct Target {
    /// The policy, or the file that holds it: an ECDS file, an Envoy configuration, a WasmPlugin,
    /// an EnvoyExtensionPolicy.
    #[arg(short, long, value_name = "FILE", env = "TRAFFICCTL_FILE")]
    pub file: PathBuf,
}

/// The file of a command that changes one policy.
#[derive(clap::Args)]
pub struct EditTarget {
    #[command(flatten)]
    target: Target,
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

impl EditTarget {
    /// The file.
    pub fn file(&self) -> &PathBuf {
        &self.target.file
    }

    /// How long to wait for another process.
    pub fn lock_timeout(&self) -> Duration {
        Duration::from_secs(self.lock_timeout)
    }
}
