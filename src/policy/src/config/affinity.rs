//! Affinity as written.

use serde::de::{Deserialize, Deserializer};

use super::{Whole, given};
use crate::limits::MAX_AGE_S;

/// Affinity: absent, `null`, or an object.
#[derive(Debug, Default)]
pub enum AffinityConfig {
    /// Absent: the default key and the default salt.
    #[default]
    Default,
    /// `null`: no affinity.
    Off,
    /// An object.
    On(AffinityFields),
}

/// The fields of an affinity object.
#[derive(Debug, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AffinityFields {
    /// The sources of the key. The first value that is present and not empty is the key. Default: the
    /// header `x-serve-shard-key`.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    #[serde(default, deserialize_with = "given")]
    pub keys: Option<Vec<KeyFields>>,
    /// Hashed with the key. Endpoints with the same salt, backends and shares place a key alike.
    /// Default: the endpoint's name.
    #[serde(default, deserialize_with = "given")]
    pub salt: Option<String>,
    /// How a request without a key is placed. Default: `random`.
    #[serde(default)]
    pub on_missing: OnMissing,
    /// The cookie of `generate_cookie`; required for it.
    #[serde(default, deserialize_with = "given")]
    pub cookie: Option<CookieFields>,
}

/// A source of the shard key: exactly one of these.
#[derive(Debug, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("oneOf" = [{ "required": ["header"] }, { "required": ["cookie"] }, { "required": ["query"] }, { "required": ["source_ip"] }, { "required": ["property"] }])))]
#[serde(deny_unknown_fields)]
pub struct KeyFields {
    /// The name of a header; case-insensitive.
    #[serde(default, deserialize_with = "given")]
    pub header: Option<String>,
    /// The name of a cookie; case-sensitive.
    #[serde(default, deserialize_with = "given")]
    pub cookie: Option<String>,
    /// The name of a query parameter; case-sensitive. Its value is used as it was sent: nothing is
    /// decoded.
    #[serde(default, deserialize_with = "given")]
    pub query: Option<String>,
    /// `true`: the client's address as a string, without the port.
    #[cfg_attr(feature = "schema", schemars(extend("const" = true)))]
    #[serde(default, deserialize_with = "given")]
    pub source_ip: Option<bool>,
    /// The path of an Envoy attribute.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    #[serde(default, deserialize_with = "given")]
    pub property: Option<Vec<String>>,
}

/// How a request without a shard key is placed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnMissing {
    /// By a random draw for each request.
    #[default]
    Random,
    /// By a new key, which the client gets in a cookie.
    GenerateCookie,
}

/// The cookie with a generated shard key.
#[derive(Debug, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CookieFields {
    /// Its name.
    pub name: String,
    /// Its lifetime in seconds, 1 to 34560000 (400 days). Default: until the browser is closed.
    #[cfg_attr(feature = "schema", schemars(range(min = MAX_AGE_S.min, max = MAX_AGE_S.max)))]
    #[serde(default, deserialize_with = "given")]
    pub max_age_s: Option<Whole>,
    /// The paths for which browsers send it. Default: `/`.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^/")))]
    #[serde(default, deserialize_with = "given")]
    pub path: Option<String>,
    /// The requests from other sites with which browsers send it. Default: `Lax`.
    #[serde(default)]
    pub same_site: SameSite,
    /// Whether browsers send it only over HTTPS. Default: `true`.
    #[serde(default, deserialize_with = "given")]
    pub secure: Option<bool>,
    /// Whether it is hidden from scripts. Default: `true`.
    #[serde(default, deserialize_with = "given")]
    pub http_only: Option<bool>,
}

/// The requests from other sites with which browsers send the cookie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum SameSite {
    /// Top-level navigation only.
    #[default]
    #[serde(alias = "lax")]
    Lax,
    /// No such request.
    #[serde(alias = "strict")]
    Strict,
    /// All of them; the cookie must be secure.
    #[serde(alias = "none")]
    None,
}

impl<'de> Deserialize<'de> for AffinityConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = Option::<AffinityFields>::deserialize(deserializer)?;
        Ok(fields.map_or(Self::Off, Self::On))
    }
}
