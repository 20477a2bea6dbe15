//! Matches as written.

use std::fmt;

use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};

use super::given;
use super::node::ONE_OR_LIST;

/// A match object, or a list of them of which one must match.
#[derive(Debug)]
pub struct MatchConfig {
    pub alternatives: Vec<MatchFields>,
    /// Whether it was written as a list: places in it have a number.
    pub is_list: bool,
}

/// What a match object says. All that is there must hold.
#[derive(Debug, Default, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MatchFields {
    /// The path without its query string.
    #[serde(default, deserialize_with = "given")]
    pub path: Option<PathFields>,
    /// Methods in upper case.
    #[cfg_attr(feature = "schema", schemars(length(min = 1), inner(regex(pattern = "^[A-Z0-9!#$%&\'*+.^_`|~-]+$"))))]
    #[serde(default, deserialize_with = "given")]
    pub methods: Option<Vec<String>>,
    /// Hosts: `example.com`, or `*.example.com` for all under it. Case and port make no difference.
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
    /// Networks, one of which has the client's address, in CIDR notation: `10.0.0.0/8`, `2001:db8::/32`.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    #[serde(default, deserialize_with = "given")]
    pub source_ip: Option<Vec<String>>,
    /// Envoy attributes that are texts, all of which must hold.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    #[serde(default, deserialize_with = "given")]
    pub properties: Option<Vec<PropertyFields>>,
}

/// A path: one of these.
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
    /// A regex of Rust's regex-lite for the whole path.
    #[serde(default, deserialize_with = "given")]
    pub regex: Option<String>,
}

/// Declares a struct with the fields of a text comparison beside its own. (serde's `flatten` would not know an unknown
/// field.)
macro_rules! with_text_fields {
    ($(#[$doc:meta])* $name:ident { $own_doc:literal $own:ident: $type:ty }) => {
        $(#[$doc])*
        #[derive(Debug, serde::Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("oneOf" = [{ "required": ["exact"] }, { "required": ["prefix"] }, { "required": ["suffix"] }, { "required": ["contains"] }, { "required": ["regex"] }, { "required": ["present"] }])))]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            #[doc = $own_doc]
            pub $own: $type,
            /// The whole value; up to 1024 bytes, as all comparisons.
            #[serde(default, deserialize_with = "given")]
            pub exact: Option<String>,
            /// What the value starts with.
            #[serde(default, deserialize_with = "given")]
            pub prefix: Option<String>,
            /// What the value ends with.
            #[serde(default, deserialize_with = "given")]
            pub suffix: Option<String>,
            /// What the value has in it.
            #[serde(default, deserialize_with = "given")]
            pub contains: Option<String>,
            /// A regex of Rust's regex-lite for the whole value.
            #[serde(default, deserialize_with = "given")]
            pub regex: Option<String>,
            /// `true`: whatever the value; `false`: there is none.
            #[serde(default, deserialize_with = "given")]
            pub present: Option<bool>,
            /// Whether it holds where no value compares so. Default: `false`.
            #[serde(default)]
            pub invert: bool,
            /// Whether the case of ASCII letters makes no difference. Default: `false`.
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
    /// An attribute of the proxy's.
    PropertyFields { "The path of the attribute." path: Vec<String> }
}

/// A comparison of a text: one of these, and how.
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

            fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
                let is_list = access.size_hint().is_some();
                let mut alternatives = Vec::new();
                while let Some(fields) = access.next_element()? {
                    alternatives.push(fields);
                }
                Ok(MatchConfig { alternatives, is_list })
            }
        }

        deserializer.deserialize_newtype_struct(ONE_OR_LIST, MatchVisitor)
    }
}
