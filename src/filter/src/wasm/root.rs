//! The root context: hands Envoy's events over to its plugin.

use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

use super::http::Http;
use super::plugin::{Plugin, can_load};
use super::{host, metrics, plugins};

/// The root context of the filter.
#[derive(Default)]
pub(super) struct Root {
    plugin: Option<Rc<Plugin>>,
}

impl RootContext for Root {
    /// A pure function of the configuration, unless memory runs out. If it failed on one worker
    /// only, Envoy would skip the filter there.
    fn on_configure(&mut self, size: usize) -> bool {
        let Some(plugin) = configure(size) else { return false };
        let plugin = Rc::new(plugin);
        plugin.start();
        plugins::with(|plugins| plugins.add(Rc::clone(&plugin)));
        if let Some(before) = self.plugin.replace(plugin) {
            plugins::with(|plugins| plugins.discard(&before));
        }
        true
    }

    fn create_http_context(&self, _context_id: u32) -> Option<Box<dyn HttpContext>> {
        if let Some(plugin) = &self.plugin {
            plugin.request();
        }
        Some(Box::new(Http::new(self.plugin.clone())))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn on_tick(&mut self) {
        if let Some(plugin) = &self.plugin {
            plugins::with(|plugins| plugin.tick(|hash| plugins.requests(&plugin.name, hash)));
        }
    }
}

impl Context for Root {
    fn on_http_call_response(&mut self, token: u32, num_headers: usize, _body: usize, num_trailers: usize) {
        let Some(plugin) = &self.plugin else { return };
        let is_last = plugin.answered(token, num_headers, num_trailers);
        if is_last && plugins::with(|plugins| plugins.ended(plugin)) {
            host::done();
        }
    }

    /// The policy was replaced, and its last request has ended. Waits for the copies in flight,
    /// each of which has a timeout.
    fn on_done(&mut self) -> bool {
        self.plugin.as_ref().is_none_or(|plugin| plugins::with(|plugins| plugins.end(plugin)))
    }
}

/// The plugin as the host configures it; `None` if its policy has errors.
///
/// Errors come up on the main thread before any worker loads the policy. A worker that has no memory
/// for a policy goes on with the one before.
fn configure(size: usize) -> Option<Plugin> {
    let name = host::plugin_name();
    if !can_load(size) {
        plugins::with(|plugins| plugins.forget_replaced(0));
    }
    if !can_load(size) {
        let newest = plugins::with(|plugins| plugins.newest(&name));
        log::error!("traffic policy: no memory to load {size} bytes; the policy before stays in force on this worker");
        return newest.map(|loaded| Plugin::new(name, Vec::new(), loaded));
    }
    match Plugin::load(name, host::plugin_configuration(size)) {
        Ok((plugin, warnings)) => {
            for warning in &warnings {
                log::warn!("traffic policy: {warning}");
            }
            let endpoints = plugin.endpoints();
            let version = metrics::VERSION;
            log::info!("traffic policy in force: {endpoints} endpoints (filter version {version})");
            Some(plugin)
        }
        Err(errors) => {
            for error in &errors.0 {
                log::error!("traffic policy refused: {error}");
            }
            None
        }
    }
}
