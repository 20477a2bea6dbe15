//! The filter's counts, and the counts that are expected.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use prometheus_parse::{Scrape, Value};
use testbed::backend::{Backend, named};
use testbed::envoy::Envoy;
use testbed::statistics::{FALSE_ALARM, binomial_bounds};

use super::load::Load;
use super::requests::{BACKENDS, Decided, SHADOWS};

/// A series.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Series {
    /// The name of the metric, without the common prefix.
    pub(super) metric: String,
    endpoint: String,
    /// The cohort, or empty for none.
    cohort: String,
    backend: String,
    /// The reason, class, result or part, or empty for none.
    pub(super) last: String,
}

/// The counts of series. The count of a histogram is its number of values.
pub(super) type Counts = BTreeMap<Series, u64>;

/// Stands for all results of a shadow.
const ALL: &str = "all";

/// The results that copies may have here.
const RESULTS: [&str; 7] =
    ["2xx", "cut_off", "skipped_body", "skipped_in_flight", "skipped_marked", "skipped_method", "skipped_rate"];

impl Series {
    fn new(metric: &str, decided: &Decided, backend: &str, last: &str) -> Self {
        let (endpoint, cohort) = (decided.endpoint.clone(), decided.cohort.clone().unwrap_or_default());
        Self { metric: metric.to_owned(), endpoint, cohort, backend: backend.to_owned(), last: last.to_owned() }
    }
}

/// All counts of the filter.
pub(super) async fn counted(envoy: &Envoy) -> Counts {
    let page = envoy.admin("/stats/prometheus").await.unwrap();
    let lines = page.lines().filter(|line| line.contains("traffic_policy_")).map(|line| Ok(line.to_owned()));
    let mut counts = Counts::new();
    for sample in Scrape::parse(lines).unwrap().samples {
        let Some(metric) = sample.metric.strip_prefix("traffic_policy_") else { continue };
        let count = match &sample.value {
            Value::Counter(count) => *count as u64,
            Value::Histogram(buckets) => buckets.last().unwrap().count as u64,
            _ => continue,
        };
        let label = |name| sample.labels.get(name).unwrap_or_default().to_owned();
        let series = Series {
            metric: metric.to_owned(),
            endpoint: label("endpoint"),
            cohort: label("cohort"),
            backend: label("backend"),
            last: ["reason", "code_class", "result", "part"].map(label).concat(),
        };
        if series.metric == "shadow_total" {
            *counts.entry(Series { last: ALL.to_owned(), ..series.clone() }).or_default() += count;
        }
        counts.insert(series, count);
    }
    counts
}

/// How often each series was to be drawn, by the chance in bits. Chances of 0 and 1 are exact.
#[derive(Default)]
struct Chances(BTreeMap<Series, BTreeMap<u64, u64>>);

impl Chances {
    fn add(&mut self, series: Series, chance: f64, times: u64) {
        *self.0.entry(series).or_default().entry(chance.to_bits()).or_default() += times;
    }

    /// The bounds of the counts that this gives.
    fn bounds(&self) -> impl Iterator<Item = (&Series, RangeInclusive<u64>)> {
        self.0.iter().map(|(series, times)| {
            let bounds =
                times.iter().map(|(chance, times)| binomial_bounds(*times, f64::from_bits(*chance), FALSE_ALARM));
            let (low, high) = bounds.fold((0, 0), |sum, (low, high)| (sum.0 + low, sum.1 + high));
            (series, low..=high)
        })
    }
}

/// The counts that are expected.
#[derive(Default)]
pub(super) struct Expected {
    /// Requests and responses, as counted by the clients.
    exact: Counts,
    /// The same requests by policy.
    served: Counts,
    /// How often each backend was to be chosen, by policy.
    chosen: Chances,
    /// How often each shadow was to draw.
    drawn: Chances,
}

impl Expected {
    /// The counts that the answers to the clients call for.
    pub(super) fn new(load: &Load) -> Self {
        let mut expected = Self::default();
        for (policy, decided, answers) in load.answers() {
            let reason = decided.reason.as_str();
            let by_policy = |backend| Series::new(&format!("requests_by_policy_{policy}"), decided, backend, reason);
            for (backend, times) in BACKENDS.into_iter().zip(answers).filter(|(_, times)| *times > 0) {
                for (metric, last) in
                    [("requests_total", reason), ("responses_total", "2xx"), ("response_time_milliseconds", "")]
                {
                    *expected.exact.entry(Series::new(metric, decided, backend, last)).or_default() += times;
                }
                *expected.served.entry(by_policy(backend)).or_default() += times;
                // Requests with a generated key follow, once the reference knows the key.
                if reason != "generated" {
                    expected.draw(decided, backend, times);
                }
            }
            for (backend, chance) in &decided.backends {
                expected.chosen.add(by_policy(backend), *chance, answers.iter().sum());
            }
        }
        expected
    }

    /// Adds `times` requests that `backend` has served, for the shadows to draw from.
    pub(super) fn draw(&mut self, decided: &Decided, backend: &str, times: u64) {
        for (shadow, chance) in &decided.shadows[backend] {
            for result in [ALL].into_iter().chain(decided.skips.get(shadow).map(String::as_str)) {
                self.drawn.add(Series::new("shadow_total", decided, shadow, result), *chance, times);
            }
        }
    }

    /// All counts that differ.
    pub(super) fn differences(&self, counts: &Counts, backends: &[Backend]) -> Vec<String> {
        let of = |counts: &Counts, series: &Series| counts.get(series).copied().unwrap_or_default();
        let sum = |metric: &str, backend: &str, last: &str| -> u64 {
            let is_of =
                |series: &Series| series.metric == metric && series.backend == backend && series.last.contains(last);
            counts.iter().filter(|(series, _)| is_of(series)).map(|(_, count)| count).sum()
        };
        let mut differences = Vec::new();
        let mut expect = |what: &dyn std::fmt::Debug, found: u64, expected: RangeInclusive<u64>| {
            if !expected.contains(&found) {
                differences.push(format!("{what:?}: {found} instead of {expected:?}"));
            }
        };
        let exact = |count| count..=count;
        for (series, bounds) in self.chosen.bounds() {
            expect(series, of(&self.served, series), bounds);
        }
        for (series, count) in &self.exact {
            expect(series, of(counts, series), exact(*count));
        }
        for (series, bounds) in self.drawn.bounds() {
            expect(series, of(counts, series), bounds);
            if series.last == ALL {
                let answered = of(counts, &Series { last: "2xx".to_owned(), ..series.clone() });
                let timed = Series {
                    metric: "shadow_response_time_milliseconds".to_owned(),
                    last: String::new(),
                    ..series.clone()
                };
                expect(&timed, of(counts, &timed), exact(answered));
            }
        }
        for (series, count) in counts {
            let is_known = match series.metric.as_str() {
                "shadow_total" if series.last == ALL => self.drawn.0.contains_key(series),
                "shadow_total" => RESULTS.contains(&series.last.as_str()),
                "shadow_response_time_milliseconds" => true,
                _ => self.exact.contains_key(series),
            };
            if !is_known {
                expect(series, *count, exact(0));
            }
        }
        for backend in BACKENDS {
            expect(&backend, named(backends, backend).count(), exact(sum("requests_total", backend, "")));
        }
        for shadow in SHADOWS {
            // Otherwise all copies might have been skipped.
            let (drawn, answered) = (sum("shadow_total", shadow, ALL), sum("shadow_total", shadow, "2xx"));
            let few = if ["quick", "users"].contains(&shadow) { drawn * 9 / 10 } else { 1 };
            expect(&("answered of", shadow), answered, few..=drawn);
            // A copy that is cut off may have come or not.
            let cut_off = sum("shadow_total", shadow, "cut_off");
            expect(&shadow, named(backends, shadow).count(), answered..=answered + cut_off);
        }
        differences
    }
}
