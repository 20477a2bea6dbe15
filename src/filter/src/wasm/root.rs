//! The root context: hands Envoy's events over to its plugin.

use std::rc::Rc;

use policy::{Gist, IfInvalid, PolicyName};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

use super::http::Http;
use super::loaded::Loaded;
use super::plugin::{Plugin, can_load};
use super::{host, last_good, metrics, plugins};
use crate::digest::Digest;

/// The root context of the filter.
#[derive(Default)]
pub(super) struct Root {
    plugin: Option<Rc<Plugin>>,
}

impl RootContext for Root {
    /// Whether it fails depends on the configuration alone, unless memory runs out. If it failed on
    /// one worker only, Envoy would skip the filter there.
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
            plugins::with(|plugins| plugin.tick(|standing| plugins.requests(&plugin.name, standing)));
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

/// The plugin as the host configures it; `None` if its policy has errors and the host is to know.
///
/// Errors come up on the main thread before any worker loads the policy. A worker that has no memory
/// for a policy goes on with the one before.
fn configure(size: usize) -> Option<Plugin> {
    let name = host::plugin_name();
    if !has_memory(size) {
        let newest = plugins::with(|plugins| plugins.newest(&name));
        log::error!("traffic policy: no memory to load {size} bytes; the policy before stays in force on this worker");
        return newest.map(|loaded| Plugin::outdated(name, loaded));
    }
    let document = host::plugin_configuration(size);
    match Loaded::read(&document) {
        Ok((loaded, warnings)) => {
            let policy = &loaded.policy;
            let title = title(policy.name.as_ref());
            for warning in &warnings {
                log::warn!("{title}: {warning}");
            }
            let (endpoints, version) = (policy.endpoints.len(), metrics::VERSION);
            log::info!("{title} in force: {endpoints} endpoints (filter version {version})");
            let plugin = Plugin::new(name, document, loaded);
            plugin.remember();
            Some(plugin)
        }
        Err(errors) => {
            let gist = Gist::of(&document);
            let title = title(gist.name.as_ref());
            for error in &errors.0 {
                log::error!("{title} refused: {error}");
            }
            (gist.if_invalid == IfInvalid::Keep).then(|| without(name, Digest::of(&document), gist, &title))
        }
    }
}

/// The plugin whose policy was refused, without the host's knowledge: it goes on with the last good
/// policy.
fn without(name: String, configuration: Digest, gist: Gist, title: &str) -> Plugin {
    match kept(&name) {
        Ok((document, loaded)) => {
            log::warn!("{title} kept: the last good policy goes on");
            Plugin::keeping(name, configuration, document, loaded)
        }
        Err(problem) => {
            log::error!("{title} kept: {problem}; requests pass undecided");
            Plugin::passing(name, configuration, gist)
        }
    }
}

/// The last good policy of the plugin `name`, and its document.
#[cold]
fn kept(name: &str) -> Result<(Vec<u8>, Rc<Loaded>), String> {
    let digest = last_good::digest(name).ok_or("there is no good policy yet")?;
    let bytes = digest.document_bytes();
    let in_memory = plugins::with(|plugins| plugins.in_memory(name, digest));
    if in_memory.is_none() && !has_memory(bytes) {
        return Err(format!("no memory to load {bytes} bytes of the last good policy"));
    }
    let document = last_good::document(name);
    let loaded = match in_memory.filter(|_| Digest::of(&document) == digest) {
        Some(loaded) => loaded,
        None => {
            let read = Loaded::read(&document);
            read.map_err(|errors| format!("the last good policy is not valid any more: {errors}"))?.0
        }
    };
    Ok((document, loaded))
}

/// Whether there is the memory to load a document of so many bytes. If need be, replaced policies
/// make room.
fn has_memory(bytes: usize) -> bool {
    can_load(bytes) || {
        plugins::with(|plugins| plugins.forget_replaced(0));
        can_load(bytes)
    }
}

/// The start of log lines about a policy.
#[inline(never)]
fn title(name: Option<&PolicyName>) -> String {
    name.map_or("traffic policy".to_owned(), |name| format!("traffic policy {name}"))
}
