//! Rules for paths.

use std::fmt;

use super::Text;

/// A rule for a path without its query string.
#[derive(Clone, Debug, PartialEq, Hash)]
pub(crate) enum PathRule {
    /// A prefix that ends at a segment; without a trailing `/`, so that `""` stands for every path.
    Prefix(String),
    /// An exact path or a regex.
    Text(Text),
}

impl PathRule {
    /// A prefix that ends at a segment. A trailing `/` makes no difference.
    pub(crate) fn prefix(prefix: &str) -> Self {
        Self::Prefix(prefix.trim_end_matches('/').to_owned())
    }

    /// Whether `path`, without a query string, obeys this rule.
    pub(crate) fn matches(&self, path: &[u8]) -> bool {
        match self {
            // The cheapest test that tells most paths apart comes first.
            Self::Prefix(prefix) => {
                let rest = path.get(prefix.len()..);
                rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
                    && path.starts_with(prefix.as_bytes())
                    && path.starts_with(b"/")
            }
            Self::Text(text) => text.matches(path),
        }
    }

    /// The one path, or the prefix of all paths, that it takes; `None` for a regex.
    pub(crate) fn as_path(&self) -> Option<&str> {
        match self {
            Self::Prefix(prefix) => Some(prefix),
            Self::Text(text) => text.as_exact().and_then(|path| std::str::from_utf8(path).ok()),
        }
    }

    /// Whether every path that `narrow` takes obeys this rule.
    pub(crate) fn covers(&self, narrow: &Self) -> bool {
        match (self, narrow) {
            (Self::Prefix(prefix), Self::Prefix(narrow)) => is_under(narrow, prefix),
            (Self::Prefix(_), Self::Text(narrow)) => narrow.as_exact().is_some_and(|path| self.matches(path)),
            _ => self == narrow,
        }
    }
}

/// Whether `path` is `prefix`, which has no trailing `/`, or below it.
pub(crate) fn is_under(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl fmt::Display for PathRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prefix(prefix) if prefix.is_empty() => f.write_str("path is under /"),
            Self::Prefix(prefix) => write!(f, "path is under {prefix}"),
            Self::Text(text) => write!(f, "path {text}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matching::Kind;

    #[test]
    fn a_prefix_ends_at_a_segment() {
        for (prefix, path, expected) in [
            ("/rank", "/rank", true),
            ("/rank", "/rank/", true),
            ("/rank", "/rank/x", true),
            ("/rank", "/ranking", false),
            ("/rank", "/Rank", false),
            ("/rank", "/rank%2fx", false),
            ("/rank", "/other/rank", false),
            ("/rank/", "/rank", true),
            ("/rank/", "/rank/x", true),
            ("/", "/", true),
            ("/", "/anything", true),
            ("/", "*", false),
            ("/rank", "", false),
        ] {
            assert_eq!(PathRule::prefix(prefix).matches(path.as_bytes()), expected, "{prefix} with {path}");
        }
    }

    #[test]
    fn a_rule_covers_what_lies_under_it() {
        let prefix = PathRule::prefix;
        let exact = |path: &str| PathRule::Text(Text::new(Kind::Exact, path.to_owned(), false));
        assert!(prefix("/").covers(&prefix("/a")));
        assert!(prefix("/a").covers(&prefix("/a/b")));
        assert!(prefix("/a").covers(&exact("/a/b")));
        assert!(exact("/a").covers(&exact("/a")));
        assert!(!prefix("/a").covers(&prefix("/ab")));
        assert!(!prefix("/a/b").covers(&prefix("/a")));
        assert!(!prefix("/a").covers(&exact("/ab")));
        assert!(!exact("/a").covers(&prefix("/a")));
    }
}
