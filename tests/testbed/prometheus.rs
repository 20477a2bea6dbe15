//! A real Prometheus that scrapes an Envoy.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::{Client, Http};
use crate::process::Running;
use crate::socket::free_address;
use crate::{project, wait_until};

/// A running Prometheus. Dropping the value stops it.
pub struct Prometheus {
    address: SocketAddr,
    // Declared before its folder, so that it ends before its files are removed.
    _process: Running,
    _folder: TempDir,
}

impl Prometheus {
    /// Starts one that scrapes the admin interface at `target` every second and evaluates these
    /// rules.
    ///
    /// # Errors
    /// When there is no Prometheus, or it does not come up.
    pub async fn start(target: SocketAddr, rules: &str) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("traffic-policy-prometheus-").tempdir()?;
        let path = |name: &str| folder.path().join(name);
        fs::write(path("rules.yaml"), rules)?;
        let config = json!({
            "global": { "scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s" },
            "rule_files": [path("rules.yaml")],
            "scrape_configs": [{
                "job_name": "envoy",
                "metrics_path": "/stats/prometheus",
                "static_configs": [{ "targets": [target.to_string()] }],
            }],
        });
        // JSON is YAML, too.
        fs::write(path("prometheus.yaml"), config.to_string())?;
        let address = free_address()?;
        let mut command = Command::new(program("prometheus")?);
        command
            .arg(format!("--config.file={}", path("prometheus.yaml").display()))
            .arg(format!("--storage.tsdb.path={}", path("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(path("log"))?);
        let prometheus = Self { address, _process: Running::start(&mut command)?, _folder: folder };
        let client = Client::new(address, Http::V1);
        wait_until("Prometheus is ready", async || {
            client.get("/-/ready", &[]).await.is_ok_and(|answer| answer.status() == 200)
        })
        .await?;
        Ok(prometheus)
    }

    /// The result of a query now: a vector of objects with `metric` and `value`.
    ///
    /// # Errors
    /// When Prometheus refuses the query. The error contains its message.
    pub async fn query(&self, query: &str) -> anyhow::Result<Vec<Value>> {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let answer = self.get(&format!("/api/v1/query?query={encoded}")).await?;
        ensure!(answer.get("status").is_some_and(|status| status == "success"), "{query}: {answer}");
        Ok(answer.pointer("/data/result").and_then(Value::as_array).cloned().unwrap_or_default())
    }

    /// The labels of the alerts that are firing, the name among them.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn firing(&self) -> anyhow::Result<Vec<Value>> {
        let answer = self.get("/api/v1/alerts").await?;
        let alerts = answer.pointer("/data/alerts").and_then(Value::as_array).into_iter().flatten();
        let firing = alerts.filter(|alert| alert.get("state").is_some_and(|state| state == "firing"));
        Ok(firing.filter_map(|alert| alert.get("labels").cloned()).collect())
    }

    async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let answer = Client::new(self.address, Http::V1).get(path, &[]).await?;
        Ok(serde_json::from_slice(answer.body())?)
    }
}

/// Runs promtool in the project's root folder.
///
/// # Errors
/// When there is none.
pub fn promtool(arguments: &[&str]) -> anyhow::Result<Output> {
    Ok(Command::new(program("promtool")?).args(arguments).current_dir(project()).output()?)
}

/// A program in the folder that the environment variable `PROMETHEUS` names, or in the one that
/// `make tools` has filled.
fn program(name: &str) -> anyhow::Result<PathBuf> {
    let own = project().join(".tools/prometheus/usr/bin");
    let folder = std::env::var_os("PROMETHEUS").filter(|path| !path.is_empty()).map_or(own, PathBuf::from);
    let program = Path::new(&folder).join(name);
    ensure!(
        program.exists(),
        "there is no {}: run `make tools`, or name its folder with PROMETHEUS=",
        program.display()
    );
    program.canonicalize().context("no such program")
}
