//! A policy, ready to decide, with what this worker counts for it.

use std::cell::OnceCell;
use std::rc::Rc;
use std::sync::Arc;

use policy::shadow::Shadow;
use policy::{CohortName, Decision, HeaderName, Policy};

use super::metrics::Choice;
use super::target::Target;
use super::worker;

/// A policy, ready to decide.
///
/// A request needs it only while its headers are processed. What a request needs later is small,
/// and it has that in an `Rc` of its own: a slow request must not keep the whole policy in memory.
pub(super) struct Loaded {
    pub(super) policy: Policy,
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
    pub(super) routing: HeaderName,
    pub(super) request: Option<HeaderName>,
    pub(super) response: Option<HeaderName>,
    pub(super) mirrors: Vec<HeaderName>,
}

impl Loaded {
    /// The state before the first request of `policy`.
    pub(super) fn new(policy: Policy) -> Self {
        let headers = Headers {
            routing: policy.routing_header.clone(),
            request: policy.request_header.clone(),
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
    /// Whether the filter sets the request header `name`.
    pub(super) fn has(&self, name: &str) -> bool {
        self.of_request().any(|header| *header == *name)
    }

    /// The request headers that the filter sets.
    pub(super) fn of_request(&self) -> impl Iterator<Item = &HeaderName> {
        std::iter::once(&self.routing).chain(&self.request).chain(&self.mirrors)
    }
}

/// Room for what is made when it is needed first.
fn empty<T>(count: usize) -> Vec<OnceCell<T>> {
    let mut cells = Vec::new();
    cells.resize_with(count, OnceCell::new);
    cells
}
