//! The VirtualService form, which uses only Istio's own API: a route for each cluster, in a
//! VirtualService of its own or in that of the team.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use policy::Policy;
use serde_json::{Value, json};

use super::address::Addresses;
use super::clusters::{clusters, fallback};
use super::followers::{Followers, Reach, destination};
use super::into;
use super::kubernetes::Deployment;
use crate::error::Error;
use crate::terminal::{NOTE, complain};

/// The options of the VirtualService form.
#[derive(clap::Args)]
pub struct Options {
    /// Merge the routes into the VirtualService in this file, and print the file: its routes,
    /// timeouts, retries and comments stay. Beside another VirtualService of its host, one of its
    /// own would have no effect.
    #[arg(long, value_name = "FILE")]
    pub into: Option<PathBuf>,
    /// The Gateway resource of the VirtualService: NAME, or NAMESPACE/NAME; may be repeated. With
    /// --into by default the one that the VirtualService names.
    #[arg(long, value_name = "NAME", conflicts_with = "sidecar")]
    gateway_resource: Vec<String>,
    /// Render a DestinationRule for the subsets of each host. Only for hosts that have none: Istio
    /// would use it instead of the owner's, with its circuit breakers.
    #[arg(long, conflicts_with = "into")]
    destination_rule: bool,
}

/// The policy, and the requests that its routes take.
pub struct Service<'a> {
    /// The policy.
    pub policy: &'a Policy,
    /// Its JSON.
    pub document: &'a Value,
    /// Its name, if it has one.
    pub name: Option<&'a str>,
    /// The addresses of the clusters.
    pub addresses: &'a Addresses,
    /// The hosts, without ports.
    pub hosts: Vec<&'a str>,
    /// The label of the workloads whose sidecars have the filter; `None` for a gateway.
    pub sidecar: Option<(&'a str, &'a str)>,
}

impl Options {
    /// Whether one of the options is there.
    pub fn are_used(&self) -> bool {
        self.into.is_some() || self.destination_rule || !self.gateway_resource.is_empty()
    }

    /// The file of [`Options::into`] with the routes of the policy.
    ///
    /// # Errors
    /// See [`into::merged`].
    pub fn merged(&self, path: &std::path::Path, service: &Service<'_>) -> Result<String, Error> {
        into::merged(path, service.document, &service.hosts, &self.followers(service)?)
    }

    /// The objects: a VirtualService for hosts that have none, and DestinationRules if asked for.
    ///
    /// # Errors
    /// [`Error::Usage`] without a host, or a Gateway resource for a gateway; [`Error::Wrong`] if a
    /// cluster has an IP address, or if the policy has no cluster for requests that bypass the
    /// filter.
    pub fn objects(&self, deployment: &Deployment, service: &Service<'_>) -> Result<Vec<Value>, Error> {
        let needs = |option: &str| {
            Err(Error::Usage(format!(
                "--routes virtual-service needs {option}, or --into with the file of the team's own"
            )))
        };
        if service.hosts.is_empty() {
            return needs("--host for the hosts of the VirtualService");
        }
        let followers = self.followers(service)?;
        let gateways = match &followers.reach {
            Reach::Sidecars(..) => vec!["mesh".to_owned()],
            Reach::Gateways(gateways) if gateways.is_empty() => {
                return needs("--gateway-resource for its Gateway");
            }
            Reach::Gateways(gateways) => gateways.clone(),
        };
        // The VirtualService is for these gateways only; of the sidecars, some have the filter.
        let matches = [match &followers.reach {
            Reach::Sidecars(label, value) => json!({ "sourceLabels": { label: value } }),
            Reach::Gateways(_) => json!({}),
        }];
        let removal = json!({ "request": { "remove": [followers.header] } });
        let mut routes: Vec<Value> = Vec::new();
        for (cluster, destination) in &followers.destinations {
            routes.push(json!({
                "name": followers.name("any", cluster),
                "match": followers.with_header(&matches, cluster),
                "headers": removal,
                "route": [{ "destination": destination }],
            }));
        }
        let fallback = destination(service.addresses, fallback(service.policy)?)?;
        routes.push(json!({ "headers": removal, "route": [{ "destination": fallback }] }));
        let virtual_service = json!({
            "apiVersion": "networking.istio.io/v1",
            "kind": "VirtualService",
            "metadata": deployment.metadata(&object_name(service)),
            "spec": { "hosts": service.hosts, "gateways": gateways, "http": routes },
        });
        let subsets = subsets(&followers);
        if !self.destination_rule {
            require_subsets(&subsets);
            return Ok(vec![virtual_service]);
        }
        let rules = subsets.iter().map(|(host, subsets)| destination_rule(deployment, service, host, subsets));
        Ok(std::iter::once(virtual_service).chain(rules).collect())
    }

    fn followers<'a>(&self, service: &Service<'a>) -> Result<Followers<'a>, Error> {
        let reach = match service.sidecar {
            Some((label, value)) => Reach::Sidecars(label.to_owned(), value.to_owned()),
            None => Reach::Gateways(self.gateway_resource.clone()),
        };
        let clusters = clusters(service.policy, service.document);
        Followers::new((service.name, &service.policy.routing_header), &clusters, service.addresses, reach)
    }
}

/// The name of the objects.
fn object_name(service: &Service<'_>) -> String {
    service.name.map_or_else(|| "traffic-policy".to_owned(), |name| format!("traffic-policy-{name}"))
}

/// The subsets of each host.
fn subsets<'a>(followers: &'a Followers<'_>) -> BTreeMap<&'a str, BTreeSet<&'a str>> {
    let mut subsets: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (_, destination) in &followers.destinations {
        let text = |name: &str| destination.get(name).and_then(Value::as_str);
        if let (Some(host), Some(subset)) = (text("host"), text("subset")) {
            subsets.entry(host).or_default().insert(subset);
        }
    }
    subsets
}

/// Reports the subsets that the DestinationRule of each host must have.
fn require_subsets(subsets: &BTreeMap<&str, BTreeSet<&str>>) {
    for (host, subsets) in subsets {
        let names: Vec<_> = subsets.iter().copied().collect();
        let message = format!(
            "the DestinationRule of {host} must have the subsets {}; if the host has none, --destination-rule renders one",
            names.join(", ")
        );
        complain(NOTE, "note", &message);
    }
}

fn destination_rule(deployment: &Deployment, service: &Service<'_>, host: &str, subsets: &BTreeSet<&str>) -> Value {
    let name = host.split('.').next().unwrap_or(host);
    // The usual convention. Only the owner of the pods knows their labels.
    let subset = |name: &&str| json!({ "name": name, "labels": { "version": name } });
    json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": deployment.metadata(&format!("{}-{name}", object_name(service))),
        "spec": { "host": host, "subsets": subsets.iter().map(subset).collect::<Vec<_>>() },
    })
}
