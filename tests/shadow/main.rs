//! Shadow traffic in a real Envoy: what is copied, what becomes of it, and that no user notices.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking"
)]

mod bounds;
mod copies;
mod kinds;
mod options;
mod stage;
