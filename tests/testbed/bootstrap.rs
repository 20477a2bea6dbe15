//! The bootstrap of an Envoy: `envoy/envoy.yaml`, changed for a test.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::attribute::protobuf_of_value;
use crate::read_yaml;
use crate::setup::Setup;

/// Where `envoy.yaml` has its HTTP connection manager.
const CONNECTION_MANAGER: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";

/// `envoy/envoy.yaml` with the ports, clusters and policy file of a test.
pub(crate) fn bootstrap(setup: &Setup, policy_file: &Path) -> anyhow::Result<Value> {
    let mut bootstrap = read_yaml("envoy/envoy.yaml")?;
    let watched = "/http_filters/0/config_discovery/config_source/path_config_source/path";
    *at(&mut bootstrap, &format!("{CONNECTION_MANAGER}{watched}"))? = json!(policy_file);
    if !setup.fixed_ports {
        let socket = json!({ "address": "127.0.0.1", "port_value": 0 });
        *at(&mut bootstrap, "/admin/address/socket_address")? = socket.clone();
        *at(&mut bootstrap, "/static_resources/listeners/0/address/socket_address")? = socket;
    }
    let template = at(&mut bootstrap, "/static_resources/clusters/0")?.clone();
    let mut clusters = Vec::new();
    for (name, address) in &setup.clusters {
        let mut cluster = template.clone();
        *at(&mut cluster, "/name")? = json!(name);
        *at(&mut cluster, "/load_assignment/cluster_name")? = json!(name);
        *at(&mut cluster, "/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/socket_address")? =
            socket_address(*address);
        clusters.push(cluster);
    }
    *at(&mut bootstrap, "/static_resources/clusters")? = json!(clusters);
    if setup.policy.contains("\"mirror\"") {
        add_mirror(&mut bootstrap);
    }
    if let Some(address) = setup.control_plane {
        discover(&mut bootstrap, address);
    }
    (setup.adapt)(&mut bootstrap);
    Ok(bootstrap)
}

/// The value at `pointer`.
pub(crate) fn at<'a>(value: &'a mut Value, pointer: &str) -> anyhow::Result<&'a mut Value> {
    value.pointer_mut(pointer).with_context(|| format!("there is no {pointer}"))
}

/// The HTTP connection manager of a bootstrap.
///
/// # Panics
/// When there is none.
pub fn connection_manager(bootstrap: &mut Value) -> &mut Value {
    bootstrap.pointer_mut(CONNECTION_MANAGER).unwrap_or_else(|| panic!("no connection manager at {CONNECTION_MANAGER}"))
}

/// The HTTP filters of a bootstrap, in order.
///
/// # Panics
/// When there are none.
pub fn http_filters(bootstrap: &mut Value) -> &mut Vec<Value> {
    list(bootstrap, &format!("{CONNECTION_MANAGER}/http_filters"))
}

/// The routes of a bootstrap, in the order in which Envoy tries them.
///
/// # Panics
/// When there are none.
pub fn routes(bootstrap: &mut Value) -> &mut Vec<Value> {
    list(bootstrap, &format!("{CONNECTION_MANAGER}/route_config/virtual_hosts/0/routes"))
}

/// The clusters of a bootstrap.
///
/// # Panics
/// When there are none.
pub fn clusters(bootstrap: &mut Value) -> &mut Vec<Value> {
    list(bootstrap, "/static_resources/clusters")
}

fn list<'a>(bootstrap: &'a mut Value, pointer: &str) -> &'a mut Vec<Value> {
    let list = bootstrap.pointer_mut(pointer).and_then(Value::as_array_mut);
    list.unwrap_or_else(|| panic!("no list at {pointer}"))
}

/// Adds the mirror policy of `envoy/mirror-policy.yaml` to each route, as shadows via mirror need
/// it.
///
/// # Panics
/// When the file can't be read, or a route is not an object.
pub fn add_mirror(bootstrap: &mut Value) {
    let mirror = read_yaml("envoy/mirror-policy.yaml").unwrap_or_else(|error| panic!("{error:#}"));
    let policies = mirror.get("request_mirror_policies");
    for route in routes(bootstrap) {
        if let Some(route) = route.get_mut("route") {
            set(route, "request_mirror_policies", policies.cloned().unwrap_or_default());
        }
    }
}

/// Takes the client's address from `x-forwarded-for`, and the metadata `tier` and `user` in the
/// namespace `test` from the headers that [`metadata_header`] makes: as a proxy in front of this one
/// and an earlier filter would set them.
///
/// # Panics
/// When there is no connection manager.
pub fn trust_source_and_metadata(bootstrap: &mut Value) {
    set(connection_manager(bootstrap), "xff_num_trusted_hops", json!(1));
    let rule = |key: &str| {
        let metadata = json!({
            "metadata_namespace": "test", "key": key, "type": "PROTOBUF_VALUE", "encode": "BASE64" });
        json!({ "header": format!("x-meta-{key}"), "on_header_present": metadata })
    };
    let filter = json!({ "name": "metadata", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.header_to_metadata.v3.Config",
        "request_rules": [rule("tier"), rule("user")] } });
    http_filters(bootstrap).insert(0, filter);
}

/// The header by which a request brings the value of a key in the metadata.
pub fn metadata_header(key: &str, value: &Value) -> (String, Vec<u8>) {
    (format!("x-meta-{key}"), BASE64_STANDARD.encode(protobuf_of_value(value)).into_bytes())
}

/// Lets WebSockets and CONNECT through.
///
/// # Panics
/// When there is no route.
pub fn allow_tunnels(bootstrap: &mut Value) {
    let upgrades = json!([{ "upgrade_type": "websocket" }, { "upgrade_type": "CONNECT" }]);
    set(connection_manager(bootstrap), "upgrade_configs", upgrades);
    let routes = routes(bootstrap);
    let mut connect = routes.first().cloned().unwrap_or_default();
    set(&mut connect, "match", json!({ "connect_matcher": {} }));
    let upgrades = json!([{ "upgrade_type": "CONNECT", "connect_config": {} }]);
    if let Some(route) = connect.get_mut("route") {
        set(route, "upgrade_configs", upgrades);
    }
    routes.insert(0, connect);
}

/// Adds a cluster that has no host.
///
/// # Panics
/// When the bootstrap has no clusters.
pub fn add_empty_cluster(bootstrap: &mut Value, name: &str) {
    let cluster = json!({ "name": name, "type": "STATIC", "load_assignment": { "cluster_name": name } });
    clusters(bootstrap).push(cluster);
}

/// Makes the connections to a cluster speak HTTP/2.
///
/// # Panics
/// When `cluster` is not an object.
pub fn speak_http2(cluster: &mut Value) {
    const OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    let options = json!({
        "@type": format!("type.googleapis.com/{OPTIONS}"),
        "explicit_http_config": { "http2_protocol_options": {} },
    });
    set(cluster, "typed_extension_protocol_options", json!({ OPTIONS: options }));
}

/// Makes Envoy ask the control plane at `address` for the filter instead of reading it from a file.
fn discover(bootstrap: &mut Value, address: SocketAddr) {
    // As in Istio: Envoy serves nothing until the filter has come, however long that takes.
    let source = json!({ "ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s" });
    if let Some(discovery) = connection_manager(bootstrap).pointer_mut("/http_filters/0/config_discovery") {
        set(discovery, "config_source", source);
    }
    let service = json!({ "envoy_grpc": { "cluster_name": "control-plane" } });
    let ads = json!({ "api_type": "GRPC", "transport_api_version": "V3", "grpc_services": [service] });
    set(bootstrap, "dynamic_resources", json!({ "ads_config": ads }));
    let endpoint = json!({ "endpoint": { "address": { "socket_address": socket_address(address) } } });
    let mut cluster = json!({
        "name": "control-plane",
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": { "cluster_name": "control-plane", "endpoints": [{ "lb_endpoints": [endpoint] }] },
    });
    speak_http2(&mut cluster);
    clusters(bootstrap).push(cluster);
}

fn socket_address(address: SocketAddr) -> Value {
    json!({ "address": address.ip().to_string(), "port_value": address.port() })
}

/// Sets a member of an object.
fn set(object: &mut Value, name: &str, value: Value) {
    let members = object.as_object_mut().unwrap_or_else(|| panic!("no object to put {name} into"));
    members.insert(name.to_owned(), value);
}
