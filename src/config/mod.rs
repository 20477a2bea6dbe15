//! The policy as written: the JSON document and its types, before any of it is judged.
//!
//! Strict: an unknown field, a repeated key, a wrong type or a `null` where the reference has none is an error.

mod matching;
mod node;
mod read;

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Unexpected, Visitor};

use crate::named::Named;

pub(crate) use matching::{MatchConfig, MatchFields, PathFields, TextFields, ValueFields};
pub(crate) use read::read;

/// The whole document.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyConfig {
    #[serde(default, deserialize_with = "given")]
    pub routing_header: Option<String>,
    #[serde(default, deserialize_with = "given")]
    pub response_header: Option<String>,
    #[serde(default, deserialize_with = "given")]
    pub default_cluster: Option<String>,
    #[serde(default)]
    pub backends: Named<BackendConfig>,
    pub endpoints: Vec<EndpointConfig>,
}

/// A backend with a cluster of another name.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackendConfig {
    #[serde(default, deserialize_with = "given")]
    pub cluster: Option<String>,
}

/// An endpoint.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointConfig {
    pub name: String,
    #[serde(default, deserialize_with = "given")]
    pub route: Option<String>,
    #[serde(default, deserialize_with = "given")]
    pub methods: Option<Vec<String>>,
    #[serde(default, rename = "match", deserialize_with = "given")]
    pub matching: Option<MatchConfig>,
    pub traffic: Named<Share>,
    #[serde(default)]
    pub shadow: Named<ShadowConfig>,
    #[serde(default)]
    pub affinity: AffinityConfig,
    #[serde(default)]
    pub cohorts: Vec<CohortConfig>,
}

/// A group of an endpoint's requests with its own traffic.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CohortConfig {
    pub name: String,
    #[serde(rename = "match")]
    pub matching: MatchConfig,
    pub traffic: Named<Share>,
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
#[serde(deny_unknown_fields)]
pub struct AffinityFields {
    #[serde(default, deserialize_with = "given")]
    pub keys: Option<Vec<KeyFields>>,
    #[serde(default, deserialize_with = "given")]
    pub salt: Option<String>,
    #[serde(default)]
    pub on_missing: OnMissing,
    #[serde(default, deserialize_with = "given")]
    pub cookie: Option<CookieFields>,
}

/// A source of the shard key: one of these.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyFields {
    #[serde(default, deserialize_with = "given")]
    pub header: Option<String>,
    #[serde(default, deserialize_with = "given")]
    pub cookie: Option<String>,
    #[serde(default, deserialize_with = "given")]
    pub query: Option<String>,
    #[serde(default, deserialize_with = "given")]
    pub source_ip: Option<bool>,
    #[serde(default, deserialize_with = "given")]
    pub property: Option<Vec<String>>,
}

/// What to do without a shard key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
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
#[serde(deny_unknown_fields)]
pub struct CookieFields {
    pub name: String,
    #[serde(default, deserialize_with = "given")]
    pub max_age_s: Option<Whole>,
    #[serde(default, deserialize_with = "given")]
    pub path: Option<String>,
    #[serde(default)]
    pub same_site: SameSite,
    #[serde(default, deserialize_with = "given")]
    pub secure: Option<bool>,
    #[serde(default, deserialize_with = "given")]
    pub http_only: Option<bool>,
}

/// Which requests from other sites bear the cookie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
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
#[serde(deny_unknown_fields)]
pub struct ShadowFields {
    pub fraction: Fraction,
    #[serde(default)]
    pub sample: Sample,
    #[serde(default, deserialize_with = "given")]
    pub methods: Option<Vec<String>>,
    #[serde(default, deserialize_with = "given")]
    pub only_from: Option<Vec<String>>,
    #[serde(default)]
    pub via: Via,
    #[serde(default, deserialize_with = "given")]
    pub mirror_header: Option<String>,
    #[serde(default, deserialize_with = "given")]
    pub timeout_ms: Option<Whole>,
    #[serde(default, deserialize_with = "given")]
    pub max_body_bytes: Option<Whole>,
    #[serde(default, deserialize_with = "given")]
    pub max_in_flight: Option<Whole>,
    #[serde(default, deserialize_with = "given")]
    pub max_per_second: Option<Rate>,
    #[serde(default, deserialize_with = "given")]
    pub headers: Option<HeadersConfig>,
    #[serde(default, deserialize_with = "given")]
    pub host: Option<String>,
}

/// What a shadow draws for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
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
#[serde(deny_unknown_fields)]
pub struct HeadersConfig {
    #[serde(default)]
    pub set: Named<String>,
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
