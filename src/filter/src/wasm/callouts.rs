//! Sends copies, and counts their answers.

use std::collections::HashMap;
use std::rc::Rc;

use policy::metrics::Part;
use policy::shadow::{Answer, Callout, Event, Life, Original, Outcome, Skip};

use super::host;
use super::outbox::{Copies, Outbox};
use super::target::Target;
use crate::memory::Held;

/// The copies of one root context that wait for their answers, by the tokens of their callouts.
#[derive(Default)]
pub(super) struct Callouts {
    in_flight: HashMap<u32, InFlight>,
    /// Whether the gauge leaves them out.
    is_unreported: bool,
}

struct InFlight {
    target: Rc<Target>,
    is_grpc: bool,
    life: Life,
    /// Envoy has its own copy of the body until the answer.
    _held: Held,
}

impl Callouts {
    /// Sends copies from the outbox until `max_moved` bytes of bodies have been moved. A larger
    /// body is moved in one piece: first into one block of memory, and then to Envoy, once for each
    /// shadow. From the root context only.
    pub(super) fn send(&mut self, outbox: &Outbox, max_moved: usize) {
        let mut moved: usize = 0;
        while moved < max_moved
            && let Some(mut copies) = outbox.take()
        {
            match copies.body.join() {
                Some(joined) => moved = moved.saturating_add(joined),
                None => copies.targets.drain(..).for_each(|target| target.count(Outcome::Skipped(Skip::Memory))),
            }
            while moved < max_moved
                && let Some(target) = copies.targets.pop_front()
            {
                moved = moved.saturating_add(copies.body.bytes().len());
                self.send_one(target, &mut copies);
            }
            if !copies.targets.is_empty() {
                outbox.put_back(copies);
            }
        }
    }

    fn send_one(&mut self, target: Rc<Target>, copies: &mut Copies) {
        let Some(callout) = target.shadow.callout() else { return };
        let (mut held, mut token) = (None, None);
        let life = Life::Due
            .after(Event::Waiting { copies: target.gate.in_flight(), max: callout.max_in_flight })
            .then(|| {
                // Each copy holds its bytes until it is answered. The last copy takes over those
                // that the request held.
                let body = copies.body.held();
                held = if copies.targets.is_empty() { Some(body.take()) } else { body.again() };
                Event::Memory { is_held: held.is_some() }
            })
            .then(|| Event::Rate { is_allowed: target.gate.allows(callout.max_per_second, host::now) })
            .then(|| {
                let (event, sent) = dispatch(&target, callout, &copies.original, copies.body.bytes());
                token = sent;
                event
            });
        if !target.goes_on(life) {
            return;
        }
        if let (Some(token), Some(held)) = (token, held) {
            target.gate.enter();
            if !self.is_unreported {
                target.metrics.in_flight(1);
            }
            if copies.original.omitted > 0 {
                target.metrics.omitted(Part::Header, copies.original.omitted);
            }
            if copies.had_trailers {
                target.metrics.omitted(Part::Trailers, 1);
            }
            let is_grpc = copies.original.is_grpc;
            self.in_flight.insert(token, InFlight { target, is_grpc, life, _held: held });
        }
    }

    /// Counts the answer to a callout, and discards it.
    pub(super) fn answered(&mut self, token: u32, num_headers: usize, num_trailers: usize) {
        let Some(InFlight { target, is_grpc, life, .. }) = self.in_flight.remove(&token) else { return };
        self.leave(&target);
        let now = host::now();
        let mut answer = Answer::Broken;
        if num_headers > 0 {
            let status = host::callout_header(":status").unwrap_or_default();
            let has_service_time = || host::callout_header("x-envoy-upstream-service-time").is_some();
            let grpc_status = || host::callout_grpc_status(num_trailers > 0);
            answer = Answer::read(&status, is_grpc, has_service_time, grpc_status);
        }
        let Some(outcome) = life.after(Event::Answered { answer, now }).outcome() else { return };
        if let (Outcome::Answered(_), Life::InFlight { sent, .. }) = (outcome, life) {
            let time = now.saturating_sub(sent).as_millis();
            target.metrics.response_time(u64::try_from(time).unwrap_or(u64::MAX));
        }
        target.count(outcome);
    }

    /// Gives up all copies in flight, whose answers cannot come any more.
    pub(super) fn cut_off(&mut self) {
        for (_, InFlight { target, life, .. }) in std::mem::take(&mut self.in_flight) {
            self.leave(&target);
            target.goes_on(life.after(Event::CutOff));
        }
    }

    /// Takes the copies in flight out of the gauge, since the VM may end before their answers, and
    /// then nobody could do it.
    pub(super) fn leave_gauge(&mut self) {
        if !std::mem::replace(&mut self.is_unreported, true) {
            self.in_flight.values().for_each(|copy| copy.target.metrics.in_flight(-1));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.in_flight.is_empty()
    }

    fn leave(&self, target: &Target) {
        target.gate.leave();
        if !self.is_unreported {
            target.metrics.in_flight(-1);
        }
    }
}

/// Hands a copy to Envoy. Returns the token of its answer if Envoy takes it.
fn dispatch(target: &Target, callout: &Callout, original: &Original, body: &[u8]) -> (Event, Option<u32>) {
    let headers = original.headers_for(&target.shadow, callout);
    match host::dispatch(&target.shadow.entry.backend.cluster, headers, body, callout.timeout) {
        Err(refusal) => (Event::Refused(refusal), None),
        Ok(token) => (Event::Sent { now: host::now(), timeout: callout.timeout }, Some(token)),
    }
}
