//! Documents that repeat one element or two of them, made from the JSON Schema of the policy.

use std::collections::BTreeSet;

use anyhow::Context;
use serde_json::{Map, Value, json};

use crate::read;

/// The strings of the repeated elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strings {
    /// All equal, except for names that must differ.
    Equal,
    /// All different.
    Distinct,
    /// All different, with forty equal characters in front.
    CommonPrefix,
}

/// A kind of document that grows in one direction, or in two.
#[derive(Clone, Debug)]
pub struct Shape {
    schema: Value,
    /// The lists and maps with many elements, each as the steps to it: a name is a member, `[]` the
    /// elements of a list, `*` the values of a map.
    repeated: Vec<Vec<String>>,
    /// A value that each of the repeated elements has beside what it must have.
    with: Vec<String>,
    strings: Strings,
}

/// All shapes: each list and map of the policy with each value that its elements may have, and each
/// pair of lists and maps.
///
/// # Errors
/// When the schema can't be read.
pub fn all() -> anyhow::Result<Vec<Shape>> {
    let schema: Value = serde_json::from_str(&read("envoy/policy.schema.json")?).context("the schema")?;
    let mut places = Places::default();
    places.walk(&schema, &schema, &[]);
    let mut shapes = Vec::new();
    let mut add = |repeated: Vec<Vec<String>>, with: &[String], strings| {
        shapes.push(Shape { schema: schema.clone(), repeated, with: with.to_vec(), strings });
    };
    for (n, place) in places.repeated.iter().enumerate() {
        let inside = places.leaves.iter().filter(|leaf| leaf.starts_with(place));
        for leaf in inside.chain([place]) {
            for strings in [Strings::Equal, Strings::Distinct, Strings::CommonPrefix] {
                add(vec![place.clone()], leaf, strings);
            }
        }
        for other in places.repeated.iter().skip(n + 1) {
            add(vec![place.clone(), other.clone()], place, Strings::Distinct);
        }
    }
    // A value that an element can't have beside others makes no shape of its own.
    let mut known = BTreeSet::new();
    shapes.retain(|shape| known.insert(shape.with_count(2)));
    Ok(shapes)
}

/// The places of a schema.
#[derive(Default)]
struct Places {
    /// Lists and maps.
    repeated: Vec<Vec<String>>,
    /// Values that have no others inside.
    leaves: Vec<Vec<String>>,
}

impl Places {
    fn walk(&mut self, schema: &Value, node: &Value, place: &[String]) {
        let node = resolve(schema, node);
        let inside = |step: &str| [place, &[step.to_owned()]].concat();
        if let Some(alternatives) = node["anyOf"].as_array() {
            alternatives.iter().for_each(|node| self.walk(schema, node, place));
        } else if let Some(fields) = node["properties"].as_object() {
            fields.iter().for_each(|(name, node)| self.walk(schema, node, &inside(name)));
        } else if node["items"].is_object() {
            self.repeated.push(place.to_vec());
            self.walk(schema, &node["items"], &inside("[]"));
        } else if node["additionalProperties"].is_object() {
            self.repeated.push(place.to_vec());
            self.walk(schema, &node["additionalProperties"], &inside("*"));
        } else {
            self.leaves.push(place.to_vec());
        }
    }
}

fn resolve<'a>(schema: &'a Value, node: &'a Value) -> &'a Value {
    node["$ref"].as_str().and_then(|name| schema.pointer(name.trim_start_matches('#'))).unwrap_or(node)
}

impl Shape {
    /// What is repeated, and with what.
    pub fn name(&self) -> String {
        let place = |steps: &[String]| steps.join(" ");
        let repeated: Vec<_> = self.repeated.iter().map(|steps| place(steps)).collect();
        let with =
            if self.repeated.contains(&self.with) { String::new() } else { format!(", with {}", place(&self.with)) };
        format!("{}{with}, {:?}", repeated.join(" x "), self.strings)
    }

    /// How many lists and maps are long.
    pub fn repeats(&self) -> usize {
        self.repeated.len()
    }

    /// The strings of the repeated elements.
    pub fn strings(&self) -> Strings {
        self.strings
    }

    /// A document of about `bytes`.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small number, at least 1")]
    pub fn document(&self, bytes: usize) -> String {
        let length = |count: usize| self.with_count(count).len() as f64;
        let (few, many) = (length(8), length(32));
        let power = ((many / few).ln() / 4_f64.ln()).clamp(1.0, 3.0);
        let mut count = 32.0 * (bytes as f64 / many).powf(1.0 / power);
        // The first estimate is from small documents, in which what is not repeated weighs more.
        count *= (bytes as f64 / length(count.max(1.0) as usize)).powf(1.0 / power).min(4.0);
        self.with_count(count.max(1.0) as usize)
    }

    /// A document with `count` of each repeated element.
    pub fn with_count(&self, count: usize) -> String {
        self.value(&self.schema, &[], 0, count).to_string()
    }

    fn leads_to(&self, place: &[String]) -> bool {
        self.repeated.iter().chain([&self.with]).any(|wanted| wanted.starts_with(place))
    }

    fn value(&self, node: &Value, place: &[String], index: usize, count: usize) -> Value {
        let node = resolve(&self.schema, node);
        let inside =
            |node: &Value, step: &str, index| self.value(node, &[place, &[step.to_owned()]].concat(), index, count);
        let leads = |place: &[String], step: &str| self.leads_to(&[place, &[step.to_owned()]].concat());
        if let Some(alternatives) = node["anyOf"].as_array() {
            let resolved: Vec<&Value> = alternatives.iter().map(|node| resolve(&self.schema, node)).collect();
            let is_list = leads(place, "[]")
                || self.repeated.iter().any(|wanted| wanted == place)
                    && resolved.iter().any(|node| node["items"].is_object());
            let is_object = resolved.iter().any(|node| {
                node["properties"].as_object().is_some_and(|fields| fields.keys().any(|name| leads(place, name)))
            });
            let wanted = |node: &&&Value| {
                if is_list {
                    node["items"].is_object()
                } else if is_object {
                    node["properties"].is_object()
                } else {
                    !node["items"].is_object()
                }
            };
            let chosen = resolved.iter().find(wanted).copied().unwrap_or(&Value::Null);
            return self.value(&chosen.clone(), place, index, count);
        }
        if let Some(fields) = node["properties"].as_object() {
            let names = |list: &Value| {
                list.as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(|name| name.as_str().map(str::to_owned))
                    .collect::<Vec<_>>()
            };
            let mut wanted: Vec<String> = fields.keys().filter(|name| leads(place, name)).cloned().collect();
            wanted.extend(names(&node["required"]));
            let one_of: Vec<String> =
                node["oneOf"].as_array().into_iter().flatten().flat_map(|group| names(&group["required"])).collect();
            if !one_of.iter().any(|name| wanted.contains(name)) {
                wanted.extend(one_of.first().cloned());
            }
            let mut object = Map::new();
            for name in wanted {
                let value = inside(&fields[&name], &name, index);
                object.insert(name, value);
            }
            return object.into();
        }
        let (items, values) = (&node["items"], &node["additionalProperties"]);
        if items.is_object() || values.is_object() {
            let count = if self.repeated.iter().any(|wanted| wanted == place) { count } else { 1 };
            let numbers: Vec<usize> = if count == 1 { vec![index] } else { (0..count).collect() };
            if items.is_object() {
                return numbers.into_iter().map(|n| inside(items, "[]", n)).collect();
            }
            let key = |n: usize| if place_is(place, "set") { format!("x-{n}") } else { self.backend(n) };
            let keys: Vec<String> = numbers.iter().map(|n| key(*n)).collect();
            let is_traffic = place_is(place, "traffic");
            let value = |(key, n): (String, usize)| {
                (key, if is_traffic { json!(1.0 / count as f64) } else { inside(values, "*", n) })
            };
            return keys.into_iter().zip(numbers).map(value).collect::<Map<_, _>>().into();
        }
        self.leaf(node, place, index)
    }

    fn leaf(&self, node: &Value, place: &[String], index: usize) -> Value {
        let first = |pointer: &str| node.pointer(pointer).cloned().unwrap_or_default();
        match node["type"].as_str() {
            Some("boolean") => true.into(),
            Some("integer") => node["minimum"].as_u64().unwrap_or(1).max(1).into(),
            Some("number") => json!(0.5),
            Some("string") if node["enum"].is_array() => first("/enum/0"),
            Some("string") => self.string(place, index).into(),
            _ if node["oneOf"].is_array() => first("/oneOf/0/const"),
            _ => node["const"].clone(),
        }
    }

    fn string(&self, place: &[String], index: usize) -> String {
        let text = match self.strings {
            Strings::Equal => "a".to_owned(),
            Strings::Distinct => format!("a{index}"),
            Strings::CommonPrefix => format!("{}{index}", "a".repeat(40)),
        };
        let is = |name: &str| place_is(place, name);
        let under = |name: &str| place.iter().rev().nth(1).is_some_and(|step| step == name);
        match place {
            _ if is("name")
                && (place.len() == 3 || under("[]") && place.contains(&"cohorts".to_owned()) && place.len() == 5) =>
            {
                format!("e{index}")
            }
            _ if is("route") || under("path") => format!("/{text}"),
            _ if under("methods") => text.to_uppercase(),
            _ if under("hosts") => format!("{text}.example"),
            _ if under("source_ip") && self.strings != Strings::Equal => {
                format!("10.{}.{}.{}/32", index >> 16, index >> 8 & 255, index & 255)
            }
            _ if under("source_ip") => "10.0.0.0/8".to_owned(),
            _ if under("only_from") => self.backend(index),
            _ if is("path") => "/".to_owned(),
            _ => text,
        }
    }

    fn backend(&self, n: usize) -> String {
        match self.strings {
            Strings::CommonPrefix => format!("{}{n}", "b".repeat(40)),
            _ => format!("b{n}"),
        }
    }
}

fn place_is(place: &[String], name: &str) -> bool {
    place.last().is_some_and(|last| last == name)
}
