//! A shadow on a worker.

use std::rc::Rc;
use std::sync::Arc;

use policy::CohortName;
use policy::metrics::Labels;
use policy::shadow::{Life, Outcome, Shadow};

use super::metrics::ShadowMetrics;
use crate::gate::{Gate, Gates};

/// A shadow, with what this worker counts and limits for it.
pub(super) struct Target {
    pub(super) shadow: Arc<Shadow>,
    pub(super) gate: Rc<Gate>,
    pub(super) metrics: ShadowMetrics,
}

impl Target {
    /// `owner` is the cohort that has the shadow's entry; `None` if the endpoint has it.
    pub(super) fn new(shadow: &Arc<Shadow>, owner: Option<&CohortName>, gates: &Gates) -> Self {
        let entry = Labels::of_backend(&shadow.endpoint, owner.map(|cohort| &**cohort), &shadow.entry.backend.name);
        Self { shadow: Arc::clone(shadow), gate: gates.of(entry), metrics: ShadowMetrics::new(shadow) }
    }

    /// Counts the outcome of a copy.
    pub(super) fn count(&self, outcome: Outcome) {
        self.metrics.count(outcome);
    }

    /// Whether a copy goes on. Counts its outcome if it doesn't.
    pub(super) fn goes_on(&self, life: Life) -> bool {
        let outcome = life.outcome();
        if let Some(outcome) = outcome {
            self.count(outcome);
        }
        outcome.is_none()
    }
}
