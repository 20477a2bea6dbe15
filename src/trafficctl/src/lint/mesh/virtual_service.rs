//! VirtualServices and HTTPRoutes whose routes do something else than the policy says.

use std::collections::BTreeSet;
use std::rc::Rc;

use serde_json::Value;

use super::mesh_policy::MeshPolicy;
use super::selection::Selection;
use super::warning::{element, warning};
use crate::document::endpoint_path::paths;
use crate::document::host::may_be_same;
use crate::document::istio_cluster::IstioCluster;
use crate::document::mesh::Object;
use crate::document::mesh_route::{MeshMatch, MeshRoute, PathMatch, routes, takes_requests_of};
use crate::document::outline::{cluster_of, list, members, mentions, name_of};
use policy::{Finding, Step};

/// What is wrong with a VirtualService or an HTTPRoute for these policies.
pub fn findings(object: &Object, policies: &[MeshPolicy<'_>], mesh: &[Rc<Object>]) -> Vec<Finding> {
    let routes = routes(object);
    let list = if object.kind == "HTTPRoute" { "rules" } else { "http" };
    let mut found = Vec::new();
    for policy in policies {
        if !policy.is_followed_by(object) {
            found.extend(
                by_other_header(&routes, policy).map(|(n, problem, remedy)| warning(element(list, n), problem, remedy)),
            );
            continue;
        }
        // The rules of HTTPRoutes have no order, and names of Services no subsets.
        if object.kind == "VirtualService" {
            found.extend(to_other_clusters(&routes, policy));
            found.extend(taken_before(object, &routes, policy));
            found.extend(without_filter(object, &routes, policy, mesh));
            found.extend(beside_others(object, policy, mesh));
        }
    }
    found
}

/// The route whose header has clusters of the policy as its values, though the policy writes another
/// header.
fn by_other_header(routes: &[MeshRoute<'_>], policy: &MeshPolicy<'_>) -> Option<(usize, String, &'static str)> {
    let document = policy.document;
    let names = mentions(document).into_keys().chain(members(document, "backends").map(|(name, _)| name.as_str()));
    let clusters: BTreeSet<&str> = names.map(|backend| cluster_of(document, backend)).collect();
    let headers = |route: &MeshRoute<'_>| -> Option<String> {
        let headers = route.matches.iter().flat_map(|one| &one.headers);
        let mut ours = headers.filter(|(_, value)| value.is_some_and(|value| clusters.contains(value)));
        ours.next().map(|(name, _)| name.clone())
    };
    let (n, header) = routes.iter().find_map(|route| Some((route.number, headers(route)?)))?;
    let problem = format!(
        "the routes ask for the header {header:?}, and the policy's `routing_header` is {:?}: what the filter chooses has \
         no effect",
        policy.header
    );
    Some((n, problem, "name the same header in both"))
}

/// The routes for a cluster that lead to another one.
fn to_other_clusters(routes: &[MeshRoute<'_>], policy: &MeshPolicy<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for route in routes {
        let values = route.values_of(&policy.header);
        let Some(cluster) = values.first().and_then(|value| IstioCluster::parse(value)) else { continue };
        let text = |destination: &Value, name: &str| -> String {
            destination.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let is_other = |destination: &&Value| {
            !may_be_same(&text(destination, "host"), &cluster.host) || text(destination, "subset") != cluster.subset
        };
        if let Some(other) = route.destinations().into_iter().find(is_other) {
            let subset = text(other, "subset");
            let subset = if subset.is_empty() { String::new() } else { format!(", subset {subset}") };
            let problem = format!(
                "{} is for {cluster}, and leads to {}{subset}: its requests are reported as another backend's",
                route.words(),
                text(other, "host")
            );
            found.push(warning(element("http", route.number), problem, "let it lead to its cluster"));
        }
    }
    found
}

/// The route that takes all requests of an endpoint before the first that follows the filter.
fn taken_before(object: &Object, routes: &[MeshRoute<'_>], policy: &MeshPolicy<'_>) -> Option<Finding> {
    let follows = |route: &MeshRoute<'_>| !route.values_of(&policy.header).is_empty();
    list(policy.document, "endpoints").filter(|endpoint| takes_requests_of(endpoint, object)).find_map(|endpoint| {
        let paths = paths(endpoint)?;
        let first = routes.iter().position(|route| follows(route) && route.may_take(Some(&paths)))?;
        let covers = |one: &MeshMatch<'_>| {
            let is_plain = one.headers.is_empty() && !one.has_conditions;
            is_plain
                && match one.path {
                    PathMatch::Any | PathMatch::Prefix("/") => true,
                    PathMatch::Prefix(prefix) => {
                        !paths.is_empty() && paths.iter().all(|path| path.text.starts_with(prefix))
                    }
                    PathMatch::Exact(_) | PathMatch::Other => false,
                }
        };
        let takes = |route: &&MeshRoute<'_>| route.matches.is_empty() || route.matches.iter().any(covers);
        let before = routes.iter().take(first).filter(|route| !route.destinations().is_empty()).find(takes)?;
        let problem = format!(
            "{} takes the requests of the endpoint {:?} before the routes that follow the filter",
            before.words(),
            name_of(endpoint)
        );
        Some(warning(element("http", before.number), problem, "put it behind them"))
    })
}

/// The route that sidecars without the filter follow, too: there, whoever sends the header chooses.
fn without_filter(
    object: &Object,
    routes: &[MeshRoute<'_>],
    policy: &MeshPolicy<'_>,
    mesh: &[Rc<Object>],
) -> Option<Finding> {
    let selection = Selection::of(policy.plugin()?);
    let gateways = object.strings("/gateways");
    let is_in_mesh = gateways.is_empty() || gateways.contains(&"mesh");
    if !is_in_mesh || selection.is_all() {
        return None;
    }
    let of_match = |one: &Value| -> Option<String> {
        if let Some(named) = one.get("gateways").and_then(Value::as_array).filter(|named| !named.is_empty()) {
            let is_mesh = named.iter().any(|gateway| gateway.as_str() == Some("mesh"));
            return is_mesh.then(|| "names the gateway mesh, so that Istio ignores `sourceLabels`".to_owned());
        }
        let has = |(label, value): (&&str, &&str)| {
            one.get("sourceLabels").and_then(|labels| labels.get(*label)?.as_str()) == Some(*value)
        };
        if !selection.is_gateway(mesh) && selection.labels.iter().all(has) {
            return None;
        }
        match one.get("sourceLabels") {
            None => Some("has no `sourceLabels`".to_owned()),
            Some(_) if selection.is_gateway(mesh) => None,
            Some(_) => Some("has other `sourceLabels` than the filter's workloads".to_owned()),
        }
    };
    let asks = |one: &&MeshMatch<'_>| one.asks_for(&policy.header);
    let (route, problem) = routes
        .iter()
        .find_map(|route| Some((route, route.matches.iter().filter(asks).find_map(|one| of_match(one.value))?)))?;
    let problem = format!(
        "{} {problem}: it is for sidecars without the filter, too, where a client that sends {:?} chooses the backend",
        route.words(),
        policy.header
    );
    let remedy = if selection.is_gateway(mesh) {
        "name the gateway in the match, under `gateways`".to_owned()
    } else {
        format!("write the labels of the WasmPlugin under `sourceLabels` ({}), without `gateways`", selection.words())
    };
    Some(warning(element("http", route.number), problem, remedy))
}

/// The warning about a VirtualService beside another one of its host that takes the same requests.
fn beside_others(object: &Object, policy: &MeshPolicy<'_>, mesh: &[Rc<Object>]) -> Option<Finding> {
    let gateways = |object: &Object| -> Vec<String> {
        let named = object.strings("/gateways");
        let short = |name: &str| name.rsplit('/').next().unwrap_or(name).to_owned();
        if named.is_empty() { vec!["mesh".to_owned()] } else { named.into_iter().map(short).collect() }
    };
    let ours = (object.hosts(), gateways(object));
    let is_beside = |other: &&Rc<Object>| {
        let theirs = (other.hosts(), gateways(other));
        let is_other = other.kind == "VirtualService" && !policy.is_followed_by(other);
        is_other
            && ours.0.iter().any(|host| theirs.0.iter().any(|other| other.eq_ignore_ascii_case(host)))
            && ours.1.iter().any(|gateway| theirs.1.contains(gateway))
    };
    let takes = |other: &&Rc<Object>| {
        let endpoints = list(policy.document, "endpoints").filter(|endpoint| takes_requests_of(endpoint, other));
        let paths: Vec<_> = endpoints.map(paths).collect();
        let takes = |route: &MeshRoute<'_>| paths.iter().any(|paths| route.may_take(paths.as_deref()));
        routes(other).iter().any(|route| !route.destinations().is_empty() && takes(route))
    };
    let other = mesh.iter().filter(is_beside).find(takes)?;
    let problem = format!(
        "the {} is for the same host: Istio uses the routes of the older one first, and the filter's choice may have no \
         effect, though it is reported",
        other.words()
    );
    let remedy = "merge the routes into it: `trafficctl render istio --routes virtual-service --into FILE`";
    Some(warning([Step::from("spec"), Step::from("hosts")], problem, remedy))
}
