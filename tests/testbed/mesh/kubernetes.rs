//! Kubernetes' API: etcd and an API server. Nothing runs pods.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::ports::Ports;
use super::program::{Program, tool};
use crate::wait_for;

/// How long the API server may take to start, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(90);

/// A running API server. Dropping the value stops it.
pub struct Kubernetes {
    _api: Program,
    _etcd: Program,
    folder: TempDir,
}

impl Kubernetes {
    /// Starts etcd and the API server, with the kinds of Istio and of the Gateway API.
    ///
    /// # Errors
    /// When a program is missing or does not come up.
    pub async fn start() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("traffic-policy-mesh-").tempdir()?;
        let path = folder.path();
        let ports = Ports::find(3)?;
        let etcd_url = format!("http://127.0.0.1:{}", ports.nth(0));
        let mut etcd = std::process::Command::new(tool("bin/etcd")?);
        etcd.arg("--data-dir").arg(path.join("etcd")).args(["--unsafe-no-fsync", "--log-level", "error"]);
        etcd.args(["--listen-client-urls", &etcd_url, "--advertise-client-urls", &etcd_url]);
        etcd.args(["--listen-peer-urls", &format!("http://127.0.0.1:{}", ports.nth(1))]);
        let etcd = Program::start("etcd", path, &mut etcd)?;

        key(&path.join("accounts.key"))?;
        fs::write(path.join("tokens.csv"), "admin-token,admin,admin,\"system:masters\"\n")?;
        let port = ports.nth(2);
        fs::write(path.join("kubeconfig"), kubeconfig(port))?;
        let mut api = std::process::Command::new(tool("bin/kube-apiserver")?);
        api.current_dir(path).args([
            &format!("--etcd-servers={etcd_url}"),
            &format!("--secure-port={port}"),
            "--bind-address=127.0.0.1",
            // It is written into a Service and never used. The API server refuses loopback addresses.
            "--advertise-address=192.0.2.1",
            "--endpoint-reconciler-type=none",
            "--cert-dir=certificates",
            "--token-auth-file=tokens.csv",
            "--service-account-key-file=accounts.key",
            "--service-account-signing-key-file=accounts.key",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--authorization-mode=RBAC",
            "--disable-admission-plugins=ServiceAccount",
            "--service-cluster-ip-range=10.96.0.0/16",
        ]);
        let api = Program::start("kube-apiserver", path, &mut api)?;
        let kubernetes = Self { _api: api, _etcd: etcd, folder };
        let is_ready = async || kubernetes.kubectl(&["get", "--raw", "/readyz"]).await.is_ok();
        wait_for(PATIENCE, "the API server is ready", is_ready).await?;
        for kinds in ["istio-crds.yaml", "gateway-api-crds.yaml"] {
            let kinds = tool(kinds)?;
            kubernetes.kubectl(&["apply", "--server-side", "-f", text(&kinds)?]).await?;
        }
        let kinds = "customresourcedefinitions";
        kubernetes.kubectl(&["wait", "--for=condition=Established", "--all", kinds, "--timeout=60s"]).await?;
        Ok(kubernetes)
    }

    /// Runs kubectl and returns its standard output.
    ///
    /// # Errors
    /// When it fails. The error contains its standard error.
    pub async fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.command(arguments)?.output().await?;
        ensure!(output.status.success(), "kubectl {arguments:?}: {}", error(&output));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Applies objects, with strict validation, and returns the warnings.
    ///
    /// # Errors
    /// When one is refused. The error contains the reason.
    pub async fn apply(&self, objects: &str) -> anyhow::Result<String> {
        self.give(&["apply", "--validate=strict", "-f", "-"], objects).await
    }

    /// Judges objects as [`Kubernetes::apply`] does, and changes nothing.
    ///
    /// # Errors
    /// When one is refused. The error contains the reason.
    pub async fn judge(&self, objects: &str) -> anyhow::Result<String> {
        self.give(&["apply", "--validate=strict", "--dry-run=server", "-f", "-"], objects).await
    }

    /// Deletes objects.
    ///
    /// # Errors
    /// When there are none.
    pub async fn delete(&self, objects: &str) -> anyhow::Result<()> {
        self.give(&["delete", "-f", "-"], objects).await.map(drop)
    }

    /// The file with the address of the API server and the credentials for it.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// The folder of the files and logs of all programs.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    async fn give(&self, arguments: &[&str], objects: &str) -> anyhow::Result<String> {
        let mut child = self.command(arguments)?.stdin(Stdio::piped()).spawn()?;
        let mut input = child.stdin.take().context("kubectl has no input")?;
        input.write_all(objects.as_bytes()).await?;
        drop(input);
        let output = child.wait_with_output().await?;
        ensure!(output.status.success(), "{}", error(&output));
        Ok(error(&output))
    }

    fn command(&self, arguments: &[&str]) -> anyhow::Result<Command> {
        let mut command = Command::new(tool("bin/kubectl")?);
        command.arg("--kubeconfig").arg(self.kubeconfig()).arg("--cache-dir").arg(self.folder.path().join("cache"));
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        Ok(command)
    }
}

/// Writes a private key, with which the API server signs tokens.
fn key(path: &Path) -> anyhow::Result<()> {
    let output = std::process::Command::new("openssl").args(["genrsa", "-out"]).arg(path).arg("2048").output();
    let output = output.context("start openssl")?;
    ensure!(output.status.success(), "openssl: {}", error(&output));
    Ok(())
}

fn kubeconfig(port: u16) -> String {
    format!(
        "apiVersion: v1
kind: Config
clusters: [{{ name: c, cluster: {{ server: \"https://127.0.0.1:{port}\", insecure-skip-tls-verify: true }} }}]
users: [{{ name: admin, user: {{ token: admin-token }} }}]
contexts: [{{ name: c, context: {{ cluster: c, user: admin }} }}]
current-context: c
"
    )
}

fn error(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("a path that is UTF-8")
}
