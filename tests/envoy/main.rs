//! The real filter in a real Envoy, over real sockets.

mod claims;
mod cohorts;
mod control_plane;
mod cookies;
mod metrics;
mod model;
mod module;
mod observability;
mod reload;
mod routing;
mod shadow;
mod split;
mod tables;
