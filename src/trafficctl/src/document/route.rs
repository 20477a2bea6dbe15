//! Routes: which paths they take, and where they lead.

use serde_json::Value;

use super::typed::{elements, member, snake_case, string, type_of};

/// A route of a virtual host.
#[derive(Debug)]
pub struct Route {
    /// The route in words, for messages.
    pub words: String,
    path: PathMatch,
    /// The names of the headers that it asks for, in lower case.
    headers: Vec<Header>,
    /// Whether it has conditions beside the path and the headers.
    has_conditions: bool,
    target: Option<Target>,
    /// Whether the route or its surroundings switch a filter on or off, the most specific first.
    switches: Vec<(String, bool)>,
}

/// A condition on a header.
#[derive(Debug)]
struct Header {
    name: String,
    /// Whether it holds if the header is absent.
    is_absent: bool,
    /// Whether it compares the value.
    has_value: bool,
}

#[derive(Debug)]
enum PathMatch {
    Prefix(String),
    Segments(String),
    Exact(String),
    Other,
}

/// Where a route leads.
#[derive(Debug)]
enum Target {
    /// To the cluster that this header names.
    Header(String),
    /// To a cluster or clusters that are otherwise chosen, in words.
    Other(String),
}

/// Whether a route takes a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Every request with this path.
    All,
    /// Some requests with this path.
    Some,
    /// None.
    None,
}

/// The routes of each virtual host of a route table; `None` if they are not routes, or elsewhere.
pub fn routes(table: &Value) -> Option<Vec<Vec<Route>>> {
    if member(table, "vhds").is_some() {
        return None;
    }
    let host = |host: &Value| {
        let route = |route| Route::of(route, &string(host, "name"), [host, table]);
        member(host, "matcher").is_none().then(|| elements(host, "routes").map(route).collect())
    };
    elements(table, "virtual_hosts").map(host).collect()
}

impl Route {
    fn of(route: &Value, host: &str, around: [&Value; 2]) -> Self {
        let empty = Value::Null;
        let matching = member(route, "match").unwrap_or(&empty);
        let text = |name: &str| member(matching, name).and_then(Value::as_str).map(str::to_owned);
        let ignores_case = member(matching, "case_sensitive").and_then(Value::as_bool) == Some(false);
        let (path, words) = match (text("prefix"), text("path"), text("path_separated_prefix")) {
            _ if ignores_case => (PathMatch::Other, "a path in any case".to_owned()),
            (Some(prefix), ..) => (PathMatch::Prefix(prefix.clone()), format!("the prefix {prefix:?}")),
            (_, Some(path), _) => (PathMatch::Exact(path.clone()), format!("the path {path:?}")),
            (.., Some(prefix)) => (PathMatch::Segments(prefix.clone()), format!("the prefix {prefix:?}")),
            _ => (PathMatch::Other, "a pattern".to_owned()),
        };
        let is_known =
            |name: &str| matches!(name, "prefix" | "path" | "path_separated_prefix" | "headers" | "case_sensitive");
        let names = matching.as_object().into_iter().flat_map(|members| members.keys());
        Self {
            words: format!("the route for {words} in the virtual host {host:?}"),
            path,
            headers: elements(matching, "headers").map(Header::of).collect(),
            has_conditions: names.map(|name| snake_case(name)).any(|name| !is_known(&name)),
            target: member(route, "route").map(Target::of),
            switches: [route, around[0], around[1]].into_iter().flat_map(switches).collect(),
        }
    }

    /// Whether it takes requests with this path. `routing` is the routing header, in lower case,
    /// and whether requests have it.
    pub fn takes(&self, path: &str, routing: (&str, bool)) -> Takes {
        let (header, is_present) = routing;
        let may = match &self.path {
            PathMatch::Prefix(prefix) => path.starts_with(prefix.as_str()),
            PathMatch::Exact(exact) => path == exact,
            PathMatch::Segments(prefix) => {
                path.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
            PathMatch::Other => true,
        };
        let (about_routing, others): (Vec<_>, Vec<_>) = self.headers.iter().partition(|asked| asked.name == header);
        if !may || about_routing.iter().any(|asked| asked.is_absent == is_present) {
            return Takes::None;
        }
        let is_sure = others.is_empty() && !self.has_conditions && !matches!(self.path, PathMatch::Other);
        if is_sure { Takes::All } else { Takes::Some }
    }

    /// The one path, or the prefix, that it takes.
    pub fn path(&self) -> Option<&str> {
        match &self.path {
            PathMatch::Prefix(path) | PathMatch::Exact(path) | PathMatch::Segments(path) => Some(path),
            PathMatch::Other => None,
        }
    }

    /// Whether it leads to the cluster in the routing header: by `cluster_header`, or as the route
    /// for one value of it.
    pub fn follows(&self, header: &str) -> bool {
        let is_of_value = self.headers.iter().any(|asked| asked.name == header && asked.has_value && !asked.is_absent);
        self.target.is_some() && (is_of_value || self.cluster_header() == Some(header))
    }

    /// The header that names its cluster, in lower case.
    pub fn cluster_header(&self) -> Option<&str> {
        match &self.target {
            Some(Target::Header(header)) => Some(header),
            _ => None,
        }
    }

    /// Where it leads, in words; `None` if it answers itself, or redirects.
    pub fn leads_to(&self) -> Option<String> {
        match self.target.as_ref()? {
            Target::Header(header) => Some(format!("takes the cluster from the header {header:?}")),
            Target::Other(words) => Some(words.clone()),
        }
    }

    /// Whether a filter is off there. `is_off` is what holds if nothing switches it.
    pub fn is_off(&self, filter: &str, is_off: bool) -> bool {
        let switch = self.switches.iter().find(|(name, _)| name == filter);
        switch.map_or(is_off, |(_, is_off)| *is_off)
    }
}

impl Header {
    fn of(condition: &Value) -> Self {
        let truth = |name: &str| member(condition, name).and_then(Value::as_bool);
        let is_inverted = truth("invert_match").unwrap_or_default();
        let is_absent = (truth("present_match") == Some(false)) != is_inverted;
        let names = condition.as_object().into_iter().flat_map(|members| members.keys());
        let is_comparison =
            |name: String| name.ends_with("_match") && !matches!(&*name, "present_match" | "invert_match");
        Self {
            name: string(condition, "name").to_ascii_lowercase(),
            is_absent,
            has_value: names.map(|name| snake_case(name)).any(is_comparison),
        }
    }
}

impl Target {
    fn of(action: &Value) -> Self {
        if let Some(Value::String(header)) = member(action, "cluster_header") {
            return Self::Header(header.to_ascii_lowercase());
        }
        Self::Other(match member(action, "cluster") {
            Some(Value::String(cluster)) => format!("leads to the cluster {cluster:?}"),
            _ => "chooses the cluster itself".to_owned(),
        })
    }
}

/// The filters that a route, a virtual host or a route table switches on or off.
fn switches(value: &Value) -> Vec<(String, bool)> {
    let filters = member(value, "typed_per_filter_config").and_then(Value::as_object).into_iter().flatten();
    let switch = |(name, config): (&String, &Value)| {
        let is_switch = type_of(config).ends_with("config.route.v3.FilterConfig");
        let is_off = is_switch && member(config, "disabled").and_then(Value::as_bool) == Some(true);
        (name.clone(), is_off)
    };
    filters.map(switch).collect()
}
