//! What other proxies and tools call the fields of a policy.

/// Words that people bring along, and the field that each stands for: its name, and how it is
/// written.
const SYNONYMS: [(&[&str], &str, &str); 22] = [
    (&["mirror", "mirrors", "mirroring", "request_mirror_policies"], "shadow", "\"shadow\""),
    (&["weight", "weights", "split", "splits", "shares", "weighted_clusters"], "traffic", "\"traffic\""),
    (&["sticky", "stickiness", "session_affinity", "hash_policy", "session"], "affinity", "\"affinity\""),
    (&["segments", "groups", "cohort"], "cohorts", "\"cohorts\""),
    (&["routes", "rules"], "endpoints", "\"endpoints\""),
    (&["clusters", "destinations", "subsets", "upstreams"], "backends", "\"backends\""),
    (&["fallback", "default_backend"], "default_cluster", "\"default_cluster\""),
    (&["cluster_header"], "routing_header", "\"routing_header\""),
    (&["path", "prefix", "uri"], "route", "\"route\", or \"match\": {\"path\": …}"),
    (&["headers"], "match", "\"match\": {\"headers\": […]}"),
    (&["cookies", "cookie"], "match", "\"match\": {\"cookies\": […]}"),
    (&["query", "query_params", "queryParams"], "match", "\"match\": {\"query\": […]}"),
    (&["hosts", "hostnames", "domains", "authority"], "match", "\"match\": {\"hosts\": […]}"),
    (&["source_ip", "cidr"], "match", "\"match\": {\"source_ip\": […]}"),
    (&["matches", "when", "filter", "conditions"], "match", "\"match\""),
    (&["method"], "methods", "\"methods\""),
    (&["percent", "percentage", "weight", "share", "ratio", "rate"], "fraction", "\"fraction\", from 0 to 1"),
    (&["timeout", "deadline"], "timeout_ms", "\"timeout_ms\""),
    (&["ttl", "max_age", "maxAge"], "max_age_s", "\"max_age_s\""),
    (&["equals", "eq", "value", "is"], "exact", "\"exact\""),
    (&["pattern", "matches", "safe_regex"], "regex", "\"regex\""),
    (&["not", "negate", "invert_match"], "invert", "\"invert\""),
];

/// How the field is written that another tool calls `name`, in an object with the fields `known`.
pub(super) fn synonym(name: &str, known: &[&str]) -> Option<&'static str> {
    let is_meant = |(names, field, _): &&(&[&str], &str, &str)| names.contains(&name) && known.contains(field);
    SYNONYMS.iter().find(is_meant).map(|(_, _, written)| *written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_of_another_tool_names_the_field_of_the_object_that_it_is_in() {
        let endpoint = ["name", "route", "match", "traffic", "shadow", "affinity"];
        let shadow = ["fraction", "timeout_ms", "headers"];
        for (name, known, field) in [
            ("mirror", &endpoint[..], Some("\"shadow\"")),
            ("split", &endpoint, Some("\"traffic\"")),
            ("weight", &endpoint, Some("\"traffic\"")),
            ("weight", &shadow, Some("\"fraction\", from 0 to 1")),
            ("headers", &endpoint, Some("\"match\": {\"headers\": […]}")),
            ("mirror", &shadow, None),
            ("colour", &endpoint, None),
        ] {
            assert_eq!(synonym(name, known), field, "{name}");
        }
    }
}
