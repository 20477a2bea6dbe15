//! The HTTP context: one request.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use super::host::{self, HostRequest};
use super::root::InForce;
use super::shadows::{Body, Copies};
use policy::shadow::{Original, Outcome, Shadow, Skip, Via};
use policy::{Backend, ChoiceId, Decision, Policy};

/// A request on its way through the filter.
pub(super) struct Http {
    in_force: Option<Rc<InForce>>,
    backend: Option<Arc<Backend>>,
    /// The number of the choice that is counted, and the time of the request.
    counted: Option<(ChoiceId, Duration)>,
    /// The shard key that is handed out with the response.
    set_cookie: Option<String>,
    /// Who gets a copy from the filter; `None` if nobody does.
    tee: Option<Tee>,
    /// Whether the request has come in whole.
    is_complete: bool,
    had_trailers: bool,
}

/// A body that is copied as it streams by, and for whom.
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

    fn start_shadows(&mut self, in_force: &InForce, drawn: Vec<Arc<Shadow>>, skipped: &[(Arc<Shadow>, Skip)]) {
        let shadows = &in_force.shadows;
        for (shadow, skip) in skipped {
            shadows.count(shadow, Outcome::Skipped(*skip));
        }
        let mirror_of = |header: &str| {
            drawn.iter().find(|shadow| matches!(&*shadow.via, Via::Mirror(of_shadow) if *of_shadow == *header))
        };
        for header in &in_force.policy.mirror_headers {
            let mirror = mirror_of(header);
            host::set_request_header(header, mirror.map(|shadow| &*shadow.backend.cluster));
            if let Some(shadow) = mirror {
                shadows.count(shadow, Outcome::Mirrored);
            }
        }
        let mut callouts = drawn;
        callouts.retain(|shadow| match &*shadow.via {
            Via::Mirror(_) => false,
            // Sooner or later it would be skipped for this: better before its body is held.
            Via::Callout(callout) if shadows.is_full(shadow, callout) => {
                shadows.count(shadow, Outcome::Skipped(Skip::InFlight));
                false
            }
            Via::Callout(_) => true,
        });
        if !callouts.is_empty() {
            self.tee = Some(Tee { shadows: callouts, body: shadows.body() });
        }
    }
}

/// Tells the upstream and the access log what was decided, if the policy wants it.
fn tell(policy: &Policy, decision: &Decision<'_>) {
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
        let request = HostRequest::new(in_force.headers_asked);
        let cluster = match policy.decide(&request, in_force.draws.next(), || in_force.draws.new_key()) {
            Some(decision) => {
                in_force.requests.count(&decision);
                self.counted = policy.counts_responses.then(|| (decision.choice, host::now()));
                tell(policy, &decision);
                self.set_cookie = decision.set_cookie;
                self.start_shadows(&in_force, decision.shadows, &decision.skipped);
                Some(&self.backend.insert(Arc::clone(decision.backend)).cluster)
            }
            None => {
                self.start_shadows(&in_force, Vec::new(), &[]);
                if let Some(header) = &policy.request_header {
                    host::set_request_header(header, None);
                }
                policy.default_cluster.as_ref()
            }
        };
        host::set_request_header(&policy.routing_header, cluster.map(|cluster| &**cluster));
        Action::Continue
    }

    /// Always goes on: the request is never held back.
    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        self.is_complete |= end_of_stream;
        if let (Some(in_force), Some(tee), 1..) = (&self.in_force, &mut self.tee, size) {
            let skip = |shadow: &Shadow, skip| in_force.shadows.count(shadow, Outcome::Skipped(skip));
            let new_size = tee.body.len().saturating_add(size);
            tee.shadows.retain(|shadow| {
                let fits = matches!(&*shadow.via, Via::Callout(callout) if new_size <= callout.max_body_bytes);
                if !fits {
                    skip(shadow, Skip::Body);
                }
                fits
            });
            if !tee.shadows.is_empty() && tee.body.hold(size) {
                tee.body.push(host::request_body_chunk(size));
            } else {
                tee.shadows.iter().for_each(|shadow| skip(shadow, Skip::Memory));
                self.tee = None;
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

    /// The response is out: now a copy costs the primary nothing. The headers are those that left for the upstream.
    fn on_log(&mut self) {
        if let (Some(in_force), Some((choice, started))) = (&self.in_force, self.counted) {
            let time = host::now().saturating_sub(started).as_millis();
            in_force.requests.ended(choice, host::response_status(), u64::try_from(time).unwrap_or(u64::MAX));
        }
        let (Some(in_force), Some(Tee { shadows, body })) = (&self.in_force, self.tee.take()) else { return };
        let policy = &in_force.policy;
        let is_internal = |name: &str| {
            policy.routing_header == name
                || policy.request_header.as_deref() == Some(name)
                || policy.mirror_headers.iter().any(|mirror| *mirror == name)
        };
        let original = if !self.is_complete {
            Err(Skip::Incomplete)
        } else if !host::was_forwarded() {
            Err(Skip::NotForwarded)
        } else {
            Original::new(host::request_headers(), is_internal)
        };
        match original {
            Ok(original) => {
                in_force.shadows.put(Copies { shadows, original, body, had_trailers: self.had_trailers });
            }
            Err(skip) => shadows.iter().for_each(|shadow| in_force.shadows.count(shadow, Outcome::Skipped(skip))),
        }
    }
}
