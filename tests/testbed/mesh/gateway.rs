//! A proxy of Istio that serves as a gateway: the agent, and an upstream Envoy.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;
use serde_json::{Value, json};

use super::istio::{Istio, PATIENCE};
use super::ports::Ports;
use super::program::{Program, tool};
use crate::admin::sum;
use crate::client::{Client, Http};
use crate::{executable, wait_for};

/// A running gateway. Dropping the value stops it.
pub struct Gateway {
    agent: Program,
    address: SocketAddr,
    status: SocketAddr,
    /// The address of Envoy's admin interface.
    pub admin: SocketAddr,
}

/// How to run a gateway.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The name of its pod.
    pub name: String,
    /// The labels of its pod.
    pub labels: Value,
    /// The port on which its listener will be.
    pub port: u16,
    /// Its worker threads.
    pub workers: u16,
    /// The registries without TLS.
    pub insecure_registries: String,
}

impl Setup {
    /// A gateway with the label `istio: gateway`, whose listener will be on `port`.
    pub fn new(port: u16) -> Self {
        Self {
            name: "gateway-0".to_owned(),
            labels: json!({ "istio": "gateway" }),
            port,
            workers: 1,
            insecure_registries: String::new(),
        }
    }
}

impl Gateway {
    /// Starts a gateway and waits until it is ready. Its folder, and so what its agent may find there,
    /// is new.
    ///
    /// # Errors
    /// When it does not come up. The error contains its log.
    pub async fn start(istio: &Istio, setup: &Setup) -> anyhow::Result<Self> {
        let ports = Ports::find(4)?;
        let [status, admin, envoy_status, prometheus] = [0, 1, 2, 3].map(|n| ports.nth(n));
        let folder = istio.kubernetes.folder().join(format!("{}-{status}", setup.name));
        put_credentials(istio, &folder).await?;
        let configuration = json!({
            "discoveryAddress": format!("localhost:{}", istio.port()),
            "binaryPath": executable()?,
            "configPath": folder.join("etc"),
            "proxyAdminPort": admin,
            "statusPort": status,
            "concurrency": setup.workers,
            "terminationDrainDuration": "1s",
            "extraStatTags": stat_tags()?,
        });
        // Modules that the agent fetches go to a folder of its own, which is not left behind.
        let script = "mount -t tmpfs none /var/lib && mkdir -p /var/lib/istio/data && exec \"$@\"";
        let mut agent = Command::new("unshare");
        agent.args(["--mount", "sh", "-c", script, "sh"]).arg(tool("bin/pilot-agent")?);
        agent.args(["proxy", "router", "--domain", "default.svc.cluster.local", "--templateFile"]);
        agent.arg(tool("envoy_bootstrap.json")?).current_dir(&folder).envs([
            ("POD_NAME", &*setup.name),
            ("POD_NAMESPACE", "default"),
            ("INSTANCE_IP", "127.0.0.21"),
            ("SERVICE_ACCOUNT", "proxy"),
            ("ISTIO_META_CLUSTER_ID", "Kubernetes"),
            ("ISTIO_METAJSON_LABELS", &setup.labels.to_string()),
            ("ENVOY_STATUS_PORT", &envoy_status.to_string()),
            ("ENVOY_PROMETHEUS_PORT", &prometheus.to_string()),
            ("MINIMUM_DRAIN_DURATION", "1s"),
            ("WASM_INSECURE_REGISTRIES", &setup.insecure_registries),
            ("PROXY_CONFIG", &configuration.to_string()),
        ]);
        let agent = Program::start(&setup.name, &folder, &mut agent)?;
        let [address, status, admin] = [setup.port, status, admin].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let gateway = Self { agent, address, status, admin };
        let client = Client::new(status, Http::V1);
        let is_ready = async || client.get("/healthz/ready", &[]).await.is_ok_and(|answer| answer.status() == 200);
        wait_for(PATIENCE, "the gateway is ready", is_ready).await.with_context(|| gateway.log())?;
        Ok(gateway)
    }

    /// A client of the gateway.
    pub fn client(&self, http: Http) -> Client {
        Client::new(self.address, http)
    }

    /// The sum of all series of a metric that have all these labels, from the page that Prometheus
    /// scrapes.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn metric(&self, name: &str, labels: &[(&str, &str)]) -> anyhow::Result<u64> {
        let answer = Client::new(self.status, Http::V1).get("/stats/prometheus", &[]).await?;
        sum(&String::from_utf8_lossy(answer.body()), name, labels)
    }

    /// The hash of the policy in force, as the filter reports it; 0 if there is none.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn policy_hash(&self) -> anyhow::Result<u64> {
        self.metric("traffic_policy_policy_info", &[]).await
    }

    /// What agent, Envoy and filter have logged so far.
    pub fn log(&self) -> String {
        self.agent.log()
    }
}

/// Writes what the agent needs to speak to the control plane, where a pod has it.
pub(super) async fn put_credentials(istio: &Istio, folder: &PathBuf) -> anyhow::Result<()> {
    let secrets = folder.join("var/run/secrets");
    fs::create_dir_all(secrets.join("istio"))?;
    fs::create_dir_all(secrets.join("tokens"))?;
    fs::write(secrets.join("istio/root-cert.pem"), istio.root_certificate().await?)?;
    let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "proxy" } });
    istio.kubernetes.apply(&account.to_string()).await?;
    let token = istio.kubernetes.kubectl(&["create", "token", "proxy", "--audience", "istio-ca"]).await?;
    Ok(fs::write(secrets.join("tokens/istio-token"), token)?)
}

/// The tags that turn parts of the stats' names into labels.
pub(super) fn stat_tags() -> anyhow::Result<Value> {
    Ok(policy::metrics::Label::ALL.map(policy::metrics::Label::key).to_vec().into())
}
