//! The filter's numbers, read from the admin page of a proxy.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use policy::metrics::{Label, Metric};
use prometheus_parse::{Sample, Scrape, Value};

use super::admin::Admin;
use crate::error::Error;

/// The numbers at one time.
pub struct Numbers {
    /// When they were read.
    pub taken: Instant,
    /// The hashes of the policies in force, by their names; that of one without a name is empty.
    pub policies: BTreeMap<String, u64>,
    /// The names of the policies that were refused without Envoy's knowledge.
    pub refused: BTreeSet<String>,
    /// The backends that can be chosen.
    pub choices: BTreeMap<Labels, Choice>,
    /// The shadows.
    pub shadows: BTreeMap<Labels, Shadow>,
    /// How many sampled requests of each endpoint went to another cluster than the filter chose.
    pub misrouted: BTreeMap<String, f64>,
    /// Whether the page has any metric of the filter.
    pub has_any: bool,
}

/// The labels of a series.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Labels {
    /// The endpoint.
    pub endpoint: String,
    /// The cohort; empty for requests in no cohort.
    pub cohort: String,
    /// The backend.
    pub backend: String,
}

/// The numbers of a backend of an endpoint and cohort.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// The share in the policy; `None` if the policy in force doesn't name the backend.
    pub asked: Option<f64>,
    /// How many requests it has served.
    pub requests: f64,
    /// How many responses there were of each class of status.
    pub responses: BTreeMap<String, f64>,
    /// The response times.
    pub times: Times,
}

/// The numbers of a shadow.
#[derive(Clone, Debug, Default)]
pub struct Shadow {
    /// How many copies there were with each result.
    pub results: BTreeMap<String, f64>,
    /// How many copies wait for their response.
    pub in_flight: f64,
    /// The response times.
    pub times: Times,
}

/// A histogram: for each bound in milliseconds, how many responses took at most that long.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Times(Vec<(f64, f64)>);

impl Numbers {
    /// Reads the numbers of a proxy.
    ///
    /// # Errors
    /// [`Error::Unreadable`] if it doesn't answer with metrics.
    pub fn read(admin: &Admin) -> Result<Self, Error> {
        Self::parse(&admin.page("/stats/prometheus")?)
    }

    fn parse(page: &str) -> Result<Self, Error> {
        let is_ours = |line: &&str| line.contains(Metric::PREFIX);
        let lines = page.lines().filter(is_ours).map(|line| Ok(line.to_owned()));
        let not_metrics = |error| Error::Unreadable(format!("the admin page has no Prometheus metrics: {error}"));
        let samples = Scrape::parse(lines).map_err(not_metrics)?.samples;
        let (choices, shadows) = (BTreeMap::new(), BTreeMap::new());
        let misrouted = BTreeMap::new();
        let (policies, refused) = (BTreeMap::new(), BTreeSet::new());
        let taken = Instant::now();
        let mut numbers = Self { taken, policies, refused, choices, shadows, misrouted, has_any: false };
        for sample in &samples {
            numbers.take(sample);
        }
        Ok(numbers)
    }

    fn take(&mut self, sample: &Sample) {
        let label = |label: Label| sample.labels.get(label.key()).unwrap_or_default().to_owned();
        let Some(metric) = Metric::of_name(&sample.metric) else { return };
        let (endpoint, cohort, backend) = (label(Label::Endpoint), label(Label::Cohort), label(Label::Backend));
        let labels = Labels { endpoint, cohort, backend };
        let value = match &sample.value {
            Value::Counter(value) | Value::Gauge(value) | Value::Untyped(value) => count(*value),
            Value::Histogram(_) | Value::Summary(_) => Some(0.0),
        };
        let Some(value) = value else { return };
        self.has_any = true;
        match metric {
            Metric::PolicyInfo => {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a whole number of 53 bits"
                )]
                let hash = value as u64;
                // 0 is no policy: it has another name now, or requests pass.
                if hash > 0 {
                    self.policies.insert(label(Label::Policy), hash);
                }
            }
            Metric::Refused => {
                if value > 0.0 {
                    self.refused.insert(label(Label::Policy));
                }
            }
            Metric::Requests => self.choice(labels).requests += value,
            Metric::Responses => *self.choice(labels).responses.entry(label(Label::CodeClass)).or_default() += value,
            Metric::ResponseTime => self.choice(labels).times = Times::of(sample),
            Metric::TrafficShare => self.choice(labels).asked = Some(value / 1e6),
            Metric::Shadow => *self.shadow(labels).results.entry(label(Label::Result)).or_default() += value,
            Metric::ShadowResponseTime => self.shadow(labels).times = Times::of(sample),
            Metric::ShadowInFlight => self.shadow(labels).in_flight = value,
            Metric::Misrouted => *self.misrouted.entry(labels.endpoint).or_default() += value,
            Metric::ShadowOmitted | Metric::PolicyContexts => (),
        }
    }

    fn choice(&mut self, labels: Labels) -> &mut Choice {
        self.choices.entry(labels).or_default()
    }

    fn shadow(&mut self, labels: Labels) -> &mut Shadow {
        self.shadows.entry(labels).or_default()
    }
}

impl Times {
    fn of(sample: &Sample) -> Self {
        let Value::Histogram(buckets) = &sample.value else { return Self::default() };
        let buckets = buckets.iter().filter(|bucket| bucket.less_than >= 0.0);
        Self(buckets.filter_map(|bucket| Some((bucket.less_than, count(bucket.count)?))).collect())
    }

    /// The responses since `before`.
    pub fn since(&self, before: &Self) -> Self {
        let earlier = |n: usize| before.0.get(n).map_or(0.0, |(_, count)| *count);
        Self(self.0.iter().enumerate().map(|(n, (bound, count))| (*bound, (count - earlier(n)).max(0.0))).collect())
    }

    /// The time in milliseconds below which a part of the responses came, interpolated within its
    /// bucket; `None` without responses.
    pub fn quantile(&self, part: f64) -> Option<f64> {
        let all = self.0.last().map_or(0.0, |(_, count)| *count);
        let wanted = all * part;
        let n = self.0.iter().position(|(_, count)| *count >= wanted && *count > 0.0)?;
        let (bound, count) = *self.0.get(n)?;
        let (start, below) = n.checked_sub(1).and_then(|n| self.0.get(n)).copied().unwrap_or_default();
        if !bound.is_finite() {
            return Some(start).filter(|start| start.is_finite());
        }
        let time = start + (bound - start) * (wanted - below) / (count - below).max(f64::MIN_POSITIVE);
        Some(time).filter(|time| time.is_finite())
    }
}

/// A count of Envoy's, which has 64 bits; `None` for anything else.
fn count(value: f64) -> Option<f64> {
    // The sum turns -0 into 0.
    (0.0..=u64::MAX as f64).contains(&value).then_some(value + 0.0)
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
traffic_policy_policy_info{policy="old",version="0.1.0"} 0
traffic_policy_policy_info{policy="ranker",version="0.1.0"} 7
# TYPE traffic_policy_refused gauge
traffic_policy_refused{} 0
traffic_policy_refused{policy="ranker"} 1
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
# TYPE traffic_policy_misrouted_total counter
traffic_policy_misrouted_total{endpoint="e"} 3
"#;

    #[test]
    fn numbers_are_read_from_the_page() {
        let numbers = Numbers::parse(PAGE).unwrap();
        assert_eq!(numbers.policies, BTreeMap::from([(String::new(), (1 << 53) - 1), ("ranker".to_owned(), 7)]));
        assert_eq!(numbers.refused, BTreeSet::from(["ranker".to_owned()]));
        let labels = |cohort: &str, backend: &str| Labels {
            endpoint: "e".into(),
            cohort: cohort.into(),
            backend: backend.into(),
        };
        let choice = &numbers.choices[&labels("", "v1")];
        assert_eq!((choice.asked, choice.requests, choice.responses["5xx"]), (Some(0.25), 10.0, 2.0));
        assert_eq!(numbers.choices[&labels("c", "v1")].requests, 1.0);
        let shadow = &numbers.shadows[&labels("", "s")];
        assert_eq!((shadow.results["timeout"], shadow.in_flight), (4.0, 2.0));
        // Four of the eight from 1 to 5 lie in the lower half.
        assert_eq!(choice.times.quantile(0.4), Some(3.0));
        assert_eq!(choice.times.quantile(1.0), Some(10.0));
        assert_eq!(choice.times.since(&choice.times).quantile(0.5), None);
        assert_eq!(shadow.times.quantile(0.5), None);
        assert_eq!(numbers.misrouted["e"], 3.0);
        assert!(numbers.has_any);
    }

    #[test]
    fn a_value_that_is_no_count_is_ignored() {
        for value in ["NaN", "-NaN", "+Inf", "-Inf", "-1", "1e300"] {
            let numbers = Numbers::parse(&PAGE.replace("} 7\n", &format!("}} {value}\n"))).unwrap();
            let requests: Vec<_> = numbers.choices.values().map(|choice| choice.requests).collect();
            assert_eq!(requests, [3.0, 1.0], "{value}");
            let only = format!("traffic_policy_policy_info {value}\n");
            assert!(!Numbers::parse(&only).unwrap().has_any, "{value}");
        }
        assert!(!Numbers::parse("envoy_other{} 5\n").unwrap().has_any);
    }
}
