//! The events in the life of a copy.

use std::time::Duration;

use super::answer::Answer;

/// Something that happens to a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The kind of the request is known.
    Kind(Kind),
    /// The request's method was compared with those that the shadow copies.
    Method {
        /// Whether it is one of them.
        is_copied: bool,
    },
    /// The copy was left to Envoy's own mirror.
    Mirrored,
    /// The copies that wait for their answers were counted.
    Waiting {
        /// How many there are.
        copies: usize,
        /// How many there may be.
        max: usize,
    },
    /// A part of the body has come.
    Body {
        /// The size of the body so far.
        bytes: usize,
        /// The size up to which it is copied.
        max: usize,
    },
    /// The worker was asked to hold bytes of the body.
    Memory {
        /// Whether it holds them.
        is_held: bool,
    },
    /// The request has ended.
    End {
        /// Whether all of it has come.
        is_complete: bool,
    },
    /// It is known whether the request was forwarded to its cluster.
    Forwarding {
        /// Whether it was.
        was_forwarded: bool,
    },
    /// It is known whether Envoy redirected the request internally.
    Redirect {
        /// Whether it did.
        was_redirected: bool,
    },
    /// The headers of the request were read.
    Headers {
        /// Whether the method, path and authority are there, in UTF-8.
        are_copied: bool,
    },
    /// The rate limit of the shadow was asked for a token.
    Rate {
        /// Whether there was one.
        is_allowed: bool,
    },
    /// Envoy refused to send the copy.
    Refused(Refusal),
    /// Envoy accepted the copy.
    Sent {
        /// The time since 1970.
        now: Duration,
        /// The time after which Envoy gives it up.
        timeout: Duration,
    },
    /// The context to which the answer would come is gone.
    CutOff,
    /// Envoy reported the answer.
    Answered {
        /// The answer.
        answer: Answer,
        /// The time since 1970.
        now: Duration,
    },
}

/// The kind of a request, for shadows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It has the [marker](super::MARKER) of a copy. Copies of copies could go round in circles.
    Copy,
    /// It is an upgrade or a CONNECT, which has no end to wait for.
    Upgrade,
    /// Any other request.
    Ordinary,
}

/// Why Envoy refused to send a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Envoy has no such cluster.
    UnknownCluster,
    /// The cluster has no healthy host, or its circuit breaker is open.
    Unavailable,
}
