//! The paths and hosts that an endpoint takes, as far as its document says them.

use serde_json::Value;

use super::outline::list;

/// The attributes of Envoy that name the host of a request, or its route.
const NAMES_OF_HOSTS: [[&str; 2]; 3] = [["xds", "virtual_host_name"], ["xds", "route_name"], ["request", "host"]];

/// A path of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointPath<'a> {
    /// The path, or the prefix.
    pub text: &'a str,
    /// Whether it is a prefix, which ends at a segment.
    pub is_prefix: bool,
}

impl EndpointPath<'_> {
    /// Whether it is a prefix of this path that ends at a segment, and shorter.
    pub fn covers_more_than(&self, path: &str) -> bool {
        let prefix = self.text.trim_end_matches('/');
        let rest = path.strip_prefix(prefix).filter(|_| self.is_prefix && !prefix.is_empty());
        rest.is_some_and(|rest| rest.starts_with('/') && rest.len() > 1)
    }
}

/// The paths of an endpoint: none if it takes every path; `None` if they are patterns.
pub fn paths(endpoint: &Value) -> Option<Vec<EndpointPath<'_>>> {
    let route = endpoint.get("route").and_then(Value::as_str).map(|text| EndpointPath { text, is_prefix: true });
    let matches = matches(endpoint);
    let mut paths = Vec::new();
    for path in matches.iter().filter_map(|one| one.get("path")) {
        let (prefix, exact) = (path.get("prefix").and_then(Value::as_str), path.get("exact").and_then(Value::as_str));
        paths.push(EndpointPath { text: prefix.or(exact)?, is_prefix: prefix.is_some() });
    }
    // One of the matches may take every path of the route.
    if paths.is_empty() || paths.len() < matches.len() {
        paths = route.into_iter().collect();
    }
    // All of `/` is every path.
    Some(if paths.iter().any(|path| path.is_prefix && path.text == "/") { Vec::new() } else { paths })
}

/// The matches of an endpoint, one of which has to hold; none if it has no conditions.
pub fn matches(endpoint: &Value) -> Vec<&Value> {
    match endpoint.get("match") {
        None => Vec::new(),
        Some(Value::Array(list)) => list.iter().collect(),
        Some(one) => vec![one],
    }
}

/// The hosts that an endpoint takes; `None` if it takes any.
pub fn hosts(endpoint: &Value) -> Option<Vec<&str>> {
    let matches = matches(endpoint);
    let hosts: Option<Vec<&Vec<Value>>> = matches.iter().map(|one| one.get("hosts")?.as_array()).collect();
    let hosts = hosts.filter(|hosts| !hosts.is_empty())?;
    Some(hosts.into_iter().flatten().filter_map(Value::as_str).collect())
}

/// Whether an endpoint takes only requests of hosts, virtual hosts or routes that it names.
pub fn is_bound(endpoint: &Value) -> bool {
    let matches = matches(endpoint);
    let is_bound = |one: &Value| list(one, "hosts").next().is_some() || list(one, "properties").any(names_host);
    !matches.is_empty() && matches.into_iter().all(is_bound)
}

/// Whether a property has to name the host or the route.
fn names_host(property: &Value) -> bool {
    let path: Vec<_> = list(property, "path").filter_map(Value::as_str).collect();
    property.get("present").is_none() && NAMES_OF_HOSTS.iter().any(|name| path == name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_endpoint_is_bound_if_each_of_its_matches_names_a_host_or_a_route() {
        let route = json!({ "path": ["xds", "route_name"], "exact": "rank" });
        for (matching, expected) in [
            (json!({ "hosts": ["a"] }), true),
            (json!({ "hosts": [] }), false),
            (json!({ "path": { "prefix": "/" } }), false),
            (json!([{ "hosts": ["a"] }, { "path": { "prefix": "/" } }]), false),
            (json!([{ "hosts": ["a"] }, { "properties": [route] }]), true),
            (json!({ "properties": [{ "path": ["xds", "virtual_host_name"], "exact": "a:80" }] }), true),
            (json!({ "properties": [{ "path": ["xds", "route_name"], "present": true }] }), false),
            (json!({ "properties": [{ "path": ["xds", "cluster_name"], "exact": "a" }] }), false),
            (json!([]), false),
        ] {
            assert_eq!(is_bound(&json!({ "match": matching })), expected, "{matching}");
        }
        assert!(!is_bound(&json!({ "route": "/" })));
    }
}
