//! An observer of a decision.

use crate::matching::{Match, Tried};
use crate::names::{CohortName, EndpointName};
use crate::request::Request;
use crate::source::Source;

/// Observes a decision, step by step.
pub(crate) trait Witness {
    /// An endpoint is tried.
    fn endpoint(&mut self, name: &EndpointName, matching: &Match, request: &Tried<'_, impl Request>);

    /// A cohort is tried.
    fn cohort(&mut self, name: &CohortName, matching: &Match, request: &Tried<'_, impl Request>);

    /// A source is asked for the shard key; `key` is `None` if it has none.
    fn source(&mut self, source: &Source, key: Option<&[u8]>);
}

/// Observes nothing.
impl Witness for () {
    fn endpoint(&mut self, _: &EndpointName, _: &Match, _: &Tried<'_, impl Request>) {}

    fn cohort(&mut self, _: &CohortName, _: &Match, _: &Tried<'_, impl Request>) {}

    fn source(&mut self, _: &Source, _: Option<&[u8]>) {}
}
