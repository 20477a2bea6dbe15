//! The decision about one request.

use std::sync::Arc;

use crate::ids::ChoiceId;
use crate::matching::Tried;
use crate::policy::{Cohort, Endpoint, Plan, Policy};
use crate::request::Request;
use crate::shadow::{self, Shadow, Skip};
use crate::traffic::Backend;
use crate::witness::Witness;

/// Where a request goes, and which shadows copy it.
#[derive(Debug, PartialEq)]
pub struct Decision<'policy> {
    /// The first endpoint that matched.
    pub endpoint: &'policy Endpoint,
    /// The first of its cohorts that matched; `None` if none did.
    pub cohort: Option<&'policy Cohort>,
    /// The backend that serves it.
    pub backend: &'policy Arc<Backend>,
    /// The number of this backend of this endpoint and cohort.
    pub choice: ChoiceId,
    /// Why that backend.
    pub reason: Reason,
    /// The shadows that copy it. Empty, and not allocated, for most requests.
    pub shadows: Vec<Arc<Shadow>>,
    /// The shadows that drew the request and don't copy it, and why.
    pub skipped: Vec<(Arc<Shadow>, Skip)>,
    /// The `Set-Cookie` with the generated shard key, if there is one.
    pub set_cookie: Option<String>,
}

/// Why a backend was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// By the shard key: the same key, the same backend.
    Key,
    /// By the request's random draw.
    Random,
    /// By a shard key that was generated for this request. Its response carries the key.
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

/// The part of a decision that depends on the request alone, and not on its draw.
pub(crate) struct Located<'policy> {
    pub(crate) endpoint: &'policy Endpoint,
    pub(crate) cohort: Option<&'policy Cohort>,
    pub(crate) plan: &'policy Plan,
    /// The point of the shard key; `None` without a key.
    pub(crate) key_point: Option<u64>,
}

impl Policy {
    /// Decides about `request`. `draw` is the random draw of the request, uniform over 64 bits.
    /// `new_key` makes a random shard key for a client without one, where the policy generates
    /// keys.
    ///
    /// A pure function; `None` if no endpoint matches.
    pub fn decide(&self, request: &impl Request, draw: u64, new_key: impl FnOnce() -> u128) -> Option<Decision<'_>> {
        let request = &Tried::new(request, self.conditions.as_ref());
        let Located { endpoint, cohort, plan, key_point } = self.locate(request, &mut ())?;
        let (key_point, reason, set_cookie) = match key_point {
            Some(point) => (Some(point), Reason::Key, None),
            None => match endpoint.affinity.as_ref().and_then(|affinity| affinity.generate(request, new_key)) {
                Some((point, set_cookie)) => (Some(point), Reason::Generated, Some(set_cookie)),
                None => (None, Reason::Random, None),
            },
        };
        let (number, backend) = plan.traffic.choose_numbered(key_point.unwrap_or(draw));
        let choice = ChoiceId::from(plan.first_choice.index() + number);
        let drawn = shadow::draw(&plan.shadows, request, &shadow::Candidate { backend, draw, key_point });
        let shadow::Drawn { shadows, skipped } = drawn;
        Some(Decision { endpoint, cohort, backend, choice, reason, shadows, skipped, set_cookie })
    }

    /// Finds the endpoint, the cohort and the shard key of `request`, while `witness` observes.
    pub(crate) fn locate(&self, request: &Tried<'_, impl Request>, witness: &mut impl Witness) -> Option<Located<'_>> {
        let endpoint = self.endpoints.iter().find(|endpoint| {
            witness.endpoint(&endpoint.name, &endpoint.matching, request);
            endpoint.matching.matches(request)
        })?;
        let cohort = endpoint.cohorts.iter().find(|cohort| {
            witness.cohort(&cohort.name, &cohort.matching, request);
            cohort.matching.matches(request)
        });
        let plan = cohort.map_or(&endpoint.plan, |cohort| &cohort.plan);
        let key_point = endpoint.affinity.as_ref().and_then(|affinity| affinity.point(request, witness));
        Some(Located { endpoint, cohort, plan, key_point })
    }
}
