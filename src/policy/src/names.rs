//! Names that check themselves: each type's constructor holds the rules of its names.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use std::sync::Arc;

use crate::finding::Fault;
use crate::limits::{BACKEND_BYTES, NAME_BYTES, POLICY_NAME_BYTES};

/// Declares a name: a string that obeys `$check`.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident($inner:ty) = $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name($inner);

        impl FromStr for $name {
            type Err = Fault;

            fn from_str(name: &str) -> Result<Self, Fault> {
                $check(name).map(|name| Self(name.into()))
            }
        }

        impl Deref for $name {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&**self, f)
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                **self == *other
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                **self == **other
            }
        }
    };
}

name! {
    /// The name of a policy: 1 to 40 characters of `a-z 0-9 -`, so that names of headers and of
    /// Kubernetes objects can contain it.
    PolicyName(Arc<str>) = policy
}

name! {
    /// The name of an endpoint: 1 to 64 characters of `A-Z a-z 0-9 _ -`. A clone shares the string.
    EndpointName(Arc<str>) = |name| word(name, "an endpoint")
}

name! {
    /// The name of a cohort: 1 to 64 characters of `A-Z a-z 0-9 _ -`. A clone shares the string.
    CohortName(Arc<str>) = |name| word(name, "a cohort")
}

name! {
    /// The name of a backend: 1 to 255 printable ASCII characters except for spaces and
    /// `" , ; = \ { }`. Hashes, metrics and response headers use it.
    BackendName(String) = backend
}

name! {
    /// What the placement hashes of a backend: 1 to 255 printable ASCII characters except for spaces
    /// and `" , ; = \ { }`, as in its name.
    Variant(String) = variant
}

name! {
    /// The name of an Envoy cluster: 1 to 255 printable ASCII characters except for spaces and
    /// semicolons.
    ClusterName(String) = cluster
}

name! {
    /// The name of a header: a token of HTTP (RFC 9110, section 5.6.2), in lower case, as Envoy
    /// keeps header names.
    HeaderName(String) = header
}

name! {
    /// The name of a cookie: a token of HTTP; its case matters.
    CookieName(String) = cookie
}

name! {
    /// An HTTP method, in upper case.
    Method(String) = method
}

name! {
    /// The name of a filter state: 1 to 64 characters of `A-Z a-z 0-9 _ - .`, so that the format
    /// string of an access log can hold it.
    FilterStateName(String) = filter_state
}

fn policy(name: &str) -> Result<&str, Fault> {
    let is_name_char = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if is_made_of(name, POLICY_NAME_BYTES, is_name_char) {
        return Ok(name);
    }
    let remedy = format!("use 1 to {POLICY_NAME_BYTES} characters of a-z, 0-9 and -");
    Err(Fault::new(format!("{name:?} is not a name for a policy"), remedy))
}

fn word<'a>(name: &'a str, what: &str) -> Result<&'a str, Fault> {
    let is_name_char = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    if is_made_of(name, NAME_BYTES, is_name_char) {
        return Ok(name);
    }
    let remedy = format!("use 1 to {NAME_BYTES} characters of A-Z, a-z, 0-9, _ and -");
    Err(Fault::new(format!("{name:?} is not a name for {what}"), remedy))
}

/// Envoy extracts a backend's name from the names of stats, and whoever reads its metrics splits
/// their labels: these characters end a label early there.
const ENDS_A_LABEL: &[u8] = b"\",;=\\{}";

fn backend(name: &str) -> Result<&str, Fault> {
    in_labels(name, "a name for a backend")
}

fn variant(name: &str) -> Result<&str, Fault> {
    in_labels(name, "a variant")
}

fn in_labels<'a>(name: &'a str, what: &str) -> Result<&'a str, Fault> {
    if is_made_of(name, BACKEND_BYTES, |byte| byte.is_ascii_graphic() && !ENDS_A_LABEL.contains(&byte)) {
        return Ok(name);
    }
    let remedy = format!(
        "use 1 to {BACKEND_BYTES} printable ASCII characters without spaces and without any of \" , ; = \\ {{ }}"
    );
    Err(Fault::new(format!("{name:?} is not {what}"), remedy))
}

/// A cluster's name is a header value, and no part of a metric.
fn cluster(name: &str) -> Result<&str, Fault> {
    if is_made_of(name, BACKEND_BYTES, |byte| byte.is_ascii_graphic() && byte != b';') {
        return Ok(name);
    }
    let remedy = format!("use 1 to {BACKEND_BYTES} printable ASCII characters without spaces and semicolons");
    Err(Fault::new(format!("{name:?} is not a name for a cluster"), remedy))
}

fn header(name: &str) -> Result<String, Fault> {
    let lower = name.to_ascii_lowercase();
    token(&lower, || {
        Fault::new(format!("{name:?} is not a header name"), "use letters, digits and -, as in \"x-traffic-cluster\"")
    })?;
    Ok(lower)
}

fn cookie(name: &str) -> Result<&str, Fault> {
    token(name, || Fault::new(format!("{name:?} is not a cookie name"), "use letters, digits, - and _"))
}

fn method(name: &str) -> Result<&str, Fault> {
    let fault = || Fault::new(format!("{name:?} is not a method"), "write it in upper case, as in \"GET\"");
    token(name, fault)?;
    if name.bytes().any(|byte| byte.is_ascii_lowercase()) { Err(fault()) } else { Ok(name) }
}

fn filter_state(name: &str) -> Result<&str, Fault> {
    let is_name_char = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    if is_made_of(name, NAME_BYTES, is_name_char) {
        return Ok(name);
    }
    let remedy = format!("use 1 to {NAME_BYTES} characters of A-Z, a-z, 0-9, _, - and ., as in \"traffic_policy\"");
    Err(Fault::new(format!("{name:?} is not a name for a filter state"), remedy))
}

/// Whether `name` has 1 to `max` bytes, all of which are `allowed`.
fn is_made_of(name: &str, max: usize, allowed: impl Fn(u8) -> bool) -> bool {
    (1..=max).contains(&name.len()) && name.bytes().all(allowed)
}

fn token(name: &str, fault: impl FnOnce() -> Fault) -> Result<&str, Fault> {
    let is_token_char = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let is_token = is_made_of(name, usize::MAX, is_token_char);
    if is_token { Ok(name) } else { Err(fault()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts<N: FromStr>(name: &str) -> bool {
        name.parse::<N>().is_ok()
    }

    #[test]
    fn a_policy_has_a_name_of_1_to_40_characters_that_a_header_and_a_kubernetes_object_can_contain() {
        for (name, expected) in
            [("a", true), ("ranker-2", true), ("", false), ("A", false), ("a_b", false), ("a.b", false), ("ä", false)]
        {
            assert_eq!(accepts::<PolicyName>(name), expected, "{name}");
        }
        assert!(accepts::<PolicyName>(&"a".repeat(40)) && !accepts::<PolicyName>(&"a".repeat(41)));
    }

    #[test]
    fn endpoints_and_cohorts_have_names_of_1_to_64_word_characters() {
        for (name, expected) in [("a", true), ("A-z_0", true), ("", false), ("a b", false), ("ä", false)] {
            assert_eq!(accepts::<EndpointName>(name), expected, "{name}");
            assert_eq!(accepts::<CohortName>(name), expected, "{name}");
        }
        assert!(accepts::<EndpointName>(&"a".repeat(64)));
        assert!(!accepts::<EndpointName>(&"a".repeat(65)));
    }

    #[test]
    fn a_backend_has_a_name_that_a_label_can_contain_and_a_cluster_one_that_a_header_can_contain() {
        for (name, of_backend, of_cluster) in [
            ("outbound|8080|v2|a.b", true, true),
            ("outbound|80|v1|svc.ns.svc.cluster.local", true, true),
            ("!#$%&'()*+-./:<>?@[]^_`|~", true, true),
            ("", false, false),
            ("a b", false, false),
            ("a;b", false, false),
            ("ä", false, false),
            ("a\x1bb", false, false),
            ("a\"b", false, true),
            ("a,b", false, true),
            ("a=b", false, true),
            ("a=.=b", false, true),
            ("a\\b", false, true),
            ("a{b", false, true),
            ("a}b", false, true),
        ] {
            assert_eq!(accepts::<BackendName>(name), of_backend, "{name}");
            assert_eq!(accepts::<ClusterName>(name), of_cluster, "{name}");
        }
        let (longest, too_long) = ("a".repeat(255), "a".repeat(256));
        assert!(accepts::<BackendName>(&longest) && accepts::<ClusterName>(&longest));
        assert!(!accepts::<BackendName>(&too_long) && !accepts::<ClusterName>(&too_long));
    }

    #[test]
    fn a_header_name_is_kept_in_lower_case() {
        assert_eq!("X-Route".parse::<HeaderName>().unwrap(), "x-route");
        assert!(!accepts::<HeaderName>("x route"));
        assert!(!accepts::<HeaderName>(":path"));
    }

    #[test]
    fn a_method_is_a_token_in_upper_case() {
        for (name, expected) in [("GET", true), ("M-SEARCH", true), ("get", false), ("", false), ("G T", false)] {
            assert_eq!(accepts::<Method>(name), expected, "{name}");
        }
    }

    #[test]
    fn a_filter_state_has_a_name_that_a_format_string_can_contain() {
        for (name, expected) in [("traffic_policy", true), ("a.b-c", true), ("a:b", false), ("%", false)] {
            assert_eq!(accepts::<FilterStateName>(name), expected, "{name}");
        }
    }

    #[test]
    fn a_fault_quotes_the_name_and_says_what_would_be_right() {
        let fault = "a b".parse::<BackendName>().unwrap_err();
        assert_eq!(
            fault.to_string(),
            "\"a b\" is not a name for a backend; use 1 to 255 printable ASCII characters without spaces and \
             without any of \" , ; = \\ { }"
        );
    }
}
