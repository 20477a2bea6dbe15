//! The cost of loading a policy of 1 MB, for the worst shapes.

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use policy::Policy;
use serde_json::json;
use testbed::backend::Backend;
use testbed::envoy::{Envoy, Setup, Verdict};
use testbed::policies::one_endpoint;
use testbed::shapes;

/// The cost of one load.
pub struct Load {
    /// The shape of the policy.
    pub shape: String,
    /// The size of the policy.
    pub bytes: usize,
    /// The CPU time of one load. The main thread and each worker load the policy separately.
    pub cpu: Duration,
    /// The time from the new file until the policy is in force on all threads.
    pub in_force: Duration,
    /// The growth of Envoy's resident memory.
    pub gained_bytes: u64,
}

/// Loads policies of 1 MB, each into an Envoy of its own, with one worker.
pub async fn measure(backends: &[Backend]) -> anyhow::Result<Vec<Load>> {
    let mut loads = Vec::new();
    for (shape, policy) in worst()? {
        let setup = Setup::new(one_endpoint(json!({ "name": "first", "traffic": { "v1": 1 } })), backends);
        let envoy = Envoy::start(&setup).await?;
        let (cpu, memory, start) = (envoy.cpu_time()?, envoy.resident_bytes()?, Instant::now());
        let verdict = envoy.apply(&policy).await?;
        anyhow::ensure!(verdict == Verdict::InForce, "{shape}: {}", envoy.log());
        let in_force = start.elapsed();
        // The policy is loaded for a trial, on the main thread, and on the worker.
        let cpu = (envoy.cpu_time()? - cpu) / 3;
        let gained_bytes = envoy.resident_bytes()?.saturating_sub(memory);
        loads.push(Load { shape, bytes: policy.len(), cpu, in_force, gained_bytes });
    }
    Ok(loads)
}

/// The policies of 1 MB that take longest to load, and a usual one: of all shapes that the schema
/// allows, as far as they are valid.
fn worst() -> anyhow::Result<Vec<(String, String)>> {
    const BYTES: usize = 1_000_000;
    const ROWS: usize = 4;
    let time = |document: &str| {
        let start = Instant::now();
        let is_valid = Policy::from_json(document.as_bytes()).is_ok();
        is_valid.then(|| start.elapsed())
    };
    let mut timed: Vec<_> =
        shapes::all()?.into_iter().filter_map(|shape| Some((time(&shape.document(BYTES / 20))?, shape))).collect();
    timed.sort_by_key(|(time, _)| Reverse(*time));
    let at_full_size = timed.into_iter().map(|(_, shape)| (shape.name(), shape.document(BYTES)));
    let worst = at_full_size.filter(|(_, document)| time(document).is_some()).take(ROWS);
    let endpoint = |n| json!({ "name": format!("e{n}"), "route": format!("/e{n}"), "traffic": { "v1": 1 } });
    let usual = json!({ "endpoints": (0..19_000).map(endpoint).collect::<Vec<_>>() }).to_string();
    Ok(worst.chain([("19000 endpoints with a route each".to_owned(), usual)]).collect())
}
