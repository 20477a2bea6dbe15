//! Tests that measure time or memory. They take turns, since each would disturb the others.
//!
//! Cargo runs one test target at a time, so nothing else runs beside them either.

mod handover;
mod latency;
mod memory;
mod soak;
mod worst;

use tokio::sync::{Mutex, MutexGuard};

/// Waits until no other test of this target runs. The turn lasts as long as the value.
async fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::const_new(());
    TURN.lock().await
}
