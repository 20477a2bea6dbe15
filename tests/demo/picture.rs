//! The picture of `trafficctl top` in the documents, from a real run.

use std::path::Path;
use std::time::Duration;

use anyhow::ensure;
use serde_json::json;
use testbed::backend::{Backend, Behaviour, named};
use testbed::client::Http;
use testbed::envoy::{Envoy, Setup};
use testbed::load::Background;
use testbed::trafficctl::Trafficctl;

/// Plays a canary that fails a fifth of its requests, and draws the output of `top` into `file`.
pub async fn draw(file: &Path) -> anyhow::Result<()> {
    let backends = Backend::start_all(["model-v1", "model-v2", "model-v3", "search", "search-next"]).await?;
    let failing = Behaviour { fails_one_in: Some(5), delay: Duration::from_millis(12), ..Behaviour::default() };
    named(&backends, "model-v2").behave(failing);
    named(&backends, "model-v3").answer_after(Duration::from_millis(40));
    let policy = json!({ "endpoints": [
        { "name": "ranker", "route": "/rank", "traffic": { "model-v1": 0.9, "model-v2": 0.1 },
          "shadow": { "model-v3": { "fraction": 0.05, "methods": ["GET"], "timeout_ms": 60 } },
          "cohorts": [{ "name": "beta", "match": { "query": [{ "name": "beta", "present": true }] },
                        "traffic": { "model-v1": 0.5, "model-v2": 0.5 } }] },
        { "name": "search", "route": "/search", "traffic": { "search": 0.99, "search-next": 0.01 } },
    ] });
    let envoy = Envoy::start(&Setup { workers: 2, ..Setup::new(policy.to_string(), &backends) }).await?;
    let client = envoy.client(Http::V1);
    let loads = ["/rank", "/rank", "/rank?beta", "/search"].map(|path| Background::start(&client, path));
    let trafficctl = Trafficctl::build(envoy.policy_file())?;
    let admin = format!("http://{}", envoy.admin);
    let top =
        move || trafficctl.command(["top", &admin, "--once", "--window", "10"]).env("CLICOLOR_FORCE", "1").output();
    let output = tokio::task::spawn_blocking(top).await??;
    for load in loads {
        load.stop().await;
    }
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // The address differs in each run.
    let shown = String::from_utf8(output.stdout)?.replace(&envoy.admin.to_string(), "127.0.0.1:9901");
    std::fs::write(file, anstyle_svg::Term::new().render_svg(&shown))?;
    Ok(())
}
