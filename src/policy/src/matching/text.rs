//! Comparisons of a value.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::regex::{Allowance, Regex};
use super::search::Search;

/// A comparison of a value, in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Text {
    kind: Kind,
    /// Shared with whatever finds conditions by it.
    pattern: Arc<str>,
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
    /// The whole value, see [`Regex::matches`].
    Regex(Regex),
    /// Any value.
    Present,
}

impl Text {
    pub(crate) fn new(kind: Kind, pattern: String, ignore_case: bool) -> Self {
        Self { kind, pattern: pattern.into(), ignore_case }
    }

    /// Whether `value`, the only one, matches. Kept out of line: most rules are path prefixes, which
    /// it would slow down.
    #[inline(never)]
    pub(crate) fn matches(&self, value: &[u8]) -> bool {
        self.comparison().matches(value)
    }

    /// A comparison of the values of one source, in order.
    pub(crate) fn comparison(&self) -> Comparison<'_> {
        Comparison { text: self, allowance: Allowance::default(), search: Search::default() }
    }

    /// Whether a search for the pattern is as fast as it can be.
    pub(crate) fn is_short(&self) -> bool {
        Search::is_short(self.pattern.as_bytes())
    }

    pub(crate) fn kind(&self) -> &Kind {
        &self.kind
    }

    pub(crate) fn pattern(&self) -> &Arc<str> {
        &self.pattern
    }

    /// The one value that matches, if there is only one.
    pub(crate) fn as_exact(&self) -> Option<&[u8]> {
        (matches!(self.kind, Kind::Exact) && !self.ignore_case).then_some(self.pattern.as_bytes())
    }
}

/// A comparison under way.
pub(crate) struct Comparison<'text> {
    text: &'text Text,
    allowance: Allowance,
    search: Search,
}

impl Comparison<'_> {
    /// Whether `value`, the next one, matches.
    pub(crate) fn matches(&mut self, value: &[u8]) -> bool {
        let Text { kind, pattern, ignore_case } = self.text;
        let pattern = pattern.as_bytes();
        let is_equal = |part: &[u8]| if *ignore_case { part.eq_ignore_ascii_case(pattern) } else { part == pattern };
        match kind {
            Kind::Exact => is_equal(value),
            Kind::Prefix => value.get(..pattern.len()).is_some_and(is_equal),
            Kind::Suffix => {
                value.len().checked_sub(pattern.len()).and_then(|start| value.get(start..)).is_some_and(is_equal)
            }
            Kind::Contains if *ignore_case => self.search.contains(value, pattern, u8::eq_ignore_ascii_case),
            Kind::Contains => self.search.contains(value, pattern, u8::eq),
            Kind::Regex(regex) => regex.matches(value, &mut self.allowance),
            Kind::Present => true,
        }
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

impl Eq for Kind {}

impl Hash for Kind {
    /// Equal kinds have equal hashes; a regex differs by its pattern, which [`Text`] hashes.
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
    }
}

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Regex(this), Self::Regex(other)) => this == other,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matching::regex::Work;

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
                assert_eq!(text.comparison().matches(value.as_bytes()), expected, "{kind:?} {pattern} {value}");
                let upper = value.to_ascii_uppercase();
                let expected = expected && (ignore_case || upper == value);
                assert_eq!(text.comparison().matches(upper.as_bytes()), expected, "{kind:?} {pattern} {upper}");
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
        let regex = |pattern| Kind::Regex(Regex::new(regex_lite::Regex::new(pattern).unwrap(), Work::of(pattern)));
        assert_eq!(regex("a"), regex("a"));
        assert_ne!(regex("a"), regex("b"));
        assert_ne!(regex("a"), Kind::Exact);
    }
}
