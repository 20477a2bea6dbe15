//! The EnvoyFilter that lets Istio's routes take the cluster from the routing header, and mirror by
//! the mirror headers.

use policy::Policy;
use serde_json::{Value, json};

use super::clusters::fallback;
use super::kubernetes::{Deployment, set};
use super::mirror;
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
/// [`Error::Wrong`] if the policy has no cluster for requests that bypass the filter, or a mirror
/// header that Envoy's configuration can't have.
pub fn envoy_filter(policy: &Policy, patch: &Patch<'_>) -> Result<Value, Error> {
    let (header, fallback) = (&*policy.routing_header, fallback(policy)?);
    let context = if patch.is_sidecar { "SIDECAR_OUTBOUND" } else { "GATEWAY" };
    let mut routes = json!({ "context": context });
    if let Some((host, port)) = patch.host {
        set(&mut routes, "routeConfiguration", json!({ "vhost": { "name": format!("{host}:{port}") } }));
    }
    let mirrors = mirror::headers(policy)?;
    let mut route = json!({ "cluster_header": header });
    if !mirrors.is_empty() {
        set(&mut route, "request_mirror_policies", mirror::policies(&mirrors)?);
    }
    let overwrite = json!({ "append": {
        "header": { "key": header, "value": fallback },
        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
    } });
    let mutations: Vec<Value> = std::iter::once(overwrite).chain(mirror::removals(&mirrors)).collect();
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
                        "route": route,
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
