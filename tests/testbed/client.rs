//! An HTTP client that sends any header and keeps its connections.

use std::convert::Infallible;
use std::net::SocketAddr;

use anyhow::Context;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Body;
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::backend::SERVED_BY;

/// A client of one proxy.
#[derive(Clone)]
pub struct Client {
    pool: Pool<HttpConnector, BoxBody<Bytes, Infallible>>,
    address: SocketAddr,
}

/// A version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Http {
    /// HTTP/1.1.
    V1,
    /// HTTP/2.
    V2,
}

/// A response with its whole body.
pub type Answer = Response<Bytes>;

impl Client {
    /// A client of the proxy at `address`, over this version of HTTP.
    pub fn new(address: SocketAddr, http: Http) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let mut builder = Pool::builder(TokioExecutor::new());
        Self { pool: builder.http2_only(http == Http::V2).build(connector), address }
    }

    /// Sends a GET request.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn get(&self, path: &str, headers: &[(&str, &str)]) -> anyhow::Result<Answer> {
        self.send("GET", path, headers.iter().map(|(name, value)| (*name, value.as_bytes())), Bytes::new()).await
    }

    /// Sends a request.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn send<'a>(
        &self,
        method: &str,
        path: &str,
        headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
        body: impl Into<Bytes>,
    ) -> anyhow::Result<Answer> {
        self.send_body(method, path, headers, Full::from(body.into())).await
    }

    /// Sends a request whose body may come piece by piece.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn send_body<'a>(
        &self,
        method: &str,
        path: &str,
        headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
        body: impl Body<Data = Bytes, Error = Infallible> + Send + Sync + 'static,
    ) -> anyhow::Result<Answer> {
        let mut request = Request::builder().method(method).uri(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(name, HeaderValue::from_bytes(value)?);
        }
        let response =
            self.pool.request(request.body(BoxBody::new(body))?).await.with_context(|| format!("{method} {path}"))?;
        let (head, body) = response.into_parts();
        Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
    }
}

/// The backend that gave this answer, if its status is 200.
pub fn served_by(answer: &Answer) -> Option<&str> {
    if answer.status() != StatusCode::OK {
        return None;
    }
    answer.headers().get(SERVED_BY)?.to_str().ok()
}
