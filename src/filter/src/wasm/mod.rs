//! The entry point, and the contexts that Envoy calls.

mod callouts;
mod host;
mod http;
mod last_good;
mod loaded;
mod metrics;
mod outbox;
mod plugin;
mod plugins;
mod publisher;
mod root;
mod target;
mod worker;

use proxy_wasm::traits::RootContext;
use proxy_wasm::types::LogLevel;

use root::Root;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| -> Box<dyn RootContext> { Box::new(Root::default()) });
}}
