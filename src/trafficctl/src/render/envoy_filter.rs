//! The EnvoyFilter that lets Istio's routes take the cluster from the routing header.

use policy::Policy;
use serde_json::{Value, json};

use super::clusters::fallback;
use super::kubernetes::{Deployment, set};
use crate::error::Error;

/// The proxies and routes that an EnvoyFilter patches.
pub struct Patch<'a> {
    /// The namespace.
    pub deployment: &'a Deployment,
    /// The labels of the proxies.
    pub labels: Value,
    /// Whether the proxies are sidecars, rather than a gateway.
    pub is_sidecar: bool,
    /// The host whose routes are patched, with its port; `None` for all routes.
    pub host: Option<&'a (String, u16)>,
}

/// Makes the EnvoyFilter.
///
/// # Errors
/// [`Error::Wrong`] if the policy has no cluster for requests that bypass the filter.
pub fn envoy_filter(policy: &Policy, patch: &Patch<'_>) -> Result<Value, Error> {
    let (header, fallback) = (&*policy.routing_header, fallback(policy)?);
    let context = if patch.is_sidecar { "SIDECAR_OUTBOUND" } else { "GATEWAY" };
    let mut routes = json!({ "context": context });
    if let Some((host, port)) = patch.host {
        set(&mut routes, "routeConfiguration", json!({ "vhost": { "name": format!("{host}:{port}") } }));
    }
    let early = json!({
        "name": "envoy.http.early_header_mutation.header_mutation",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
            "mutations": [{ "append": {
                "header": { "key": header, "value": fallback },
                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            } }],
        },
    });
    let manager =
        "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
    let filter = json!({ "name": "envoy.filters.network.http_connection_manager" });
    Ok(json!({
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": patch.deployment.metadata("traffic-policy-routes"),
        "spec": {
            "workloadSelector": { "labels": patch.labels },
            "configPatches": [
                {
                    "applyTo": "HTTP_ROUTE",
                    "match": routes,
                    "patch": { "operation": "MERGE", "value": {
                        "route": { "cluster_header": header },
                        "request_headers_to_remove": [header],
                    } },
                },
                {
                    "applyTo": "NETWORK_FILTER",
                    "match": { "context": context, "listener": { "filterChain": { "filter": filter } } },
                    "patch": { "operation": "MERGE", "value": {
                        "typed_config": { "@type": manager, "early_header_mutation_extensions": [early] },
                    } },
                },
            ],
        },
    }))
}
