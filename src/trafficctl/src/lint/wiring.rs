//! Proxies whose routes do not do what the filter chooses.

use std::collections::BTreeMap;

use policy::{Gist, Severity};
use serde_json::Value;

use crate::document::endpoint_path::{EndpointPath, paths};
use crate::document::outline::{list, name_of};
use crate::document::route::{Route, Takes};
use crate::document::wiring::{Filter, Manager, Wiring};

/// A path that no prefix of a real proxy is likely to name.
const ANY_PATH: &str = "/-";

/// What is wrong with a connection manager that has the filter. `elsewhere` is the policy that it
/// takes from another file, and `all` is what all files say.
///
/// A route of somebody else is no mistake: only one that takes the paths of an endpoint is, and
/// only if no virtual host of the manager follows the filter there.
pub fn miswired(manager: &Manager, all: &Wiring, elsewhere: Option<&Value>) -> Vec<(Severity, String)> {
    let Some(filter) = manager.filter() else { return Vec::new() };
    let mut found = Vec::new();
    if filter.is_behind_router {
        let problem = "the filter is behind the router, where Envoy refuses it";
        found.push((Severity::Error, format!("{problem}, in {}; put it before the router", name(manager))));
    }
    let policy = if filter.is_discovered { elsewhere } else { filter.policy.as_ref() };
    let (Some(policy), Some(hosts)) = (policy, manager.hosts(all)) else { return found };
    // A policy with errors has a routing header, too.
    let gist = Gist::of(policy.to_string().as_bytes());
    let Some(header) = gist.routing_header() else { return found };
    let messages = Chain { manager, filter: &filter, header, hosts: &hosts }.messages(policy);
    found.extend(messages.into_iter().map(|message| (Severity::Warning, message)));
    found
}

fn name(manager: &Manager) -> String {
    format!("the connection manager {:?}", manager.name)
}

/// The filter and the routes behind it.
struct Chain<'a> {
    manager: &'a Manager,
    filter: &'a Filter,
    header: &'a str,
    hosts: &'a [Vec<Route>],
}

/// What becomes of a request for an endpoint.
enum Fate<'a> {
    Follows,
    /// The filter is off on the route, which ends the search.
    Off(&'a Route),
    Captured(&'a Route),
    Unknown,
}

impl Chain<'_> {
    fn messages(&self, policy: &Value) -> Vec<String> {
        let (header, name) = (self.header, name(self.manager));
        let routes = || self.hosts.iter().flatten();
        let following: Vec<&Route> = routes().filter(|route| route.follows(header)).collect();
        if list(policy, "endpoints").next().is_none() || !routes().any(|route| route.leads_to().is_some()) {
            return Vec::new();
        }
        if following.is_empty() {
            let other = routes().find_map(Route::cluster_header);
            let other = other.map(|other| format!(" (one takes it from {other:?})")).unwrap_or_default();
            return vec![format!(
                "no route of {name} takes the cluster from the header {header:?}, the policy's `routing_header`{other}: \
                 what the filter chooses has no effect; set `cluster_header` of the routes to it"
            )];
        }
        let is_off = |route: &&&Route| route.is_off(&self.filter.name, self.filter.is_off);
        let off = following.iter().filter(is_off).map(|route| {
            format!(
                "the filter is off on {} of {name}, which takes the cluster that the filter chooses; \
                 switch it on, or let the route name a cluster",
                route.words
            )
        });
        let mut messages: Vec<String> = off.collect();
        let mut captured: BTreeMap<String, (&str, usize)> = BTreeMap::new();
        for (endpoint, route, is_off) in self.captured(policy, &following) {
            let what = if is_off {
                format!("the filter is off on {} of {name}", route.words)
            } else {
                format!("{} of {name} {}", route.words, route.leads_to().unwrap_or_default())
            };
            captured.entry(what).or_insert((endpoint, 0)).1 += 1;
        }
        messages.extend(captured.into_iter().map(|(what, (endpoint, count))| {
            let more = if count > 1 { format!(" and {} more", count - 1) } else { String::new() };
            format!(
                "{what}, whatever the policy says of the endpoint {endpoint:?}{more}, which takes these paths; put a \
                 route with `cluster_header: {header}` before it"
            )
        }));
        messages
    }

    /// The endpoints with a route that takes their requests elsewhere, and whether that is because
    /// the filter is off.
    fn captured<'a>(&'a self, policy: &'a Value, following: &[&Route]) -> Vec<(&'a str, &'a Route, bool)> {
        let endpoints: Vec<_> =
            list(policy, "endpoints").filter_map(|endpoint| Some((endpoint, paths(endpoint)?))).collect();
        let mut captured = Vec::new();
        for (endpoint, paths) in &endpoints {
            let samples: Vec<&str> = if paths.is_empty() {
                following.iter().filter_map(|route| route.path()).chain([ANY_PATH]).collect()
            } else {
                paths.iter().map(|path| path.text).collect()
            };
            let fates: Vec<_> = samples.iter().map(|path| self.fate(path)).collect();
            // An endpoint for every path may leave paths to others.
            if paths.is_empty() && fates.iter().any(|fate| matches!(fate, Fate::Follows)) {
                continue;
            }
            let elsewhere = fates.into_iter().find_map(|fate| match fate {
                Fate::Captured(route) => Some((route, false)),
                // The others have been reported.
                Fate::Off(route) if !route.follows(self.header) => Some((route, true)),
                _ => None,
            });
            captured.extend(elsewhere.map(|(route, is_off)| (name_of(endpoint), route, is_off)));
        }
        // Routes for a part of an endpoint's paths. One where the filter is off is meant.
        let narrow = self.hosts.iter().flatten().filter(|route| !route.follows(self.header));
        for route in narrow {
            let Some(path) = route.path() else { continue };
            let covers =
                |(_, paths): &&(&Value, Vec<EndpointPath<'_>>)| paths.iter().any(|wide| wide.covers_more_than(path));
            let Some((endpoint, _)) = endpoints.iter().find(covers) else { continue };
            if let Fate::Captured(by) = self.fate(path)
                && std::ptr::eq(by, route)
            {
                captured.push((name_of(endpoint), route, false));
            }
        }
        captured
    }

    /// What becomes of requests with this path, in the virtual host that serves them best.
    fn fate(&self, path: &str) -> Fate<'_> {
        let mut worst = Fate::Unknown;
        for routes in self.hosts {
            match self.fate_in(routes, path) {
                Fate::Follows => return Fate::Follows,
                fate if matches!(worst, Fate::Unknown) => worst = fate,
                _ => (),
            }
        }
        worst
    }

    fn fate_in<'a>(&self, routes: &'a [Route], path: &str) -> Fate<'a> {
        // Envoy looks for a route before the filters run, and again when this one has chosen.
        let early = self.manager.sets_early(self.header);
        let first = routes.iter().find(|route| route.takes(path, (self.header, early)) == Takes::All);
        if let Some(route) = first.filter(|route| route.is_off(&self.filter.name, self.filter.is_off)) {
            return Fate::Off(route);
        }
        for route in routes {
            match route.takes(path, (self.header, true)) {
                Takes::None => (),
                _ if route.follows(self.header) => return Fate::Follows,
                Takes::All if route.leads_to().is_some() => return Fate::Captured(route),
                Takes::All => return Fate::Unknown,
                Takes::Some => (),
            }
        }
        Fate::Unknown
    }
}
