//! The policy, ready: no part of it can fail while a request waits.

use std::sync::Arc;

use crate::affinity::Affinity;
use crate::config::IfInvalid;
use crate::ids::ChoiceId;
use crate::matching::{Conditions, Match};
use crate::names::{ClusterName, CohortName, EndpointName, FilterStateName, HeaderName, PolicyName};
use crate::shadow::Shadow;
use crate::traffic::Traffic;

/// A traffic policy in force. Made by [`Policy::from_json`].
#[derive(Debug, PartialEq)]
pub struct Policy {
    /// Which policy it is, where a proxy runs several; `None` without a name.
    pub name: Option<PolicyName>,
    /// What becomes of the document if it has errors.
    pub if_invalid: IfInvalid,
    /// The request header that the Envoy route's `cluster_header` names.
    pub routing_header: HeaderName,
    /// The response header that names the serving backend; `None` adds none.
    pub response_header: Option<HeaderName>,
    /// The request header that names the serving backend to the upstream; `None` sets none.
    pub request_header: Option<HeaderName>,
    /// The filter state that contains the decision; `None` sets none.
    pub filter_state: Option<FilterStateName>,
    /// Whether responses are counted.
    pub counts_responses: bool,
    /// A hash of what the policy says: equal on every proxy with the same policy, however its
    /// document is laid out. It has 53 bits, so that a double holds it. It is no protection against
    /// forgery.
    pub hash: u64,
    /// The cluster for a request that no endpoint matches; `None` removes the routing header from
    /// it.
    pub default_cluster: Option<ClusterName>,
    /// The request headers that steer Envoy's own mirrors, each once. Those of shadows that are
    /// switched off are among them, since the route may still mirror by them.
    pub mirror_headers: Vec<HeaderName>,
    /// The endpoints, in the order in which they are tried.
    pub endpoints: Vec<Endpoint>,
    /// The distinct conditions of the endpoints; `None` if there are few.
    pub conditions: Option<Conditions>,
}

/// An endpoint: the requests that it takes, their traffic and shadows, and its cohorts.
#[derive(Debug, PartialEq)]
pub struct Endpoint {
    /// Unique in the policy.
    pub name: EndpointName,
    /// Which requests it takes.
    pub matching: Match,
    /// Where it finds the shard key; `None` without affinity.
    pub affinity: Option<Affinity>,
    /// The plan for its requests that are in no cohort.
    pub plan: Plan,
    /// Its cohorts, in the order in which they are tried.
    pub cohorts: Vec<Cohort>,
}

/// A group of an endpoint's requests with its own traffic. It shares the endpoint's affinity.
#[derive(Debug, PartialEq)]
pub struct Cohort {
    /// Unique in the endpoint.
    pub name: CohortName,
    /// Which of the endpoint's requests it takes.
    pub matching: Match,
    /// The plan for its requests.
    pub plan: Plan,
}

/// Where requests go, and which shadows copy them.
#[derive(Debug, PartialEq)]
pub struct Plan {
    /// The backends that serve.
    pub traffic: Traffic,
    /// The number of the first of its backends. Those of all plans of a policy are numbered.
    pub first_choice: ChoiceId,
    /// The shadows that copy.
    pub shadows: Vec<Arc<Shadow>>,
}

impl Policy {
    /// How many different headers a decision may ask for, pseudo-headers included.
    pub fn headers_asked(&self) -> usize {
        let mut headers: Vec<&str> = self.endpoints.iter().flat_map(Endpoint::headers).collect();
        headers.sort_unstable();
        headers.dedup();
        headers.len()
    }

    /// How many backends can be chosen, each counted once per endpoint and cohort.
    pub fn choices(&self) -> usize {
        self.endpoints.iter().flat_map(Endpoint::plans).map(|plan| plan.traffic.count()).sum()
    }

    /// The traffic of each endpoint, without a cohort, and of each of its cohorts.
    pub fn traffics(&self) -> impl Iterator<Item = (&Endpoint, Option<&Cohort>, &Traffic)> {
        self.endpoints.iter().flat_map(|endpoint| {
            let cohorts = endpoint.cohorts.iter().map(move |cohort| (endpoint, Some(cohort), &cohort.plan.traffic));
            std::iter::once((endpoint, None, &endpoint.plan.traffic)).chain(cohorts)
        })
    }

    /// All shadows, in the order of their ids.
    pub fn shadows(&self) -> impl Iterator<Item = &Shadow> {
        self.endpoints.iter().flat_map(Endpoint::plans).flat_map(|plan| &plan.shadows).map(AsRef::as_ref)
    }
}

impl Endpoint {
    /// The traffic of its requests that are in no cohort.
    pub fn traffic(&self) -> &Traffic {
        &self.plan.traffic
    }

    /// The shadows of its requests that are in no cohort.
    pub fn shadows(&self) -> impl Iterator<Item = &Shadow> {
        self.plan.shadows.iter().map(AsRef::as_ref)
    }

    /// The plan of the endpoint, and then those of its cohorts.
    pub(crate) fn plans(&self) -> impl Iterator<Item = &Plan> {
        std::iter::once(&self.plan).chain(self.cohorts.iter().map(|cohort| &cohort.plan))
    }

    /// The headers that a decision about a request of this endpoint may ask for, some repeatedly.
    fn headers(&self) -> impl Iterator<Item = &str> {
        let of_cohorts = self.cohorts.iter().flat_map(|cohort| cohort.matching.headers());
        let of_key = self.affinity.iter().flat_map(Affinity::headers);
        self.matching.headers().chain(of_cohorts).chain(of_key)
    }
}

impl Cohort {
    /// Its traffic.
    pub fn traffic(&self) -> &Traffic {
        &self.plan.traffic
    }

    /// Its shadows: its own and those that it inherits.
    pub fn shadows(&self) -> impl Iterator<Item = &Shadow> {
        self.plan.shadows.iter().map(AsRef::as_ref)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(endpoints: &str) -> Policy {
        Policy::from_json(format!(r#"{{"endpoints": [{endpoints}]}}"#).as_bytes()).unwrap().policy
    }

    #[test]
    fn all_of_a_policy_can_be_listed() {
        let policy = policy(
            r#"{"name": "plain", "route": "/plain", "traffic": {"v1": 1, "v0": 0}, "affinity": null},
               {"name": "rank", "methods": ["GET"], "traffic": {"v2": 25, "v1": 75}, "shadow": {"s1": 0.5, "s2": 1},
                "cohorts": [
                  {"name": "beta", "match": {"cookies": [{"name": "beta", "present": true}]}, "traffic": {"v3": 1},
                   "shadow": {"s1": 0}},
                  {"name": "all", "match": {}, "traffic": {"v1": 1}}
                ]}"#,
        );
        let shares = |traffic: &Traffic| {
            traffic.shares().map(|(backend, share)| format!("{} {share}", backend.name)).collect::<Vec<_>>().join(", ")
        };
        let traffics = policy.traffics().map(|(endpoint, cohort, traffic)| {
            (&*endpoint.name, cohort.map_or("-", |cohort| &*cohort.name), shares(traffic))
        });
        assert_eq!(
            traffics.collect::<Vec<_>>(),
            [
                ("plain", "-", "v1 1".to_owned()),
                ("rank", "-", "v1 0.75, v2 0.25".to_owned()),
                ("rank", "beta", "v3 1".to_owned()),
                ("rank", "all", "v1 1".to_owned()),
            ]
        );
        assert_eq!(policy.choices(), 5);
        let shadow = |shadow: &Shadow| {
            (shadow.id.index(), shadow.entry.id.index(), shadow.entry.backend.name.to_string(), shadow.fraction())
        };
        let of_rank = [(0, 0, "s1".to_owned(), 0.5), (1, 1, "s2".to_owned(), 1.0)];
        let of_beta = [(2, 1, "s2".to_owned(), 1.0)];
        let of_all = [(3, 0, "s1".to_owned(), 0.5), (4, 1, "s2".to_owned(), 1.0)];
        assert_eq!(policy.shadows().map(shadow).collect::<Vec<_>>(), [&of_rank[..], &of_beta, &of_all].concat());
        let endpoints: Vec<_> = policy.endpoints.iter().collect();
        let [plain, rank] = endpoints[..] else { panic!("{endpoints:?}") };
        assert_eq!(
            (plain.matching.to_string(), rank.matching.to_string()),
            ("path is under /plain".into(), "method is GET".into())
        );
        assert!(plain.affinity.is_none() && rank.affinity.is_some());
        assert_eq!(plain.shadows().count() + plain.cohorts.len(), 0);
        assert_eq!(rank.shadows().map(shadow).collect::<Vec<_>>(), of_rank);
        let cohorts: Vec<_> = rank.cohorts.iter().collect();
        let [beta, all] = cohorts[..] else { panic!("{cohorts:?}") };
        assert_eq!(
            (beta.matching.to_string(), all.matching.to_string()),
            ("cookie beta is there".into(), "any request".into())
        );
        assert_eq!(beta.shadows().map(shadow).collect::<Vec<_>>(), of_beta);
        assert_eq!(all.shadows().map(shadow).collect::<Vec<_>>(), of_all);
    }

    #[test]
    fn the_headers_that_a_decision_may_ask_for_are_counted_once_each() {
        let asking = r#"{"name": "asking", "route": "/a", "methods": ["GET"],
            "match": [{"hosts": ["a.example"], "headers": [{"name": "X-A", "exact": "1"}]},
                      {"query": [{"name": "q", "exact": "1"}], "source_ip": ["10.0.0.0/8"],
                       "properties": [{"path": ["p"], "exact": "1"}]}],
            "affinity": {"keys": [{"header": "x-user"}, {"query": "uid"}, {"source_ip": true}]},
            "traffic": {"v1": 1},
            "cohorts": [{"name": "c", "match": {"cookies": [{"name": "beta", "exact": "1"}]}, "traffic": {"v1": 1}}]}"#;
        let silent = r#"{"name": "silent", "traffic": {"v1": 1}, "affinity": null}"#;
        let endpoints = policy(&format!("{asking}, {silent}")).endpoints;
        let mut headers: Vec<_> = endpoints[0].headers().collect();
        headers.sort_unstable();
        headers.dedup();
        assert_eq!(headers, [":authority", ":method", ":path", "cookie", "x-a", "x-user"]);
        assert_eq!(endpoints[1].headers().count(), 0);
        for (endpoints, expected) in
            [(silent.to_owned(), 0), (asking.to_owned(), 6), (format!("{asking}, {silent}"), 6)]
        {
            assert_eq!(policy(&endpoints).headers_asked(), expected, "{endpoints}");
        }
    }
}
