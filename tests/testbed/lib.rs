//! A real Envoy with the real filter, backends that remember, clients and statistics: for the tests and the demo.

pub mod backend;
pub mod cases;
pub mod client;
pub mod control_plane;
pub mod envoy;
pub mod load;
pub mod prometheus;
pub mod statistics;
pub mod trafficctl;

use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a test waits for something that should happen at once.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The project's folder.
pub fn project() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests)
}

/// Builds the filter from the sources as they are now, and returns the module's path.
///
/// # Errors
/// When it does not build, with the compiler's words.
pub fn build_wasm() -> anyhow::Result<PathBuf> {
    build_filter("filter", "traffic_policy")
}

/// Builds a filter of the workspace, and returns the module's path.
///
/// # Errors
/// When it does not build, with the compiler's words.
pub fn build_filter(package: &str, module: &str) -> anyhow::Result<PathBuf> {
    let output = std::process::Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--release", "--lib", "--package", package, "--target", "wasm32-wasip1"])
        .current_dir(project())
        .env("CARGO_TARGET_DIR", project().join("target"))
        .output()?;
    anyhow::ensure!(
        output.status.success(),
        "the filter does not build (try `make build`):\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let module = format!("target/wasm32-wasip1/release/{module}.wasm");
    Ok(project().join(module).canonicalize()?)
}

/// Waits until `condition` is true.
///
/// # Errors
/// When that takes longer than [`PATIENCE`]; `what` is what was waited for.
pub async fn wait_until(what: &str, condition: impl AsyncFnMut() -> bool) -> anyhow::Result<()> {
    wait_for(PATIENCE, what, condition).await
}

/// Waits until `condition` is true.
///
/// # Errors
/// When that takes longer than `patience`; `what` is what was waited for.
pub async fn wait_for(patience: Duration, what: &str, mut condition: impl AsyncFnMut() -> bool) -> anyhow::Result<()> {
    let deadline = std::time::Instant::now() + patience;
    while !condition().await {
        anyhow::ensure!(std::time::Instant::now() < deadline, "waited {patience:?} in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}
