//! The ranges and defaults in the field tables, against the schema, the limits and the filter itself.

use policy::limits::{self, Range};
use serde_json::{Value, json};

use super::super::assert_none;
use super::{Field, fields};

impl Field<'_> {
    fn takes(&self, value: impl Into<Value>) -> bool {
        self.template.takes(&self.name, value.into(), &self.one_of)
    }

    fn is_string(&self) -> bool {
        self.schema["type"] == "string"
    }

    /// The bounds at the start of the range: `1 to 64 characters`.
    fn bounds(&self) -> Option<(f64, f64)> {
        let mut words = self.range.split(' ');
        let mut number = || words.next()?.replace(',', "").parse::<f64>().ok();
        let min = number()?;
        let max = self.range.split(' ').nth(2)?.replace(',', "").parse().ok()?;
        (self.range.split(' ').nth(1) == Some("to")).then_some((min, max))
    }

    /// A value of this size: a number, or a string of so many characters.
    fn sized(&self, size: f64) -> Value {
        let count = || size.to_string().parse().unwrap();
        if self.is_string() { json!("a".repeat(count())) } else { json!(size) }
    }
}

#[test]
fn a_field_that_is_absent_has_its_default() {
    let (mut wrong, mut count) = (Vec::new(), 0);
    for field in fields() {
        let code = field.default.split('`').nth(1).filter(|_| field.default.starts_with('`'));
        // In the schema it is the last sentence of a description.
        let words = field.schema["description"].as_str().unwrap_or_default().replace('\n', " ");
        if let Some((_, default)) = words.split_once("Default: ") {
            let of_schema = default.split('`').nth(1).filter(|_| default.starts_with('`'));
            let bare = code.map(|code| code.trim_matches('"'));
            if of_schema.is_some() && of_schema != bare {
                wrong.push(field.at(&format!("{} here, {default:?} in the schema", field.default)));
            }
        }
        let Some(code) = code else { continue };
        count += 1;
        match serde_json::from_str(code) {
            Err(error) => wrong.push(field.at(&format!("{code}: {error}"))),
            Ok(default) => match field.template.with(&field.name, default, &field.one_of) {
                Err(errors) => wrong.push(field.at(&errors)),
                Ok(policy) if policy != field.template.without() => {
                    wrong.push(field.at(&format!("without it the policy is another than with {code}")));
                }
                Ok(_) => (),
            },
        }
    }
    assert!(count > 15, "{count} defaults");
    assert_none(wrong);
}

#[test]
fn the_filter_takes_what_is_in_the_range_and_nothing_else() {
    let (mut wrong, mut count) = (Vec::new(), 0);
    for field in fields() {
        let mut expect = |value: Value, is_taken: bool| {
            count += 1;
            if field.takes(value.clone()) != is_taken {
                let verdict = if is_taken { "refuses" } else { "takes" };
                let value: String = value.to_string().chars().take(40).collect();
                wrong.push(field.at(&format!("{}, but the filter {verdict} {value}", field.range)));
            }
        };
        if let Some((min, max)) = field.bounds() {
            let step = if field.is_string() || max > 1.0 { 1.0 } else { 0.001 };
            expect(field.sized(min), true);
            expect(field.sized(max), true);
            expect(field.sized(max + step), false);
            if min > 0.0 || !field.is_string() {
                expect(field.sized(min - step), false);
            }
        }
        if field.range == "above 0" {
            expect(json!(0), false);
            expect(json!(0.001), true);
        }
        if field.range.starts_with("at least one") {
            expect(if field.schema["type"] == "object" { json!({}) } else { json!([]) }, false);
        }
        if field.range == "starts with `/`" {
            expect(json!("/x"), true);
            expect(json!("x"), false);
        }
    }
    assert!(count > 70, "{count} values");
    assert_none(wrong);
}

#[test]
fn ranges_agree_with_the_schema_and_the_limits() {
    let mut wrong = Vec::new();
    for field in fields() {
        let quoted = |value: &Value| format!("`{value}`");
        let values: Vec<_> = match &field.schema["oneOf"] {
            Value::Array(values) => values.iter().filter_map(|value| value.get("const")).map(quoted).collect(),
            _ if field.schema["const"] == true => vec![quoted(&json!(true))],
            _ if field.schema["type"] == "boolean" => vec![quoted(&json!(true)), quoted(&json!(false))],
            _ => Vec::new(),
        };
        if !values.is_empty() && values.join(", ") != field.range {
            wrong.push(field.at(&format!("{} in the schema", values.join(", "))));
        }
        if (field.schema["pattern"] == "^/") != field.range.contains("starts with `/`") {
            wrong.push(field.at(&format!("{}; the schema's pattern is {}", field.range, field.schema["pattern"])));
        }
        if field.schema["minItems"] == 1 && !field.range.contains("at least one") {
            wrong.push(field.at("at least one in the schema"));
        }
        let (min, max) = field.bounds().unzip();
        for (limit, bound) in [("minimum", min), ("maximum", max)] {
            let Some(bound) = bound else { continue };
            let is_narrower = |general: f64| if limit == "minimum" { general > bound } else { general < bound };
            let own = field.written[limit].as_f64();
            let general = field.schema[limit].as_f64();
            if own.is_some_and(|own| own != bound) || own.is_none() && general.is_some_and(is_narrower) {
                wrong.push(field.at(&format!("{limit} {own:?} or {general:?} in the schema, {bound} here")));
            }
        }
    }
    for (name, Range { min, max, default }) in [
        ("timeout_ms", limits::TIMEOUT_MS),
        ("max_body_bytes", limits::MAX_BODY_BYTES),
        ("max_in_flight", limits::MAX_IN_FLIGHT),
        ("max_age_s", limits::MAX_AGE_S),
    ] {
        let field = fields().into_iter().find(|field| field.name == name).unwrap();
        let default = default.map_or_else(|| "until the browser closes".to_owned(), |default| format!("`{default}`"));
        if field.bounds() != Some((min as f64, max as f64)) || !field.default.starts_with(&default) {
            wrong.push(field.at(&format!("{min} to {max}, by default {default}")));
        }
    }
    assert_none(wrong);
}
