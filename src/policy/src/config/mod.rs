//! The policy as written: the JSON document and its types, before any of it is judged.
//!
//! Strict: an unknown field, a repeated key, a wrong type and a `null` (except for `affinity`) are
//! errors.

mod affinity;
mod annotation;
mod fault;
mod from_node;
mod matching;
mod node;
mod number;
mod read;
#[cfg(feature = "schema")]
mod schema;
mod shadow;
mod synonym;

use from_node::{FromNode, object, word};

use crate::finding::Errors;
#[cfg(feature = "schema")]
use crate::limits::{BACKEND_BYTES, NAME_BYTES, POLICY_NAME_BYTES};
use crate::named::Named;
use crate::place::At;

pub(crate) use affinity::{AffinityConfig, AffinityFields, CookieFields, KeyFields, OnMissing, SameSite};
pub(crate) use matching::{AsConfig, MatchConfig, MatchFields, PathFields, PropertyFields, TextFields, ValueFields};
pub(crate) use node::Node;
pub(crate) use number::{Fraction, Rate, Share, Whole};
pub(crate) use read::read;
#[cfg(feature = "schema")]
pub use schema::schema;
pub(crate) use shadow::{HeadersConfig, Sample, ShadowConfig, ShadowFields, Via};

object! {
    /// The whole document.
    pub struct PolicyConfig {
        /// The name of the policy, where a proxy runs several: in metrics, log lines, the filter state
        /// and the default of `routing_header`. 1 to 40 characters of a-z, 0-9 and -. Default: none.
        #[cfg_attr(feature = "schema", schemars(length(min = 1, max = POLICY_NAME_BYTES), regex(pattern = "^[a-z0-9-]+$")))]
        optional name: String,
        /// What the filter does with this document if it has errors. Default: `refuse`.
        default if_invalid: IfInvalid,
        /// The request header that the Envoy route's `cluster_header` names. Default:
        /// `x-traffic-cluster`, with a name `x-traffic-cluster-NAME`.
        optional routing_header: String,
        /// The response header that names the serving backend. Default: none.
        optional response_header: String,
        /// The request header that names the serving backend to the upstream. Default: none.
        optional request_header: String,
        /// The filter state that contains the decision for access logs, as
        /// `endpoint/cohort/backend/reason`, with `NAME/` in front if the policy has a name. With
        /// `traffic_policy`, an access log prints it by `%FILTER_STATE(wasm.traffic_policy:PLAIN)%`.
        /// Default: none.
        optional filter_state: String,
        /// The cluster for a request that matches no endpoint. Default: none; then the routing header
        /// is removed.
        optional default_cluster: String,
        /// Which metrics are collected.
        default metrics: MetricsConfig,
        /// Backend to its options. A backend that is not listed is the cluster of the same name.
        default backends: Named<BackendConfig>,
        /// The endpoints, tried in order. The first that matches decides.
        required endpoints: EndpointsConfig,
        /// Where editors find the JSON Schema; ignored.
        #[expect(dead_code, reason = "it changes nothing")]
        optional schema as "$schema": String,
        /// Words for people; ignored.
        #[expect(dead_code, reason = "it changes nothing")]
        optional description: String,
    }
}

word! {
    /// What the filter does with a document that has errors.
    pub enum IfInvalid {
        /// It refuses the update. Envoy keeps the policy in force, or does not start.
        Refuse = "refuse",
        /// It takes the update, and goes on with the last good policy of the process. Without one,
        /// requests pass undecided.
        Keep = "keep",
    }
}

impl IfInvalid {
    /// The word in the document.
    pub fn name(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Keep => "keep",
        }
    }
}

object! {
    /// Which metrics are collected.
    #[derive(Default)]
    pub struct MetricsConfig {
        /// Whether responses are counted and their times measured. Default: `true`.
        optional responses: bool,
    }
}

object! {
    /// The options of a backend.
    pub struct BackendConfig {
        /// The Envoy cluster. Default: the cluster of the backend's name.
        optional cluster: String,
        /// What the placement hashes of it, so that endpoints can place users alike. The backends of one
        /// traffic have different variants. Default: the backend's name.
        #[cfg_attr(feature = "schema", schemars(length(min = 1, max = BACKEND_BYTES), regex(pattern = "^[!-~]+$")))]
        optional variant: String,
        /// Where editors find the JSON Schema; ignored.
        #[expect(dead_code, reason = "it changes nothing")]
        optional schema as "$schema": String,
        /// Words for people; ignored.
        #[expect(dead_code, reason = "it changes nothing")]
        optional description: String,
    }
}

/// The endpoints, `None` for each that can't be read: the others are judged all the same.
#[derive(Debug)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(inline))]
pub struct EndpointsConfig(
    #[cfg_attr(feature = "schema", schemars(with = "Vec<EndpointConfig>"))] Vec<Option<EndpointConfig>>,
);

impl EndpointsConfig {
    /// Those that could be read, with their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &EndpointConfig)> {
        self.0.iter().enumerate().filter_map(|(n, endpoint)| Some((n, endpoint.as_ref()?)))
    }
}

impl FromNode for EndpointsConfig {
    fn from_node(node: &Node, at: &At<'_>, errors: &mut Errors) -> Option<Self> {
        let list = node.list(at, errors)?.iter().enumerate();
        Some(Self(list.map(|(n, node)| EndpointConfig::from_node(node, &at.element(n), errors)).collect()))
    }
}

object! {
    /// An endpoint.
    pub struct EndpointConfig {
        /// Unique in the policy; 1 to 64 characters of A-Z, a-z, 0-9, _ and -.
        #[cfg_attr(feature = "schema", schemars(length(min = 1, max = NAME_BYTES), regex(pattern = "^[A-Za-z0-9_-]+$")))]
        required name: String,
        /// A path prefix that ends at a segment, short for `"match": {"path": {"prefix": …}}`. Default:
        /// any path.
        #[cfg_attr(feature = "schema", schemars(regex(pattern = "^/")))]
        optional route: String,
        /// Methods in upper case, short for `"match": {"methods": […]}`. Default: any method.
        #[cfg_attr(feature = "schema", schemars(length(min = 1), inner(regex(pattern = "^[A-Z0-9!#$%&\'*+.^_`|~-]+$"))))]
        optional methods: Vec<String>,
        /// The requests that it takes, together with `route` and `methods`. Default: every request.
        optional matching as "match": MatchConfig,
        /// Backend to share. The shares add up to 1, or to 100 as percentages. A share of 0 gets
        /// nothing, a share of 1 everything.
        #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
        required traffic: Named<Share>,
        /// Backend to the fraction of the requests that are copied to it, or to an object with options.
        /// 0 switches a shadow off. Default: none.
        default shadow: Named<ShadowConfig>,
        /// Where the shard key is found; `null` for no affinity. Default: the header
        /// `x-serve-shard-key`, with the endpoint's name as salt.
        default affinity: AffinityConfig,
        /// Groups of the requests with their own traffic, tried in order. The first that matches
        /// decides. Default: none.
        default cohorts: Vec<CohortConfig>,
        /// Where editors find the JSON Schema; ignored.
        #[expect(dead_code, reason = "it changes nothing")]
        optional schema as "$schema": String,
        /// Words for people; ignored.
        #[expect(dead_code, reason = "it changes nothing")]
        optional description: String,
    }
}

object! {
    /// A group of an endpoint's requests with its own traffic.
    pub struct CohortConfig {
        /// Unique in the endpoint; 1 to 64 characters of A-Z, a-z, 0-9, _ and -.
        #[cfg_attr(feature = "schema", schemars(length(min = 1, max = NAME_BYTES), regex(pattern = "^[A-Za-z0-9_-]+$")))]
        required name: String,
        /// The requests of the endpoint that it takes.
        required matching as "match": MatchConfig,
        /// Backend to share. The shares add up to 1, or to 100 as percentages. A share of 0 gets
        /// nothing, a share of 1 everything.
        #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
        required traffic: Named<Share>,
        /// Shadows of its own. They override those that it inherits from the endpoint; 0 switches one
        /// off. Default: inherited.
        default shadow: Named<ShadowConfig>,
        /// Where editors find the JSON Schema; ignored.
        #[expect(dead_code, reason = "it changes nothing")]
        optional schema as "$schema": String,
        /// Words for people; ignored.
        #[expect(dead_code, reason = "it changes nothing")]
        optional description: String,
    }
}
