//! The real filter in a real Istio, on a real Kubernetes API.

mod renderings;
