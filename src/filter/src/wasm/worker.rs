//! What all root contexts of a VM share: the limits that protect the worker.
//!
//! A worker has one VM for all plugins with the same code and settings, and for the policies that a
//! plugin had before, as long as requests or copies of theirs are under way.

use crate::draws::Draws;
use crate::gate::Gates;
use crate::memory::Memory;

/// What all root contexts of a VM share.
pub(super) struct Worker {
    pub(super) draws: Draws,
    pub(super) memory: Memory,
    pub(super) gates: Gates,
}

thread_local! {
    static WORKER: Worker =
        Worker { draws: Draws::seeded(), memory: Memory::default(), gates: Gates::default() };
}

/// Calls `f` with the worker.
pub(super) fn with<R>(f: impl FnOnce(&Worker) -> R) -> R {
    WORKER.with(f)
}
