//! Matches as written.

use super::from_node::{FromNode, object, word};
use super::node::Node;
use crate::finding::Errors;
use crate::place::At;

/// A match object, or a list of them, one of which must hold.
#[derive(Debug)]
pub enum MatchConfig {
    One(Box<MatchFields>),
    AnyOf(Vec<MatchFields>),
}

object! {
    /// The fields of a match object. All that are present must hold.
    pub struct MatchFields {
        /// The path without its query string.
        optional path: PathFields,
        /// Methods, one of which must be that of the request, in upper case.
        #[cfg_attr(feature = "schema", schemars(length(min = 1), inner(regex(pattern = "^[A-Z0-9!#$%&\'*+.^_`|~-]+$"))))]
        optional methods: Vec<String>,
        /// Hosts, one of which must be the authority: `example.com`, or `*.example.com` for all under
        /// it. Case and port make no difference.
        #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
        optional hosts: Vec<String>,
        /// Headers, all of which must hold. Names are case-insensitive.
        #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
        optional headers: Vec<ValueFields>,
        /// Cookies, all of which must hold. Names are case-sensitive.
        #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
        optional cookies: Vec<ValueFields>,
        /// Query parameters, all of which must hold, as they were sent. Names are case-sensitive.
        #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
        optional query: Vec<ValueFields>,
        /// Networks, one of which must contain the client's address, in CIDR notation: `10.0.0.0/8`,
        /// `2001:db8::/32`.
        #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
        optional source_ip: Vec<String>,
        /// Envoy attributes, all of which must hold.
        #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
        optional properties: Vec<PropertyFields>,
    }
}

object! {
    /// A comparison of the path: exactly one of these.
    #[cfg_attr(feature = "schema", schemars(extend("oneOf" = super::schema::one_of(["exact", "prefix", "regex"]))))]
    pub struct PathFields {
        /// The whole path.
        #[cfg_attr(feature = "schema", schemars(regex(pattern = "^/")))]
        optional exact: String,
        /// A prefix that ends at a segment: `/rank` takes `/rank`, `/rank/` and `/rank/x`, not
        /// `/ranking`.
        #[cfg_attr(feature = "schema", schemars(regex(pattern = "^/")))]
        optional prefix: String,
        /// A regex for the whole path, in the syntax of Rust's regex-lite.
        optional regex: String,
    }
}

/// Declares an object with the fields of a comparison beside its own.
macro_rules! object_with_comparison {
    ($(#[$doc:meta])* pub struct $name:ident {
        $(#[$own_doc:meta])* required $own:ident: $type:ty,
        $($(#[$more_doc:meta])* default $more:ident $(as $key:literal)?: $more_type:ty,)?
    }) => {
        object! {
            $(#[$doc])*
            #[cfg_attr(
                feature = "schema",
                schemars(extend("oneOf" = super::schema::one_of([
                    "exact", "prefix", "suffix", "contains", "regex", "present",
                ])))
            )]
            pub struct $name {
                $(#[$own_doc])*
                required $own: $type,
                $($(#[$more_doc])* default $more $(as $key)?: $more_type,)?
                /// The whole value; up to 1024 bytes, as in all comparisons.
                optional exact: String,
                /// A prefix of the value.
                optional prefix: String,
                /// A suffix of the value.
                optional suffix: String,
                /// A part of the value.
                optional contains: String,
                /// A regex for the whole value, in the syntax of Rust's regex-lite.
                optional regex: String,
                /// `true`: there is a value; `false`: there is none.
                optional present: bool,
                /// Whether the condition holds where the comparison does not. Default: `false`.
                default invert: bool,
                /// Whether the comparison ignores the case of ASCII letters. Default: `false`.
                default ignore_case: bool,
            }
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

object_with_comparison! {
    /// A header, cookie or query parameter.
    pub struct ValueFields {
        /// Its name.
        required name: String,
    }
}

object_with_comparison! {
    /// An Envoy attribute.
    pub struct PropertyFields {
        /// Its path.
        required path: Vec<String>,
        /// Its type in Envoy. A number is compared as its shortest decimal text, a bool as `true` or
        /// `false`. Default: `string`.
        default read_as as "as": AsConfig,
    }
}

word! {
    /// The type of an Envoy attribute.
    pub enum AsConfig {
        /// A string.
        String = "string",
        /// A number, such as each number in metadata.
        Number = "number",
        /// A bool.
        Bool = "bool",
    }
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

impl FromNode for MatchConfig {
    fn from_node(node: &Node, at: &At<'_>, errors: &mut Errors) -> Option<Self> {
        match node {
            Node::Object(_) => MatchFields::from_node(node, at, errors).map(|fields| Self::One(Box::new(fields))),
            Node::List(_) => Vec::from_node(node, at, errors).map(Self::AnyOf),
            _ => node.is_not("a match (an object) or a list of them", at, errors),
        }
    }
}
