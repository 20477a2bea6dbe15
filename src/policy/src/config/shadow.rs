//! Shadows as written.

use super::from_node::{FromNode, object, word};
use super::node::Node;
use super::{Fraction, Rate, Whole};
use crate::finding::Errors;
#[cfg(feature = "schema")]
use crate::limits::{MAX_BODY_BYTES, MAX_IN_FLIGHT, TIMEOUT_MS};
use crate::named::Named;
use crate::place::At;

/// A shadow: an object with options, or its fraction alone.
#[derive(Debug)]
pub struct ShadowConfig(pub ShadowFields);

object! {
    /// The fields of a shadow object.
    pub struct ShadowFields {
        /// The fraction of the requests that are copied, 0 to 1; 0 switches the shadow off.
        required fraction: Fraction,
        /// Whether each request is drawn by itself, or each shard key. Default: `request`.
        default sample: Sample,
        /// The methods that are copied, in upper case. Default: any method.
        #[cfg_attr(feature = "schema", schemars(length(min = 1), inner(regex(pattern = "^[A-Z0-9!#$%&\'*+.^_`|~-]+$"))))]
        optional methods: Vec<String>,
        /// The backends of the traffic whose requests are copied. Default: any backend.
        #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
        optional only_from: Vec<String>,
        /// How the copies are sent. Default: `callout`.
        default via: Via,
        /// The request header that steers Envoy's mirror, for `"via": "mirror"`. Default:
        /// `x-traffic-mirror`.
        optional mirror_header: String,
        /// The time that a copy may take, in milliseconds, 1 to 3600000 (an hour). Default: 5000.
        #[cfg_attr(feature = "schema", schemars(extend("minimum" = TIMEOUT_MS.min, "maximum" = TIMEOUT_MS.max)))]
        optional timeout_ms: Whole,
        /// The largest request body that is copied, in bytes, 0 to 33554432 (32 MiB). Default: 1048576
        /// (1 MiB).
        #[cfg_attr(feature = "schema", schemars(extend("minimum" = MAX_BODY_BYTES.min, "maximum" = MAX_BODY_BYTES.max)))]
        optional max_body_bytes: Whole,
        /// The copies that may be in flight on each worker, 1 to 1048576. Default: 128.
        #[cfg_attr(feature = "schema", schemars(extend("minimum" = MAX_IN_FLIGHT.min, "maximum" = MAX_IN_FLIGHT.max)))]
        optional max_in_flight: Whole,
        /// The copies that each worker may send in a second; above 0. Default: any number.
        optional max_per_second: Rate,
        /// Changes to the headers of the copy. Default: none.
        optional headers: HeadersConfig,
        /// The authority of the copy. Default: that of the request.
        optional host: String,
    }
}

word! {
    /// The unit that a shadow draws.
    pub enum Sample {
        /// Each request by itself.
        Request = "request",
        /// Each shard key: all requests of a user are copied, or none.
        Key = "key",
    }
}

word! {
    /// How copies are sent.
    pub enum Via {
        /// By the filter, as HTTP callouts whose outcomes are counted.
        Callout = "callout",
        /// By Envoy's mirror, which the filter steers by a header.
        Mirror = "mirror",
    }
}

object! {
    /// Changes to the headers of a copy.
    pub struct HeadersConfig {
        /// Header to value. They replace those of the request.
        default set: Named<String>,
        /// Headers that the copy does not have.
        default remove: Vec<String>,
    }
}

impl FromNode for ShadowConfig {
    fn from_node(node: &Node, at: &At<'_>, errors: &mut Errors) -> Option<Self> {
        match node {
            Node::Number(fraction) => Some(Self(ShadowFields::of(Fraction(*fraction)))),
            Node::Object(_) => ShadowFields::from_node(node, at, errors).map(Self),
            _ => {
                node.is_not("a fraction (a number from 0 to 1, not in quotes) or an object with `fraction`", at, errors)
            }
        }
    }
}

impl ShadowFields {
    /// The fields of a shadow that is written as its fraction alone.
    fn of(fraction: Fraction) -> Self {
        Self {
            fraction,
            sample: Sample::default(),
            methods: None,
            only_from: None,
            via: Via::default(),
            mirror_header: None,
            timeout_ms: None,
            max_body_bytes: None,
            max_in_flight: None,
            max_per_second: None,
            headers: None,
            host: None,
        }
    }
}
