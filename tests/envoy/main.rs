//! The real filter in a real Envoy, over real sockets.

mod access_log;
mod changes;
mod claims;
mod cohorts;
mod control_plane;
mod cookies;
mod grpc;
mod keep;
mod labels;
mod listeners;
mod metrics;
mod misrouted;
mod model;
mod module;
mod reload;
mod routing;
mod shadow;
mod split;
mod tables;
