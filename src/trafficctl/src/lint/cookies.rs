//! Cookies with generated keys that some requests of their endpoint do not get.

use policy::{Finding, KeyCookie, Kind, Place, Policy};
use serde_json::Value;

use crate::document::outline::list;

/// Warns of each generated cookie whose path is narrower than the paths of its endpoint.
pub fn narrow_cookies(document: &Value, policy: &Policy) -> impl Iterator<Item = Finding> {
    let endpoints = list(document, "endpoints").zip(&policy.endpoints).enumerate();
    endpoints.filter_map(|(n, (written, endpoint))| {
        let cookie = endpoint.affinity.as_ref()?.cookie.as_ref()?;
        if is_inside(written, cookie) {
            return None;
        }
        let place = Place::root().member("endpoints").element(n).member("affinity").member("cookie").member("path");
        let problem = format!(
            "the endpoint takes requests outside {:?}, which get no key and are placed at random",
            cookie.path()
        );
        let remedy = "use a `path` that contains all paths of the endpoint, or narrow its `route`";
        Some(Finding::warning(Kind::Conflict, place, problem, remedy))
    })
}

/// Whether browsers send the cookie with every request that the endpoint takes. A regex counts as
/// narrow enough, since its paths are not known.
fn is_inside(endpoint: &Value, cookie: &KeyCookie) -> bool {
    let takes_all = cookie.path() == "/";
    let route = endpoint.get("route").and_then(Value::as_str);
    if takes_all || route.is_some_and(|route| is_prefix_inside(route, cookie)) {
        return true;
    }
    match endpoint.get("match") {
        Some(Value::Array(alternatives)) => alternatives.iter().all(|matching| is_match_inside(matching, cookie)),
        Some(matching) => is_match_inside(matching, cookie),
        None => false,
    }
}

fn is_match_inside(matching: &Value, cookie: &KeyCookie) -> bool {
    let path = |comparison: &str| matching.get("path")?.get(comparison)?.as_str();
    path("regex").is_some()
        || path("exact").is_some_and(|exact| cookie.is_for_path(exact.as_bytes()))
        || path("prefix").is_some_and(|prefix| is_prefix_inside(prefix, cookie))
}

/// Whether the cookie is for all paths under `prefix`, which ends at a segment: the shortest of them
/// has no `/` at its end.
fn is_prefix_inside(prefix: &str, cookie: &KeyCookie) -> bool {
    cookie.is_for_path(prefix.strip_suffix('/').unwrap_or(prefix).as_bytes())
}
