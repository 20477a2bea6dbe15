//! The routes of a VirtualService or an HTTPRoute: which requests they take.

use serde_json::Value;

use super::endpoint_path::{EndpointPath, hosts};
use super::host::may_be_same;
use super::mesh::Object;
use super::outline::{list, members};

/// A route of a VirtualService, or a rule of an HTTPRoute.
#[derive(Debug)]
pub struct MeshRoute<'a> {
    /// Its number in the list.
    pub number: usize,
    /// The route, as it is written.
    pub value: &'a Value,
    /// Its matches, one of which has to hold; without any it takes every request.
    pub matches: Vec<MeshMatch<'a>>,
}

/// A match of such a route.
#[derive(Debug)]
pub struct MeshMatch<'a> {
    /// The match, as it is written.
    pub value: &'a Value,
    /// The headers that it asks for, in lower case, each with the value if that has to be equal.
    pub headers: Vec<(String, Option<&'a str>)>,
    /// The path that it asks for.
    pub path: PathMatch<'a>,
    /// Whether it has conditions beside the path and the headers.
    pub has_conditions: bool,
}

/// The path that a match asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathMatch<'a> {
    /// Any path.
    Any,
    /// Paths with this prefix.
    Prefix(&'a str),
    /// This path.
    Exact(&'a str),
    /// A pattern.
    Other,
}

/// The routes of an object; none if it is neither a VirtualService nor an HTTPRoute.
pub fn routes(object: &Object) -> Vec<MeshRoute<'_>> {
    let (routes, name) = match object.kind {
        "VirtualService" => ("/http", "match"),
        "HTTPRoute" => ("/rules", "matches"),
        _ => return Vec::new(),
    };
    let routes = object.spec(routes).and_then(Value::as_array).into_iter().flatten().enumerate();
    let of_match = if object.kind == "HTTPRoute" { MeshMatch::of_gateway_api } else { MeshMatch::of_istio };
    let route = |(number, value)| MeshRoute { number, value, matches: list(value, name).map(of_match).collect() };
    routes.map(route).collect()
}

impl<'a> MeshRoute<'a> {
    /// Its name; empty if it has none.
    pub fn name(&self) -> &'a str {
        self.value.get("name").and_then(Value::as_str).unwrap_or_default()
    }

    /// The route in words: by its name, or by its number from 1.
    pub fn words(&self) -> String {
        match self.name() {
            "" => format!("route {}", self.number + 1),
            name => format!("the route {name:?}"),
        }
    }

    /// Its destinations, or the backends of a rule; none if it redirects, answers, or delegates.
    pub fn destinations(&self) -> Vec<&'a Value> {
        list(self.value, "route")
            .filter_map(|route| route.get("destination"))
            .chain(list(self.value, "backendRefs"))
            .collect()
    }

    /// The values that its matches ask for in this header, whose name is in lower case.
    pub fn values_of(&self, header: &str) -> Vec<&'a str> {
        let headers = self.matches.iter().flat_map(|one| &one.headers);
        headers.filter(|(name, _)| name == header).filter_map(|(_, value)| *value).collect()
    }

    /// Whether all of its matches ask for this header, whose name is in lower case.
    pub fn asks_for(&self, header: &str) -> bool {
        !self.matches.is_empty() && self.matches.iter().all(|one| one.asks_for(header))
    }

    /// Whether it may take requests with one of these paths: see [`MeshMatch::may_take`].
    pub fn may_take(&self, paths: Option<&[EndpointPath<'_>]>) -> bool {
        self.matches.is_empty() || self.matches.iter().any(|one| one.may_take(paths))
    }
}

impl<'a> MeshMatch<'a> {
    fn of_istio(value: &'a Value) -> Self {
        let exact = |condition: &'a Value| condition.get("exact").and_then(Value::as_str);
        let path = match value.get("uri") {
            None => PathMatch::Any,
            Some(uri) => match (uri.get("prefix").and_then(Value::as_str), exact(uri)) {
                (Some(prefix), _) => PathMatch::Prefix(prefix),
                (_, Some(path)) => PathMatch::Exact(path),
                _ => PathMatch::Other,
            },
        };
        let mut names = value.as_object().into_iter().flat_map(|members| members.keys());
        // The name of a match, and whether case matters, decide nothing.
        let has_conditions = names.any(|name| !matches!(&**name, "uri" | "headers" | "name" | "ignoreUriCase"));
        let headers = members(value, "headers").map(|(name, condition)| (name.to_ascii_lowercase(), exact(condition)));
        Self { value, headers: headers.collect(), path, has_conditions }
    }

    fn of_gateway_api(value: &'a Value) -> Self {
        let text = |value: &'a Value, name: &str| value.get(name).and_then(Value::as_str);
        let kind = |value: &'a Value, default: &'static str| text(value, "type").unwrap_or(default);
        let path = value.get("path").map_or(PathMatch::Any, |path| {
            let written = text(path, "value").unwrap_or("/");
            match kind(path, "PathPrefix") {
                "PathPrefix" => PathMatch::Prefix(written),
                "Exact" => PathMatch::Exact(written),
                _ => PathMatch::Other,
            }
        });
        let mut names = value.as_object().into_iter().flat_map(|members| members.keys());
        let has_conditions = names.any(|name| !matches!(&**name, "path" | "headers"));
        let headers = list(value, "headers").map(|header| {
            let exact = text(header, "value").filter(|_| kind(header, "Exact") == "Exact");
            (text(header, "name").unwrap_or_default().to_ascii_lowercase(), exact)
        });
        Self { value, headers: headers.collect(), path, has_conditions }
    }

    /// Whether it asks for this header, whose name is in lower case.
    pub fn asks_for(&self, header: &str) -> bool {
        self.headers.iter().any(|(name, _)| name == header)
    }

    /// Whether it may take requests with one of these paths of an endpoint: any if there are none,
    /// unknown ones if `None`.
    pub fn may_take(&self, paths: Option<&[EndpointPath<'_>]>) -> bool {
        let Some(paths) = paths.filter(|paths| !paths.is_empty()) else { return true };
        paths.iter().any(|path| {
            let (of_endpoint, is_prefix) = (path.text.to_ascii_lowercase(), path.is_prefix);
            match self.path {
                PathMatch::Any | PathMatch::Other => true,
                PathMatch::Prefix(prefix) => {
                    let prefix = prefix.to_ascii_lowercase();
                    of_endpoint.starts_with(&prefix) || (is_prefix && prefix.starts_with(&of_endpoint))
                }
                PathMatch::Exact(exact) => {
                    let exact = exact.to_ascii_lowercase();
                    if is_prefix { exact.starts_with(&of_endpoint) } else { exact == of_endpoint }
                }
            }
        })
    }
}

/// Whether an endpoint may take requests that an object routes. An object without hosts has those of
/// another one, which may be any.
pub fn takes_requests_of(endpoint: &Value, object: &Object) -> bool {
    let of_object = object.hosts();
    let is_among = |host: &str| of_object.iter().any(|other| may_be_same(host, other));
    of_object.is_empty() || hosts(endpoint).is_none_or(|hosts| hosts.into_iter().any(is_among))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_match_takes_the_paths_that_it_shares_with_an_endpoint() {
        let prefix = |text| EndpointPath { text, is_prefix: true };
        let exact = |text| EndpointPath { text, is_prefix: false };
        for (uri, path, expected) in [
            (json!({ "prefix": "/rank" }), prefix("/rank"), true),
            (json!({ "prefix": "/" }), prefix("/rank"), true),
            (json!({ "prefix": "/rank/v2" }), prefix("/rank"), true),
            (json!({ "prefix": "/search" }), prefix("/rank"), false),
            (json!({ "exact": "/rank/one" }), prefix("/rank"), true),
            (json!({ "exact": "/search" }), prefix("/rank"), false),
            (json!({ "prefix": "/one" }), exact("/one/two"), true),
            (json!({ "prefix": "/one/two/three" }), exact("/one/two"), false),
            (json!({ "exact": "/one" }), exact("/one"), true),
            (json!({ "exact": "/one" }), exact("/two"), false),
            (json!({ "regex": "/s.*" }), exact("/two"), true),
            (json!({ "prefix": "/RANK" }), prefix("/rank"), true),
        ] {
            let value = json!({ "uri": uri });
            assert_eq!(MeshMatch::of_istio(&value).may_take(Some(&[path])), expected, "{uri} {path:?}");
        }
    }
}
