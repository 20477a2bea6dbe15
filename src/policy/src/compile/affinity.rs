//! Affinity: the sources of the shard key and the cookie, checked and made ready.

use super::Compiler;
use crate::affinity::{Affinity, DEFAULT_KEY_HEADER, KeyCookie};
use crate::config::{AffinityConfig, AffinityFields, CookieFields, KeyFields, OnMissing, SameSite, Whole};
use crate::error::member;
use crate::source::Source;

/// The longest life of a cookie that browsers accept, in seconds: 400 days.
const MAX_AGE_S: u64 = 34_560_000;

impl Compiler<'_> {
    /// The affinity of the endpoint of this name; `None` for none.
    pub(super) fn affinity(&mut self, place: &str, endpoint: &str, config: &AffinityConfig) -> Option<Affinity> {
        let by_default = || vec![Source::Header(DEFAULT_KEY_HEADER.to_owned())];
        let fields = match config {
            AffinityConfig::Off => return None,
            AffinityConfig::Default => return Some(Affinity::new(by_default(), endpoint, None)),
            AffinityConfig::On(fields) => fields,
        };
        let mut keys = match &fields.keys {
            None => by_default(),
            Some(keys) => self.keys(&member(place, "keys"), keys),
        };
        let cookie = self.key_cookie(place, fields);
        // The id is found again where it was left.
        let found_in = cookie.as_ref().map(|cookie| Source::Cookie(cookie.name().to_owned()));
        keys.extend(found_in.filter(|cookie| !keys.contains(cookie)));
        Some(Affinity::new(keys, fields.salt.as_deref().unwrap_or(endpoint), cookie))
    }

    fn keys(&mut self, place: &str, keys: &[KeyFields]) -> Vec<Source> {
        if keys.is_empty() {
            let remedy = "name a source; for no affinity, write \"affinity\": null";
            self.refuse(place, "the list is empty: there would never be a key", remedy);
        }
        let mut sources: Vec<Source> = Vec::new();
        for (n, key) in keys.iter().enumerate() {
            let place = format!("{place}[{n}]");
            let Some(source) = self.key(&place, key) else { continue };
            if sources.contains(&source) {
                self.refuse(&place, "this source is named before", "name each source once");
            }
            sources.push(source);
        }
        sources
    }

    fn key(&mut self, place: &str, key: &KeyFields) -> Option<Source> {
        match (&key.header, &key.cookie, &key.query, key.source_ip, &key.property) {
            (Some(name), None, None, None, None) => {
                Some(Source::Header(self.name_of_header(&member(place, "header"), name)))
            }
            (None, Some(name), None, None, None) => {
                Some(Source::Cookie(self.name_of_cookie(&member(place, "cookie"), name)))
            }
            (None, None, Some(name), None, None) => Some(Source::Query(name.clone())),
            (None, None, None, Some(true), None) => Some(Source::ClientIp),
            (None, None, None, None, Some(path)) => {
                Some(Source::Property(self.property(&member(place, "property"), path)))
            }
            _ => {
                let remedy = "use one of {\"header\": …}, {\"cookie\": …}, {\"query\": …}, {\"source_ip\": true} and \
                              {\"property\": […]}";
                self.refuse(place, "there must be one source", remedy);
                None
            }
        }
    }

    fn key_cookie(&mut self, place: &str, fields: &AffinityFields) -> Option<KeyCookie> {
        let place_of_cookie = member(place, "cookie");
        match (fields.on_missing, &fields.cookie) {
            (OnMissing::Random, None) => None,
            (OnMissing::Random, Some(_)) => {
                let problem = "only \"on_missing\": \"generate_cookie\" has a cookie";
                self.refuse(&place_of_cookie, problem, "add that, or leave the cookie out");
                None
            }
            (OnMissing::GenerateCookie, None) => {
                let problem = "\"generate_cookie\" needs a cookie";
                self.refuse(&member(place, "on_missing"), problem, "add \"cookie\": {\"name\": …}");
                None
            }
            (OnMissing::GenerateCookie, Some(cookie)) => Some(self.cookie(&place_of_cookie, cookie)),
        }
    }

    fn cookie(&mut self, place: &str, fields: &CookieFields) -> KeyCookie {
        let name = self.name_of_cookie(&member(place, "name"), &fields.name);
        let path = fields.path.as_deref().unwrap_or("/");
        let secure = fields.secure.unwrap_or(true);
        if !path.starts_with('/') || !path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b';') {
            let remedy = "start it with / and leave out spaces and semicolons";
            self.refuse(&member(place, "path"), format!("{path:?} is not the path of a cookie"), remedy);
        }
        if fields.same_site == SameSite::None && !secure {
            let remedy = "browsers refuse such a cookie: leave `secure` on, or use \"Lax\"";
            self.refuse(&member(place, "same_site"), "\"None\" without `secure`", remedy);
        }
        if (name.starts_with("__Secure-") || name.starts_with("__Host-")) && !secure
            || name.starts_with("__Host-") && path != "/"
        {
            let remedy = "with this prefix browsers want `secure`, and \"/\" as the path for __Host-";
            self.refuse(&member(place, "name"), format!("{name:?} promises what the cookie doesn't keep"), remedy);
        }
        let mut attributes = format!("; Path={path}");
        if let Some(Whole(max_age_s)) = fields.max_age_s {
            if !(1..=MAX_AGE_S).contains(&max_age_s) {
                let remedy = format!("use 1 to {MAX_AGE_S} (400 days); leave it out for the browser's session");
                self.refuse(&member(place, "max_age_s"), format!("{max_age_s} is out of range"), &remedy);
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
        KeyCookie::new(name, attributes)
    }
}
