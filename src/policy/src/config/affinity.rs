//! Affinity as written.

use super::Whole;
use super::from_node::{FromNode, object, word};
use super::matching::AsConfig;
use super::node::Node;
use crate::finding::Errors;
#[cfg(feature = "schema")]
use crate::limits::{COOKIE_ATTRIBUTE_BYTES, MAX_AGE_S};
use crate::place::At;

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

object! {
    /// The fields of an affinity object.
    pub struct AffinityFields {
        /// The sources of the key. The first value that is present and not empty is the key. `[]`: no
        /// key, except for that of a generated cookie. Default: the header `x-serve-shard-key`.
        optional keys: Vec<KeyFields>,
        /// Hashed with the key. Endpoints with equal salt, variants and shares place every user alike.
        /// Default: the endpoint's name.
        optional salt: String,
        /// How a request without a key is placed. Default: `random`.
        default on_missing: OnMissing,
        /// The cookie of `generate_cookie`; required for it.
        optional cookie: CookieFields,
    }
}

object! {
    /// A source of the shard key: exactly one of these.
    #[cfg_attr(feature = "schema", schemars(extend("oneOf" = super::schema::one_of(["header", "cookie", "query", "source_ip", "property"]))))]
    pub struct KeyFields {
        /// The name of a header; case-insensitive.
        optional header: String,
        /// The name of a cookie; case-sensitive.
        optional cookie: String,
        /// The name of a query parameter; case-sensitive. Its value is used as it was sent: nothing is
        /// decoded.
        optional query: String,
        /// `true`: the client's address as a string, without the port.
        #[cfg_attr(feature = "schema", schemars(extend("const" = true)))]
        optional source_ip: bool,
        /// The path of an Envoy attribute.
        #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
        optional property: Vec<String>,
        /// The type of the attribute in Envoy. A number is hashed as its shortest decimal text, a bool as
        /// `true` or `false`. Default: `string`.
        optional read_as as "as": AsConfig,
    }
}

word! {
    /// How a request without a shard key is placed.
    pub enum OnMissing {
        /// By a random draw for each request.
        Random = "random",
        /// By a new key, which the client gets in a cookie.
        GenerateCookie = "generate_cookie",
    }
}

object! {
    /// The cookie with a generated shard key.
    pub struct CookieFields {
        /// Its name.
        required name: String,
        /// Its lifetime in seconds, 1 to 34560000 (400 days). Default: until the browser is closed.
        #[cfg_attr(feature = "schema", schemars(extend("minimum" = MAX_AGE_S.min, "maximum" = MAX_AGE_S.max)))]
        optional max_age_s: Whole,
        /// The paths for which browsers send it. A request for another path gets no key. Default: `/`.
        #[cfg_attr(feature = "schema", schemars(length(max = COOKIE_ATTRIBUTE_BYTES), regex(pattern = "^/")))]
        optional path: String,
        /// The domain in which browsers send it, with all hosts below it. A request to another host
        /// gets no key. Default: only the host of the request.
        #[cfg_attr(feature = "schema", schemars(regex(pattern = "^[A-Za-z0-9-]+(\\.[A-Za-z0-9-]+)+$")))]
        optional domain: String,
        /// The requests from other sites with which browsers send it. Default: `Lax`.
        default same_site: SameSite,
        /// Whether browsers send it only over HTTPS. Default: `true`.
        optional secure: bool,
        /// Whether it is hidden from scripts. Default: `true`.
        optional http_only: bool,
        /// Whether browsers keep one for each site that embeds this one; the cookie must be secure.
        /// Default: `false`.
        default partitioned: bool,
    }
}

word! {
    /// The requests from other sites with which browsers send the cookie.
    pub enum SameSite {
        /// Top-level navigation only.
        Lax = "Lax" | "lax",
        /// No such request.
        Strict = "Strict" | "strict",
        /// All of them; the cookie must be secure.
        None = "None" | "none",
    }
}

impl FromNode for AffinityConfig {
    fn from_node(node: &Node, at: &At<'_>, errors: &mut Errors) -> Option<Self> {
        match node {
            Node::Null => Some(Self::Off),
            _ => AffinityFields::from_node(node, at, errors).map(Self::On),
        }
    }
}
