//! Hosts, as policies, objects of a mesh and the command line write them.

/// Whether a request can be for both hosts. Either may be a pattern such as `*.example.com`, or the
/// short name of a Service. Case makes no difference.
pub fn may_be_same(this: &str, other: &str) -> bool {
    let [this, other] = [this, other].map(str::to_ascii_lowercase);
    let is_within = |host: &str, pattern: &str| pattern.strip_prefix('*').is_some_and(|end| host.ends_with(end));
    let is_short = |short: &str, long: &str| {
        long.contains(".svc") && long.strip_prefix(short).is_some_and(|rest| rest.starts_with('.'))
    };
    this == other
        || is_within(&this, &other)
        || is_within(&other, &this)
        || is_short(&this, &other)
        || is_short(&other, &this)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_may_be_the_same_by_patterns_and_short_names() {
        for (this, other, expected) in [
            ("ranker.example.com", "ranker.example.com", true),
            ("ranker.example.com", "RANKER.example.com", true),
            ("*.example.com", "ranker.example.com", true),
            ("*", "ranker", true),
            ("ranker", "ranker.prod.svc.cluster.local", true),
            ("ranker.prod", "ranker.prod.svc.cluster.local", true),
            ("rank", "ranker.prod.svc.cluster.local", false),
            ("ranker", "ranker.example.com", false),
            ("shop.example.com", "ranker.example.com", false),
            ("*.example.com", "ranker.example.org", false),
        ] {
            assert_eq!(may_be_same(this, other), expected, "{this} {other}");
            assert_eq!(may_be_same(other, this), expected, "{other} {this}");
        }
    }
}
