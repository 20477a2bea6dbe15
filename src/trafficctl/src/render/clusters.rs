//! The clusters of a policy.

use std::collections::BTreeSet;

use policy::{Backend, Policy};

use crate::error::Error;

/// The clusters that the filter may choose, each once, in the order of the policy.
pub fn clusters(policy: &Policy) -> Vec<&str> {
    let mut known = BTreeSet::new();
    let of_backends = backends(policy).map(|backend| &*backend.cluster);
    policy.default_cluster.as_deref().into_iter().chain(of_backends).filter(|cluster| known.insert(*cluster)).collect()
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
