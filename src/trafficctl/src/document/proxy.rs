//! The clusters of a proxy, and the files in which it looks for more.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::Value;

use super::steering::Steering;
use super::typed::type_of;
use super::wiring::Wiring;

/// The parts of an Envoy configuration that concern a policy in another file.
#[derive(Debug, Default)]
pub struct Proxy {
    /// The clusters that the file defines.
    pub clusters: BTreeSet<String>,
    /// Whether Envoy gets more clusters from elsewhere.
    pub has_dynamic_clusters: bool,
    /// The files from which Envoy takes Wasm filters.
    pub follows: Vec<PathBuf>,
    /// The headers by which requests steer it.
    pub steering: Steering,
    /// Its connection managers with their routes.
    pub wiring: Wiring,
}

impl Proxy {
    /// Adds what `document` says of a proxy.
    pub fn note(&mut self, document: &Value) {
        let of_bootstrap = document.pointer("/static_resources/clusters").and_then(Value::as_array);
        let of_discovery = document.get("resources").and_then(Value::as_array);
        let is_cluster = |value: &&Value| type_of(value).ends_with("config.cluster.v3.Cluster");
        let clusters = of_bootstrap.into_iter().flatten().chain(of_discovery.into_iter().flatten().filter(is_cluster));
        self.clusters.extend(clusters.filter_map(|cluster| Some(cluster.get("name")?.as_str()?.to_owned())));
        self.has_dynamic_clusters |= document.pointer("/dynamic_resources/cds_config").is_some();
        self.note_follows(document);
        self.steering.note(document);
        self.wiring.note(document);
    }

    fn note_follows(&mut self, value: &Value) {
        if let Some(discovery) = value.get("config_discovery") {
            let types = discovery.get("type_urls").and_then(Value::as_array);
            let is_wasm = types
                .into_iter()
                .flatten()
                .any(|kind| kind.as_str().is_some_and(|kind| kind.ends_with(".wasm.v3.Wasm")));
            let path = discovery.pointer("/config_source/path_config_source/path").and_then(Value::as_str);
            self.follows.extend(path.filter(|_| is_wasm).map(PathBuf::from));
        }
        match value {
            Value::Object(members) => members.values().for_each(|value| self.note_follows(value)),
            Value::Array(list) => list.iter().for_each(|value| self.note_follows(value)),
            _ => (),
        }
    }
}
