//! The scenes: an operator changes the traffic, one verb after the other.

use std::process::ExitCode;

use anyhow::ensure;
use testbed::load::Background;
use testbed::wait_until;

use crate::report::Report;
use crate::stage::{Stage, route, say};

/// The endpoints. Their routes have the same names.
const FIFTY: &str = "fifty";
const CANARY: &str = "canary-test";
const ROLLOUT: &str = "incremental";
const SHADOW: &str = "shadow";

/// Plays all scenes and prints the report.
pub async fn play() -> anyhow::Result<ExitCode> {
    let backends = ["backend1", "backend2", "default", "existing", "new", "new2", "new_backend_1", "new_backend_2"];
    let stage = Stage::set_up(&backends).await?;
    say(&format!("Envoy is up: proxy http://{}, admin http://{}", stage.envoy.address, stage.envoy.admin));
    scene("Backends and endpoints");
    for backend in backends {
        stage.trafficctl(&format!("create-backend {backend}")).await?;
    }
    for (endpoint, backend) in [(FIFTY, "backend1"), (CANARY, "default"), (ROLLOUT, "existing"), (SHADOW, "backend1")] {
        stage
            .trafficctl(&format!("create-endpoint {endpoint} --route {} --backend {backend}", route(endpoint)))
            .await?;
    }
    let mut report = Report::default();
    fifty_fifty(&stage, &mut report).await?;
    canaries(&stage, &mut report).await?;
    rollout(&stage, &mut report).await?;
    shadows(&stage, &mut report).await?;
    println!("\n{}", report.table());
    println!("Chance leaves an allowed range once in a billion times; 0 % and 100 % are exact.");
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn scene(title: &str) {
    println!("\n{title}");
}

async fn fifty_fifty(stage: &Stage, report: &mut Report) -> anyhow::Result<()> {
    const COUNT: u64 = 5_000;
    scene("Two backends, half and half");
    stage.set_traffic(FIFTY, &[("backend1", 0.5), ("backend2", 0.5)]).await?;
    let tally = stage.send(FIFTY, COUNT).await;
    for backend in ["backend1", "backend2"] {
        report.share("50/50", &format!("served by {backend}"), tally.of(backend), COUNT, 0.5);
    }
    Ok(())
}

async fn canaries(stage: &Stage, report: &mut Report) -> anyhow::Result<()> {
    const COUNT: u64 = 20_000;
    const USERS: usize = 10_000;
    scene("A canary of 1 %, then a second beside it");
    let tally = stage.send(CANARY, 2_000).await;
    report.share("no canary", "served by default", tally.of("default"), tally.total(), 1.0);

    stage.set_traffic(CANARY, &[("default", 0.99), ("new", 0.01)]).await?;
    let tally = stage.send(CANARY, COUNT).await;
    report.share("one canary", "served by new", tally.of("new"), COUNT, 0.01);
    let before = stage.serve_users(CANARY, USERS).await?;
    let first_canary = before.iter().filter(|backend| *backend == "new").count() as u64;
    report.share("one canary", "users on new", first_canary, USERS as u64, 0.01);

    stage.set_traffic(CANARY, &[("default", 0.98), ("new", 0.01), ("new2", 0.01)]).await?;
    let tally = stage.send(CANARY, COUNT).await;
    report.share("two canaries", "served by new", tally.of("new"), COUNT, 0.01);
    report.share("two canaries", "served by new2", tally.of("new2"), COUNT, 0.01);
    let after = stage.serve_users(CANARY, USERS).await?;
    let moved = || before.iter().zip(&after).filter(|(before, after)| before != after);
    // The second canary takes the same part of the users of each backend: also 1 in 100 of the
    // first canary's.
    let lost = moved().filter(|(before, _)| *before == "new").count() as u64;
    report.share("two canaries", "users who left new", lost, first_canary, 0.01);
    let back = moved().filter(|(_, after)| *after == "default").count() as u64;
    report.share("two canaries", "users back on default", back, USERS as u64, 0.0);

    stage.set_traffic(CANARY, &[("new", 1.0)]).await?;
    let tally = stage.send(CANARY, 2_000).await;
    report.share("all to new", "served by new", tally.of("new"), tally.total(), 1.0);
    stage.set_traffic(CANARY, &[("default", 1.0)]).await?;
    let tally = stage.send(CANARY, 2_000).await;
    report.share("reverted", "served by default", tally.of("default"), tally.total(), 1.0);
    Ok(())
}

async fn rollout(stage: &Stage, report: &mut Report) -> anyhow::Result<()> {
    const COUNT: u64 = 4_000;
    const USERS: usize = 1_000;
    scene("An incremental rollout under load, with users who carry a shard key, and a rollback");
    let load = Background::start(&stage.client, &route(ROLLOUT));
    let mut users = stage.serve_users(ROLLOUT, USERS).await?;
    let mut flipped_back = 0;
    for share in [0.1, 0.2, 0.5, 1.0] {
        stage.set_traffic(ROLLOUT, &[("existing", 1.0 - share), ("new", share)]).await?;
        let step = format!("rollout {:.0} %", share * 100.0);
        let tally = stage.send(ROLLOUT, COUNT).await;
        report.share(&step, "served by new", tally.of("new"), COUNT, share);
        let now = stage.serve_users(ROLLOUT, USERS).await?;
        let on_new = now.iter().filter(|backend| *backend == "new").count() as u64;
        report.share(&step, "users on new", on_new, USERS as u64, share);
        flipped_back += users.iter().zip(&now).filter(|(before, now)| *before == "new" && *now != "new").count() as u64;
        users = now;
    }
    report.share("rollout", "users who flipped back", flipped_back, 4 * USERS as u64, 0.0);
    stage.set_traffic(ROLLOUT, &[("existing", 1.0)]).await?;
    let tally = stage.send(ROLLOUT, COUNT).await;
    report.share("rolled back", "served by existing", tally.of("existing"), COUNT, 1.0);
    let tally = load.stop().await;
    report.share("rollout", "failed requests of the load", tally.failed, tally.total(), 0.0);
    Ok(())
}

async fn shadows(stage: &Stage, report: &mut Report) -> anyhow::Result<()> {
    const COUNT: u64 = 10_000;
    const SHADOWS: [(&str, f64); 2] = [("new_backend_1", 0.5), ("new_backend_2", 0.1)];
    scene("Two shadows, then none");
    for (backend, fraction) in SHADOWS {
        stage.shadow_traffic(SHADOW, backend, fraction).await?;
    }
    let tally = stage.send(SHADOW, COUNT).await;
    report.share("shadows", "served by backend1", tally.of("backend1"), COUNT, 1.0);
    for (backend, fraction) in SHADOWS {
        let mut received = 0;
        wait_until("every copy is answered", async || {
            let before = received;
            received += stage.take_count(backend);
            received == before && stage.copies(backend).await.is_ok_and(|counted| counted == received)
        })
        .await?;
        report.share("shadows", &format!("copied to {backend}"), received, COUNT, fraction);
        let answered = stage.envoy.outcomes(backend, "2xx").await?;
        report.share("shadows", &format!("… counted as answered, {backend}"), answered, received, 1.0);
    }
    for (backend, _) in SHADOWS {
        stage.shadow_traffic(SHADOW, backend, 0.0).await?;
    }
    let tally = stage.send(SHADOW, 2_000).await;
    ensure!(tally.failed == 0, "requests failed");
    let copied: u64 = SHADOWS.iter().map(|(backend, _)| stage.take_count(backend)).sum();
    report.share("shadows off", "copies", copied, tally.total(), 0.0);
    Ok(())
}
