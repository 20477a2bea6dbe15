//! Shadows as written.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};

use super::{Fraction, Rate, Whole, given};
use crate::limits::{MAX_BODY_BYTES, MAX_IN_FLIGHT, TIMEOUT_MS};
use crate::named::Named;

/// A shadow: an object with options, or its fraction alone.
#[derive(Debug)]
pub struct ShadowConfig(pub ShadowFields);

/// The fields of a shadow object.
#[derive(Debug, Default, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ShadowFields {
    /// The fraction of the requests that are copied, 0 to 1; 0 switches the shadow off.
    pub fraction: Fraction,
    /// Whether each request is drawn by itself, or each shard key. Default: `request`.
    #[serde(default)]
    pub sample: Sample,
    /// The methods that are copied, in upper case. Default: any method.
    #[cfg_attr(feature = "schema", schemars(length(min = 1), inner(regex(pattern = "^[A-Z0-9!#$%&\'*+.^_`|~-]+$"))))]
    #[serde(default, deserialize_with = "given")]
    pub methods: Option<Vec<String>>,
    /// The backends of the traffic whose requests are copied. Default: any backend.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    #[serde(default, deserialize_with = "given")]
    pub only_from: Option<Vec<String>>,
    /// How the copies are sent. Default: `callout`.
    #[serde(default)]
    pub via: Via,
    /// The request header that steers Envoy's mirror, for `"via": "mirror"`. Default: `x-traffic-mirror`.
    #[serde(default, deserialize_with = "given")]
    pub mirror_header: Option<String>,
    /// The time that a copy may take, in milliseconds, 1 to 3600000 (an hour). Default: 5000.
    #[cfg_attr(feature = "schema", schemars(range(min = TIMEOUT_MS.min, max = TIMEOUT_MS.max)))]
    #[serde(default, deserialize_with = "given")]
    pub timeout_ms: Option<Whole>,
    /// The largest request body that is copied, in bytes, 0 to 33554432 (32 MiB). Default: 1048576
    /// (1 MiB).
    #[cfg_attr(feature = "schema", schemars(range(min = MAX_BODY_BYTES.min, max = MAX_BODY_BYTES.max)))]
    #[serde(default, deserialize_with = "given")]
    pub max_body_bytes: Option<Whole>,
    /// The copies that may be in flight on each worker, 1 to 1048576. Default: 128.
    #[cfg_attr(feature = "schema", schemars(range(min = MAX_IN_FLIGHT.min, max = MAX_IN_FLIGHT.max)))]
    #[serde(default, deserialize_with = "given")]
    pub max_in_flight: Option<Whole>,
    /// The copies that each worker may send in a second; above 0. Default: any number.
    #[serde(default, deserialize_with = "given")]
    pub max_per_second: Option<Rate>,
    /// Changes to the headers of the copy. Default: none.
    #[serde(default, deserialize_with = "given")]
    pub headers: Option<HeadersConfig>,
    /// The authority of the copy. Default: that of the request.
    #[serde(default, deserialize_with = "given")]
    pub host: Option<String>,
}

/// The unit that a shadow draws.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Sample {
    /// Each request by itself.
    #[default]
    Request,
    /// Each shard key: all requests of a user are copied, or none.
    Key,
}

/// How copies are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// By the filter, as HTTP callouts whose outcomes are counted.
    #[default]
    Callout,
    /// By Envoy's mirror, which the filter steers by a header.
    Mirror,
}

/// Changes to the headers of a copy.
#[derive(Debug, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct HeadersConfig {
    /// Header to value. They replace those of the request.
    #[serde(default)]
    pub set: Named<String>,
    /// Headers that the copy does not have.
    #[serde(default)]
    pub remove: Vec<String>,
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
