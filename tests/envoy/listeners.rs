//! A listener that Envoy gets from a file, with the filter and its policy in it, as in Envoy Gateway.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use testbed::bootstrap::http_filters;
use testbed::envoy::Envoy;

/// The file from which Envoy gets its listener, with the filter in it. Envoy drains a listener that
/// was replaced, and meanwhile keeps its filters: as in Envoy Gateway.
fn listeners_file(folder: &Path) -> PathBuf {
    folder.join("listeners.json")
}

/// Moves the listener into [`listeners_file`], and the filter and its policy into the listener.
pub fn discover_listeners(bootstrap: &mut Value) {
    let discovery = &mut http_filters(bootstrap)[0];
    let file = discovery.pointer("/config_discovery/config_source/path_config_source/path").unwrap();
    let file = PathBuf::from(file.as_str().unwrap());
    let resources: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    *discovery = json!({ "name": "traffic-policy", "typed_config": resources["resources"][0]["typed_config"] });
    let mut listener = bootstrap["static_resources"]["listeners"][0].take();
    listener["@type"] = json!("type.googleapis.com/envoy.config.listener.v3.Listener");
    bootstrap["static_resources"].as_object_mut().unwrap().remove("listeners");
    let file = listeners_file(file.parent().unwrap());
    std::fs::write(&file, json!({ "resources": [listener] }).to_string()).unwrap();
    bootstrap["dynamic_resources"] = json!({ "lds_config": { "path_config_source": { "path": file } } });
}

/// Replaces the listener by one with another policy.
pub fn put_listener(envoy: &Envoy, policy: &str) {
    change_listener(envoy, |listener| *configuration(listener, 0) = json!(policy));
}

/// Replaces the listener by one that `change` has changed.
pub fn change_listener(envoy: &Envoy, change: impl FnOnce(&mut Value)) {
    let file = listeners_file(envoy.folder());
    let mut listeners: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    change(&mut listeners["resources"][0]);
    let new = file.with_extension("new");
    std::fs::write(&new, listeners.to_string()).unwrap();
    std::fs::rename(new, file).unwrap();
}

/// The policy of the HTTP filter with this number, as JSON.
pub fn configuration(listener: &mut Value, filter: usize) -> &mut Value {
    &mut connection_manager(listener)["http_filters"][filter]["typed_config"]["config"]["configuration"]["value"]
}

/// The HTTP connection manager of the listener.
pub fn connection_manager(listener: &mut Value) -> &mut Value {
    &mut listener["filter_chains"][0]["filters"][0]["typed_config"]
}
