//! Defines each metric once, and publishes the policy in force.

use std::mem;

use fnv::FnvHashMap;
use policy::metrics::{Kind, Labels, Metric};
use policy::{Policy, StatusClass};

/// Publishes metrics.
pub trait Publisher {
    /// Defines a metric; `None` if the host refuses.
    fn define(&self, kind: Kind, name: &str) -> Option<MetricId>;

    /// Sets the value of a gauge.
    fn set(&self, gauge: MetricId, value: u64);
}

/// The id that the host gave to a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricId(pub u32);

/// The number of a metric in its [`Registry`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct MetricNumber(usize);

/// All metrics of a VM.
///
/// They outlive the policies. The host keeps each definition forever, so that a policy that changes
/// once per second must not define the same metrics again.
#[derive(Debug, Default)]
pub struct Registry<P> {
    publisher: P,
    numbers: FnvHashMap<String, MetricNumber>,
    /// By number.
    ids: Vec<Option<MetricId>>,
    /// By number: whether the metric is a share that the published policy asks for.
    is_share: Vec<bool>,
    /// The hash of the policy that this VM published last.
    published: u64,
}

impl<P: Publisher> Registry<P> {
    /// The id of a metric, which is defined if it is new; `None` if the host refused it.
    pub fn id(&mut self, kind: Kind, name: String) -> Option<MetricId> {
        let number = self.number(kind, name);
        self.ids.get(number.0).copied().flatten()
    }

    /// Publishes `policy` as the one in force, by this version of the filter: its hash, the shares
    /// that it asks for, and the counters of good and bad responses and of misrouted requests, which
    /// are 0 at first: Prometheus' `increase` misses the first value of a series.
    pub fn publish(&mut self, policy: &Policy, version: &str) {
        let before = mem::take(&mut self.is_share);
        for endpoint in &policy.endpoints {
            let labels = Labels::of_endpoint(&endpoint.name);
            self.number(Metric::Misrouted.kind(), labels.stat(Metric::Misrouted, ""));
        }
        for (endpoint, cohort, traffic) in policy.traffics() {
            for (backend, share) in traffic.shares() {
                let cohort = cohort.map(|cohort| &*cohort.name);
                let labels = Labels::of_backend(&endpoint.name, cohort, &backend.name);
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 1,000,000")]
                let millionths = (share * 1e6).round() as u64;
                self.share(&labels, millionths);
                if policy.counts_responses {
                    self.good_and_bad(&labels, Metric::Responses);
                }
            }
        }
        for shadow in policy.shadows().filter(|shadow| shadow.callout().is_some()) {
            let labels = Labels::of_backend(&shadow.endpoint, shadow.cohort.as_deref(), &shadow.entry.backend.name);
            self.good_and_bad(&labels, Metric::Shadow);
        }
        // A series never ends. The shares that only an earlier policy asked for are 0 now.
        for (number, (id, was_share)) in self.ids.iter().zip(before).enumerate() {
            if let (Some(id), true, Some(false) | None) = (id, was_share, self.is_share.get(number)) {
                self.publisher.set(*id, 0);
            }
        }
        self.published = policy.hash;
        if let Some(id) = self.id(Metric::PolicyInfo.kind(), Labels::default().stat(Metric::PolicyInfo, version)) {
            self.publisher.set(id, policy.hash);
        }
    }

    /// The hash of the policy that this VM published last; 0 before the first.
    pub fn published(&self) -> u64 {
        self.published
    }

    /// Publishes how many root contexts run the policy in force.
    pub fn publish_contexts(&mut self, count: u64) {
        let metric = Metric::PolicyContexts;
        if let Some(id) = self.id(metric.kind(), Labels::default().stat(metric, "")) {
            self.publisher.set(id, count);
        }
    }

    fn number(&mut self, kind: Kind, name: String) -> MetricNumber {
        if let Some(number) = self.numbers.get(&name) {
            return *number;
        }
        let number = MetricNumber(self.ids.len());
        self.ids.push(self.publisher.define(kind, &name));
        self.numbers.insert(name, number);
        number
    }

    fn good_and_bad(&mut self, labels: &Labels, metric: Metric) {
        for class in [StatusClass::Success, StatusClass::ServerError] {
            self.number(metric.kind(), labels.stat(metric, class.name()));
        }
    }

    fn share(&mut self, labels: &Labels, millionths: u64) {
        let MetricNumber(number) = self.number(Metric::TrafficShare.kind(), labels.stat(Metric::TrafficShare, ""));
        if self.is_share.len() <= number {
            self.is_share.resize(number + 1, false);
        }
        if let (Some(is_share), Some(Some(id))) = (self.is_share.get_mut(number), self.ids.get(number)) {
            *is_share = true;
            self.publisher.set(*id, millionths);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// A host that keeps definitions, and the values of gauges.
    #[derive(Default)]
    struct Host(RefCell<Vec<(String, Option<u64>)>>);

    impl Publisher for Host {
        fn define(&self, _kind: Kind, name: &str) -> Option<MetricId> {
            let mut metrics = self.0.borrow_mut();
            metrics.push((name.to_owned(), None));
            (name != "refused").then(|| MetricId(u32::try_from(metrics.len() - 1).unwrap()))
        }

        fn set(&self, gauge: MetricId, value: u64) {
            self.0.borrow_mut()[gauge.0 as usize].1 = Some(value);
        }
    }

    impl Registry<Host> {
        /// The value of the gauge of this name.
        fn gauge(&self, name: &str) -> Option<u64> {
            let metrics = self.publisher.0.borrow();
            let defined: Vec<_> = metrics.iter().filter(|(known, _)| known == name).collect();
            assert!(defined.len() <= 1, "{name} is defined {} times", defined.len());
            defined.first().and_then(|(_, value)| *value)
        }

        fn gauge_of_share(&self, backend: &str) -> Option<u64> {
            self.gauge(&Labels::of_backend("e", None, backend).stat(Metric::TrafficShare, ""))
        }
    }

    fn policy(traffic: &str) -> Policy {
        let json = format!(r#"{{"endpoints": [{{"name": "e", "traffic": {traffic}}}]}}"#);
        Policy::from_json(json.as_bytes()).unwrap().policy
    }

    #[test]
    fn a_metric_is_defined_once() {
        let mut registry = Registry::<Host>::default();
        let first = registry.id(Kind::Counter, "a".into());
        assert_ne!(registry.id(Kind::Counter, "b".into()), first);
        assert_eq!(registry.id(Kind::Counter, "a".into()), first);
        assert_eq!(registry.id(Kind::Gauge, "refused".into()), None);
        assert_eq!(registry.id(Kind::Gauge, "refused".into()), None);
        assert_eq!(registry.publisher.0.borrow().len(), 3);
    }

    #[test]
    fn a_policy_in_force_has_its_hash_and_its_shares() {
        let mut registry = Registry::<Host>::default();
        let policy = policy(r#"{"v1": 0.75, "v2": 0.25}"#);
        registry.publish(&policy, "1.2.3");
        assert_eq!(registry.gauge("version=.=1.2.3;.;traffic_policy_policy_info"), Some(policy.hash));
        assert_eq!((registry.gauge_of_share("v1"), registry.gauge_of_share("v2")), (Some(750_000), Some(250_000)));
    }

    #[test]
    fn a_policy_in_force_has_the_series_that_alerts_wait_for() {
        let mut registry = Registry::<Host>::default();
        let json = br#"{"endpoints": [{"name": "e", "traffic": {"v1": 0.9, "v2": 0.1}, "shadow": {"s": 0.5}}]}"#;
        registry.publish(&Policy::from_json(json).unwrap().policy, "1");
        let labels = |backend| Labels::of_backend("e", None, backend);
        let is_defined = |name: &str| registry.publisher.0.borrow().iter().any(|(known, _)| known == name);
        for class in ["2xx", "5xx"] {
            for backend in ["v1", "v2"] {
                assert!(is_defined(&labels(backend).stat(Metric::Responses, class)), "{backend} {class}");
            }
            assert!(is_defined(&labels("s").stat(Metric::Shadow, class)), "{class}");
        }
        assert!(is_defined(&Labels::of_endpoint("e").stat(Metric::Misrouted, "")));
        assert!(!is_defined(&labels("v1").stat(Metric::Responses, "4xx")));
    }

    #[test]
    fn a_share_that_only_an_earlier_policy_asked_for_is_zero() {
        let mut registry = Registry::<Host>::default();
        let (old, new) = (policy(r#"{"v1": 0.75, "v2": 0.25}"#), policy(r#"{"v1": 0.5, "v3": 0.5}"#));
        let shares = |registry: &Registry<Host>| ["v1", "v2", "v3"].map(|backend| registry.gauge_of_share(backend));
        registry.publish(&old, "1");
        registry.publish(&new, "1");
        assert_eq!(shares(&registry), [Some(500_000), Some(0), Some(500_000)]);
        registry.publish(&old, "1");
        assert_eq!(shares(&registry), [Some(750_000), Some(250_000), Some(0)]);
    }

    #[test]
    fn the_policy_that_was_published_last_is_known() {
        let mut registry = Registry::<Host>::default();
        assert_eq!(registry.published(), 0);
        let policy = policy(r#"{"v1": 1}"#);
        registry.publish(&policy, "1");
        assert_eq!(registry.published(), policy.hash);
        registry.publish_contexts(3);
        assert_eq!(registry.gauge("traffic_policy_policy_contexts"), Some(3));
    }
}
