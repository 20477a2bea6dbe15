//! Metrics, labelled by the tags that Envoy's `stats_tags` cut out of their names.
//!
//! A name holds only names of the policy, so that there are no more series than it can name; a series is there once
//! it has counted something.

use std::cell::{OnceCell, RefCell};

use super::host::{self, MetricType};
use crate::decision::{Decision, Reason};
use crate::named::Named;
use crate::policy::Policy;
use crate::shadow::{Outcome, Shadow};

thread_local! {
    /// The ids of all metrics of this VM. It outlives the root contexts: the host keeps a definition for ever, so that
    /// a policy that changes once a second must not define the same metrics again.
    static IDS: RefCell<Named<Option<u32>>> = RefCell::default();
}

/// Counts requests by endpoint, cohort, backend and the reason of the choice.
#[derive(Debug)]
pub(super) struct Requests(Vec<[OnceCell<Option<u32>>; Reason::COUNT]>);

impl Requests {
    pub(super) fn new(policy: &Policy) -> Self {
        let mut counters = Vec::new();
        counters.resize_with(policy.choices(), Default::default);
        Self(counters)
    }

    /// Counts the request that was decided about.
    pub(super) fn count(&self, decision: &Decision<'_>) {
        let counters = self.0.get(decision.choice);
        let Some(counter) = counters.and_then(|counters| counters.get(decision.reason as usize)) else { return };
        let id = counter.get_or_init(|| {
            let cohort = decision.cohort.map(|cohort| &*cohort.name);
            let labels = labels(&decision.endpoint.name, cohort, &decision.backend.name);
            let name = format!("{labels}reason=.={};.;traffic_policy_requests_total", decision.reason.name());
            resolve(MetricType::Counter, name)
        });
        add(*id, 1);
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
    IDS.with_borrow_mut(|ids| {
        if let Some(id) = ids.get(&name) {
            return *id;
        }
        let id = host::define_metric(kind, &name);
        ids.insert(name, id);
        id
    })
}

fn add(id: Option<u32>, amount: i64) {
    if let Some(id) = id {
        host::add(id, amount);
    }
}
