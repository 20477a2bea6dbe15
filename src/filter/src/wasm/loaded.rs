//! A policy, ready to decide, with what this worker counts for it.

use std::cell::OnceCell;
use std::rc::Rc;
use std::sync::Arc;

use policy::shadow::Shadow;
use policy::{CohortName, Decision, Finding, HeaderName, Parsed, Policy, Refused};

use super::metrics::Choice;
use super::target::Target;
use super::worker;
use crate::digest::Digest;

/// A policy, ready to decide.
///
/// A request needs it only while its headers are processed. What a request needs later is small,
/// and it has that in an `Rc` of its own: a slow request must not keep the whole policy in memory.
pub(super) struct Loaded {
    pub(super) policy: Policy,
    /// Of the document that it was read from.
    pub(super) document: Digest,
    /// How many different headers a decision may ask for.
    pub(super) headers_asked: usize,
    pub(super) headers: Rc<Headers>,
    choices: Vec<OnceCell<Rc<Choice>>>,
    targets: Vec<OnceCell<Rc<Target>>>,
    /// By entry: the cohort that has the entry; `None` if the endpoint has it.
    owners: Vec<Option<CohortName>>,
}

/// The headers that the filter sets.
pub(super) struct Headers {
    /// Those of requests: the routing header, the one for the upstream, and those that steer
    /// mirrors.
    pub(super) request: Vec<HeaderName>,
    pub(super) response: Option<HeaderName>,
    pub(super) mirrors: Vec<HeaderName>,
}

impl Loaded {
    /// The state before the first request of the policy in `document`, and the warnings about it.
    ///
    /// # Errors
    /// All that is wrong with the policy.
    // A copy of the whole compiler for each caller would be large.
    #[inline(never)]
    pub(super) fn read(document: &[u8]) -> Result<(Rc<Self>, Vec<Finding>), Refused> {
        let Parsed { policy, warnings } = Policy::from_json(document)?;
        Ok((Rc::new(Self::new(policy, Digest::of(document))), warnings))
    }

    fn new(policy: Policy, document: Digest) -> Self {
        let of_request = std::iter::once(&policy.routing_header).chain(&policy.request_header);
        let headers = Headers {
            request: of_request.chain(&policy.mirror_headers).cloned().collect(),
            response: policy.response_header.clone(),
            mirrors: policy.mirror_headers.clone(),
        };
        let mut owners = Vec::new();
        for shadow in policy.shadows() {
            // An endpoint's shadows come before those of its cohorts, which may inherit them.
            if owners.len() <= shadow.entry.id.index() {
                owners.resize(shadow.entry.id.index(), None);
                owners.push(shadow.cohort.clone());
            }
        }
        Self {
            document,
            headers_asked: policy.headers_asked(),
            headers: Rc::new(headers),
            choices: empty(policy.choices()),
            targets: empty(policy.shadows().count()),
            owners,
            policy,
        }
    }

    /// The counters of a decision.
    pub(super) fn choice(&self, decision: &Decision<'_>) -> Option<&Rc<Choice>> {
        let choice = self.choices.get(decision.choice.index())?;
        Some(choice.get_or_init(|| Rc::new(Choice::new(decision))))
    }

    /// A shadow of this policy, on this worker.
    pub(super) fn target(&self, shadow: &Arc<Shadow>) -> Option<&Rc<Target>> {
        let target = self.targets.get(shadow.id.index())?;
        Some(target.get_or_init(|| {
            let owner = self.owners.get(shadow.entry.id.index()).and_then(Option::as_ref);
            Rc::new(worker::with(|worker| Target::new(shadow, owner, &worker.gates)))
        }))
    }
}

impl Headers {
    /// The request headers that a client must not set where no policy decides.
    pub(super) fn of_undecided(request: Vec<HeaderName>) -> Self {
        Self { request, response: None, mirrors: Vec::new() }
    }

    /// Whether the filter sets the request header `name`.
    pub(super) fn has(&self, name: &str) -> bool {
        self.request.iter().any(|header| *header == *name)
    }
}

/// Room for what is made when it is needed first.
fn empty<T>(count: usize) -> Vec<OnceCell<T>> {
    let mut cells = Vec::new();
    cells.resize_with(count, OnceCell::new);
    cells
}
