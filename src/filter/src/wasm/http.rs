//! The HTTP context: one request.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use policy::shadow::{Event, Life, Original, Outcome, Shadow, Skip, Via};
use policy::{Backend, ChoiceId, Decision, Policy};
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use super::host::{self, CurrentRequest};
use super::in_force::InForce;
use super::shadows::Copies;
use crate::body::Body;
use crate::request::ReadOnce;

/// One request.
pub(super) struct Http {
    in_force: Option<Rc<InForce>>,
    backend: Option<Arc<Backend>>,
    /// The number of the choice that is counted, and the time of the request.
    counted: Option<(ChoiceId, Duration)>,
    /// The `Set-Cookie` that hands out the shard key.
    set_cookie: Option<String>,
    /// The copies that are being gathered; `None` without any.
    tee: Option<Tee>,
    /// Whether all of the request has come.
    is_complete: bool,
    had_trailers: bool,
}

/// A body that is copied while it streams by, and the shadows that receive it.
struct Tee {
    shadows: Vec<Arc<Shadow>>,
    body: Body,
}

impl Http {
    pub(super) fn new(in_force: Option<Rc<InForce>>) -> Self {
        Self {
            in_force,
            backend: None,
            counted: None,
            set_cookie: None,
            tee: None,
            is_complete: false,
            had_trailers: false,
        }
    }

    /// Sets the headers that steer Envoy's mirrors, and starts to gather the copies that the filter
    /// sends.
    fn start_copies(&mut self, in_force: &InForce, mut drawn: Vec<Arc<Shadow>>, skipped: &[(Arc<Shadow>, Skip)]) {
        let shadows = &in_force.shadows;
        for (shadow, skip) in skipped {
            shadows.count(shadow, Outcome::Skipped(*skip));
        }
        let mirror_of = |header: &str| {
            drawn.iter().find(|shadow| matches!(&shadow.entry.via, Via::Mirror(of_shadow) if *of_shadow == *header))
        };
        for header in &in_force.policy.mirror_headers {
            let mirror = mirror_of(header);
            host::set_request_header(header, mirror.map(|shadow| &*shadow.entry.backend.cluster));
            if let Some(shadow) = mirror {
                shadows.goes_on(shadow, Life::Drawn.after(Event::Mirrored));
            }
        }
        drawn.retain(|shadow| {
            let (Some(callout), Some(gate)) = (shadow.callout(), shadows.gates.of(shadow)) else { return false };
            let waiting = Event::Waiting { copies: gate.in_flight(), max: callout.max_in_flight };
            shadows.goes_on(shadow, Life::Drawn.after(waiting))
        });
        if !drawn.is_empty() {
            self.tee = Some(Tee { shadows: drawn, body: shadows.body() });
        }
    }
}

/// Publishes the decision to the upstream and the access log, as far as the policy says so.
fn publish(policy: &Policy, decision: &Decision<'_>) {
    if let Some(header) = &policy.request_header {
        host::set_request_header(header, Some(&decision.backend.name));
    }
    if let Some(name) = &policy.filter_state {
        let cohort = decision.cohort.map_or("-", |cohort| &*cohort.name);
        let (endpoint, backend, reason) = (&decision.endpoint.name, &decision.backend.name, decision.reason.name());
        host::set_filter_state(name, &format!("{endpoint}/{cohort}/{backend}/{reason}"));
    }
}

impl Context for Http {}

impl HttpContext for Http {
    fn on_http_request_headers(&mut self, _num_headers: usize, end_of_stream: bool) -> Action {
        self.is_complete = end_of_stream;
        let Some(in_force) = self.in_force.clone() else { return Action::Continue };
        let policy = &in_force.policy;
        let request = ReadOnce::new(CurrentRequest, in_force.headers_asked);
        let cluster = match policy.decide(&request, in_force.draws.next(), || in_force.draws.new_key()) {
            Some(decision) => {
                in_force.requests.count(&decision);
                self.counted = policy.counts_responses.then(|| (decision.choice, host::now()));
                publish(policy, &decision);
                self.set_cookie = decision.set_cookie;
                self.start_copies(&in_force, decision.shadows, &decision.skipped);
                Some(&self.backend.insert(Arc::clone(decision.backend)).cluster)
            }
            None => {
                self.start_copies(&in_force, Vec::new(), &[]);
                if let Some(header) = &policy.request_header {
                    host::set_request_header(header, None);
                }
                policy.default_cluster.as_ref()
            }
        };
        host::set_request_header(&policy.routing_header, cluster.map(|cluster| &**cluster));
        Action::Continue
    }

    /// Never holds the request back.
    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        self.is_complete |= end_of_stream;
        if let (Some(in_force), Some(Tee { shadows, body }), 1..) = (&self.in_force, &mut self.tee, size) {
            let bytes = body.size_with(size);
            shadows.retain(|shadow| {
                let max = shadow.callout().map_or(0, |callout| callout.max_body_bytes);
                in_force.shadows.goes_on(shadow, Life::Gathering.after(Event::Body { bytes, max }))
            });
            if !shadows.is_empty() {
                let life = Life::Gathering.after(Event::Memory { is_held: body.hold(size) });
                shadows.retain(|shadow| in_force.shadows.goes_on(shadow, life));
            }
            if shadows.is_empty() {
                self.tee = None;
            } else {
                body.push(host::request_body_chunk(size));
            }
        }
        Action::Continue
    }

    fn on_http_request_trailers(&mut self, _num_trailers: usize) -> Action {
        self.is_complete = true;
        self.had_trailers = true;
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _num_headers: usize, _end_of_stream: bool) -> Action {
        if let Some(in_force) = &self.in_force
            && let Some(name) = &in_force.policy.response_header
            && let Some(backend) = &self.backend
        {
            host::set_response_header(name, &backend.name);
        }
        if let Some(set_cookie) = self.set_cookie.take() {
            host::add_response_header("set-cookie", &set_cookie);
        }
        Action::Continue
    }

    /// The response is out, so that a copy costs the primary nothing now. The headers are those
    /// that were forwarded.
    fn on_log(&mut self) {
        if let (Some(in_force), Some((choice, started))) = (&self.in_force, self.counted) {
            let time = host::now().saturating_sub(started).as_millis();
            in_force.requests.ended(choice, host::response_status(), u64::try_from(time).unwrap_or(u64::MAX));
        }
        let (Some(in_force), Some(Tee { mut shadows, body })) = (&self.in_force, self.tee.take()) else { return };
        let policy = &in_force.policy;
        let is_internal = |name: &str| {
            policy.routing_header == name
                || policy.request_header.as_deref() == Some(name)
                || policy.mirror_headers.iter().any(|mirror| *mirror == name)
        };
        let mut original = None;
        let life = Life::Gathering
            .after(Event::End { is_complete: self.is_complete })
            .then(|| Event::Forwarding { was_forwarded: host::was_forwarded() })
            .then(|| {
                original = Original::new(host::request_headers(), is_internal).ok();
                Event::Headers { are_copied: original.is_some() }
            });
        shadows.retain(|shadow| in_force.shadows.goes_on(shadow, life));
        if let Some(original) = original {
            in_force.shadows.put(Copies { shadows, original, body, had_trailers: self.had_trailers });
        }
    }
}
