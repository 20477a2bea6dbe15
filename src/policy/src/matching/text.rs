//! Comparisons of a value.

use std::fmt;
use std::hash::{Hash, Hasher};

use regex_lite::Regex;

/// A comparison of a value, in bytes.
#[derive(Clone, Debug, PartialEq, Hash)]
pub(crate) struct Text {
    kind: Kind,
    pattern: String,
    /// Whether the case of ASCII letters makes no difference.
    ignore_case: bool,
}

/// How a value is compared with a pattern.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Exact,
    Prefix,
    Suffix,
    Contains,
    /// The whole value. A value that is not UTF-8 doesn't match.
    Regex(Regex),
    /// Any value.
    Present,
}

impl Text {
    pub(crate) fn new(kind: Kind, pattern: String, ignore_case: bool) -> Self {
        Self { kind, pattern, ignore_case }
    }

    /// Whether `value` matches.
    pub(crate) fn matches(&self, value: &[u8]) -> bool {
        let pattern = self.pattern.as_bytes();
        let is_equal = |part: &[u8]| {
            if self.ignore_case { part.eq_ignore_ascii_case(pattern) } else { part == pattern }
        };
        match &self.kind {
            Kind::Exact => is_equal(value),
            Kind::Prefix => value.get(..pattern.len()).is_some_and(is_equal),
            Kind::Suffix => {
                value.len().checked_sub(pattern.len()).and_then(|start| value.get(start..)).is_some_and(is_equal)
            }
            Kind::Contains => pattern.is_empty() || value.windows(pattern.len()).any(is_equal),
            Kind::Regex(regex) => std::str::from_utf8(value).is_ok_and(|value| regex.is_match(value)),
            Kind::Present => true,
        }
    }

    /// The one value that matches, if there is only one.
    pub(crate) fn as_exact(&self) -> Option<&[u8]> {
        (matches!(self.kind, Kind::Exact) && !self.ignore_case).then_some(self.pattern.as_bytes())
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.kind {
            Kind::Exact => "is",
            Kind::Prefix => "starts with",
            Kind::Suffix => "ends with",
            Kind::Contains => "contains",
            Kind::Regex(_) => "matches the regex",
            Kind::Present => return f.write_str("is there"),
        };
        write!(f, "{verb} {:?}{}", self.pattern, if self.ignore_case { " in any case" } else { "" })
    }
}

impl Hash for Kind {
    /// Equal kinds have equal hashes; a regex differs by its pattern, which [`Text`] hashes.
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
    }
}

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Regex(this), Self::Regex(other)) => this.as_str() == other.as_str(),
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_compares_bytes() {
        for (kind, pattern, value, expected) in [
            (Kind::Exact, "abc", "abc", true),
            (Kind::Exact, "abc", "abcd", false),
            (Kind::Exact, "", "", true),
            (Kind::Prefix, "ab", "abc", true),
            (Kind::Prefix, "abc", "ab", false),
            (Kind::Suffix, "bc", "abc", true),
            (Kind::Suffix, "abc", "bc", false),
            (Kind::Contains, "b", "abc", true),
            (Kind::Contains, "abc", "abc", true),
            (Kind::Contains, "ac", "abc", false),
            (Kind::Contains, "a", "", false),
            (Kind::Present, "", "", true),
        ] {
            for ignore_case in [false, true] {
                let text = Text::new(kind.clone(), pattern.to_owned(), ignore_case);
                assert_eq!(text.matches(value.as_bytes()), expected, "{kind:?} {pattern} {value}");
                let upper = value.to_ascii_uppercase();
                let expected = expected && (ignore_case || upper == value);
                assert_eq!(text.matches(upper.as_bytes()), expected, "{kind:?} {pattern} {upper}");
            }
        }
    }

    #[test]
    fn only_an_exact_comparison_that_minds_case_takes_a_single_value() {
        let text = |kind, ignore_case| Text::new(kind, "a".to_owned(), ignore_case);
        assert_eq!(text(Kind::Exact, false).as_exact(), Some(b"a".as_slice()));
        assert_eq!(text(Kind::Exact, true).as_exact(), None);
        assert_eq!(text(Kind::Prefix, false).as_exact(), None);
    }

    #[test]
    fn regexes_with_the_same_pattern_are_equal() {
        let regex = |pattern| Kind::Regex(Regex::new(pattern).unwrap());
        assert_eq!(regex("a"), regex("a"));
        assert_ne!(regex("a"), regex("b"));
        assert_ne!(regex("a"), Kind::Exact);
    }
}
