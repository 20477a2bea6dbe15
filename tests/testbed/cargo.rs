//! What the tests build with Cargo: the filter, another filter, and trafficctl.
//!
//! The filter and trafficctl are built once for each process.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{anyhow, ensure};

use crate::project;

/// A build that has run: the path, or the whole error.
type Built = OnceLock<Result<PathBuf, String>>;

/// Builds the filter from the current sources and returns the path of the module.
///
/// # Errors
/// When it does not build, with the compiler's messages.
pub fn build_wasm() -> anyhow::Result<PathBuf> {
    static MODULE: Built = Built::new();
    once(&MODULE, || build_filter("filter", "traffic_policy"))
}

/// Builds a filter of the workspace from the package `package` and returns the path of the module,
/// whose name is `module`.
///
/// # Errors
/// When it does not build, with the compiler's messages.
pub fn build_filter(package: &str, module: &str) -> anyhow::Result<PathBuf> {
    build(&["--release", "--lib", "--package", package, "--target", "wasm32-wasip1"])?;
    Ok(project().join(format!("target/wasm32-wasip1/release/{module}.wasm")).canonicalize()?)
}

/// Builds trafficctl from the current sources and returns the path of the program.
///
/// # Errors
/// When it does not build, with the compiler's messages.
pub fn build_trafficctl() -> anyhow::Result<PathBuf> {
    static PROGRAM: Built = Built::new();
    once(&PROGRAM, || {
        build(&["--package", "trafficctl"])?;
        Ok(project().join("target/debug/trafficctl"))
    })
}

fn once(built: &Built, build: impl FnOnce() -> anyhow::Result<PathBuf>) -> anyhow::Result<PathBuf> {
    let built = built.get_or_init(|| build().map_err(|error| format!("{error:#}")));
    built.clone().map_err(|error| anyhow!(error))
}

fn build(arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new(env!("CARGO"))
        .args(["build", "--quiet"])
        .args(arguments)
        .current_dir(project())
        .env("CARGO_TARGET_DIR", project().join("target"))
        .output()?;
    let messages = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`cargo build {}` fails (try `make build`):\n{messages}", arguments.join(" "));
    Ok(())
}
