//! Sections of a policy: parts that are checked apart, since each expression of Kubernetes has a
//! budget of its own.

use serde_json::{Map, Value};

use super::cel::{bind, has, member};
use super::check::{Check, operand};
use super::shape::{Shapes, each_of};

/// A part of a policy: a field of the policy, of each endpoint or of each cohort.
pub struct Section {
    /// Its name among the variables.
    pub name: String,
    /// The check of all of it.
    pub check: Check,
}

/// The expression for the policy.
pub const POLICY: &str = "variables.policy";

/// The sections of the policies of this schema, outer ones first.
pub fn sections(schema: &Value) -> Vec<Section> {
    let shapes = Shapes::new(schema);
    let mut sections = Vec::new();
    let whole = shapes.check(&without_parts(&shapes, schema), POLICY, 0);
    // No place leads to the whole policy, and a dot comes only before an inner field.
    let problem = "w == '' ? '' : w.startsWith('.') ? w.substring(1) : 'policy' + w";
    let problem = bind("w", &whole.problem, problem);
    sections.push(Section { name: "shape".to_owned(), check: Check { problem, ..whole } });
    add_parts(&shapes, schema, &[], &mut sections);
    sections
}

/// Adds the parts of the objects at a path of lists.
fn add_parts(shapes: &Shapes<'_>, object: &Value, path: &[&str], sections: &mut Vec<Section>) {
    let properties = object.get("properties").and_then(Value::as_object);
    for (name, schema) in properties.into_iter().flatten().filter(|(_, schema)| is_part(shapes, schema)) {
        let schema = shapes.resolve(schema);
        let items = schema.get("items").map(|items| shapes.resolve(items)).filter(|items| has_parts(shapes, items));
        let mut own = schema;
        if let (Some(items), Value::Object(members)) = (&items, &mut own) {
            members.insert("items".to_owned(), without_parts(shapes, items));
        }
        let object = path.len().checked_sub(1).map_or(POLICY.to_owned(), element);
        let check = shapes.check(&own, &member(&object, name), path.len());
        let dot = if path.is_empty() { "" } else { "." };
        let check = at(&format!("'{dot}{name}'"), check).only_if(&has(&object, name));
        sections.push(Section { name: [path, &[name.as_str()]].concat().join("_"), check: in_lists(path, check) });
        if let Some(items) = items {
            add_parts(shapes, &items, &[path, &[name.as_str()]].concat(), sections);
        }
    }
}

/// The name of the element of the list at this depth.
pub fn element(depth: usize) -> String {
    format!("x{depth}")
}

/// The check of every object at a path of lists, such as each cohort of each endpoint. An element
/// that is no object has been reported where it stands.
pub fn in_lists(path: &[&str], mut check: Check) -> Check {
    for (depth, name) in path.iter().enumerate().rev() {
        let outer = depth.checked_sub(1).map_or(POLICY.to_owned(), element);
        let (x, list) = (element(depth), member(&outer, name));
        let each = check.only_if(&format!("type({x}) == map"));
        let dot = if depth == 0 { "" } else { "." };
        check = each_of(&list, &each, &x, |n| format!("'{dot}{name}[' + string({n}) + ']'"))
            .only_if(&format!("{} && type({list}) == list", operand(&has(&outer, name))));
    }
    if !path.is_empty() {
        check = check.only_if(&format!("type({POLICY}) == map"));
    }
    check
}

/// The check with its problems at `place`, a string in CEL.
fn at(place: &str, check: Check) -> Check {
    let problem = bind("w", &check.problem, &format!("w == '' ? '' : {place} + w"));
    Check { problem, ..check }
}

/// Whether the values of a field are judged apart.
fn is_part(shapes: &Shapes<'_>, schema: &Value) -> bool {
    let schema = shapes.resolve(schema);
    let is_object = |schema: &Value| shapes.resolve(schema).get("type").is_some_and(|kind| kind == "object");
    is_object(&schema)
        || schema.get("items").is_some_and(is_object)
        || schema.get("anyOf").and_then(Value::as_array).is_some_and(|schemas| schemas.iter().any(is_object))
}

fn has_parts(shapes: &Shapes<'_>, object: &Value) -> bool {
    let properties = object.get("properties").and_then(Value::as_object);
    properties.is_some_and(|properties| properties.values().any(|schema| is_part(shapes, schema)))
}

/// The schema of an object, whose parts are judged elsewhere.
fn without_parts(shapes: &Shapes<'_>, object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(properties) = object.get_mut("properties").and_then(Value::as_object_mut) {
        let judged: Map<String, Value> = std::mem::take(properties);
        *properties = judged
            .into_iter()
            .map(|(name, schema)| if is_part(shapes, &schema) { (name, Value::Bool(true)) } else { (name, schema) })
            .collect();
    }
    object
}
