//! What a policy in a WasmPlugin can't do, or does to others.

use std::collections::BTreeSet;
use std::rc::Rc;

use serde_json::Value;

use super::envoy_filter::is_for_all_hosts;
use super::mesh_policy::MeshPolicy;
use super::selection::Selection;
use crate::advice::Advice;
use crate::document::endpoint_path::is_bound;
use crate::document::istio_cluster::IstioCluster;
use crate::document::mesh::Object;
use crate::document::mesh_route::routes;
use crate::document::outline::{cluster_of, list, members, mentions};
use crate::document::typed::member as field;
use policy::{Finding, Kind, Place, Step};

/// Warns of each endpoint that takes requests of all hosts, in the WasmPlugin of a gateway, unless
/// routes of all hosts follow it.
pub fn unbound_endpoints<'a>(policy: &MeshPolicy<'a>, mesh: &[Rc<Object>]) -> impl Iterator<Item = Finding> + use<'a> {
    let is_of_gateway = policy.plugin().is_some_and(|plugin| Selection::of(plugin).is_gateway(mesh));
    let is_concerned = is_of_gateway && !mesh.iter().any(|object| is_for_all_hosts(object, &policy.header));
    let endpoints = list(policy.document, "endpoints").enumerate().filter(move |_| is_concerned);
    endpoints.filter(|(_, endpoint)| !is_bound(endpoint)).map(|(n, _)| {
        let place = Place::root().member("endpoints").element(n);
        let problem = "the endpoint has no `hosts`: it decides, counts and copies for each host of the gateway, also \
                       those of other teams";
        Finding::warning(Kind::Conflict, place, problem, "add `hosts` to its `match`")
    })
}

/// Warns of each backend of a WasmPlugin whose cluster Istio can't have.
pub fn unknown_clusters(policy: &MeshPolicy<'_>, mesh: &[Rc<Object>]) -> Vec<Advice> {
    let Some(plugin) = policy.plugin() else { return Vec::new() };
    let document = policy.document;
    let mentions = mentions(document);
    let routed: BTreeSet<&str> =
        mesh.iter().flat_map(|object| routes(object)).flat_map(|route| route.values_of(&policy.header)).collect();
    let added: BTreeSet<&str> = mesh.iter().flat_map(|object| added_clusters(object)).collect();
    let is_copied = |backend: &str| {
        let places = mentions.get(backend).into_iter().flatten();
        // The last step may be a backend of this name.
        let mut above = places.filter_map(|mention| mention.place.steps().split_last());
        above.any(|(_, above)| above.contains(&Step::from("shadow")))
    };
    let is_there = |cluster: &str| IstioCluster::is_known(cluster) || added.contains(cluster);
    let names: BTreeSet<&str> =
        mentions.keys().copied().chain(members(document, "backends").map(|(name, _)| name.as_str())).collect();
    let mut findings = Vec::new();
    for backend in names {
        let cluster = cluster_of(document, backend);
        // A route for the value makes it a name like any other, but copies go straight to it.
        if is_there(cluster) || (routed.contains(cluster) && !is_copied(backend)) {
            continue;
        }
        let listed = document.get("backends").and_then(|backends| backends.get(backend));
        let has_cluster = listed.is_some_and(|listed| listed.get("cluster").is_some());
        let first = mentions.get(backend).and_then(|places| places.first()).map(|mention| mention.place.clone());
        let in_list = Place::root().member("backends").member(backend);
        let place = match (has_cluster, listed, first) {
            (true, ..) => in_list.member("cluster"),
            (false, Some(_), _) | (.., None) => in_list,
            (.., Some(place)) => place,
        };
        let problem = if has_cluster {
            format!("Istio has no cluster with a name like {cluster:?}: requests for it get 503")
        } else {
            format!("the backend has no cluster, and Istio has none with a name like {backend:?}: its requests get 503")
        };
        let namespace = plugin.namespace().unwrap_or("default");
        let remedy = format!(
            "write its cluster under `backends`, as in \"outbound|8080||{backend}.{namespace}.svc.cluster.local\""
        );
        findings.push(Finding::warning(Kind::UnknownCluster, place, problem, remedy).into());
    }
    if let Some(cluster) = document.get("default_cluster").and_then(Value::as_str)
        && !is_there(cluster)
        && !routed.contains(cluster)
    {
        let problem = format!("Istio has no cluster with a name like {cluster:?}: requests for it get 503");
        let remedy = "write outbound|PORT|SUBSET|HOST";
        let place = Place::root().member("default_cluster");
        findings.push(Finding::warning(Kind::UnknownCluster, place, problem, remedy).into());
    }
    findings
}

/// The clusters that an EnvoyFilter adds.
fn added_clusters(object: &Object) -> impl Iterator<Item = &str> {
    let adds = |patch: &&Value| patch.get("applyTo").and_then(Value::as_str) == Some("CLUSTER");
    object.patches().filter(adds).filter_map(|patch| field(patch.pointer("/patch/value")?, "name")?.as_str())
}

/// The note about a WasmPlugin of a gateway without which the gateway serves nothing.
pub fn fail_strategy(object: &Object, mesh: &[Rc<Object>]) -> Option<String> {
    let is_ours = object.kind == "WasmPlugin" && object.spec("/pluginConfig/endpoints").is_some();
    if !is_ours || !Selection::of(object).is_gateway(mesh) {
        return None;
    }
    let strategy = object.spec("/failStrategy").and_then(Value::as_str).unwrap_or("FAIL_CLOSE");
    (strategy != "FAIL_OPEN").then(|| {
        format!(
            "the {} has the failStrategy {strategy}: while its module can't be fetched, the gateway answers 403 to every \
             host; with FAIL_OPEN, the hosts' own routes answer",
            object.words()
        )
    })
}
