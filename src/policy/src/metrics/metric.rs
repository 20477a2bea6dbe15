//! The metrics: their names, kinds and labels.

use super::label::Label;

/// A metric that the filter publishes: a family of series that differ by their labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Metric {
    /// Requests by the backend that serves them and the reason for it.
    Requests,
    /// Requests that ended, by the class of the status that the client got.
    Responses,
    /// Requests whose cluster was not that of the backend that was chosen, among one in
    /// [`SAMPLED`](Metric::SAMPLED).
    Misrouted,
    /// The time from the request's headers to the end of the response, in milliseconds.
    ResponseTime,
    /// The share that the policy asks for, in millionths.
    TrafficShare,
    /// The hash of the policy in force.
    PolicyInfo,
    /// Root contexts that run the policy in force: one of each worker, and one of the main thread.
    PolicyContexts,
    /// Whether the last policy was refused, and the filter took it all the same: 1 or 0.
    Refused,
    /// Requests that a shadow drew, by the outcome.
    Shadow,
    /// The time from sending the copy to the end of the shadow's answer, in milliseconds.
    ShadowResponseTime,
    /// Copies that wait for their answer.
    ShadowInFlight,
    /// The parts that copies lacked.
    ShadowOmitted,
}

/// What kind of metric it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A sum that only grows.
    Counter,
    /// A value that goes up and down.
    Gauge,
    /// A distribution of values.
    Histogram,
}

impl Metric {
    /// All metrics.
    pub const ALL: [Self; 12] = [
        Self::Requests,
        Self::Responses,
        Self::Misrouted,
        Self::ResponseTime,
        Self::TrafficShare,
        Self::PolicyInfo,
        Self::PolicyContexts,
        Self::Refused,
        Self::Shadow,
        Self::ShadowResponseTime,
        Self::ShadowInFlight,
        Self::ShadowOmitted,
    ];

    /// One request in this many is looked at for [`Metric::Misrouted`].
    pub const SAMPLED: u64 = 1024;

    /// The name that all names of metrics start with.
    pub const PREFIX: &str = "traffic_policy_";

    /// The name of the metric, as Prometheus has it. Series of a histogram add `_bucket`, `_sum` or
    /// `_count`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Requests => "traffic_policy_requests_total",
            Self::Responses => "traffic_policy_responses_total",
            Self::Misrouted => "traffic_policy_misrouted_total",
            Self::ResponseTime => "traffic_policy_response_time_milliseconds",
            Self::TrafficShare => "traffic_policy_traffic_share_millionths",
            Self::PolicyInfo => "traffic_policy_policy_info",
            Self::PolicyContexts => "traffic_policy_policy_contexts",
            Self::Refused => "traffic_policy_refused",
            Self::Shadow => "traffic_policy_shadow_total",
            Self::ShadowResponseTime => "traffic_policy_shadow_response_time_milliseconds",
            Self::ShadowInFlight => "traffic_policy_shadow_in_flight",
            Self::ShadowOmitted => "traffic_policy_shadow_omitted_total",
        }
    }

    /// The metric of this name; `None` if the filter publishes no such metric.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|metric| metric.name() == name)
    }

    /// What kind of metric it is.
    pub fn kind(self) -> Kind {
        match self {
            Self::Requests | Self::Responses | Self::Misrouted | Self::Shadow | Self::ShadowOmitted => Kind::Counter,
            Self::TrafficShare | Self::PolicyInfo | Self::PolicyContexts | Self::Refused | Self::ShadowInFlight => {
                Kind::Gauge
            }
            Self::ResponseTime | Self::ShadowResponseTime => Kind::Histogram,
        }
    }

    /// The keys of its labels, in the order of its stats' names.
    pub fn labels(self) -> impl Iterator<Item = Label> {
        let shared: &[Label] = match self {
            Self::PolicyInfo | Self::PolicyContexts | Self::Refused => &[Label::Policy],
            Self::Misrouted => &[Label::Endpoint],
            _ => &[Label::Endpoint, Label::Cohort, Label::Backend],
        };
        shared.iter().copied().chain(self.own_label())
    }

    /// The label that a series of this metric has beside those of its backend or policy.
    pub(super) fn own_label(self) -> Option<Label> {
        match self {
            Self::Requests => Some(Label::Reason),
            Self::Responses => Some(Label::CodeClass),
            Self::Shadow => Some(Label::Result),
            Self::ShadowOmitted => Some(Label::Part),
            Self::PolicyInfo => Some(Label::Version),
            Self::Misrouted
            | Self::ResponseTime
            | Self::TrafficShare
            | Self::PolicyContexts
            | Self::Refused
            | Self::ShadowResponseTime
            | Self::ShadowInFlight => None,
        }
    }
}

impl Kind {
    /// The name of the kind, as Prometheus has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_found_by_its_name_and_all_names_have_the_prefix() {
        for metric in Metric::ALL {
            assert_eq!(Metric::of_name(metric.name()), Some(metric));
            assert!(metric.name().starts_with(Metric::PREFIX));
        }
        assert_eq!(Metric::of_name("traffic_policy_requests"), None);
    }

    #[test]
    fn a_counter_ends_in_total_and_nothing_else_does() {
        for metric in Metric::ALL {
            assert_eq!(metric.name().ends_with("_total"), metric.kind() == Kind::Counter, "{metric:?}");
        }
    }

    #[test]
    fn each_label_is_that_of_some_metric() {
        for label in Label::ALL {
            assert!(Metric::ALL.into_iter().any(|metric| metric.labels().any(|known| known == label)), "{label:?}");
        }
        let keys: Vec<_> = Metric::Shadow.labels().map(Label::key).collect();
        assert_eq!(keys, ["endpoint", "cohort", "backend", "result"]);
    }
}
