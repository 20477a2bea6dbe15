//! Values in Envoy's configuration: protobuf's JSON with types.

use serde_json::Value;

/// The type of an `Any`, or the type that a `TypedStruct` stands for.
pub fn type_of(value: &Value) -> &str {
    let of_typed_struct = value.get("type_url").and_then(Value::as_str);
    of_typed_struct.or_else(|| value.get("@type")?.as_str()).unwrap_or_default()
}

/// The message itself, of an `Any` or a `TypedStruct`.
pub fn config_of(value: &Value) -> &Value {
    if value.get("type_url").is_some() { value.get("value").unwrap_or(value) } else { value }
}

/// A member of an object in protobuf's JSON, which takes two spellings of a name.
pub fn member<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    let members = value.as_object()?;
    members.get(name).or_else(|| members.iter().find(|(other, _)| snake_case(other) == name).map(|(_, value)| value))
}

/// A string member; empty if there is none.
pub fn string(value: &Value, name: &str) -> String {
    member(value, name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// `requestMirrorPolicies` as `request_mirror_policies`.
pub fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

/// The elements of a list member; none if there is no such list.
pub fn elements<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    member(value, name).and_then(Value::as_array).into_iter().flatten()
}
