//! The route tables of a connection manager: inline, in another file, or one for each scope.

use serde_json::Value;

use super::typed::{elements, member, string, type_of};

/// Where a connection manager has its routes.
#[derive(Debug, Default)]
pub struct RouteTables<'a> {
    /// Route configurations within the manager.
    pub inline: Vec<&'a Value>,
    /// The names of those that are elsewhere; an empty one if they have no name here.
    pub named: Vec<String>,
}

/// Whether a value is a connection manager.
pub fn is_manager(value: &Value) -> bool {
    type_of(value).ends_with("http_connection_manager.v3.HttpConnectionManager")
}

/// Whether a value is a route table of its own, as discovery services serve it.
pub fn is_route_table(value: &Value) -> bool {
    type_of(value).ends_with("config.route.v3.RouteConfiguration")
}

impl<'a> RouteTables<'a> {
    /// The route tables of the connection manager with this configuration.
    pub fn of(manager: &'a Value) -> Self {
        if let Some(routes) = member(manager, "route_config") {
            return Self { inline: vec![routes], named: Vec::new() };
        }
        let scopes =
            member(manager, "scoped_routes").and_then(|scoped| member(scoped, "scoped_route_configurations_list"));
        let Some(scopes) = scopes else {
            let name = member(manager, "rds").map_or_else(String::new, |rds| string(rds, "route_config_name"));
            return Self { inline: Vec::new(), named: vec![name] };
        };
        let mut tables = Self::default();
        for scope in elements(scopes, "scoped_route_configurations") {
            match member(scope, "route_configuration") {
                Some(routes) => tables.inline.push(routes),
                None => tables.named.push(string(scope, "route_configuration_name")),
            }
        }
        tables
    }
}
