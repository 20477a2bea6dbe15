//! What a proxy counts, read from its admin page.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context;
use prometheus_parse::{Sample, Scrape, Value};

/// The numbers of one moment.
pub struct Numbers {
    pub taken: Instant,
    /// The hash of the policy in force.
    pub policy: Option<u64>,
    /// By endpoint, cohort and backend.
    pub choices: BTreeMap<Place, Choice>,
    pub shadows: BTreeMap<Place, Shadow>,
}

/// Where something is counted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub endpoint: String,
    /// Empty for requests in no cohort.
    pub cohort: String,
    pub backend: String,
}

/// What is counted of a backend of an endpoint and cohort.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// The share that is asked for; `None` if the policy in force doesn't name it.
    pub asked: Option<f64>,
    pub requests: f64,
    /// By class of status.
    pub responses: BTreeMap<String, f64>,
    pub times: Times,
}

/// What is counted of a shadow.
#[derive(Clone, Debug, Default)]
pub struct Shadow {
    pub results: BTreeMap<String, f64>,
    pub in_flight: f64,
    pub times: Times,
}

/// A histogram: how many took at most so many milliseconds, by that bound.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Times(Vec<(f64, f64)>);

impl Numbers {
    /// Reads them from the proxy whose admin interface is at `admin`.
    pub fn read(admin: &str) -> anyhow::Result<Self> {
        let url = format!("{}/stats/prometheus", admin.trim_end_matches('/'));
        let agent: ureq::Agent =
            ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(10))).build().into();
        let mut answer =
            agent.get(&url).call().with_context(|| format!("no answer from {url}: is it Envoy's admin address?"))?;
        let page = answer.body_mut().with_config().limit(256 << 20).read_to_string()?;
        Self::parse(&page)
    }

    fn parse(page: &str) -> anyhow::Result<Self> {
        let is_ours = |line: &&str| line.contains("traffic_policy_");
        let lines = page.lines().filter(is_ours).map(|line| Ok(line.to_owned()));
        let samples = Scrape::parse(lines).context("no metrics in the form of Prometheus")?.samples;
        let (choices, shadows) = (BTreeMap::new(), BTreeMap::new());
        let mut numbers = Self { taken: Instant::now(), policy: None, choices, shadows };
        for sample in &samples {
            numbers.take(sample);
        }
        Ok(numbers)
    }

    fn take(&mut self, sample: &Sample) {
        let label = |name: &str| sample.labels.get(name).unwrap_or_default().to_owned();
        let place = Place { endpoint: label("endpoint"), cohort: label("cohort"), backend: label("backend") };
        let value = match &sample.value {
            Value::Counter(value) | Value::Gauge(value) | Value::Untyped(value) => *value,
            Value::Histogram(_) | Value::Summary(_) => 0.0,
        };
        let Some(metric) = sample.metric.strip_prefix("traffic_policy_") else { return };
        if metric == "policy_info" {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number of 53 bits")]
            let hash = value as u64;
            self.policy = Some(hash);
            return;
        }
        match metric.strip_prefix("shadow_") {
            Some(metric) => {
                let shadow = self.shadows.entry(place).or_default();
                match metric {
                    "total" => *shadow.results.entry(label("result")).or_default() += value,
                    "in_flight" => shadow.in_flight = value,
                    "response_time_milliseconds" => shadow.times = Times::of(sample),
                    _ => (),
                }
            }
            None => {
                let choice = self.choices.entry(place).or_default();
                match metric {
                    "requests_total" => choice.requests += value,
                    "responses_total" => *choice.responses.entry(label("code_class")).or_default() += value,
                    "response_time_milliseconds" => choice.times = Times::of(sample),
                    "traffic_share_millionths" => choice.asked = Some(value / 1e6),
                    _ => (),
                }
            }
        }
    }
}

impl Times {
    fn of(sample: &Sample) -> Self {
        let Value::Histogram(buckets) = &sample.value else { return Self::default() };
        Self(buckets.iter().map(|bucket| (bucket.less_than, bucket.count)).collect())
    }

    /// What has come since `before`.
    pub fn since(&self, before: &Self) -> Self {
        let earlier = |n: usize| before.0.get(n).map_or(0.0, |(_, count)| *count);
        Self(self.0.iter().enumerate().map(|(n, (bound, count))| (*bound, (count - earlier(n)).max(0.0))).collect())
    }

    /// The time below which a part of the answers came, in milliseconds, as far as the buckets tell; `None` without any.
    pub fn quantile(&self, part: f64) -> Option<f64> {
        let all = self.0.last().map_or(0.0, |(_, count)| *count);
        let wanted = all * part;
        let n = self.0.iter().position(|(_, count)| *count >= wanted && *count > 0.0)?;
        let (bound, count) = *self.0.get(n)?;
        let (start, below) = n.checked_sub(1).and_then(|n| self.0.get(n)).copied().unwrap_or_default();
        if !bound.is_finite() {
            return Some(start);
        }
        Some(start + (bound - start) * (wanted - below) / (count - below).max(f64::MIN_POSITIVE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = r#"# TYPE traffic_policy_requests_total counter
traffic_policy_requests_total{endpoint="e",backend="v1",reason="key"} 7
traffic_policy_requests_total{endpoint="e",backend="v1",reason="random"} 3
traffic_policy_requests_total{endpoint="e",cohort="c",backend="v1",reason="key"} 1
# TYPE envoy_other counter
envoy_other{} 5
# TYPE traffic_policy_responses_total counter
traffic_policy_responses_total{endpoint="e",backend="v1",code_class="5xx"} 2
# TYPE traffic_policy_traffic_share_millionths gauge
traffic_policy_traffic_share_millionths{endpoint="e",backend="v1"} 250000
# TYPE traffic_policy_policy_info gauge
traffic_policy_policy_info{version="0.1.0"} 9007199254740991
# TYPE traffic_policy_response_time_milliseconds histogram
traffic_policy_response_time_milliseconds_bucket{endpoint="e",backend="v1",le="1"} 0
traffic_policy_response_time_milliseconds_bucket{endpoint="e",backend="v1",le="5"} 8
traffic_policy_response_time_milliseconds_bucket{endpoint="e",backend="v1",le="10"} 10
traffic_policy_response_time_milliseconds_bucket{endpoint="e",backend="v1",le="+Inf"} 10
traffic_policy_response_time_milliseconds_sum{endpoint="e",backend="v1"} 31
traffic_policy_response_time_milliseconds_count{endpoint="e",backend="v1"} 10
# TYPE traffic_policy_shadow_total counter
traffic_policy_shadow_total{endpoint="e",backend="s",result="timeout"} 4
# TYPE traffic_policy_shadow_in_flight gauge
traffic_policy_shadow_in_flight{endpoint="e",backend="s"} 2
"#;

    #[test]
    fn a_page_is_read() {
        let numbers = Numbers::parse(PAGE).unwrap();
        assert_eq!(numbers.policy, Some((1 << 53) - 1));
        let place = |cohort: &str, backend: &str| Place {
            endpoint: "e".into(),
            cohort: cohort.into(),
            backend: backend.into(),
        };
        let choice = &numbers.choices[&place("", "v1")];
        assert_eq!((choice.asked, choice.requests, choice.responses["5xx"]), (Some(0.25), 10.0, 2.0));
        assert_eq!(numbers.choices[&place("c", "v1")].requests, 1.0);
        let shadow = &numbers.shadows[&place("", "s")];
        assert_eq!((shadow.results["timeout"], shadow.in_flight), (4.0, 2.0));
        // Four of eight lie in the half from 1 to 5.
        assert_eq!(choice.times.quantile(0.4), Some(3.0));
        assert_eq!(choice.times.quantile(1.0), Some(10.0));
        assert_eq!(choice.times.since(&choice.times).quantile(0.5), None);
        assert_eq!(shadow.times.quantile(0.5), None);
    }
}
