//! Waiting for a condition, with a deadline.

use std::time::{Duration, Instant};

use anyhow::ensure;

/// How long a test waits for something that should happen at once.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `condition` holds.
///
/// # Errors
/// When that takes longer than [`PATIENCE`]. The error contains `what`, which describes the
/// condition.
pub async fn wait_until(what: &str, condition: impl AsyncFnMut() -> bool) -> anyhow::Result<()> {
    wait_for(PATIENCE, what, condition).await
}

/// Waits until `condition` holds.
///
/// # Errors
/// When that takes longer than `patience`. The error contains `what`, which describes the
/// condition.
pub async fn wait_for(patience: Duration, what: &str, mut condition: impl AsyncFnMut() -> bool) -> anyhow::Result<()> {
    let deadline = Instant::now() + patience;
    while !condition().await {
        ensure!(Instant::now() < deadline, "waited {patience:?} in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}
