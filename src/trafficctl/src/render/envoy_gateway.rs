//! Envoy Gateway's objects: an EnvoyExtensionPolicy, and an HTTPRoute whose rules follow the
//! filter.

use std::net::IpAddr;

use policy::Policy;
use serde_json::{Value, json};

use super::address::{Address, Addresses, subset};
use super::clusters::{clusters, fallback};
use super::kubernetes::{Deployment, documents, set, without_nulls};
use super::mirror;
use crate::error::Error;
use crate::verbs::target::Target;

/// The most rules of an HTTPRoute: the limit of the Gateway API.
const RULES: usize = 16;

/// The options of `render envoy-gateway`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    pub target: Target,
    #[command(flatten)]
    deployment: Deployment,
    /// The name of the Gateway.
    #[arg(long, default_value = "gateway")]
    gateway: String,
    #[command(flatten)]
    addresses: Addresses,
}

/// Renders the objects.
///
/// # Errors
/// [`Error::Wrong`] if the objects can't express the policy.
pub fn render(arguments: &Arguments, policy: &Policy, document: &Value) -> Result<String, Error> {
    let clusters = clusters(policy, document);
    arguments.addresses.check(&clusters)?;
    mirror::refuse(policy, "an HTTPRoute", "use \"via\": \"callout\"")?;
    let instead = "Envoy Gateway takes the protocol from the port of the Service, by its `appProtocol`";
    arguments.addresses.refuse_schemes(instead)?;
    documents(&[extension_policy(&arguments.deployment, document), route(arguments, policy, &clusters)?])
}

fn route(arguments: &Arguments, policy: &Policy, clusters: &[&str]) -> Result<Value, Error> {
    let header = &*policy.routing_header;
    let removal = json!([{ "type": "RequestHeaderModifier", "requestHeaderModifier": { "remove": [header] } }]);
    if clusters.len() >= RULES {
        return Err(Error::Wrong(format!(
            "an HTTPRoute has at most {RULES} rules, one for each cluster and one for other requests, and the policy names \
             {} clusters: delete the backends that are not needed any more",
            clusters.len()
        )));
    }
    let mut rules = Vec::new();
    for cluster in clusters {
        let matches = json!([{ "headers": [{ "name": header, "value": cluster }] }]);
        let backends = backends(&arguments.addresses, cluster)?;
        rules.push(json!({ "matches": matches, "filters": removal, "backendRefs": backends }));
    }
    let backends = backends(&arguments.addresses, fallback(policy)?)?;
    rules.push(json!({ "filters": removal, "backendRefs": backends }));
    Ok(json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": arguments.deployment.metadata("traffic-policy"),
        "spec": { "parentRefs": [{ "name": arguments.gateway }], "rules": rules },
    }))
}

/// The Service of a cluster.
fn backends(addresses: &Addresses, cluster: &str) -> Result<Value, Error> {
    let Address { host, port, .. } = addresses.of(cluster);
    if host.parse::<IpAddr>().is_ok() {
        return Err(Error::Wrong(format!(
            "the cluster {cluster:?} is at an address: routes lead to Services, by their names"
        )));
    }
    if !subset(cluster).is_empty() && !addresses.has(cluster) {
        return Err(Error::Wrong(format!("Gateway API has no subsets: name a Service for {cluster:?} with --cluster")));
    }
    // A Service and its namespace, as in model.prod.svc.cluster.local.
    let mut labels = host.split('.');
    let name = labels.next();
    let namespace = labels.next().filter(|_| labels.next() == Some("svc"));
    let mut backend = json!({ "name": name, "port": port });
    if let Some(namespace) = namespace {
        set(&mut backend, "namespace", json!(namespace));
    }
    Ok(json!([backend]))
}

fn extension_policy(deployment: &Deployment, document: &Value) -> Value {
    let mut image = json!({ "url": deployment.image });
    if let Some(digest) = &deployment.sha256 {
        set(&mut image, "sha256", json!(digest));
    }
    json!({
        "apiVersion": "gateway.envoyproxy.io/v1alpha1",
        "kind": "EnvoyExtensionPolicy",
        "metadata": deployment.metadata("traffic-policy"),
        "spec": {
            "targetRefs": [{ "group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "traffic-policy" }],
            "wasm": [{
                "name": "traffic-policy",
                "rootID": "traffic-policy",
                "failOpen": false,
                "code": { "type": "Image", "image": image },
                "config": without_nulls(document),
            }],
        },
    })
}
