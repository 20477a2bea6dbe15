//! A control plane that serves the filter and its policy over gRPC, as Istio does, and records how
//! Envoy replies.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use envoy_types::pb::envoy::config::core::v3::{
    AsyncDataSource, BackoffStrategy, DataSource, TypedExtensionConfig, async_data_source, data_source,
};
use envoy_types::pb::envoy::extensions::filters::http::wasm::v3::Wasm;
use envoy_types::pb::envoy::extensions::wasm::v3::{
    CapabilityRestrictionConfig, FailurePolicy, PluginConfig, ReloadConfig, SanitizationConfig, VmConfig, plugin_config,
};
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use envoy_types::pb::google::protobuf::{Duration as ProtobufDuration, StringValue};
use envoy_types::util::pack_any;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::WatchStream;
use tokio_stream::{Stream, StreamExt};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

use crate::cargo::build_wasm;
use crate::{PATIENCE, read_yaml};

/// The type of the only resource: a filter with its configuration.
const EXTENSION: &str = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig";

/// The name of the only resource: the filter's name in `envoy.yaml`.
const NAME: &str = "traffic-policy";

/// An ADS server for one Envoy. Dropping the value stops it.
pub struct ControlPlane {
    /// The address on which it listens.
    pub address: SocketAddr,
    module: PathBuf,
    version: u64,
    offer: watch::Sender<Option<DiscoveryResponse>>,
    replies: mpsc::UnboundedReceiver<DiscoveryRequest>,
    server: JoinHandle<Result<(), tonic::transport::Error>>,
}

/// How Envoy replies to a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It has accepted the version.
    Ack,
    /// It has refused the version, for this reason.
    Nack(String),
}

impl ControlPlane {
    /// Starts a control plane that has nothing to serve yet.
    ///
    /// # Errors
    /// When there is no free port, or the filter does not build.
    pub async fn start() -> anyhow::Result<Self> {
        let module = build_wasm()?;
        let incoming = TcpIncoming::bind(SocketAddr::from(([127, 0, 0, 1], 0))).map_err(|error| anyhow!(error))?;
        let address = incoming.local_addr()?;
        let (offer, offered) = watch::channel(None);
        let (heard, replies) = mpsc::unbounded_channel();
        let service = AggregatedDiscoveryServiceServer::new(Service { offered, heard });
        let server = tokio::spawn(Server::builder().serve_with_incoming(service, incoming));
        Ok(Self { address, module, version: 0, offer, replies, server })
    }

    /// Serves the filter with this policy, as a new version, and waits for Envoy's reply.
    ///
    /// # Errors
    /// When Envoy does not reply, or accepts another version.
    pub async fn push(&mut self, policy: &str) -> anyhow::Result<Reply> {
        self.version += 1;
        let (version, nonce) = (self.version.to_string(), format!("nonce-{}", self.version));
        self.offer.send_replace(Some(DiscoveryResponse {
            version_info: version.clone(),
            resources: vec![pack_any(extension(&self.module, policy)?)],
            type_url: EXTENSION.to_owned(),
            nonce: nonce.clone(),
            ..DiscoveryResponse::default()
        }));
        let reply = tokio::time::timeout(PATIENCE, async {
            loop {
                let reply = self.replies.recv().await.context("the control plane has ended")?;
                if reply.response_nonce == nonce {
                    return anyhow::Ok(reply);
                }
            }
        });
        let reply = reply.await.with_context(|| format!("Envoy does not reply to version {version}"))??;
        if let Some(error) = reply.error_detail {
            return Ok(Reply::Nack(error.message));
        }
        ensure!(reply.version_info == version, "Envoy accepts version {}, not {version}", reply.version_info);
        Ok(Reply::Ack)
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// The service behind each of Envoy's streams.
struct Service {
    offered: watch::Receiver<Option<DiscoveryResponse>>,
    heard: mpsc::UnboundedSender<DiscoveryRequest>,
}

/// The responses of a stream.
type Responses<R> = Pin<Box<dyn Stream<Item = Result<R, Status>> + Send>>;

#[tonic::async_trait]
impl AggregatedDiscoveryService for Service {
    type StreamAggregatedResourcesStream = Responses<DiscoveryResponse>;
    type DeltaAggregatedResourcesStream = Responses<DeltaDiscoveryResponse>;

    async fn stream_aggregated_resources(
        &self,
        request: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        let mut requests = request.into_inner();
        let asked = requests.message().await?.ok_or_else(|| Status::invalid_argument("no request"))?;
        if asked.type_url != EXTENSION || asked.resource_names != [NAME] {
            let what = format!("the only resource is the {EXTENSION} {NAME}, not {:?}", asked.resource_names);
            return Err(Status::not_found(what));
        }
        let heard = self.heard.clone();
        // This task ends with the stream.
        tokio::spawn(async move {
            while let Ok(Some(request)) = requests.message().await {
                // This fails only if the test has ended.
                let _ = heard.send(request);
            }
        });
        // The newest version at once, and then each that follows.
        let responses = WatchStream::new(self.offered.clone()).filter_map(|newest| newest.map(Ok));
        Ok(Response::new(Box::pin(responses)))
    }

    async fn delta_aggregated_resources(
        &self,
        _: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        Err(Status::unimplemented("only state of the world"))
    }
}

/// The filter of `envoy/traffic-policy.yaml`, with another module and policy.
fn extension(module: &Path, policy: &str) -> anyhow::Result<TypedExtensionConfig> {
    let shipped = read_yaml("envoy/traffic-policy.yaml")?;
    let config = shipped.pointer("/resources/0/typed_config/config").context("there is no filter")?;
    let value = |pointer: &str| config.pointer(pointer).with_context(|| format!("the filter has no {pointer}"));
    let text = |pointer: &str| value(pointer)?.as_str().with_context(|| format!("{pointer} is not a string"));
    let failure_policy = FailurePolicy::from_str_name(text("/failure_policy")?).context("no such failure policy")?;
    let base_interval = Some(duration(text("/reload_config/backoff/base_interval")?)?);
    let backoff = BackoffStrategy { base_interval, max_interval: None };
    let capabilities = value("/vm_config/capability_restriction_config/allowed_capabilities")?;
    let capabilities = capabilities.as_object().context("the capabilities are not an object")?.keys();
    let allowed_capabilities = capabilities.map(|name| (name.clone(), SanitizationConfig {})).collect();
    let filename = module.to_str().context("the module's path is not UTF-8")?.to_owned();
    let code = DataSource { specifier: Some(data_source::Specifier::Filename(filename)), ..DataSource::default() };
    let vm_config = VmConfig {
        runtime: text("/vm_config/runtime")?.to_owned(),
        code: Some(AsyncDataSource { specifier: Some(async_data_source::Specifier::Local(code)) }),
        capability_restriction_config: Some(CapabilityRestrictionConfig { allowed_capabilities }),
        ..VmConfig::default()
    };
    let plugin = PluginConfig {
        name: text("/name")?.to_owned(),
        configuration: Some(pack_any(StringValue { value: policy.to_owned() })),
        failure_policy: failure_policy.into(),
        reload_config: Some(ReloadConfig { backoff: Some(backoff) }),
        vm: Some(plugin_config::Vm::VmConfig(vm_config)),
        ..PluginConfig::default()
    };
    let filter = Wasm { config: Some(plugin) };
    Ok(TypedExtensionConfig { name: NAME.to_owned(), typed_config: Some(pack_any(filter)) })
}

/// A duration in protobuf's JSON, such as `0.1s`.
fn duration(text: &str) -> anyhow::Result<ProtobufDuration> {
    let seconds = text.strip_suffix('s').with_context(|| format!("{text} is not a duration"))?;
    let duration = Duration::try_from_secs_f64(seconds.parse()?)?;
    Ok(ProtobufDuration { seconds: duration.as_secs().try_into()?, nanos: duration.subsec_nanos().try_into()? })
}
