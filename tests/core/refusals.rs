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
    let warnings = Policy::from_json(policy.as_bytes()).unwrap().warnings;
    let warnings: Vec<_> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            r#"endpoints[3]: no request reaches "top": endpoints[1] takes them all; put the more specific one first"#,
            r#"endpoints[4]: no request reaches "posts": endpoints[0] takes them all; put the more specific one first"#,
        ]
    );
}
