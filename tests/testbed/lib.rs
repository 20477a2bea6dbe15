//! A real Envoy with the real filter, and the surroundings that tests, demo and benchmark need.
//!
//! Start with [`envoy::Envoy`]: it runs the project's own `envoy/envoy.yaml` with free ports and
//! with the [`backend::Backend`]s of the caller. [`client::Client`] and [`load`] send requests,
//! [`statistics`] judges the counts, and [`cases`] and [`model`] say what the answers must be.

#![deny(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::unwrap_used
)]

mod admin;
pub mod attribute;
pub mod backend;
pub mod bootstrap;
pub mod cargo;
pub mod cases;
pub mod client;
mod command;
pub mod control_plane;
pub mod costly;
pub mod envoy;
pub mod inference;
pub mod load;
pub mod mesh;
pub mod model;
pub mod policies;
pub mod process;
mod project;
pub mod prometheus;
pub mod python;
pub mod request;
pub mod setup;
pub mod shapes;
pub mod socket;
pub mod statistics;
pub mod trafficctl;
pub mod upload;
mod wait;

pub use command::executable;
pub use project::{project, read, read_yaml};
pub use wait::{PATIENCE, wait_for, wait_until};
