//! Properties that hold for any bytes. Each check takes the bytes of a fuzzer, and panics if its
//! property does not hold.
//!
//! `make test` runs the checks over the seeds and many changes of them. `make fuzz` runs them under
//! libFuzzer.

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

/// A check of one property.
pub type Check = fn(&[u8]);

/// All checks, by name.
pub const CHECKS: [(&str, Check); 4] = [("policy", policy), ("decide", decide), ("values", values), ("copy", copy)];
