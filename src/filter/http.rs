//! The HTTP context: one request.

use std::rc::Rc;
use std::sync::Arc;

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use super::host::{self, HostRequest};
use super::root::InForce;
use super::shadows::Copies;
use crate::shadow::{DEFAULT_MAX_BODY_BYTES, Shadow, copy_headers};
use crate::traffic::Backend;

/// A request on its way through the filter.
pub(super) struct Http {
    in_force: Option<Rc<InForce>>,
    backend: Option<Arc<Backend>>,
    /// Who gets a copy. Empty if nobody does.
    shadows: Vec<Arc<Shadow>>,
    body: Vec<u8>,
    /// Whether the request has come in whole.
    is_complete: bool,
}

impl Http {
    pub(super) fn new(in_force: Option<Rc<InForce>>) -> Self {
        Self { in_force, backend: None, shadows: Vec::new(), body: Vec::new(), is_complete: false }
    }
}

impl Context for Http {}

impl HttpContext for Http {
    fn on_http_request_headers(&mut self, _num_headers: usize, end_of_stream: bool) -> Action {
        let Some(in_force) = &self.in_force else { return Action::Continue };
        let policy = &in_force.policy;
        let cluster = match policy.decide(&HostRequest::default(), in_force.draws.next()) {
            Some(decision) => {
                self.shadows = decision.shadows;
                Some(&self.backend.insert(Arc::clone(decision.backend)).cluster)
            }
            None => policy.default_cluster.as_ref(),
        };
        host::set_request_header(&policy.routing_header, cluster.map(String::as_str));
        self.is_complete = end_of_stream;
        Action::Continue
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        if !self.shadows.is_empty() && size > 0 {
            if self.body.len().saturating_add(size) > DEFAULT_MAX_BODY_BYTES {
                self.shadows = Vec::new();
                self.body = Vec::new();
            } else {
                self.body.append(&mut host::request_body_chunk(size));
            }
        }
        self.is_complete |= end_of_stream;
        Action::Continue
    }

    fn on_http_request_trailers(&mut self, _num_trailers: usize) -> Action {
        self.is_complete = true;
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _num_headers: usize, _end_of_stream: bool) -> Action {
        if let Some(in_force) = &self.in_force
            && let Some(name) = &in_force.policy.response_header
            && let Some(backend) = &self.backend
        {
            host::set_response_header(name, &backend.name);
        }
        Action::Continue
    }

    /// The response is out: now a copy costs the primary nothing. The headers are those that left for the upstream.
    fn on_log(&mut self) {
        let Some(in_force) = &self.in_force else { return };
        if self.is_complete && !self.shadows.is_empty() {
            in_force.outbox.put(Copies {
                shadows: std::mem::take(&mut self.shadows),
                headers: copy_headers(host::request_headers(), &in_force.policy.routing_header),
                body: std::mem::take(&mut self.body),
            });
        }
    }
}
