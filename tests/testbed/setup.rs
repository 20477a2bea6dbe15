//! What an Envoy is started with.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::Value;

use crate::backend::Backend;

/// The settings of [`Envoy::start`](crate::envoy::Envoy::start).
pub struct Setup {
    /// The policy, as JSON.
    pub policy: String,
    /// The name of each cluster and the address of its only host.
    pub clusters: Vec<(String, SocketAddr)>,
    /// The number of worker threads.
    pub workers: u32,
    /// Whether to listen on the ports of `envoy.yaml` instead of free ones.
    pub fixed_ports: bool,
    /// A module to run instead of the filter.
    pub module: Option<PathBuf>,
    /// Whether to run under callgrind, which counts nothing until it is told to.
    pub callgrind: bool,
    /// Whether to have a clock of its own, which
    /// [`Envoy::set_clock`](crate::envoy::Envoy::set_clock) sets.
    pub own_clock: bool,
    /// How long a listener that was replaced is drained, in seconds.
    pub drain_s: u32,
    /// The control plane that serves the filter and its policy, instead of the file.
    pub control_plane: Option<SocketAddr>,
    /// A last change to the bootstrap.
    pub adapt: fn(&mut Value),
}

impl Setup {
    /// One worker, free ports, and a cluster for each backend.
    pub fn new(policy: impl Into<String>, backends: &[Backend]) -> Self {
        let clusters = backends.iter().map(|backend| (backend.name.clone(), backend.address)).collect();
        Self {
            policy: policy.into(),
            clusters,
            workers: 1,
            fixed_ports: false,
            module: None,
            callgrind: false,
            own_clock: false,
            // Envoy's default.
            drain_s: 600,
            control_plane: None,
            adapt: |_| (),
        }
    }
}
