//! A real mesh on loopback addresses: Kubernetes' API, Istio's control plane, and its proxies.
//!
//! Start with [`kubernetes::Kubernetes`]. [`istio::Istio`] runs on it, and [`gateway::Gateway`]

mod agent;
pub mod gateway;
pub mod istio;
pub mod kubernetes;
pub mod ports;
mod program;
pub mod registry;
pub mod sidecar;
