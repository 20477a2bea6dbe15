//! Policies in a mesh, beside the objects that carry them and that route their requests.

mod envoy_filter;
mod mesh_policy;
mod pair;
mod plugin;
mod selection;
mod unrouted;
mod virtual_service;
mod warning;

use std::rc::Rc;

use crate::advice::Advice;
use crate::document::file::Judged;
use crate::document::mesh::Object;
use policy::Finding;

use self::mesh_policy::MeshPolicy;

pub use plugin::fail_strategy;

/// A finding about an object that is not the policy.
pub struct ObjectFinding {
    /// The object.
    pub object: Rc<Object>,
    /// The finding. Its place starts at the object.
    pub finding: Finding,
}

/// The warnings about a policy: backends to which no route leads, and what its plugin can't do.
pub fn of_policy(policy: &Judged, mesh: &[Rc<Object>]) -> Vec<Advice> {
    let Some(policy) = MeshPolicy::of(policy) else { return Vec::new() };
    let mut findings = unrouted::backends(&policy, mesh);
    findings.extend(plugin::unbound_endpoints(&policy, mesh).map(Advice::from));
    findings.extend(plugin::unknown_clusters(&policy, mesh));
    findings
}

/// The warnings about the objects beside these policies.
pub fn of_objects<'a>(policies: impl Iterator<Item = &'a Judged>, mesh: &[Rc<Object>]) -> Vec<ObjectFinding> {
    let policies: Vec<_> = policies.filter_map(MeshPolicy::of).collect();
    let mut found = Vec::new();
    for object in mesh {
        let findings = match object.kind {
            "EnvoyFilter" => envoy_filter::findings(object, &policies, mesh),
            "VirtualService" | "HTTPRoute" => virtual_service::findings(object, &policies, mesh),
            "WasmPlugin" => pair::findings(object, &policies).into_iter().collect(),
            _ => Vec::new(),
        };
        found.extend(findings.into_iter().map(|finding| ObjectFinding { object: Rc::clone(object), finding }));
    }
    found
}
