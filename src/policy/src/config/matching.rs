//! Matches as written.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::given;

/// A match object, or a list of them, one of which must hold.
#[derive(Debug)]
pub enum MatchConfig {
    One(Box<MatchFields>),
    AnyOf(Vec<MatchFields>),
}

/// The fields of a match object. All that are present must hold.
#[derive(Debug, Default, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MatchFields {
    /// The path without its query string.
    #[serde(default, deserialize_with = "given")]
    pub path: Option<PathFields>,
    /// Methods, one of which must be that of the request, in upper case.
    #[cfg_attr(feature = "schema", schemars(length(min = 1), inner(regex(pattern = "^[A-Z0-9!#$%&\'*+.^_`|~-]+$"))))]
    #[serde(default, deserialize_with = "given")]
    pub methods: Option<Vec<String>>,
    /// Hosts, one of which must be the authority: `example.com`, or `*.example.com` for all under it.
    /// Case and port make no difference.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    #[serde(default, deserialize_with = "given")]
    pub hosts: Option<Vec<String>>,
    /// Headers, all of which must hold. Names are case-insensitive.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    #[serde(default, deserialize_with = "given")]
    pub headers: Option<Vec<ValueFields>>,
    /// Cookies, all of which must hold. Names are case-sensitive.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    #[serde(default, deserialize_with = "given")]
    pub cookies: Option<Vec<ValueFields>>,
    /// Query parameters, all of which must hold, as they were sent. Names are case-sensitive.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    #[serde(default, deserialize_with = "given")]
    pub query: Option<Vec<ValueFields>>,
    /// Networks, one of which must contain the client's address, in CIDR notation: `10.0.0.0/8`,
    /// `2001:db8::/32`.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    #[serde(default, deserialize_with = "given")]
    pub source_ip: Option<Vec<String>>,
    /// Envoy attributes that are strings, all of which must hold.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    #[serde(default, deserialize_with = "given")]
    pub properties: Option<Vec<PropertyFields>>,
}

/// A comparison of the path: exactly one of these.
#[derive(Debug, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("oneOf" = [{ "required": ["exact"] }, { "required": ["prefix"] }, { "required": ["regex"] }])))]
#[serde(deny_unknown_fields)]
pub struct PathFields {
    /// The whole path.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^/")))]
    #[serde(default, deserialize_with = "given")]
    pub exact: Option<String>,
    /// A prefix that ends at a segment: `/rank` takes `/rank`, `/rank/` and `/rank/x`, not `/ranking`.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = "^/")))]
    #[serde(default, deserialize_with = "given")]
    pub prefix: Option<String>,
    /// A regex for the whole path, in the syntax of Rust's regex-lite.
    #[serde(default, deserialize_with = "given")]
    pub regex: Option<String>,
}

/// Declares a struct with the fields of a comparison beside its own. (With serde's `flatten`, unknown
/// fields would be accepted.)
macro_rules! with_text_fields {
    ($(#[$doc:meta])* $name:ident { $own_doc:literal $own:ident: $type:ty }) => {
        $(#[$doc])*
        #[derive(Debug, serde::Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("oneOf" = [{ "required": ["exact"] }, { "required": ["prefix"] }, { "required": ["suffix"] }, { "required": ["contains"] }, { "required": ["regex"] }, { "required": ["present"] }])))]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            #[doc = $own_doc]
            pub $own: $type,
            /// The whole value; up to 1024 bytes, as in all comparisons.
            #[serde(default, deserialize_with = "given")]
            pub exact: Option<String>,
            /// A prefix of the value.
            #[serde(default, deserialize_with = "given")]
            pub prefix: Option<String>,
            /// A suffix of the value.
            #[serde(default, deserialize_with = "given")]
            pub suffix: Option<String>,
            /// A part of the value.
            #[serde(default, deserialize_with = "given")]
            pub contains: Option<String>,
            /// A regex for the whole value, in the syntax of Rust's regex-lite.
            #[serde(default, deserialize_with = "given")]
            pub regex: Option<String>,
            /// `true`: there is a value; `false`: there is none.
            #[serde(default, deserialize_with = "given")]
            pub present: Option<bool>,
            /// Whether the condition holds where the comparison does not. Default: `false`.
            #[serde(default)]
            pub invert: bool,
            /// Whether the comparison ignores the case of ASCII letters. Default: `false`.
            #[serde(default)]
            pub ignore_case: bool,
        }

        impl $name {
            /// The comparison.
            pub fn text(&self) -> TextFields<'_> {
                TextFields {
                    exact: self.exact.as_deref(),
                    prefix: self.prefix.as_deref(),
                    suffix: self.suffix.as_deref(),
                    contains: self.contains.as_deref(),
                    regex: self.regex.as_deref(),
                    present: self.present,
                    invert: self.invert,
                    ignore_case: self.ignore_case,
                }
            }
        }
    };
}

with_text_fields! {
    /// A header, cookie or query parameter.
    ValueFields { "The name." name: String }
}

with_text_fields! {
    /// An Envoy attribute.
    PropertyFields { "The path of the attribute." path: Vec<String> }
}

/// A comparison: exactly one of these, and how.
#[derive(Clone, Copy, Debug, Default)]
pub struct TextFields<'a> {
    pub exact: Option<&'a str>,
    pub prefix: Option<&'a str>,
    pub suffix: Option<&'a str>,
    pub contains: Option<&'a str>,
    pub regex: Option<&'a str>,
    pub present: Option<bool>,
    pub invert: bool,
    pub ignore_case: bool,
}

impl<'de> Deserialize<'de> for MatchConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MatchVisitor;

        impl<'de> Visitor<'de> for MatchVisitor {
            type Value = MatchConfig;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a match (an object) or a list of them")
            }

            fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<Self::Value, A::Error> {
                let fields = MatchFields::deserialize(MapAccessDeserializer::new(access))?;
                Ok(MatchConfig::One(Box::new(fields)))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
                let mut alternatives = Vec::new();
                while let Some(fields) = access.next_element()? {
                    alternatives.push(fields);
                }
                Ok(MatchConfig::AnyOf(alternatives))
            }
        }

        deserializer.deserialize_any(MatchVisitor)
    }
}
