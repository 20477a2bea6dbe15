//! The parts of a policy's document that commands look for, whether or not the policy is valid.

use std::collections::BTreeMap;

use serde_json::Value;

use policy::Place;

/// A place that names a backend, other than the list of backends.
#[derive(Clone, Debug)]
pub struct Mention {
    /// Where.
    pub place: Place,
    /// Whether its share or its fraction there is 0.
    pub is_idle: bool,
}

/// The elements of the list in the member `name`; none if there is no such list.
pub fn list<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

/// The members of the object in the member `name`; none if there is no such object.
pub fn members<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    value.get(name).and_then(Value::as_object).into_iter().flatten()
}

/// The name of an endpoint or a cohort; empty if it has none.
pub fn name_of(value: &Value) -> &str {
    value.get("name").and_then(Value::as_str).unwrap_or_default()
}

/// Whether the list of backends has this one.
pub fn is_listed(policy: &Value, backend: &str) -> bool {
    policy.get("backends").is_some_and(|backends| backends.get(backend).is_some())
}

/// The cluster of a backend: the one in the list of backends, or the one with the backend's name.
pub fn cluster_of<'a>(policy: &'a Value, backend: &'a str) -> &'a str {
    let listed = policy.get("backends").and_then(|backends| backends.get(backend));
    listed.and_then(|listed| listed.get("cluster")?.as_str()).unwrap_or(backend)
}

/// The endpoints and the cohorts, each with its place.
pub fn plans(policy: &Value) -> impl Iterator<Item = (Place, &Value)> {
    list(policy, "endpoints").enumerate().flat_map(|(n, endpoint)| {
        let place = Place::root().member("endpoints").element(n);
        let of_cohorts = place.member("cohorts");
        let cohorts = list(endpoint, "cohorts").enumerate();
        let cohorts = cohorts.map(move |(n, cohort)| (of_cohorts.element(n), cohort));
        std::iter::once((place, endpoint)).chain(cohorts)
    })
}

/// The places that name each backend, other than the list of backends.
pub fn mentions(policy: &Value) -> BTreeMap<&str, Vec<Mention>> {
    let mut mentions: BTreeMap<&str, Vec<Mention>> = BTreeMap::new();
    for (place, plan) in plans(policy) {
        for field in ["traffic", "shadow"] {
            for (backend, value) in members(plan, field) {
                let place = place.member(field).member(backend);
                for (n, from) in list(value, "only_from").enumerate() {
                    let place = place.member("only_from").element(n);
                    let backend = from.as_str().unwrap_or_default();
                    mentions.entry(backend).or_default().push(Mention { place, is_idle: false });
                }
                let is_idle = value.get("fraction").unwrap_or(value).as_f64() == Some(0.0);
                mentions.entry(backend).or_default().push(Mention { place, is_idle });
            }
        }
    }
    mentions
}
