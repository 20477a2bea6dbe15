//! Policies that are refused, and policies that are accepted with a warning.

use policy::Policy;
use testbed::cases;

#[test]
fn an_invalid_policy_is_refused_with_place_problem_and_remedy() {
    for refusal in cases::refusals().unwrap() {
        let Err(errors) = Policy::from_json(refusal.text().as_bytes()) else {
            panic!("{}: accepted", refusal.rule);
        };
        let messages: Vec<_> = errors.0.iter().map(ToString::to_string).collect();
        assert_eq!(messages, refusal.errors, "{}", refusal.rule);
    }
}

#[test]
fn an_endpoint_hidden_by_an_earlier_one_is_a_warning() {
    let policy = r#"{"endpoints": [
        {"name": "writes", "route": "/", "methods": ["POST", "PUT"], "traffic": {"a": 1}},
        {"name": "rank", "route": "/rank/", "traffic": {"a": 1}},
        {"name": "ranking", "route": "/ranking", "traffic": {"a": 1}},
        {"name": "top", "route": "/rank/top", "methods": ["GET"], "traffic": {"a": 1}},
        {"name": "posts", "route": "/x", "methods": ["POST"], "traffic": {"a": 1}},
        {"name": "both", "route": "/x", "methods": ["POST", "GET"], "traffic": {"a": 1}}
    ]}"#;
    assert_eq!(
        warnings(policy),
        [
            r#"endpoints[3]: no request reaches "top": endpoints[1] takes them all; put the more specific one first"#,
            r#"endpoints[4]: no request reaches "posts": endpoints[0] takes them all; put the more specific one first"#,
        ]
    );
}

#[test]
fn a_header_of_the_policy_that_others_need_is_a_warning() {
    let policy = r#"{
        "routing_header": "X-User", "request_header": "X-Envoy-Retry-On", "response_header": "Location",
        "endpoints": [
            {"name": "a", "route": "/a", "traffic": {"a": 1}, "affinity": {"keys": [{"header": "x-user"}]},
             "shadow": {"s": {"fraction": 0, "via": "mirror", "mirror_header": "authorization"},
                        "t": {"fraction": 0, "via": "mirror", "mirror_header": "x-serve-shard-key"}}},
            {"name": "b", "traffic": {"a": 1},
             "shadow": {"s": {"fraction": 0.5, "via": "mirror", "mirror_header": "authorization"}}}
        ]}"#;
    assert_eq!(
        warnings(policy),
        [
            r#"routing_header: "x-user" has the shard key, which is replaced; choose a header of its own"#,
            r#"request_header: "x-envoy-retry-on" has a meaning of its own, and its value is replaced; choose a header of its own"#,
            r#"endpoints[0].shadow.s.mirror_header: "authorization" has a meaning of its own, and its value is replaced; choose a header of its own"#,
            r#"endpoints[0].shadow.t.mirror_header: "x-serve-shard-key" has the shard key, which is replaced; choose a header of its own"#,
            r#"response_header: "location" has a meaning of its own, and its value is replaced; choose a header of its own"#,
        ]
    );
    let without_key = r#"{"request_header": "x-user", "response_header": "authorization", "endpoints": [
        {"name": "a", "traffic": {"a": 1}, "affinity": {"keys": [{"cookie": "x-user"}]}}]}"#;
    assert_eq!(warnings(without_key), Vec::<String>::new());
}

#[test]
fn another_header_with_the_default_name_of_the_mirror_header_is_a_warning() {
    for field in ["routing_header", "request_header"] {
        let policy = format!(r#"{{"{field}": "x-traffic-mirror", "endpoints": []}}"#);
        let expected = format!(
            "{field}: a route that mirrors by this header, the default of `mirror_header`, would copy every request; \
             choose a header of its own"
        );
        assert_eq!(warnings(&policy), [expected]);
    }
}

/// The warnings about a valid policy, in words.
fn warnings(policy: &str) -> Vec<String> {
    let parsed = Policy::from_json(policy.as_bytes()).unwrap_or_else(|errors| panic!("{errors}"));
    parsed.warnings.iter().map(ToString::to_string).collect()
}
