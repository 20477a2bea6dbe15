//! Backends whose name is probably misspelt or no longer needed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::advice::{Advice, did_you_mean};
use crate::document::outline::{Mention, cluster_of, is_listed, members};
use crate::spelling::Spelling;
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

/// Warns of each backend that is not listed, has one mention, and is near the name of another one.
pub fn misspelt(document: &Value, mentions: &Mentions<'_>) -> Vec<Advice> {
    let listed = members(document, "backends").map(|(backend, _)| backend.as_str());
    let names: BTreeSet<_> = mentions.keys().copied().chain(listed).collect();
    let is_alone =
        |name: &str| mentions.get(name).is_some_and(|places| places.len() == 1) && !is_listed(document, name);
    let (alone, others): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| is_alone(name));
    let [alone, others] = [alone, others].map(|names| names.into_iter().map(Spelling::of).collect::<Vec<_>>());
    let mut advice = Vec::new();
    for (n, spelling) in alone.iter().enumerate() {
        // Of two that are alone, one warning is enough.
        let others = others.iter().chain(alone.iter().take(n));
        let place = mentions.get(spelling.name).and_then(|places| places.first());
        if let (Some(near), Some(mention)) = (spelling.nearest(others), place) {
            let problem = format!("the backend {:?} is named only here, and {near:?} is near it", spelling.name);
            let remedy = "check the spelling, or list it under `backends`";
            let finding = Finding::warning(Kind::NamedOnce, mention.place.clone(), problem, remedy);
            advice.push(Advice { finding, help: Some(format!("did you mean {near:?}?")) });
        }
    }
    advice
}

/// Warns of each cluster that the proxy does not have.
pub fn unknown_clusters(document: &Value, mentions: &Mentions<'_>, clusters: &BTreeSet<String>) -> Vec<Advice> {
    let mut named: Vec<(Place, &str)> = Vec::new();
    if let Some(cluster) = document.get("default_cluster").and_then(Value::as_str) {
        named.push((Place::root().member("default_cluster"), cluster));
    }
    for (backend, places) in mentions {
        if let Some(mention) = places.first().filter(|_| !has_cluster(document, backend)) {
            named.push((mention.place.clone(), backend));
        }
    }
    // Also of a backend that is only listed: the next change may give it a share.
    for (backend, _) in members(document, "backends") {
        let place = Place::root().member("backends").member(backend);
        if has_cluster(document, backend) {
            named.push((place.member("cluster"), cluster_of(document, backend)));
        } else if !mentions.contains_key(backend.as_str()) {
            named.push((place, backend));
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

/// Whether the list of backends names a cluster for this one.
fn has_cluster(document: &Value, backend: &str) -> bool {
    let listed = document.get("backends").and_then(|backends| backends.get(backend));
    listed.is_some_and(|listed| listed.get("cluster").is_some())
}
