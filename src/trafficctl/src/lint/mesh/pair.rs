//! Two policies on the same proxies.

use super::mesh_policy::MeshPolicy;
use super::selection::Selection;
use super::warning::warning;
use crate::document::mesh::Object;
use policy::{Finding, Step};

/// The warning about a WasmPlugin whose policy has the routing header of one before it, on the same
/// proxies.
pub fn findings(object: &Object, policies: &[MeshPolicy<'_>]) -> Option<Finding> {
    let is_it = |policy: &&MeshPolicy<'_>| policy.plugin().is_some_and(|plugin| std::ptr::eq(plugin, object));
    let policy = policies.iter().find(is_it)?;
    let earlier = policies.iter().take_while(|other| !is_it(other)).find(|other| {
        other.header == policy.header && other.plugin().is_some_and(|plugin| are_together(plugin, object))
    })?;
    let problem = format!(
        "the {} has the same `routing_header`, {:?}, on the same proxies: each filter removes what the other has chosen",
        earlier.plugin().map(Object::words).unwrap_or_default(),
        policy.header
    );
    let place = [Step::from("spec"), Step::from("pluginConfig"), Step::from("routing_header")];
    Some(warning(place, problem, "give one of them a `name`, or a `routing_header` of its own"))
}

/// Whether two WasmPlugins may be on the same proxies.
fn are_together(this: &Object, other: &Object) -> bool {
    let [of_this, of_other] = [this, other].map(Selection::of);
    let same_namespace = match (this.namespace(), other.namespace()) {
        (Some(this), Some(other)) => this == other,
        _ => true,
    };
    same_namespace && (of_this == of_other || of_this.is_all() || of_other.is_all())
}
