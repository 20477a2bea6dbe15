//! The file that a command works on.

use std::path::PathBuf;

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
}

impl EditTarget {
    /// The file.
    pub fn file(&self) -> &PathBuf {
        &self.target.file
    }
}
