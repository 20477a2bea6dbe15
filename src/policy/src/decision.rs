//! The decision about one request.

use std::sync::Arc;

use crate::policy::{Cohort, Endpoint, Policy};
use crate::request::{Request, Tried};
use crate::shadow::{self, Shadow, Skip};
use crate::traffic::Backend;

/// Where a request goes, and who gets a copy.
#[derive(Debug, PartialEq)]
pub struct Decision<'policy> {
    /// The first endpoint that matched.
    pub endpoint: &'policy Endpoint,
    /// The first of its cohorts that matched; `None` if none did.
    pub cohort: Option<&'policy Cohort>,
    /// Who serves it.
    pub backend: &'policy Arc<Backend>,
    /// The number of this backend of this endpoint and cohort, below [`Policy::choices`].
    pub choice: usize,
    /// Why that one.
    pub reason: Reason,
    /// Who gets a copy. Empty (and not allocated) for most requests.
    pub shadows: Vec<Arc<Shadow>>,
    /// Who would have got one, and why not.
    pub skipped: Vec<(Arc<Shadow>, Skip)>,
    /// The `Set-Cookie` that hands out the generated shard key, if there is one.
    pub set_cookie: Option<String>,
}

/// Why a backend was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// By the shard key: the same key gets the same backend.
    Key,
    /// By the request's draw.
    Random,
    /// By a shard key that was generated for this request and is handed out with its response.
    Generated,
}

impl Reason {
    /// How many there are.
    pub const COUNT: usize = 3;

    /// The name of the reason in metrics and test cases.
    pub fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Random => "random",
            Self::Generated => "generated",
        }
    }
}

impl Policy {
    /// Decides about `request`. `draw` is the request's random draw, uniform over 64 bits; `new_key` makes a random
    /// shard key for a client that has none, where the policy wants one.
    ///
    /// A pure function; `None` if no endpoint matches.
    pub fn decide(&self, request: &impl Request, draw: u64, new_key: impl FnOnce() -> u128) -> Option<Decision<'_>> {
        let request = &Tried::new(request);
        let endpoint = self.endpoints.iter().find(|endpoint| endpoint.matching.matches(request))?;
        let cohort = endpoint.cohorts.iter().find(|cohort| cohort.matching.matches(request));
        let plan = cohort.map_or(&endpoint.plan, |cohort| &cohort.plan);
        let affinity = endpoint.affinity.as_ref();
        let (key_point, reason, set_cookie) = match affinity.and_then(|affinity| affinity.point(request)) {
            Some(point) => (Some(point), Reason::Key, None),
            None => match affinity.and_then(|affinity| affinity.generate(new_key)) {
                Some((point, set_cookie)) => (Some(point), Reason::Generated, Some(set_cookie)),
                None => (None, Reason::Random, None),
            },
        };
        let (number, backend) = plan.traffic.choose_numbered(key_point.unwrap_or(draw));
        let choice = plan.first_backend + number;
        let drawn = shadow::draw(&plan.shadows, request, &shadow::Candidate { backend, draw, key_point });
        let shadow::Drawn { shadows, skipped } = drawn;
        Some(Decision { endpoint, cohort, backend, choice, reason, shadows, skipped, set_cookie })
    }
}
