//! Shadow traffic: which requests are copied, what a copy bears, and what became of it.

use std::sync::Arc;

use crate::placement::{fnv1a, mix, unit};
use crate::request::Request;
use crate::traffic::Backend;

/// The header that marks a copy; its value is the shadow's backend. A request that bears it is never copied.
pub const MARKER: &str = "x-traffic-shadow";

/// How long a copy may take before Envoy gives it up.
pub const DEFAULT_TIMEOUT_MS: u64 = 5000;

/// The largest request body that is copied, in bytes. A larger request is served as always and not copied.
pub const DEFAULT_MAX_BODY_BYTES: usize = 1 << 20;

/// A backend that gets copies of an endpoint's requests.
#[derive(Debug, PartialEq)]
pub struct Shadow {
    /// The endpoint whose requests are copied.
    pub endpoint: Arc<str>,
    /// Who gets the copies.
    pub backend: Arc<Backend>,
    fraction: f64,
    hash: u64,
}

impl Shadow {
    /// Copies `fraction` (0 to 1) of the requests of `endpoint` to `backend`.
    pub fn new(endpoint: Arc<str>, backend: Arc<Backend>, fraction: f64) -> Self {
        let hash = fnv1a(format!("shadow\0{}", backend.name).as_bytes());
        Self { endpoint, backend, fraction, hash }
    }

    /// Whether a request with this draw is copied: independent of where it is served and of every other shadow.
    pub fn is_drawn(&self, draw: u64) -> bool {
        self.fraction >= 1.0 || unit(mix(draw ^ self.hash)) < self.fraction
    }
}

/// The shadows that get a copy of `request`.
///
/// None gets one of a copy, of an upgrade or of a CONNECT: none of these has a beginning and an end to copy.
pub(crate) fn drawn(shadows: &[Arc<Shadow>], request: &impl Request, draw: u64) -> Vec<Arc<Shadow>> {
    let drawn: Vec<_> = shadows.iter().filter(|shadow| shadow.is_drawn(draw)).cloned().collect();
    let never_copied = |request: &dyn Request| {
        request.header(MARKER).is_some() || request.header("upgrade").is_some() || request.path().is_none()
    };
    if !drawn.is_empty() && never_copied(request) {
        return Vec::new();
    }
    drawn
}

/// The headers of a copy: all of the request's, in order, without what belongs to one hop, what Envoy would obey, and
/// what can't be sent. The marker is not among them, since it differs from shadow to shadow.
///
/// A value that is not UTF-8 is left out: the SDK's callouts take none.
pub fn copy_headers(request: Vec<(String, Vec<u8>)>, routing_header: &str) -> Vec<(String, String)> {
    request
        .into_iter()
        .filter(|(name, _)| is_copied(name, routing_header))
        .filter_map(|(name, value)| Some((name, String::from_utf8(value).ok()?)))
        .collect()
}

/// Whether a copy bears the header `name` (lower case).
fn is_copied(name: &str, routing_header: &str) -> bool {
    const NOT_COPIED: [&str; 13] = [
        // Of one hop (RFC 9110, section 7.6.1).
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        // Envoy writes it anew; a wrong one keeps the upstream waiting for a body.
        "content-length",
        // The body is sent along at once.
        "expect",
        ":protocol",
        MARKER,
    ];
    // Envoy obeys x-envoy-*: a client could ask for retries of the copy, or for another time-out.
    name != routing_header && !name.starts_with("x-envoy-") && !NOT_COPIED.contains(&name)
}

/// What became of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The shadow answered, with a status of this class: 1 to 5.
    Answered(u8),
    /// The shadow did not answer in time.
    TimedOut,
    /// Envoy could not reach the shadow, or the shadow broke off.
    Failed,
    /// Envoy did not send the copy: no healthy host, or the cluster's circuit breaker is open.
    Unavailable,
    /// Envoy knows no such cluster.
    UnknownCluster,
}

impl Outcome {
    /// Reads the answer to a callout: its status, and whether `x-envoy-upstream-service-time` is there, which Envoy
    /// puts on what an upstream answered and not on what it answered itself.
    pub fn of_answer(status: Option<&[u8]>, from_upstream: bool) -> Self {
        match (status, from_upstream) {
            (Some(&[class @ b'1'..=b'5', _, _]), true) => Self::Answered(class - b'0'),
            (Some(b"504"), false) => Self::TimedOut,
            _ => Self::Failed,
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
            Self::Failed => "failed",
            Self::Unavailable => "unavailable",
            Self::UnknownCluster => "unknown_cluster",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_bears_all_headers_in_order_but_those_of_one_hop_and_of_envoy() {
        let header = |name: &str, value: &[u8]| (name.to_owned(), value.to_vec());
        let copied = copy_headers(
            vec![
                header(":method", b"POST"),
                header("connection", b"close"),
                header("accept", b"a"),
                header("x-envoy-max-retries", b"9"),
                header("accept", b"b"),
                header("x-route", b"somewhere"),
                header("content-length", b"5"),
                header("x-bytes", b"\xff"),
                header("cookie", b""),
            ],
            "x-route",
        );
        let expected = [(":method", "POST"), ("accept", "a"), ("accept", "b"), ("cookie", "")];
        assert_eq!(copied, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn a_fraction_of_one_copies_every_draw_and_a_fraction_of_zero_none() {
        let backend = Arc::new(Backend { name: "b".into(), cluster: "b".into() });
        let shadow = |fraction| Shadow::new("e".into(), Arc::clone(&backend), fraction);
        // The draw whose u() rounds up to 1, made by undoing the mixing with the shadow's hash.
        let top = (0..u64::MAX).find(|draw| unit(mix(*draw)) > 0.999).unwrap() ^ shadow(1.0).hash;
        for draw in [0, 1, u64::MAX, top] {
            assert!(shadow(1.0).is_drawn(draw));
            assert!(!shadow(0.0).is_drawn(draw));
        }
    }

    #[test]
    fn an_answer_of_envoys_own_is_told_from_the_upstreams() {
        for (status, from_upstream, expected) in [
            (Some(b"200".as_slice()), true, Outcome::Answered(2)),
            (Some(b"503"), true, Outcome::Answered(5)),
            (Some(b"503"), false, Outcome::Failed),
            (Some(b"504"), true, Outcome::Answered(5)),
            (Some(b"504"), false, Outcome::TimedOut),
            (Some(b"999"), true, Outcome::Failed),
            (Some(b"\xff"), true, Outcome::Failed),
            (None, false, Outcome::Failed),
        ] {
            assert_eq!(Outcome::of_answer(status, from_upstream), expected, "{status:?} {from_upstream}");
        }
    }
}
