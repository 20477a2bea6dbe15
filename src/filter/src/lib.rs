//! The filter: applies a traffic policy to the requests of an Envoy.
//!
//! The modules that follow are pure, and their tests run natively. The module `wasm` contains the
//! contexts that Envoy calls. It is compiled for the filter only, and a single file in it,
//! `host.rs`, makes host calls.

pub mod body;
pub mod contexts;
pub mod digest;
pub mod draws;
pub mod gate;
pub mod memo;
pub mod memory;
pub mod publication;
pub mod registry;
pub mod request;

#[cfg(target_arch = "wasm32")]
mod wasm;
