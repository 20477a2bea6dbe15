//! Counts requests, responses and copies.
//!
//! The labels of a series come from the policy, so that there are no more series than it has names.
//! A series exists once it has counted something.

use std::cell::{Cell, OnceCell, RefCell};

use policy::metrics::{Labels, Metric, NO_RESPONSE, Part};
use policy::shadow::{Outcome, Shadow};
use policy::{Decision, Reason, StatusClass};

use super::host;
use crate::registry::{MetricId, Registry, Serving};

/// The version of the filter.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

thread_local! {
    static REGISTRY: RefCell<Registry<host::Metrics>> = RefCell::default();
}

/// Publishes what `plugin` serves.
pub(super) fn publish(plugin: &str, serving: Serving<'_>) {
    REGISTRY.with_borrow_mut(|registry| registry.publish(plugin, serving, VERSION));
}

/// The standing that this VM published last for `plugin`; 0 before the first.
pub(super) fn published(plugin: &str) -> u64 {
    REGISTRY.with_borrow(|registry| registry.published(plugin))
}

/// Publishes how many root contexts run the policy in force, which has this name.
pub(super) fn publish_contexts(name: Option<&str>, count: u64) {
    REGISTRY.with_borrow_mut(|registry| registry.publish_contexts(name, count));
}

/// Counts the requests to one backend of one endpoint and cohort.
#[derive(Debug)]
pub(super) struct Choice {
    labels: Labels,
    endpoint: Labels,
    requests: [OnceCell<Option<MetricId>>; Reason::COUNT],
    /// By the first digit of the status; 0 is for requests without a response.
    responses: [OnceCell<Option<MetricId>>; 1 + StatusClass::ALL.len()],
    response_time: OnceCell<Option<MetricId>>,
    misrouted: OnceCell<Option<MetricId>>,
    /// Whether one of its responses was that of a gRPC call.
    has_grpc: Cell<bool>,
}

impl Choice {
    /// The counters of a decision.
    pub(super) fn new(decision: &Decision<'_>) -> Self {
        let cohort = decision.cohort.map(|cohort| &*cohort.name);
        Self {
            labels: Labels::of_backend(&decision.endpoint.name, cohort, &decision.backend.name),
            endpoint: Labels::of_endpoint(&decision.endpoint.name),
            requests: Default::default(),
            responses: Default::default(),
            response_time: OnceCell::new(),
            misrouted: OnceCell::new(),
            has_grpc: Cell::new(false),
        }
    }

    /// Counts a request that was decided.
    pub(super) fn count(&self, reason: Reason) {
        let Some(counter) = self.requests.get(reason as usize) else { return };
        add(*counter.get_or_init(|| define(Metric::Requests, &self.labels, reason.name())), 1);
    }

    /// Counts a request that went to another cluster than that of its backend.
    pub(super) fn count_misrouted(&self) {
        add(*self.misrouted.get_or_init(|| define(Metric::Misrouted, &self.endpoint, "")), 1);
    }

    /// The class of the response to a request that was counted; `None` without a response.
    /// `grpc_status` is what its headers or trailers have.
    ///
    /// Plain responses pay nothing for gRPC: without a gRPC status, the content type is read only
    /// for backends that have answered a gRPC call before.
    pub(super) fn class(&self, grpc_status: Option<&[u8]>) -> Option<StatusClass> {
        if (grpc_status.is_some() || self.has_grpc.get())
            && let Some(content_type) = host::grpc_content_type()
        {
            self.has_grpc.set(true);
            match grpc_status {
                Some(status) => return Some(StatusClass::of_grpc(status)),
                None if host::is_grpc_web(&content_type) => {}
                // As gRPC clients see a call that breaks off: CANCELLED, or UNKNOWN.
                None if host::was_cancelled() => return Some(StatusClass::ClientError),
                None => return Some(StatusClass::ServerError),
            }
        }
        StatusClass::of(host::response_status())
    }

    /// Counts the end of a request that was counted.
    pub(super) fn ended(&self, class: Option<StatusClass>, milliseconds: u64) {
        if let Some(counter) = self.responses.get(class.map_or(0, |class| class as usize)) {
            let name = class.map_or(NO_RESPONSE, StatusClass::name);
            add(*counter.get_or_init(|| define(Metric::Responses, &self.labels, name)), 1);
        }
        record(*self.response_time.get_or_init(|| define(Metric::ResponseTime, &self.labels, "")), milliseconds);
    }
}

/// The metrics of one shadow.
#[derive(Debug)]
pub(super) struct ShadowMetrics {
    labels: Labels,
    outcomes: RefCell<Vec<(Outcome, Option<MetricId>)>>,
    response_time: OnceCell<Option<MetricId>>,
    in_flight: OnceCell<Option<MetricId>>,
}

impl ShadowMetrics {
    /// No copy of `shadow` is counted yet.
    pub(super) fn new(shadow: &Shadow) -> Self {
        Self {
            labels: Labels::of_backend(&shadow.endpoint, shadow.cohort.as_deref(), &shadow.entry.backend.name),
            outcomes: RefCell::default(),
            response_time: OnceCell::new(),
            in_flight: OnceCell::new(),
        }
    }

    /// Counts the outcome of a copy.
    pub(super) fn count(&self, outcome: Outcome) {
        let mut outcomes = self.outcomes.borrow_mut();
        let known = outcomes.iter().find(|(known, _)| *known == outcome).map(|(_, id)| *id);
        let id = known.unwrap_or_else(|| {
            let id = define(Metric::Shadow, &self.labels, outcome.name());
            outcomes.push((outcome, id));
            id
        });
        add(id, 1);
    }

    /// Records how long the shadow took to answer.
    pub(super) fn response_time(&self, milliseconds: u64) {
        let id = self.response_time.get_or_init(|| define(Metric::ShadowResponseTime, &self.labels, ""));
        record(*id, milliseconds);
    }

    /// Adds to the copies that wait for their answers, over all workers.
    pub(super) fn in_flight(&self, change: i64) {
        add(*self.in_flight.get_or_init(|| define(Metric::ShadowInFlight, &self.labels, "")), change);
    }

    /// Counts the parts that a copy lacks.
    pub(super) fn omitted(&self, part: Part, count: usize) {
        let id = define(Metric::ShadowOmitted, &self.labels, part.name());
        add(id, i64::try_from(count).unwrap_or(i64::MAX));
    }
}

fn define(metric: Metric, labels: &Labels, value: &str) -> Option<MetricId> {
    REGISTRY.with_borrow_mut(|registry| registry.id(metric.kind(), labels.stat(metric, value)))
}

fn add(id: Option<MetricId>, amount: i64) {
    if let Some(id) = id {
        host::add(id, amount);
    }
}

fn record(id: Option<MetricId>, value: u64) {
    if let Some(id) = id {
        host::record(id, value);
    }
}
