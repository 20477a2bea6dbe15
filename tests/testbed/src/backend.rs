//! Backends: small HTTP servers that count, and remember what they were sent.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The response header that names the backend: who really answered, whatever the filter says.
pub const SERVED_BY: &str = "x-served-by";

/// A server for HTTP/1.1 and HTTP/2 that answers 200 with its name. It ends with the value.
pub struct Backend {
    /// Its name, which is also the Envoy cluster's.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
    state: Arc<State>,
    server: JoinHandle<()>,
}

/// A request as a backend got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    pub method: String,
    /// With the query.
    pub path: String,
    /// In order, names in lower case.
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Bytes,
}

#[derive(Default)]
struct State {
    count: AtomicU64,
    remembers: AtomicBool,
    delay_ms: AtomicU64,
    received: Mutex<Vec<Received>>,
}

impl Backend {
    /// Starts a backend on `address`; port 0 takes a free one.
    ///
    /// # Errors
    /// When the port is taken.
    pub async fn start(name: &str, address: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State::default());
        let server = tokio::spawn(serve(listener, name.to_owned(), Arc::clone(&state)));
        Ok(Self { name: name.to_owned(), address, state, server })
    }

    /// Starts a backend for each name, each on a free port of this machine.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn start_all<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> std::io::Result<Vec<Self>> {
        let mut backends = Vec::new();
        for name in names {
            backends.push(Self::start(name.as_ref(), SocketAddr::from(([127, 0, 0, 1], 0))).await?);
        }
        Ok(backends)
    }

    /// How many requests it has got since the last call.
    pub fn take_count(&self) -> u64 {
        self.state.count.swap(0, Ordering::Relaxed)
    }

    /// How many requests it has got since the last [`Backend::take_count`].
    pub fn count(&self) -> u64 {
        self.state.count.load(Ordering::Relaxed)
    }

    /// From now on remembers each request.
    pub fn remember(&self) {
        self.state.remembers.store(true, Ordering::Relaxed);
    }

    /// The requests that it remembers; it forgets them.
    pub fn take_received(&self) -> Vec<Received> {
        std::mem::take(&mut *self.state.received.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on answers after `delay`.
    pub fn answer_after(&self, delay: Duration) {
        self.state.delay_ms.store(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Received {
    /// The values of the header `name`, in order, as text.
    pub fn header(&self, name: &str) -> Vec<String> {
        let values = self.headers.iter().filter(|(known, _)| known == name);
        values.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
    }
}

async fn serve(listener: TcpListener, name: String, state: Arc<State>) {
    // Connections end with this task.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (name, state) = (name.clone(), Arc::clone(&state));
        connections.spawn(async move {
            let service = service_fn(move |request| answer(request, name.clone(), Arc::clone(&state)));
            // A client that breaks off is no concern of the backend's.
            let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(
    request: Request<Incoming>,
    name: String,
    state: Arc<State>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    if state.remembers.load(Ordering::Relaxed) {
        let headers = head.headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()));
        state.received.lock().unwrap_or_else(PoisonError::into_inner).push(Received {
            method: head.method.to_string(),
            path: head.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
            headers: headers.collect(),
            body,
        });
    }
    // Counted last: who waits for a count finds the request remembered.
    state.count.fetch_add(1, Ordering::Relaxed);
    let delay = state.delay_ms.load(Ordering::Relaxed);
    if delay > 0 {
        tokio::time::sleep(Duration::from_millis(delay)).await;
    }
    let mut response = Response::new(Full::from(format!("{name}\n")));
    if let Ok(value) = name.parse() {
        response.headers_mut().insert(SERVED_BY, value);
    }
    Ok(response)
}
