//! Limits and defaults of the policy's fields, each in one place.
//!
//! The JSON Schema is made from them; the tables of the reference are tested against them.

/// The values that a whole number may have, and the one that it has by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The smallest.
    pub min: u64,
    /// The largest.
    pub max: u64,
    /// The value of a field that is absent; `None` if there is no such value.
    pub default: Option<u64>,
}

/// The default of `routing_header` in a policy without a name. With one, `-` and the name follow.
pub const ROUTING_HEADER: &str = "x-traffic-cluster";

/// The default of `point_header` in a policy without a name. With one, `-` and the name follow.
pub const POINT_HEADER: &str = "x-traffic-point";

/// The header that contains the shard key where `affinity` or its `keys` is absent.
pub const KEY_HEADER: &str = "x-serve-shard-key";

/// The default of `mirror_header`.
pub const MIRROR_HEADER: &str = "x-traffic-mirror";

/// How many different headers may steer the mirrors of a policy: each request has each of them set
/// or removed.
pub const MIRROR_HEADERS: usize = 64;

/// The default of `cookie.path`.
pub const COOKIE_PATH: &str = "/";

/// The longest path or domain of a cookie, in bytes. Browsers ignore a longer one (RFC 6265bis,
/// section 5.6).
pub const COOKIE_ATTRIBUTE_BYTES: usize = 1024;

/// The longest name of a cookie with a generated key, in bytes: browsers ignore a cookie whose name
/// and value have more than 4096 (RFC 6265bis, section 5.6), and such a key has 32.
pub const COOKIE_NAME_BYTES: usize = 4096 - 32;

/// The longest name of an endpoint, a cohort or a filter state, in characters, all of which are
/// ASCII.
pub const NAME_BYTES: usize = 64;

/// The longest name of a policy, in characters, all of which are ASCII.
pub const POLICY_NAME_BYTES: usize = 40;

/// The longest name of a backend or a cluster, in bytes.
pub const BACKEND_BYTES: usize = 255;

/// How far a sum of shares may be from 1, or from 100, relative to it.
pub const SUM_TOLERANCE: f64 = 1e-5;

/// The largest document, in bytes: 4 MiB.
pub const DOCUMENT_BYTES: usize = 1 << 22;

/// The memory that loading takes at once, in bytes for each byte of the document, where pointers
/// have 64 bits. Measured for repeated elements. What a short part of a document multiplies comes on
/// top, up to a fixed amount: [`REGEXES`] of [`REGEX_BYTES`], [`SHADOWS`], [`SHORTHAND_COPIES`].
pub const LOADING_BYTES_PER_BYTE: usize = 128;

/// The most regexes of a policy: together with [`REGEX_BYTES`] this bounds the memory that they
/// take.
pub const REGEXES: usize = 1024;

/// The most shadows of a policy, each counted again for each cohort that inherits it.
pub const SHADOWS: usize = 1 << 14;

/// The most methods, and parts of routes of 64 bytes, that the alternatives of all `match` lists
/// may copy from `methods` and `route` beside them.
pub const SHORTHAND_COPIES: usize = 1 << 16;

/// The most sources of an endpoint's shard key: a request without a key is asked for all of them.
pub const KEY_SOURCES: usize = 32;

/// The most headers that a shadow sets, and the most that it removes.
pub const COPY_HEADERS: usize = 64;

/// The most findings of a severity that a report lists. It says how many more there are.
pub const FINDINGS: usize = 100;

/// The longest problem or remedy of a finding, in bytes, apart from the sign for what is left out.
pub const MESSAGE_BYTES: usize = 1024;

/// The most names that a message lists.
pub const NAMES_LISTED: usize = 10;

/// The longest string that a value is compared with, in bytes.
pub const PATTERN_BYTES: usize = 1024;

/// The memory that a compiled regex may take while it is compiled, in bytes. A regex of
/// [`REGEX_STATES`] takes less on every platform.
pub const REGEX_BYTES: usize = 1 << 16;

/// The states that a regex may have: one for each character, class and group, and as many times
/// that as it is repeated. They bound its time for each byte of a value.
pub const REGEX_STATES: u64 = 256;

/// The bytes that a regex reads of one request: a value that takes all values of its name past
/// this doesn't match.
pub const REGEX_VALUE_BYTES: usize = 1024;

/// The values of one name that a regex reads of one request; further ones don't match.
pub const REGEX_VALUES: usize = 16;

/// `cookie.max_age_s`: up to 400 days, the longest life that browsers accept (RFC 6265bis,
/// section 5.5).
pub const MAX_AGE_S: Range = Range { min: 1, max: 34_560_000, default: None };

/// A shadow's `timeout_ms`: up to an hour.
pub const TIMEOUT_MS: Range = Range { min: 1, max: 3_600_000, default: Some(5000) };

/// A shadow's `max_body_bytes`: up to 32 MiB, half of what a worker holds for all copies.
pub const MAX_BODY_BYTES: Range = Range { min: 0, max: 1 << 25, default: Some(1 << 20) };

/// A shadow's `max_in_flight`.
pub const MAX_IN_FLIGHT: Range = Range { min: 1, max: 1 << 20, default: Some(128) };

/// The most CPU time that the decision about one request may take, in microseconds, by the model
/// of `compile::cost`. The request is the worst of Envoy's default size.
pub const MAX_REQUEST_COST_US: u64 = 10_000;
