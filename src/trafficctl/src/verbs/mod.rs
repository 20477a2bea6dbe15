//! The commands that change a policy in its file.

pub mod backend;
mod edit;
pub mod endpoint;
pub mod lookup;
mod names;
pub mod shadow;
pub mod share;
pub mod target;
pub mod traffic;
mod word;
