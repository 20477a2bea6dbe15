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
use super::kubernetes::{Deployment, documents};
use super::mirror;
use super::policy_name::object_name;
use super::proxies::Proxies;
use super::scope::Host;
use crate::error::Error;
use crate::terminal::note;

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
    /// The addresses of the clusters.
    pub addresses: &'a Addresses,
    /// The hosts.
    pub hosts: &'a [Host],
    /// The proxies with the filter.
    pub proxies: &'a Proxies,
}

impl Options {
    /// Whether one of the options is there.
    pub fn are_given(&self) -> bool {
        self.into.is_some() || self.destination_rule || !self.gateway_resource.is_empty()
    }

    /// Renders the file of [`Options::into`] with the routes of the policy. Without it, `plugin`,
    /// which carries the policy, and a VirtualService for hosts that have none.
    ///
    /// # Errors
    /// [`Error::Usage`] without a host, or a Gateway resource for a gateway; [`Error::Wrong`] if a
    /// VirtualService can't express the policy, and the errors of [`into::merged`].
    pub fn render(&self, deployment: &Deployment, service: &Service<'_>, plugin: Value) -> Result<String, Error> {
        let instead = "use \"via\": \"callout\", or --routes envoy-filter";
        mirror::refuse(service.policy, "a VirtualService", instead)?;
        let protocol = "Istio takes the protocol from the port of the Service, by its `appProtocol`";
        service.addresses.refuse_schemes(protocol)?;
        if service.proxies.resource.is_some() {
            return Err(Error::Usage(
                "--target has no effect with --routes virtual-service, whose gateways are Istio's".to_owned(),
            ));
        }
        let hosts: Vec<_> = service.hosts.iter().map(|host| host.name.as_str()).collect();
        let followers = self.followers(service)?;
        if let Some(path) = &self.into {
            return into::merged(path, service.document, &hosts, &followers);
        }
        let mut objects = vec![plugin];
        objects.extend(self.objects(deployment, service, &hosts, &followers)?);
        deployment.warn_of_default_namespace();
        documents(&objects)
    }

    fn objects(
        &self,
        deployment: &Deployment,
        service: &Service<'_>,
        hosts: &[&str],
        followers: &Followers<'_>,
    ) -> Result<Vec<Value>, Error> {
        let needs = |option: &str| {
            let merge = "or --into with the file of the team's own";
            Err(Error::Usage(format!("--routes virtual-service needs {option}, {merge}")))
        };
        if hosts.is_empty() {
            return needs("--host for the hosts of the VirtualService");
        }
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
            "metadata": deployment.metadata(&object_name(service.document)),
            "spec": { "hosts": hosts, "gateways": gateways, "http": routes },
        });
        let subsets = subsets(followers);
        if !self.destination_rule {
            require_subsets(&subsets);
            return Ok(vec![virtual_service]);
        }
        let rules = subsets.iter().map(|(host, subsets)| destination_rule(deployment, service, host, subsets));
        Ok(std::iter::once(virtual_service).chain(rules).collect())
    }

    fn followers<'a>(&self, service: &Service<'a>) -> Result<Followers<'a>, Error> {
        let reach = match &service.proxies.sidecar {
            Some((label, value)) => Reach::Sidecars(label.clone(), value.clone()),
            None => Reach::Gateways(self.gateway_resource.clone()),
        };
        let clusters = clusters(service.policy, service.document);
        let name = service.document.get("name").and_then(Value::as_str);
        Followers::new((name, &service.policy.routing_header), &clusters, service.addresses, reach)
    }
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
        note(&message);
    }
}

fn destination_rule(deployment: &Deployment, service: &Service<'_>, host: &str, subsets: &BTreeSet<&str>) -> Value {
    let name = host.split('.').next().unwrap_or(host);
    // The usual convention. Only the owner of the pods knows their labels.
    let subset = |name: &&str| json!({ "name": name, "labels": { "version": name } });
    json!({
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": deployment.metadata(&format!("{}-{name}", object_name(service.document))),
        "spec": { "host": host, "subsets": subsets.iter().map(subset).collect::<Vec<_>>() },
    })
}
