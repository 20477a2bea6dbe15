//! Shadow copies on their way: from the request that ended, through the root context, to the answer that is counted.
//!
//! A request that ends puts its copies into the [`Outbox`] and sets a timer; the root context sends them a millisecond
//! later. So a copy costs the primary nothing, answers come to a context that outlives the request, and no context
//! calls another. (Shared queues would not do: all workers' notifications go to one of them.)

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::host::{self, CalloutError};
use super::metrics::count_outcome;
use crate::shadow::{DEFAULT_TIMEOUT_MS, MARKER, Outcome, Shadow};

/// A request to copy, and to whom.
pub(super) struct Copies {
    pub(super) shadows: Vec<Arc<Shadow>>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

/// Copies that wait for the root context.
#[derive(Default)]
pub(super) struct Outbox(Cell<Vec<Copies>>);

impl Outbox {
    /// Takes copies, and wakes the root context if none were waiting.
    pub(super) fn put(&self, copies: Copies) {
        let mut waiting = self.0.take();
        if waiting.is_empty() {
            host::set_tick_period(Duration::from_millis(1));
        }
        waiting.push(copies);
        self.0.set(waiting);
    }

    /// Hands out all copies and lets the root context sleep.
    pub(super) fn empty(&self) -> Vec<Copies> {
        host::set_tick_period(Duration::ZERO);
        self.0.take()
    }
}

/// Copies that were sent and not yet answered, by the token of the callout.
#[derive(Default)]
pub(super) struct Callouts(HashMap<u32, Arc<Shadow>>);

impl Callouts {
    /// Sends copies to each of their shadows. From the root context only.
    pub(super) fn send(&mut self, copies: Copies) {
        for shadow in copies.shadows {
            let mut headers: Vec<_> =
                copies.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            headers.push((MARKER, &shadow.backend.name));
            let timeout = Duration::from_millis(DEFAULT_TIMEOUT_MS);
            match host::dispatch(&shadow.backend.cluster, headers, &copies.body, timeout) {
                Ok(token) => {
                    self.0.insert(token, shadow);
                }
                Err(CalloutError::UnknownCluster) => count_outcome(&shadow, Outcome::UnknownCluster),
                Err(CalloutError::Unavailable) => count_outcome(&shadow, Outcome::Unavailable),
            }
        }
    }

    /// Counts the answer to a callout and discards it.
    pub(super) fn answered(&mut self, token: u32, num_headers: usize) {
        let Some(shadow) = self.0.remove(&token) else { return };
        let outcome = if num_headers == 0 {
            Outcome::Failed
        } else {
            let from_upstream = host::callout_header("x-envoy-upstream-service-time").is_some();
            Outcome::of_answer(host::callout_header(":status").as_deref(), from_upstream)
        };
        count_outcome(&shadow, outcome);
    }

    /// Whether every copy that was sent has been answered.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
