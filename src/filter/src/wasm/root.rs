//! The root context: one policy, from its configuration to the answer to its last copy.

use std::rc::Rc;

use policy::Policy;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

use super::callouts::Callouts;
use super::http::Http;
use super::in_force::InForce;
use super::{host, metrics};

/// The root context of the filter.
///
/// It holds all state, since a VM may have several root contexts with different policies. Only the
/// metrics belong to the VM.
#[derive(Default)]
pub(super) struct Root {
    in_force: Option<Rc<InForce>>,
    callouts: Callouts,
}

impl RootContext for Root {
    /// A pure function of the configuration. If it failed on one worker only, Envoy would skip the
    /// filter there.
    fn on_configure(&mut self, size: usize) -> bool {
        match Policy::from_json(&host::plugin_configuration(size)) {
            Ok(parsed) => {
                for warning in &parsed.warnings {
                    log::warn!("traffic policy: {warning}");
                }
                let (policy, version) = (parsed.policy, metrics::VERSION);
                let endpoints = policy.endpoints.len();
                log::info!("traffic policy in force: {endpoints} endpoints (filter version {version})");
                metrics::publish(&policy);
                self.in_force = Some(Rc::new(InForce::new(policy)));
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
            metrics::confirm(&in_force.policy);
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

    /// The policy was replaced, and its last request has ended. Waits for the copies in flight,
    /// each of which has a timeout.
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
