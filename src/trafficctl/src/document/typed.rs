//! The types of values in Envoy's configuration.

use serde_json::Value;

/// The type of an `Any`, or the type that a `TypedStruct` stands for.
pub fn type_of(value: &Value) -> &str {
    let of_typed_struct = value.get("type_url").and_then(Value::as_str);
    of_typed_struct.or_else(|| value.get("@type")?.as_str()).unwrap_or_default()
}
