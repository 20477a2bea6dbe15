//! Metrics, labelled by the tags that Envoy's `stats_tags` cut out of their names.
//!
//! A name holds only names of the policy, so that there are no more series than it can name; a series is there once
//! it has counted something.

use std::cell::{OnceCell, RefCell};

use super::host::{self, MetricType};
use fnv::FnvHashMap;
use policy::shadow::{Outcome, Shadow};
use policy::{ChoiceId, Decision, Policy, Reason};

thread_local! {
    /// All metrics of this VM. They outlive the root contexts: the host keeps a definition for ever, so that a policy that
    /// changes once a second must not define the same metrics again.
    static METRICS: RefCell<Metrics> = RefCell::default();
}

/// Metrics by number.
#[derive(Default)]
struct Metrics {
    numbers: FnvHashMap<String, usize>,
    ids: Vec<Option<u32>>,
    /// Whether it is a share that the policy told last asks for.
    is_share: Vec<bool>,
    /// The hash of the policy that was told last.
    told: u64,
    /// How many requests in a row were those of another.
    others: u32,
}

/// Counts requests and responses by endpoint, cohort and backend.
#[derive(Debug)]
pub(super) struct Requests(Vec<Choice>);

/// The metrics of one backend of one endpoint and cohort.
#[derive(Debug, Default)]
struct Choice {
    labels: OnceCell<String>,
    requests: [OnceCell<Option<u32>>; Reason::COUNT],
    responses: [OnceCell<Option<u32>>; CLASSES.len()],
    response_time: OnceCell<Option<u32>>,
}

/// Classes of status codes; the first is of requests that ended without a response.
const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

impl Requests {
    pub(super) fn new(policy: &Policy) -> Self {
        let mut choices = Vec::new();
        choices.resize_with(policy.choices(), Choice::default);
        Self(choices)
    }

    /// Counts the request that was decided about.
    pub(super) fn count(&self, decision: &Decision<'_>) {
        let Some(choice) = self.0.get(decision.choice.index()) else { return };
        let labels = choice.labels.get_or_init(|| {
            let cohort = decision.cohort.map(|cohort| &*cohort.name);
            labels(&decision.endpoint.name, cohort, &decision.backend.name)
        });
        let Some(counter) = choice.requests.get(decision.reason as usize) else { return };
        let name = || format!("{labels}reason=.={};.;traffic_policy_requests_total", decision.reason.name());
        add(*counter.get_or_init(|| resolve(MetricType::Counter, name())), 1);
    }

    /// Counts the end of a request that was counted, with its response's status (0 for none) and the time it took.
    pub(super) fn ended(&self, choice: ChoiceId, status: u64, milliseconds: u64) {
        let Some(choice) = self.0.get(choice.index()) else { return };
        let labels = choice.labels.get().map_or("", String::as_str);
        let class = usize::try_from(status / 100).ok().filter(|class| *class < CLASSES.len()).unwrap_or_default();
        if let (Some(counter), Some(class)) = (choice.responses.get(class), CLASSES.get(class)) {
            let name = || format!("{labels}code_class=.={class};.;traffic_policy_responses_total");
            add(*counter.get_or_init(|| resolve(MetricType::Counter, name())), 1);
        }
        let name = || format!("{labels}traffic_policy_response_time_milliseconds");
        if let Some(id) = choice.response_time.get_or_init(|| resolve(MetricType::Histogram, name())) {
            host::record(*id, milliseconds);
        }
    }
}

/// For a request: tells anew which policy is in force if another was told last. The host may take up again the root context
/// of an earlier policy, without a word to it.
///
/// Only after many requests in a row: two policies may share a VM for a while, and requests of both come by turns.
pub(super) fn still_in_force(policy: &Policy) {
    const MANY: u32 = 100;
    let others = METRICS.with_borrow_mut(|metrics| {
        metrics.others = if metrics.told == policy.hash { 0 } else { metrics.others.saturating_add(1) };
        metrics.others
    });
    if others >= MANY {
        in_force(policy);
    }
}

/// Tells which policy is in force, and the shares that it asks for.
pub(super) fn in_force(policy: &Policy) {
    let before = METRICS.with_borrow_mut(|metrics| std::mem::take(&mut metrics.is_share));
    for (endpoint, cohort, traffic) in policy.traffics() {
        for (backend, share) in traffic.shares() {
            let labels = labels(&endpoint.name, cohort.map(|cohort| &*cohort.name), &backend.name);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 1,000,000")]
            let millionths = (share * 1e6).round() as u64;
            METRICS.with_borrow_mut(|metrics| metrics.share(labels, millionths));
        }
    }
    // A series never ends: what an earlier policy shared out, and this one does not, has nothing now.
    METRICS.with_borrow(|metrics| {
        for (number, (id, was_share)) in metrics.ids.iter().zip(before).enumerate() {
            if let (Some(id), true, Some(false) | None) = (id, was_share, metrics.is_share.get(number)) {
                host::record(*id, 0);
            }
        }
    });
    METRICS.with_borrow_mut(|metrics| (metrics.told, metrics.others) = (policy.hash, 0));
    let info = concat!("version=.=", env!("CARGO_PKG_VERSION"), ";.;traffic_policy_policy_info");
    if let Some(id) = resolve(MetricType::Gauge, info.to_owned()) {
        host::record(id, policy.hash);
    }
}

impl Metrics {
    /// The number of a metric, which is defined now if it is not yet.
    fn number(&mut self, kind: MetricType, name: String) -> usize {
        if let Some(number) = self.numbers.get(&name) {
            return *number;
        }
        let number = self.ids.len();
        self.ids.push(host::define_metric(kind, &name));
        self.numbers.insert(name, number);
        number
    }

    /// Sets a share that the policy in force asks for.
    fn share(&mut self, labels: String, millionths: u64) {
        let number = self.number(MetricType::Gauge, labels + "traffic_policy_traffic_share_millionths");
        if self.is_share.len() <= number {
            self.is_share.resize(number + 1, false);
        }
        if let (Some(is_share), Some(Some(id))) = (self.is_share.get_mut(number), self.ids.get(number)) {
            *is_share = true;
            host::record(*id, millionths);
        }
    }
}

fn labels(endpoint: &str, cohort: Option<&str>, backend: &str) -> String {
    let cohort = cohort.map(|cohort| format!("cohort=.={cohort};.;")).unwrap_or_default();
    format!("endpoint=.={endpoint};.;{cohort}backend=.={backend};.;")
}

/// The metrics of one shadow.
#[derive(Debug)]
pub(super) struct ShadowMetrics {
    labels: String,
    outcomes: RefCell<Vec<(Outcome, Option<u32>)>>,
    response_time: OnceCell<Option<u32>>,
    in_flight: OnceCell<Option<u32>>,
}

impl ShadowMetrics {
    pub(super) fn new(shadow: &Shadow) -> Self {
        Self {
            labels: labels(&shadow.endpoint, shadow.cohort.as_deref(), &shadow.backend.name),
            outcomes: RefCell::default(),
            response_time: OnceCell::new(),
            in_flight: OnceCell::new(),
        }
    }

    /// Counts what became of a copy.
    pub(super) fn count(&self, outcome: Outcome) {
        let mut outcomes = self.outcomes.borrow_mut();
        let known = outcomes.iter().find(|(known, _)| *known == outcome).map(|(_, id)| *id);
        let id = known.unwrap_or_else(|| {
            let name = format!("{}result=.={};.;traffic_policy_shadow_total", self.labels, outcome.name());
            let id = resolve(MetricType::Counter, name);
            outcomes.push((outcome, id));
            id
        });
        add(id, 1);
    }

    /// Records how long the shadow took to answer, in milliseconds.
    pub(super) fn response_time(&self, milliseconds: u64) {
        let name = || format!("{}traffic_policy_shadow_response_time_milliseconds", self.labels);
        if let Some(id) = self.response_time.get_or_init(|| resolve(MetricType::Histogram, name())) {
            host::record(*id, milliseconds);
        }
    }

    /// Adds to the copies that wait for their answer, over all workers.
    pub(super) fn in_flight(&self, change: i64) {
        let name = || format!("{}traffic_policy_shadow_in_flight", self.labels);
        add(*self.in_flight.get_or_init(|| resolve(MetricType::Gauge, name())), change);
    }

    /// Counts what a copy lacks: `trailers`, or a `header` whose value is not UTF-8.
    pub(super) fn omitted(&self, part: &str, count: usize) {
        let name = format!("{}part=.={part};.;traffic_policy_shadow_omitted_total", self.labels);
        add(resolve(MetricType::Counter, name), i64::try_from(count).unwrap_or(i64::MAX));
    }
}

fn resolve(kind: MetricType, name: String) -> Option<u32> {
    METRICS.with_borrow_mut(|metrics| {
        let number = metrics.number(kind, name);
        metrics.ids.get(number).copied().flatten()
    })
}

fn add(id: Option<u32>, amount: i64) {
    if let Some(id) = id {
        host::add(id, amount);
    }
}
