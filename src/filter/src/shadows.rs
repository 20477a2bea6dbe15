//! Shadow copies on their way: from the request that ended, through the root context, to the answer that is counted.
//!
//! A request that ends puts its copies into the outbox and sets a timer; the root context sends them a millisecond
//! later. So a copy costs the primary nothing, answers come to a context that outlives the request, and no context
//! calls another. (Shared queues would not do: all workers' notifications go to one of them.)

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::host::{self, CalloutError};
use super::metrics::ShadowMetrics;
use policy::Policy;
use policy::shadow::{Callout, Original, Outcome, RateLimit, Shadow, Skip, Via};

/// How many bytes of request bodies a worker holds for copies, for one policy: those that are coming in, those that
/// wait for the end of their primary, and those that Envoy is sending, for each copy. While a body is handed over to
/// Envoy it is there once more.
const MAX_HELD_BYTES: usize = 1 << 26;

/// All shadows of a policy, on one worker.
pub(super) struct Shadows {
    gates: Vec<Gate>,
    metrics: Vec<ShadowMetrics>,
    held: Rc<Cell<usize>>,
    outbox: Cell<Vec<Copies>>,
}

/// What one shadow may still send. Shadows of one entry of the policy share it.
#[derive(Default)]
struct Gate {
    in_flight: Cell<usize>,
    rate: Option<RefCell<RateLimit>>,
}

/// A request to copy, and to whom.
pub(super) struct Copies {
    pub(super) shadows: Vec<Arc<Shadow>>,
    pub(super) original: Original,
    pub(super) body: Body,
    pub(super) had_trailers: bool,
}

/// A request body, in the chunks in which it came.
pub(super) struct Body {
    chunks: Vec<Vec<u8>>,
    held: Held,
}

/// Bytes that count against [`MAX_HELD_BYTES`] for as long as this lives.
struct Held {
    bytes: usize,
    sum: Rc<Cell<usize>>,
}

impl Shadows {
    pub(super) fn new(policy: &Policy) -> Self {
        let mut gates = Vec::new();
        for shadow in policy.shadows() {
            if gates.len() <= shadow.entry.index() {
                gates.resize_with(shadow.entry.index() + 1, Gate::default);
            }
            if let (Some(gate), Via::Callout(callout)) = (gates.get_mut(shadow.entry.index()), &*shadow.via) {
                gate.rate = callout.max_per_second.map(|rate| RefCell::new(RateLimit::new(rate)));
            }
        }
        let metrics = policy.shadows().map(ShadowMetrics::new).collect();
        Self { gates, metrics, held: Rc::default(), outbox: Cell::default() }
    }

    /// Counts what became of a copy.
    pub(super) fn count(&self, shadow: &Shadow, outcome: Outcome) {
        if let Some(metrics) = self.metrics.get(shadow.id.index()) {
            metrics.count(outcome);
        }
    }

    /// Whether as many copies wait for their answer as may.
    pub(super) fn is_full(&self, shadow: &Shadow, callout: &Callout) -> bool {
        self.gates.get(shadow.entry.index()).is_none_or(|gate| gate.is_full(callout))
    }

    /// An empty body.
    pub(super) fn body(&self) -> Body {
        Body { chunks: Vec::new(), held: Held { bytes: 0, sum: Rc::clone(&self.held) } }
    }

    /// Takes copies to send, and wakes the root context if none were waiting.
    pub(super) fn put(&self, copies: Copies) {
        let mut waiting = self.outbox.take();
        if waiting.is_empty() {
            host::set_tick_period(Duration::from_millis(1));
        }
        waiting.push(copies);
        self.outbox.set(waiting);
    }

    /// Hands out all copies and lets the root context sleep.
    fn empty_outbox(&self) -> Vec<Copies> {
        host::set_tick_period(Duration::ZERO);
        self.outbox.take()
    }
}

impl Gate {
    fn is_full(&self, callout: &Callout) -> bool {
        self.in_flight.get() >= callout.max_in_flight
    }
}

impl Body {
    pub(super) fn len(&self) -> usize {
        self.held.bytes
    }

    /// Whether the worker may hold `size` more bytes; if so they are held now, and [`Body::push`] is to follow.
    pub(super) fn hold(&mut self, size: usize) -> bool {
        self.held.grow(size)
    }

    pub(super) fn push(&mut self, mut chunk: Vec<u8>) {
        // A client may send a byte at a time: small chunks are joined, or each would take the room of many.
        const SMALL: usize = 1 << 14;
        match self.chunks.last_mut() {
            Some(last) if last.len() < SMALL && chunk.len() < SMALL => last.append(&mut chunk),
            _ => self.chunks.push(chunk),
        }
    }
}

impl Held {
    fn grow(&mut self, size: usize) -> bool {
        let sum = self.sum.get().saturating_add(size);
        let is_allowed = sum <= MAX_HELD_BYTES;
        if is_allowed {
            self.sum.set(sum);
            self.bytes += size;
        }
        is_allowed
    }

    /// Holds as much once more, if the worker may.
    fn again(&self) -> Option<Self> {
        let mut held = Self { bytes: 0, sum: Rc::clone(&self.sum) };
        held.grow(self.bytes).then_some(held)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.sum.set(self.sum.get().saturating_sub(self.bytes));
    }
}

/// Copies that were sent and not yet answered, by the token of the callout.
#[derive(Default)]
pub(super) struct Callouts {
    in_flight: HashMap<u32, InFlight>,
    is_ending: bool,
}

struct InFlight {
    shadow: Arc<Shadow>,
    is_grpc: bool,
    sent: Duration,
    timeout: Duration,
    /// Envoy has its own copy of the body until the answer.
    _held: Held,
}

impl Callouts {
    /// Sends all that waits in the outbox. From the root context only.
    pub(super) fn send(&mut self, shadows: &Shadows) {
        for Copies { shadows: receivers, original, body, had_trailers } in shadows.empty_outbox() {
            let Body { mut chunks, held } = body;
            // Shared by all copies; Envoy wants it in one piece.
            let bytes = if chunks.len() > 1 { chunks.concat() } else { chunks.pop().unwrap_or_default() };
            drop(chunks);
            // Each copy holds its bytes until it is answered. What the request held goes over to the last one.
            let mut held = Some(held);
            let mut receivers = receivers.into_iter().peekable();
            while let Some(shadow) = receivers.next() {
                let Via::Callout(callout) = &*shadow.via else { continue };
                let (Some(gate), Some(metrics)) =
                    (shadows.gates.get(shadow.entry.index()), shadows.metrics.get(shadow.id.index()))
                else {
                    continue;
                };
                let held = if receivers.peek().is_some() { held.as_ref().and_then(Held::again) } else { held.take() };
                match self.send_one(gate, &shadow, callout, &original, &bytes, held) {
                    Err(outcome) => metrics.count(outcome),
                    Ok(()) => {
                        metrics.in_flight(1);
                        if original.omitted > 0 {
                            metrics.omitted("header", original.omitted);
                        }
                        if had_trailers {
                            metrics.omitted("trailers", 1);
                        }
                    }
                }
            }
        }
    }

    fn send_one(
        &mut self,
        gate: &Gate,
        shadow: &Arc<Shadow>,
        callout: &Callout,
        original: &Original,
        body: &[u8],
        held: Option<Held>,
    ) -> Result<(), Outcome> {
        if gate.is_full(callout) {
            return Err(Outcome::Skipped(Skip::InFlight));
        }
        let held = held.ok_or(Outcome::Skipped(Skip::Memory))?;
        if gate.rate.as_ref().is_some_and(|rate| !rate.borrow_mut().take(host::now())) {
            return Err(Outcome::Skipped(Skip::Rate));
        }
        let headers = original.headers_for(shadow, callout);
        let token =
            host::dispatch(&shadow.backend.cluster, headers, body, callout.timeout).map_err(|error| match error {
                CalloutError::UnknownCluster => Outcome::UnknownCluster,
                CalloutError::Unavailable => Outcome::Unavailable,
            })?;
        gate.in_flight.update(|count| count.saturating_add(1));
        let (shadow, is_grpc) = (Arc::clone(shadow), original.is_grpc);
        let (sent, timeout) = (host::now(), callout.timeout);
        self.in_flight.insert(token, InFlight { shadow, is_grpc, sent, timeout, _held: held });
        Ok(())
    }

    /// Counts the answer to a callout and discards it.
    pub(super) fn answered(&mut self, shadows: &Shadows, token: u32, num_headers: usize) {
        let Some(InFlight { shadow, is_grpc, sent, timeout, .. }) = self.in_flight.remove(&token) else { return };
        if let Some(gate) = shadows.gates.get(shadow.entry.index()) {
            gate.in_flight.update(|count| count.saturating_sub(1));
        }
        let Some(metrics) = shadows.metrics.get(shadow.id.index()) else { return };
        if !self.is_ending {
            metrics.in_flight(-1);
        }
        let time = host::now().saturating_sub(sent);
        let mut outcome = Outcome::Reset;
        if num_headers > 0 {
            // Reading a header is dear: the second is read only where it may be Envoy's own answer.
            let status = host::callout_header(":status").unwrap_or_default();
            let has_service_time = || host::callout_header("x-envoy-upstream-service-time").is_some();
            outcome = Outcome::of_answer(&status, is_grpc, has_service_time);
        }
        if let Outcome::Answered(_) = outcome {
            metrics.response_time(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        }
        // A shadow that stalls in mid-answer, and any gRPC shadow, time out with no more than a reset.
        // Envoy's timer and its clock differ by a little.
        const TOLERANCE: Duration = Duration::from_millis(10);
        if outcome == Outcome::Reset && time + TOLERANCE >= timeout {
            outcome = Outcome::TimedOut;
        }
        metrics.count(outcome);
    }

    /// The policy is replaced: from now on the copies in flight are no more in the gauge. If they are cut off, with the
    /// VM, nobody is told.
    pub(super) fn end(&mut self, shadows: &Shadows) {
        self.is_ending = true;
        for copy in self.in_flight.values() {
            if let Some(metrics) = shadows.metrics.get(copy.shadow.id.index()) {
                metrics.in_flight(-1);
            }
        }
    }

    /// Whether the policy is replaced and every copy that was sent has been answered.
    pub(super) fn is_over(&self) -> bool {
        self.is_ending && self.in_flight.is_empty()
    }
}
