//! What an Envoy reports: its admin interface, its log and its memory.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use anyhow::Context;
use policy::metrics::Metric;

use crate::client::{Client, Http};
use crate::envoy::Envoy;

impl Envoy {
    /// Reads a page of the admin interface.
    ///
    /// # Errors
    /// When Envoy doesn't answer.
    pub async fn admin(&self, path: &str) -> anyhow::Result<String> {
        let answer = Client::new(self.admin, Http::V1).get(path, &[]).await?;
        Ok(String::from_utf8(answer.into_body().to_vec())?)
    }

    /// The value of a counter or gauge, or 0 if there is none of that name.
    ///
    /// # Errors
    /// When Envoy doesn't answer.
    pub async fn stat(&self, name: &str) -> anyhow::Result<u64> {
        let stats = self.admin("/stats").await?;
        let value = stats.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        Ok(value.map_or(Ok(0), str::parse)?)
    }

    /// The sum of all series of a Prometheus metric that have all these labels.
    ///
    /// # Errors
    /// When Envoy doesn't answer.
    pub async fn metric(&self, name: &str, labels: &[(&str, &str)]) -> anyhow::Result<u64> {
        sum(&self.admin("/stats/prometheus").await?, name, labels)
    }

    /// The labels of each series that the filter publishes, by the name in Prometheus' format.
    ///
    /// # Errors
    /// When Envoy doesn't answer.
    pub async fn series(&self) -> anyhow::Result<BTreeMap<String, Vec<String>>> {
        let mut series = BTreeMap::<_, Vec<_>>::new();
        for line in self.admin("/stats/prometheus").await?.lines() {
            let (name, rest) = line.split_once('{').unwrap_or_default();
            if let Some((labels, _)) = rest.split_once('}').filter(|_| name.starts_with(Metric::PREFIX)) {
                series.entry(name.to_owned()).or_default().push(labels.to_owned());
            }
        }
        Ok(series)
    }

    /// How many copies for the shadow `backend` have had this result.
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

    /// How many copies for the shadow `backend` wait for their answer.
    ///
    /// # Errors
    /// When Envoy doesn't answer.
    pub async fn in_flight(&self, backend: &str) -> anyhow::Result<u64> {
        self.metric("traffic_policy_shadow_in_flight", &[("backend", backend)]).await
    }

    /// How many copies wait for their answer, whatever the shadow.
    ///
    /// # Errors
    /// When Envoy doesn't answer.
    pub async fn in_flight_of_all(&self) -> anyhow::Result<u64> {
        self.metric("traffic_policy_shadow_in_flight", &[]).await
    }

    /// The hash of the policy in force, as the filter reports it.
    ///
    /// # Errors
    /// When Envoy doesn't answer.
    pub async fn policy_hash(&self) -> anyhow::Result<u64> {
        self.metric("traffic_policy_policy_info", &[]).await
    }

    /// How many bytes of memory the process has resident.
    ///
    /// # Errors
    /// When it has ended.
    pub fn resident_bytes(&self) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process_id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
    }

    /// The CPU time that all threads of the process have used.
    ///
    /// # Errors
    /// When it has ended.
    pub fn cpu_time(&self) -> anyhow::Result<Duration> {
        let mut sum = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.process_id()))? {
            let statistics = fs::read_to_string(task?.path().join("schedstat"))?;
            sum += statistics.split(' ').next().unwrap_or_default().parse::<u64>()?;
        }
        Ok(Duration::from_nanos(sum))
    }

    /// What Envoy and the filter have logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder().join("envoy.log")).unwrap_or_default()
    }

    /// How often a policy has been loaded so far, on any thread.
    pub fn loads(&self) -> usize {
        let is_load = |line: &&str| line.contains("traffic policy ") && line.contains("in force: ");
        self.log().lines().filter(is_load).count()
    }
}

/// The sum of all series of a metric that have all these labels, on a page in Prometheus' format. As
/// in Prometheus, an empty value stands for no such label.
pub(crate) fn sum(page: &str, name: &str, labels: &[(&str, &str)]) -> anyhow::Result<u64> {
    let mut sum = 0.0;
    for line in page.lines() {
        let Some((series, value)) = line.strip_prefix(name).and_then(|rest| rest.strip_prefix('{')?.split_once("} "))
        else {
            continue;
        };
        let has = |(key, value): &(&str, &str)| match *value {
            "" => !series.contains(&format!("{key}=\"")),
            value => series.contains(&format!("{key}=\"{value}\"")),
        };
        if labels.iter().all(has) {
            // The sum of a histogram is not a whole number.
            sum += value.parse::<f64>()?.trunc();
        }
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts and times, which are not negative and far below 2^53"
    )]
    Ok(sum as u64)
}

/// The hash of the policy without a name that is in force, on a page in Prometheus' format; 0 if there
/// is none.
pub(crate) fn policy_hash(page: &str) -> anyhow::Result<u64> {
    sum(page, "traffic_policy_policy_info", &[("policy", "")])
}
