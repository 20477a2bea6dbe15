//! A real Envoy with the real filter, started from the project's own `envoy/envoy.yaml`.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::bootstrap::{at, bootstrap};
use crate::cargo::build_wasm;
use crate::client::{Client, Http};
use crate::command::{command, set_clock};
use crate::policies::hash;
use crate::process::Running;
use crate::{PATIENCE, read_yaml, wait_for, wait_until};

pub use crate::setup::Setup;

/// A running Envoy. Dropping the value stops it.
pub struct Envoy {
    /// The address of its listener.
    pub address: SocketAddr,
    /// The address of its admin interface.
    pub admin: SocketAddr,
    workers: usize,
    /// All contents of the watched file so far.
    tried: Mutex<BTreeSet<String>>,
    process: Running,
    folder: TempDir,
    module: PathBuf,
}

/// What Envoy did with a new policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every thread decides by it.
    InForce,
    /// The policy before it is still in force.
    Refused,
}

impl Envoy {
    /// Starts Envoy and waits until it serves.
    ///
    /// # Errors
    /// When there is no Envoy, the filter does not build, or Envoy does not come up. In the last
    /// case the error contains Envoy's log.
    pub async fn start(setup: &Setup) -> anyhow::Result<Self> {
        let module = setup.module.clone().map_or_else(build_wasm, Ok)?;
        let folder = tempfile::Builder::new().prefix("traffic-policy-").tempdir()?;
        put_configuration(folder.path(), &module, &string_value(&setup.policy))?;
        let bootstrap = bootstrap(setup, &policy_file(folder.path()))?;
        fs::write(folder.path().join("envoy.json"), serde_json::to_string_pretty(&bootstrap)?)?;
        let log = fs::File::create(folder.path().join("envoy.log"))?;
        let mut command = command(setup, folder.path())?;
        command
            .arg("--config-path")
            .arg(folder.path().join("envoy.json"))
            .arg("--admin-address-path")
            .arg(folder.path().join("admin"))
            .args(["--concurrency", &setup.workers.to_string()])
            .args(["--drain-time-s", &setup.drain_s.to_string()])
            .args(["--log-level", "warning", "--component-log-level", "wasm:info", "--disable-hot-restart"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let process = Running::start(&mut command)?;
        let unknown = SocketAddr::from(([127, 0, 0, 1], 0));
        let workers = usize::try_from(setup.workers)?;
        let tried = Mutex::new(BTreeSet::from([fs::read_to_string(policy_file(folder.path()))?]));
        let mut envoy = Self { address: unknown, admin: unknown, workers, tried, process, folder, module };
        // Callgrind makes everything fifty times slower.
        let patience = if setup.callgrind { PATIENCE * 15 } else { PATIENCE };
        envoy.wait_until_it_serves(patience).await.with_context(|| format!("Envoy's log:\n{}", envoy.log()))?;
        Ok(envoy)
    }

    async fn wait_until_it_serves(&mut self, patience: Duration) -> anyhow::Result<()> {
        let admin_file = self.folder.path().join("admin");
        let process = &mut self.process;
        let mut admin = None;
        wait_for(patience, "Envoy writes its admin address", async || {
            admin = fs::read_to_string(&admin_file).ok().and_then(|text| text.trim().parse().ok());
            admin.is_some() || process.has_ended()
        })
        .await?;
        ensure!(!self.process.has_ended(), "Envoy has ended");
        self.admin = admin.context("no admin address")?;
        wait_for(patience, "Envoy is ready", async || {
            self.admin("/ready").await.is_ok_and(|answer| answer == "LIVE\n")
        })
        .await?;
        let listeners: Value = serde_json::from_str(&self.admin("/listeners?format=json").await?)?;
        let port = listeners
            .pointer("/listener_statuses/0/local_address/socket_address/port_value")
            .and_then(Value::as_u64)
            .context("no listener")?;
        self.address = SocketAddr::from(([127, 0, 0, 1], u16::try_from(port)?));
        Ok(())
    }

    /// A client of this Envoy.
    pub fn client(&self, http: Http) -> Client {
        Client::new(self.address, http)
    }

    /// The file that Envoy watches for the policy.
    pub fn policy_file(&self) -> PathBuf {
        policy_file(self.folder.path())
    }

    /// The module that it runs.
    pub fn module(&self) -> &Path {
        &self.module
    }

    /// The id of its process.
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// The folder of its files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Replaces the file that Envoy watches by renaming another one, as an operator would, and
    /// doesn't wait for Envoy.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn put_file(&self, content: &[u8]) -> anyhow::Result<()> {
        put_file(self.folder.path(), content)
    }

    /// Replaces the policy by renaming a file, as an operator would, and doesn't wait for Envoy.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn put_policy(&self, policy: &str) -> anyhow::Result<()> {
        put_configuration(self.folder.path(), &self.module, &string_value(policy))
    }

    /// Replaces the policy and waits for Envoy's verdict. The policy must differ from the one
    /// before.
    ///
    /// # Errors
    /// When there is no verdict.
    pub async fn apply(&self, policy: &str) -> anyhow::Result<Verdict> {
        let verdict = self.apply_configuration(&string_value(policy)).await?;
        if verdict == Verdict::InForce {
            self.wait_until_published(policy).await?;
        }
        Ok(verdict)
    }

    /// Waits until the filter reports `policy` as the one in force.
    ///
    /// # Errors
    /// When it doesn't.
    ///
    /// # Panics
    /// When the policy has errors.
    pub async fn wait_until_published(&self, policy: &str) -> anyhow::Result<()> {
        let hash = hash(policy);
        wait_until("the policy is published", async || self.policy_hash().await.is_ok_and(|now| now == hash)).await
    }

    /// Replaces the plugin configuration by one of any type, and waits for Envoy's verdict.
    ///
    /// # Errors
    /// When there is no verdict.
    pub async fn apply_configuration(&self, configuration: &Value) -> anyhow::Result<Verdict> {
        self.judge(async || put_configuration(self.folder.path(), &self.module, configuration)).await
    }

    /// Runs `change`, which must replace the file that Envoy watches, and waits for Envoy's
    /// verdict.
    ///
    /// # Errors
    /// When there is no verdict, or the change fails.
    pub async fn judge(&self, change: impl AsyncFnOnce() -> anyhow::Result<()>) -> anyhow::Result<Verdict> {
        const STATS: &str = "extension_config_discovery.http_filter.traffic-policy";
        let accepted = self.stat(&format!("{STATS}.update_success")).await?;
        let refused = self.stat(&format!("{STATS}.update_rejected")).await?;
        let loads = self.loads();
        change().await?;
        let mut verdict = None;
        wait_until("Envoy judges the policy", async || {
            let is_more = async |name: &str, before: u64| {
                self.stat(&format!("{STATS}.{name}")).await.is_ok_and(|now| now > before)
            };
            if is_more("update_success", accepted).await {
                verdict = Some(Verdict::InForce);
            } else if is_more("update_rejected", refused).await {
                verdict = Some(Verdict::Refused);
            }
            verdict.is_some()
        })
        .await?;
        if verdict == Some(Verdict::InForce) {
            // That is the main thread's verdict. The main thread and each worker still load the
            // policy, and a worker decides by it from its next turn on. Unless Envoy has tried the
            // same file before, it also loads it once more, for a trial.
            let watched = fs::read_to_string(self.policy_file()).unwrap_or_default();
            let is_new = self.tried.lock().is_ok_and(|mut tried| tried.insert(watched));
            let expected = loads + 1 + usize::from(is_new) + self.workers;
            wait_until("each worker loads the policy", async || self.loads() >= expected).await?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        verdict.context("no verdict")
    }

    /// Sets the clock `offset` seconds ahead of the machine's, or behind it if `offset` is
    /// negative. Only for an Envoy with a clock of its own.
    ///
    /// # Errors
    /// When the clock's file can't be written.
    pub fn set_clock(&self, offset: i64) -> anyhow::Result<()> {
        set_clock(self.folder.path(), offset)
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // It ends first, so that its log is whole. That fails only if it has ended already.
            let _ = self.process.kill();
            let _ = self.process.wait();
            eprintln!("---- Envoy's log ----\n{}---- end of Envoy's log ----", self.log());
        }
    }
}

fn policy_file(folder: &Path) -> PathBuf {
    folder.join("traffic-policy.yaml")
}

fn string_value(policy: &str) -> Value {
    json!({ "@type": "type.googleapis.com/google.protobuf.StringValue", "value": policy })
}

/// Replaces the file that Envoy watches by `envoy/traffic-policy.yaml` with another plugin
/// configuration.
fn put_configuration(folder: &Path, module: &Path, configuration: &Value) -> anyhow::Result<()> {
    let mut resources = read_yaml("envoy/traffic-policy.yaml")?;
    let config = at(&mut resources, "/resources/0/typed_config/config")?;
    *at(config, "/configuration")? = configuration.clone();
    *at(config, "/vm_config/code/local/filename")? = json!(module);
    // JSON is YAML, too.
    put_file(folder, &serde_json::to_vec_pretty(&resources)?)
}

fn put_file(folder: &Path, content: &[u8]) -> anyhow::Result<()> {
    let new = folder.join("traffic-policy.yaml.new");
    fs::write(&new, content)?;
    Ok(fs::rename(new, policy_file(folder))?)
}
