//! The parts of a request from which conditions and shard keys take their values.

use std::borrow::Cow;
use std::fmt;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};

use crate::names::{CookieName, HeaderName};
use crate::property::Property;
use crate::request::Request;

/// A part of a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// A header.
    Header(HeaderName),
    /// A cookie.
    Cookie(CookieName),
    /// A parameter of the query string; its name is case-sensitive.
    Query(String),
    /// The client's address without the port.
    ClientIp,
    /// An Envoy attribute.
    Property(Property),
}

impl Source {
    /// Whether `test` holds for one of the values, asked in order.
    pub(crate) fn any<'a>(&'a self, request: &'a impl Request, mut test: impl FnMut(&[u8]) -> bool) -> bool {
        match self {
            Self::Header(name) => request.header(name).any(|value| test(trim(value))),
            Self::Cookie(wanted) => request
                .header("cookie")
                .any(|header| cookies(header).any(|(name, value)| name == wanted.as_bytes() && test(value))),
            Self::Query(wanted) => request
                .path()
                .is_some_and(|path| parameters(path).any(|(name, value)| name == wanted.as_bytes() && test(value))),
            Self::ClientIp => source_ip(request).is_some_and(|ip| {
                // Room for the longest address in text form, 45 bytes.
                let mut text = [0; 48];
                let mut rest = &mut text[..];
                let is_written = write!(rest, "{ip}").is_ok();
                let unused = rest.len();
                is_written && text.get(..text.len() - unused).is_some_and(test)
            }),
            Self::Property(property) => request.property(property).is_some_and(|text| test(&text)),
        }
    }

    /// Calls `push` with each value of a header or property, in order. Other sources have no values
    /// here.
    pub(crate) fn each<'a>(&'a self, request: &'a impl Request, push: impl FnMut(Cow<'a, [u8]>)) {
        match self {
            Self::Header(name) => request.header(name).map(trim).map(Cow::Borrowed).for_each(push),
            Self::Property(property) => request.property(property).into_iter().for_each(push),
            Self::Cookie(_) | Self::Query(_) | Self::ClientIp => {}
        }
    }

    /// The header that has the value, if one does.
    pub(crate) fn header(&self) -> Option<&str> {
        match self {
            Self::Header(name) => Some(name),
            Self::Cookie(_) => Some("cookie"),
            Self::Query(_) => Some(":path"),
            Self::ClientIp | Self::Property(_) => None,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header {name}"),
            Self::Cookie(name) => write!(f, "cookie {name}"),
            Self::Query(name) => write!(f, "query parameter {name}"),
            Self::ClientIp => f.write_str("client's address"),
            Self::Property(property) => write!(f, "property {}", property.path().join("/")),
        }
    }
}

/// The client's address. An IPv4 address that the proxy has mapped into IPv6 is an IPv4 address.
pub(crate) fn source_ip(request: &impl Request) -> Option<IpAddr> {
    let address = std::str::from_utf8(request.source_address()?).ok()?;
    Some(address.parse::<SocketAddr>().ok()?.ip().to_canonical())
}

/// The cookies of a `Cookie` header. Parts without a `=` are ignored.
pub(crate) fn cookies(header: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    header.split(|byte| *byte == b';').filter_map(|pair| {
        let (name, value) = split_at_equals(pair)?;
        let value = trim(value);
        let unquoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
        Some((trim(name), unquoted.unwrap_or(value)))
    })
}

/// `value` without the spaces and tabs around it, which are no part of it (RFC 9110, section 5.5).
/// Envoy removes them over HTTP/1.1, but not over HTTP/2.
fn trim(value: &[u8]) -> &[u8] {
    let is_part = |byte: &u8| !matches!(byte, b' ' | b'\t');
    let start = value.iter().position(is_part).unwrap_or(value.len());
    let end = value.iter().rposition(is_part).map_or(start, |last| last + 1);
    value.get(start..end).unwrap_or_default()
}

/// The parameters of a target's query string, as they were sent: nothing is decoded.
pub(crate) fn parameters(path: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    // A fragment should not be there; it is no part of the query.
    let target = path.split(|byte| *byte == b'#').next().unwrap_or_default();
    let query = target.iter().position(|byte| *byte == b'?').and_then(|at| target.get(at + 1..)).unwrap_or_default();
    let parameters = query.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
    parameters.map(|pair| split_at_equals(pair).unwrap_or((pair, b"")))
}

fn split_at_equals(pair: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = pair.iter().position(|byte| *byte == b'=')?;
    Some((pair.get(..at)?, pair.get(at + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text<'a>(pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Vec<(&'a str, &'a str)> {
        pairs.map(|(a, b)| (std::str::from_utf8(a).unwrap(), std::str::from_utf8(b).unwrap())).collect()
    }

    #[test]
    fn a_cookie_header_is_read_leniently() {
        for (header, expected) in [
            ("a=1", vec![("a", "1")]),
            ("a=1; b=2", vec![("a", "1"), ("b", "2")]),
            ("a=1;b=2;", vec![("a", "1"), ("b", "2")]),
            (" a = 1 ;\tb=2", vec![("a", "1"), ("b", "2")]),
            ("a=\"1\"; b=\"", vec![("a", "1"), ("b", "\"")]),
            ("a=1=2; =3; nothing; ;;; c=", vec![("a", "1=2"), ("", "3"), ("c", "")]),
            ("a=1, b=2", vec![("a", "1, b=2")]),
            ("a=1; a=2", vec![("a", "1"), ("a", "2")]),
            ("", vec![]),
        ] {
            assert_eq!(text(cookies(header.as_bytes())), expected, "{header}");
        }
    }

    #[test]
    fn a_query_string_is_not_decoded() {
        for (path, expected) in [
            ("/", vec![]),
            ("/?", vec![]),
            ("/?a=1&b=2", vec![("a", "1"), ("b", "2")]),
            ("/?a&b=&=c", vec![("a", ""), ("b", ""), ("", "c")]),
            ("/?a=1?b=2", vec![("a", "1?b=2")]),
            ("/?&&a=%31+2&a=3", vec![("a", "%31+2"), ("a", "3")]),
            ("/?a=1#b=2", vec![("a", "1")]),
            ("/#?a=1", vec![]),
            ("/#x?a=1&b=2", vec![]),
        ] {
            assert_eq!(text(parameters(path.as_bytes())), expected, "{path}");
        }
    }
}
