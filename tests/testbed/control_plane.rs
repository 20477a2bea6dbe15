//! A control plane that gives Envoy the filter and its policy over gRPC, as Istio's does, and hears what Envoy says to it.

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
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::WatchStream;
use tokio_stream::{Stream, StreamExt};
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

use crate::envoy::{connection_manager, read_yaml};
use crate::{PATIENCE, build_wasm};

/// The type of the one resource: a filter with its configuration.
const EXTENSION: &str = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig";

/// The name of the one resource, which is the filter's in `envoy.yaml`.
const NAME: &str = "traffic-policy";

/// An ADS server for one Envoy. It ends with the value.
pub struct ControlPlane {
    /// Where it listens.
    pub address: SocketAddr,
    module: PathBuf,
    version: u64,
    offer: watch::Sender<Option<DiscoveryResponse>>,
    replies: mpsc::UnboundedReceiver<DiscoveryRequest>,
    server: JoinHandle<Result<(), tonic::transport::Error>>,
}

/// What Envoy says to a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It has taken it.
    Ack,
    /// It has refused it, for this reason.
    Nack(String),
}

impl ControlPlane {
    /// Starts a control plane that has nothing to give yet.
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

    /// Gives Envoy the filter with this policy, as a version of its own, and waits for what Envoy says to it.
    ///
    /// # Errors
    /// When Envoy says nothing, or takes another version.
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
        let reply = reply.await.with_context(|| format!("Envoy says nothing to version {version}"))??;
        if let Some(error) = reply.error_detail {
            return Ok(Reply::Nack(error.message));
        }
        ensure!(reply.version_info == version, "Envoy takes version {}, not {version}", reply.version_info);
        Ok(Reply::Ack)
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// What each of Envoy's streams is served from.
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
            let what = format!("there is only the {EXTENSION} {NAME}, not {:?}", asked.resource_names);
            return Err(Status::not_found(what));
        }
        let heard = self.heard.clone();
        // It ends with the stream.
        tokio::spawn(async move {
            while let Ok(Some(request)) = requests.message().await {
                // Nobody listens any more: the test has ended.
                let _ = heard.send(request);
            }
        });
        // The newest at once, and each that follows.
        let responses = WatchStream::new(self.offered.clone()).filter_map(|newest| newest.map(Ok));
        Ok(Response::new(Box::pin(responses)))
    }

    async fn delta_aggregated_resources(
        &self,
        _: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        Err(Status::unimplemented("the state of the world only"))
    }
}

/// The filter as `envoy/traffic-policy.yaml` has it, with another module and policy.
fn extension(module: &Path, policy: &str) -> anyhow::Result<TypedExtensionConfig> {
    let shipped = read_yaml("envoy/traffic-policy.yaml")?;
    let config = shipped.pointer("/resources/0/typed_config/config").context("there is no filter")?;
    let value = |pointer: &str| config.pointer(pointer).with_context(|| format!("the filter has no {pointer}"));
    let text = |pointer: &str| value(pointer)?.as_str().with_context(|| format!("{pointer} is no string"));
    let failure_policy = FailurePolicy::from_str_name(text("/failure_policy")?).context("no such failure policy")?;
    let base_interval = Some(duration(text("/reload_config/backoff/base_interval")?)?);
    let backoff = BackoffStrategy { base_interval, max_interval: None };
    let capabilities = value("/vm_config/capability_restriction_config/allowed_capabilities")?;
    let capabilities = capabilities.as_object().context("the capabilities are no object")?.keys();
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

/// A duration as protobuf's JSON has it, such as `0.1s`.
fn duration(text: &str) -> anyhow::Result<ProtobufDuration> {
    let seconds = text.strip_suffix('s').with_context(|| format!("{text} is no duration"))?;
    let duration = Duration::try_from_secs_f64(seconds.parse()?)?;
    Ok(ProtobufDuration { seconds: duration.as_secs().try_into()?, nanos: duration.subsec_nanos().try_into()? })
}

/// Lets an Envoy of this bootstrap ask the control plane at `address` for the filter, rather than read it from a file.
pub(crate) fn discover(bootstrap: &mut Value, address: SocketAddr) {
    // As in Istio, however long that takes, nothing is served before the filter has come.
    connection_manager(bootstrap)["http_filters"][0]["config_discovery"]["config_source"] =
        json!({ "ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s" });
    let service = json!({ "envoy_grpc": { "cluster_name": "control-plane" } });
    bootstrap["dynamic_resources"]["ads_config"] =
        json!({ "api_type": "GRPC", "transport_api_version": "V3", "grpc_services": [service] });
    let host = json!({ "address": address.ip().to_string(), "port_value": address.port() });
    let endpoint = json!({ "endpoint": { "address": { "socket_address": host } } });
    let http = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    let cluster = json!({
        "name": "control-plane",
        "type": "STATIC",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": { http: {
            "@type": format!("type.googleapis.com/{http}"), "explicit_http_config": { "http2_protocol_options": {} } } },
        "load_assignment": { "cluster_name": "control-plane", "endpoints": [{ "lb_endpoints": [endpoint] }] },
    });
    if let Some(clusters) = bootstrap["static_resources"]["clusters"].as_array_mut() {
        clusters.push(cluster);
    }
}
