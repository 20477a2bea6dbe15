//! Hosts.

use std::fmt;

use crate::finding::Fault;

/// A host, or all hosts under a domain. Case and port make no difference.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum HostPattern {
    /// This host.
    Exact(String),
    /// Every host that ends with this, which starts with a dot.
    Under(String),
}

impl HostPattern {
    /// Reads `example.com` or `*.example.com`.
    pub(crate) fn parse(pattern: &str) -> Result<Self, Fault> {
        Self::read(pattern).ok_or_else(|| {
            let remedy = "write \"example.com\" or \"*.example.com\", without a port";
            Fault::new(format!("{pattern:?} is not a host"), remedy)
        })
    }

    fn read(pattern: &str) -> Option<Self> {
        let (host, is_wildcard) = match pattern.strip_prefix('*') {
            Some(suffix) => (suffix, true),
            None => (pattern, false),
        };
        let name = if is_wildcard { host.strip_prefix('.')? } else { host };
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:[]".contains(&byte);
        let is_valid =
            !name.is_empty() && name.bytes().all(is_name) && without_port(name.as_bytes()) == name.as_bytes();
        let host = host.to_ascii_lowercase();
        is_valid.then_some(if is_wildcard { Self::Under(host) } else { Self::Exact(host) })
    }

    /// The bytes that are compared.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Exact(name) | Self::Under(name) => name.len(),
        }
    }

    /// Whether `host`, which has no port, is such a host.
    pub(crate) fn matches(&self, host: &[u8]) -> bool {
        match self {
            Self::Exact(name) => host.eq_ignore_ascii_case(name.as_bytes()),
            Self::Under(suffix) => {
                let start = host.len().checked_sub(suffix.len()).filter(|start| *start > 0);
                let end = start.and_then(|start| host.get(start..));
                end.is_some_and(|end| end.eq_ignore_ascii_case(suffix.as_bytes()))
            }
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Under(suffix) => write!(f, "*{suffix}"),
        }
    }
}

/// `example.com` of `example.com:80`, `[::1]` of `[::1]:80`.
pub(super) fn without_port(authority: &[u8]) -> &[u8] {
    let colon = authority.iter().rposition(|byte| *byte == b':');
    let split = colon.and_then(|at| Some((authority.get(..at)?, authority.get(at + 1..)?)));
    match split {
        Some((host, port))
            if port.iter().all(u8::is_ascii_digit) && (!host.contains(&b':') || host.ends_with(b"]")) =>
        {
            host
        }
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_match_without_port_and_case() {
        for (pattern, host, expected) in [
            ("example.com", "example.com", true),
            ("example.com", "EXAMPLE.com:8080", true),
            ("example.com", "example.com:http", false),
            ("Example.COM", "example.com", true),
            ("example.com", "a.example.com", false),
            ("example.com", "example.com.evil", false),
            ("*.example.com", "a.example.com", true),
            ("*.example.com", "a.b.Example.com:1", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", ".example.com", false),
            ("*.example.com", "aexample.com", false),
            ("[::1]", "[::1]:80", true),
            ("[::1]", "[::1]", true),
            ("example.com", "", false),
        ] {
            let host_only = without_port(host.as_bytes());
            assert_eq!(HostPattern::parse(pattern).unwrap().matches(host_only), expected, "{pattern} {host}");
        }
    }

    #[test]
    fn a_string_that_is_no_host_is_refused() {
        for pattern in ["", "*", "*.", "*example.com", "a*.example.com", "example.com:80", "http://a", "a b", "a/b"] {
            assert!(HostPattern::parse(pattern).is_err(), "{pattern}");
        }
    }
}
