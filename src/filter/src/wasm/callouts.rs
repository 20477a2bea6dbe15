//! Sends copies, and counts their answers.

use std::collections::HashMap;
use std::sync::Arc;

use policy::metrics::Part;
use policy::shadow::{Answer, Event, Life, Original, Outcome, Shadow};

use super::host;
use super::shadows::{Copies, Shadows};
use crate::memory::Held;

/// The copies that wait for their answers, by the tokens of their callouts.
#[derive(Default)]
pub(super) struct Callouts {
    in_flight: HashMap<u32, InFlight>,
    is_ending: bool,
}

struct InFlight {
    shadow: Arc<Shadow>,
    is_grpc: bool,
    life: Life,
    /// Envoy has its own copy of the body until the answer.
    _held: Held,
}

impl Callouts {
    /// Sends all copies in the outbox. From the root context only.
    pub(super) fn send(&mut self, shadows: &Shadows) {
        for Copies { shadows: receivers, original, body, had_trailers } in shadows.empty_outbox() {
            // Envoy takes the body in one piece. All copies share it until then.
            let (bytes, held) = body.into_bytes();
            // Each copy holds its bytes until it is answered. The last copy takes over those that
            // the request held.
            let mut held = Some(held);
            let mut receivers = receivers.into_iter().peekable();
            while let Some(shadow) = receivers.next() {
                let is_last = receivers.peek().is_none();
                let hold = || if is_last { held.take() } else { held.as_ref().and_then(Held::again) };
                let life = self.send_one(shadows, &shadow, &original, &bytes, hold);
                if shadows.goes_on(&shadow, life)
                    && let (Life::InFlight { .. }, Some(metrics)) = (life, shadows.metrics(&shadow))
                {
                    metrics.in_flight(1);
                    if original.omitted > 0 {
                        metrics.omitted(Part::Header, original.omitted);
                    }
                    if had_trailers {
                        metrics.omitted(Part::Trailers, 1);
                    }
                }
            }
        }
    }

    fn send_one(
        &mut self,
        shadows: &Shadows,
        shadow: &Arc<Shadow>,
        original: &Original,
        body: &[u8],
        hold: impl FnOnce() -> Option<Held>,
    ) -> Life {
        let (Some(callout), Some(gate)) = (shadow.callout(), shadows.gates.of(shadow)) else { return Life::Due };
        let (mut held, mut token) = (None, None);
        let life = Life::Due
            .after(Event::Waiting { copies: gate.in_flight(), max: callout.max_in_flight })
            .then(|| {
                held = hold();
                Event::Memory { is_held: held.is_some() }
            })
            .then(|| Event::Rate { is_allowed: gate.allows(host::now) })
            .then(|| {
                let headers = original.headers_for(shadow, callout);
                match host::dispatch(&shadow.entry.backend.cluster, headers, body, callout.timeout) {
                    Err(refusal) => Event::Refused(refusal),
                    Ok(sent) => {
                        token = Some(sent);
                        Event::Sent { now: host::now(), timeout: callout.timeout }
                    }
                }
            });
        if let (Some(token), Some(held)) = (token, held) {
            gate.enter();
            let (shadow, is_grpc) = (Arc::clone(shadow), original.is_grpc);
            self.in_flight.insert(token, InFlight { shadow, is_grpc, life, _held: held });
        }
        life
    }

    /// Counts the answer to a callout, and discards it.
    pub(super) fn answered(&mut self, shadows: &Shadows, token: u32, num_headers: usize) {
        let Some(InFlight { shadow, is_grpc, life, .. }) = self.in_flight.remove(&token) else { return };
        if let Some(gate) = shadows.gates.of(&shadow) {
            gate.leave();
        }
        let Some(metrics) = shadows.metrics(&shadow) else { return };
        if !self.is_ending {
            metrics.in_flight(-1);
        }
        let now = host::now();
        let mut answer = Answer::Broken;
        if num_headers > 0 {
            let status = host::callout_header(":status").unwrap_or_default();
            let has_service_time = || host::callout_header("x-envoy-upstream-service-time").is_some();
            answer = Answer::read(&status, is_grpc, has_service_time);
        }
        let Some(outcome) = life.after(Event::Answered { answer, now }).outcome() else { return };
        if let (Outcome::Answered(_), Life::InFlight { sent, .. }) = (outcome, life) {
            let time = now.saturating_sub(sent).as_millis();
            metrics.response_time(u64::try_from(time).unwrap_or(u64::MAX));
        }
        metrics.count(outcome);
    }

    /// Takes the copies in flight out of the gauge, since the policy was replaced. If the VM ends
    /// before their answers, nobody could do it later.
    pub(super) fn end(&mut self, shadows: &Shadows) {
        self.is_ending = true;
        for copy in self.in_flight.values() {
            if let Some(metrics) = shadows.metrics(&copy.shadow) {
                metrics.in_flight(-1);
            }
        }
    }

    /// Whether the policy was replaced, and all copies were answered.
    pub(super) fn is_over(&self) -> bool {
        self.is_ending && self.in_flight.is_empty()
    }
}
