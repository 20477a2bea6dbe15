//! The agent of Istio's proxies: what it needs where a pod has it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use policy::metrics::Label;
use serde_json::{Value, json};

use super::istio::Istio;
use super::ports::Ports;
use super::program::tool;
use crate::executable;

/// A command that runs the agent, and the ports that it opens.
pub(super) struct Agent {
    /// The command.
    pub(super) command: Command,
    /// The folder of its files.
    pub(super) folder: PathBuf,
    /// The port of the agent itself.
    pub(super) status: u16,
}

impl Agent {
    /// The agent of a proxy for the pod `name` with these labels and this address. `role` is `router`
    /// or `sidecar`. Its folder, and so what an agent may find there, is new.
    pub(super) async fn new(
        istio: &Istio,
        role: &str,
        name: &str,
        labels: &Value,
        address: &str,
        workers: u16,
    ) -> anyhow::Result<Self> {
        let ports = Ports::find(4)?;
        let [status, admin, envoy_status, prometheus] = [0, 1, 2, 3].map(|n| ports.nth(n));
        let folder = istio.kubernetes.folder().join(format!("{name}-{status}"));
        put_credentials(istio, &folder).await?;
        let tags: Vec<_> = Label::ALL.into_iter().map(Label::key).collect();
        let configuration = json!({
            "discoveryAddress": istio.agents.to_string(),
            "binaryPath": executable()?,
            "configPath": folder.join("etc"),
            "proxyAdminPort": admin,
            "statusPort": status,
            "concurrency": workers,
            "terminationDrainDuration": "1s",
            "extraStatTags": tags,
        });
        // Modules that the agent fetches go to a folder of its own, which is not left behind.
        let script = "mount -t tmpfs none /var/lib && mkdir -p /var/lib/istio/data && exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", script, "sh"]).arg(tool("bin/pilot-agent")?);
        command.args(["proxy", role, "--domain", "default.svc.cluster.local", "--templateFile"]);
        command.arg(tool("envoy_bootstrap.json")?).current_dir(&folder).envs([
            ("POD_NAME", name),
            ("POD_NAMESPACE", "default"),
            ("INSTANCE_IP", address),
            ("SERVICE_ACCOUNT", "proxy"),
            ("ISTIO_META_CLUSTER_ID", "Kubernetes"),
            ("ISTIO_METAJSON_LABELS", &labels.to_string()),
            ("ENVOY_STATUS_PORT", &envoy_status.to_string()),
            ("ENVOY_PROMETHEUS_PORT", &prometheus.to_string()),
            ("MINIMUM_DRAIN_DURATION", "1s"),
            // The name in the control plane's certificate.
            ("ISTIOD_SAN", "localhost"),
            ("PROXY_CONFIG", &configuration.to_string()),
        ]);
        Ok(Self { command, folder, status })
    }
}

/// The address of a port of this machine.
pub(super) fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// Writes what the agent needs to speak to the control plane, where a pod has it.
async fn put_credentials(istio: &Istio, folder: &Path) -> anyhow::Result<()> {
    let secrets = folder.join("var/run/secrets");
    fs::create_dir_all(secrets.join("istio"))?;
    fs::create_dir_all(secrets.join("tokens"))?;
    fs::write(secrets.join("istio/root-cert.pem"), istio.root_certificate().await?)?;
    let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "proxy" } });
    istio.kubernetes.apply(&account.to_string()).await?;
    let token = istio.kubernetes.kubectl(&["create", "token", "proxy", "--audience", "istio-ca"]).await?;
    Ok(fs::write(secrets.join("tokens/istio-token"), token)?)
}
