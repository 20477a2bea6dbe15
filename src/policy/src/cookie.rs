//! The cookie with a generated shard key, and the requests that get one.

use crate::matching::Tried;
use crate::names::CookieName;
use crate::request::Request;

/// A cookie with a generated key.
#[derive(Debug, PartialEq, Eq)]
pub struct KeyCookie {
    name: CookieName,
    /// The paths for which browsers send it.
    path: String,
    /// The domain in which browsers send it, in lower case; `None`: only to the host that set it.
    domain: Option<String>,
    /// Everything after the value.
    attributes: String,
}

impl KeyCookie {
    pub(crate) fn new(name: CookieName, path: &str, domain: Option<String>, attributes: String) -> Self {
        Self { name, path: path.to_owned(), domain, attributes }
    }

    pub(crate) fn name(&self) -> &CookieName {
        &self.name
    }

    /// The paths for which browsers send it.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether browsers send the cookie for `path`, which has no query string (RFC 6265, section
    /// 5.1.4).
    pub fn is_for_path(&self, path: &[u8]) -> bool {
        let rest = path.strip_prefix(self.path.as_bytes());
        rest.is_some_and(|rest| self.path.ends_with('/') || matches!(rest.first(), None | Some(b'/')))
    }

    /// Whether browsers send the cookie to `host`, which has no port (RFC 6265, section 5.1.3).
    fn is_for_host(&self, host: &[u8]) -> bool {
        self.domain.as_ref().is_none_or(|domain| {
            let start = host.len().checked_sub(domain.len());
            let (below, end) = start.and_then(|start| host.split_at_checked(start)).unwrap_or_default();
            end.eq_ignore_ascii_case(domain.as_bytes()) && matches!(below.last(), None | Some(b'.'))
        })
    }

    /// Whether a browser that gets the cookie in answer to `request` sends it with later requests of
    /// this kind. Another request would get a new key each time, and the new cookie might replace
    /// the one by which the client is placed.
    pub(crate) fn comes_back(&self, request: &Tried<'_, impl Request>) -> bool {
        request.path_only().is_some_and(|path| self.is_for_path(path))
            && (self.domain.is_none() || request.host().is_some_and(|host| self.is_for_host(host)))
            && !is_preflight(request)
    }

    /// The `Set-Cookie` with this key.
    pub(crate) fn with_key(&self, key: &str) -> String {
        format!("{}={key}{}", self.name, self.attributes)
    }
}

/// Whether this is a CORS preflight: browsers send it without cookies, and ignore those of the
/// answer.
fn is_preflight(request: &impl Request) -> bool {
    let has = |name| request.header(name).next().is_some();
    request.method() == Some(b"OPTIONS") && has("origin") && has("access-control-request-method")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cookie(path: &str, domain: Option<&str>) -> KeyCookie {
        KeyCookie::new("id".parse().unwrap(), path, domain.map(str::to_owned), String::new())
    }

    #[test]
    fn a_cookie_is_for_the_paths_of_rfc_6265() {
        for (path, request, expected) in [
            ("/", "/", true),
            ("/", "/a", true),
            ("/", "", false),
            ("/app", "/app", true),
            ("/app", "/app/", true),
            ("/app", "/app/x", true),
            ("/app", "/apple", false),
            ("/app", "/", false),
            ("/app", "/App", false),
            ("/app/", "/app", false),
            ("/app/", "/app/", true),
            ("/app/", "/app/x", true),
        ] {
            assert_eq!(cookie(path, None).is_for_path(request.as_bytes()), expected, "{path} {request}");
        }
    }

    #[test]
    fn a_cookie_is_for_its_domain_and_the_hosts_below_it() {
        for (domain, host, expected) in [
            (None, "anything", true),
            (Some("example.com"), "example.com", true),
            (Some("example.com"), "WWW.Example.com", true),
            (Some("example.com"), "a.b.example.com", true),
            (Some("example.com"), "badexample.com", false),
            (Some("example.com"), "example.org", false),
            (Some("www.example.com"), "example.com", false),
            (Some("example.com"), "", false),
        ] {
            assert_eq!(cookie("/", domain).is_for_host(host.as_bytes()), expected, "{domain:?} {host}");
        }
    }
}
