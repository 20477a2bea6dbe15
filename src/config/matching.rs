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
#[serde(deny_unknown_fields)]
pub struct MatchFields {
    #[serde(default, deserialize_with = "given")]
    pub path: Option<PathFields>,
    #[serde(default, deserialize_with = "given")]
    pub methods: Option<Vec<String>>,
    #[serde(default, deserialize_with = "given")]
    pub hosts: Option<Vec<String>>,
    #[serde(default, deserialize_with = "given")]
    pub headers: Option<Vec<ValueFields>>,
    #[serde(default, deserialize_with = "given")]
    pub cookies: Option<Vec<ValueFields>>,
    #[serde(default, deserialize_with = "given")]
    pub query: Option<Vec<ValueFields>>,
    #[serde(default, deserialize_with = "given")]
    pub source_ip: Option<Vec<String>>,
    #[serde(default, deserialize_with = "given")]
    pub properties: Option<Vec<PropertyFields>>,
}

/// A path: one of these.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PathFields {
    #[serde(default, deserialize_with = "given")]
    pub exact: Option<String>,
    #[serde(default, deserialize_with = "given")]
    pub prefix: Option<String>,
    #[serde(default, deserialize_with = "given")]
    pub regex: Option<String>,
}

/// Declares a struct with the fields of a text comparison beside its own. (serde's `flatten` would not know an unknown
/// field.)
macro_rules! with_text_fields {
    ($(#[$doc:meta])* $name:ident { $own:ident: $type:ty }) => {
        $(#[$doc])*
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            pub $own: $type,
            #[serde(default, deserialize_with = "given")]
            pub exact: Option<String>,
            #[serde(default, deserialize_with = "given")]
            pub prefix: Option<String>,
            #[serde(default, deserialize_with = "given")]
            pub suffix: Option<String>,
            #[serde(default, deserialize_with = "given")]
            pub contains: Option<String>,
            #[serde(default, deserialize_with = "given")]
            pub regex: Option<String>,
            #[serde(default, deserialize_with = "given")]
            pub present: Option<bool>,
            #[serde(default)]
            pub invert: bool,
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
    ValueFields { name: String }
}

with_text_fields! {
    /// An attribute of the proxy's.
    PropertyFields { path: Vec<String> }
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
