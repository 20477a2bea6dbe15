//! The host: every call to Envoy, in bytes.
//!
//! The SDK panics on what it does not expect, and a panic takes the worker's VM with it. So each function here says
//! when it may be called; outside that, the SDK would panic.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::time::{Duration, SystemTime};

use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, MapType, Status};

pub(super) use proxy_wasm::types::MetricType;

use crate::request::Request;

/// The request whose headers the host is showing. Use it in the request-header phase only.
#[derive(Default)]
pub(super) struct HostRequest {
    path: OnceCell<Option<Vec<u8>>>,
    method: OnceCell<Option<Vec<u8>>>,
}

impl Request for HostRequest {
    fn path(&self) -> Option<Cow<'_, [u8]>> {
        self.path.get_or_init(|| request_header(":path")).as_deref().map(Cow::Borrowed)
    }

    fn method(&self) -> Option<Cow<'_, [u8]>> {
        self.method.get_or_init(|| request_header(":method")).as_deref().map(Cow::Borrowed)
    }

    fn header(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        request_header(name).map(Cow::Owned)
    }
}

fn request_header(name: &str) -> Option<Vec<u8>> {
    hostcalls::get_map_value_bytes(MapType::HttpRequestHeaders, name).ok().flatten()
}

/// Sets a request header, replacing what the client sent, or removes it. In the request-header phase only.
///
/// Envoy chooses the route anew after this.
pub(super) fn set_request_header(name: &str, value: Option<&str>) {
    let value = value.map(str::as_bytes);
    report("set a request header", hostcalls::set_map_value_bytes(MapType::HttpRequestHeaders, name, value));
}

/// Sets a response header. In the response-header phase only.
pub(super) fn set_response_header(name: &str, value: &str) {
    let value = Some(value.as_bytes());
    report("set a response header", hostcalls::set_map_value_bytes(MapType::HttpResponseHeaders, name, value));
}

/// All request headers, in order. In the request-header phase and in `on_log`; elsewhere it is empty.
pub(super) fn request_headers() -> Vec<(String, Vec<u8>)> {
    hostcalls::get_map_bytes(MapType::HttpRequestHeaders).unwrap_or_default()
}

/// The `size` bytes of the request body that have just come. In the request-body phase only.
pub(super) fn request_body_chunk(size: usize) -> Vec<u8> {
    hostcalls::get_buffer(BufferType::HttpRequestBody, 0, size).ok().flatten().unwrap_or_default()
}

/// The plugin's configuration. In `on_configure` only.
pub(super) fn plugin_configuration(size: usize) -> Vec<u8> {
    hostcalls::get_buffer(BufferType::PluginConfiguration, 0, size).ok().flatten().unwrap_or_default()
}

/// Calls `on_tick` of the root context once a period, or never again for zero.
pub(super) fn set_tick_period(period: Duration) {
    report("set the timer", hostcalls::set_tick_period(period));
}

/// Why a callout was not sent.
pub(super) enum CalloutError {
    /// No such cluster.
    UnknownCluster,
    /// No healthy host, or the cluster's circuit breaker is open.
    Unavailable,
}

/// Sends a request to `cluster`; the answer comes to the context that is being called. From a root context only, so
/// that there is a context to come to.
pub(super) fn dispatch(
    cluster: &str,
    headers: Vec<(&str, &str)>,
    body: &[u8],
    timeout: Duration,
) -> Result<u32, CalloutError> {
    let body = (!body.is_empty()).then_some(body);
    hostcalls::dispatch_http_call(cluster, headers, body, Vec::new(), timeout).map_err(|status| match status {
        Status::BadArgument => CalloutError::UnknownCluster,
        _ => CalloutError::Unavailable,
    })
}

/// A header of the answer to a callout. In `on_http_call_response` only, if the answer has headers.
pub(super) fn callout_header(name: &str) -> Option<Vec<u8>> {
    hostcalls::get_map_value_bytes(MapType::HttpCallResponseHeaders, name).ok().flatten()
}

/// Tells the host that a root context that answered `false` to `on_done` is done now.
pub(super) fn done() {
    report("end a root context", hostcalls::done());
}

/// The time since 1970.
pub(super) fn now() -> Duration {
    let now = hostcalls::get_current_time().unwrap_or(SystemTime::UNIX_EPOCH);
    now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// Defines a metric and returns its id in this VM. Each call makes a new id: resolve a name once.
pub(super) fn define_metric(kind: MetricType, name: &str) -> Option<u32> {
    hostcalls::define_metric(kind, name).ok()
}

/// Adds to a counter (above 0) or a gauge.
pub(super) fn add(metric: u32, amount: i64) {
    report("count", hostcalls::increment_metric(metric, amount));
}

/// Records a value in a histogram.
pub(super) fn record(histogram: u32, value: u64) {
    report("record", hostcalls::record_metric(histogram, value));
}

fn report(action: &str, result: Result<(), Status>) {
    if let Err(status) = result {
        log::error!("the host could not {action}: {status:?}");
    }
}
