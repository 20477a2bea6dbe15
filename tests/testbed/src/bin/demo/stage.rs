//! The stage: an Envoy, its backends, and a policy that is changed while requests flow.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use testbed::backend::Backend;
use testbed::client::{Client, Http, served_by};
use testbed::envoy::{Envoy, Setup, Verdict};
use testbed::load::{Tally, send_each};

/// Everything that the scenes use.
pub struct Stage {
    pub envoy: Envoy,
    pub client: Client,
    backends: Vec<Backend>,
    policy: Value,
}

impl Stage {
    /// Starts backends and Envoy with an endpoint for each of `endpoints`: its route and its one backend.
    pub async fn set_up(endpoints: &[(&str, &str)], others: &[&str]) -> anyhow::Result<Self> {
        let names: std::collections::BTreeSet<_> =
            endpoints.iter().map(|(_, backend)| *backend).chain(others.iter().copied()).collect();
        let backends = Backend::start_all(names).await?;
        let endpoint = |(route, backend): &(&str, &str)| json!({ "name": name_of(route), "route": route, "traffic": { *backend: 1 }, "shadow": {} });
        let policy = json!({ "endpoints": endpoints.iter().map(endpoint).collect::<Vec<_>>() });
        let envoy = Envoy::start(&Setup { workers: 2, ..Setup::new(policy.to_string(), &backends) }).await?;
        let client = envoy.client(Http::V1);
        Ok(Self { envoy, client, backends, policy })
    }

    /// Gives the endpoint of `route` new shares, live.
    pub async fn set_traffic(&mut self, route: &str, shares: &[(&str, f64)]) -> anyhow::Result<()> {
        let traffic: BTreeMap<_, _> = shares.iter().copied().collect();
        say(&format!("set traffic of {route}: {}", json!(traffic)));
        *self.field(route, "traffic")? = json!(traffic);
        self.apply().await
    }

    /// Copies a fraction of the requests of `route` to `backend`, live; 0 stops it.
    pub async fn shadow_traffic(&mut self, route: &str, backend: &str, fraction: f64) -> anyhow::Result<()> {
        say(&format!("shadow traffic of {route}: {fraction} to {backend}"));
        *self.field(route, "shadow")?.as_object_mut().context("shadow")?.entry(backend).or_insert(json!(0)) =
            json!(fraction);
        self.apply().await
    }

    fn field(&mut self, route: &str, field: &str) -> anyhow::Result<&mut Value> {
        let endpoints = self.policy["endpoints"].as_array_mut().context("endpoints")?;
        let endpoint = endpoints.iter_mut().find(|endpoint| endpoint["route"] == route).context("no such endpoint")?;
        endpoint.get_mut(field).context("no such field")
    }

    async fn apply(&self) -> anyhow::Result<()> {
        let verdict = self.envoy.apply(&self.policy.to_string()).await?;
        ensure!(verdict == Verdict::InForce, "Envoy refused the policy:\n{}", self.envoy.log());
        Ok(())
    }

    /// Sends GET `route` `count` times and tells who answered.
    pub async fn send(&self, route: &str, count: u64) -> Tally {
        let (client, path) = (self.client.clone(), route.to_owned());
        let bar = progress(&format!("{count} requests to {route}"), count);
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

    /// Who serves each of the users `user-0`, `user-1`, …, each with the shard key of its name.
    pub async fn serve_users(&self, route: &str, count: usize) -> anyhow::Result<Vec<String>> {
        let bar = progress(&format!("{count} users of {route}"), count as u64);
        let mut served = Vec::new();
        for n in 0..count {
            let answer = self.client.get(route, &[("x-serve-shard-key", &format!("user-{n}"))]).await?;
            served.push(served_by(&answer).context("a user got no answer")?.to_owned());
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(served)
    }

    /// How many requests `backend` has got since the last call.
    pub fn take_count(&self, backend: &str) -> u64 {
        self.backends.iter().filter(|known| known.name == backend).map(Backend::take_count).sum()
    }

    /// How many copies to `backend` the filter has counted, whatever became of them.
    pub async fn copies(&self, backend: &str) -> anyhow::Result<u64> {
        self.envoy.metric("traffic_policy_shadow_total", &[("backend", backend)]).await
    }
}

/// Says what happens next.
pub fn say(words: &str) {
    println!("  {words}");
}

fn name_of(route: &str) -> &str {
    route.trim_start_matches('/')
}

fn progress(what: &str, count: u64) -> ProgressBar {
    let bar = ProgressBar::new(count).with_message(what.to_owned());
    if let Ok(style) = ProgressStyle::with_template("    {bar:30} {pos}/{len} {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
