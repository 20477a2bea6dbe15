//! The Services that backends are, by their names.

use std::str::FromStr;

use serde_json::{Value, json};

use super::kubernetes::{in_front, set};
use super::subject::subject;
use crate::advice::unknown;
use crate::document::istio_cluster::{IstioCluster, is_service};
use crate::document::outline::{cluster_of, is_listed};
use crate::error::Error;
use crate::terminal::warn;
use crate::verbs::lookup::backends;

/// The Services on the command line.
#[derive(clap::Args)]
#[group(skip)]
pub struct Services {
    /// The port of the Services. With it, a backend that has no `cluster` is the Service of its
    /// name, and so is `default_cluster`.
    #[arg(long)]
    port: Option<u16>,
    /// The namespace of the Services. By default that of the objects.
    #[arg(long, value_name = "NAMESPACE", requires = "port")]
    service_namespace: Option<String>,
    /// The domain of the cluster, in the names of Services.
    #[arg(long, value_name = "DOMAIN", default_value = "cluster.local", requires = "port")]
    cluster_domain: String,
    /// A backend that is a subset of a Service, as a DestinationRule has it; may be repeated.
    #[arg(long = "subset", value_name = "BACKEND=SERVICE/SUBSET", requires = "port")]
    subsets: Vec<Subset>,
}

/// A backend that is a subset of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Subset {
    backend: String,
    service: String,
    subset: String,
}

impl FromStr for Subset {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.rsplit_once('=').and_then(|(backend, rest)| Some((backend, rest.split_once('/')?)));
        match parts {
            Some((backend, (service, subset)))
                if is_service(service) && !subset.is_empty() && !subset.contains(['|', '/']) =>
            {
                Ok(Self { backend: backend.to_owned(), service: service.to_owned(), subset: subset.to_owned() })
            }
            _ => Err("write BACKEND=SERVICE/SUBSET, as in v1=ranker/v1".to_owned()),
        }
    }
}

impl Services {
    /// Whether any are on the command line.
    pub fn are_given(&self) -> bool {
        self.port.is_some()
    }

    /// Gives a cluster to each backend of `document`, a policy's JSON, that has none. `namespace` is
    /// that of the objects. Warns of clusters that Istio can't have.
    ///
    /// # Errors
    /// [`Error::Wrong`] for backends that are no Service, for a cluster of a waypoint, and for a
    /// subset of a backend that has a cluster or is not there.
    pub fn resolve(&self, document: &mut Value, namespace: &str) -> Result<(), Error> {
        let namespace = self.service_namespace.as_deref().unwrap_or(namespace);
        let known: Vec<String> = backends(document).into_iter().map(str::to_owned).collect();
        for Subset { backend, .. } in &self.subsets {
            if !known.contains(backend) {
                let known: Vec<_> = known.iter().map(String::as_str).collect();
                return Err(Error::Wrong(format!("--subset: {}", unknown("backend", backend, &known))));
            }
            if has_cluster(document, backend) {
                return Err(Error::Wrong(format!("--subset: the backend {backend:?} has a cluster already")));
            }
        }
        let without: Vec<_> = known.iter().filter(|backend| !has_cluster(document, backend)).collect();
        let default = document.get("default_cluster").and_then(Value::as_str).map(str::to_owned);
        let Some(port) = self.port else {
            if !without.is_empty() {
                return Err(Error::Wrong(without_cluster(&without, namespace)));
            }
            return warn_of_others(document);
        };
        for backend in without {
            let cluster = json!(self.cluster(backend, port, namespace)?);
            list(document, backend, cluster);
        }
        if let Some(default) = default.filter(|default| is_service(default)) {
            set(document, "default_cluster", json!(self.cluster(&default, port, namespace)?));
        }
        warn_of_others(document)
    }

    /// The cluster of a backend, in Istio's form.
    fn cluster(&self, backend: &str, port: u16, namespace: &str) -> Result<String, Error> {
        let of_subset = self.subsets.iter().find(|subset| subset.backend == backend);
        let (service, subset) = match of_subset {
            Some(Subset { service, subset, .. }) => (service.as_str(), subset.as_str()),
            None if is_service(backend) => (backend, ""),
            None => {
                return Err(Error::Wrong(format!(
                    "the backend {backend:?} can't be a Service, by its name: write its `cluster` into `backends`, as \
                     in outbound|{port}||NAME.{namespace}.svc.{}",
                    self.cluster_domain
                )));
            }
        };
        let host = format!("{service}.{namespace}.svc.{}", self.cluster_domain);
        Ok(IstioCluster { port, subset: subset.to_owned(), host }.to_string())
    }
}

fn has_cluster(document: &Value, backend: &str) -> bool {
    document.get("backends").and_then(|backends| backends.get(backend)?.get("cluster")).is_some()
}

/// Lists a backend with its cluster.
fn list(document: &mut Value, backend: &str, cluster: Value) {
    if document.get("backends").is_none() {
        *document = in_front(document.take(), [("backends", json!({}))]);
    }
    let is_listed = is_listed(document, backend);
    let Some(backends) = document.get_mut("backends") else { return };
    if !is_listed {
        set(backends, backend, json!({}));
    }
    if let Some(listed) = backends.get_mut(backend) {
        set(listed, "cluster", cluster);
    }
}

/// The error about backends that have no cluster.
fn without_cluster(backends: &[&String], namespace: &str) -> String {
    let names: Vec<_> = backends.iter().map(|backend| backend.as_str()).collect();
    let first = names.first().copied().unwrap_or_default();
    let (subject, verb) = (subject("backend", &names), if names.len() == 1 { "has" } else { "have" });
    format!(
        "{subject} {verb} no cluster, and Istio has none of that name: with --port, a backend is that port of the Service of its \
         name; or write \"backends\": {{{first:?}: {{\"cluster\": \"outbound|PORT||SERVICE.{namespace}.svc.cluster.local\"}}}}"
    )
}

/// Warns of clusters that Istio can't have.
///
/// # Errors
/// [`Error::Wrong`] for a cluster of a waypoint.
fn warn_of_others(document: &Value) -> Result<(), Error> {
    let default = document.get("default_cluster").and_then(Value::as_str).map(|cluster| (None, cluster));
    let of_backends = backends(document).into_iter().map(|backend| (Some(backend), cluster_of(document, backend)));
    for (backend, cluster) in of_backends.chain(default) {
        let place =
            backend.map_or_else(|| "default_cluster".to_owned(), |backend| format!("the cluster of {backend:?}"));
        if cluster.starts_with("inbound-vip|") {
            return Err(Error::Wrong(format!(
                "{place}, {cluster:?}, is one of a waypoint, and the filter is not supported in waypoints"
            )));
        }
        if !IstioCluster::is_known(cluster) {
            warn(&format!(
                "{place}, {cluster:?}, is no name that Istio gives: it is outbound|PORT|SUBSET|HOST, with the full name of \
                 the host, such as outbound|8080||ranker.prod.svc.cluster.local; without such a cluster, requests get 503"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subset_names_a_backend_a_service_and_a_subset() {
        let form = || Err("write BACKEND=SERVICE/SUBSET, as in v1=ranker/v1".to_owned());
        let subset = |backend: &str, service: &str, subset: &str| {
            Ok(Subset { backend: backend.into(), service: service.into(), subset: subset.into() })
        };
        for (text, expected) in [
            ("v1=ranker/v1", subset("v1", "ranker", "v1")),
            ("a=b=ranker/v1", subset("a=b", "ranker", "v1")),
            ("v1=ranker", form()),
            ("ranker/v1", form()),
            ("v1=Ranker/v1", form()),
            ("v1=ranker/", form()),
            ("v1=ranker/a/b", form()),
            ("v1=ranker/a|b", form()),
        ] {
            assert_eq!(text.parse(), expected, "{text}");
        }
    }
}
