//! Istio's control plane on a Kubernetes API.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::kubernetes::Kubernetes;
use super::ports::Ports;
use super::program::{Program, tool};
use crate::client::{Client, Http};
use crate::wait_for;

/// How long a program of Istio may take to start, on a machine that is busy.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// A running control plane, whose webhook judges each object. Dropping the value stops it.
///
/// It has no filters that only Istio's own Envoy has: its metrics, the exchange of metadata and the
/// choice of the protocol by ALPN.
pub struct Istio {
    _istiod: Program,
    /// The API that it reads.
    pub kubernetes: Kubernetes,
    /// Where agents reach it.
    pub(super) agents: SocketAddr,
}

impl Istio {
    /// Starts Kubernetes' API and the control plane, which agents reach at `address`.
    ///
    /// # Errors
    /// When a program is missing or does not come up.
    pub async fn start(address: Ipv4Addr) -> anyhow::Result<Self> {
        let kubernetes = Kubernetes::start().await?;
        let folder = kubernetes.folder();
        kubernetes.kubectl(&["create", "namespace", "istio-system"]).await?;
        fs::write(folder.join("mesh.yaml"), "trustDomain: cluster.local\n")?;
        let ports = Ports::find(5)?;
        let [grpc, agents, http, webhook, monitoring] = [0, 1, 2, 3, 4].map(|n| ports.nth(n));
        let local = |port: u16| format!("127.0.0.1:{port}");
        let for_agents = SocketAddr::from((address, agents));
        let mut istiod = Command::new(tool("bin/pilot-discovery")?);
        istiod.current_dir(folder).arg("discovery").args(["--kubeconfig", "kubeconfig", "--meshConfig", "mesh.yaml"]);
        istiod.args(["--grpcAddr", &local(grpc), "--secureGRPCAddr", &for_agents.to_string()]);
        istiod.args(["--httpAddr", &local(http), "--httpsAddr", &local(webhook)]);
        istiod.args(["--monitoringAddr", &local(monitoring), "--ctrlz_port", "0"]);
        istiod.envs([
            ("PILOT_ENABLE_METADATA_EXCHANGE", "false"),
            ("PILOT_ENABLE_ALPN_FILTER", "false"),
            // The name in its certificate.
            ("ISTIOD_CUSTOM_HOST", "localhost"),
            ("INJECT_ENABLED", "false"),
            ("POD_NAMESPACE", "istio-system"),
            ("POD_NAME", "istiod-0"),
        ]);
        let istiod = Program::start("istiod", folder, &mut istiod)?;
        let client = Client::new(SocketAddr::from(([127, 0, 0, 1], http)), Http::V1);
        let is_ready = async || client.get("/ready", &[]).await.is_ok_and(|answer| answer.status() == 200);
        wait_for(PATIENCE, "istiod is ready", is_ready).await.with_context(|| istiod.log())?;
        let istio = Self { _istiod: istiod, kubernetes, agents: for_agents };
        let certificate = istio.root_certificate().await?;
        istio.kubernetes.apply(&webhook_of(webhook, &certificate).to_string()).await?;
        istio.wait_for_webhook().await?;
        Ok(istio)
    }

    /// The certificate of the authority that signs all others.
    pub(super) async fn root_certificate(&self) -> anyhow::Result<String> {
        let mut certificate = String::new();
        wait_for(PATIENCE, "istiod writes its root certificate", async || {
            let arguments = ["get", "configmap", "istio-ca-root-cert", "-o", "jsonpath={.data.root-cert\\.pem}"];
            certificate = self.kubernetes.kubectl(&arguments).await.unwrap_or_default();
            !certificate.is_empty()
        })
        .await?;
        Ok(certificate)
    }

    /// A new webhook is not asked at once.
    async fn wait_for_webhook(&self) -> anyhow::Result<()> {
        let wrong = json!({
            "apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": { "name": "wrong" },
            "spec": { "hosts": ["a.example"], "gateways": ["a"], "http": [{ "route": [{ "destination": { "host": "a", "subset": "" } }], "timeout": "0.0001s" }] },
        });
        wait_for(PATIENCE, "the webhook judges", async || self.kubernetes.judge(&wrong.to_string()).await.is_err())
            .await
    }
}

/// Lets the API server ask the control plane about each object.
fn webhook_of(port: u16, certificate: &str) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": { "name": "istiod" },
        "webhooks": [{
            "name": "validation.istio.io",
            "clientConfig": {
                "url": format!("https://localhost:{port}/validate"),
                "caBundle": BASE64_STANDARD.encode(certificate),
            },
            "rules": [{
                "apiGroups": ["security.istio.io", "networking.istio.io", "telemetry.istio.io", "extensions.istio.io"],
                "apiVersions": ["*"], "operations": ["CREATE", "UPDATE"], "resources": ["*"],
            }],
            "failurePolicy": "Fail", "sideEffects": "None", "admissionReviewVersions": ["v1"],
        }],
    })
}
