//! The policy, ready: nothing is left in it that could fail while a request waits.

use std::fmt;
use std::sync::Arc;

use crate::affinity::Affinity;
use crate::error::PolicyErrors;
use crate::matching::Match;
use crate::shadow::Shadow;
use crate::traffic::Traffic;
use crate::{compile, config};

/// A traffic policy in force. Made by [`Policy::from_json`].
#[derive(Debug, PartialEq)]
pub struct Policy {
    /// The request header that the Envoy route's `cluster_header` names; lower case.
    pub routing_header: String,
    /// The response header that names the serving backend; `None` adds none.
    pub response_header: Option<String>,
    /// The request header that names the serving backend to the upstream; `None` sets none.
    pub request_header: Option<String>,
    /// The name of the filter state that bears the decision; `None` sets none.
    pub filter_state: Option<String>,
    /// Whether responses are counted.
    pub counts_responses: bool,
    /// A hash of what the policy says, of 53 bits, so that a double holds it: equal on every proxy with the same policy,
    /// however its document is laid out. It protects against nothing but mistakes.
    pub hash: u64,
    /// The cluster for a request that no endpoint matches; `None` removes the routing header from it.
    pub default_cluster: Option<String>,
    /// The request headers that steer Envoy's own mirrors; each once.
    pub mirror_headers: Vec<String>,
    pub(crate) endpoints: Vec<Endpoint>,
}

/// What a route exposes: a match, its traffic and its shadows, and its cohorts.
#[derive(Debug, PartialEq)]
pub struct Endpoint {
    /// Unique in the policy.
    pub name: Arc<str>,
    pub(crate) matching: Match,
    pub(crate) affinity: Option<Affinity>,
    pub(crate) plan: Plan,
    pub(crate) cohorts: Vec<Cohort>,
}

/// A group of an endpoint's requests with its own traffic. It shares the endpoint's affinity.
#[derive(Debug, PartialEq)]
pub struct Cohort {
    /// Unique in the endpoint.
    pub name: Arc<str>,
    pub(crate) matching: Match,
    pub(crate) plan: Plan,
}

/// Where requests go, and who gets copies.
#[derive(Debug, PartialEq)]
pub(crate) struct Plan {
    pub(crate) traffic: Traffic,
    /// The number of the first of its backends: those of all plans of a policy are numbered from 0.
    pub(crate) first_backend: usize,
    pub(crate) shadows: Vec<Arc<Shadow>>,
}

/// A policy and what its author should hear about it.
#[derive(Debug, PartialEq)]
pub struct Parsed {
    /// Ready to decide.
    pub policy: Policy,
    /// What is valid but surely not meant.
    pub warnings: Vec<Warning>,
}

/// Something valid but surely not meant, such as an endpoint that no request can reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Where in the document, as `endpoints[1]`.
    pub place: String,
    /// What is odd about it, and what would help.
    pub message: String,
}

impl Policy {
    /// Reads a policy from its JSON text, as the filter gets it from Envoy.
    ///
    /// # Errors
    /// All that is wrong with the policy, each with its place in the document, what is wrong and what would be right.
    /// What makes the document unreadable (JSON syntax, a wrong type, an unknown field) is reported alone, since the
    /// rest can't be judged before it is mended.
    pub fn from_json(json: &[u8]) -> Result<Parsed, PolicyErrors> {
        let (config, hash) = config::read(json)?;
        compile::compile(&config, hash)
    }

    /// How many different headers a decision may ask for, pseudo-headers among them: what it may cost to answer.
    pub fn headers_asked(&self) -> usize {
        let mut headers: Vec<&str> = self.endpoints.iter().flat_map(Endpoint::headers).collect();
        headers.sort_unstable();
        headers.dedup();
        headers.len()
    }

    /// How many backends can be chosen, each counted once for each endpoint and cohort.
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

    /// All shadows, each at the place of its `id`.
    pub fn shadows(&self) -> impl Iterator<Item = &Shadow> {
        self.endpoints.iter().flat_map(Endpoint::plans).flat_map(|plan| &plan.shadows).map(AsRef::as_ref)
    }

    /// The endpoints, in the order in which they are tried.
    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.endpoints.iter()
    }
}

impl Endpoint {
    /// Which requests it takes, in words.
    pub fn matching(&self) -> String {
        self.matching.to_string()
    }

    /// Where it finds the shard key; `None` without affinity.
    pub fn affinity(&self) -> Option<&Affinity> {
        self.affinity.as_ref()
    }

    /// The traffic of its requests that are in no cohort.
    pub fn traffic(&self) -> &Traffic {
        &self.plan.traffic
    }

    /// The shadows of its requests that are in no cohort.
    pub fn shadows(&self) -> impl Iterator<Item = &Shadow> {
        self.plan.shadows.iter().map(AsRef::as_ref)
    }

    /// Its cohorts, in the order in which they are tried.
    pub fn cohorts(&self) -> impl Iterator<Item = &Cohort> {
        self.cohorts.iter()
    }

    /// The plan of the endpoint, and then those of its cohorts.
    pub(crate) fn plans(&self) -> impl Iterator<Item = &Plan> {
        std::iter::once(&self.plan).chain(self.cohorts.iter().map(|cohort| &cohort.plan))
    }

    /// The headers that a decision about a request of this endpoint may ask for, some of them several times.
    fn headers(&self) -> impl Iterator<Item = &str> {
        let of_cohorts = self.cohorts.iter().flat_map(|cohort| cohort.matching.headers());
        let of_key = self.affinity.iter().flat_map(Affinity::headers);
        self.matching.headers().chain(of_cohorts).chain(of_key)
    }
}

impl Cohort {
    /// Which of the endpoint's requests it takes, in words.
    pub fn matching(&self) -> String {
        self.matching.to_string()
    }

    /// Its traffic.
    pub fn traffic(&self) -> &Traffic {
        &self.plan.traffic
    }

    /// Its shadows: its own and those that it inherits.
    pub fn shadows(&self) -> impl Iterator<Item = &Shadow> {
        self.plan.shadows.iter().map(AsRef::as_ref)
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}
