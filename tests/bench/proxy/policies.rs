//! The cost of loading a policy of 1 MB, for several shapes.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testbed::backend::Backend;
use testbed::envoy::{Envoy, Setup, Verdict};
use testbed::policies::one_endpoint;

use crate::times::cpu_time;

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
    for (noun, policy) in shapes() {
        const BYTES: usize = 1_000_000;
        // Some thousands of things give the size of one.
        const SAMPLE: usize = 5000;
        let count = SAMPLE * BYTES / policy(SAMPLE).to_string().len();
        let policy = policy(count).to_string();
        let setup = Setup::new(one_endpoint(json!({ "name": "first", "traffic": { "v1": 1 } })), backends);
        let envoy = Envoy::start(&setup).await?;
        let (cpu, memory, start) = (cpu_time(&envoy)?, envoy.resident_bytes()?, Instant::now());
        let verdict = envoy.apply(&policy).await?;
        anyhow::ensure!(verdict == Verdict::InForce, "{noun}: {}", envoy.log());
        let in_force = start.elapsed();
        // The policy is loaded for a trial, on the main thread, and on the worker.
        let cpu = (cpu_time(&envoy)? - cpu) / 3;
        let gained_bytes = envoy.resident_bytes()?.saturating_sub(memory);
        loads.push(Load { shape: format!("{count} {noun}"), bytes: policy.len(), cpu, in_force, gained_bytes });
    }
    Ok(loads)
}

/// Makes a policy with this number of things.
type Shape = fn(usize) -> Value;

/// Policies that grow in one direction.
fn shapes() -> [(&'static str, Shape); 4] {
    [
        ("endpoints", |count| {
            let endpoint = |n| json!({ "name": format!("e{n}"), "route": format!("/e{n}"), "traffic": { "v1": 1 } });
            json!({ "endpoints": (0..count).map(endpoint).collect::<Vec<_>>() })
        }),
        ("cohorts of one endpoint", |count| {
            let cohort = |n| {
                let matching = json!({ "headers": [{ "name": "x-cohort", "exact": format!("c{n}") }] });
                json!({ "name": format!("c{n}"), "match": matching, "traffic": { "v1": 0.9, "v2": 0.1 } })
            };
            let cohorts: Vec<_> = (0..count).map(cohort).collect();
            json!({ "endpoints": [{ "name": "e", "traffic": { "v1": 1 }, "cohorts": cohorts }] })
        }),
        ("backends of one endpoint", |count| {
            // The largest name first, the worst case for sorting.
            let share = |n: usize| (format!("backend-{:06}", count - n), json!(1.0 / count as f64));
            let traffic: serde_json::Map<_, _> = (0..count).map(share).collect();
            json!({ "endpoints": [{ "name": "e", "traffic": traffic }] })
        }),
        ("values of one cohort's header", |count| {
            let any: Vec<_> =
                (0..count).map(|n| json!({ "headers": [{ "name": "x-user", "exact": format!("u{n}") }] })).collect();
            let cohort = json!({ "name": "c", "match": any, "traffic": { "v2": 1 } });
            json!({ "endpoints": [{ "name": "e", "traffic": { "v1": 1 }, "cohorts": [cohort] }] })
        }),
    ]
}
