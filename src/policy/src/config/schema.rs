//! The JSON Schema of the document, made from its types, for editors.
//!
//! It describes the shape. Only the compiler judges sums of shares, names and regexes.

use std::borrow::Cow;

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::{
    AffinityConfig, AffinityFields, Fraction, MatchConfig, MatchFields, PolicyConfig, Rate, ShadowConfig, ShadowFields,
    Share, Whole,
};
use crate::named::Named;

/// The JSON Schema (draft 2020-12) of the policy, with descriptions.
pub fn schema() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = false);
    let mut schema = settings
        .with_transform(RecursiveTransform(without_null))
        .into_generator()
        .into_root_schema_for::<PolicyConfig>();
    schema.insert("title".to_owned(), "Traffic policy".into());
    schema.to_value()
}

/// The rule that exactly one of `fields` is present.
pub(super) fn one_of<const N: usize>(fields: [&str; N]) -> Value {
    fields.map(|field| json!({ "required": [field] })).into_iter().collect()
}

/// The names of the required fields among `fields`, each with its kind.
pub(super) fn required(fields: &[(&str, &'static str)]) -> Vec<&'static str> {
    fields.iter().filter(|(kind, _)| *kind == "required").map(|(_, name)| *name).collect()
}

/// Fields may be absent, but not `null`: an option's schema is that of its value. Only `affinity`
/// allows `null`, by a `const`.
fn without_null(schema: &mut Schema) {
    let Some(object) = schema.as_object_mut() else { return };
    if object.get("required").is_some_and(|names| names.as_array().is_some_and(Vec::is_empty)) {
        object.remove("required");
    }
    if object.get("default") == Some(&Value::Null) {
        object.remove("default");
    }
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            object.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(schemas)) = object.get_mut("anyOf") {
        schemas.retain(|schema| schema.get("type").is_none_or(|name| name != "null"));
        if let [Value::Object(only)] = schemas.as_slice() {
            let only = only.clone();
            object.remove("anyOf");
            object.extend(only);
        }
    }
}

/// Gives a type the schema that an expression makes with the generator.
macro_rules! schema_of {
    ($type:ty, $name:literal, $generator:ident => $schema:expr) => {
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn json_schema($generator: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    };
}

impl<V: JsonSchema> JsonSchema for Named<V> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("NamedOf{}", V::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "additionalProperties": generator.subschema_for::<V>() })
    }
}

schema_of!(Share, "Share", _generator => json_schema!({
    "description": "A share of the traffic: 0 to 1, or a percentage if all shares add up to 100.",
    "type": "number", "minimum": 0, "maximum": 100.001
}));

schema_of!(Fraction, "Fraction", _generator => json_schema!({
    "description": "A fraction of the requests.", "type": "number", "minimum": 0, "maximum": 1
}));

schema_of!(Rate, "Rate", _generator => json_schema!({
    "description": "Events per second.", "type": "number", "exclusiveMinimum": 0
}));

schema_of!(Whole, "Whole", _generator => json_schema!({ "type": "integer", "minimum": 0 }));

schema_of!(MatchConfig, "Match", generator => json_schema!({
    "description": "A match, or a list of matches, one of which must hold.",
    "anyOf": [
        generator.subschema_for::<MatchFields>(),
        { "type": "array", "items": generator.subschema_for::<MatchFields>(), "minItems": 1 }
    ]
}));

schema_of!(AffinityConfig, "Affinity", generator => json_schema!({
    "description": "Session affinity; `null` for no affinity.",
    "anyOf": [{ "const": null }, generator.subschema_for::<AffinityFields>()]
}));

schema_of!(ShadowConfig, "Shadow", generator => json_schema!({
    "description": "A fraction, or an object with options.",
    "anyOf": [generator.subschema_for::<Fraction>(), generator.subschema_for::<ShadowFields>()]
}));

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{MAX_AGE_S, MAX_BODY_BYTES, MAX_IN_FLIGHT, TIMEOUT_MS};

    #[test]
    fn a_description_states_the_limits_that_are_enforced() {
        let schema = schema();
        for (object, field, range) in [
            ("CookieFields", "max_age_s", MAX_AGE_S),
            ("ShadowFields", "timeout_ms", TIMEOUT_MS),
            ("ShadowFields", "max_body_bytes", MAX_BODY_BYTES),
            ("ShadowFields", "max_in_flight", MAX_IN_FLIGHT),
        ] {
            let field = &schema["$defs"][object]["properties"][field];
            assert_eq!((field["minimum"].as_u64(), field["maximum"].as_u64()), (Some(range.min), Some(range.max)));
            let description = field["description"].as_str().unwrap();
            assert!(description.contains(&format!("{} to {}", range.min, range.max)), "{description}");
            let default = range.default.map_or("Default: until".to_owned(), |default| format!("Default: {default}"));
            assert!(description.replace('\n', " ").contains(&default), "{description}");
        }
    }

    #[test]
    fn only_required_fields_are_required() {
        let schema = schema();
        assert_eq!(schema["required"], json!(["endpoints"]));
        assert_eq!(schema["$defs"]["EndpointConfig"]["required"], json!(["name", "traffic"]));
        assert_eq!(schema["$defs"]["CohortConfig"]["required"], json!(["name", "match", "traffic"]));
        assert_eq!(schema["$defs"]["AffinityFields"].get("required"), None);
    }
}
