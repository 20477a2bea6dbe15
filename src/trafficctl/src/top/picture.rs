//! The traffic of a proxy in a window of time: the difference between two readings of its numbers.

use std::collections::{BTreeMap, BTreeSet};

use policy::StatusClass;

use super::numbers::{Choice, Labels, Numbers, Shadow, Times};

/// The traffic in a window of time.
pub struct Picture {
    /// The hashes of the policies in force, by their names; that of one without a name is empty.
    pub policies: BTreeMap<String, u64>,
    /// The names of the policies that were refused without Envoy's knowledge.
    pub refused: BTreeSet<String>,
    /// The length of the window.
    pub seconds: f64,
    /// The endpoints and cohorts that have something to show.
    pub groups: Vec<Group>,
    /// Whether the proxy has any metric of the filter.
    pub has_any: bool,
}

/// The requests of an endpoint in a cohort, or in none.
pub struct Group {
    /// The endpoint.
    pub endpoint: String,
    /// The cohort; empty for requests in no cohort.
    pub cohort: String,
    /// A row for each backend that has a share or requests.
    pub choices: Vec<ChoiceRow>,
    /// A row for each shadow that has copies.
    pub shadows: Vec<ShadowRow>,
    /// How many sampled requests of the endpoint went to another cluster than the filter chose,
    /// since the proxy started; 0 for a cohort.
    pub misrouted: f64,
}

/// The requests that a backend serves.
pub struct ChoiceRow {
    /// The backend.
    pub backend: String,
    /// Requests in a second.
    pub rate: f64,
    /// The share in the policy; `None` if the policy in force doesn't name the backend.
    pub asked: Option<f64>,
    /// The share of the requests of the endpoint and cohort; `None` without requests.
    pub seen: Option<f64>,
    /// The part of the responses that are 5xx; `None` without responses.
    pub errors: Option<f64>,
    /// The median response time, in milliseconds.
    pub p50: Option<f64>,
    /// The 99th percentile of the response time, in milliseconds.
    pub p99: Option<f64>,
}

/// The copies that a shadow gets.
pub struct ShadowRow {
    /// The backend.
    pub backend: String,
    /// Copies in a second.
    pub rate: f64,
    /// The part of each result.
    pub results: Vec<(String, f64)>,
    /// How many copies wait for their response.
    pub in_flight: f64,
    /// The median response time, in milliseconds.
    pub p50: Option<f64>,
    /// The 99th percentile of the response time, in milliseconds.
    pub p99: Option<f64>,
}

impl Picture {
    /// The traffic between two readings.
    pub fn between(first: &Numbers, last: &Numbers) -> Self {
        let seconds = last.taken.duration_since(first.taken).as_secs_f64().max(1e-3);
        let counts: BTreeMap<&Labels, f64> =
            last.choices.iter().map(|(labels, choice)| (labels, requests(first.choices.get(labels), choice))).collect();
        let mut sums: BTreeMap<(&str, &str), f64> = BTreeMap::new();
        for (labels, count) in &counts {
            *sums.entry((&labels.endpoint, &labels.cohort)).or_default() += count;
        }
        let mut groups: BTreeMap<(&str, &str), Group> = BTreeMap::new();
        for (labels, choice) in &last.choices {
            let count = counts.get(labels).copied().unwrap_or_default();
            let sum = sums.get(&(labels.endpoint.as_str(), labels.cohort.as_str())).copied().unwrap_or_default();
            if let Some(row) = ChoiceRow::of(labels, first.choices.get(labels), choice, count, sum, seconds) {
                group(&mut groups, &labels.endpoint, &labels.cohort).choices.push(row);
            }
        }
        for (labels, shadow) in &last.shadows {
            if let Some(row) = ShadowRow::of(labels, first.shadows.get(labels), shadow, seconds) {
                group(&mut groups, &labels.endpoint, &labels.cohort).shadows.push(row);
            }
        }
        for (endpoint, misrouted) in last.misrouted.iter().filter(|(_, misrouted)| **misrouted > 0.0) {
            group(&mut groups, endpoint, "").misrouted = *misrouted;
        }
        Self {
            policies: last.policies.clone(),
            refused: last.refused.clone(),
            seconds,
            groups: groups.into_values().collect(),
            has_any: last.has_any,
        }
    }
}

/// The group of an endpoint and a cohort, perhaps a new one.
fn group<'a, 'n>(
    groups: &'a mut BTreeMap<(&'n str, &'n str), Group>,
    endpoint: &'n str,
    cohort: &'n str,
) -> &'a mut Group {
    groups.entry((endpoint, cohort)).or_insert_with(|| Group {
        endpoint: endpoint.to_owned(),
        cohort: cohort.to_owned(),
        choices: Vec::new(),
        shadows: Vec::new(),
        misrouted: 0.0,
    })
}

impl ChoiceRow {
    /// The row of a backend that served `count` of the `sum` requests of its endpoint and cohort.
    fn of(labels: &Labels, before: Option<&Choice>, now: &Choice, count: f64, sum: f64, seconds: f64) -> Option<Self> {
        if count == 0.0 && now.asked.is_none_or(|asked| asked == 0.0) {
            return None;
        }
        let responses = since(&now.responses, before.map(|before| &before.responses));
        let ended: f64 = responses.values().sum();
        let failed = responses.get(StatusClass::ServerError.name()).copied().unwrap_or_default();
        let (p50, p99) = quantiles(&now.times, before.map(|before| &before.times));
        Some(Self {
            backend: labels.backend.clone(),
            rate: count / seconds,
            asked: now.asked,
            seen: (sum > 0.0).then(|| count / sum),
            errors: (ended > 0.0).then(|| failed / ended),
            p50,
            p99,
        })
    }

    /// Whether at least one response in a hundred is an error.
    pub fn is_bad(&self) -> bool {
        self.errors.is_some_and(|errors| errors >= 0.01)
    }
}

impl ShadowRow {
    fn of(labels: &Labels, before: Option<&Shadow>, now: &Shadow, seconds: f64) -> Option<Self> {
        let results = since(&now.results, before.map(|before| &before.results));
        // A sum of no numbers is -0.
        let count = results.values().sum::<f64>() + 0.0;
        if count == 0.0 && now.in_flight == 0.0 {
            return None;
        }
        let parts = results.into_iter().filter(|(_, part)| *part > 0.0).map(|(name, part)| (name, part / count));
        let (p50, p99) = quantiles(&now.times, before.map(|before| &before.times));
        let (results, in_flight) = (parts.collect(), now.in_flight);
        Some(Self { backend: labels.backend.clone(), rate: count / seconds, results, in_flight, p50, p99 })
    }
}

/// The requests since the first reading. A counter that fell has restarted from 0.
fn requests(before: Option<&Choice>, now: &Choice) -> f64 {
    let before = before.map_or(0.0, |before| before.requests);
    if now.requests >= before { now.requests - before } else { now.requests }
}

fn since(now: &BTreeMap<String, f64>, before: Option<&BTreeMap<String, f64>>) -> BTreeMap<String, f64> {
    let earlier = |name: &str| before.and_then(|before| before.get(name)).copied().unwrap_or_default();
    now.iter().map(|(name, count)| (name.clone(), (count - earlier(name)).max(0.0))).collect()
}

fn quantiles(now: &Times, before: Option<&Times>) -> (Option<f64>, Option<f64>) {
    let times = before.map_or_else(|| now.clone(), |before| now.since(before));
    (times.quantile(0.5), times.quantile(0.99))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn numbers(taken: Instant, requests: [f64; 2], failed: f64) -> Numbers {
        let labels = |backend: &str| Labels { endpoint: "e".into(), cohort: String::new(), backend: backend.into() };
        let choice = |requests: f64, failed: f64| Choice {
            asked: Some(0.5),
            requests,
            responses: [("2xx".to_owned(), requests - failed), ("5xx".to_owned(), failed)].into(),
            times: Times::default(),
        };
        let [a, b] = requests;
        let choices = [(labels("a"), choice(a, failed)), (labels("b"), choice(b, 0.0))].into();
        let (shadows, misrouted) = (BTreeMap::new(), BTreeMap::new());
        Numbers {
            taken,
            policies: BTreeMap::new(),
            refused: BTreeSet::new(),
            choices,
            shadows,
            misrouted,
            has_any: true,
        }
    }

    #[test]
    fn rates_and_shares_are_those_of_the_window() {
        let start = Instant::now();
        let first = numbers(start, [100.0, 100.0], 50.0);
        let last = numbers(start + Duration::from_secs(10), [130.0, 110.0], 53.0);
        let picture = Picture::between(&first, &last);
        let [Group { choices, .. }] = picture.groups.as_slice() else { panic!("{} groups", picture.groups.len()) };
        let [a, b] = choices.as_slice() else { panic!("{} rows", choices.len()) };
        assert_eq!((a.rate, a.seen, b.rate, b.seen), (3.0, Some(0.75), 1.0, Some(0.25)));
        assert_eq!((a.errors, a.is_bad(), b.errors, b.is_bad()), (Some(0.1), true, Some(0.0), false));
    }

    #[test]
    fn a_counter_that_fell_has_restarted() {
        let start = Instant::now();
        let first = numbers(start, [100.0, 0.0], 0.0);
        let last = numbers(start + Duration::from_secs(10), [20.0, 0.0], 0.0);
        assert_eq!(Picture::between(&first, &last).groups[0].choices[0].rate, 2.0);
    }
}
