//! How connection managers lead requests to the filter, and to the cluster that it chooses.

use std::collections::BTreeMap;

use serde_json::Value;

use super::embedded::{self, names_us};
use super::route::{Route, routes};
use super::route_tables::{RouteTables, is_manager, is_route_table};
use super::typed::{config_of, elements, member, string, type_of};

/// The connection managers and the route tables of a proxy.
#[derive(Debug, Default)]
pub struct Wiring {
    /// The connection managers.
    pub managers: Vec<Manager>,
    /// The route tables that managers name.
    tables: BTreeMap<String, Value>,
}

/// A connection manager.
#[derive(Clone, Debug)]
pub struct Manager {
    /// Its `stat_prefix`.
    pub name: String,
    config: Value,
}

/// The filter in a chain of filters.
#[derive(Debug)]
pub struct Filter {
    /// Its name in the chain.
    pub name: String,
    /// Whether it is behind the router.
    pub is_behind_router: bool,
    /// Whether it is off unless a route switches it on.
    pub is_off: bool,
    /// Whether its policy is elsewhere.
    pub is_discovered: bool,
    /// Its policy, if that is in the chain.
    pub policy: Option<Value>,
}

impl Wiring {
    /// Adds what `value`, a document or a part of one, says.
    pub fn note(&mut self, value: &Value) {
        let config = config_of(value);
        if is_manager(value) {
            return self.managers.push(Manager { name: string(config, "stat_prefix"), config: config.clone() });
        }
        if is_route_table(value) {
            drop(self.tables.insert(string(config, "name"), config.clone()));
            return;
        }
        match value {
            // Patches of a mesh have only parts of routes.
            Value::Object(members) if !members.contains_key("kind") => {
                members.values().for_each(|value| self.note(value))
            }
            Value::Array(list) => list.iter().for_each(|value| self.note(value)),
            _ => (),
        }
    }

    /// Adds the route tables of another file.
    pub fn extend(&mut self, other: &Self) {
        self.tables.extend(other.tables.iter().map(|(name, table)| (name.clone(), table.clone())));
    }
}

impl Manager {
    /// The filter in its chain, if there is one.
    pub fn filter(&self) -> Option<Filter> {
        let filters: Vec<&Value> = elements(&self.config, "http_filters").collect();
        let ours = |filter: &Value| is_wasm(filter) && names_us(filter);
        let mut wasm = (0..filters.len()).filter(|n| filters.get(*n).is_some_and(|filter| is_wasm(filter)));
        let at = match filters.iter().position(|filter| ours(filter)) {
            Some(at) => at,
            // The only one is this filter, whatever it is called.
            None => wasm.next().filter(|_| wasm.next().is_none())?,
        };
        let filter = filters.get(at)?;
        let is_router = |filter: &&Value| typed(filter).ends_with("filters.http.router.v3.Router");
        let policy = embedded::find(std::slice::from_ref(*filter)).into_iter().next();
        Some(Filter {
            name: string(filter, "name"),
            is_behind_router: filters.iter().take(at).any(is_router),
            is_off: member(filter, "disabled").and_then(Value::as_bool) == Some(true),
            is_discovered: member(filter, "config_discovery").is_some(),
            policy: policy.and_then(|policy| policy.form.value(std::slice::from_ref(*filter))),
        })
    }

    /// The routes of each virtual host; `None` unless all are known.
    pub fn hosts(&self, all: &Wiring) -> Option<Vec<Vec<Route>>> {
        let tables = RouteTables::of(&self.config);
        let named = tables.named.iter().map(|name| all.tables.get(name)).collect::<Option<Vec<_>>>()?;
        let hosts = tables.inline.into_iter().chain(named).map(routes).collect::<Option<Vec<_>>>()?;
        Some(hosts.into_iter().flatten().collect())
    }

    /// Whether it sets this header before it looks for a route.
    pub fn sets_early(&self, header: &str) -> bool {
        let mutations = elements(&self.config, "early_header_mutation_extensions")
            .filter_map(|extension| member(extension, "typed_config"))
            .flat_map(|config| elements(config, "mutations"));
        let key = |mutation: &Value| Some(mutation.pointer("/append/header/key")?.as_str()?.to_ascii_lowercase());
        mutations.filter_map(key).any(|key| key == header)
    }
}

fn is_wasm(filter: &Value) -> bool {
    let discovered =
        member(filter, "config_discovery").into_iter().flat_map(|discovery| elements(discovery, "type_urls"));
    let mut types = discovered.filter_map(Value::as_str).chain([typed(filter)]);
    types.any(|kind| kind.ends_with("extensions.filters.http.wasm.v3.Wasm"))
}

fn typed(filter: &Value) -> &str {
    member(filter, "typed_config").map(type_of).unwrap_or_default()
}
