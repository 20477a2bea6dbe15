//! `schema`: the shipped file is current, and the schema agrees with the filter.

use serde_json::Value;
use testbed::{cases, project};

use super::Desk;

fn schema() -> Value {
    serde_json::from_str(&Desk::with("unused", "").ok("schema")).unwrap()
}

#[test]
fn the_shipped_schema_is_current() {
    let file = project().join("envoy/policy.schema.json");
    let current = Desk::with("unused", "").ok("schema");
    let shipped = std::fs::read_to_string(file).unwrap_or_default();
    assert!(shipped == current, "not current: run `trafficctl schema > envoy/policy.schema.json`");
}

#[test]
fn each_field_has_a_description() {
    fn check(schema: &Value, place: &str) {
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            assert!(property["description"].as_str().is_some_and(|words| words.len() > 8), "{place}.{name}");
        }
        for (name, definition) in schema["$defs"].as_object().into_iter().flatten() {
            check(definition, name);
        }
    }
    check(&schema(), "policy");
}

#[test]
fn policies_that_the_filter_accepts_are_valid() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let mut count = 0;
    for table in cases::tables().unwrap() {
        let errors: Vec<_> = validator.iter_errors(&table.policy).map(|error| error.to_string()).collect();
        assert_eq!(errors, Vec::<String>::new(), "{}", table.file);
        count += 1;
    }
    assert!(count > 10);
}

#[test]
fn a_policy_of_a_wrong_shape_is_not_valid() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let (mut refused, mut accepted) = (0, 0);
    for refusal in cases::refusals().unwrap() {
        let Ok(policy) = serde_json::from_str(&refusal.text()) else { continue };
        let is_valid = validator.is_valid(&policy);
        let is_shape = refusal.errors.iter().any(|error| {
            ["unknown field", "there is no \"", ": this is ", "is not known", "there must be one "]
                .iter()
                .any(|words| error.contains(words))
        });
        assert!(!(is_shape && is_valid), "{}: {}", refusal.rule, refusal.text());
        if is_valid { accepted += 1 } else { refused += 1 }
    }
    // The others have the right shape and wrong values: sums, names, networks.
    assert!(refused > accepted, "{refused} refused, {accepted} accepted");
}
