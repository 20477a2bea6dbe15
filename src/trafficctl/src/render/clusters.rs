//! The clusters of a policy.

use std::collections::BTreeSet;

use policy::{Backend, Policy};
use serde_json::Value;

use crate::document::outline::{cluster_of, members, mentions};
use crate::error::Error;

/// The clusters of all backends that the policy names, each once, in its order. `document` is the
/// policy's JSON.
///
/// Backends that get nothing at the moment come last: those with a share or a fraction of 0, and
/// those that are only listed. The next change may give them a share.
pub fn clusters<'a>(policy: &'a Policy, document: &'a Value) -> Vec<&'a str> {
    let mut known = BTreeSet::new();
    let chosen = backends(policy).map(|backend| &*backend.cluster);
    let listed = members(document, "backends").map(|(backend, _)| backend.as_str());
    let named = mentions(document).into_keys().chain(listed).map(|backend| cluster_of(document, backend));
    let all = policy.default_cluster.as_deref().into_iter().chain(chosen).chain(named);
    all.filter(|cluster| known.insert(*cluster)).collect()
}

/// All backends that serve requests or get copies.
fn backends(policy: &Policy) -> impl Iterator<Item = &Backend> {
    let serving = policy.traffics().flat_map(|(_, _, traffic)| traffic.shares()).map(|(backend, _)| &**backend);
    serving.chain(policy.shadows().map(|shadow| &*shadow.entry.backend))
}

/// The cluster that serves requests that bypass the filter: the default cluster, or the one with
/// the largest share of the first endpoint.
///
/// # Errors
/// [`Error::Wrong`] if the policy has neither.
pub fn fallback(policy: &Policy) -> Result<&str, Error> {
    let first = policy.endpoints.first().and_then(|endpoint| {
        let largest = endpoint.traffic().shares().max_by(|(_, a), (_, b)| a.total_cmp(b));
        largest.map(|(backend, _)| &*backend.cluster)
    });
    let fallback = policy.default_cluster.as_deref().or(first);
    fallback.ok_or_else(|| Error::Wrong("the policy has no endpoint and no default_cluster".to_owned()))
}
