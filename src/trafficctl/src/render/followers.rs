//! The routes of a VirtualService that follow the filter: one for each cluster, by the value of the
//! routing header.

use std::net::IpAddr;

use serde_json::{Map, Value, json};

use super::address::{Address, Addresses, subset};
use super::kubernetes::set;
use crate::document::mesh::Object;
use crate::error::Error;

/// What the routes have in common.
pub struct Followers<'a> {
    /// The policy's `name`, if it has one.
    pub policy: Option<&'a str>,
    /// The routing header.
    pub header: &'a str,
    /// Each cluster, with its destination.
    pub destinations: Vec<(&'a str, Value)>,
    /// The proxies that have the filter.
    pub reach: Reach,
}

/// The proxies whose requests follow the filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The sidecars of the workloads with this label.
    Sidecars(String, String),
    /// The proxies of these Gateway resources; of all that the VirtualService names if there are
    /// none.
    Gateways(Vec<String>),
}

/// The conditions that keep the routes of one VirtualService to the proxies with the filter.
#[derive(Debug)]
pub enum Narrowing {
    /// Only sidecars with this label.
    Sidecars(String, String),
    /// Only these gateways. `is_implied` if the VirtualService has no others.
    Gateways { gateways: Vec<String>, is_implied: bool },
    /// None: whoever names the VirtualService decides.
    None,
}

impl<'a> Followers<'a> {
    /// The routes to these clusters.
    ///
    /// # Errors
    /// [`Error::Wrong`] if a cluster has an IP address.
    pub fn new(
        (policy, header): (Option<&'a str>, &'a str),
        clusters: &[&'a str],
        addresses: &Addresses,
        reach: Reach,
    ) -> Result<Self, Error> {
        let with_destination = |cluster: &&'a str| Ok((*cluster, destination(addresses, cluster)?));
        let destinations = clusters.iter().map(with_destination).collect::<Result<_, Error>>()?;
        Ok(Self { policy, header, destinations, reach })
    }

    /// The name of the route to a cluster, where the other routes call it `label`.
    pub fn name(&self, label: &str, cluster: &str) -> String {
        format!("{}{label}.{cluster}", self.prefix())
    }

    /// Whether a route with this name is one of these.
    pub fn is_ours(&self, name: &str) -> bool {
        name.starts_with(&self.prefix())
    }

    /// The start of the names. A policy's name has no dot, so no other policy has it.
    fn prefix(&self) -> String {
        self.policy.map_or_else(|| "traffic-policy.".to_owned(), |name| format!("traffic-policy-{name}."))
    }

    /// `matches` with the condition that the filter has chosen this cluster.
    pub fn with_header(&self, matches: &[Value], cluster: &str) -> Value {
        let with_header = |one: &Value| {
            let mut headers = one.get("headers").and_then(Value::as_object).cloned().unwrap_or_default();
            headers.insert(self.header.to_owned(), json!({ "exact": cluster }));
            let mut one = one.clone();
            set(&mut one, "headers", Value::Object(headers));
            one
        };
        matches.iter().map(with_header).collect()
    }
}

/// Whether a route with this name is of a policy, this or another one.
pub fn is_of_policy(name: &str) -> bool {
    let rest = name.strip_prefix("traffic-policy").and_then(|rest| rest.split_once('.'));
    rest.is_some_and(|(name, _)| name.is_empty() || name.starts_with('-'))
}

/// The destination of a cluster.
///
/// # Errors
/// [`Error::Wrong`] if it has an IP address.
pub fn destination(addresses: &Addresses, cluster: &str) -> Result<Value, Error> {
    let Address { host, port, .. } = addresses.of(cluster);
    if host.parse::<IpAddr>().is_ok() {
        return Err(Error::Wrong(format!("the cluster {cluster:?} is at an address: routes lead to Services")));
    }
    let mut destination = json!({ "host": host, "port": { "number": port } });
    if !subset(cluster).is_empty() {
        set(&mut destination, "subset", json!(subset(cluster)));
    }
    Ok(destination)
}

impl Reach {
    /// What narrows the routes of a VirtualService to these proxies.
    ///
    /// # Errors
    /// [`Error::Wrong`] if the VirtualService is not for these proxies, or it does not say for which
    /// of its gateways the routes are.
    pub fn within(&self, object: &Object) -> Result<Narrowing, Error> {
        let words = object.words();
        // A VirtualService that others delegate to has their gateways.
        let is_delegate = object.hosts().is_empty();
        let all = match object.strings("/gateways") {
            gateways if gateways.is_empty() => vec!["mesh"],
            gateways => gateways,
        };
        let gateways = match self {
            Self::Sidecars(..) if !is_delegate && !all.contains(&"mesh") => {
                return Err(Error::Wrong(format!(
                    "the {words} is not for sidecars: it has the gateways {}; leave out --sidecar, or add the gateway mesh",
                    all.join(", ")
                )));
            }
            Self::Sidecars(label, value) => return Ok(Narrowing::Sidecars(label.clone(), value.clone())),
            Self::Gateways(_) if is_delegate => return Ok(Narrowing::None),
            Self::Gateways(gateways) => gateways,
        };
        if let Some(unknown) = gateways.iter().find(|gateway| !all.contains(&gateway.as_str())) {
            return Err(Error::Wrong(format!(
                "the {words} is not for the gateway {unknown:?}: it has {}; name one of them by --gateway-resource",
                all.join(", ")
            )));
        }
        let others: Vec<_> =
            all.iter().filter(|gateway| **gateway != "mesh").map(|gateway| (*gateway).to_owned()).collect();
        let gateways = match (gateways.as_slice(), others.as_slice()) {
            ([_, ..], _) => gateways.clone(),
            ([], [_]) => others,
            ([], []) => {
                return Err(Error::Wrong(format!(
                    "the {words} is for sidecars only: name those with the filter by --sidecar LABEL=VALUE"
                )));
            }
            ([], several) => {
                return Err(Error::Wrong(format!(
                    "the {words} has several gateways ({}): name those whose proxies have the filter by --gateway-resource",
                    several.join(", ")
                )));
            }
        };
        let is_implied = gateways.len() == all.len();
        Ok(Narrowing::Gateways { gateways, is_implied })
    }
}

impl Narrowing {
    /// A match of the VirtualService, narrowed to the proxies; `None` if it is for none of them.
    ///
    /// Istio ignores the labels of a match that names gateways.
    pub fn narrowed(&self, one: &Value) -> Option<Value> {
        let mut narrowed = one.as_object().cloned().unwrap_or_default();
        let named = |members: &Map<String, Value>| {
            let gateways = members.get("gateways")?.as_array()?.iter().filter_map(Value::as_str).map(str::to_owned);
            Some(gateways.collect::<Vec<String>>()).filter(|gateways| !gateways.is_empty())
        };
        match (self, named(&narrowed)) {
            (Self::None, _) => (),
            (Self::Sidecars(label, value), gateways) => {
                if gateways.as_ref().is_some_and(|gateways| !gateways.iter().any(|gateway| gateway == "mesh")) {
                    return None;
                }
                let of_match = narrowed.get("sourceLabels").and_then(Value::as_object).filter(|_| gateways.is_none());
                let mut labels = of_match.cloned().unwrap_or_default();
                if labels.get(label).is_some_and(|other| other.as_str() != Some(value)) {
                    return None;
                }
                labels.insert(label.clone(), json!(value));
                narrowed.remove("gateways");
                narrowed.insert("sourceLabels".to_owned(), Value::Object(labels));
            }
            // Without gateways, labels of clients are those of sidecars.
            (Self::Gateways { .. }, None) if narrowed.contains_key("sourceLabels") => return None,
            (Self::Gateways { gateways, is_implied }, named) => {
                let is_named = |gateway: &&String| named.as_ref().is_none_or(|named| named.contains(gateway));
                let both: Vec<_> = gateways.iter().filter(is_named).collect();
                if both.is_empty() {
                    return None;
                }
                if named.is_some() || !is_implied {
                    narrowed.insert("gateways".to_owned(), json!(both));
                }
            }
        }
        Some(Value::Object(narrowed))
    }
}
