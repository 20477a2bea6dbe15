//! Istio's objects: a WasmPlugin, and the objects that let routes follow the filter.

use clap::ValueEnum;
use policy::Policy;
use serde_json::{Value, json};

use super::address::{Addresses, host_and_port};
use super::clusters::clusters;
use super::envoy_filter::{Patch, envoy_filter};
use super::kubernetes::{Deployment, documents, set, without_nulls};
use super::mirror;
use super::virtual_service::{Options, Service};
use crate::error::Error;
use crate::verbs::target::Target;

/// The options of `render istio`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    pub target: Target,
    #[command(flatten)]
    deployment: Deployment,
    /// The gateway: the value of the label `istio` of its proxies.
    #[arg(long, default_value = "gateway")]
    gateway: String,
    /// Use the sidecars of the workloads with this label, for the requests that they send, rather
    /// than a gateway.
    #[arg(long, value_name = "LABEL=VALUE", value_parser = label, conflicts_with = "gateway", requires = "host")]
    sidecar: Option<(String, String)>,
    /// The host whose routes follow the filter: `ranker.prod.svc.cluster.local:8080`. By default
    /// all routes of the gateway; required with `--sidecar` and `--routes virtual-service`.
    #[arg(
        long,
        value_name = "HOST:PORT",
        value_parser = host_and_port
    )]
    host: Option<(String, u16)>,
    /// How routes follow the filter.
    #[arg(long, value_enum, default_value_t)]
    routes: Routes,
    #[command(flatten)]
    virtual_service: Options,
    #[command(flatten)]
    addresses: Addresses,
    /// The position of the filter in the chain. By default at the end, right before the router.
    #[arg(long, value_enum)]
    phase: Option<Phase>,
}

/// How Istio's routes follow the filter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Routes {
    /// An EnvoyFilter: routes take the cluster from the routing header. It may be any cluster that
    /// the proxy knows.
    #[default]
    EnvoyFilter,
    /// A VirtualService with a route for each cluster. It uses only Istio's own API, but has to be
    /// rendered again for each new backend.
    VirtualService,
    /// Only the WasmPlugin.
    None,
}

/// The position of the filter in Istio's chain of filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Phase {
    /// Before authentication.
    Authn,
    /// After authentication, before authorization.
    Authz,
    /// After authorization, before Istio's statistics.
    Stats,
}

impl Phase {
    /// The name in a WasmPlugin.
    fn name(self) -> &'static str {
        match self {
            Self::Authn => "AUTHN",
            Self::Authz => "AUTHZ",
            Self::Stats => "STATS",
        }
    }
}

fn label(text: &str) -> Result<(String, String), String> {
    let (label, value) = text.split_once('=').ok_or("write LABEL=VALUE")?;
    Ok((label.to_owned(), value.to_owned()))
}

/// Renders the objects.
///
/// # Errors
/// [`Error::Usage`] for an option without effect, [`Error::Wrong`] if the objects can't express the
/// policy.
pub fn render(arguments: &Arguments, policy: &Policy, document: &Value) -> Result<String, Error> {
    let Arguments { deployment, sidecar, host, routes, virtual_service, addresses, .. } = arguments;
    let clusters = clusters(policy, document);
    addresses.check(&clusters)?;
    let mut objects = vec![wasm_plugin(arguments, document)];
    if *routes == Routes::VirtualService {
        let instead = "use \"via\": \"callout\", or --routes envoy-filter";
        mirror::refuse(policy, "a VirtualService", instead)?;
        addresses.refuse_schemes("Istio takes the protocol from the port of the Service, by its `appProtocol`")?;
        let hosts = host.iter().map(|(host, _)| host.as_str()).collect();
        let sidecar = sidecar.as_ref().map(|(label, value)| (label.as_str(), value.as_str()));
        let service = Service { policy, document, name: None, addresses, hosts, sidecar };
        if let Some(path) = &virtual_service.into {
            return virtual_service.merged(path, &service);
        }
        objects.extend(virtual_service.objects(deployment, &service)?);
        return documents(&objects);
    }
    if !addresses.clusters.is_empty() || virtual_service.are_used() {
        let options = "--cluster, --into, --gateway-resource and --destination-rule";
        return Err(Error::Usage(format!("{options} have an effect only with --routes virtual-service")));
    }
    if *routes == Routes::EnvoyFilter {
        let patch =
            Patch { deployment, labels: arguments.labels(), is_sidecar: sidecar.is_some(), host: host.as_ref() };
        objects.push(envoy_filter(policy, &patch)?);
    }
    documents(&objects)
}

impl Arguments {
    /// Whether the output has the policy in it.
    pub fn has_policy(&self) -> bool {
        self.virtual_service.into.is_none()
    }

    /// The labels of the proxies.
    fn labels(&self) -> Value {
        match &self.sidecar {
            Some((label, value)) => json!({ label: value }),
            None => json!({ "istio": self.gateway }),
        }
    }
}

fn wasm_plugin(arguments: &Arguments, document: &Value) -> Value {
    let deployment = &arguments.deployment;
    let mut spec = json!({
        "selector": { "matchLabels": arguments.labels() },
        "url": format!("oci://{}", deployment.image),
        "pluginName": "traffic-policy",
        "failStrategy": "FAIL_RELOAD",
        "match": [{ "mode": "CLIENT" }],
        "pluginConfig": without_nulls(document),
    });
    if let Some(digest) = &deployment.sha256 {
        set(&mut spec, "sha256", json!(digest));
    }
    if let Some(phase) = arguments.phase {
        set(&mut spec, "phase", json!(phase.name()));
    }
    json!({
        "apiVersion": "extensions.istio.io/v1alpha1",
        "kind": "WasmPlugin",
        "metadata": deployment.metadata("traffic-policy"),
        "spec": spec,
    })
}
