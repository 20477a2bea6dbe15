//! The real filter in a real Istio, on a real Kubernetes API.

mod admission;
mod alerts;
mod gateway;
mod keep;
mod modules;
mod renderings;
mod sidecar;
mod team;
mod virtual_service;
