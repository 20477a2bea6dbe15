//! The decision about one request.

use std::sync::Arc;

use crate::policy::{Endpoint, Policy};
use crate::request::Request;
use crate::shadow::{self, Shadow, Skip};
use crate::traffic::Backend;

/// Where a request goes, and who gets a copy.
#[derive(Debug, PartialEq)]
pub struct Decision<'policy> {
    /// The first endpoint that matched.
    pub endpoint: &'policy Endpoint,
    /// Who serves it.
    pub backend: &'policy Arc<Backend>,
    /// Why that one.
    pub reason: Reason,
    /// Who gets a copy. Empty (and not allocated) for most requests.
    pub shadows: Vec<Arc<Shadow>>,
    /// Who would have got one, and why not.
    pub skipped: Vec<(Arc<Shadow>, Skip)>,
}

/// Why a backend was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// By the shard key: the same key gets the same backend.
    Key,
    /// By the request's draw.
    Random,
}

impl Reason {
    /// The name of the reason in metrics and test cases.
    pub fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Random => "random",
        }
    }
}

impl Policy {
    /// Decides about `request`. `draw` is the request's random draw, uniform over 64 bits.
    ///
    /// A pure function; `None` if no endpoint matches.
    pub fn decide(&self, request: &impl Request, draw: u64) -> Option<Decision<'_>> {
        let endpoint = self.endpoints.iter().find(|endpoint| endpoint.route.matches(request))?;
        let key_point = endpoint.affinity.as_ref().and_then(|affinity| affinity.point(request));
        let backend = endpoint.traffic.choose(key_point.unwrap_or(draw));
        let drawn = shadow::draw(&endpoint.shadows, request, &shadow::Candidate { backend, draw, key_point });
        Some(Decision {
            endpoint,
            backend,
            reason: if key_point.is_some() { Reason::Key } else { Reason::Random },
            shadows: drawn.shadows,
            skipped: drawn.skipped,
        })
    }
}
