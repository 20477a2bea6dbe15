//! The filter: applies a policy to the requests of a proxy.

#![cfg(target_arch = "wasm32")]

mod draws;
mod entry;
mod host;
mod http;
mod metrics;
mod root;
mod shadows;
