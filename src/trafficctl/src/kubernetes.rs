//! What carries a policy in Kubernetes: the objects of Istio and of Envoy Gateway.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use anyhow::{Context, ensure};
use policy::Policy;
use serde_json::{Value, json};

use crate::render::{Address, Arguments, Routes, clusters, fallback};

/// Gives an object a member.
fn set(object: &mut Value, name: &str, value: Value) {
    if let Value::Object(members) = object {
        members.insert(name.to_owned(), value);
    }
}

fn documents(documents: &[Value]) -> anyhow::Result<String> {
    let text: Result<Vec<_>, _> = documents.iter().map(serde_saphyr::to_string).collect();
    Ok(text?.join("---\n"))
}

/// A WasmPlugin, and what lets routes follow the filter.
pub fn istio(arguments: &Arguments, policy: &Policy, document: &Value) -> anyhow::Result<String> {
    let fallback = fallback(policy).context("the policy has no endpoint")?;
    let mut all = vec![wasm_plugin(arguments, document)];
    match arguments.routes() {
        Routes::EnvoyFilter => all.push(envoy_filter(arguments, policy, fallback)),
        Routes::VirtualService => all.extend(virtual_service(arguments, policy, fallback)?),
    }
    documents(&all)
}

fn metadata(arguments: &Arguments, name: &str) -> Value {
    json!({ "name": name, "namespace": arguments.namespace() })
}

/// The proxies that are meant, by their labels.
fn labels(arguments: &Arguments) -> Value {
    match &arguments.sidecar {
        Some((label, value)) => json!({ label: value }),
        None => json!({ "istio": arguments.gateway() }),
    }
}

fn wasm_plugin(arguments: &Arguments, document: &Value) -> Value {
    let mut spec = json!({
        "selector": { "matchLabels": labels(arguments) },
        "url": format!("oci://{}", arguments.image()),
        "pluginName": "traffic-policy",
        "failStrategy": "FAIL_RELOAD",
        "match": [{ "mode": "CLIENT" }],
        "pluginConfig": document,
    });
    if let Some(digest) = &arguments.sha256 {
        set(&mut spec, "sha256", json!(digest));
    }
    if let Some(phase) = arguments.phase {
        set(&mut spec, "phase", json!(format!("{phase:?}").to_ascii_uppercase()));
    }
    json!({
        "apiVersion": "extensions.istio.io/v1alpha1",
        "kind": "WasmPlugin",
        "metadata": metadata(arguments, "traffic-policy"),
        "spec": spec,
    })
}

fn envoy_filter(arguments: &Arguments, policy: &Policy, fallback: &str) -> Value {
    let header = &policy.routing_header;
    let context = if arguments.sidecar.is_some() { "SIDECAR_OUTBOUND" } else { "GATEWAY" };
    let mut routes = json!({ "context": context });
    if let Some((host, port)) = &arguments.host {
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
    json!({
        "apiVersion": "networking.istio.io/v1alpha3",
        "kind": "EnvoyFilter",
        "metadata": metadata(arguments, "traffic-policy-routes"),
        "spec": {
            "workloadSelector": { "labels": labels(arguments) },
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
                    "patch": { "operation": "MERGE", "value": { "typed_config": { "@type": manager, "early_header_mutation_extensions": [early] } } },
                },
            ],
        },
    })
}

/// The VirtualService whose routes the routing header chooses, and the DestinationRules of the subsets that it names.
fn virtual_service(arguments: &Arguments, policy: &Policy, fallback: &str) -> anyhow::Result<Vec<Value>> {
    let (host, _) = arguments.host.as_ref().context("no host")?;
    let mut subsets: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    let mut routes = Vec::new();
    let of_fallback = std::iter::once((fallback, false));
    for (cluster, is_chosen) in clusters(policy).into_iter().map(|cluster| (cluster, true)).chain(of_fallback) {
        let Address { host, port, .. } = arguments.address(cluster);
        ensure!(host.parse::<IpAddr>().is_err(), "the cluster {cluster:?} is at an address: routes lead to Services");
        let mut destination = json!({ "host": host, "port": { "number": port } });
        if let Some(subset) = cluster.split('|').nth(2).filter(|subset| !subset.is_empty()) {
            set(&mut destination, "subset", json!(subset));
            subsets.entry(host).or_default().insert(subset);
        }
        let mut route = json!({
            "headers": { "request": { "remove": [policy.routing_header] } },
            "route": [{ "destination": destination }],
        });
        if is_chosen {
            set(&mut route, "name", json!(cluster));
            set(&mut route, "match", json!([{ "headers": { &policy.routing_header: { "exact": cluster } } }]));
        }
        routes.push(route);
    }
    let gateway = if arguments.sidecar.is_some() { "mesh" } else { arguments.gateway() };
    let service = json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": metadata(arguments, "traffic-policy"),
        "spec": { "hosts": [host], "gateways": [gateway], "http": routes },
    });
    let rule = |(host, subsets): (&String, &BTreeSet<&str>)| {
        let name = host.split('.').next().unwrap_or(host);
        // By convention; which labels the pods really have, only their owner knows.
        let subset = |name: &&str| json!({ "name": name, "labels": { "version": name } });
        json!({
            "apiVersion": "networking.istio.io/v1",
            "kind": "DestinationRule",
            "metadata": metadata(arguments, &format!("traffic-policy-{name}")),
            "spec": { "host": host, "subsets": subsets.iter().map(subset).collect::<Vec<_>>() },
        })
    };
    Ok(std::iter::once(service).chain(subsets.iter().map(rule)).collect())
}

/// An EnvoyExtensionPolicy and the HTTPRoute whose rules follow the filter.
pub fn envoy_gateway(arguments: &Arguments, policy: &Policy, document: &Value) -> anyhow::Result<String> {
    let (namespace, gateway) = (arguments.namespace(), arguments.gateway());
    let fallback = fallback(policy).context("the policy has no endpoint")?;
    let backend = |cluster: &str| -> anyhow::Result<Value> {
        let Address { host, port, .. } = arguments.address(cluster);
        ensure!(
            host.parse::<IpAddr>().is_err(),
            "the cluster {cluster:?} is at an address: routes lead to Services, by their names"
        );
        let subset = cluster.split('|').nth(2).unwrap_or_default();
        let is_told = arguments.clusters.iter().any(|address| address.cluster == cluster);
        ensure!(
            subset.is_empty() || is_told,
            "Gateway API knows no subsets: name a Service for {cluster:?} with --cluster"
        );
        // A Service by its name, as in model.prod.svc.cluster.local.
        let mut labels = host.split('.');
        let name = labels.next();
        let namespace = labels.next().filter(|_| labels.next() == Some("svc"));
        let backend = match namespace {
            Some(namespace) => json!({ "name": name, "port": port, "namespace": namespace }),
            None => json!({ "name": name, "port": port }),
        };
        Ok(json!([backend]))
    };
    let removal = json!([{
        "type": "RequestHeaderModifier",
        "requestHeaderModifier": { "remove": [policy.routing_header] },
    }]);
    let mut rules = Vec::new();
    for cluster in clusters(policy) {
        let matches = json!([{ "headers": [{ "name": policy.routing_header, "value": cluster }] }]);
        rules.push(json!({ "matches": matches, "filters": removal, "backendRefs": backend(cluster)? }));
    }
    rules.push(json!({ "filters": removal, "backendRefs": backend(fallback)? }));
    let route = json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": { "name": "traffic-policy", "namespace": namespace },
        "spec": { "parentRefs": [{ "name": gateway }], "rules": rules },
    });
    let mut image = json!({ "url": arguments.image() });
    if let Some(digest) = &arguments.sha256 {
        set(&mut image, "sha256", json!(digest));
    }
    let extension = json!({
        "apiVersion": "gateway.envoyproxy.io/v1alpha1",
        "kind": "EnvoyExtensionPolicy",
        "metadata": { "name": "traffic-policy", "namespace": namespace },
        "spec": {
            "targetRefs": [{ "group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "traffic-policy" }],
            "wasm": [{
                "name": "traffic-policy",
                "rootID": "traffic-policy",
                "failOpen": false,
                "code": { "type": "Image", "image": image },
                "config": document,
            }],
        },
    });
    documents(&[extension, route])
}
