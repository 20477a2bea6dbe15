//! The stage: an Envoy, its backends, and a policy that changes while requests flow.

use std::time::Duration;

use anyhow::{Context, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use testbed::backend::Backend;
use testbed::client::{Client, Http, served_by};
use testbed::envoy::{Envoy, Setup, Verdict};
use testbed::load::{Tally, send_each};
use testbed::trafficctl::Trafficctl;

/// The Envoy and the backends of the scenes.
pub struct Stage {
    pub envoy: Envoy,
    pub client: Client,
    backends: Vec<Backend>,
    trafficctl: Trafficctl,
}

impl Stage {
    /// Starts the backends, and Envoy with a policy that has no endpoint.
    pub async fn set_up(backends: &[&str]) -> anyhow::Result<Self> {
        let backends = Backend::start_all(backends).await?;
        let none = r#"{ "endpoints": [] }"#;
        let envoy = Envoy::start(&Setup { workers: 2, ..Setup::new(none, &backends) }).await?;
        let client = envoy.client(Http::V1);
        let trafficctl = Trafficctl::build(envoy.policy_file())?;
        Ok(Self { envoy, client, backends, trafficctl })
    }

    /// Runs a verb of trafficctl on the file that Envoy watches, and waits until the change is in
    /// force.
    pub async fn trafficctl(&self, command: &str) -> anyhow::Result<()> {
        say(&format!("trafficctl {command}"));
        let verb = async || self.trafficctl.ok(command.split(' ')).map(drop);
        ensure!(self.envoy.judge(verb).await? == Verdict::InForce, "Envoy refused the policy:\n{}", self.envoy.log());
        Ok(())
    }

    /// Changes the shares of an endpoint, live.
    pub async fn set_traffic(&self, endpoint: &str, shares: &[(&str, f64)]) -> anyhow::Result<()> {
        let shares: Vec<_> = shares.iter().map(|(backend, share)| format!("{backend}={share}")).collect();
        self.trafficctl(&format!("set-traffic {endpoint} {}", shares.join(" "))).await
    }

    /// Copies a fraction of the requests of an endpoint to `backend`, live; 0 stops it.
    pub async fn shadow_traffic(&self, endpoint: &str, backend: &str, fraction: f64) -> anyhow::Result<()> {
        self.trafficctl(&format!("shadow-traffic {endpoint} {backend} {fraction}")).await
    }

    /// Sends GET requests to the route of `endpoint`, `count` times, and counts the answers.
    pub async fn send(&self, endpoint: &str, count: u64) -> Tally {
        let (client, path) = (self.client.clone(), route(endpoint));
        let bar = progress(&format!("{count} requests to {path}"), count);
        let tally = send_each(count, {
            let bar = bar.clone();
            move |_| {
                let (client, path, bar) = (client.clone(), path.clone(), bar.clone());
                async move {
                    let answer = client.get(&path, &[]).await;
                    bar.inc(1);
                    answer
                }
            }
        })
        .await;
        bar.finish_and_clear();
        tally
    }

    /// The backend of each of the users `user-0`, `user-1`, …, whose names are their shard keys.
    pub async fn serve_users(&self, endpoint: &str, count: usize) -> anyhow::Result<Vec<String>> {
        let path = route(endpoint);
        let bar = progress(&format!("{count} users of {path}"), count as u64);
        let mut served = Vec::new();
        for n in 0..count {
            let answer = self.client.get(&path, &[("x-serve-shard-key", &format!("user-{n}"))]).await?;
            served.push(served_by(&answer).context("a user got no answer")?.to_owned());
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(served)
    }

    /// How many requests `backend` has got since the last call. Sets the count to 0.
    pub fn take_count(&self, backend: &str) -> u64 {
        self.backends.iter().filter(|known| known.name == backend).map(Backend::take_count).sum()
    }

    /// How many requests the shadow `backend` has drawn, whatever became of their copies.
    pub async fn copies(&self, backend: &str) -> anyhow::Result<u64> {
        self.envoy.all_outcomes(backend).await
    }
}

/// The route of an endpoint.
pub fn route(endpoint: &str) -> String {
    format!("/{endpoint}")
}

/// Prints the next step.
pub fn say(words: &str) {
    println!("  {words}");
}

fn progress(what: &str, count: u64) -> ProgressBar {
    let bar = ProgressBar::new(count).with_message(what.to_owned());
    if let Ok(style) = ProgressStyle::with_template("    {bar:30} {pos}/{len} {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
