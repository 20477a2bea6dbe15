//! Istio's objects: a WasmPlugin, and the objects that let routes follow the filter.

use clap::ValueEnum;
use policy::Policy;
use serde_json::{Value, json};

use super::address::Addresses;
use super::clusters::clusters;
use super::envoy_filter::{Patch, envoy_filter};
use super::inserted_route::RouteOptions;
use super::kubernetes::{Deployment, documents, if_invalid, in_front};
use super::policy_name::{PolicyName, object_name};
use super::proxies::Proxies;
use super::scope::Scope;
use super::services::Services;
use super::virtual_service::{Options, Service};
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
    virtual_service: Options,
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
    /// A VirtualService with a route for each cluster. It uses only Istio's own API, but has to be
    /// rendered again for each new backend.
    VirtualService,
    /// None: only the WasmPlugin.
    None,
}

impl Arguments {
    /// Whether the output has the policy in it.
    pub fn has_policy(&self) -> bool {
        self.virtual_service.into.is_none()
    }
}

/// The policy as Istio's objects carry it, for the hosts on the command line: with its name, and with
/// a cluster for each backend.
///
/// # Errors
/// [`Error::Usage`] without hosts or for an option without effect, [`Error::Wrong`] if the policy
/// takes requests of other hosts, or if its name or a backend can't be in Istio.
pub fn resolved(arguments: &Arguments, document: &Value) -> Result<Value, Error> {
    let are_of_service = !arguments.addresses.clusters.is_empty() || arguments.virtual_service.are_given();
    if arguments.routes != Routes::VirtualService && are_of_service {
        let options = "--cluster, --into, --gateway-resource and --destination-rule";
        return Err(Error::Usage(format!("{options} have an effect only with --routes virtual-service")));
    }
    if arguments.routes != Routes::EnvoyFilter && arguments.route.are_given() {
        let message = "--timeout and --retries have an effect only with --routes envoy-filter";
        return Err(Error::Usage(message.to_owned()));
    }
    // The team's VirtualService has hosts of its own.
    if arguments.has_policy() || !arguments.scope.hosts.is_empty() {
        arguments.scope.check(document)?;
    }
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
    let Arguments { deployment, proxies, scope, plugin, route, virtual_service, addresses, .. } = arguments;
    addresses.check(&clusters(policy, document))?;
    let name = object_name(document);
    let plugin = wasm_plugin(&name, deployment, proxies, plugin, document)?;
    if arguments.routes == Routes::VirtualService {
        let service = Service { policy, document, addresses, hosts: &scope.hosts, proxies };
        return virtual_service.render(deployment, &service, plugin);
    }
    let mut objects = vec![plugin];
    if arguments.routes == Routes::EnvoyFilter {
        objects.push(envoy_filter(policy, &Patch { name: &name, deployment, proxies, scope, options: route })?);
    }
    deployment.warn_of_default_namespace();
    documents(&objects)
}
