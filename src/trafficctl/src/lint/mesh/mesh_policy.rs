//! A policy that is in force beside the objects of a mesh.

use serde_json::Value;

use crate::document::file::Judged;
use crate::document::mesh::Object;
use crate::document::mesh_route::routes;

/// A valid policy.
pub struct MeshPolicy<'a> {
    /// Its JSON.
    pub document: &'a Value,
    /// Its routing header, in lower case.
    pub header: String,
    /// The object that carries it, if that is one of a mesh.
    pub object: Option<&'a Object>,
}

impl<'a> MeshPolicy<'a> {
    /// The policy in its file; `None` if it is not valid.
    pub fn of(policy: &'a Judged) -> Option<Self> {
        let header = policy.policy()?.routing_header.to_ascii_lowercase();
        Some(Self { document: policy.value.as_ref()?, header, object: policy.object.as_deref() })
    }

    /// The WasmPlugin that carries it.
    pub fn plugin(&self) -> Option<&'a Object> {
        self.object.filter(|object| object.kind == "WasmPlugin")
    }

    /// Whether routes of a VirtualService or an HTTPRoute ask for its routing header.
    pub fn is_followed_by(&self, object: &Object) -> bool {
        routes(object).iter().flat_map(|route| &route.matches).any(|one| one.asks_for(&self.header))
    }
}
