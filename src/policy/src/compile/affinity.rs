//! Affinity: the sources of the shard key, checked and made ready.

use super::{comparison, cookie, property};
use crate::affinity::Affinity;
use crate::config::{AffinityConfig, AffinityFields, KeyFields, OnMissing};
use crate::cookie::KeyCookie;
use crate::finding::{Errors, Fault, Kind};
use crate::limits::{KEY_HEADER, KEY_SOURCES};
use crate::names::HeaderName;
use crate::place::At;
use crate::source::Source;

/// The affinity of the endpoint of this name; `None` for none.
pub(super) fn affinity(at: &At<'_>, endpoint: &str, config: &AffinityConfig, errors: &mut Errors) -> Option<Affinity> {
    let fields = match config {
        AffinityConfig::Off => return None,
        AffinityConfig::Default => return Some(Affinity::new(default_keys(), endpoint, None)),
        AffinityConfig::On(fields) => fields,
    };
    let mut keys = match &fields.keys {
        None => default_keys(),
        Some(config) => keys(&at.member("keys"), config, errors),
    };
    let cookie = key_cookie(at, fields, errors);
    // The generated key comes back in its cookie.
    let found_in = cookie.as_ref().map(|cookie| Source::Cookie(cookie.name().clone()));
    keys.extend(found_in.filter(|cookie| !keys.contains(cookie)));
    // Without any source there is no key, as without affinity.
    (!keys.is_empty()).then(|| Affinity::new(keys, fields.salt.as_deref().unwrap_or(endpoint), cookie))
}

fn default_keys() -> Vec<Source> {
    let header: Option<HeaderName> = KEY_HEADER.parse().ok();
    header.map(Source::Header).into_iter().collect()
}

fn keys(at: &At<'_>, config: &[KeyFields], errors: &mut Errors) -> Vec<Source> {
    if config.len() > KEY_SOURCES {
        errors.refuse(at, format!("there are {} sources", config.len()), format!("name at most {KEY_SOURCES}"));
        return Vec::new();
    }
    let mut sources: Vec<Source> = Vec::new();
    for (n, fields) in config.iter().enumerate() {
        let at = at.element(n);
        let Some(source) = key(&at, fields, errors) else { continue };
        if sources.contains(&source) {
            let fault = Fault::new("this source is named before", "name each source once");
            errors.add(&at, fault.of(Kind::Duplicate));
        }
        sources.push(source);
    }
    sources
}

fn key(at: &At<'_>, fields: &KeyFields, errors: &mut Errors) -> Option<Source> {
    let KeyFields { header, cookie, query, source_ip, property, read_as } = fields;
    if read_as.is_some() && property.is_none() {
        let fault = Fault::new("only a property has a type", "remove it, or name a property");
        errors.add(&at.member("as"), fault.of(Kind::Conflict));
    }
    match (header, cookie, query, source_ip, property) {
        (Some(name), None, None, None, None) => {
            errors.accept(&at.member("header"), comparison::header(name)).map(Source::Header)
        }
        (None, Some(name), None, None, None) => errors.accept(&at.member("cookie"), name.parse()).map(Source::Cookie),
        (None, None, Some(name), None, None) => Some(Source::Query(name.clone())),
        (None, None, None, Some(true), None) => Some(Source::ClientIp),
        (None, None, None, None, Some(path)) => {
            property::property(at, "property", path, read_as.unwrap_or_default(), errors).map(Source::Property)
        }
        _ => {
            let remedy = "use one of {\"header\": …}, {\"cookie\": …}, {\"query\": …}, {\"source_ip\": true} and \
                          {\"property\": […]}";
            errors.refuse(at, "there must be one source", remedy);
            None
        }
    }
}

fn key_cookie(at: &At<'_>, fields: &AffinityFields, errors: &mut Errors) -> Option<KeyCookie> {
    match (fields.on_missing, &fields.cookie) {
        (OnMissing::Random, None) => None,
        (OnMissing::Random, Some(_)) => {
            let problem = "only \"on_missing\": \"generate_cookie\" has a cookie";
            let fault = Fault::new(problem, "add that, or remove the cookie");
            errors.add(&at.member("cookie"), fault.of(Kind::Conflict));
            None
        }
        (OnMissing::GenerateCookie, None) => {
            let fault = Fault::new("\"generate_cookie\" needs a cookie", "add \"cookie\": {\"name\": …}");
            errors.add(&at.member("on_missing"), fault.of(Kind::Conflict));
            None
        }
        (OnMissing::GenerateCookie, Some(fields)) => cookie::cookie(&at.member("cookie"), fields, errors),
    }
}
