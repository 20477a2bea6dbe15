//! Makes all calls to the host.
//!
//! The SDK panics on unexpected results, and a panic ends the worker's VM. Each function here says
//! when it may be called; at other times the SDK would panic.

use std::time::{Duration, SystemTime};

use policy::is_grpc;
use policy::metrics::Kind;
use policy::shadow::Refusal;
use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, MapType, MetricType, Status};

use crate::registry::{MetricId, Publisher};
use crate::request::Reader;

const GRPC_STATUS: &str = "grpc-status";

/// The request whose headers are being processed. In the request-header phase only.
pub(super) struct CurrentRequest;

impl Reader for CurrentRequest {
    fn header(&self, name: &str) -> Option<Vec<u8>> {
        value(MapType::HttpRequestHeaders, name)
    }

    fn headers(&self) -> Vec<(String, Vec<u8>)> {
        request_headers()
    }

    fn property(&self, path: Vec<&str>) -> Option<Vec<u8>> {
        property(path)
    }
}

/// All request headers, in order. In the request-header phase and in `on_log`; otherwise empty.
pub(super) fn request_headers() -> Vec<(String, Vec<u8>)> {
    hostcalls::get_map_bytes(MapType::HttpRequestHeaders).unwrap_or_default()
}

/// Sets a request header and replaces all that the client sent, or removes it. In the
/// request-header phase only.
///
/// Envoy selects the route again after this.
pub(super) fn set_request_header(name: &str, value: Option<&str>) {
    let value = value.map(str::as_bytes);
    report("set a request header", hostcalls::set_map_value_bytes(MapType::HttpRequestHeaders, name, value));
}

/// Sets a response header. In the response-header phase only.
pub(super) fn set_response_header(name: &str, value: &str) {
    let value = Some(value.as_bytes());
    report("set a response header", hostcalls::set_map_value_bytes(MapType::HttpResponseHeaders, name, value));
}

/// Adds a response header, and keeps others of its name. In the response-header phase only.
pub(super) fn add_response_header(name: &str, value: &str) {
    let result = hostcalls::add_map_value_bytes(MapType::HttpResponseHeaders, name, value.as_bytes());
    report("add a response header", result);
}

/// The gRPC status of a response without a body; `None` if it is no gRPC. In the response-header
/// phase only.
pub(super) fn grpc_status_of_headers() -> Option<Vec<u8>> {
    let status = value(MapType::HttpResponseHeaders, GRPC_STATUS)?;
    grpc_content_type().map(|_| status)
}

/// The gRPC status in the trailers of a response. In the response-trailer phase only.
pub(super) fn grpc_status_of_trailers() -> Option<Vec<u8>> {
    value(MapType::HttpResponseTrailers, GRPC_STATUS)
}

/// The content type of the response, if it is one of gRPC. In the response-header phase and in
/// `on_log` only.
pub(super) fn grpc_content_type() -> Option<Vec<u8>> {
    let content_type = value(MapType::HttpResponseHeaders, "content-type");
    content_type.filter(|value| is_grpc(value))
}

/// Whether a content type of gRPC is one of gRPC-Web, whose trailers are part of the body.
pub(super) fn is_grpc_web(content_type: &[u8]) -> bool {
    content_type.starts_with(b"application/grpc-web")
}

/// Whether the client ended the request. In `on_log` only.
pub(super) fn was_cancelled() -> bool {
    let details = code_details();
    details.starts_with(b"downstream_") || details.ends_with(b".remote_reset")
}

/// Whether the request was forwarded to its cluster. In `on_log` only.
pub(super) fn was_forwarded() -> bool {
    let attempts = property(vec!["upstream", "request_attempt_count"]);
    attempts.is_some_and(|count| count.iter().any(|byte| *byte != 0))
}

/// Whether Envoy redirected the request internally: it then begins again as a new request, with the
/// same headers, changed. In `on_log` only.
pub(super) fn was_redirected() -> bool {
    code_details() == b"internal_redirect"
}

/// Whether the request went to another cluster than `cluster`. One that went to none did not. In
/// `on_log` only.
pub(super) fn was_misrouted(cluster: &str) -> bool {
    property(vec!["xds", "cluster_name"]).is_some_and(|name| name != cluster.as_bytes())
}

/// The status of the response; 0 if there was none. In `on_log` only.
pub(super) fn response_status() -> u64 {
    let code = property(vec!["response", "code"]);
    code.and_then(|code| Some(u64::from_le_bytes(code.try_into().ok()?))).unwrap_or_default()
}

/// The latest `size` bytes of the request body. In the request-body phase only.
pub(super) fn request_body_chunk(size: usize) -> Vec<u8> {
    hostcalls::get_buffer(BufferType::HttpRequestBody, 0, size).ok().flatten().unwrap_or_default()
}

/// The configuration of the plugin. In `on_configure` only.
pub(super) fn plugin_configuration(size: usize) -> Vec<u8> {
    hostcalls::get_buffer(BufferType::PluginConfiguration, 0, size).ok().flatten().unwrap_or_default()
}

/// The names that the configuration around the policy gives to the plugin, joined.
pub(super) fn plugin_name() -> String {
    let names = ["plugin_name", "plugin_root_id"].map(|name| property(vec![name]).unwrap_or_default());
    String::from_utf8_lossy(&names.join(&b'/')).into_owned()
}

/// A value that the threads of the process share, empty if there is none, and its version.
pub(super) fn shared_data(key: &str) -> (Vec<u8>, Option<u32>) {
    let (value, version) = hostcalls::get_shared_data(key).unwrap_or_default();
    (value.unwrap_or_default(), version)
}

/// Sets a value that the threads of the process share; `false` if it has another `version` now.
/// Without a version it is set in any case.
pub(super) fn set_shared_data(key: &str, value: &[u8], version: Option<u32>) -> bool {
    hostcalls::set_shared_data(key, Some(value), version).is_ok()
}

/// Sets a filter state. Envoy adds the prefix `wasm.` to its name.
pub(super) fn set_filter_state(name: &str, value: &str) {
    report("set a filter state", hostcalls::set_property(vec![name], Some(value.as_bytes())));
}

/// Calls `on_tick` of the root context once per period; a period of zero stops the calls.
pub(super) fn set_tick_period(period: Duration) {
    report("set the timer", hostcalls::set_tick_period(period));
}

/// Sends a request to `cluster`, and returns the token of its answer. From a root context only: the
/// answer goes to the context that sends.
pub(super) fn dispatch(
    cluster: &str,
    headers: Vec<(&str, &str)>,
    body: &[u8],
    timeout: Duration,
) -> Result<u32, Refusal> {
    let body = (!body.is_empty()).then_some(body);
    hostcalls::dispatch_http_call(cluster, headers, body, Vec::new(), timeout).map_err(|status| match status {
        Status::BadArgument => Refusal::UnknownCluster,
        _ => Refusal::Unavailable,
    })
}

/// A header of the answer to a callout. In `on_http_call_response` only, and only if the answer has
/// headers.
pub(super) fn callout_header(name: &str) -> Option<Vec<u8>> {
    value(MapType::HttpCallResponseHeaders, name)
}

/// The gRPC status of the answer to a callout, empty if it has none; `None` if the answer is no gRPC,
/// or has its status in the body. In `on_http_call_response` only, and only if the answer has
/// headers.
pub(super) fn callout_grpc_status(has_trailers: bool) -> Option<Vec<u8>> {
    let content_type = callout_header("content-type").filter(|value| is_grpc(value))?;
    let of_trailers = has_trailers.then(|| value(MapType::HttpCallResponseTrailers, GRPC_STATUS));
    let status = of_trailers.flatten().or_else(|| callout_header(GRPC_STATUS));
    status.or_else(|| (!is_grpc_web(&content_type)).then(Vec::new))
}

/// Ends a root context whose `on_done` returned `false`.
pub(super) fn done() {
    report("end a root context", hostcalls::done());
}

/// The time since 1970.
pub(super) fn now() -> Duration {
    let now = hostcalls::get_current_time().unwrap_or(SystemTime::UNIX_EPOCH);
    now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

/// The metrics of this VM. Each definition makes a new id: define a name once.
#[derive(Default)]
pub(super) struct Metrics;

impl Publisher for Metrics {
    fn define(&self, kind: Kind, name: &str) -> Option<MetricId> {
        let kind = match kind {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge => MetricType::Gauge,
            Kind::Histogram => MetricType::Histogram,
        };
        hostcalls::define_metric(kind, name).ok().map(MetricId)
    }

    fn set(&self, gauge: MetricId, value: u64) {
        record(gauge, value);
    }
}

/// Adds to a counter (above 0) or a gauge.
pub(super) fn add(metric: MetricId, amount: i64) {
    report("count", hostcalls::increment_metric(metric.0, amount));
}

/// Adds a value to a histogram, or sets a gauge.
pub(super) fn record(metric: MetricId, value: u64) {
    report("record", hostcalls::record_metric(metric.0, value));
}

/// How the response came about, in Envoy's words. In `on_log` only.
fn code_details() -> Vec<u8> {
    property(vec!["response", "code_details"]).unwrap_or_default()
}

/// The first value of a header or trailer.
fn value(map: MapType, name: &str) -> Option<Vec<u8>> {
    hostcalls::get_map_value_bytes(map, name).ok().flatten()
}

fn property(path: Vec<&str>) -> Option<Vec<u8>> {
    hostcalls::get_property(path).ok().flatten()
}

fn report(action: &str, result: Result<(), Status>) {
    if let Err(status) = result {
        log::error!("the host could not {action}: {status:?}");
    }
}
