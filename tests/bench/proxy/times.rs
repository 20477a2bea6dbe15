//! CPU time, throughput and latency. All scenarios take turns in slices, so that other work on the
//! machine affects them alike.

use std::time::{Duration, Instant};

use testbed::backend::Backend;
use testbed::client::{Client, Http};
use testbed::envoy::Envoy;
use testbed::statistics::quantile;

use crate::report::{Report, Times};
use crate::scenarios::Scenario;

/// Measures all scenarios. Their proxies are up at the same time.
pub async fn measure(scenarios: &[Scenario], backends: &[Backend], report: &mut Report) -> anyhow::Result<()> {
    const CPU_ROUNDS: usize = 40;
    const LATENCY_ROUNDS: usize = 15;
    let mut proxies = Vec::new();
    for scenario in scenarios {
        let envoy = Envoy::start(&scenario.setup(backends, false)).await?;
        let client = envoy.client(Http::V1);
        closed_loop(scenario, &client, 300).await?;
        proxies.push((scenario, envoy, client, Times::default()));
    }
    for round in 0..CPU_ROUNDS {
        eprint!("\rCPU time: {} of {CPU_ROUNDS} rounds", round + 1);
        for (scenario, envoy, client, times) in &mut proxies {
            const REQUESTS: u64 = 300;
            let (before, start) = (envoy.cpu_time()?, Instant::now());
            closed_loop(scenario, client, REQUESTS).await?;
            let rate = REQUESTS as f64 / start.elapsed().as_secs_f64();
            times.cpu_us.push((envoy.cpu_time()? - before).as_secs_f64() * 1e6 / REQUESTS as f64);
            times.rate.push(rate);
        }
    }
    eprintln!();
    for round in 0..LATENCY_ROUNDS {
        eprint!("\rlatency at 1,000 requests a second: {} of {LATENCY_ROUNDS} rounds", round + 1);
        for (scenario, _, client, times) in &mut proxies {
            let latencies = fixed_rate(scenario, client).await?;
            times.p50_us.push(quantile(&latencies, 0.5));
            times.p99_us.push(quantile(&latencies, 0.99));
        }
    }
    eprintln!();
    for (scenario, _, _, times) in proxies {
        report.time(scenario, times);
    }
    Ok(())
}

/// Sends requests over 16 connections, each as soon as the one before is answered.
async fn closed_loop(scenario: &Scenario, client: &Client, count: u64) -> anyhow::Result<()> {
    const CONNECTIONS: u64 = 16;
    let lanes = (0..CONNECTIONS).map(|lane| async move {
        for user in (lane..count).step_by(CONNECTIONS as usize) {
            scenario.send(client, user).await?;
        }
        anyhow::Ok(())
    });
    futures_util::future::try_join_all(lanes).await.map(drop)
}

/// Sends 1,000 requests in a second, each at its own time, whether or not others are answered.
/// Returns the latencies in microseconds.
async fn fixed_rate(scenario: &Scenario, client: &Client) -> anyhow::Result<Vec<f64>> {
    const REQUESTS: u32 = 1000;
    let period = Duration::from_secs(1) / REQUESTS;
    let start = tokio::time::Instant::now() + Duration::from_millis(10);
    let requests = (0..REQUESTS).map(|n| async move {
        let due = start + period * n;
        tokio::time::sleep_until(due).await;
        // Counted from here, since the proxy is not to blame for a late sender.
        let sent = Instant::now();
        scenario.send(client, u64::from(n)).await?;
        anyhow::Ok(sent.elapsed().as_secs_f64() * 1e6)
    });
    futures_util::future::try_join_all(requests).await
}
