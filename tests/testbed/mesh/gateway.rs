//! A proxy of Istio that serves as a gateway: the agent, and an upstream Envoy.

use std::net::SocketAddr;

use anyhow::Context;
use serde_json::{Value, json};

use super::agent::{Agent, local};
use super::istio::{Istio, PATIENCE};
use super::program::Program;
use crate::admin::{policy_hash, sum};
use crate::client::{Client, Http};
use crate::wait_for;

/// A running gateway. Dropping the value stops it.
pub struct Gateway {
    agent: Program,
    address: SocketAddr,
    /// The address of the agent, where Prometheus scrapes.
    pub status: SocketAddr,
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
        let mut agent = Agent::new(istio, "router", &setup.name, &setup.labels, "127.0.0.21", setup.workers).await?;
        agent.command.env("WASM_INSECURE_REGISTRIES", &setup.insecure_registries);
        let [address, status] = [setup.port, agent.status].map(local);
        let agent = Program::start(&setup.name, &agent.folder, &mut agent.command)?;
        let gateway = Self { agent, address, status };
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
        sum(&self.metrics().await?, name, labels)
    }

    async fn metrics(&self) -> anyhow::Result<String> {
        let answer = Client::new(self.status, Http::V1).get("/stats/prometheus", &[]).await?;
        Ok(String::from_utf8_lossy(answer.body()).into_owned())
    }

    /// The hash of the policy without a name that is in force, as the filter reports it; 0 if there is
    /// none.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn policy_hash(&self) -> anyhow::Result<u64> {
        policy_hash(&self.metrics().await?)
    }

    /// What agent, Envoy and filter have logged so far.
    pub fn log(&self) -> String {
        self.agent.log()
    }
}
