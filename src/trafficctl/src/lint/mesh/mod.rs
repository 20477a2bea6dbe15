//! Policies in a mesh, beside the objects that carry them and that route their requests.

mod envoy_filter;
mod pair;
mod plugin;
mod selection;
mod unrouted;
mod virtual_service;

use std::rc::Rc;

use serde_json::Value;

use crate::advice::Advice;
use crate::document::file::Judged;
use crate::document::mesh::Object;
use crate::document::mesh_route::routes;
use policy::{Finding, Kind, Place, Step};

pub use plugin::fail_strategy;

/// A valid policy.
struct Member<'a> {
    /// Its JSON.
    document: &'a Value,
    /// Its routing header, in lower case.
    header: String,
    /// The object that carries it, if that is one of a mesh.
    object: Option<&'a Object>,
}

/// A finding about an object that is not the policy.
pub struct ObjectFinding {
    /// The object.
    pub object: Rc<Object>,
    /// The finding. Its place starts at the object.
    pub finding: Finding,
}

impl<'a> Member<'a> {
    fn of(policy: &'a Judged) -> Option<Self> {
        let header = policy.policy()?.routing_header.to_ascii_lowercase();
        Some(Self { document: policy.value.as_ref()?, header, object: policy.object.as_deref() })
    }

    /// The WasmPlugin that carries it.
    fn plugin(&self) -> Option<&'a Object> {
        self.object.filter(|object| object.kind == "WasmPlugin")
    }

    /// Whether routes of an object ask for its routing header.
    fn is_followed_by(&self, object: &Object) -> bool {
        routes(object).iter().flat_map(|route| &route.matches).any(|one| one.asks_for(&self.header))
    }
}

/// The warnings about a policy: backends to which no route leads, and what its plugin can't do.
pub fn of_policy(policy: &Judged, mesh: &[Rc<Object>]) -> Vec<Advice> {
    let Some(member) = Member::of(policy) else { return Vec::new() };
    let mut findings = unrouted::backends(&member, mesh);
    findings.extend(plugin::unbound_endpoints(&member, mesh).map(Advice::from));
    findings.extend(plugin::unknown_clusters(&member, mesh));
    findings
}

/// The warnings about the objects beside these policies.
pub fn of_objects<'a>(policies: impl Iterator<Item = &'a Judged>, mesh: &[Rc<Object>]) -> Vec<ObjectFinding> {
    let members: Vec<_> = policies.filter_map(Member::of).collect();
    let mut found = Vec::new();
    for object in mesh {
        let findings = match object.kind {
            "EnvoyFilter" => envoy_filter::findings(object, &members, mesh),
            "VirtualService" | "HTTPRoute" => virtual_service::findings(object, &members, mesh),
            "WasmPlugin" => pair::findings(object, &members).into_iter().collect(),
            _ => Vec::new(),
        };
        found.extend(findings.into_iter().map(|finding| ObjectFinding { object: Rc::clone(object), finding }));
    }
    found
}

/// A warning about a place in an object.
fn warning(place: impl IntoIterator<Item = Step>, problem: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding::warning(Kind::Conflict, Place::from(place.into_iter().collect::<Vec<_>>()), problem, remedy)
}

/// The place of an element of a list in the `spec` of an object.
fn element(list: &'static str, n: usize) -> [Step; 3] {
    [Step::from("spec"), Step::from(list), Step::Element(n)]
}
