//! The HTTP context: one request.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use policy::metrics::Metric;
use policy::shadow::{Event, Life, Original, Outcome, Shadow, Skip, Via};
use policy::{Backend, Decision, Policy};
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use super::host::{self, CurrentRequest};
use super::loaded::{Headers, Loaded};
use super::metrics::Choice;
use super::outbox::Copies;
use super::plugin::Plugin;
use super::target::Target;
use super::{plugins, worker};
use crate::body::Body;
use crate::request::ReadOnce;

/// One request. It may take as long as the client likes, so it keeps only what it needs later.
pub(super) struct Http {
    plugin: Option<Rc<Plugin>>,
    /// `None` until the headers came.
    headers: Option<Rc<Headers>>,
    backend: Option<Arc<Backend>>,
    /// The counters, and the time of the request, if its response is counted.
    counted: Option<(Rc<Choice>, Duration)>,
    /// The counters, if Envoy's cluster is compared with that of the backend.
    checked: Option<Rc<Choice>>,
    /// The `Set-Cookie` that hands out the shard key.
    set_cookie: Option<String>,
    /// The copies that are being gathered; `None` without any.
    tee: Option<Tee>,
    /// Whether the request has a body.
    has_body: bool,
    /// Whether all of the request has come.
    is_complete: bool,
    had_trailers: bool,
    /// The gRPC status of the response.
    grpc_status: Option<Vec<u8>>,
}

/// A body that is copied while it streams by, and the shadows that receive it.
struct Tee {
    targets: Vec<Rc<Target>>,
    body: Body,
}

impl Http {
    pub(super) fn new(plugin: Option<Rc<Plugin>>) -> Self {
        Self {
            plugin,
            headers: None,
            backend: None,
            counted: None,
            checked: None,
            set_cookie: None,
            tee: None,
            has_body: false,
            is_complete: false,
            had_trailers: false,
            grpc_status: None,
        }
    }

    /// Sets the headers that steer Envoy's mirrors, and starts to gather the copies that the filter
    /// sends.
    fn start_copies(&mut self, loaded: &Loaded, drawn: &[Arc<Shadow>], skipped: &[(Arc<Shadow>, Skip)]) {
        for (shadow, skip) in skipped {
            if let Some(target) = loaded.target(shadow) {
                target.count(Outcome::Skipped(*skip));
            }
        }
        let mirror_of = |header: &str| {
            drawn.iter().find(|shadow| matches!(&shadow.entry.via, Via::Mirror(of_shadow) if *of_shadow == *header))
        };
        for header in &loaded.headers.mirrors {
            let mirror = mirror_of(header);
            host::set_request_header(header, mirror.map(|shadow| &*shadow.entry.backend.cluster));
            if let Some(target) = mirror.and_then(|shadow| loaded.target(shadow)) {
                target.goes_on(Life::Drawn.after(Event::Mirrored));
            }
        }
        let targets: Vec<_> = drawn
            .iter()
            .filter_map(|shadow| {
                let (callout, target) = (shadow.callout()?, loaded.target(shadow)?);
                let waiting = Event::Waiting { copies: target.gate.in_flight(), max: callout.max_in_flight };
                target.goes_on(Life::Drawn.after(waiting)).then(|| Rc::clone(target))
            })
            .collect();
        if !targets.is_empty() {
            self.tee = Some(Tee { targets, body: worker::with(|worker| Body::new(&worker.memory)) });
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
        let (of_policy, slash) = policy.name.as_deref().map_or(("", ""), |name| (name, "/"));
        host::set_filter_state(name, &format!("{of_policy}{slash}{endpoint}/{cohort}/{backend}/{reason}"));
    }
}

impl Context for Http {}

impl HttpContext for Http {
    fn on_http_request_headers(&mut self, _num_headers: usize, end_of_stream: bool) -> Action {
        self.has_body = !end_of_stream;
        self.is_complete = end_of_stream;
        let Some(plugin) = &self.plugin else { return Action::Continue };
        let Some(loaded) = plugins::loaded(plugin) else {
            plugin.headers.request.iter().for_each(|header| host::set_request_header(header, None));
            return Action::Continue;
        };
        let policy = &loaded.policy;
        self.headers = Some(Rc::clone(&loaded.headers));
        let request = ReadOnce::new(CurrentRequest, loaded.headers_asked);
        let decide = |worker: &worker::Worker| policy.decide(&request, worker.draws.next(), || worker.draws.new_key());
        let cluster = match worker::with(decide) {
            Some(decision) => {
                if let Some(choice) = loaded.choice(&decision) {
                    choice.count(decision.reason);
                    if worker::with(|worker| worker.draws.next()) % Metric::SAMPLED == 0 {
                        self.checked = Some(Rc::clone(choice));
                    }
                    self.counted = policy.counts_responses.then(|| (Rc::clone(choice), host::now()));
                }
                publish(policy, &decision);
                self.start_copies(&loaded, &decision.shadows, &decision.skipped);
                self.set_cookie = decision.set_cookie;
                Some(&self.backend.insert(Arc::clone(decision.backend)).cluster)
            }
            None => {
                self.start_copies(&loaded, &[], &[]);
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
        if let (Some(Tee { targets, body }), 1..) = (&mut self.tee, size) {
            let bytes = body.size_with(size);
            targets.retain(|target| {
                let max = target.shadow.callout().map_or(0, |callout| callout.max_body_bytes);
                target.goes_on(Life::Gathering.after(Event::Body { bytes, max }))
            });
            if !targets.is_empty() {
                let life = Life::Gathering.after(Event::Memory { is_held: body.hold(size) });
                targets.retain(|target| target.goes_on(life));
            }
            if targets.is_empty() {
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

    fn on_http_response_headers(&mut self, _num_headers: usize, end_of_stream: bool) -> Action {
        // A gRPC call has a body, and the response to one that fails may have none.
        if end_of_stream && self.has_body && self.counted.is_some() {
            self.grpc_status = host::grpc_status_of_headers();
        }
        if let Some(headers) = &self.headers
            && let Some(name) = &headers.response
            && let Some(backend) = &self.backend
        {
            host::set_response_header(name, &backend.name);
        }
        if let Some(set_cookie) = self.set_cookie.take() {
            host::add_response_header("set-cookie", &set_cookie);
        }
        Action::Continue
    }

    fn on_http_response_trailers(&mut self, _num_trailers: usize) -> Action {
        if self.counted.is_some() {
            self.grpc_status = host::grpc_status_of_trailers();
        }
        Action::Continue
    }

    /// The response is out, so that a copy costs the primary nothing now. The headers are those
    /// that were forwarded.
    fn on_log(&mut self) {
        if let Some((choice, started)) = self.counted.take() {
            let time = host::now().saturating_sub(started).as_millis();
            choice.ended(choice.class(self.grpc_status.as_deref()), u64::try_from(time).unwrap_or(u64::MAX));
        }
        if let (Some(choice), Some(backend)) = (self.checked.take(), &self.backend)
            && host::was_misrouted(&backend.cluster)
        {
            choice.count_misrouted();
        }
        let (Some(plugin), Some(headers)) = (&self.plugin, &self.headers) else { return };
        let Some(Tee { mut targets, body }) = self.tee.take() else { return };
        let mut original = None;
        let life = Life::Gathering
            .after(Event::End { is_complete: self.is_complete })
            .then(|| Event::Forwarding { was_forwarded: host::was_forwarded() })
            .then(|| Event::Redirect { was_redirected: host::was_redirected() })
            .then(|| {
                original = Original::new(host::request_headers(), |name| headers.has(name)).ok();
                Event::Headers { are_copied: original.is_some() }
            });
        targets.retain(|target| target.goes_on(life));
        if let Some(original) = original {
            plugin.put(Copies { targets: targets.into(), original, body, had_trailers: self.had_trailers });
        }
    }
}
