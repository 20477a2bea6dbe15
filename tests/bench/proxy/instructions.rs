//! Instructions per request, counted by callgrind. Unlike times they hardly vary.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use testbed::backend::Backend;
use testbed::client::{Client, Http};
use testbed::envoy::Envoy;

use crate::scenarios::Scenario;

/// The instructions of Envoy per request of a scenario.
///
/// This is the slope between few requests and many, so work that happens once does not count.
pub async fn per_request(scenario: &Scenario, backends: &[Backend], profiles: Option<&Path>) -> anyhow::Result<f64> {
    const WARM_UP: u64 = 200;
    const FEW: u64 = 300;
    const MANY: u64 = 900;
    let envoy = Envoy::start(&scenario.setup(backends, true)).await?;
    let client = envoy.client(Http::V1);
    control(&envoy, "--instr=on")?;
    send(scenario, &client, 0..WARM_UP).await?;
    control(&envoy, "--zero")?;
    send(scenario, &client, 0..FEW).await?;
    control(&envoy, "--dump")?;
    send(scenario, &client, 0..MANY).await?;
    control(&envoy, "--dump")?;
    if let Some(folder) = profiles {
        let name: String = scenario.name.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
        std::fs::create_dir_all(folder)?;
        std::fs::copy(envoy.folder().join("callgrind.2"), folder.join(name))?;
    }
    let counts = (totals(envoy.folder(), 1)?, totals(envoy.folder(), 2)?);
    Ok((counts.1 - counts.0) / (MANY - FEW) as f64)
}

async fn send(scenario: &Scenario, client: &Client, users: std::ops::Range<u64>) -> anyhow::Result<()> {
    for user in users {
        let answer = scenario.send(client, user).await?;
        ensure!(answer.status() == 200, "{}: {}", scenario.name, answer.status());
    }
    // Copies leave after their requests.
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    Ok(())
}

fn control(envoy: &Envoy, action: &str) -> anyhow::Result<()> {
    let output = Command::new("callgrind_control").arg(action).arg(envoy.process_id().to_string()).output()?;
    ensure!(output.status.success(), "callgrind_control {action}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// The total of a dump.
fn totals(folder: &Path, dump: u32) -> anyhow::Result<f64> {
    let text = std::fs::read_to_string(folder.join(format!("callgrind.{dump}")))?;
    let line = text.lines().find_map(|line| line.strip_prefix("totals: ").or_else(|| line.strip_prefix("summary: ")));
    Ok(line.context("a dump without a total")?.trim().parse()?)
}
