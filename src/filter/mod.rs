//! The filter: the policy, applied to the requests of a proxy.

mod draws;
mod host;
mod http;
mod metrics;
mod root;
mod shadows;

use proxy_wasm::traits::RootContext;
use proxy_wasm::types::LogLevel;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| -> Box<dyn RootContext> { Box::new(root::Root::default()) });
}}
