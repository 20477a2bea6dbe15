//! The host: every call to Envoy, in bytes.
//!
//! The SDK panics on what it does not expect, and a panic takes the worker's VM with it. So each function here says
//! when it may be called; outside that, the SDK would panic.

use std::cell::OnceCell;
use std::slice;
use std::time::{Duration, SystemTime};

use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, MapType, Status};

pub(super) use proxy_wasm::types::MetricType;

use policy::Request;

/// The request whose headers the host is showing. Use it in the request-header phase only.
///
/// One header costs about as much to read as half of all of them, and a missing one a tenth. So headers are read one by
/// one as they are asked for, unless the policy may ask for several; and each is read once.
pub(super) struct HostRequest {
    reads_all: bool,
    all: OnceCell<Vec<(String, Vec<u8>)>>,
    /// First values of single headers.
    single: Memo<Option<Vec<u8>>>,
    properties: Memo<Option<Vec<u8>>>,
}

impl HostRequest {
    /// A request, of which a policy may ask for `headers_asked` different headers.
    pub(super) fn new(headers_asked: usize) -> Self {
        const SEVERAL: usize = 3;
        let (single, properties) = (Memo::default(), Memo::default());
        Self { reads_all: headers_asked >= SEVERAL, all: OnceCell::new(), single, properties }
    }

    fn all(&self) -> &[(String, Vec<u8>)] {
        self.all.get_or_init(request_headers)
    }
}

impl Request for HostRequest {
    fn header<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        if self.reads_all || self.all.get().is_some() {
            return Values { request: self, name, first: None, rest: Some(self.all().iter()) };
        }
        let first = self.single.get_or_read(name, || request_header(name)).as_deref();
        Values { request: self, name, first, rest: first.is_none().then(Default::default) }
    }

    fn source_address(&self) -> Option<&[u8]> {
        let read = || hostcalls::get_property(vec!["source", "address"]).ok().flatten();
        self.properties.get_or_read("source.address", read).as_deref()
    }

    fn property(&self, path: &[String]) -> Option<&[u8]> {
        let read = || hostcalls::get_property(path.iter().map(String::as_str).collect()).ok().flatten();
        self.properties.get_or_read(&path.join("\0"), read).as_deref()
    }
}

/// The values of a header.
struct Values<'a> {
    request: &'a HostRequest,
    name: &'a str,
    /// The first value, if it was read alone.
    first: Option<&'a [u8]>,
    /// The headers that are still to look at. The host tells the first value alone: whether there are others, only all
    /// headers tell, which are read when that is asked.
    rest: Option<slice::Iter<'a, (String, Vec<u8>)>>,
}

impl<'a> Iterator for Values<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        let is_wanted = |header: &&(String, Vec<u8>)| header.0 == self.name;
        let rest = self.rest.get_or_insert_with(|| {
            let mut all = self.request.all().iter();
            all.find(is_wanted);
            all
        });
        rest.find(is_wanted).map(|(_, value)| value.as_slice())
    }
}

/// Values by name, each read once. It only grows, so that what it has handed out stays.
struct Memo<V>(OnceCell<Box<Remembered<V>>>);

struct Remembered<V> {
    name: String,
    value: V,
    next: Memo<V>,
}

impl<V> Default for Memo<V> {
    fn default() -> Self {
        Self(OnceCell::new())
    }
}

impl<V> Memo<V> {
    fn get_or_read(&self, name: &str, read: impl FnOnce() -> V) -> &V {
        let mut memo = self;
        while let Some(remembered) = memo.0.get() {
            if remembered.name == name {
                return &remembered.value;
            }
            memo = &remembered.next;
        }
        let remember = || Box::new(Remembered { name: name.to_owned(), value: read(), next: Self::default() });
        &memo.0.get_or_init(remember).value
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

/// Adds a response header, beside others of its name. In the response-header phase only.
pub(super) fn add_response_header(name: &str, value: &str) {
    let result = hostcalls::add_map_value_bytes(MapType::HttpResponseHeaders, name, value.as_bytes());
    report("add a response header", result);
}

/// All request headers, in order. In the request-header phase and in `on_log`; elsewhere it is empty.
pub(super) fn request_headers() -> Vec<(String, Vec<u8>)> {
    hostcalls::get_map_bytes(MapType::HttpRequestHeaders).unwrap_or_default()
}

/// Whether the request came as far as to its cluster. In `on_log` only.
pub(super) fn was_forwarded() -> bool {
    let attempts = hostcalls::get_property(vec!["upstream", "request_attempt_count"]).ok().flatten();
    attempts.is_some_and(|count| count.iter().any(|byte| *byte != 0))
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

/// Records a value in a histogram, or sets a gauge.
pub(super) fn record(metric: u32, value: u64) {
    report("record", hostcalls::record_metric(metric, value));
}

/// The status of the response; 0 if there was none. In `on_log` only.
pub(super) fn response_status() -> u64 {
    let code = hostcalls::get_property(vec!["response", "code"]).ok().flatten();
    code.and_then(|code| Some(u64::from_le_bytes(code.try_into().ok()?))).unwrap_or_default()
}

/// Sets a filter state, which Envoy keeps under the name `wasm.` and this one.
pub(super) fn set_filter_state(name: &str, value: &str) {
    report("set a filter state", hostcalls::set_property(vec![name], Some(value.as_bytes())));
}

fn report(action: &str, result: Result<(), Status>) {
    if let Err(status) = result {
        log::error!("the host could not {action}: {status:?}");
    }
}
