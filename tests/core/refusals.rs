//! Policies that are refused, and policies that are accepted with a warning.

use policy::Policy;
use testbed::cases;
use testbed::request::TableRequest;

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

#[test]
fn shadows_of_one_variant_copy_the_same_requests() {
    let json = r#"{"backends": {"s": {"variant": "v"}, "t": {"variant": "v"}}, "endpoints": [
        {"name": "e", "traffic": {"a": 1}, "shadow": {"s": 0.5, "t": 0.5, "v": 0.5, "w": 0.5}}]}"#;
    let policy = Policy::from_json(json.as_bytes()).unwrap().policy;
    let shadows: Vec<_> = policy.shadows().map(|shadow| &shadow.entry.backend).collect();
    let variants: Vec<_> = shadows.iter().map(|backend| (&*backend.name, &*backend.variant)).collect();
    assert_eq!(variants, [("s", "v"), ("t", "v"), ("v", "v"), ("w", "w")]);
    let request = TableRequest::of_http("GET", Some(b"/".to_vec()), []);
    for draw in 0..1_000_u64 {
        let draw = draw.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let decision = policy.decide(&request, draw, || 0).unwrap();
        let copied = |name: &str| decision.shadows.iter().any(|shadow| *shadow.entry.backend.name == *name);
        assert!(copied("s") == copied("t") && copied("t") == copied("v"), "{draw}");
    }
}

#[test]
fn a_condition_that_can_never_hold_is_a_warning() {
    let no_parameter = "no parameter's value has a space, & or #; write them percent-encoded, as clients send them";
    let no_name = "no parameter's name has a space, &, = or #; write them percent-encoded, as clients send them";
    let no_space = "no value starts or ends with a space, which is no part of it; leave it out";
    let no_quotes = "no cookie's value has quotes: those around it are no part of it; leave them out";
    let no_semicolon = "no cookie's value has a ;, which ends it; name the next cookie in a condition of its own";
    for (matching, expected) in [
        (
            r#"{"path": {"prefix": "/api/*"}}"#,
            Some(r#"path.prefix: a * in "/api/*" stands for itself; leave it out: a prefix takes all paths under it"#),
        ),
        (
            r#"{"path": {"exact": "/api/*"}}"#,
            Some(
                r#"path.exact: a * in "/api/*" stands for itself; use a prefix, which takes all paths under it, or a regex"#,
            ),
        ),
        (
            r#"{"path": {"regex": "api/.*"}}"#,
            Some(
                r#"path.regex: "api/.*" takes no path: it must match all of it, and each starts with /; start it with / or .*"#,
            ),
        ),
        (
            r#"{"path": {"regex": "/api\\?v=2"}}"#,
            Some(
                r#"path.regex: "/api\\?v=2" asks for a ?, and the path ends before it; match the query string by `query`"#,
            ),
        ),
        (r#"{"path": {"regex": "a?/api"}}"#, None),
        (r#"{"path": {"regex": "/api|b"}}"#, None),
        (r#"{"query": [{"name": "q", "exact": "a b"}]}"#, Some(&format!("query[0].exact: {no_parameter}"))),
        (r#"{"query": [{"name": "q", "contains": "a&b"}]}"#, Some(&format!("query[0].contains: {no_parameter}"))),
        (r#"{"query": [{"name": "q=1", "present": true}]}"#, Some(&format!("query[0].name: {no_name}"))),
        (r#"{"query": [{"name": "q", "exact": "a%20b=c"}]}"#, None),
        (r#"{"headers": [{"name": "x-a", "exact": " a"}]}"#, Some(&format!("headers[0].exact: {no_space}"))),
        (r#"{"headers": [{"name": "x-a", "suffix": "a "}]}"#, Some(&format!("headers[0].suffix: {no_space}"))),
        (r#"{"headers": [{"name": "x-a", "prefix": "a "}]}"#, None),
        (r#"{"headers": [{"name": "x-a", "contains": " a "}]}"#, None),
        (
            r#"{"headers": [{"name": "x-a", "contains": "a\n"}]}"#,
            Some("headers[0].contains: no value has control characters; leave them out"),
        ),
        (r#"{"cookies": [{"name": "c", "exact": "\"a\""}]}"#, Some(&format!("cookies[0].exact: {no_quotes}"))),
        (r#"{"cookies": [{"name": "c", "contains": "a; b"}]}"#, Some(&format!("cookies[0].contains: {no_semicolon}"))),
        (r#"{"cookies": [{"name": "c", "exact": "a "}]}"#, Some(&format!("cookies[0].exact: {no_space}"))),
        (r#"{"cookies": [{"name": "c", "exact": "a,b c"}]}"#, None),
    ] {
        let policy = format!(r#"{{"endpoints": [{{"name": "e", "match": {matching}, "traffic": {{"a": 1}}}}]}}"#);
        let expected: Vec<_> = expected.map(|warning| format!("endpoints[0].match.{warning}")).into_iter().collect();
        assert_eq!(warnings(&policy), expected, "{matching}");
    }
}

#[test]
fn conditions_that_exclude_each_other_are_a_warning() {
    let excluded = "no request has this path and method and those that the endpoint takes; make them agree";
    for (endpoint, expected) in [
        (r#""route": "/a", "match": {"path": {"exact": "/b"}}"#, vec!["match"]),
        (r#""route": "/a", "match": {"path": {"prefix": "/a/b"}}"#, vec![]),
        (r#""methods": ["GET"], "match": {"methods": ["POST"]}"#, vec!["match"]),
        (r#""methods": ["GET", "PUT"], "match": {"methods": ["POST", "PUT"]}"#, vec![]),
        (r#""route": "/a", "match": [{"path": {"prefix": "/b"}}, {"path": {"prefix": "/a"}}]"#, vec!["match[0]"]),
        (
            r#""route": "/a", "cohorts": [{"name": "c", "match": {"path": {"prefix": "/b"}}, "traffic": {"a": 1}}]"#,
            vec!["cohorts[0].match"],
        ),
        (
            r#""match": [{"path": {"prefix": "/a"}}, {"methods": ["GET"]}],
               "cohorts": [{"name": "c", "match": {"path": {"prefix": "/b/c"}}, "traffic": {"a": 1}},
                           {"name": "d", "match": {"path": {"prefix": "/b"}, "methods": ["PUT"]}, "traffic": {"a": 1}}]"#,
            vec!["cohorts[1].match"],
        ),
    ] {
        let policy = format!(r#"{{"endpoints": [{{"name": "e", {endpoint}, "traffic": {{"a": 1}}}}]}}"#);
        let expected: Vec<_> = expected.iter().map(|place| format!("endpoints[0].{place}: {excluded}")).collect();
        assert_eq!(warnings(&policy), expected, "{endpoint}");
    }
}

#[test]
fn a_key_that_no_request_has_is_a_warning() {
    let policy = r#"{"endpoints": [{"name": "e", "traffic": {"a": 1},
        "affinity": {"keys": [{"query": "user"}, {"query": "a&b"}]}}]}"#;
    let expected = "endpoints[0].affinity.keys[1].query: no parameter's name has a space, &, = or #; write them \
                    percent-encoded, as clients send them";
    assert_eq!(warnings(policy), [expected]);
}

/// The warnings about a valid policy, in words.
fn warnings(policy: &str) -> Vec<String> {
    let parsed = Policy::from_json(policy.as_bytes()).unwrap_or_else(|errors| panic!("{errors}"));
    parsed.warnings.iter().map(ToString::to_string).collect()
}
