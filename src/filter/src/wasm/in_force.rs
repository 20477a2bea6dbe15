//! A policy in force, as the root context shares it with its requests.

use policy::Policy;

use super::metrics::Requests;
use super::shadows::Shadows;
use crate::draws::Draws;

/// A policy in force, and the state of this worker that belongs to it.
pub(super) struct InForce {
    pub(super) policy: Policy,
    /// How many different headers a decision may ask for.
    pub(super) headers_asked: usize,
    pub(super) draws: Draws,
    pub(super) requests: Requests,
    pub(super) shadows: Shadows,
}

impl InForce {
    /// The state before the first request of `policy`.
    pub(super) fn new(policy: Policy) -> Self {
        Self {
            headers_asked: policy.headers_asked(),
            draws: Draws::seeded(),
            requests: Requests::new(&policy),
            shadows: Shadows::new(&policy),
            policy,
        }
    }
}
