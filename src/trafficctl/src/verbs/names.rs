//! Names that a change brings into a policy.

use std::collections::BTreeSet;

use serde_json::Value;

use super::lookup::backends;
use crate::advice::Advice;
use crate::document::outline::{cluster_of, list, members, mentions, name_of};
use crate::error::Error;
use crate::spelling::nearest;
use policy::{Finding, Kind, Place};

/// What a name stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sort {
    Backend,
    Cluster,
    Endpoint,
    Cohort,
}

/// Refuses new names that are near a name that the policy had before, except for backends with one
/// of the clusters in `clusters`, which are those that the same file defines.
///
/// # Errors
/// [`Error::Wrong`] for the first of them.
pub fn refuse_misspelt(old: &Value, new: &Value, clusters: &BTreeSet<String>) -> Result<(), Error> {
    for sort in [Sort::Backend, Sort::Cluster, Sort::Endpoint, Sort::Cohort] {
        let known = sort.names(old);
        let is_there = |name: &str| match sort {
            Sort::Backend | Sort::Cluster => clusters.contains(cluster_of(new, name)),
            Sort::Endpoint | Sort::Cohort => false,
        };
        for name in sort.names(new).difference(&known).filter(|name| !is_there(name)) {
            if let Some(near) = nearest(name, known.iter().copied()) {
                let sort = sort.in_words();
                return Err(Error::Wrong(format!(
                    "not changed: the policy has had no {sort} {name:?} so far: did you mean {near:?}? (--new adds \
                     {name:?})"
                )));
            }
        }
    }
    Ok(())
}

/// Warns of each new backend that is not listed and whose cluster is not in `clusters`: nothing else
/// confirms that its name is meant.
pub fn new_backends(old: &Value, new: &Value, clusters: &BTreeSet<String>) -> Vec<Advice> {
    let known = Sort::Backend.names(old);
    let mentions = mentions(new);
    let listed: BTreeSet<_> = members(new, "backends").map(|(name, _)| name.as_str()).collect();
    let is_new = |name: &&str| !known.contains(name) && !listed.contains(name) && !clusters.contains(*name);
    let places = mentions.iter().filter(|(name, _)| is_new(name));
    let warning = |(name, place): (&str, &Place)| {
        let problem = format!("the policy has had no backend {name:?} so far");
        let remedy = format!("check that Envoy has the cluster {name:?}: without it, its requests get 503");
        Finding::warning(Kind::NamedOnce, place.clone(), problem, remedy).into()
    };
    places.filter_map(|(name, mentions)| Some((*name, &mentions.first()?.place))).map(warning).collect()
}

impl Sort {
    /// The names of this sort in a policy.
    fn names(self, policy: &Value) -> BTreeSet<&str> {
        match self {
            Self::Backend => backends(policy).into_iter().collect(),
            Self::Cluster => {
                let default = policy.get("default_cluster").and_then(Value::as_str);
                let of_backends = backends(policy).into_iter().map(|backend| cluster_of(policy, backend));
                default.into_iter().chain(of_backends).collect()
            }
            Self::Endpoint => list(policy, "endpoints").map(name_of).collect(),
            Self::Cohort => {
                list(policy, "endpoints").flat_map(|endpoint| list(endpoint, "cohorts")).map(name_of).collect()
            }
        }
    }

    fn in_words(self) -> &'static str {
        match self {
            Self::Backend => "backend",
            Self::Cluster => "cluster",
            Self::Endpoint => "endpoint",
            Self::Cohort => "cohort",
        }
    }
}
