//! A real Envoy with the real filter, started from the project's own `envoy/envoy.yaml`.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, Once};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::backend::Backend;
use crate::client::{Client, Http};
use crate::control_plane::discover;
use crate::{PATIENCE, build_wasm, project, wait_for, wait_until};

/// Where `envoy.yaml` has its HTTP connection manager.
const CONNECTION_MANAGER: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";

/// What Envoy is started with.
pub struct Setup {
    /// The policy's text.
    pub policy: String,
    /// Clusters and where their one host is.
    pub clusters: Vec<(String, SocketAddr)>,
    /// How many worker threads it has.
    pub workers: u32,
    /// The ports of `envoy.yaml` rather than free ones.
    pub fixed_ports: bool,
    /// Another module than the filter.
    pub module: Option<PathBuf>,
    /// Runs under callgrind, which counts nothing until it is told to.
    pub callgrind: bool,
    /// Has a clock of its own, which [`Envoy::set_clock`] sets.
    pub own_clock: bool,
    /// The control plane that gives it the filter and its policy, in place of the file.
    pub control_plane: Option<SocketAddr>,
    /// A last change to the bootstrap.
    pub adapt: fn(&mut Value),
}

/// A running Envoy. It ends with the value.
pub struct Envoy {
    /// Where its listener is.
    pub address: SocketAddr,
    /// Where its admin page is.
    pub admin: SocketAddr,
    workers: usize,
    /// What the file that it watches has held so far.
    tried: Mutex<BTreeSet<String>>,
    process: Child,
    folder: TempDir,
    wasm: PathBuf,
}

/// What became of a policy that was handed to Envoy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    InForce,
    Refused,
}

impl Setup {
    /// One worker, free ports, and a cluster for each backend.
    pub fn new(policy: impl Into<String>, backends: &[Backend]) -> Self {
        let clusters = backends.iter().map(|backend| (backend.name.clone(), backend.address)).collect();
        Self {
            policy: policy.into(),
            clusters,
            workers: 1,
            fixed_ports: false,
            module: None,
            callgrind: false,
            own_clock: false,
            control_plane: None,
            adapt: |_| (),
        }
    }
}

impl Envoy {
    /// Starts Envoy and waits until it serves.
    ///
    /// # Errors
    /// When there is no Envoy, the filter does not build, or Envoy does not come up; with its log.
    pub async fn start(setup: &Setup) -> anyhow::Result<Self> {
        let wasm = setup.module.clone().map_or_else(build_wasm, Ok)?;
        let folder = tempfile::Builder::new().prefix("traffic-policy-").tempdir()?;
        let bootstrap = bootstrap(setup, &policy_file(folder.path()))?;
        fs::write(folder.path().join("envoy.json"), serde_json::to_string_pretty(&bootstrap)?)?;
        put_configuration(folder.path(), &wasm, &string_value(&setup.policy))?;
        let log = fs::File::create(folder.path().join("envoy.log"))?;
        let mut command = if setup.callgrind { under_callgrind(folder.path())? } else { Command::new(executable()?) };
        if setup.own_clock {
            own_clock(&mut command, folder.path())?;
        }
        let process = command
            .arg("--config-path")
            .arg(folder.path().join("envoy.json"))
            .arg("--admin-address-path")
            .arg(folder.path().join("admin"))
            .args(["--concurrency", &setup.workers.to_string()])
            .args(["--log-level", "warning", "--component-log-level", "wasm:info", "--disable-hot-restart"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        let unknown = SocketAddr::from(([127, 0, 0, 1], 0));
        let workers = setup.workers as usize;
        let tried = Mutex::new(BTreeSet::from([fs::read_to_string(policy_file(folder.path()))?]));
        let mut envoy = Self { address: unknown, admin: unknown, workers, tried, process, folder, wasm };
        // Callgrind makes everything fifty times slower.
        let patience = if setup.callgrind { PATIENCE * 15 } else { PATIENCE };
        envoy.wait_until_it_serves(patience).await.with_context(|| format!("Envoy's log:\n{}", envoy.log()))?;
        Ok(envoy)
    }

    async fn wait_until_it_serves(&mut self, patience: Duration) -> anyhow::Result<()> {
        let admin_file = self.folder.path().join("admin");
        let process = &mut self.process;
        let mut admin = None;
        wait_for(patience, "Envoy names its admin address", async || {
            admin = fs::read_to_string(&admin_file).ok().and_then(|text| text.trim().parse().ok());
            admin.is_some() || matches!(process.try_wait(), Ok(Some(_)))
        })
        .await?;
        ensure!(!matches!(self.process.try_wait(), Ok(Some(_))), "Envoy has ended");
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

    /// What the file that it watches holds.
    fn watched(&self) -> String {
        fs::read_to_string(self.policy_file()).unwrap_or_default()
    }

    /// How often a policy has been loaded, on whatever thread.
    fn configured(&self) -> usize {
        self.log().matches("traffic policy in force").count()
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
        &self.wasm
    }

    /// Puts a policy before Envoy by renaming a file, as an operator would, and doesn't wait.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn put_policy(&self, policy: &str) -> anyhow::Result<()> {
        put_configuration(self.folder.path(), &self.wasm, &string_value(policy))
    }

    /// Puts a policy before Envoy and waits for its verdict. It must differ from the policy before.
    ///
    /// # Errors
    /// When there is no verdict.
    pub async fn apply(&self, policy: &str) -> anyhow::Result<Verdict> {
        self.apply_configuration(&string_value(policy)).await
    }

    /// Puts a plugin configuration of any type before Envoy and waits for its verdict.
    ///
    /// # Errors
    /// When there is no verdict.
    pub async fn apply_configuration(&self, configuration: &Value) -> anyhow::Result<Verdict> {
        self.judge(async || put_configuration(self.folder.path(), &self.wasm, configuration)).await
    }

    /// Lets `change` replace the file that Envoy watches, and waits for Envoy's verdict.
    ///
    /// # Errors
    /// When there is no verdict, or the change fails.
    pub async fn judge(&self, change: impl AsyncFnOnce() -> anyhow::Result<()>) -> anyhow::Result<Verdict> {
        const STATS: &str = "extension_config_discovery.http_filter.traffic-policy";
        let accepted = self.stat(&format!("{STATS}.update_success")).await?;
        let refused = self.stat(&format!("{STATS}.update_rejected")).await?;
        let configured = self.configured();
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
            // The verdict is the main thread's. The policy is loaded on the main thread and on each worker, which uses it
            // from its next turn on; and before that for a trial, if Envoy has not tried the same one before.
            let is_new = self.tried.lock().is_ok_and(|mut tried| tried.insert(self.watched()));
            let loads = configured + 1 + usize::from(is_new) + self.workers;
            wait_until("each worker loads the policy", async || self.configured() >= loads).await?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        verdict.context("no verdict")
    }

    /// Sets the clock of an Envoy with a clock of its own so many seconds before or after that of the machine.
    ///
    /// # Errors
    /// When its file can't be written.
    pub fn set_clock(&self, offset: i64) -> anyhow::Result<()> {
        set_clock(self.folder.path(), offset)
    }

    /// Reads a page of Envoy's admin interface.
    ///
    /// # Errors
    /// When Envoy doesn't answer.
    pub async fn admin(&self, path: &str) -> anyhow::Result<String> {
        let answer = Client::new(self.admin, Http::V1).get(path, &[]).await?;
        Ok(String::from_utf8(answer.into_body().to_vec())?)
    }

    /// The value of a counter or gauge; 0 if there is none of that name.
    ///
    /// # Errors
    /// When Envoy doesn't answer.
    pub async fn stat(&self, name: &str) -> anyhow::Result<u64> {
        let stats = self.admin("/stats").await?;
        let value = stats.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        Ok(value.map_or(Ok(0), str::parse)?)
    }

    /// The sum of all series of a Prometheus metric that bear all `labels`.
    ///
    /// # Errors
    /// When Envoy doesn't answer.
    pub async fn metric(&self, name: &str, labels: &[(&str, &str)]) -> anyhow::Result<u64> {
        let page = self.admin("/stats/prometheus").await?;
        let mut sum = 0;
        for line in page.lines() {
            let Some((series, value)) =
                line.strip_prefix(name).and_then(|rest| rest.strip_prefix('{')?.split_once("} "))
            else {
                continue;
            };
            if labels.iter().all(|(key, value)| series.contains(&format!("{key}=\"{value}\""))) {
                // The sum of a histogram is no whole number.
                sum += value.parse::<f64>()? as u64;
            }
        }
        Ok(sum)
    }

    /// How many copies to the shadow `backend` had this result.
    ///
    /// # Errors
    /// When Envoy doesn't answer.
    pub async fn outcomes(&self, backend: &str, result: &str) -> anyhow::Result<u64> {
        self.metric("traffic_policy_shadow_total", &[("backend", backend), ("result", result)]).await
    }

    /// How many requests the shadow `backend` has drawn, whatever became of their copies.
    ///
    /// # Errors
    /// When Envoy doesn't answer.
    pub async fn all_outcomes(&self, backend: &str) -> anyhow::Result<u64> {
        self.metric("traffic_policy_shadow_total", &[("backend", backend)]).await
    }

    /// How many copies to the shadow `backend` wait for their answer.
    ///
    /// # Errors
    /// When Envoy doesn't answer.
    pub async fn in_flight(&self, backend: &str) -> anyhow::Result<u64> {
        self.metric("traffic_policy_shadow_in_flight", &[("backend", backend)]).await
    }

    /// The hash of the policy in force, as it tells.
    ///
    /// # Errors
    /// When Envoy doesn't answer.
    pub async fn policy_hash(&self) -> anyhow::Result<u64> {
        self.metric("traffic_policy_policy_info", &[]).await
    }

    /// How many copies wait for their answer, to whatever shadow.
    ///
    /// # Errors
    /// When Envoy doesn't answer.
    pub async fn in_flight_of_all(&self) -> anyhow::Result<u64> {
        self.metric("traffic_policy_shadow_in_flight", &[]).await
    }

    /// The number of its process.
    pub fn process_id(&self) -> u32 {
        self.process.id()
    }

    /// The folder of its files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// How much memory the process holds.
    ///
    /// # Errors
    /// When it has ended.
    pub fn resident_bytes(&self) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
    }

    /// What Envoy and the filter have logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("envoy.log")).unwrap_or_default()
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("---- Envoy's log ----\n{}---- end of Envoy's log ----", self.log());
        }
    }
}

/// The command that runs Envoy itself (not the script that PyPI's package has for it) under callgrind.
fn under_callgrind(folder: &Path) -> anyhow::Result<Command> {
    let script = executable()?;
    let is_script = fs::read(&script)?.starts_with(b"#!");
    let mut program = Some(script.clone()).filter(|_| !is_script);
    let libraries = script.parent().and_then(Path::parent).map(|venv| venv.join("lib"));
    for python in libraries.iter().filter(|_| is_script).flat_map(fs::read_dir).flatten().flatten() {
        program = Some(python.path().join("site-packages/envoy/_bin/envoy")).filter(|path| path.exists()).or(program);
    }
    let mut command = Command::new("valgrind");
    command
        .args(["--tool=callgrind", "--smc-check=all-non-file", "--instr-atstart=no", "--quiet"])
        .arg(format!("--callgrind-out-file={}", folder.join("callgrind").display()))
        .arg(program.with_context(|| format!("{} is a script, and there is no Envoy beside it", script.display()))?);
    Ok(command)
}

/// The Envoy that `ENVOY` names, or the one that `make tools` has put into the project's folder.
///
/// # Errors
/// When there is none.
pub fn executable() -> anyhow::Result<PathBuf> {
    let own = project().join(".tools/venv/bin/envoy");
    let path = std::env::var_os("ENVOY").filter(|path| !path.is_empty()).map_or(own, PathBuf::from);
    if path.components().count() > 1 && !path.exists() {
        bail!("there is no Envoy at {}: run `make tools`, or name one with ENVOY=", path.display());
    }
    static SAY_ONCE: Once = Once::new();
    SAY_ONCE.call_once(|| eprintln!("Envoy: {}", path.display()));
    Ok(path)
}

/// Gives a program a clock of its own.
fn own_clock(command: &mut Command, folder: &Path) -> anyhow::Result<()> {
    set_clock(folder, 0)?;
    let library = folder.join("clock.so");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(project().join("tests/testbed/clock.c"));
    let status = compiler.status().context("start cc")?;
    ensure!(status.success(), "cc: {status}");
    command.env("LD_PRELOAD", library).env("CLOCK_OFFSET", folder.join("clock"));
    Ok(())
}

fn set_clock(folder: &Path, offset: i64) -> anyhow::Result<()> {
    // In place: it is mapped into Envoy's memory.
    let mut clock = fs::OpenOptions::new().create(true).truncate(false).write(true).open(folder.join("clock"))?;
    Ok(clock.write_all(&offset.to_ne_bytes())?)
}

fn policy_file(folder: &Path) -> PathBuf {
    folder.join("traffic-policy.yaml")
}

/// A YAML file of the project.
pub(crate) fn read_yaml(file: &str) -> anyhow::Result<Value> {
    let text = fs::read_to_string(project().join(file))?;
    serde_saphyr::from_str(&text).with_context(|| format!("in {file}"))
}

fn at<'a>(value: &'a mut Value, pointer: &str) -> anyhow::Result<&'a mut Value> {
    value.pointer_mut(pointer).with_context(|| format!("envoy.yaml has no {pointer} any more"))
}

/// `envoy/envoy.yaml` with other ports, clusters and policy file.
fn bootstrap(setup: &Setup, policy_file: &Path) -> anyhow::Result<Value> {
    let mut bootstrap = read_yaml("envoy/envoy.yaml")?;
    let watched = "/http_filters/0/config_discovery/config_source/path_config_source/path";
    *at(&mut bootstrap, &format!("{CONNECTION_MANAGER}{watched}"))? = json!(policy_file);
    if !setup.fixed_ports {
        let socket = json!({ "address": "127.0.0.1", "port_value": 0 });
        *at(&mut bootstrap, "/admin/address/socket_address")? = socket.clone();
        *at(&mut bootstrap, "/static_resources/listeners/0/address/socket_address")? = socket;
    }
    let template = at(&mut bootstrap, "/static_resources/clusters/0")?.clone();
    let mut clusters = Vec::new();
    for (name, address) in &setup.clusters {
        let mut cluster = template.clone();
        *at(&mut cluster, "/name")? = json!(name);
        *at(&mut cluster, "/load_assignment/cluster_name")? = json!(name);
        *at(&mut cluster, "/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/socket_address")? =
            json!({ "address": address.ip().to_string(), "port_value": address.port() });
        clusters.push(cluster);
    }
    *at(&mut bootstrap, "/static_resources/clusters")? = json!(clusters);
    if setup.policy.contains("\"mirror\"") {
        add_mirror(&mut bootstrap);
    }
    if let Some(address) = setup.control_plane {
        discover(&mut bootstrap, address);
    }
    (setup.adapt)(&mut bootstrap);
    Ok(bootstrap)
}

/// The HTTP connection manager of a bootstrap.
///
/// # Panics
/// When there is none.
pub fn connection_manager(bootstrap: &mut Value) -> &mut Value {
    bootstrap.pointer_mut(CONNECTION_MANAGER).unwrap_or_else(|| panic!("no connection manager at {CONNECTION_MANAGER}"))
}

/// The routes of a bootstrap, in the order in which they are tried.
///
/// # Panics
/// When there are none.
pub fn routes(bootstrap: &mut Value) -> &mut Vec<Value> {
    let routes = connection_manager(bootstrap).pointer_mut("/route_config/virtual_hosts/0/routes");
    routes.and_then(Value::as_array_mut).unwrap_or_else(|| panic!("no routes at {CONNECTION_MANAGER}"))
}

/// Adds the mirror policy of `envoy/mirror-policy.yaml` to the routes of a bootstrap, as for policies with such shadows.
///
/// # Panics
/// When the file has none.
pub fn add_mirror(bootstrap: &mut Value) {
    let mirror = read_yaml("envoy/mirror-policy.yaml").unwrap_or_else(|error| panic!("{error:#}"));
    for route in routes(bootstrap) {
        if let Some(route) = route.get_mut("route") {
            route["request_mirror_policies"] = mirror["request_mirror_policies"].clone();
        }
    }
}

/// A policy with one endpoint.
pub fn one_endpoint(endpoint: Value) -> String {
    json!({ "endpoints": [endpoint] }).to_string()
}

/// A policy with the one endpoint `e`, which `main` serves, and these shadows.
pub fn shadowed(shadows: Value) -> String {
    one_endpoint(json!({ "name": "e", "traffic": { "main": 1 }, "shadow": shadows }))
}

/// The policy of `envoy/traffic-policy.yaml`.
///
/// # Errors
/// When the file has none.
pub fn shipped_policy() -> anyhow::Result<String> {
    let mut resources = read_yaml("envoy/traffic-policy.yaml")?;
    let policy = at(&mut resources, "/resources/0/typed_config/config/configuration/value")?;
    Ok(policy.as_str().context("the policy is no string")?.to_owned())
}

fn string_value(policy: &str) -> Value {
    json!({ "@type": "type.googleapis.com/google.protobuf.StringValue", "value": policy })
}

/// Writes `envoy/traffic-policy.yaml` with another plugin configuration, and renames it over the file that Envoy
/// watches.
fn put_configuration(folder: &Path, wasm: &Path, configuration: &Value) -> anyhow::Result<()> {
    let mut resources = read_yaml("envoy/traffic-policy.yaml")?;
    let config = at(&mut resources, "/resources/0/typed_config/config")?;
    *at(config, "/configuration")? = configuration.clone();
    *at(config, "/vm_config/code/local/filename")? = json!(wasm);
    // JSON is YAML, too.
    let new = folder.join("traffic-policy.yaml.new");
    fs::write(&new, serde_json::to_string_pretty(&resources)?)?;
    fs::rename(new, policy_file(folder))?;
    Ok(())
}
