//! The proxies that an object selects.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::Value;

use crate::document::mesh::Object;

/// The proxies of a WasmPlugin or an EnvoyFilter: those with labels, or those of other objects; all
/// of the namespace if it has neither.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Selection<'a> {
    /// The labels of the proxies.
    pub labels: BTreeMap<&'a str, &'a str>,
    targets: Vec<&'a Value>,
}

impl<'a> Selection<'a> {
    /// The proxies of an object.
    pub fn of(object: &'a Object) -> Self {
        let labels = ["/selector/matchLabels", "/workloadSelector/labels"].map(|labels| object.spec(labels));
        let labels = labels.into_iter().flatten().filter_map(Value::as_object).flatten();
        let labels = labels.filter_map(|(label, value)| Some((label.as_str(), value.as_str()?))).collect();
        let targets = object.spec("/targetRefs").and_then(Value::as_array).into_iter().flatten().collect();
        Self { labels, targets }
    }

    /// Whether it selects every proxy of the namespace.
    pub fn is_all(&self) -> bool {
        self.labels.is_empty() && self.targets.is_empty()
    }

    /// The selection in words.
    pub fn words(&self) -> String {
        let labels = self.labels.iter().map(|(label, value)| format!("{label}={value}"));
        let target = |target: &&Value| {
            let text = |name: &str| target.get(name).and_then(Value::as_str).unwrap_or_default();
            format!("{} {:?}", text("kind"), text("name"))
        };
        let parts: Vec<_> = labels.chain(self.targets.iter().map(target)).collect();
        if parts.is_empty() { "all proxies of its namespace".to_owned() } else { parts.join(", ") }
    }

    /// Whether it surely selects a gateway, rather than sidecars.
    pub fn is_gateway(&self, mesh: &[Rc<Object>]) -> bool {
        let is_target = self.targets.iter().any(|target| target.get("kind").and_then(Value::as_str) == Some("Gateway"));
        let is_label = |label: &&str| matches!(*label, "istio" | "gateway.networking.k8s.io/gateway-name");
        let is_patched = |object: &Rc<Object>| {
            let context = |patch: &Value| patch.pointer("/match/context").and_then(Value::as_str) == Some("GATEWAY");
            object.kind == "EnvoyFilter" && Selection::of(object) == *self && object.patches().any(context)
        };
        is_target || self.labels.keys().any(is_label) || (!self.is_all() && mesh.iter().any(is_patched))
    }
}
