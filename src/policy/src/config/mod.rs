//! The policy as written: the JSON document and its types, before any of it is judged.
//!
//! Strict: an unknown field, a repeated key, a wrong type and a `null` (except for `affinity`) are
//! errors.

mod affinity;
mod matching;
mod node;
mod number;
mod read;
#[cfg(feature = "schema")]
mod schema;
mod shadow;
mod unreadable;

use serde::de::{Deserialize, Deserializer};

use crate::named::Named;

pub(crate) use affinity::{AffinityConfig, AffinityFields, CookieFields, KeyFields, OnMissing, SameSite};
pub(crate) use matching::{MatchConfig, MatchFields, PathFields, TextFields, ValueFields};
pub(crate) use number::{Fraction, Rate, Share, Whole};
pub(crate) use read::read;
#[cfg(feature = "schema")]
pub use schema::schema;
pub(crate) use shadow::{HeadersConfig, Sample, ShadowConfig, ShadowFields, Via};

/// The whole document.
#[derive(Debug, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PolicyConfig {
    /// The request header that the Envoy route's `cluster_header` names. Default: `x-traffic-cluster`.
    #[serde(default, deserialize_with = "given")]
    pub routing_header: Option<String>,
    /// The response header that names the serving backend. Default: none.
    #[serde(default, deserialize_with = "given")]
    pub response_header: Option<String>,
    /// The request header that names the serving backend to the upstream. Default: none.
    #[serde(default, deserialize_with = "given")]
    pub request_header: Option<String>,
    /// The filter state that contains the decision for access logs, as `endpoint/cohort/backend/reason`.
    /// With `traffic_policy`, an access log prints it by `%FILTER_STATE(wasm.traffic_policy:PLAIN)%`.
    /// Default: none.
    #[serde(default, deserialize_with = "given")]
    pub filter_state: Option<String>,
    /// The cluster for a request that matches no endpoint. Default: none; then the routing header is
    /// removed.
    #[serde(default, deserialize_with = "given")]
    pub default_cluster: Option<String>,
    /// Which metrics are collected.
    #[serde(default)]
    pub metrics: MetricsConfig,
    /// Backend to its options. A backend that is not listed is the cluster of the same name.
    #[serde(default)]
    pub backends: Named<BackendConfig>,
    /// The endpoints, tried in order. The first that matches decides.
    pub endpoints: Vec<EndpointConfig>,
}

/// Which metrics are collected.
#[derive(Debug, Default, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MetricsConfig {
    /// Whether responses are counted and their times measured. Default: `true`.
    #[serde(default, deserialize_with = "given")]
    pub responses: Option<bool>,
}

/// The options of a backend.
#[derive(Debug, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BackendConfig {
    /// The Envoy cluster. Default: the cluster of the backend's name.
    #[serde(default, deserialize_with = "given")]
    pub cluster: Option<String>,
}

/// An endpoint.
#[derive(Debug, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct EndpointConfig {
    /// Unique in the policy; 1 to 64 characters of A-Z, a-z, 0-9, _ and -.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z0-9_-]+$")))]
    pub name: String,
    /// A path prefix that ends at a segment, short for `"match": {"path": {"prefix": …}}`. Default: any path.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^/")))]
    #[serde(default, deserialize_with = "given")]
    pub route: Option<String>,
    /// Methods in upper case, short for `"match": {"methods": […]}`. Default: any method.
    #[cfg_attr(feature = "schema", schemars(length(min = 1), inner(regex(pattern = "^[A-Z0-9!#$%&\'*+.^_`|~-]+$"))))]
    #[serde(default, deserialize_with = "given")]
    pub methods: Option<Vec<String>>,
    /// The requests that it takes, together with `route` and `methods`. Default: every request.
    #[serde(default, rename = "match", deserialize_with = "given")]
    pub matching: Option<MatchConfig>,
    /// Backend to share. The shares add up to 1, or to 100 as percentages. A share of 0 gets nothing,
    /// a share of 1 everything.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub traffic: Named<Share>,
    /// Backend to the fraction of the requests that are copied to it, or to an object with options.
    /// 0 switches a shadow off. Default: none.
    #[serde(default)]
    pub shadow: Named<ShadowConfig>,
    /// Where the shard key is found; `null` for no affinity. Default: the header `x-serve-shard-key`, with
    /// the endpoint's name as salt.
    #[serde(default)]
    pub affinity: AffinityConfig,
    /// Groups of the requests with their own traffic, tried in order. The first that matches decides.
    /// Default: none.
    #[serde(default)]
    pub cohorts: Vec<CohortConfig>,
}

/// A group of an endpoint's requests with its own traffic.
#[derive(Debug, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CohortConfig {
    /// Unique in the endpoint; 1 to 64 characters of A-Z, a-z, 0-9, _ and -.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z0-9_-]+$")))]
    pub name: String,
    /// The requests of the endpoint that it takes.
    #[serde(rename = "match")]
    pub matching: MatchConfig,
    /// Backend to share. The shares add up to 1, or to 100 as percentages. A share of 0 gets nothing,
    /// a share of 1 everything.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub traffic: Named<Share>,
    /// Shadows of its own. They override those that it inherits from the endpoint; 0 switches one off.
    /// Default: inherited.
    #[serde(default)]
    pub shadow: Named<ShadowConfig>,
}

/// An optional field that has a value if it is present: `null` is refused.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}
