//! What must hold for any bytes. Each function takes a fuzzer's bytes and panics where something
//! does not hold.
//!
//! `make test` runs them over the seeds and many changes of them, `make fuzz` under libFuzzer for
//! as long as it is told to.

#![allow(clippy::panic, clippy::unwrap_used, clippy::indexing_slicing, reason = "a check fails by panicking")]

mod copy;
mod decide;
mod policy;
mod request;
pub mod seeds;
mod values;

pub use copy::copy;
pub use decide::decide;
pub use policy::policy;
pub use values::values;

/// A check, by name.
pub type Check = fn(&[u8]);

/// All checks.
pub const CHECKS: [(&str, Check); 4] = [("policy", policy), ("decide", decide), ("values", values), ("copy", copy)];
