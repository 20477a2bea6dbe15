//! The root context: one policy, from the moment it is in force until its last copy is answered.

use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

use super::draws::Draws;
use super::host;
use super::http::Http;
use super::metrics::{self, Requests};
use super::shadows::{Callouts, Shadows};
use policy::Policy;

/// What a policy in force shares with the requests that it decides about.
pub(super) struct InForce {
    pub(super) policy: Policy,
    pub(super) headers_asked: usize,
    pub(super) draws: Draws,
    pub(super) requests: Requests,
    pub(super) shadows: Shadows,
}

/// The root context of the filter. All state is here: a VM may hold several of them, of several policies.
#[derive(Default)]
pub(super) struct Root {
    in_force: Option<Rc<InForce>>,
    callouts: Callouts,
}

impl RootContext for Root {
    /// A pure function of the configuration: if it failed on a worker only, Envoy would skip the filter there.
    fn on_configure(&mut self, size: usize) -> bool {
        match Policy::from_json(&host::plugin_configuration(size)) {
            Ok(parsed) => {
                for warning in &parsed.warnings {
                    log::warn!("traffic policy: {warning}");
                }
                let (draws, requests) = (Draws::seeded(), Requests::new(&parsed.policy));
                let shadows = Shadows::new(&parsed.policy);
                let version = env!("CARGO_PKG_VERSION");
                let endpoints = parsed.policy.endpoints().count();
                log::info!("traffic policy in force: {endpoints} endpoints, by traffic-policy {version}");
                metrics::in_force(&parsed.policy);
                let headers_asked = parsed.policy.headers_asked();
                self.in_force =
                    Some(Rc::new(InForce { policy: parsed.policy, headers_asked, draws, requests, shadows }));
                true
            }
            Err(errors) => {
                for error in &errors.0 {
                    log::error!("traffic policy refused: {error}");
                }
                false
            }
        }
    }

    fn create_http_context(&self, _context_id: u32) -> Option<Box<dyn HttpContext>> {
        if let Some(in_force) = &self.in_force {
            metrics::still_in_force(&in_force.policy);
        }
        Some(Box::new(Http::new(self.in_force.clone())))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn on_tick(&mut self) {
        self.send_copies();
    }
}

impl Context for Root {
    fn on_http_call_response(&mut self, token: u32, num_headers: usize, _body: usize, _trailers: usize) {
        if let Some(in_force) = &self.in_force {
            self.callouts.answered(&in_force.shadows, token, num_headers);
        }
        if self.callouts.is_over() {
            host::done();
        }
    }

    /// The policy is replaced and its last request has ended. Copies in flight are waited for: each has a time-out.
    fn on_done(&mut self) -> bool {
        self.send_copies();
        let Some(in_force) = &self.in_force else { return true };
        self.callouts.end(&in_force.shadows);
        self.callouts.is_over()
    }
}

impl Root {
    fn send_copies(&mut self) {
        if let Some(in_force) = &self.in_force {
            self.callouts.send(&in_force.shadows);
        }
    }
}
