//! Faults around the filter: hostile clients, failing upstreams, an Envoy that is killed, damaged
//! policy files, a clock that jumps, and a VM that dies.
//!
//! Failing shadows are in the targets `envoy` and `load`.

mod clock;
mod envoy;
mod file;
mod hostile;
mod load;
mod memory;
mod upstreams;
mod vm;
