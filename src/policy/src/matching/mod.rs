//! Which requests an endpoint or a cohort takes.

mod answers;
mod cidr;
mod host;
mod path;
mod regex;
mod search;
mod text;
mod tried;

pub use answers::Conditions;
pub(crate) use answers::Number;
pub(crate) use cidr::Cidr;
pub(crate) use host::HostPattern;
pub(crate) use path::{PathRule, is_under};
pub(crate) use regex::{Regex, Work};
pub(crate) use text::{Kind, Text};
pub(crate) use tried::Tried;

use std::fmt;
use std::hash::{Hash, Hasher};

use fnv::FnvHasher;

use crate::names::Method;
use crate::placement::fnv1a;
use crate::request::Request;
use crate::source::Source;

/// Alternatives, one of which must match. An alternative without rules matches every request and
/// reads nothing of it.
#[derive(Debug, PartialEq)]
pub struct Match(pub(crate) Vec<AllOf>);

/// Rules that must all hold, in the order in which they are asked: the cheapest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct AllOf(pub(crate) Vec<Rule>);

/// One thing that must hold of a request.
#[derive(Clone, Debug, PartialEq, Hash)]
pub(crate) enum Rule {
    /// The path, without the query string.
    Path(PathRule),
    /// One of these methods.
    Methods(Vec<Method>),
    /// One of these hosts.
    Hosts(Vec<HostPattern>),
    /// A value of a header, cookie, query parameter or property; `invert`: no such value.
    Value { source: Source, text: Text, invert: bool, number: Number },
    /// The client's address is in one of these networks.
    SourceIp(Vec<Cidr>),
}

impl Match {
    /// Whether one of the alternatives matches.
    pub(crate) fn matches(&self, request: &Tried<'_, impl Request>) -> bool {
        self.0.iter().any(|alternative| alternative.0.iter().all(|rule| rule.matches(request)))
    }

    /// Whether this surely matches every request that `other` matches.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        other.0.iter().all(|narrow| self.0.iter().any(|wide| wide.covers(narrow)))
    }

    /// The names of the headers that may be asked for.
    pub(crate) fn headers(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flat_map(|alternative| &alternative.0).filter_map(Rule::header)
    }
}

impl AllOf {
    fn covers(&self, narrow: &Self) -> bool {
        self.0.iter().all(|wide| narrow.0.iter().any(|narrow| wide.covers(narrow)))
    }
}

impl Rule {
    pub(crate) fn matches(&self, request: &Tried<'_, impl Request>) -> bool {
        match self {
            Self::Path(rule) => request.path_only().is_some_and(|path| rule.matches(path)),
            Self::Methods(methods) => is_one_of(methods, request.method()),
            Self::Hosts(patterns) => {
                request.host().is_some_and(|host| patterns.iter().any(|pattern| pattern.matches(host)))
            }
            Self::Value { source, text, invert, number } => request.holds(source, text, *number) != *invert,
            Self::SourceIp(networks) => {
                request.source_ip().is_some_and(|ip| networks.iter().any(|network| network.contains(ip)))
            }
        }
    }

    fn covers(&self, narrow: &Self) -> bool {
        match (self, narrow) {
            (Self::Path(wide), Self::Path(narrow)) => wide.covers(narrow),
            (Self::Methods(wide), Self::Methods(narrow)) => narrow.iter().all(|method| wide.contains(method)),
            _ => self == narrow,
        }
    }

    /// A hash by which equal rules are found.
    pub(crate) fn digest(&self) -> u64 {
        if let Self::Path(PathRule::Prefix(prefix)) = self {
            return digest_of_prefix(prefix);
        }
        let mut hasher = FnvHasher::default();
        self.hash(&mut hasher);
        hasher.finish()
    }

    fn header(&self) -> Option<&str> {
        match self {
            Self::Path(_) => Some(":path"),
            Self::Methods(_) => Some(":method"),
            Self::Hosts(_) => Some(":authority"),
            Self::Value { source, .. } => source.header(),
            Self::SourceIp(_) => None,
        }
    }
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_joined(f, &self.0, ", or ")
    }
}

impl fmt::Display for AllOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("any request");
        }
        write_joined(f, &self.0, " and ")
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(rule) => rule.fmt(f),
            Self::Methods(methods) => {
                f.write_str("method is ")?;
                write_joined(f, methods, " or ")
            }
            Self::Hosts(patterns) => {
                f.write_str("host is ")?;
                write_joined(f, patterns, " or ")
            }
            Self::Value { source, text, invert: false, .. } => write!(f, "{source} {text}"),
            Self::Value { source, text, invert: true, .. } => write!(f, "no {source} {text}"),
            Self::SourceIp(networks) => {
                f.write_str("client's address is in ")?;
                write_joined(f, networks, " or ")
            }
        }
    }
}

fn write_joined<T: fmt::Display>(f: &mut fmt::Formatter<'_>, parts: &[T], separator: &str) -> fmt::Result {
    for (n, part) in parts.iter().enumerate() {
        if n > 0 {
            f.write_str(separator)?;
        }
        part.fmt(f)?;
    }
    Ok(())
}

/// The digest of the rule that a path is under `prefix`, which has no `/` at its end.
fn digest_of_prefix(prefix: &str) -> u64 {
    fnv1a(prefix.as_bytes())
}

/// Whether `method` is one of `methods`.
pub(crate) fn is_one_of(methods: &[Method], method: Option<&[u8]>) -> bool {
    method.is_some_and(|method| methods.iter().any(|known| known.as_bytes() == method))
}

#[cfg(test)]
mod tests {
    use crate::policy::Policy;

    #[test]
    fn a_match_is_described_in_words() {
        for (fields, expected) in [
            (r#""match": {}"#, "any request"),
            (r#""route": "/""#, "path is under /"),
            (r#""route": "/a/", "methods": ["GET", "PUT"]"#, "path is under /a and method is GET or PUT"),
            (r#""match": [{"path": {"exact": "/a"}}, {}]"#, r#"path is "/a", or any request"#),
            (r#""match": {"path": {"regex": "/a|/b"}}"#, r#"path matches the regex "/a|/b""#),
            (r#""match": {"hosts": ["A.example", "*.b.example"]}"#, "host is a.example or *.b.example"),
            (
                r#""match": {"source_ip": ["10.0.0.0/8", "2001:db8::/32"]}"#,
                "client's address is in 10.0.0.0/8 or 2001:db8::/32",
            ),
            (
                r#""match": {"headers": [{"name": "X-A", "prefix": "b", "ignore_case": true}], "cookies": [{"name": "c", "present": false}]}"#,
                r#"header x-a starts with "b" in any case and no cookie c is there"#,
            ),
            (
                r#""match": {"query": [{"name": "q", "suffix": "1"}], "properties": [{"path": ["a", "b"], "contains": "2", "invert": true}]}"#,
                r#"query parameter q ends with "1" and no property a/b contains "2""#,
            ),
        ] {
            let policy = format!(r#"{{"endpoints": [{{"name": "e", "traffic": {{"v1": 1}}, {fields}}}]}}"#);
            let policy = Policy::from_json(policy.as_bytes()).unwrap().policy;
            assert_eq!(policy.endpoints[0].matching.to_string(), expected, "{fields}");
        }
    }
}
