//! Defines each metric once, and publishes the policy in force.

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
    /// What this VM published last for each plugin.
    published: Vec<Published>,
}

/// What a plugin serves.
#[derive(Clone, Copy, Debug)]
pub struct Serving<'a> {
    /// The policy that decides; `None` if requests pass.
    pub policy: Option<&'a Policy>,
    /// The name of that policy, or else of the one that was refused.
    pub name: Option<&'a str>,
    /// Both in one number: see [`standing`](crate::publication::standing).
    pub standing: u64,
    /// Whether the last policy was refused.
    pub is_refused: bool,
}

/// What a VM has published for a plugin.
#[derive(Debug)]
struct Published {
    plugin: String,
    standing: u64,
    /// By number: whether it is a gauge of the plugin.
    is_gauge: Vec<bool>,
}

impl<P: Publisher> Registry<P> {
    /// The id of a metric, which is defined if it is new; `None` if the host refused it.
    pub fn id(&mut self, kind: Kind, name: String) -> Option<MetricId> {
        let number = self.number(kind, name);
        self.ids.get(number.0).copied().flatten()
    }

    /// Publishes what `plugin` serves, by this version of the filter: the hash of the policy, the
    /// shares that it asks for, and the counters of good and bad responses and of misrouted requests,
    /// which are 0 at first: Prometheus' `increase` misses the first value of a series.
    pub fn publish(&mut self, plugin: &str, serving: Serving<'_>, version: &str) {
        let Serving { policy, name, standing, is_refused } = serving;
        let mut is_gauge = vec![false; self.ids.len()];
        if let Some(policy) = policy {
            self.publish_policy(policy, &mut is_gauge);
        }
        let labels = Labels::of_policy(name);
        let hash = policy.map_or(0, |policy| policy.hash);
        self.publish_gauge(Metric::PolicyInfo, labels.stat(Metric::PolicyInfo, version), Some(hash), &mut is_gauge);
        self.publish_gauge(Metric::Refused, labels.stat(Metric::Refused, ""), Some(is_refused.into()), &mut is_gauge);
        self.publish_gauge(Metric::PolicyContexts, labels.stat(Metric::PolicyContexts, ""), None, &mut is_gauge);
        let of_plugin = self.published.iter().position(|published| published.plugin == plugin);
        let before = of_plugin.map(|n| self.published.swap_remove(n)).map(|published| published.is_gauge);
        self.published.push(Published { plugin: plugin.to_owned(), standing, is_gauge });
        // A series never ends. What only an earlier policy has is 0 now.
        for (n, was_gauge) in before.iter().flatten().enumerate() {
            if *was_gauge && !self.published.iter().any(|published| published.is_gauge.get(n) == Some(&true)) {
                self.set(MetricNumber(n), 0);
            }
        }
    }

    fn publish_policy(&mut self, policy: &Policy, is_gauge: &mut Vec<bool>) {
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
                let share = labels.stat(Metric::TrafficShare, "");
                self.publish_gauge(Metric::TrafficShare, share, Some(millionths), is_gauge);
                if policy.counts_responses {
                    self.good_and_bad(&labels, Metric::Responses);
                }
            }
        }
        for shadow in policy.shadows().filter(|shadow| shadow.callout().is_some()) {
            let labels = Labels::of_backend(&shadow.endpoint, shadow.cohort.as_deref(), &shadow.entry.backend.name);
            self.good_and_bad(&labels, Metric::Shadow);
        }
    }

    /// What this VM published last for `plugin`, as [`Serving::standing`]; 0 before the first.
    pub fn published(&self, plugin: &str) -> u64 {
        self.published.iter().find(|published| published.plugin == plugin).map_or(0, |published| published.standing)
    }

    /// Publishes how many root contexts run the policy in force, which has this name.
    pub fn publish_contexts(&mut self, name: Option<&str>, count: u64) {
        let metric = Metric::PolicyContexts;
        let number = self.number(metric.kind(), Labels::of_policy(name).stat(metric, ""));
        self.set(number, count);
    }

    /// Notes a gauge of a plugin, and sets it.
    fn publish_gauge(&mut self, metric: Metric, name: String, value: Option<u64>, is_gauge: &mut Vec<bool>) {
        let number = self.number(metric.kind(), name);
        if is_gauge.len() <= number.0 {
            is_gauge.resize(number.0 + 1, false);
        }
        if let Some(is_gauge) = is_gauge.get_mut(number.0) {
            *is_gauge = true;
        }
        if let Some(value) = value {
            self.set(number, value);
        }
    }

    fn set(&self, gauge: MetricNumber, value: u64) {
        if let Some(Some(id)) = self.ids.get(gauge.0) {
            self.publisher.set(*id, value);
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

        /// Publishes a policy that serves for `plugin`.
        fn serve(&mut self, plugin: &str, policy: &Policy, version: &str) {
            let name = policy.name.as_deref();
            let serving = Serving { policy: Some(policy), name, standing: policy.hash, is_refused: false };
            self.publish(plugin, serving, version);
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
        registry.serve("p", &policy, "1.2.3");
        assert_eq!(registry.gauge("version=.=1.2.3;.;traffic_policy_policy_info"), Some(policy.hash));
        assert_eq!((registry.gauge_of_share("v1"), registry.gauge_of_share("v2")), (Some(750_000), Some(250_000)));
    }

    #[test]
    fn a_policy_in_force_has_the_series_that_alerts_wait_for() {
        let mut registry = Registry::<Host>::default();
        let json = br#"{"endpoints": [{"name": "e", "traffic": {"v1": 0.9, "v2": 0.1}, "shadow": {"s": 0.5}}]}"#;
        registry.serve("p", &Policy::from_json(json).unwrap().policy, "1");
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
        registry.serve("p", &old, "1");
        registry.serve("p", &new, "1");
        assert_eq!(shares(&registry), [Some(500_000), Some(0), Some(500_000)]);
        registry.serve("p", &old, "1");
        assert_eq!(shares(&registry), [Some(750_000), Some(250_000), Some(0)]);
    }

    #[test]
    fn the_policy_that_was_published_last_is_known() {
        let mut registry = Registry::<Host>::default();
        assert_eq!(registry.published("p"), 0);
        let policy = policy(r#"{"v1": 1}"#);
        registry.serve("p", &policy, "1");
        assert_eq!((registry.published("p"), registry.published("q")), (policy.hash, 0));
        registry.publish_contexts(None, 3);
        assert_eq!(registry.gauge("traffic_policy_policy_contexts"), Some(3));
    }

    fn named(name: &str, backend: &str) -> Policy {
        let json =
            format!(r#"{{"name": "{name}", "endpoints": [{{"name": "{backend}", "traffic": {{"{backend}": 1}}}}]}}"#);
        Policy::from_json(json.as_bytes()).unwrap().policy
    }

    fn share(registry: &Registry<Host>, backend: &str) -> Option<u64> {
        registry.gauge(&Labels::of_backend(backend, None, backend).stat(Metric::TrafficShare, ""))
    }

    #[test]
    fn the_policies_of_two_plugins_are_published_apart() {
        let mut registry = Registry::<Host>::default();
        let (a, b) = (named("a", "v1"), named("b", "v2"));
        registry.serve("p", &a, "1");
        registry.serve("q", &b, "1");
        let info = |registry: &Registry<Host>, name: &str| {
            registry.gauge(&Labels::of_policy(Some(name)).stat(Metric::PolicyInfo, "1"))
        };
        assert_eq!((info(&registry, "a"), info(&registry, "b")), (Some(a.hash), Some(b.hash)));
        assert_eq!((share(&registry, "v1"), share(&registry, "v2")), (Some(1_000_000), Some(1_000_000)));
        // A new name ends the series of the name before, and those of the other plugin stay.
        let c = named("c", "v3");
        registry.serve("p", &c, "1");
        assert_eq!(
            [info(&registry, "a"), info(&registry, "b"), info(&registry, "c")],
            [Some(0), Some(b.hash), Some(c.hash)]
        );
        assert_eq!(
            ["v1", "v2", "v3"].map(|backend| share(&registry, backend)),
            [Some(0), Some(1_000_000), Some(1_000_000)]
        );
    }

    #[test]
    fn a_refused_policy_has_its_gauge_and_the_series_of_the_policy_that_serves() {
        let mut registry = Registry::<Host>::default();
        let policy = named("a", "v1");
        let refused = |registry: &Registry<Host>| registry.gauge("policy=.=a;.;traffic_policy_refused");
        let info = |registry: &Registry<Host>| registry.gauge("policy=.=a;.;version=.=1;.;traffic_policy_policy_info");
        let passing = Serving { policy: None, name: Some("a"), standing: 9, is_refused: true };
        registry.publish("p", passing, "1");
        assert_eq!((refused(&registry), info(&registry)), (Some(1), Some(0)));
        registry.serve("p", &policy, "1");
        assert_eq!(
            (refused(&registry), info(&registry), share(&registry, "v1")),
            (Some(0), Some(policy.hash), Some(1_000_000))
        );
        registry.publish("p", Serving { policy: Some(&policy), ..passing }, "1");
        assert_eq!(
            (refused(&registry), info(&registry), share(&registry, "v1")),
            (Some(1), Some(policy.hash), Some(1_000_000))
        );
    }
}
