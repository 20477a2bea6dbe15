//! Backends: small HTTP servers that count and remember the requests they get.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::socket::ANY_PORT;

/// The response header in which a backend names itself. It shows who answered, whatever the filter
/// reports.
pub const SERVED_BY: &str = "x-served-by";

/// A server for HTTP/1.1 and HTTP/2 that answers 200 with its name. Dropping the value stops it.
pub struct Backend {
    /// Its name, which is also the Envoy cluster's.
    pub name: String,
    /// The address on which it listens.
    pub address: SocketAddr,
    state: Arc<State>,
    server: JoinHandle<()>,
}

/// A request as a backend got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The method.
    pub method: String,
    /// The path with the query.
    pub path: String,
    /// The headers in order, names in lower case. The authority is `host`.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The whole body.
    pub body: Bytes,
    /// The trailers in order, names in lower case.
    pub trailers: Vec<(String, Vec<u8>)>,
}

/// How a backend answers.
#[derive(Clone, Copy, Debug)]
pub struct Behaviour {
    /// How long to wait after the request has come in whole.
    pub delay: Duration,
    /// The status, or `None` to close the connection without an answer.
    pub status: Option<StatusCode>,
    /// Answers one in this many requests with 500, or none if this is `None`.
    pub fails_one_in: Option<u64>,
    /// The size of the body in bytes. If this is `None`, the body is the backend's name.
    pub body_bytes: Option<usize>,
}

#[derive(Default)]
struct State {
    count: AtomicU64,
    body_bytes: AtomicU64,
    remembers: AtomicBool,
    behaviour: Mutex<Behaviour>,
    received: Mutex<Vec<Received>>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self { delay: Duration::ZERO, status: Some(StatusCode::OK), fails_one_in: None, body_bytes: None }
    }
}

impl Backend {
    /// Starts a backend on `address`. Port 0 is any free port.
    ///
    /// # Errors
    /// When the port is in use.
    pub async fn start(name: &str, address: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State::default());
        let server = tokio::spawn(serve(listener, name.to_owned(), Arc::clone(&state)));
        Ok(Self { name: name.to_owned(), address, state, server })
    }

    /// Starts a backend for each name, each on a free port.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn start_all<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> std::io::Result<Vec<Self>> {
        let mut backends = Vec::new();
        for name in names {
            backends.push(Self::start(name.as_ref(), ANY_PORT).await?);
        }
        Ok(backends)
    }

    /// How many requests it has got since the last call. Sets the count to 0.
    pub fn take_count(&self) -> u64 {
        self.state.count.swap(0, Ordering::Relaxed)
    }

    /// How many requests it has got since the last [`Backend::take_count`].
    pub fn count(&self) -> u64 {
        self.state.count.load(Ordering::Relaxed)
    }

    /// Remembers each request from now on.
    pub fn remember(&self) {
        self.state.remembers.store(true, Ordering::Relaxed);
    }

    /// Returns the requests that it remembers, and forgets them.
    pub fn take_received(&self) -> Vec<Received> {
        std::mem::take(&mut *lock(&self.state.received))
    }

    /// How many bytes of request bodies have come in, including those of unfinished requests.
    pub fn body_bytes(&self) -> u64 {
        self.state.body_bytes.load(Ordering::Relaxed)
    }

    /// Answers like this from now on.
    pub fn behave(&self, behaviour: Behaviour) {
        *lock(&self.state.behaviour) = behaviour;
    }

    /// Answers with 200 after `delay` from now on.
    pub fn answer_after(&self, delay: Duration) {
        self.behave(Behaviour { delay, ..Behaviour::default() });
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Received {
    /// The values of the header `name`, in order.
    pub fn header(&self, name: &str) -> Vec<String> {
        let values = self.headers.iter().filter(|(known, _)| known == name);
        values.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
    }
}

async fn serve(listener: TcpListener, name: String, state: Arc<State>) {
    // Connections end with this task.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Most likely there are too many open files. Some will be closed.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let (name, state) = (name.clone(), Arc::clone(&state));
        connections.spawn(async move {
            let service = service_fn(move |request| answer(request, name.clone(), Arc::clone(&state)));
            // An error means that the client has closed the connection.
            let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

/// The backend with this name.
///
/// # Panics
/// When there is none.
pub fn named<'a>(backends: &'a [Backend], name: &str) -> &'a Backend {
    backends.iter().find(|backend| backend.name == name).unwrap_or_else(|| panic!("no backend {name}"))
}

async fn answer(
    request: Request<Incoming>,
    name: String,
    state: Arc<State>,
) -> Result<Response<Full<Bytes>>, std::io::Error> {
    let (head, mut body) = request.into_parts();
    let mut bytes = Vec::new();
    let mut trailers = HeaderMap::new();
    while let Some(frame) = body.frame().await {
        match frame.map_err(std::io::Error::other)?.into_data() {
            Ok(data) => {
                state.body_bytes.fetch_add(data.len() as u64, Ordering::Relaxed);
                bytes.extend_from_slice(&data);
            }
            Err(frame) => trailers = frame.into_trailers().unwrap_or_default(),
        }
    }
    if state.remembers.load(Ordering::Relaxed) {
        lock(&state.received).push(Received {
            method: head.method.to_string(),
            path: head.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
            headers: pairs(&head),
            body: bytes.into(),
            trailers: trailers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect(),
        });
    }
    // Counted last, so that a test that waits for a count finds the request remembered.
    let count = state.count.fetch_add(1, Ordering::Relaxed);
    let Behaviour { delay, status, fails_one_in, body_bytes } = *lock(&state.behaviour);
    tokio::time::sleep(delay).await;
    let fails = fails_one_in.is_some_and(|one_in| count.is_multiple_of(one_in));
    let status = if fails { Some(StatusCode::INTERNAL_SERVER_ERROR) } else { status };
    let Some(status) = status else { return Err(std::io::Error::other("closed on purpose")) };
    let body = match body_bytes {
        Some(size) => filler(size),
        None => Bytes::from(format!("{name}\n")),
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    if let Ok(value) = name.parse() {
        response.headers_mut().insert(SERVED_BY, value);
    }
    Ok(response)
}

/// The first `size` bytes, at most 64 MiB, of a large body that is made once.
fn filler(size: usize) -> Bytes {
    static FILLER: OnceLock<Bytes> = OnceLock::new();
    let filler = FILLER.get_or_init(|| vec![b'x'; 64 << 20].into());
    filler.slice(..size.min(filler.len()))
}

/// All headers. HTTP/2 carries the authority elsewhere, and HTTP/1.1 as the header `host`.
fn pairs(head: &http::request::Parts) -> Vec<(String, Vec<u8>)> {
    let authority = head.uri.authority().filter(|_| !head.headers.contains_key("host"));
    let authority = authority.map(|authority| ("host".to_owned(), authority.as_str().as_bytes().to_vec()));
    let headers = head.headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()));
    authority.into_iter().chain(headers).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
