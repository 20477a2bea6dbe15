//! The EnvoyFilter that inserts a route for the requests about which the filter has decided.

use policy::Policy;
use serde_json::{Value, json};

use super::inserted_route::{RouteOptions, route};
use super::kubernetes::{Deployment, set};
use super::mirror;
use super::proxies::Proxies;
use super::scope::{Host, Scope};
use crate::error::Error;

/// What an EnvoyFilter patches.
pub struct Patch<'a> {
    /// The name of the policy's objects, which is that of the route.
    pub name: &'a str,
    /// The namespace.
    pub deployment: &'a Deployment,
    /// The proxies.
    pub proxies: &'a Proxies,
    /// The hosts that get the route.
    pub scope: &'a Scope,
    /// The options of the route.
    pub options: &'a RouteOptions,
}

/// Makes the EnvoyFilter.
///
/// A request that has no routing header takes the host's own routes, as without the filter. Only the
/// filter can set the header, since the connection manager removes what clients send.
///
/// # Errors
/// [`Error::Wrong`] for a mirror header that Envoy's configuration can't have.
pub fn envoy_filter(policy: &Policy, patch: &Patch<'_>) -> Result<Value, Error> {
    let context = patch.proxies.context();
    let route = route(policy, patch.name, patch.options)?;
    let insert = |host: Option<&Host>| {
        let mut of_host = json!({ "context": context });
        if let Some(host) = host {
            set(&mut of_host, "routeConfiguration", json!({ "vhost": virtual_host(host) }));
        }
        let operation = json!({ "operation": "INSERT_FIRST", "value": route });
        json!({ "applyTo": "HTTP_ROUTE", "match": of_host, "patch": operation })
    };
    let mut patches: Vec<Value> = patch.scope.hosts.iter().map(|host| insert(Some(host))).collect();
    if patches.is_empty() {
        patches.push(insert(None));
    }
    // A host without the route does not see the header either.
    let header = &*policy.routing_header;
    patches.push(json!({
        "applyTo": "ROUTE_CONFIGURATION",
        "match": { "context": context },
        "patch": { "operation": "MERGE", "value": { "request_headers_to_remove": [header] } },
    }));
    let mirrors = mirror::headers(policy)?;
    let headers: Vec<&str> = std::iter::once(header).chain(mirrors).collect();
    patches.push(early_removal(context, &headers));
    let mut spec = json!({});
    patch.proxies.select(&mut spec, "workloadSelector", "labels");
    set(&mut spec, "configPatches", json!(patches));
    Ok(json!({
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": patch.deployment.metadata(&format!("{}-routes", patch.name)),
        "spec": spec,
    }))
}

/// The match of the virtual host that a host is in.
fn virtual_host(host: &Host) -> Value {
    match host.port {
        // Istio names a virtual host by its first host and its port.
        Some(_) => json!({ "name": host.to_string() }),
        None => json!({ "domainName": host.name }),
    }
}

/// The patch that removes what clients send in these headers, before anything reads them.
fn early_removal(context: &str, headers: &[&str]) -> Value {
    let mutations: Vec<Value> = mirror::removals(headers).collect();
    let early = json!({
        "name": "envoy.http.early_header_mutation.header_mutation",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
            "mutations": mutations,
        },
    });
    let manager =
        "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
    let filter = json!({ "name": "envoy.filters.network.http_connection_manager" });
    json!({
        "applyTo": "NETWORK_FILTER",
        "match": { "context": context, "listener": { "filterChain": { "filter": filter } } },
        "patch": { "operation": "MERGE", "value": {
            "typed_config": { "@type": manager, "early_header_mutation_extensions": [early] },
        } },
    })
}
