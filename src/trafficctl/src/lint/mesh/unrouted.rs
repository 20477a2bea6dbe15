//! Backends to which no route leads, where each has a route of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use serde_json::Value;

use super::mesh_policy::MeshPolicy;
use crate::advice::{Advice, did_you_mean};
use crate::document::endpoint_path::paths;
use crate::document::mesh::Object;
use crate::document::mesh_route::{MeshRoute, routes, takes_requests_of};
use crate::document::outline::{cluster_of, list, members, mentions};
use policy::{Finding, Kind, Place};

/// Warns of each backend for which a VirtualService or HTTPRoutes with routes for others have none.
pub fn backends(policy: &MeshPolicy<'_>, mesh: &[Rc<Object>]) -> Vec<Advice> {
    let mut groups: BTreeMap<(&str, Vec<&str>), Vec<&Object>> = BTreeMap::new();
    for object in mesh.iter().filter(|object| policy.is_followed_by(object)) {
        // Rules for one host may be in several HTTPRoutes.
        let of_hosts = if object.kind == "HTTPRoute" { Vec::new() } else { object.hosts() };
        groups.entry((object.kind, of_hosts)).or_default().push(object);
    }
    groups.into_values().flat_map(|objects| of_group(policy, &objects)).collect()
}

/// The warnings about objects that route the requests of the same hosts together.
fn of_group(policy: &MeshPolicy<'_>, objects: &[&Object]) -> Vec<Advice> {
    let Some(object) = objects.first() else { return Vec::new() };
    let document = policy.document;
    let routes: Vec<MeshRoute<'_>> = objects.iter().flat_map(|object| routes(object)).collect();
    let values = |routes: &mut dyn Iterator<Item = &MeshRoute<'_>>| -> BTreeSet<String> {
        routes.flat_map(|route| route.values_of(&policy.header)).map(str::to_owned).collect()
    };
    let all = values(&mut routes.iter());
    let is_concerned = |endpoint: &Value| objects.iter().any(|object| takes_requests_of(endpoint, object));
    // The first place of each cluster without a route.
    let mut missing: BTreeMap<&str, Place> = BTreeMap::new();
    for (n, endpoint) in list(document, "endpoints").enumerate().filter(|(_, endpoint)| is_concerned(endpoint)) {
        let paths = paths(endpoint);
        let known = values(&mut routes.iter().filter(|route| route.may_take(paths.as_deref())));
        // No route for the paths of the endpoint: nothing here follows the filter for them.
        if known.is_empty() {
            continue;
        }
        let place = Place::root().member("endpoints").element(n);
        let cohorts = list(endpoint, "cohorts").enumerate();
        let cohorts = cohorts.map(|(n, cohort)| (place.member("cohorts").element(n), cohort));
        for (place, plan) in std::iter::once((place.clone(), endpoint)).chain(cohorts) {
            for (backend, _) in members(plan, "traffic") {
                let cluster = cluster_of(document, backend);
                if !known.contains(cluster) {
                    let here = place.member("traffic").member(backend);
                    missing.entry(cluster).or_insert(here);
                }
            }
        }
    }
    // The next change may give a share to a backend that is only listed.
    let mentions = mentions(document);
    for (backend, _) in members(document, "backends").filter(|(backend, _)| !mentions.contains_key(backend.as_str())) {
        let cluster = cluster_of(document, backend);
        if !all.contains(cluster) {
            missing.entry(cluster).or_insert_with(|| Place::root().member("backends").member(backend));
        }
    }
    if let Some(default) = document.get("default_cluster").and_then(Value::as_str).filter(|name| !all.contains(*name)) {
        missing.entry(default).or_insert_with(|| Place::root().member("default_cluster"));
    }
    let remedy = match object.kind {
        "HTTPRoute" => "add a rule for it, as `trafficctl render envoy-gateway` does",
        _ => "render the routes again: `trafficctl render istio --routes virtual-service --into FILE`",
    };
    let advice = |(cluster, place): (&str, Place)| {
        let problem = format!(
            "the {} has no route for the cluster {cluster:?}: another route answers its requests, which are reported \
             as this backend's",
            object.words()
        );
        let finding = Finding::warning(Kind::UnknownCluster, place, problem, remedy);
        Advice { finding, help: did_you_mean(cluster, all.iter().map(String::as_str)) }
    };
    missing.into_iter().map(advice).collect()
}
