//! One change to a policy, made to its value.

use std::fmt;

use serde_json::Value;

use super::one_line::one_line;
use policy::{Place, Step};

/// One change to a policy.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Sets a member of an object, which may be new.
    Set(Place, Value),
    /// Inserts an element into a list, before the element that has this number now.
    Insert(Place, usize, Value),
    /// Removes a member of an object or an element of a list.
    Remove(Place),
}

impl Change {
    /// Sets the member at `place`.
    pub fn set(place: Place, value: impl Into<Value>) -> Self {
        Self::Set(place, value.into())
    }

    /// The place that changes, or the list that gets an element.
    pub fn place(&self) -> &Place {
        match self {
            Self::Set(place, _) | Self::Insert(place, ..) | Self::Remove(place) => place,
        }
    }

    /// Makes the change to `policy`; `None` if the policy has no such place.
    pub fn apply(&self, policy: &mut Value) -> Option<()> {
        match self {
            Self::Set(place, value) => {
                let (Step::Member(name), parent) = place.steps().split_last()? else { return None };
                value_at_mut(policy, parent)?.as_object_mut()?.insert(name.clone(), value.clone());
            }
            Self::Insert(place, n, value) => {
                let list = value_at_mut(policy, place.steps())?.as_array_mut()?;
                list.insert((*n).min(list.len()), value.clone());
            }
            Self::Remove(place) => {
                let (last, parent) = place.steps().split_last()?;
                match (last, value_at_mut(policy, parent)?) {
                    (Step::Member(name), Value::Object(members)) => drop(members.remove(name)?),
                    (Step::Element(n), Value::Array(list)) if *n < list.len() => drop(list.remove(*n)),
                    _ => return None,
                }
            }
        }
        Some(())
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Set(place, value) => write!(f, "{place} = {}", one_line(value)),
            Self::Insert(place, n, value) => write!(f, "{} = {}", place.element(*n), one_line(value)),
            Self::Remove(place) => write!(f, "{place} is removed"),
        }
    }
}

fn value_at_mut<'a>(document: &'a mut Value, steps: &[Step]) -> Option<&'a mut Value> {
    steps.iter().try_fold(document, |value, step| match step {
        Step::Member(name) => value.get_mut(name),
        Step::Element(n) => value.get_mut(n),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_change_is_made_or_refused_as_a_whole() {
        let policy = json!({ "endpoints": [{ "name": "a" }] });
        let endpoints = || Place::root().member("endpoints");
        for (change, words, expected) in [
            (
                Change::set(endpoints().element(0).member("name"), "b"),
                r#"endpoints[0].name = "b""#,
                Some(json!({ "endpoints": [{ "name": "b" }] })),
            ),
            (
                Change::Insert(endpoints(), 0, json!({})),
                "endpoints[0] = {}",
                Some(json!({ "endpoints": [{}, { "name": "a" }] })),
            ),
            (Change::Remove(endpoints().element(0)), "endpoints[0] is removed", Some(json!({ "endpoints": [] }))),
            (Change::Remove(endpoints().element(1)), "endpoints[1] is removed", None),
            (Change::set(endpoints().member("a"), 1), "endpoints.a = 1", None),
        ] {
            let mut changed = policy.clone();
            let is_made = change.apply(&mut changed).is_some();
            assert_eq!(change.to_string(), words);
            assert_eq!(is_made, expected.is_some(), "{words}");
            assert_eq!(changed, expected.unwrap_or_else(|| policy.clone()), "{words}");
        }
    }
}
