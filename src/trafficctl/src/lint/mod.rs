//! Warnings about a valid policy that may not do what its author wants.

mod backends;
mod cookies;
mod mesh;
mod nulls;
mod shadows;
mod shares;
mod steering;
mod wiring;

use std::collections::BTreeSet;
use std::rc::Rc;

use crate::advice::Advice;
use crate::document::file::Judged;
use crate::document::mesh::Object;
use crate::document::outline::mentions;

pub use mesh::{ObjectFinding, fail_strategy, of_objects};
pub use steering::unprotected;
pub use wiring::miswired;

/// What is known beside the policy.
#[derive(Default)]
pub struct Context {
    /// The clusters of the proxy; `None` unless all are known.
    pub clusters: Option<BTreeSet<String>>,
    /// The headers by which routes mirror requests; `None` unless all routes are known.
    pub mirrors: Option<BTreeSet<String>>,
    /// The objects of a mesh that are known.
    pub mesh: Vec<Rc<Object>>,
    /// How many requests an endpoint gets, in a second.
    pub requests_per_second: Option<f64>,
    /// Whether the policy is being changed. A backend may be unused until the next change,
    /// and the change itself judges the names that are new.
    pub is_change: bool,
}

/// The errors of a policy; of a valid one the filter's warnings and those of all lints.
pub fn findings(policy: &Judged, context: &Context) -> Vec<Advice> {
    let parsed = match &policy.verdict {
        Err(refused) => return refused.0.iter().cloned().map(Advice::from).collect(),
        Ok(parsed) => parsed,
    };
    let mut findings: Vec<Advice> = parsed.warnings.iter().cloned().map(Advice::from).collect();
    let Some(document) = &policy.value else { return findings };
    findings.extend(shadows::unsafe_shadows(document).map(Advice::from));
    findings.extend(nulls::dropped(policy, document).into_iter().map(Advice::from));
    findings.extend(cookies::narrow_cookies(document, &parsed.policy).map(Advice::from));
    if let Some(mirrors) = &context.mirrors {
        findings.extend(shadows::without_mirror(document, mirrors).map(Advice::from));
    }
    findings.extend(mesh::of_policy(policy, &context.mesh));
    let mentions = mentions(document);
    match &context.clusters {
        Some(clusters) => findings.extend(backends::unknown_clusters(document, &mentions, clusters)),
        None if context.is_change => (),
        None => findings.extend(backends::misspelt(document, &mentions)),
    }
    if !context.is_change {
        findings.extend(backends::never_used(document, &mentions));
    }
    if let Some(rate) = context.requests_per_second {
        findings.extend(shares::tiny_shares(&parsed.policy, rate).map(Advice::from));
    }
    findings
}
