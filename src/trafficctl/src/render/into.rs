//! `--into`: the routes of a policy in a VirtualService that somebody else has written.
//!
//! Before each route that may take requests of the policy's endpoints, a copy of it for each
//! cluster: with one more condition, the routing header, and with the cluster as its destination.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::followers::{Followers, is_of_policy};
use crate::document::elements;
use crate::document::endpoint_path::paths;
use crate::document::host::may_be_same;
use crate::document::mesh::{self, Object};
use crate::document::mesh_route::{MeshMatch, MeshRoute, routes, takes_requests_of};
use crate::document::outline::list;
use crate::error::Error;
use crate::terminal::note;
use policy::Step;

/// The comment above the routes.
const COMMENT: &str = "Of the traffic policy, by `trafficctl render istio --into`. The next run replaces it.";

/// The text of the file at `path` with the routes of the policy, `document`, in its VirtualServices
/// for these hosts; for the only one without any host. Routes of an earlier run are replaced.
///
/// # Errors
/// [`Error::Unreadable`] if the file can't be read, [`Error::Wrong`] if it has no such
/// VirtualService, or none of whose routes takes requests of the policy, or if its layout can't be
/// edited.
pub fn merged(path: &Path, document: &Value, wanted: &[&str], followers: &Followers<'_>) -> Result<String, Error> {
    let (mut text, objects) = mesh::read(path)?;
    let services = services(path, &objects, wanted)?;
    let mut expected = objects.clone();
    for object in &services {
        let merged = Merged::of(object, document, followers)?;
        let steps: Vec<Step> = object.steps.iter().cloned().chain(["spec", "http"].map(Step::from)).collect();
        let edited = elements::without(&text, object.document, &steps, &merged.replaced)
            .and_then(|text| elements::with(&text, object.document, &steps, &merged.groups, COMMENT));
        text = edited.ok_or_else(|| cannot_edit(path, object))?;
        let is_it = |other: &&mut Object| (other.document, &other.steps) == (object.document, &object.steps);
        if let Some(http) = expected.iter_mut().find(is_it).and_then(|other| other.value.pointer_mut("/spec/http")) {
            *http = Value::Array(merged.http);
        }
    }
    // The text was edited, not written from values: it has to say exactly what was meant.
    let found = mesh::parse(path, &text)?;
    let differs = |(found, expected): &(&Object, &Object)| found.value != expected.value;
    match found.iter().zip(&expected).find(differs) {
        None if found.len() == expected.len() => Ok(text),
        Some((_, object)) => Err(cannot_edit(path, object)),
        None => Err(Error::Wrong(format!("the layout of {} can't be edited", path.display()))),
    }
}

/// The VirtualServices of a file for these hosts.
fn services<'a>(path: &Path, objects: &'a [Object], wanted: &[&str]) -> Result<Vec<&'a Object>, Error> {
    let path = path.display();
    let all: Vec<_> = objects.iter().filter(|object| object.kind == "VirtualService").collect();
    let is_for = |object: &Object, host: &str| object.hosts().iter().any(|other| may_be_same(host, other));
    if let Some(host) = wanted.iter().find(|host| !all.iter().any(|object| is_for(object, host))) {
        return Err(Error::Wrong(format!(
            "{path} has no VirtualService for the host {host:?}: name the file that has it, or leave out --into to \
             render one"
        )));
    }
    let chosen: Vec<_> = all.iter().copied().filter(|object| wanted.iter().any(|host| is_for(object, host))).collect();
    match (chosen.is_empty(), all.as_slice()) {
        (false, _) => Ok(chosen),
        (true, []) => Err(Error::Wrong(format!("{path} has no VirtualService: --into names the file that has it"))),
        (true, [only]) => Ok(vec![*only]),
        (true, several) => {
            let hosts: Vec<_> = several.iter().flat_map(|object| object.hosts()).collect();
            Err(Error::Wrong(format!(
                "{path} has several VirtualServices: name those of the policy by --host ({})",
                hosts.join(", ")
            )))
        }
    }
}

fn cannot_edit(path: &Path, object: &Object) -> Error {
    Error::Wrong(format!(
        "the layout of the {} in {} can't be edited in place: write `spec.http` in block style, or as JSON",
        object.words(),
        path.display()
    ))
}

/// A VirtualService with the routes.
struct Merged {
    /// The numbers of the routes of an earlier run.
    replaced: Vec<usize>,
    /// The new routes, each group before the route that has this number without the replaced ones.
    groups: Vec<(usize, Vec<Value>)>,
    /// All routes.
    http: Vec<Value>,
}

impl Merged {
    fn of(object: &Object, document: &Value, followers: &Followers<'_>) -> Result<Self, Error> {
        let reach = followers.reach.within(object)?;
        let endpoints: Vec<_> =
            list(document, "endpoints").filter(|endpoint| takes_requests_of(endpoint, object)).collect();
        let mut merged = Self { replaced: Vec::new(), groups: Vec::new(), http: Vec::new() };
        let mut of_team = 0;
        for route in routes(object) {
            if followers.is_ours(route.name()) {
                merged.replaced.push(route.number);
                continue;
            }
            if !is_of_policy(route.name()) {
                of_team += 1;
                let label = if route.name().is_empty() { of_team.to_string() } else { route.name().to_owned() };
                let matches = matches(&route, &endpoints);
                if !matches.is_empty() && route.value.get("delegate").is_some() {
                    note(&delegates(&route, object));
                }
                let matches: Vec<Value> = matches.iter().filter_map(|one| reach.narrowed(one)).collect();
                if !route.destinations().is_empty() && !matches.is_empty() && !route.asks_for(followers.header) {
                    let group: Vec<_> = copies(&route, &label, &matches, followers).collect();
                    merged.groups.push((route.number - merged.replaced.len(), group.clone()));
                    merged.http.extend(group);
                }
            }
            merged.http.push(route.value.clone());
        }
        if merged.groups.is_empty() {
            return Err(Error::Wrong(format!(
                "no route of the {} takes requests of the policy's endpoints: compare their paths and `hosts` with its \
                 routes and hosts",
                object.words()
            )));
        }
        Ok(merged)
    }
}

/// The matches of a route that may take requests of one of these endpoints: one for every request if
/// it has none.
fn matches(route: &MeshRoute<'_>, endpoints: &[&Value]) -> Vec<Value> {
    if route.matches.is_empty() {
        return if endpoints.is_empty() { Vec::new() } else { vec![json!({})] };
    }
    let takes = |one: &&MeshMatch<'_>| endpoints.iter().any(|endpoint| one.may_take(paths(endpoint).as_deref()));
    route.matches.iter().filter(takes).map(|one| one.value.clone()).collect()
}

fn delegates(route: &MeshRoute<'_>, object: &Object) -> String {
    let (route, object) = (route.words(), object.words());
    format!("{route} of the {object} delegates: merge the routes into the VirtualService that it names, too")
}

/// The copies of a route, one for each cluster.
fn copies<'a>(
    route: &MeshRoute<'a>,
    label: &'a str,
    matches: &'a [Value],
    followers: &'a Followers<'_>,
) -> impl Iterator<Item = Value> {
    let value = route.value;
    followers.destinations.iter().map(move |(cluster, destination)| {
        let (name, matches) = (followers.name(label, cluster), followers.with_header(matches, cluster));
        copy(value, &name, matches, followers.header, destination)
    })
}

/// A copy of a route with these matches and this destination. Everything else is the route's:
/// timeout, retries, rewrites, mirrors, faults, CORS.
fn copy(route: &Value, name: &str, matches: Value, header: &str, destination: &Value) -> Value {
    let mut copied = Map::new();
    copied.insert("name".to_owned(), json!(name));
    copied.insert("match".to_owned(), matches);
    let members = route.as_object().into_iter().flatten();
    for (name, value) in members.filter(|(name, _)| !matches!(&***name, "name" | "match" | "headers" | "route")) {
        copied.insert(name.clone(), value.clone());
    }
    copied.insert("headers".to_owned(), without_header(route.get("headers"), header));
    let mut chosen = json!({ "destination": destination });
    // Headers of a destination are for the version that it serves.
    let is_it = |other: &&Value| {
        let part = |of: &Value, pointer: &str| of.pointer(pointer).cloned();
        part(other, "/destination/subset") == part(&chosen, "/destination/subset")
            && may_be_same(text(other, "/destination/host"), text(&chosen, "/destination/host"))
    };
    let headers = list(route, "route").find(is_it).and_then(|other| other.get("headers")).cloned();
    if let (Some(headers), Value::Object(members)) = (headers, &mut chosen) {
        members.insert("headers".to_owned(), headers);
    }
    copied.insert("route".to_owned(), json!([chosen]));
    Value::Object(copied)
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The operations on headers of a route, which also remove the routing header.
fn without_header(headers: Option<&Value>, header: &str) -> Value {
    let mut headers = headers.and_then(Value::as_object).cloned().unwrap_or_default();
    let request = headers.entry("request").or_insert_with(|| json!({}));
    let mut removed: Vec<Value> = list(request, "remove").cloned().collect();
    if !removed.iter().any(|name| name.as_str().is_some_and(|name| name.eq_ignore_ascii_case(header))) {
        removed.push(json!(header));
    }
    if let Value::Object(request) = request {
        request.insert("remove".to_owned(), json!(removed));
    }
    Value::Object(headers)
}
