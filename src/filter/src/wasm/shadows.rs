//! The shadows of a policy on one worker: their counts, their limits, and the outbox.
//!
//! A request that ends puts its copies into the outbox and sets a timer. The root context sends
//! them a millisecond later. So a copy costs the primary nothing, the answers go to a context that
//! outlives the request, and no context calls another. (Shared queues don't work: one of the
//! workers gets the notifications of all.)

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use policy::Policy;
use policy::shadow::{Life, Original, Outcome, Shadow};

use super::host;
use super::metrics::ShadowMetrics;
use crate::body::Body;
use crate::gate::Gates;
use crate::memory::Memory;

/// All shadows of a policy, on one worker.
pub(super) struct Shadows {
    pub(super) gates: Gates,
    metrics: Vec<ShadowMetrics>,
    memory: Memory,
    outbox: Cell<Vec<Copies>>,
}

/// The copies of one request, which are due.
pub(super) struct Copies {
    /// The shadows that receive one.
    pub(super) shadows: Vec<Arc<Shadow>>,
    pub(super) original: Original,
    pub(super) body: Body,
    pub(super) had_trailers: bool,
}

impl Shadows {
    /// The shadows of `policy`, none of which has copied a request.
    pub(super) fn new(policy: &Policy) -> Self {
        let metrics = policy.shadows().map(ShadowMetrics::new).collect();
        Self { gates: Gates::new(policy), metrics, memory: Memory::default(), outbox: Cell::default() }
    }

    /// The metrics of a shadow.
    pub(super) fn metrics(&self, shadow: &Shadow) -> Option<&ShadowMetrics> {
        self.metrics.get(shadow.id.index())
    }

    /// Counts the outcome of a copy.
    pub(super) fn count(&self, shadow: &Shadow, outcome: Outcome) {
        if let Some(metrics) = self.metrics(shadow) {
            metrics.count(outcome);
        }
    }

    /// Whether a copy goes on. Counts its outcome if it doesn't.
    pub(super) fn goes_on(&self, shadow: &Shadow, life: Life) -> bool {
        let outcome = life.outcome();
        if let Some(outcome) = outcome {
            self.count(shadow, outcome);
        }
        outcome.is_none()
    }

    /// An empty body.
    pub(super) fn body(&self) -> Body {
        Body::new(&self.memory)
    }

    /// Takes copies to send. Wakes the root context if there were none.
    pub(super) fn put(&self, copies: Copies) {
        let mut waiting = self.outbox.take();
        if waiting.is_empty() {
            host::set_tick_period(Duration::from_millis(1));
        }
        waiting.push(copies);
        self.outbox.set(waiting);
    }

    /// Hands out all copies, and lets the root context sleep.
    pub(super) fn empty_outbox(&self) -> Vec<Copies> {
        host::set_tick_period(Duration::ZERO);
        self.outbox.take()
    }
}
