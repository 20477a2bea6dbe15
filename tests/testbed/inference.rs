//! A server and a client of the Open Inference Protocol over gRPC, as model servers speak it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context as Task, Poll};

use anyhow::anyhow;
use tokio::runtime::{Builder, Runtime};
use tokio_stream::{Stream, StreamExt};
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::{Grpc, NamedService, ServerStreamingService, UnaryService};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Code, Request, Response, Status};
use tonic_prost::ProstCodec;

use crate::socket::ANY_PORT;

const SERVICE: &str = "inference.GRPCInferenceService";
const INFER: &str = "/inference.GRPCInferenceService/ModelInfer";
const STREAM_INFER: &str = "/inference.GRPCInferenceService/ModelStreamInfer";

/// A request for an inference, as far as the tests need its fields.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct InferRequest {
    /// The name of the model.
    #[prost(string, tag = "1")]
    pub model_name: String,
    /// An id that the response repeats.
    #[prost(string, tag = "3")]
    pub id: String,
    /// The values of the inputs.
    #[prost(bytes = "vec", repeated, tag = "7")]
    pub raw_input_contents: Vec<Vec<u8>>,
}

/// The response to a request for an inference.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct InferResponse {
    /// The name of the model.
    #[prost(string, tag = "1")]
    pub model_name: String,
    /// The id of the request.
    #[prost(string, tag = "3")]
    pub id: String,
    /// The values of the outputs.
    #[prost(bytes = "vec", repeated, tag = "6")]
    pub raw_output_contents: Vec<Vec<u8>>,
}

/// A response of a stream.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct StreamInferResponse {
    /// The response.
    #[prost(message, optional, tag = "2")]
    pub infer_response: Option<InferResponse>,
}

/// A model server. Dropping the value stops it.
///
/// A call ends with the status that the id of its request asks for, see [`id`].
pub struct InferenceServer {
    /// The address on which it listens.
    pub address: SocketAddr,
    /// Its connections end with it.
    runtime: Option<Runtime>,
}

/// The id of a call that ends with these statuses, by the name of the server.
pub fn id(statuses: &[(&str, Code)]) -> String {
    let one = |(server, code): &(&str, Code)| format!("{server}={}", *code as i32);
    statuses.iter().map(one).collect::<Vec<_>>().join(",")
}

impl InferenceServer {
    /// Starts a model server with this name.
    ///
    /// # Errors
    /// When there is no free port.
    pub fn start(name: &'static str) -> anyhow::Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let guard = runtime.enter();
        let incoming = TcpIncoming::bind(ANY_PORT).map_err(|error| anyhow!(error))?;
        drop(guard);
        let address = incoming.local_addr()?;
        runtime.spawn(Server::builder().serve_with_incoming(Inference { name }, incoming));
        Ok(Self { address, runtime: Some(runtime) })
    }
}

impl Drop for InferenceServer {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A client of model servers.
pub struct InferenceClient(tonic::client::Grpc<Channel>);

impl InferenceClient {
    /// A client of the server or proxy at `address`.
    ///
    /// # Errors
    /// When nothing listens there.
    pub async fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let channel = Endpoint::from_shared(format!("http://{address}"))?.connect().await?;
        Ok(Self(tonic::client::Grpc::new(channel)))
    }

    /// A call whose response has no body if it fails.
    ///
    /// # Errors
    /// With the status of the call.
    pub async fn infer(&mut self, id: &str) -> Result<InferResponse, Status> {
        self.0.ready().await.map_err(|error| Status::internal(error.to_string()))?;
        let codec = ProstCodec::<InferRequest, InferResponse>::default();
        Ok(self.0.unary(request(id), http::uri::PathAndQuery::from_static(INFER), codec).await?.into_inner())
    }

    /// A call that gets one response, and then its status in the trailers.
    ///
    /// # Errors
    /// With the status of the call.
    pub async fn stream_infer(
        &mut self,
        id: &str,
    ) -> Result<impl Stream<Item = Result<InferResponse, Status>> + use<>, Status> {
        self.0.ready().await.map_err(|error| Status::internal(error.to_string()))?;
        let codec = ProstCodec::<InferRequest, StreamInferResponse>::default();
        let path = http::uri::PathAndQuery::from_static(STREAM_INFER);
        let responses = self.0.server_streaming(request(id), path, codec).await?.into_inner();
        Ok(responses.map(|response| response.map(|response| response.infer_response.unwrap_or_default())))
    }
}

fn request(id: &str) -> Request<InferRequest> {
    let request = InferRequest { model_name: "ranker".into(), id: id.into(), raw_input_contents: vec![vec![1; 16]] };
    Request::new(request)
}

/// The service of a model server.
#[derive(Clone, Copy)]
struct Inference {
    name: &'static str,
}

impl Inference {
    /// The response to a request, and the status with which the call ends.
    fn response(self, request: InferRequest) -> (InferResponse, Status) {
        let InferRequest { model_name, id, raw_input_contents } = request;
        let asked = id.split(',').find_map(|part| part.split_once('=').filter(|(server, _)| *server == self.name));
        let code = asked.and_then(|(_, code)| code.parse().ok()).map_or(Code::Ok, Code::from_i32);
        (InferResponse { model_name, id, raw_output_contents: raw_input_contents }, Status::new(code, "as asked"))
    }
}

impl NamedService for Inference {
    const NAME: &'static str = SERVICE;
}

impl Service<http::Request<Body>> for Inference {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Task<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let service = *self;
        Box::pin(async move {
            Ok(match request.uri().path() {
                INFER => Grpc::new(ProstCodec::default()).unary(Infer(service), request).await,
                STREAM_INFER => Grpc::new(ProstCodec::default()).server_streaming(StreamInfer(service), request).await,
                _ => Status::unimplemented("no such method").into_http(),
            })
        })
    }
}

struct Infer(Inference);

impl UnaryService<InferRequest> for Infer {
    type Response = InferResponse;
    type Future = BoxFuture<Response<InferResponse>, Status>;

    fn call(&mut self, request: Request<InferRequest>) -> Self::Future {
        let (response, status) = self.0.response(request.into_inner());
        let result = if status.code() == Code::Ok { Ok(Response::new(response)) } else { Err(status) };
        Box::pin(std::future::ready(result))
    }
}

struct StreamInfer(Inference);

impl ServerStreamingService<InferRequest> for StreamInfer {
    type Response = StreamInferResponse;
    type ResponseStream = Pin<Box<dyn Stream<Item = Result<StreamInferResponse, Status>> + Send>>;
    type Future = BoxFuture<Response<Self::ResponseStream>, Status>;

    /// Streams without end if the server is not named in the id.
    fn call(&mut self, request: Request<InferRequest>) -> Self::Future {
        let is_endless = !request.get_ref().id.contains(self.0.name);
        let (response, status) = self.0.response(request.into_inner());
        let first = tokio_stream::once(Ok(StreamInferResponse { infer_response: Some(response) }));
        let stream: Self::ResponseStream = if is_endless {
            Box::pin(first.chain(tokio_stream::pending()))
        } else {
            let end = (status.code() != Code::Ok).then_some(Err(status));
            Box::pin(first.chain(tokio_stream::iter(end)))
        };
        Box::pin(std::future::ready(Ok(Response::new(stream))))
    }
}
