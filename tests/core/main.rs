//! The core alone, natively: what it decides, what it refuses, where it places keys, and what a
//! decision costs.
//!
//! Nothing here starts Envoy, so `make coverage` and `make mutants` run this target.

mod cost;
mod model;
mod placement;
mod refusals;
mod tables;
