//! The outcome of a copy.

use crate::status::StatusClass;

/// What became of a copy, or why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The shadow answered, with a status of this class.
    Answered(StatusClass),
    /// The shadow did not answer in time.
    TimedOut,
    /// The connection failed, or the shadow reset it.
    Reset,
    /// The copy was given up while it waited for its answer: its policy came back, and was replaced
    /// a second time.
    CutOff,
    /// Envoy did not send the copy: the cluster has no healthy host, or its circuit breaker is
    /// open.
    Unavailable,
    /// Envoy has no such cluster.
    UnknownCluster,
    /// Envoy's own mirror sends the copy, and reports nothing.
    Mirrored,
    /// The shadow drew the request, but did not copy it.
    Skipped(Skip),
}

/// Why a request that a shadow drew was not copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Skip {
    /// The request is a copy itself.
    Marked,
    /// The request is an upgrade or a CONNECT.
    Upgrade,
    /// The shadow doesn't copy the method.
    Method,
    /// The body is larger than the shadow's `max_body_bytes`.
    Body,
    /// The request ended before all of it had come.
    Incomplete,
    /// The request was not forwarded: a later filter or the route answered it.
    NotForwarded,
    /// Envoy redirected the request internally: its headers are now those of the next request.
    Redirected,
    /// The method, path or authority is not UTF-8.
    NotUtf8,
    /// `max_in_flight` copies are waiting for their answers.
    InFlight,
    /// `max_per_second` copies have been sent.
    Rate,
    /// The worker holds as many bytes of copies as it may.
    Memory,
}

impl Outcome {
    /// All outcomes.
    pub fn all() -> impl Iterator<Item = Self> {
        let sent = [Self::TimedOut, Self::Reset, Self::CutOff, Self::Unavailable, Self::UnknownCluster, Self::Mirrored];
        let answered = StatusClass::ALL.into_iter().map(Self::Answered);
        answered.chain(sent).chain(Skip::ALL.into_iter().map(Self::Skipped))
    }

    /// The name of the outcome in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Answered(class) => class.name(),
            Self::TimedOut => "timeout",
            Self::Reset => "reset",
            Self::CutOff => "cut_off",
            Self::Unavailable => "unavailable",
            Self::UnknownCluster => "unknown_cluster",
            Self::Mirrored => "mirrored",
            Self::Skipped(skip) => skip.name(),
        }
    }
}

impl Skip {
    /// All reasons.
    pub const ALL: [Self; 11] = [
        Self::Marked,
        Self::Upgrade,
        Self::Method,
        Self::Body,
        Self::Incomplete,
        Self::NotForwarded,
        Self::Redirected,
        Self::NotUtf8,
        Self::InFlight,
        Self::Rate,
        Self::Memory,
    ];

    /// The name of the reason in metrics and test cases.
    pub fn name(self) -> &'static str {
        match self {
            Self::Marked => "skipped_marked",
            Self::Upgrade => "skipped_upgrade",
            Self::Method => "skipped_method",
            Self::Body => "skipped_body",
            Self::Incomplete => "skipped_incomplete",
            Self::NotForwarded => "skipped_not_forwarded",
            Self::Redirected => "skipped_redirected",
            Self::NotUtf8 => "skipped_not_utf8",
            Self::InFlight => "skipped_in_flight",
            Self::Rate => "skipped_rate",
            Self::Memory => "skipped_memory",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_has_its_name() {
        let names: Vec<_> = Outcome::all().map(Outcome::name).collect();
        assert_eq!(
            names,
            [
                "1xx",
                "2xx",
                "3xx",
                "4xx",
                "5xx",
                "timeout",
                "reset",
                "cut_off",
                "unavailable",
                "unknown_cluster",
                "mirrored",
                "skipped_marked",
                "skipped_upgrade",
                "skipped_method",
                "skipped_body",
                "skipped_incomplete",
                "skipped_not_forwarded",
                "skipped_redirected",
                "skipped_not_utf8",
                "skipped_in_flight",
                "skipped_rate",
                "skipped_memory",
            ]
        );
    }
}
