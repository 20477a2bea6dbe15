//! The VirtualService with a route for each cluster, and the DestinationRules for the subsets.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use policy::Policy;
use serde_json::{Value, json};

use super::address::{Address, Addresses, subset};
use super::clusters::fallback;
use super::kubernetes::{Deployment, set};
use crate::error::Error;

/// The host whose requests a VirtualService routes, and where.
pub struct Service<'a> {
    /// The namespace.
    pub deployment: &'a Deployment,
    /// The clusters that requests may be routed to.
    pub clusters: &'a [&'a str],
    /// The addresses of the clusters.
    pub addresses: &'a Addresses,
    /// The host.
    pub host: &'a str,
    /// The gateway; `mesh` for sidecars.
    pub gateway: &'a str,
}

/// Makes the objects.
///
/// # Errors
/// [`Error::Wrong`] if a cluster has an IP address, or if the policy has no cluster for requests
/// that bypass the filter.
pub fn virtual_service(policy: &Policy, service: &Service<'_>) -> Result<Vec<Value>, Error> {
    let header = &*policy.routing_header;
    let mut subsets: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    let mut routes = Vec::new();
    let of_fallback = std::iter::once((fallback(policy)?, false));
    for (cluster, is_chosen) in service.clusters.iter().map(|cluster| (*cluster, true)).chain(of_fallback) {
        let Address { host, port, .. } = service.addresses.of(cluster);
        if host.parse::<IpAddr>().is_ok() {
            return Err(Error::Wrong(format!("the cluster {cluster:?} is at an address: routes lead to Services")));
        }
        let mut destination = json!({ "host": host, "port": { "number": port } });
        if !subset(cluster).is_empty() {
            set(&mut destination, "subset", json!(subset(cluster)));
            subsets.entry(host).or_default().insert(subset(cluster));
        }
        let mut route = json!({
            "headers": { "request": { "remove": [header] } },
            "route": [{ "destination": destination }],
        });
        if is_chosen {
            set(&mut route, "name", json!(cluster));
            set(&mut route, "match", json!([{ "headers": { header: { "exact": cluster } } }]));
        }
        routes.push(route);
    }
    let virtual_service = json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": service.deployment.metadata("traffic-policy"),
        "spec": { "hosts": [service.host], "gateways": [service.gateway], "http": routes },
    });
    let rules = subsets.iter().map(|(host, subsets)| destination_rule(service.deployment, host, subsets));
    Ok(std::iter::once(virtual_service).chain(rules).collect())
}

fn destination_rule(deployment: &Deployment, host: &str, subsets: &BTreeSet<&str>) -> Value {
    let name = host.split('.').next().unwrap_or(host);
    // The usual convention. Only the owner of the pods knows their labels.
    let subset = |name: &&str| json!({ "name": name, "labels": { "version": name } });
    json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": deployment.metadata(&format!("traffic-policy-{name}")),
        "spec": { "host": host, "subsets": subsets.iter().map(subset).collect::<Vec<_>>() },
    })
}
