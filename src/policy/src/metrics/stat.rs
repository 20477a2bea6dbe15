//! The names of stats, which carry labels to Envoy.

use super::label::Label;
use super::metric::Metric;

/// The labels of a series, as they stand in the name of its stat.
///
/// A proxy-wasm module has no labels for its metrics. So the name of a stat carries them, each as
/// `key=.=value;.;`, and Envoy's `stats_tags` extract them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Labels(String);

impl Labels {
    /// The labels of a backend of an endpoint, for the requests of a cohort or of none.
    pub fn of_backend(endpoint: &str, cohort: Option<&str>, backend: &str) -> Self {
        let labels = [(Label::Endpoint, Some(endpoint)), (Label::Cohort, cohort), (Label::Backend, Some(backend))];
        let mut text = String::new();
        for (label, value) in labels {
            if let Some(value) = value {
                text += &[label.key(), "=.=", value, ";.;"].concat();
            }
        }
        Self(text)
    }

    /// The label of an endpoint.
    pub fn of_endpoint(endpoint: &str) -> Self {
        Self([Label::Endpoint.key(), "=.=", endpoint, ";.;"].concat())
    }

    /// The label of a policy; none if it has no name.
    pub fn of_policy(name: Option<&str>) -> Self {
        Self(name.map(|name| [Label::Policy.key(), "=.=", name, ";.;"].concat()).unwrap_or_default())
    }

    /// The name of the stat for the series of `metric` with these labels.
    ///
    /// `value` is the value of the label that only this metric has, such as the reason of
    /// [`Metric::Requests`]. A metric without a label of its own ignores it.
    pub fn stat(&self, metric: Metric, value: &str) -> String {
        let Self(labels) = self;
        match metric.own_label() {
            Some(label) => [labels, label.key(), "=.=", value, ";.;", metric.name()].concat(),
            None => [labels, metric.name()].concat(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_stat_carries_the_labels_of_its_series() {
        let (of_endpoint, of_cohort) = (Labels::of_backend("e", None, "b"), Labels::of_backend("e", Some("c"), "b"));
        for (labels, metric, value, expected) in [
            (
                &of_endpoint,
                Metric::ResponseTime,
                "",
                "endpoint=.=e;.;backend=.=b;.;traffic_policy_response_time_milliseconds",
            ),
            (
                &of_endpoint,
                Metric::Responses,
                "5xx",
                "endpoint=.=e;.;backend=.=b;.;code_class=.=5xx;.;traffic_policy_responses_total",
            ),
            (
                &of_cohort,
                Metric::Requests,
                "key",
                "endpoint=.=e;.;cohort=.=c;.;backend=.=b;.;reason=.=key;.;traffic_policy_requests_total",
            ),
            (
                &of_cohort,
                Metric::ShadowInFlight,
                "",
                "endpoint=.=e;.;cohort=.=c;.;backend=.=b;.;traffic_policy_shadow_in_flight",
            ),
            (&Labels::of_endpoint("e"), Metric::Misrouted, "", "endpoint=.=e;.;traffic_policy_misrouted_total"),
            (&Labels::of_policy(None), Metric::PolicyInfo, "1.2.3", "version=.=1.2.3;.;traffic_policy_policy_info"),
            (
                &Labels::of_policy(Some("p")),
                Metric::PolicyInfo,
                "1.2.3",
                "policy=.=p;.;version=.=1.2.3;.;traffic_policy_policy_info",
            ),
            (&Labels::of_policy(Some("p")), Metric::Refused, "", "policy=.=p;.;traffic_policy_refused"),
        ] {
            assert_eq!(labels.stat(metric, value), expected);
        }
    }
}
