//! Affinity: the sources of the shard key and the cookie, checked and made ready.

use super::comparison;
use crate::affinity::{Affinity, KeyCookie};
use crate::config::{AffinityConfig, AffinityFields, CookieFields, KeyFields, OnMissing, SameSite, Whole};
use crate::finding::{Errors, Fault, Kind};
use crate::limits::{COOKIE_PATH, KEY_HEADER, KEY_SOURCES, MAX_AGE_S};
use crate::names::{CookieName, HeaderName};
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
    Some(Affinity::new(keys, fields.salt.as_deref().unwrap_or(endpoint), cookie))
}

fn default_keys() -> Vec<Source> {
    let header: Option<HeaderName> = KEY_HEADER.parse().ok();
    header.map(Source::Header).into_iter().collect()
}

fn keys(at: &At<'_>, config: &[KeyFields], errors: &mut Errors) -> Vec<Source> {
    if config.is_empty() {
        let remedy = "name a source; for no affinity, write \"affinity\": null";
        errors.refuse(at, "the list is empty: there would never be a key", remedy);
    }
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
    let KeyFields { header, cookie, query, source_ip, property } = fields;
    match (header, cookie, query, source_ip, property) {
        (Some(name), None, None, None, None) => {
            errors.accept(&at.member("header"), comparison::header(name)).map(Source::Header)
        }
        (None, Some(name), None, None, None) => errors.accept(&at.member("cookie"), name.parse()).map(Source::Cookie),
        (None, None, Some(name), None, None) => Some(Source::Query(name.clone())),
        (None, None, None, Some(true), None) => Some(Source::ClientIp),
        (None, None, None, None, Some(path)) => {
            errors.accept(&at.member("property"), comparison::property(path)).map(Source::Property)
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
        (OnMissing::GenerateCookie, Some(fields)) => cookie(&at.member("cookie"), fields, errors),
    }
}

fn cookie(at: &At<'_>, fields: &CookieFields, errors: &mut Errors) -> Option<KeyCookie> {
    let name: Option<CookieName> = errors.accept(&at.member("name"), fields.name.parse());
    let path = fields.path.as_deref().unwrap_or(COOKIE_PATH);
    let secure = fields.secure.unwrap_or(true);
    if !path.starts_with('/') || !path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b';') {
        let remedy = "start it with / and use no spaces or semicolons";
        errors.refuse(&at.member("path"), format!("{path:?} is not the path of a cookie"), remedy);
    }
    if fields.same_site == SameSite::None && !secure {
        let remedy = "browsers refuse such a cookie: leave `secure` on, or use \"Lax\"";
        let fault = Fault::new("\"None\" without `secure`", remedy);
        errors.add(&at.member("same_site"), fault.of(Kind::Conflict));
    }
    let has_prefix = |prefix| fields.name.starts_with(prefix);
    if (has_prefix("__Secure-") || has_prefix("__Host-")) && !secure || has_prefix("__Host-") && path != "/" {
        let problem = format!("{:?} promises what the cookie doesn't keep", fields.name);
        let remedy = "with this prefix, browsers require `secure`, and the path \"/\" for __Host-";
        errors.add(&at.member("name"), Fault::new(problem, remedy).of(Kind::Conflict));
    }
    let mut attributes = format!("; Path={path}");
    if let Some(Whole(max_age_s)) = fields.max_age_s {
        if !(MAX_AGE_S.min..=MAX_AGE_S.max).contains(&max_age_s) {
            let remedy =
                format!("use 1 to {} (400 days); leave it out for a cookie of the browser's session", MAX_AGE_S.max);
            errors.refuse(&at.member("max_age_s"), format!("{max_age_s} is out of range"), remedy);
        }
        attributes.push_str(&format!("; Max-Age={max_age_s}"));
    }
    attributes.push_str(match fields.same_site {
        SameSite::Lax => "; SameSite=Lax",
        SameSite::Strict => "; SameSite=Strict",
        SameSite::None => "; SameSite=None",
    });
    if secure {
        attributes.push_str("; Secure");
    }
    if fields.http_only.unwrap_or(true) {
        attributes.push_str("; HttpOnly");
    }
    Some(KeyCookie::new(name?, attributes))
}
