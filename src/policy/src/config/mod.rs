//! The policy as written: the JSON document and its types, before any of it is judged.
//!
//! Strict: an unknown field, a repeated key, a wrong type or a `null` where the reference has none is an error.

mod matching;
mod node;
mod read;
#[cfg(feature = "schema")]
mod schema;

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Unexpected, Visitor};

use crate::named::Named;

pub(crate) use matching::{MatchConfig, MatchFields, PathFields, TextFields, ValueFields};
pub(crate) use read::read;
#[cfg(feature = "schema")]
pub use schema::schema;

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
    /// The request header in which the upstream is told the serving backend's name. Default: none.
    #[serde(default, deserialize_with = "given")]
    pub request_header: Option<String>,
    /// The filter state in which access logs find the decision, as `endpoint/cohort/backend/reason`: with
    /// `traffic_policy` they have it as `%FILTER_STATE(wasm.traffic_policy:PLAIN)%`. Default: none.
    #[serde(default, deserialize_with = "given")]
    pub filter_state: Option<String>,
    /// The cluster for a request that matches no endpoint. Default: none, which removes the routing header.
    #[serde(default, deserialize_with = "given")]
    pub default_cluster: Option<String>,
    /// What is counted.
    #[serde(default)]
    pub metrics: MetricsConfig,
    /// Backends whose cluster has another name, by backend. A backend that is not listed is its own cluster's name.
    #[serde(default)]
    pub backends: Named<BackendConfig>,
    /// The endpoints, tried in order: the first that matches decides.
    pub endpoints: Vec<EndpointConfig>,
}

/// What is counted.
#[derive(Debug, Default, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MetricsConfig {
    /// Whether responses are counted, and their time measured. Default: `true`.
    #[serde(default, deserialize_with = "given")]
    pub responses: Option<bool>,
}

/// A backend with a cluster of another name.
#[derive(Debug, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BackendConfig {
    /// The Envoy cluster. Default: of the same name as the backend.
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
    /// Which requests it takes, together with `route` and `methods`. Default: every request.
    #[serde(default, rename = "match", deserialize_with = "given")]
    pub matching: Option<MatchConfig>,
    /// Backend to share. The shares add up to 1, or to 100 as percentages; 0 gets nothing, 1 everything.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub traffic: Named<Share>,
    /// Backend to the fraction of the requests that are copied to it, or to an object with options. 0 switches one off. Default: none.
    #[serde(default)]
    pub shadow: Named<ShadowConfig>,
    /// Where the shard key is found; `null` for none. Default: by the header `x-serve-shard-key`, with the endpoint's name as salt.
    #[serde(default)]
    pub affinity: AffinityConfig,
    /// Groups of the requests with their own traffic, tried in order: the first that matches decides. Default: none.
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
    /// Which of the endpoint's requests it takes.
    #[serde(rename = "match")]
    pub matching: MatchConfig,
    /// Backend to share. The shares add up to 1, or to 100 as percentages; 0 gets nothing, 1 everything.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub traffic: Named<Share>,
    /// Shadows of its own, which win over those that it inherits from the endpoint; 0 switches one off. Default: inherited.
    #[serde(default)]
    pub shadow: Named<ShadowConfig>,
}

/// Affinity: absent, `null`, or an object.
#[derive(Debug, Default)]
pub enum AffinityConfig {
    /// Absent: by the default key and the default salt.
    #[default]
    Default,
    /// `null`: none.
    Off,
    /// As the object says.
    On(AffinityFields),
}

/// What an affinity object says.
#[derive(Debug, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AffinityFields {
    /// The sources of the key: the first value that is there and not empty. Default: the header `x-serve-shard-key`.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    #[serde(default, deserialize_with = "given")]
    pub keys: Option<Vec<KeyFields>>,
    /// Hashed with the key: endpoints with the same salt place a key alike. Default: the endpoint's name.
    #[serde(default, deserialize_with = "given")]
    pub salt: Option<String>,
    /// What to do without a key. Default: `random`.
    #[serde(default)]
    pub on_missing: OnMissing,
    /// The cookie of `generate_cookie`.
    #[serde(default, deserialize_with = "given")]
    pub cookie: Option<CookieFields>,
}

/// A source of the shard key: one of these.
#[derive(Debug, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("oneOf" = [{ "required": ["header"] }, { "required": ["cookie"] }, { "required": ["query"] }, { "required": ["source_ip"] }, { "required": ["property"] }])))]
#[serde(deny_unknown_fields)]
pub struct KeyFields {
    /// The name of a header; case makes no difference.
    #[serde(default, deserialize_with = "given")]
    pub header: Option<String>,
    /// The name of a cookie; case matters.
    #[serde(default, deserialize_with = "given")]
    pub cookie: Option<String>,
    /// The name of a query parameter; case matters. The value is taken as it was sent: nothing is decoded.
    #[serde(default, deserialize_with = "given")]
    pub query: Option<String>,
    /// `true`: the client's address in text form, without the port.
    #[cfg_attr(feature = "schema", schemars(extend("const" = true)))]
    #[serde(default, deserialize_with = "given")]
    pub source_ip: Option<bool>,
    /// The path of an Envoy attribute.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    #[serde(default, deserialize_with = "given")]
    pub property: Option<Vec<String>>,
}

/// What to do without a shard key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnMissing {
    /// Each request is placed by its own draw.
    #[default]
    Random,
    /// The client gets a key in a cookie, and is placed by it.
    GenerateCookie,
}

/// The cookie that a client without a key gets.
#[derive(Debug, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CookieFields {
    /// The name.
    pub name: String,
    /// Its life in seconds, 1 to 34560000 (400 days). Default: until the browser is closed.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 34560000)))]
    #[serde(default, deserialize_with = "given")]
    pub max_age_s: Option<Whole>,
    /// The paths that it is sent with. Default: `/`.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^/")))]
    #[serde(default, deserialize_with = "given")]
    pub path: Option<String>,
    /// Which requests from other sites bear it. Default: `Lax`.
    #[serde(default)]
    pub same_site: SameSite,
    /// Whether it is sent over HTTPS only. Default: `true`.
    #[serde(default, deserialize_with = "given")]
    pub secure: Option<bool>,
    /// Whether scripts can't read it. Default: `true`.
    #[serde(default, deserialize_with = "given")]
    pub http_only: Option<bool>,
}

/// Which requests from other sites bear the cookie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum SameSite {
    /// Only navigation.
    #[default]
    #[serde(alias = "lax")]
    Lax,
    /// None.
    #[serde(alias = "strict")]
    Strict,
    /// All; the cookie must be secure.
    #[serde(alias = "none")]
    None,
}

/// A shadow: an object with options, or its fraction alone.
#[derive(Debug)]
pub struct ShadowConfig(pub ShadowFields);

/// What a shadow object says.
#[derive(Debug, Default, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ShadowFields {
    /// The fraction of the requests that are copied, 0 to 1; 0 switches the shadow off.
    pub fraction: Fraction,
    /// What is drawn: each request, or each shard key. Default: `request`.
    #[serde(default)]
    pub sample: Sample,
    /// Only these methods are copied, in upper case. Default: any method.
    #[cfg_attr(feature = "schema", schemars(length(min = 1), inner(regex(pattern = "^[A-Z0-9!#$%&\'*+.^_`|~-]+$"))))]
    #[serde(default, deserialize_with = "given")]
    pub methods: Option<Vec<String>>,
    /// Only the requests that these backends of the traffic serve are copied. Default: any backend.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    #[serde(default, deserialize_with = "given")]
    pub only_from: Option<Vec<String>>,
    /// Who sends the copy. Default: `callout`.
    #[serde(default)]
    pub via: Via,
    /// The request header that steers Envoy's mirror; for `"via": "mirror"`. Default: `x-traffic-mirror`.
    #[serde(default, deserialize_with = "given")]
    pub mirror_header: Option<String>,
    /// How long a copy may take, in milliseconds, 1 to 3600000 (an hour). Default: 5000.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 3600000)))]
    #[serde(default, deserialize_with = "given")]
    pub timeout_ms: Option<Whole>,
    /// The largest request body that is copied, in bytes, 0 to 33554432 (32 MiB). Default: 1048576 (1 MiB).
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 33554432)))]
    #[serde(default, deserialize_with = "given")]
    pub max_body_bytes: Option<Whole>,
    /// How many copies may wait for their answer, for each worker, 1 to 1048576. Default: 128.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 1048576)))]
    #[serde(default, deserialize_with = "given")]
    pub max_in_flight: Option<Whole>,
    /// How many copies are sent a second, for each worker; above 0. Default: any number.
    #[serde(default, deserialize_with = "given")]
    pub max_per_second: Option<Rate>,
    /// Changes to the headers of the copy. Default: none.
    #[serde(default, deserialize_with = "given")]
    pub headers: Option<HeadersConfig>,
    /// The authority of the copy. Default: the request's own.
    #[serde(default, deserialize_with = "given")]
    pub host: Option<String>,
}

/// What a shadow draws for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Sample {
    /// Each request for itself.
    #[default]
    Request,
    /// Each shard key: whole users are shadowed.
    Key,
}

/// How a shadow is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// By the filter, as an HTTP callout whose outcome is counted.
    #[default]
    Callout,
    /// By Envoy's own mirror, which the filter steers with a header.
    Mirror,
}

/// Changes to the headers of a copy.
#[derive(Debug, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct HeadersConfig {
    /// Header to value: these replace the request's own.
    #[serde(default)]
    pub set: Named<String>,
    /// Headers that the copy does not bear.
    #[serde(default)]
    pub remove: Vec<String>,
}

/// A backend's share of the traffic, not yet judged.
#[derive(Clone, Copy, Debug)]
pub struct Share(pub f64);

/// A shadow's fraction, not yet judged.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fraction(pub f64);

/// A rate in events per second, not yet judged.
#[derive(Clone, Copy, Debug)]
pub struct Rate(pub f64);

/// A whole number that is not negative, in any way that JSON writes it: `500`, `500.0` or `5e2`.
#[derive(Clone, Copy, Debug)]
pub struct Whole(pub u64);

/// An optional field that, if it is there, has a value: `null` is refused.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl<'de> Deserialize<'de> for AffinityConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = Option::<AffinityFields>::deserialize(deserializer)?;
        Ok(fields.map_or(Self::Off, Self::On))
    }
}

impl<'de> Deserialize<'de> for ShadowConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ShadowVisitor;

        impl<'de> Visitor<'de> for ShadowVisitor {
            type Value = ShadowConfig;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a fraction (a number from 0 to 1, not in quotes) or an object with `fraction`")
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Self::Value, E> {
                Ok(ShadowConfig(ShadowFields { fraction: Fraction(value), ..ShadowFields::default() }))
            }

            fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<Self::Value, A::Error> {
                ShadowFields::deserialize(MapAccessDeserializer::new(access)).map(ShadowConfig)
            }
        }

        deserializer.deserialize_any(ShadowVisitor)
    }
}

/// Reads any JSON number as f64.
fn number<'de, D: Deserializer<'de>>(deserializer: D, expected: &'static str) -> Result<f64, D::Error> {
    struct NumberVisitor(&'static str);

    impl Visitor<'_> for NumberVisitor {
        type Value = f64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }

        fn visit_f64<E: de::Error>(self, value: f64) -> Result<f64, E> {
            Ok(value)
        }
    }

    deserializer.deserialize_f64(NumberVisitor(expected))
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        number(deserializer, "a share: a number, not in quotes").map(Self)
    }
}

impl<'de> Deserialize<'de> for Fraction {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        number(deserializer, "a fraction: a number from 0 to 1, not in quotes").map(Self)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        number(deserializer, "a rate: a number, not in quotes").map(Self)
    }
}

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const EXPECTED: &str = "a whole number, not in quotes";
        // The integers that a double holds exactly.
        const LIMIT: f64 = 9_007_199_254_740_992.0;
        let value = number(deserializer, EXPECTED)?;
        if value.fract() != 0.0 || !(0.0..LIMIT).contains(&value) {
            return Err(de::Error::invalid_value(Unexpected::Float(value), &EXPECTED));
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked above")]
        Ok(Self(value as u64))
    }
}
