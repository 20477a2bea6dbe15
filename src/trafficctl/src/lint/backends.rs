//! Backends whose name is probably misspelt or no longer needed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::advice::{Advice, did_you_mean};
use crate::document::outline::{Mention, is_listed, members};
use policy::{Finding, Kind, Place};

type Mentions<'a> = BTreeMap<&'a str, Vec<Mention>>;

/// Warns of each listed backend that is never used.
pub fn never_used(document: &Value, mentions: &Mentions<'_>) -> Vec<Advice> {
    let unused = members(document, "backends").filter(|(backend, _)| !mentions.contains_key(backend.as_str()));
    let advice = |(backend, _): (&String, &Value)| {
        let place = Place::root().member("backends").member(backend);
        let problem = "the backend is listed and never used";
        let finding = Finding::warning(Kind::NeverUsed, place, problem, "use it, or delete it");
        let others = mentions.keys().copied().filter(|name| !is_listed(document, name));
        Advice { finding, help: did_you_mean(backend, others) }
    };
    unused.map(advice).collect()
}

/// Warns of the backends that are not listed and have one mention: the name may be misspelt.
///
/// All of them make one warning, since a policy may have many.
pub fn named_once(document: &Value, mentions: &Mentions<'_>) -> Option<Advice> {
    let is_alone = |(backend, places): &(&&str, &Vec<Mention>)| places.len() == 1 && !is_listed(document, backend);
    let alone: Vec<_> = mentions.iter().filter(is_alone).collect();
    let (first, places) = alone.first()?;
    let names: Vec<_> = alone.iter().map(|(backend, _)| format!("{backend:?}")).collect();
    let (problem, help) = match names.as_slice() {
        [only] => (format!("the backend {only} is named only here"), did_you_mean(first, mentions.keys().copied())),
        _ => (format!("the backends {} are each named only once", names.join(", ")), None),
    };
    let remedy = "check the spelling, or list the intended ones under `backends`";
    let finding = Finding::warning(Kind::NamedOnce, places.first()?.place.clone(), problem, remedy);
    Some(Advice { finding, help })
}

/// Warns of each cluster that the proxy does not have.
pub fn unknown_clusters(document: &Value, mentions: &Mentions<'_>, clusters: &BTreeSet<String>) -> Vec<Advice> {
    let mut named: Vec<(Place, &str)> = Vec::new();
    if let Some(cluster) = document.get("default_cluster").and_then(Value::as_str) {
        named.push((Place::root().member("default_cluster"), cluster));
    }
    for (backend, places) in mentions {
        let listed = document.get("backends").and_then(|backends| backends.get(*backend));
        match (listed.and_then(|listed| listed.get("cluster")?.as_str()), places.first()) {
            (Some(cluster), _) => {
                named.push((Place::root().member("backends").member(backend).member("cluster"), cluster));
            }
            (None, Some(mention)) => named.push((mention.place.clone(), backend)),
            (None, None) => (),
        }
    }
    let unknown = named.into_iter().filter(|(_, cluster)| !clusters.contains(*cluster));
    let advice = |(place, cluster): (Place, &str)| {
        let problem = format!("Envoy's configuration has no cluster {cluster:?}");
        let finding = Finding::warning(Kind::UnknownCluster, place, problem, "add it, or name one that is there");
        Advice { finding, help: did_you_mean(cluster, clusters.iter().map(String::as_str)) }
    };
    unknown.map(advice).collect()
}
