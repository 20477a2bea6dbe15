//! Endpoints, cohorts and backends of a policy, by the names on the command line.

use serde_json::{Value, json};

use crate::advice::unknown;
use crate::document::change::Change;
use crate::document::outline::{is_listed, list, members, mentions, name_of};
use crate::error::Error;
use policy::Place;

/// The number of an endpoint.
///
/// # Errors
/// [`Error::Wrong`] if there is no such endpoint.
pub fn endpoint(policy: &Value, name: &str) -> Result<usize, Error> {
    let position = list(policy, "endpoints").position(|endpoint| name_of(endpoint) == name);
    position.ok_or_else(|| {
        Error::Wrong(unknown("endpoint", name, &list(policy, "endpoints").map(name_of).collect::<Vec<_>>()))
    })
}

/// The place of an endpoint, or of one of its cohorts.
///
/// # Errors
/// [`Error::Wrong`] if there is no such endpoint or cohort.
pub fn plan(policy: &Value, name: &str, cohort: Option<&str>) -> Result<Place, Error> {
    let n = endpoint(policy, name)?;
    let place = Place::root().member("endpoints").element(n);
    let Some(cohort) = cohort else { return Ok(place) };
    let cohorts = || list(policy, "endpoints").nth(n).into_iter().flat_map(|endpoint| list(endpoint, "cohorts"));
    match cohorts().position(|known| name_of(known) == cohort) {
        Some(n) => Ok(place.member("cohorts").element(n)),
        None => Err(Error::Wrong(unknown("cohort", cohort, &cohorts().map(name_of).collect::<Vec<_>>()))),
    }
}

/// Checks that the policy knows all of these backends, if it lists its backends. Without a list,
/// any name may be the name of a cluster.
///
/// # Errors
/// [`Error::Wrong`] for the first backend that it does not know.
pub fn require_backends<'a>(policy: &Value, wanted: impl IntoIterator<Item = &'a String>) -> Result<(), Error> {
    if policy.get("backends").is_none() {
        return Ok(());
    }
    let known = backends(policy);
    match wanted.into_iter().find(|backend| !known.contains(&backend.as_str())) {
        Some(missing) => {
            Err(Error::Wrong(format!("{} (create-backend adds one)", unknown("backend", missing, &known))))
        }
        None => Ok(()),
    }
}

/// The backends that are listed or used, sorted, each once.
pub fn backends(policy: &Value) -> Vec<&str> {
    let listed = members(policy, "backends").map(|(name, _)| name.as_str());
    let mut known: Vec<_> = listed.chain(mentions(policy).into_keys()).collect();
    known.sort_unstable();
    known.dedup();
    known
}

/// The changes that list new backends, and create the list if there is none.
pub fn list_backends(policy: &Value, new: impl IntoIterator<Item = (String, Value)>) -> Vec<Change> {
    let mut new = new.into_iter();
    let list = Place::root().member("backends");
    let mut changes = Vec::new();
    if policy.get("backends").is_none() {
        changes.extend(new.next().map(|(name, backend)| Change::set(list.clone(), json!({ name: backend }))));
    }
    changes.extend(new.map(|(name, backend)| Change::set(list.member(&name), backend)));
    changes
}

/// The change that removes a backend from the list, if it is there.
pub fn unlist_backend(policy: &Value, name: &str) -> Option<Change> {
    is_listed(policy, name).then(|| Change::Remove(Place::root().member("backends").member(name)))
}
