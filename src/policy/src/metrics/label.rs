//! The labels of metrics.

/// The key of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Label {
    /// The name of the endpoint.
    Endpoint,
    /// The name of the cohort. Series of requests in no cohort lack it.
    Cohort,
    /// The name of the backend.
    Backend,
    /// Why the backend serves the request: see [`Reason::name`](crate::Reason::name).
    Reason,
    /// The class of the response: see [`StatusClass::name`](crate::StatusClass::name) and
    /// [`NO_RESPONSE`].
    CodeClass,
    /// The outcome of a copy: see [`Outcome::name`](crate::shadow::Outcome::name).
    Result,
    /// The part that a copy lacked: see [`Part::name`].
    Part,
    /// The version of the filter.
    Version,
    /// The name of the policy. Series of a policy without a name lack it.
    Policy,
}

/// A part of a request that its copy lacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The trailers.
    Trailers,
    /// A header value that is not UTF-8.
    Header,
}

/// The class of a request that ended without a response, as [`Label::CodeClass`] has it.
pub const NO_RESPONSE: &str = "none";

impl Label {
    /// All labels, in the order of Envoy's `stats_tags`.
    pub const ALL: [Self; 9] = [
        Self::Endpoint,
        Self::Cohort,
        Self::Backend,
        Self::CodeClass,
        Self::Version,
        Self::Reason,
        Self::Result,
        Self::Part,
        Self::Policy,
    ];

    /// The key, as Prometheus has it.
    pub fn key(self) -> &'static str {
        match self {
            Self::Endpoint => "endpoint",
            Self::Cohort => "cohort",
            Self::Backend => "backend",
            Self::Reason => "reason",
            Self::CodeClass => "code_class",
            Self::Result => "result",
            Self::Part => "part",
            Self::Version => "version",
            Self::Policy => "policy",
        }
    }
}

impl Part {
    /// The name of the part.
    pub fn name(self) -> &'static str {
        match self {
            Self::Trailers => "trailers",
            Self::Header => "header",
        }
    }
}
