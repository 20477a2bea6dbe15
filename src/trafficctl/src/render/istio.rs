//! Istio's objects: a WasmPlugin, and the objects that let routes follow the filter.

use clap::ValueEnum;
use policy::Policy;
use serde_json::{Value, json};

use super::address::Addresses;
use super::clusters::clusters;
use super::envoy_filter::{Patch, envoy_filter};
use super::inserted_route::RouteOptions;
use super::kubernetes::{Deployment, documents, if_invalid, in_front};
use super::mirror;
use super::policy_name::{PolicyName, object_name};
use super::proxies::Proxies;
use super::scope::{Host, Scope};
use super::services::Services;
use super::virtual_service::{Service, virtual_service};
use super::wasm_plugin::{PluginOptions, wasm_plugin};
use crate::error::Error;
use crate::verbs::target::Target;

/// The options of `render istio`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    pub target: Target,
    #[command(flatten)]
    name: PolicyName,
    #[command(flatten)]
    deployment: Deployment,
    #[command(flatten)]
    proxies: Proxies,
    #[command(flatten)]
    scope: Scope,
    #[command(flatten)]
    services: Services,
    #[command(flatten)]
    plugin: PluginOptions,
    #[command(flatten)]
    route: RouteOptions,
    /// How routes follow the filter.
    #[arg(long, value_enum, default_value_t)]
    routes: Routes,
    #[command(flatten)]
    addresses: Addresses,
}

/// How Istio's routes follow the filter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Routes {
    /// An EnvoyFilter: a route in front of the hosts' own takes the requests about which the filter
    /// has decided, to any cluster that the proxy knows. All other requests take the hosts' own
    /// routes.
    #[default]
    EnvoyFilter,
    /// A VirtualService with a route for each cluster, and DestinationRules for the subsets. It
    /// uses only Istio's own API, but has to be rendered again for each new backend.
    VirtualService,
}

/// The policy as Istio's objects carry it, for the hosts on the command line: with its name, and with
/// a cluster for each backend.
///
/// # Errors
/// [`Error::Usage`] without hosts or for an option without effect, [`Error::Wrong`] if the policy takes requests of other hosts, or
/// if its name or a backend can't be in Istio.
pub fn resolved(arguments: &Arguments, document: &Value) -> Result<Value, Error> {
    if arguments.routes == Routes::EnvoyFilter && !arguments.addresses.clusters.is_empty() {
        return Err(Error::Usage("--cluster has an effect only with --routes virtual-service".to_owned()));
    }
    arguments.scope.check(document)?;
    let mut document = document.clone();
    if arguments.routes == Routes::EnvoyFilter || arguments.services.are_given() {
        arguments.services.resolve(&mut document, arguments.deployment.namespace())?;
    }
    let named = arguments.name.of(&document)?.map(|name| ("name", json!(name)));
    let kept = if_invalid(&document);
    Ok(in_front(document, named.into_iter().chain(kept)))
}

/// Renders the objects. `document` is the policy's JSON, [`resolved`].
///
/// # Errors
/// [`Error::Usage`] for an option without effect, [`Error::Wrong`] if the objects can't express the
/// policy.
pub fn render(arguments: &Arguments, policy: &Policy, document: &Value) -> Result<String, Error> {
    let Arguments { deployment, proxies, scope, plugin, route, addresses, .. } = arguments;
    let clusters = clusters(policy, document);
    addresses.check(&clusters)?;
    let name = object_name(document);
    let mut objects = vec![wasm_plugin(&name, deployment, proxies, plugin, document)?];
    match arguments.routes {
        Routes::EnvoyFilter => {
            objects.push(envoy_filter(policy, &Patch { name: &name, deployment, proxies, scope, options: route })?);
        }
        Routes::VirtualService => {
            let instead = "use \"via\": \"callout\", or --routes envoy-filter";
            mirror::refuse(policy, "a VirtualService", instead)?;
            addresses.refuse_schemes("Istio takes the protocol from the port of the Service, by its `appProtocol`")?;
            let [Host { name: host, .. }] = scope.hosts.as_slice() else {
                return Err(Error::Usage("--routes virtual-service is for one --host".to_owned()));
            };
            let gateway = if proxies.are_sidecars() { "mesh" } else { &proxies.gateway };
            objects.extend(virtual_service(
                policy,
                &Service { deployment, clusters: &clusters, addresses, host, gateway },
            )?);
        }
    }
    deployment.warn_of_default_namespace();
    documents(&objects)
}
