//! Unquoted keys and values in a policy that Kubernetes reads differently.

use std::collections::HashSet;

use serde_json::Value;
use yaml_edit::YamlNode;

use super::embedded::value_at;
use super::plain::{Reading, is_unclear, read};
use policy::{Finding, Kind, Place, Severity, Step};

/// The errors about `node`, a part of a YAML document that is the policy `value`.
pub fn errors(node: &YamlNode, value: &Value) -> Vec<Finding> {
    let mut errors = Vec::new();
    collect(node, value, &mut Vec::new(), &mut errors);
    errors
}

fn collect(node: &YamlNode, policy: &Value, steps: &mut Vec<Step>, errors: &mut Vec<Finding>) {
    if let Some(mapping) = node.as_mapping() {
        let mut known = HashSet::new();
        for entry in mapping.entries() {
            let Some(YamlNode::Scalar(key)) = entry.key_node() else { continue };
            let name = key.as_string();
            steps.push(Step::Member(name.clone()));
            if key.is_quoted() || name == "<<" {
                // Quotes leave nothing to interpret, and a merge key is none.
            } else if let Some((problem, remedy)) = of_key(&name) {
                errors.push(error(Kind::Invalid, steps, problem, remedy));
            }
            if name != "<<" && !known.insert(name.clone()) {
                let problem = format!("the key {name:?} stands twice");
                errors.push(error(Kind::Duplicate, steps, problem, "keep one of them".to_owned()));
            }
            if let Some(value) = entry.value_node() {
                collect(&value, policy, steps, errors);
            }
            steps.pop();
        }
    }
    if let Some(list) = node.as_sequence() {
        for (n, value) in list.values().enumerate() {
            steps.push(Step::Element(n));
            collect(&value, policy, steps, errors);
            steps.pop();
        }
    }
    if let YamlNode::Scalar(scalar) = node
        && !scalar.is_quoted()
        && !scalar.is_block()
        && let Some(here) = value_at(policy, steps)
        && let Some((problem, remedy)) = of_value(&scalar.as_string(), here)
    {
        errors.push(error(Kind::Invalid, steps, problem, remedy));
    }
}

fn error(kind: Kind, steps: &[Step], problem: String, remedy: String) -> Finding {
    Finding { severity: Severity::Error, kind, place: Place::from(steps.to_vec()), problem, remedy }
}

/// Whether a key needs quotes, so that everything reads it as it is written.
pub fn needs_quotes(key: &str) -> bool {
    of_key(key).is_some()
}

/// Problem and remedy of an unquoted key, unless everything reads it as it is written.
fn of_key(key: &str) -> Option<(String, String)> {
    let remedy = format!("quote it: {key:?}");
    let reading = read(key);
    let there = match &reading {
        Reading::Null => None,
        Reading::Bool(value) => Some(value.to_string()),
        Reading::Integer(value) => Some(value.to_string()),
        Reading::Float(value) => Some(float_key(*value)),
        Reading::Text => Some(key.to_owned()),
    };
    match there {
        Some(there) if there == key => is_unclear(key).then(|| (unclear(key), remedy)),
        Some(there) => Some((format!("Kubernetes reads the key {key} as {there:?}"), remedy)),
        None => Some((format!("Kubernetes refuses the key {key}, which is null"), remedy)),
    }
}

/// Problem and remedy of an unquoted value, unless everything reads it as `here`.
fn of_value(text: &str, here: &Value) -> Option<(String, String)> {
    let reading = read(text);
    let is_same = match (&reading, here) {
        (Reading::Null, Value::Null) | (Reading::Text, Value::String(_)) => true,
        (Reading::Bool(there), Value::Bool(here)) => there == here,
        (Reading::Integer(there), Value::Number(here)) => here.as_i64() == Some(*there),
        (Reading::Float(there), Value::Number(here)) => here.as_f64() == Some(*there),
        _ => false,
    };
    let shown = here.as_f64().map_or_else(|| here.to_string(), |number| number.to_string());
    let remedy = match here {
        Value::String(_) | Value::Null => format!("quote it: {text:?}"),
        Value::Bool(value) => format!("write {value}, or quote it: {text:?}"),
        _ => format!("write {shown} if this is a number, or quote it: {text:?}"),
    };
    if is_same {
        return is_unclear(text).then(|| (unclear(text), remedy));
    }
    let there = match reading {
        Reading::Null => "null".to_owned(),
        Reading::Bool(value) => value.to_string(),
        Reading::Integer(value) => value.to_string(),
        Reading::Float(value) => value.to_string(),
        Reading::Text => format!("the string {text:?}"),
    };
    Some((format!("Kubernetes reads {text} as {there}, and YAML 1.2 reads it as {shown}"), remedy))
}

fn unclear(text: &str) -> String {
    format!("readers of YAML disagree about {text}")
}

/// A float as the key of a JSON object, as `sigs.k8s.io/yaml` writes it.
#[expect(clippy::cast_possible_truncation, reason = "that is how it writes them: with 32 bits")]
fn float_key(value: f64) -> String {
    let value = value as f32;
    if value == 0.0 || (1e-4..1e6).contains(&value.abs()) {
        return value.to_string();
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
    format!("{mantissa}e{sign}{digits:0>2}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_key_is_read_as_kubernetes_reads_it() {
        for (key, expected) in [
            ("model-v1", None),
            ("1", None),
            ("-1", None),
            ("1.5", None),
            ("true", None),
            ("1.1.0", None),
            ("v1.10", None),
            ("10.0.0.1", None),
            ("nope", None),
            ("2026-models", None),
            ("1.10", Some("Kubernetes reads the key 1.10 as \"1.1\"")),
            ("1.0", Some("Kubernetes reads the key 1.0 as \"1\"")),
            ("on", Some("Kubernetes reads the key on as \"true\"")),
            ("Off", Some("Kubernetes reads the key Off as \"false\"")),
            ("y", Some("Kubernetes reads the key y as \"true\"")),
            ("n", Some("Kubernetes reads the key n as \"false\"")),
            ("True", Some("Kubernetes reads the key True as \"true\"")),
            ("~", Some("Kubernetes refuses the key ~, which is null")),
            ("null", Some("Kubernetes refuses the key null, which is null")),
            ("007", Some("Kubernetes reads the key 007 as \"7\"")),
            ("010", Some("Kubernetes reads the key 010 as \"8\"")),
            ("08", Some("Kubernetes reads the key 08 as \"8\"")),
            ("0x1F", Some("Kubernetes reads the key 0x1F as \"31\"")),
            ("0b11", Some("Kubernetes reads the key 0b11 as \"3\"")),
            ("1_000", Some("Kubernetes reads the key 1_000 as \"1000\"")),
            ("1e3", Some("Kubernetes reads the key 1e3 as \"1000\"")),
            ("12345678.5", Some("Kubernetes reads the key 12345678.5 as \"1.2345678e+07\"")),
            ("0.123456789", Some("Kubernetes reads the key 0.123456789 as \"0.12345679\"")),
            ("+1", Some("Kubernetes reads the key +1 as \"1\"")),
            (".5", Some("Kubernetes reads the key .5 as \"0.5\"")),
            ("12:30:45", Some("readers of YAML disagree about 12:30:45")),
            ("2026-01-31", Some("readers of YAML disagree about 2026-01-31")),
        ] {
            assert_eq!(of_key(key).map(|(problem, _)| problem).as_deref(), expected, "{key}");
        }
    }

    #[test]
    fn a_value_is_wrong_if_two_readers_disagree() {
        for (text, here, is_wrong) in [
            ("0.9", json!(0.9), false),
            (".5", json!(0.5), false),
            ("-1", json!(-1), false),
            ("500", json!(500), false),
            ("0x10", json!(16), false),
            ("1.5e+3", json!(1500.0), false),
            ("true", json!(true), false),
            ("~", json!(null), false),
            ("v1", json!("v1"), false),
            ("/rank", json!("/rank"), false),
            ("10.0.0.0/8", json!("10.0.0.0/8"), false),
            ("fd00::1", json!("fd00::1"), false),
            ("0500", json!(500), true),
            ("0o500", json!(320), true),
            ("1_000", json!("1_000"), true),
            ("1e3", json!(1000.0), true),
            ("on", json!("on"), true),
            ("on", json!(true), true),
            ("True", json!(true), false),
            ("no", json!("no"), true),
            ("y", json!("y"), true),
            ("12:30", json!("12:30"), true),
            ("2026-01-31", json!("2026-01-31"), true),
            ("2026-01-31T10:00:00Z", json!("2026-01-31T10:00:00Z"), true),
        ] {
            let found = of_value(text, &here);
            assert_eq!(found.is_some(), is_wrong, "{text}: {found:?}");
            assert!(found.is_none_or(|(_, remedy)| remedy.contains("quote it")), "{text}");
        }
    }
}
