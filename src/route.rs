//! Which requests an endpoint takes.

use crate::request::Request;

/// The conditions of an endpoint. All that are there must hold; without any, every request matches and none is read.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Route {
    /// A path prefix that ends at a segment: without a trailing `/`, so `""` stands for every path.
    prefix: Option<String>,
    /// The methods, in upper case; `None` means any.
    methods: Option<Vec<String>>,
}

impl Route {
    /// Takes `prefix` (a trailing `/` makes no difference) and `methods` (absent: any).
    pub fn new(prefix: Option<&str>, methods: Option<Vec<String>>) -> Self {
        Self { prefix: prefix.map(|prefix| prefix.trim_end_matches('/').to_owned()), methods }
    }

    /// Whether `request` meets every condition.
    pub fn matches(&self, request: &impl Request) -> bool {
        if let Some(prefix) = &self.prefix
            && !request.path().is_some_and(|path| path_has_prefix(&path, prefix.as_bytes()))
        {
            return false;
        }
        match &self.methods {
            Some(methods) => {
                request.method().is_some_and(|method| methods.iter().any(|known| known.as_bytes() == &*method))
            }
            None => true,
        }
    }

    /// Whether every request that `other` matches matches this one, too.
    pub fn covers(&self, other: &Self) -> bool {
        let paths = match (&self.prefix, &other.prefix) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(prefix), Some(other)) => {
                other.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
        };
        let methods = match (&self.methods, &other.methods) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(methods), Some(others)) => others.iter().all(|other| methods.contains(other)),
        };
        paths && methods
    }
}

/// Whether `path` lies under `prefix` (without a trailing `/`): `/rank` takes `/rank`, `/rank/`, `/rank/x` and
/// `/rank?q`, and not `/ranking`.
fn path_has_prefix(path: &[u8], prefix: &[u8]) -> bool {
    path.starts_with(b"/")
        && path.strip_prefix(prefix).is_some_and(|rest| matches!(rest.first(), None | Some(b'/' | b'?')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_at_a_segment() {
        for (prefix, path, expected) in [
            ("/rank", "/rank", true),
            ("/rank", "/rank/", true),
            ("/rank", "/rank/x", true),
            ("/rank", "/rank?x=/y", true),
            ("/rank", "/ranking", false),
            ("/rank", "/Rank", false),
            ("/rank", "/rank%2fx", false),
            ("/rank", "/other/rank", false),
            ("/rank", "/?/rank", false),
            ("/rank/", "/rank", true),
            ("/rank/", "/rank/x", true),
            ("/", "/", true),
            ("/", "/anything", true),
            ("/", "/?q", true),
            ("/", "*", false),
            ("/rank", "", false),
        ] {
            let route = Route::new(Some(prefix), None);
            let prefix_of_route = route.prefix.unwrap_or_default();
            assert_eq!(path_has_prefix(path.as_bytes(), prefix_of_route.as_bytes()), expected, "{prefix} with {path}");
        }
    }

    #[test]
    fn a_route_covers_what_lies_under_it_with_no_more_methods() {
        let route = |prefix: Option<&str>, methods: &[&str]| {
            let methods = (!methods.is_empty()).then(|| methods.iter().map(ToString::to_string).collect());
            Route::new(prefix, methods)
        };
        assert!(route(None, &[]).covers(&route(Some("/a"), &["GET"])));
        assert!(route(Some("/"), &[]).covers(&route(Some("/a"), &[])));
        assert!(route(Some("/a"), &["GET", "PUT"]).covers(&route(Some("/a/b"), &["PUT"])));
        assert!(!route(Some("/a"), &[]).covers(&route(Some("/ab"), &[])));
        assert!(!route(Some("/a"), &["GET"]).covers(&route(Some("/a"), &[])));
        assert!(!route(Some("/"), &[]).covers(&route(None, &[])));
    }
}
