//! The headers by which requests steer a proxy, and those that its clients can't set.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::route_tables::{RouteTables, is_manager, is_route_table};
use super::typed::{config_of, member, snake_case, string};

/// The parts of a proxy's configuration in which headers name clusters.
#[derive(Debug, Default)]
pub struct Steering {
    managers: Vec<Part>,
    /// Route configurations that managers name, by their names.
    routes: BTreeMap<String, Steered>,
    /// Patches of a mesh, taken together: one may make the route, another protect it.
    patches: Part,
    /// Whether a manifest of a mesh has routes.
    has_mesh_routes: bool,
}

/// A connection manager, or the patches of a mesh.
#[derive(Clone, Debug, Default)]
struct Part {
    name: String,
    steered: Steered,
    /// The names of its routes that are elsewhere; an empty one if they have no name here.
    routes: Vec<String>,
    /// The headers that it removes or overwrites before anything reads them.
    protected: BTreeSet<String>,
}

/// The headers that name clusters, and what they steer.
type Steered = BTreeMap<String, Steers>;

/// What a header steers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Steers {
    /// To which cluster a request goes.
    Route,
    /// To which cluster a copy of it goes.
    Mirror,
}

/// A header that steers requests, though clients can set it.
#[derive(Debug, PartialEq, Eq)]
pub struct Unprotected {
    /// The name of the connection manager; `None` for patches of a mesh.
    pub manager: Option<String>,
    /// The header.
    pub header: String,
    /// What it steers.
    pub steers: Steers,
}

impl Steering {
    /// Adds what `value`, a document or a part of one, says.
    pub fn note(&mut self, value: &Value) {
        match value.get("kind").and_then(Value::as_str) {
            Some("EnvoyFilter" | "EnvoyPatchPolicy") => {
                self.has_mesh_routes = true;
                steered(value, Steers::Route, &mut self.patches.steered);
                return protected(value, &mut self.patches.protected);
            }
            Some("VirtualService" | "HTTPRoute" | "GRPCRoute") => return self.has_mesh_routes = true,
            _ => (),
        }
        let config = config_of(value);
        if is_manager(value) {
            return self.managers.push(manager(config));
        }
        if is_route_table(value) {
            let routes = self.routes.entry(string(config, "name")).or_default();
            return steered(config, Steers::Route, routes);
        }
        match value {
            Value::Object(members) => members.values().for_each(|value| self.note(value)),
            Value::Array(list) => list.iter().for_each(|value| self.note(value)),
            _ => (),
        }
    }

    /// Adds what another file says of the same proxy.
    pub fn extend(&mut self, other: &Self) {
        self.routes.extend(other.routes.iter().map(|(name, steered)| (name.clone(), steered.clone())));
        self.patches.steered.extend(other.patches.steered.clone());
        self.patches.protected.extend(other.patches.protected.iter().cloned());
        self.managers.extend(other.managers.iter().cloned());
        self.has_mesh_routes |= other.has_mesh_routes;
    }

    /// The headers by which routes mirror requests; `None` unless all routes are known.
    pub fn mirrors(&self) -> Option<BTreeSet<String>> {
        let is_elsewhere = |name: &String| !self.routes.contains_key(name);
        let has_unknown_routes = self.managers.iter().flat_map(|manager| &manager.routes).any(is_elsewhere);
        if has_unknown_routes || (self.managers.is_empty() && !self.has_mesh_routes) {
            return None;
        }
        let of_managers = self.managers.iter().map(|manager| &manager.steered).chain(self.routes.values());
        let all = of_managers.chain([&self.patches.steered]).flatten();
        Some(all.filter(|(_, steers)| **steers == Steers::Mirror).map(|(header, _)| header.clone()).collect())
    }

    /// The headers that steer requests of these connection managers, though clients can set them.
    /// `all` is what all files say.
    pub fn unprotected(&self, all: &Self) -> Vec<Unprotected> {
        let mut unprotected = Vec::new();
        let is_known = |header: &str| all.patches.protected.contains(header);
        for manager in &self.managers {
            let elsewhere = manager.routes.iter().filter_map(|name| all.routes.get(name));
            // Several scopes may have the same header.
            let steered: BTreeSet<_> = manager.steered.iter().chain(elsewhere.flatten()).collect();
            for (header, steers) in steered {
                if !manager.protected.contains(header) {
                    unprotected.push(Unprotected::new(Some(&manager.name), header, *steers));
                }
            }
        }
        let patched = self.patches.steered.iter().filter(|(header, _)| !is_known(header));
        unprotected.extend(patched.map(|(header, steers)| Unprotected::new(None, header, *steers)));
        unprotected
    }
}

impl Unprotected {
    fn new(manager: Option<&str>, header: &str, steers: Steers) -> Self {
        Self { manager: manager.map(str::to_owned), header: header.to_owned(), steers }
    }
}

fn manager(config: &Value) -> Part {
    let mut part = Part { name: string(config, "stat_prefix"), ..Part::default() };
    let tables = RouteTables::of(config);
    tables.inline.iter().for_each(|routes| steered(routes, Steers::Route, &mut part.steered));
    part.routes = tables.named;
    if let Some(mutations) = member(config, "early_header_mutation_extensions") {
        protected(mutations, &mut part.protected);
    }
    part
}

/// Collects the headers in `value` that name clusters.
fn steered(value: &Value, steers: Steers, found: &mut Steered) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                match (&*snake_case(name), value) {
                    ("cluster_header", Value::String(header)) if can_be_removed(header) => {
                        let steers = found.get(&header.to_ascii_lowercase()).map_or(steers, |known| steers.max(*known));
                        found.insert(header.to_ascii_lowercase(), steers);
                    }
                    ("request_mirror_policies", _) => self::steered(value, Steers::Mirror, found),
                    _ => self::steered(value, steers, found),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|value| self::steered(value, steers, found)),
        _ => (),
    }
}

/// Whether Envoy can do without what a client sends in this header.
fn can_be_removed(header: &str) -> bool {
    !header.is_empty() && !header.starts_with(':') && !header.eq_ignore_ascii_case("host")
}

/// Collects the headers that mutations in `value` take from clients.
fn protected(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                if snake_case(name) == "mutations" {
                    let mutations = value.as_array().into_iter().flatten().filter_map(Value::as_object);
                    found.extend(mutations.filter_map(taken));
                } else {
                    protected(value, found);
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|value| protected(value, found)),
        _ => (),
    }
}

/// The header that a mutation removes or overwrites.
fn taken(mutation: &Map<String, Value>) -> Option<String> {
    let removed = mutation.get("remove").and_then(Value::as_str);
    let overwritten = mutation.get("append").filter(|append| {
        let action = member(append, "append_action");
        // The numbers are those of the enumeration.
        action.is_some_and(|action| match action {
            Value::String(name) => name.starts_with("OVERWRITE_IF_EXISTS"),
            _ => matches!(action.as_u64(), Some(2 | 3)),
        })
    });
    let key = overwritten.and_then(|append| append.pointer("/header/key")?.as_str());
    removed.or(key).map(str::to_ascii_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const MANAGER: &str =
        "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";

    fn steering(document: &Value) -> Steering {
        let mut steering = Steering::default();
        steering.note(document);
        steering
    }

    /// The headers that clients of this proxy can set, with what they steer.
    fn unprotected(document: &Value) -> Vec<(String, Steers)> {
        let steering = steering(document);
        steering.unprotected(&steering).into_iter().map(|found| (found.header, found.steers)).collect()
    }

    fn with_mutations(mutations: Value) -> Value {
        let route = json!({ "cluster_header": "X-Route", "request_mirror_policies": [{ "cluster_header": "X-Copy" }] });
        json!({ "listeners": [{
            "@type": MANAGER, "stat_prefix": "main", "route_config": { "virtual_hosts": [{ "routes": [{ "route": route }] }] },
            "early_header_mutation_extensions": [{ "typed_config": { "mutations": mutations } }],
        }] })
    }

    #[test]
    fn a_header_is_protected_if_a_mutation_removes_or_overwrites_it() {
        let append = |action: Value| json!({ "append": { "header": { "key": "x-copy" }, "append_action": action } });
        let (route, copy) = (("x-route".to_owned(), Steers::Route), ("x-copy".to_owned(), Steers::Mirror));
        for (mutation, is_protected) in [
            (json!({ "remove": "x-Copy" }), true),
            (append(json!("OVERWRITE_IF_EXISTS_OR_ADD")), true),
            (append(json!("OVERWRITE_IF_EXISTS")), true),
            (append(json!(2)), true),
            (append(json!("APPEND_IF_EXISTS_OR_ADD")), false),
            (append(json!("ADD_IF_ABSENT")), false),
            (append(json!(0)), false),
            (json!({ "append": { "header": { "key": "x-copy" } } }), false),
            (json!({ "remove": "x-copy-2" }), false),
        ] {
            let mut expected = vec![route.clone()];
            expected.extend((!is_protected).then(|| copy.clone()));
            expected.sort_unstable();
            assert_eq!(unprotected(&with_mutations(json!([mutation.clone()]))), expected, "{mutation}");
        }
    }

    #[test]
    fn both_spellings_of_protobufs_json_are_read() {
        let policies = json!([{ "clusterHeader": "x-copy" }]);
        let manager = json!({ "@type": MANAGER, "routeConfig": { "requestMirrorPolicies": policies } });
        assert_eq!(unprotected(&manager), [("x-copy".to_owned(), Steers::Mirror)]);
        let mut guarded = manager;
        guarded["earlyHeaderMutationExtensions"] =
            json!([{ "typedConfig": { "mutations": [{ "remove": "x-copy" }] } }]);
        assert_eq!(unprotected(&guarded), []);
    }

    #[test]
    fn the_authority_may_name_a_cluster() {
        let manager = json!({ "@type": MANAGER, "route_config": { "a": { "cluster_header": ":authority" }, "b": { "cluster_header": "Host" } } });
        assert_eq!(unprotected(&manager), []);
    }

    #[test]
    fn routes_in_another_file_are_those_of_each_manager_that_names_them() {
        let routes = json!({ "resources": [{
            "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration", "name": "main",
            "request_mirror_policies": [{ "cluster_header": "x-copy" }],
        }] });
        let manager =
            |name: &str| json!({ "@type": MANAGER, "stat_prefix": name, "rds": { "route_config_name": name } });
        let managers = steering(&json!([manager("main"), manager("other")]));
        let mut all = Steering::default();
        all.extend(&steering(&routes));
        let found = managers.unprotected(&all);
        assert_eq!(found, [Unprotected::new(Some("main"), "x-copy", Steers::Mirror)]);
        assert_eq!(all.mirrors(), None, "no manager is known");
        all.extend(&steering(&manager("main")));
        assert_eq!(all.mirrors(), Some(BTreeSet::from(["x-copy".to_owned()])));
        all.extend(&managers);
        assert_eq!(all.mirrors(), None, "routes of a manager are unknown");
    }

    #[test]
    fn one_patch_of_a_mesh_may_protect_the_routes_of_another() {
        let patch = |value: Value| steering(&json!({ "kind": "EnvoyFilter", "spec": { "patch": value } }));
        let routes = patch(json!({ "route": { "request_mirror_policies": [{ "cluster_header": "x-copy" }] } }));
        let manager = patch(json!({ "typed_config": { "mutations": [{ "remove": "x-copy" }] } }));
        let mut all = Steering::default();
        all.extend(&routes);
        assert_eq!(routes.unprotected(&all), [Unprotected::new(None, "x-copy", Steers::Mirror)]);
        all.extend(&manager);
        assert_eq!(routes.unprotected(&all), []);
    }
}
