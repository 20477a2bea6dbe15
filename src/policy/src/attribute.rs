//! The attributes that Envoy documents, and their types.
//!
//! From the list in Envoy's documentation, "Attributes", version 1.40. Attributes that it does not
//! list, such as values in metadata and filter state, have any type.

/// The type of an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attribute {
    /// A string.
    Text,
    /// A whole number. Times and durations are among them, in nanoseconds.
    Number,
    /// A bool.
    Bool,
    /// Something with parts.
    Structure,
}

/// Those that are numbers, each as its path with dots.
pub const NUMBERS: [&str; 22] = [
    "connection.id",
    "connection_id",
    "destination.port",
    "listener_direction",
    "request.duration",
    "request.headers_bytes",
    "request.size",
    "request.time",
    "request.total_size",
    "response.backend_latency",
    "response.code",
    "response.flags",
    "response.grpc_status",
    "response.headers_bytes",
    "response.size",
    "response.total_size",
    "source.port",
    "upstream.cx_pool_ready_duration",
    "upstream.num_endpoints",
    "upstream.port",
    "upstream.request_attempt_count",
    "xds.listener_direction",
];

/// Members of these are strings unless another list has them.
pub const GROUPS: [&str; 6] = ["connection", "destination", "request", "response", "source", "upstream"];

/// Those whose members are strings, each as its path with dots.
pub const MAPS_OF_STRINGS: [&str; 3] = ["request.headers", "response.headers", "response.trailers"];

/// The other strings, each as its path with dots.
pub const OTHER_STRINGS: [&str; 7] = [
    "plugin_name",
    "plugin_root_id",
    "plugin_vm_id",
    "xds.cluster_name",
    "xds.filter_chain_name",
    "xds.route_name",
    "xds.virtual_host_name",
];

/// The other structures, each as its path with dots.
pub const OTHER_STRUCTURES: [&str; 6] =
    ["filter_state", "upstream.locality", "upstream_filter_state", "xds", "xds.node", "xds.node.metadata"];

/// The type of the attribute at `path`; `None` if it may have any type.
pub(crate) fn attribute(path: &[String]) -> Option<Attribute> {
    let [first, rest @ ..] = path else { return None };
    let is = |name: &str, path: &[String]| name.split('.').eq(path.iter().map(String::as_str));
    let is_in = |names: &[&str]| names.iter().any(|name| is(name, path));
    if is_in(&NUMBERS) {
        return Some(Attribute::Number);
    }
    if is_in(&["connection.mtls"]) {
        return Some(Attribute::Bool);
    }
    let metadata = match rest {
        _ if first == "metadata" => Some(rest),
        [second, rest @ ..] if first == "xds" && second.ends_with("metadata") => Some(rest),
        _ => None,
    };
    if let Some(inside) = metadata {
        let is_group = match inside {
            [] => true,
            // The namespaces, or the values of one of them.
            [kind] | [kind, _] => matches!(kind.as_str(), "filter_metadata" | "typed_filter_metadata"),
            _ => false,
        };
        return is_group.then_some(Attribute::Structure);
    }
    if is_in(&OTHER_STRINGS) {
        return Some(Attribute::Text);
    }
    if is_in(&OTHER_STRUCTURES) || is_in(&GROUPS) || is_in(&MAPS_OF_STRINGS) {
        return Some(Attribute::Structure);
    }
    let is_text = match path {
        [group, _] => GROUPS.contains(&group.as_str()),
        [map @ .., _] => MAPS_OF_STRINGS.iter().any(|name| is(name, map)),
        [] => false,
    };
    is_text.then_some(Attribute::Text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documented_attributes_have_their_types() {
        for (path, expected) in [
            ("source port", Some(Attribute::Number)),
            ("request time", Some(Attribute::Number)),
            ("connection_id", Some(Attribute::Number)),
            ("xds listener_direction", Some(Attribute::Number)),
            ("connection mtls", Some(Attribute::Bool)),
            ("request path", Some(Attribute::Text)),
            ("request headers x-user", Some(Attribute::Text)),
            ("request headers source.port", Some(Attribute::Text)),
            ("connection uri_san_peer_certificate", Some(Attribute::Text)),
            ("xds route_name", Some(Attribute::Text)),
            ("request headers", Some(Attribute::Structure)),
            ("request", Some(Attribute::Structure)),
            ("metadata", Some(Attribute::Structure)),
            ("metadata filter_metadata", Some(Attribute::Structure)),
            ("metadata filter_metadata ns", Some(Attribute::Structure)),
            ("metadata filter_metadata ns plan", None),
            ("xds route_metadata filter_metadata ns", Some(Attribute::Structure)),
            ("xds route_metadata filter_metadata ns plan", None),
            ("xds node", Some(Attribute::Structure)),
            ("xds node id", None),
            ("xds node metadata", Some(Attribute::Structure)),
            ("xds node metadata ZONE", None),
            ("filter_state", Some(Attribute::Structure)),
            ("filter_state key", None),
            ("source.port", None),
            ("my_state", None),
        ] {
            let path: Vec<_> = path.split(' ').map(str::to_owned).collect();
            assert_eq!(attribute(&path), expected, "{path:?}");
        }
    }
}
