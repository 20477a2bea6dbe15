//! The cookie with a generated key: its attributes, checked and written.

use crate::config::{CookieFields, SameSite, Whole};
use crate::cookie::KeyCookie;
use crate::finding::{Errors, Fault, Kind};
use crate::limits::{COOKIE_ATTRIBUTE_BYTES, COOKIE_NAME_BYTES, COOKIE_PATH, MAX_AGE_S};
use crate::names::CookieName;
use crate::place::At;

/// The cookie of these fields.
pub(super) fn cookie(at: &At<'_>, fields: &CookieFields, errors: &mut Errors) -> Option<KeyCookie> {
    let CookieFields { name, max_age_s, path, domain, same_site, secure, http_only, partitioned } = fields;
    let cookie_name: Option<CookieName> = errors.accept(&at.member("name"), cookie_name(name));
    let path = path.as_deref().unwrap_or(COOKIE_PATH);
    errors.accept(&at.member("path"), check_path(path));
    let at_domain = at.member("domain");
    let domain = domain.as_deref().and_then(|domain| errors.accept(&at_domain, self::domain(domain)));
    let (secure, http_only) = (secure.unwrap_or(true), http_only.unwrap_or(true));
    if *same_site == SameSite::None && !secure {
        let remedy = "browsers refuse such a cookie: leave `secure` on, or use \"Lax\"";
        let fault = Fault::new("\"None\" without `secure`", remedy);
        errors.add(&at.member("same_site"), fault.of(Kind::Conflict));
    }
    if *partitioned && !secure {
        let fault =
            Fault::new("a partitioned cookie without `secure`", "browsers refuse such a cookie: leave `secure` on");
        errors.add(&at.member("partitioned"), fault.of(Kind::Conflict));
    }
    check_prefix(at, fields, path, errors);
    let mut attributes = format!("; Path={path}");
    if let Some(domain) = &domain {
        attributes.push_str(&format!("; Domain={domain}"));
    }
    if let Some(Whole(max_age_s)) = *max_age_s {
        if !(MAX_AGE_S.min..=MAX_AGE_S.max).contains(&max_age_s) {
            let remedy =
                format!("use 1 to {} (400 days); leave it out for a cookie of the browser's session", MAX_AGE_S.max);
            errors.refuse(&at.member("max_age_s"), format!("{max_age_s} is out of range"), remedy);
        }
        attributes.push_str(&format!("; Max-Age={max_age_s}"));
    }
    attributes.push_str(match same_site {
        SameSite::Lax => "; SameSite=Lax",
        SameSite::Strict => "; SameSite=Strict",
        SameSite::None => "; SameSite=None",
    });
    for (is_on, attribute) in [(secure, "; Secure"), (http_only, "; HttpOnly"), (*partitioned, "; Partitioned")] {
        if is_on {
            attributes.push_str(attribute);
        }
    }
    Some(KeyCookie::new(cookie_name?, path, domain, attributes))
}

fn cookie_name(name: &str) -> Result<CookieName, Fault> {
    if name.len() > COOKIE_NAME_BYTES {
        let remedy = format!("browsers ignore a cookie of this size: use at most {COOKIE_NAME_BYTES}");
        return Err(Fault::new(format!("the name has {} bytes", name.len()), remedy));
    }
    name.parse()
}

fn check_path(path: &str) -> Result<(), Fault> {
    if !path.starts_with('/') || !path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b';') {
        let remedy = "start it with / and use no spaces or semicolons";
        return Err(Fault::new(format!("{path:?} is not the path of a cookie"), remedy));
    }
    if path.len() > COOKIE_ATTRIBUTE_BYTES {
        let remedy = format!("browsers ignore a longer one: use at most {COOKIE_ATTRIBUTE_BYTES}");
        return Err(Fault::new(format!("the path has {} bytes", path.len()), remedy));
    }
    Ok(())
}

/// A domain that browsers accept, in lower case: a host name with a dot, and no address.
fn domain(domain: &str) -> Result<String, Fault> {
    let is_label = |label: &str| {
        let is_label_char = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(is_label_char)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_host = domain.len() <= 253 && domain.split('.').count() > 1 && domain.split('.').all(is_label);
    let is_address = domain.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    if !is_host || is_address {
        let remedy = "write a host name with a dot, as in \"example.com\", without port, scheme or a dot at its start: \
                      browsers refuse others";
        return Err(Fault::new(format!("{domain:?} is not the domain of a cookie"), remedy));
    }
    Ok(domain.to_ascii_lowercase())
}

/// Browsers refuse a cookie whose name has a prefix that its attributes do not keep, in any case
/// (RFC 6265bis, section 4.1.3).
fn check_prefix(at: &At<'_>, fields: &CookieFields, path: &str, errors: &mut Errors) {
    let name = fields.name.as_bytes();
    let has =
        |prefix: &str| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()));
    let is_host = has("__Host-");
    let is_http = has("__Http-") || has("__Host-Http-");
    let is_secure = is_host || is_http || has("__Secure-");
    let keeps_host = path == "/" && fields.domain.is_none();
    let (secure, http_only) = (fields.secure.unwrap_or(true), fields.http_only.unwrap_or(true));
    if is_secure && !secure || is_http && !http_only || is_host && !keeps_host {
        let problem = format!("{:?} promises what the cookie doesn't keep", fields.name);
        let remedy = "with this prefix, browsers require `secure`, for __Host- also the path \"/\" and no `domain`, and \
                      for __Http- and __Host-Http- also `http_only`";
        errors.add(&at.member("name"), Fault::new(problem, remedy).of(Kind::Conflict));
    }
}
