//! Policies that many tests use, as JSON.

use std::sync::Arc;

use anyhow::Context;
use policy::{Backend, Fault, Policy, Traffic};
use serde_json::{Value, json};

use crate::read_yaml;

/// A policy with one endpoint.
pub fn one_endpoint(endpoint: Value) -> String {
    json!({ "endpoints": [endpoint] }).to_string()
}

/// A policy with one endpoint, `e`, all of whose requests go to `backend`.
pub fn all_to(backend: &str) -> String {
    one_endpoint(json!({ "name": "e", "traffic": { backend: 1 } }))
}

/// A policy with one endpoint, `e`, whose requests go to `main` and are copied to `shadows`.
pub fn shadowed(shadows: Value) -> String {
    one_endpoint(json!({ "name": "e", "traffic": { "main": 1 }, "shadow": shadows }))
}

/// The policy of `envoy/traffic-policy.yaml`.
///
/// # Errors
/// When the file has none.
pub fn shipped() -> anyhow::Result<String> {
    let resources = read_yaml("envoy/traffic-policy.yaml")?;
    let policy = resources.pointer("/resources/0/typed_config/config/configuration/value");
    Ok(policy.and_then(Value::as_str).context("envoy/traffic-policy.yaml contains no policy")?.to_owned())
}

/// The hash of a policy, as the filter reports it.
///
/// # Panics
/// When the policy is refused.
pub fn hash(policy: &str) -> u64 {
    let parsed = Policy::from_json(policy.as_bytes());
    parsed.unwrap_or_else(|errors| panic!("{policy}: {errors}")).policy.hash
}

/// Shares among backends, each with the cluster of its name.
///
/// # Panics
/// When a name is not one for a backend, or all shares are 0.
pub fn traffic<S: AsRef<str>>(shares: impl IntoIterator<Item = (S, f64)>) -> Traffic {
    let shares = shares.into_iter().map(|(name, share)| {
        let backend: Backend = name.as_ref().parse().unwrap_or_else(|fault: Fault| panic!("{fault}"));
        (Arc::new(backend), share)
    });
    Traffic::new(shares).unwrap_or_else(|| panic!("all shares are 0"))
}
