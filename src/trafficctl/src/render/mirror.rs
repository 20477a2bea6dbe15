//! The mirror policy of a route, and the headers that steer it.

use policy::Policy;
use policy::limits::MIRROR_HEADER;
use serde_json::{Value, json};

use super::template::{no_place, scalar};
use crate::error::Error;

/// The file that the tests run, too.
const MIRROR: &str = include_str!("../../../../envoy/mirror-policy.yaml");

/// The headers that the routes of `policy` mirror by, also those of shadows that are switched off:
/// they may be switched on again.
///
/// # Errors
/// [`Error::Wrong`] if Envoy's configuration can't have one of them.
pub fn headers(policy: &Policy) -> Result<Vec<&str>, Error> {
    policy.mirror_headers.iter().map(|header| check(header).map(|()| &**header)).collect()
}

/// Refuses the name of a header that would need quotes.
///
/// # Errors
/// [`Error::Wrong`] if it would.
pub fn check(header: &str) -> Result<(), Error> {
    if scalar(header) == header {
        return Ok(());
    }
    Err(Error::Wrong(format!("the header {header:?} would need quotes everywhere: give it another name")))
}

/// Refuses a policy with a shadow via `mirror`, for routes that can't mirror by a header.
///
/// # Errors
/// [`Error::Wrong`] if there is such a shadow, also one that is switched off.
pub fn refuse(policy: &Policy, routes: &str, instead: &str) -> Result<(), Error> {
    match policy.mirror_headers.first() {
        None => Ok(()),
        Some(header) => Err(Error::Wrong(format!(
            "a shadow has \"via\": \"mirror\", and {routes} can't mirror by its header {header:?}: {instead}"
        ))),
    }
}

/// The mirror policies of a route, as text: the lines of the list, after its title.
///
/// # Errors
/// [`Error::Wrong`] if the template has changed.
pub fn lines(headers: &[&str]) -> Result<(&'static str, Vec<String>), Error> {
    let mut lines = MIRROR.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let title = lines.next().ok_or_else(|| no_place("request_mirror_policies"))?;
    let policy: Vec<_> = lines.collect();
    let of = |header: &&str| policy.iter().map(|line| line.replace(MIRROR_HEADER, header)).collect::<Vec<_>>();
    Ok((title, headers.iter().flat_map(of).collect()))
}

/// The mirror policies of a route, as a member of its `route`.
///
/// # Errors
/// [`Error::Wrong`] if the template has changed.
pub fn policies(headers: &[&str]) -> Result<Value, Error> {
    let (title, lines) = lines(headers)?;
    let text = format!("{title}\n{}\n", lines.join("\n"));
    let not_yaml = |error| Error::Wrong(format!("the mirror policy is not YAML: {error}"));
    let value: Value = serde_saphyr::from_str(&text).map_err(not_yaml)?;
    value.get("request_mirror_policies").cloned().ok_or_else(|| no_place("request_mirror_policies"))
}

/// The mutations that remove what clients send in these headers.
pub fn removals(headers: &[&str]) -> impl Iterator<Item = Value> {
    headers.iter().map(|header| json!({ "remove": header }))
}
