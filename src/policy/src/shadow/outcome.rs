//! What became of a copy.

/// What became of a copy, or why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The shadow answered, with a status of this class: 1 to 5.
    Answered(u8),
    /// The shadow did not answer in time.
    TimedOut,
    /// The connection could not be made, or the shadow broke off.
    Reset,
    /// Envoy did not send the copy: no healthy host, or the cluster's circuit breaker is open.
    Unavailable,
    /// Envoy knows no such cluster.
    UnknownCluster,
    /// Handed over to Envoy's own mirror, which tells no more.
    Mirrored,
    /// The shadow drew the request, and yet it was not copied.
    Skipped(Skip),
}

/// Why a request that a shadow drew was not copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Skip {
    /// It is itself a copy.
    Marked,
    /// It is an upgrade or a CONNECT.
    Upgrade,
    /// The shadow doesn't copy this method.
    Method,
    /// Its body is larger than the shadow's `max_body_bytes`.
    Body,
    /// It did not come in whole.
    Incomplete,
    /// It never came to a backend's cluster: a later filter or the route answered it.
    NotForwarded,
    /// Its method, path or authority is not UTF-8.
    NotUtf8,
    /// `max_in_flight` copies wait for their answer already.
    InFlight,
    /// `max_per_second` copies have been sent already.
    Rate,
    /// The worker holds as many bytes of copies as it may.
    Memory,
}

impl Outcome {
    /// Reads the answer to a callout: its status, and whether `x-envoy-upstream-service-time` is there, which Envoy
    /// puts on what an upstream answered and not on what it answered itself. Of its own it answers nothing but 5xx; to a
    /// gRPC call 200, with the error in another header.
    pub fn of_answer(status: &[u8], is_grpc: bool, has_service_time: impl FnOnce() -> bool) -> Self {
        match status {
            [class @ b'1'..=b'5', _, _] if (!is_grpc && *class < b'5') || has_service_time() => {
                Self::Answered(class - b'0')
            }
            b"504" => Self::TimedOut,
            _ => Self::Reset,
        }
    }

    /// The name of the outcome in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Answered(1) => "1xx",
            Self::Answered(2) => "2xx",
            Self::Answered(3) => "3xx",
            Self::Answered(4) => "4xx",
            Self::Answered(_) => "5xx",
            Self::TimedOut => "timeout",
            Self::Reset => "reset",
            Self::Unavailable => "unavailable",
            Self::UnknownCluster => "unknown_cluster",
            Self::Mirrored => "mirrored",
            Self::Skipped(skip) => skip.name(),
        }
    }
}

impl Skip {
    /// The name of the reason in metrics and test cases.
    pub fn name(self) -> &'static str {
        match self {
            Self::Marked => "skipped_marked",
            Self::Upgrade => "skipped_upgrade",
            Self::Method => "skipped_method",
            Self::Body => "skipped_body",
            Self::Incomplete => "skipped_incomplete",
            Self::NotForwarded => "skipped_not_forwarded",
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
    fn an_answer_of_envoys_own_is_told_from_the_upstreams() {
        for (status, is_grpc, from_upstream, expected) in [
            (b"200".as_slice(), false, true, Outcome::Answered(2)),
            (b"200", false, false, Outcome::Answered(2)),
            (b"200", true, true, Outcome::Answered(2)),
            (b"200", true, false, Outcome::Reset),
            (b"503", false, true, Outcome::Answered(5)),
            (b"503", false, false, Outcome::Reset),
            (b"504", false, true, Outcome::Answered(5)),
            (b"504", false, false, Outcome::TimedOut),
            (b"999", false, true, Outcome::Reset),
            (b"\xff", false, true, Outcome::Reset),
            (b"", false, false, Outcome::Reset),
        ] {
            assert_eq!(Outcome::of_answer(status, is_grpc, || from_upstream), expected, "{status:?} {from_upstream}");
        }
    }

    #[test]
    fn each_outcome_has_its_name() {
        for (outcome, name) in [
            (Outcome::Answered(1), "1xx"),
            (Outcome::Answered(2), "2xx"),
            (Outcome::Answered(3), "3xx"),
            (Outcome::Answered(4), "4xx"),
            (Outcome::Answered(5), "5xx"),
            (Outcome::TimedOut, "timeout"),
            (Outcome::Reset, "reset"),
            (Outcome::Unavailable, "unavailable"),
            (Outcome::UnknownCluster, "unknown_cluster"),
            (Outcome::Mirrored, "mirrored"),
            (Outcome::Skipped(Skip::Rate), "skipped_rate"),
        ] {
            assert_eq!(outcome.name(), name);
        }
    }
}
