//! What else goes wrong around the filter: upstreams that break off, an Envoy that is killed, policy files that are torn
//! or replaced in a hurry, and a VM that dies. Failing shadows are in `shadow` and `latency`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking"
)]

mod clock;
mod envoy;
mod file;
mod load;
mod upstreams;
mod vm;

use policy::Policy;
use serde_json::json;
use testbed::envoy::one_endpoint;

fn all_to(name: &str) -> String {
    one_endpoint(json!({ "name": "e", "traffic": { name: 1 } }))
}

fn hash(policy: &str) -> u64 {
    Policy::from_json(policy.as_bytes()).unwrap().policy.hash
}
