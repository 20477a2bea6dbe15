//! EnvoyFilters that do more, or something else, than let the requests of a policy follow it.

use std::rc::Rc;

use serde_json::Value;

use super::mesh_policy::MeshPolicy;
use super::selection::Selection;
use super::warning::{element, warning};
use crate::document::mesh::Object;
use crate::document::typed::{elements, member as field, snake_case};
use policy::Finding;

/// What is wrong with an EnvoyFilter for the policies whose routing header it names.
pub fn findings(object: &Object, policies: &[MeshPolicy<'_>], mesh: &[Rc<Object>]) -> Vec<Finding> {
    let mut found = Vec::new();
    for (n, patch) in object.patches().enumerate() {
        let place = || element("configPatches", n);
        if let Some(header) = cluster_header(patch) {
            if let Some(policy) = policies.iter().find(|policy| policy.header == header) {
                found.extend(of_route(patch, policy).map(|(problem, remedy)| warning(place(), problem, remedy)));
            } else if let Some(policy) =
                policies.iter().find(|policy| is_for(policy, object) && !is_followed(policy, mesh))
            {
                let problem = format!(
                    "the routes take the cluster from the header {header:?}, and the policy's `routing_header` is {:?}: \
                     what the filter chooses has no effect",
                    policy.header
                );
                found.push(warning(place(), problem, "render both from the same policy"));
            }
        }
        for policy in policies.iter().filter(|policy| writes(patch, &policy.header)) {
            let problem = format!(
                "the early header mutation writes {:?} into every request, which then counts as decided; requests \
                 without the filter's decision take no route of the team",
                policy.header
            );
            let remedy = format!("write {{\"remove\": {:?}}} in its place", policy.header);
            found.push(warning(place(), problem, remedy));
        }
    }
    found.extend(policies.iter().filter_map(|policy| other_proxies(object, policy, mesh)));
    found
}

/// Whether it inserts a route that follows this header, in lower case, for all hosts.
pub fn is_for_all_hosts(object: &Object, header: &str) -> bool {
    let is_inserted = |patch: &Value| {
        let operation = patch.pointer("/patch/operation").and_then(Value::as_str).unwrap_or_default();
        operation.starts_with("INSERT") && patch.pointer("/match/routeConfiguration/vhost").is_none()
    };
    object.kind == "EnvoyFilter"
        && object.patches().any(|patch| is_inserted(patch) && cluster_header(patch).as_deref() == Some(header))
}

/// The header from which the routes of a patch take the cluster, in lower case.
fn cluster_header(patch: &Value) -> Option<String> {
    let route = field(patch.pointer("/patch/value")?, "route")?;
    Some(field(route, "cluster_header")?.as_str()?.to_ascii_lowercase())
}

/// Whether an EnvoyFilter names this header, in lower case.
fn names(object: &Object, header: &str) -> bool {
    object.patches().any(|patch| cluster_header(patch).as_deref() == Some(header))
}

/// Whether an object lets routes follow this policy.
fn is_followed(policy: &MeshPolicy<'_>, mesh: &[Rc<Object>]) -> bool {
    mesh.iter().any(|object| names(object, &policy.header) || policy.is_followed_by(object))
}

/// Whether an EnvoyFilter is for the proxies of this policy.
fn is_for(policy: &MeshPolicy<'_>, object: &Object) -> bool {
    policy.plugin().is_some_and(|plugin| Selection::of(plugin) == Selection::of(object))
}

/// What is wrong with a patch whose routes follow the policy.
fn of_route(patch: &Value, policy: &MeshPolicy<'_>) -> Option<(String, &'static str)> {
    const REMEDY: &str = "insert a route that asks for the header, as `trafficctl render istio` does";
    let header = &policy.header;
    let operation = patch.pointer("/patch/operation").and_then(Value::as_str).unwrap_or_default();
    let vhost = patch.pointer("/match/routeConfiguration/vhost");
    if operation == "MERGE" {
        let has_name = vhost.and_then(|vhost| vhost.pointer("/route/name")).is_some();
        let whose = if vhost.is_some() { "of the host" } else { "of every host of the proxies" };
        return (!has_name).then(|| {
            let problem = format!(
                "the patch makes all routes {whose} take the cluster from {header:?}: redirects, direct responses and \
                 paths without an endpoint get 503"
            );
            (problem, REMEDY)
        });
    }
    let matching = field(patch.pointer("/patch/value")?, "match");
    let mut headers = matching.into_iter().flat_map(|matching| elements(matching, "headers"));
    let is_it = |condition: &Value| {
        field(condition, "name").and_then(Value::as_str).is_some_and(|name| name.eq_ignore_ascii_case(header))
    };
    (!headers.any(is_it)).then(|| {
        let problem = format!(
            "the route takes requests without the header {header:?} too, about which the filter has not decided: they \
             get 503"
        );
        (problem, REMEDY)
    })
}

/// Whether a mutation in a patch writes this header, in lower case.
fn writes(value: &Value, header: &str) -> bool {
    let is_write = |mutation: &Value| {
        let key = mutation.pointer("/append/header/key").and_then(Value::as_str);
        key.is_some_and(|key| key.eq_ignore_ascii_case(header))
    };
    match value {
        Value::Object(members) => members.iter().any(|(name, value)| match snake_case(name).as_str() {
            "mutations" => value.as_array().into_iter().flatten().any(is_write),
            _ => writes(value, header),
        }),
        Value::Array(list) => list.iter().any(|value| writes(value, header)),
        _ => false,
    }
}

/// The warning about an EnvoyFilter whose proxies are not those of the policy, unless another one is
/// for those.
fn other_proxies(object: &Object, policy: &MeshPolicy<'_>, mesh: &[Rc<Object>]) -> Option<Finding> {
    let plugin = policy.plugin()?;
    if !names(object, &policy.header) {
        return None;
    }
    let selection = Selection::of(plugin);
    let is_for = |other: &Object| {
        let other = Selection::of(other);
        other == selection || other.is_all()
    };
    let routing = mesh.iter().filter(|other| other.kind == "EnvoyFilter" && names(other, &policy.header));
    if routing.into_iter().any(|other| is_for(other)) {
        return None;
    }
    let problem = format!(
        "it is for {}, and the {} for {}: the filter runs where no route follows it, or routes wait for a filter that is \
         not there",
        Selection::of(object).words(),
        plugin.words(),
        selection.words()
    );
    Some(warning([policy::Step::from("spec")], problem, "select the same proxies in both"))
}
