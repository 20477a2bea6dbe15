//! The core alone, natively: its decisions, its refusals, the placement of keys, and the cost of a
//! decision.
//!
//! Nothing here starts Envoy, so `make coverage` and `make mutants` run this target.

mod cost;
mod loading;
mod model;
mod placement;
mod refusals;
mod tables;
