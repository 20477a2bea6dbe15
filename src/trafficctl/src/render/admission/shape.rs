//! The walk through the JSON Schema: from each schema to the check of its values.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::cel::{bind, double, has, is_one_of, place_of_member, string, strings};
use super::check::{Check, operand};

/// A JSON Schema, as far as policies need it.
pub struct Shapes<'a> {
    root: &'a Value,
}

impl<'a> Shapes<'a> {
    /// The schema with its definitions.
    pub fn new(root: &'a Value) -> Self {
        Self { root }
    }

    /// The schema that a reference leads to, with the members that stand beside the reference.
    pub fn resolve(&self, schema: &Value) -> Value {
        let Some(target) = schema.get("$ref").and_then(Value::as_str) else { return schema.clone() };
        let target = target.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer));
        let mut resolved = self.resolve(target.unwrap_or(&Value::Bool(true)));
        if let (Value::Object(resolved), Value::Object(beside)) = (&mut resolved, schema) {
            resolved.extend(beside.iter().filter(|(name, _)| *name != "$ref").map(|(n, v)| (n.clone(), v.clone())));
        }
        resolved
    }

    /// The check that the value of the expression `value` has this schema. `depth` is the number of
    /// enclosing loops.
    pub fn check(&self, schema: &Value, value: &str, depth: usize) -> Check {
        let schema = self.resolve(schema);
        let Some(members) = schema.as_object() else { return Check::nothing() };
        if members.contains_key("const") {
            constant(members, value)
        } else if let Some(names) = self.constants(members) {
            let remedy = format!(" is not known; expected one of {}", names.join(", "));
            let words = format!("': ' + (type({value}) == string ? strings.quote({value}) : 'this')");
            Check::new(is_one_of(value, &names), format!("{words} + {}", string(&remedy)))
        } else if let Some(alternatives) = members.get("anyOf").and_then(Value::as_array) {
            self.any_of(alternatives, value, depth)
        } else {
            match kind(members) {
                "object" => self.object(members, value, depth),
                "array" => self.array(members, value, depth),
                "string" => Check::all([of_type("string", value), text(members, value)]),
                "boolean" => of_type("boolean", value),
                kind @ ("number" | "integer") => Check::all([of_type(kind, value), range(members, value)]),
                _ => Check::nothing(),
            }
        }
    }

    /// The strings of a choice among constants.
    fn constants(&self, members: &Map<String, Value>) -> Option<Vec<String>> {
        let alternatives = members.get("oneOf")?.as_array()?;
        alternatives.iter().map(|schema| Some(self.resolve(schema).get("const")?.as_str()?.to_owned())).collect()
    }

    fn any_of(&self, alternatives: &[Value], value: &str, depth: usize) -> Check {
        let resolved: Vec<Value> = alternatives.iter().map(|schema| self.resolve(schema)).collect();
        if let [one, many] = resolved.as_slice()
            && many.get("items").is_some_and(|items| self.resolve(items) == *one)
        {
            return self.one_or_many(one, many, value, depth);
        }
        let mut holds = "false".to_owned();
        let mut problem = format!("': expected {}'", expected_any(&resolved));
        for schema in resolved.iter().rev() {
            let check = self.check(schema, value, depth);
            let is_kind = is_kind(schema, value);
            holds = format!("{is_kind} ? {} : {holds}", operand(&check.holds));
            problem = format!("{is_kind} ? {} : {problem}", operand(&check.problem));
        }
        Check { holds, problem }
    }

    /// A value, or a list of such values.
    fn one_or_many(&self, one: &Value, many: &Value, value: &str, depth: usize) -> Check {
        let all = format!("(type({value}) == list ? {value} : [{value}])");
        let expected = format!("': expected {}'", expected_any(&[one.clone(), many.clone()]));
        let is_either = Check::new(format!("type({value}) == map || type({value}) == list"), expected);
        let list = many.as_object().map_or_else(Check::nothing, |many| count(many, value, "a list"));
        let list = list.only_if(&format!("type({value}) == list"));
        let x = format!("x{depth}");
        let each = self.check(one, &x, depth + 1);
        let place = |n: &str| format!("(type({value}) == list ? '[' + string({n}) + ']' : '')");
        Check::all([is_either, list, each_of(&all, &each, &x, place)])
    }

    fn array(&self, members: &Map<String, Value>, value: &str, depth: usize) -> Check {
        let x = format!("x{depth}");
        let each = members.get("items").map_or_else(Check::nothing, |items| self.check(items, &x, depth + 1));
        let place = |n: &str| format!("'[' + string({n}) + ']'");
        let elements = if each.is_nothing() { Check::nothing() } else { each_of(value, &each, &x, place) };
        Check::all([of_type("array", value), count(members, value, "a list"), elements])
    }

    fn object(&self, members: &Map<String, Value>, value: &str, depth: usize) -> Check {
        let key = format!("k{depth}");
        let of_key = match members.get("properties").and_then(Value::as_object) {
            Some(properties) => self.fields(properties, value, &key, depth),
            None => {
                let name = members
                    .get("propertyNames")
                    .map_or_else(Check::nothing, |names| self.check(names, &key, depth + 1));
                let of_value = members
                    .get("additionalProperties")
                    .map_or_else(Check::nothing, |schema| self.check(schema, &format!("{value}[{key}]"), depth + 1));
                name.then(of_value)
            }
        };
        let required =
            members.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        let required =
            required.map(|name| Check::new(has(value, name), string(&format!(": \"{name}\" is missing; add it"))));
        let one_of = members.get("oneOf").and_then(Value::as_array).map(|schemas| exactly_one(members, schemas, value));
        let others: Vec<Check> = required.chain(one_of).collect();
        // The members come first: a field that is misspelt is not just missing.
        let mut holds = format!("{value}.all({key}, {})", of_key.holds);
        let mut problems = format!(
            "{value}.map({key}, [{key}, dyn({})]).filter(p, p[1] != '').map(p, {} + p[1])",
            of_key.problem,
            place_of_member("p[0]")
        );
        for Check { holds: other, problem } in &others {
            holds.push_str(&format!(" && {}", operand(other)));
            problems.push_str(&format!(" + [{problem}]"));
        }
        let problem = format!("({problems}).filter(w, w != '')");
        let members_are_right = Check { holds, problem: first(&problem) };
        let shape = members_are_right.then(Check::all(rules(members, value).collect::<Vec<_>>()));
        of_type("object", value).then(count(members, value, "an object")).then(shape)
    }

    /// The fields of an object. Those with the same schema are checked together.
    fn fields(&self, properties: &Map<String, Value>, object: &str, key: &str, depth: usize) -> Check {
        let mut groups: Vec<(Value, Vec<&str>)> = Vec::new();
        for (name, schema) in properties {
            let schema = without_descriptions(&self.resolve(schema));
            match groups.iter_mut().find(|(other, _)| *other == schema) {
                Some((_, names)) => names.push(name),
                None => groups.push((schema, vec![name])),
            }
        }
        let names: Vec<&str> = properties.keys().map(String::as_str).collect();
        let expected = match names.as_slice() {
            [only] => format!("expected \"{only}\""),
            _ => format!("expected one of {}", names.join(", ")),
        };
        let mut holds = "false".to_owned();
        let mut problem = format!("': unknown field ' + strings.quote({key}) + {}", string(&format!("; {expected}")));
        for (schema, names) in groups.iter().rev() {
            // The member of a group of one has a name that can be written out.
            let value = format!("{object}[{key}]");
            let check = self.check(schema, &value, depth + 1);
            let is_named = is_one_of(key, names);
            holds = format!("{is_named} ? {} : {holds}", operand(&check.holds));
            problem = format!("{is_named} ? {} : {problem}", operand(&check.problem));
        }
        Check { holds, problem }
    }
}

/// The rules about an object whose members are right.
fn rules(members: &Map<String, Value>, value: &str) -> impl Iterator<Item = Check> {
    let rules = members.get("x-rules").and_then(Value::as_array).into_iter().flatten();
    rules.filter_map(move |rule| {
        let part = |name| Some(rule.get(name)?.as_str()?.replace("{v}", value));
        Some(Check::new(part("holds")?, part("words")?))
    })
}

/// The check of each element of the list `all`, which `x` stands for. `place` is that of the element
/// whose number an expression has.
pub fn each_of(all: &str, each: &Check, x: &str, place: impl Fn(&str) -> String) -> Check {
    let problem = format!("w.filter(v, v != '').map(v, {} + v)", place("w.indexOf(v)"));
    Check {
        holds: format!("{all}.all({x}, {})", each.holds),
        problem: bind("w", &format!("{all}.map({x}, {})", each.problem), &first(&problem)),
    }
}

/// The first string of a list, or an empty one.
fn first(list: &str) -> String {
    format!("({list} + [''])[0]")
}

fn constant(members: &Map<String, Value>, value: &str) -> Check {
    let (literal, expected) = match members.get("const") {
        Some(Value::Bool(expected)) => (expected.to_string(), expected.to_string()),
        Some(Value::String(expected)) => (string(expected), format!("\"{expected}\"")),
        _ => ("null".to_owned(), "null".to_owned()),
    };
    Check::new(format!("{value} == {literal}"), string(&format!(": expected {expected}")))
}

/// The schema's type, or that of its alternatives.
fn kind(members: &Map<String, Value>) -> &str {
    members.get("type").and_then(Value::as_str).unwrap_or_default()
}

/// Whether the type of `value` is that of the schema.
fn is_kind(schema: &Value, value: &str) -> String {
    match schema.get("const") {
        Some(Value::Null) => format!("{value} == null"),
        _ => has_type(schema.as_object().map_or("", kind), value),
    }
}

fn has_type(kind: &str, value: &str) -> String {
    match kind {
        "object" => format!("type({value}) == map"),
        "array" => format!("type({value}) == list"),
        "string" => format!("type({value}) == string"),
        "boolean" => format!("type({value}) == bool"),
        "number" => format!("(type({value}) == int || type({value}) == double)"),
        // JSON's 500.0 is whole, too. Above 2^53 a double says nothing about whole numbers.
        "integer" => format!(
            "(type({value}) == int || type({value}) == double && {value} > -9.0e15 && {value} < 9.0e15 \
             && double(int({value})) == {value})"
        ),
        _ => "true".to_owned(),
    }
}

fn of_type(kind: &str, value: &str) -> Check {
    Check::new(has_type(kind, value), string(&format!(": expected {}", expected(kind))))
}

fn expected(kind: &str) -> &'static str {
    match kind {
        "object" => "an object",
        "array" => "a list",
        "string" => "a string",
        "boolean" => "a boolean",
        "number" => "a number, not in quotes",
        "integer" => "a whole number, not in quotes",
        _ => "null",
    }
}

/// What is expected where several types are right.
fn expected_any(schemas: &[Value]) -> String {
    let kinds = schemas.iter().filter(|schema| schema.get("const").is_none());
    let kinds: Vec<Cow<'_, str>> =
        kinds.filter_map(Value::as_object).map(|members| expected(kind(members)).into()).collect();
    kinds.join(" or ")
}

fn text(members: &Map<String, Value>, value: &str) -> Check {
    let bytes = |name: &str| members.get(name).and_then(Value::as_u64);
    let shortest =
        bytes("minLength").map(|min| Check::new(format!("size({value}) >= {min}"), string(": the string is empty")));
    let longest = bytes("maxLength").map(|max| {
        let words = format!("': the string has ' + string(size({value})) + ' characters; use at most {max}'");
        Check::new(format!("size({value}) <= {max}"), words)
    });
    let pattern = members.get("pattern").and_then(Value::as_str).map(|pattern| {
        let words = members
            .get("x-words")
            .and_then(Value::as_str)
            .map_or_else(|| format!(" does not match {pattern}"), |words| format!(" {words}"));
        Check::new(
            format!("{value}.matches({})", string(pattern)),
            format!("': ' + strings.quote({value}) + {}", string(&words)),
        )
    });
    let excluded = members.get("x-excluded").and_then(Value::as_array).into_iter().flatten().filter_map(|excluded| {
        let part = |name| excluded.get(name)?.as_str();
        let (pattern, words) = (part("pattern")?, part("words")?);
        Some(Check::new(
            format!("!{value}.matches({})", string(pattern)),
            format!("': ' + strings.quote({value}) + {}", string(&format!(" {words}"))),
        ))
    });
    Check::all(longest.into_iter().chain(pattern).chain(shortest).chain(excluded))
}

fn range(members: &Map<String, Value>, value: &str) -> Check {
    let limit = |name: &str| members.get(name).and_then(Value::as_f64);
    let number = format!("double({value})");
    let bounds = [
        limit("minimum").map(|min| format!("{number} >= {}", double(min))),
        limit("exclusiveMinimum").map(|min| format!("{number} > {}", double(min))),
        limit("maximum").map(|max| format!("{number} <= {}", double(max))),
    ];
    let bounds: Vec<String> = bounds.into_iter().flatten().collect();
    if bounds.is_empty() {
        return Check::nothing();
    }
    let text = |name: &str| members.get(name).map(Value::to_string);
    let remedy = match (text("minimum"), text("maximum"), text("exclusiveMinimum")) {
        (_, _, Some(min)) => format!("use a number above {min}"),
        (Some(min), Some(max), _) => format!("use {min} to {max}"),
        (Some(min), None, _) => format!("use at least {min}"),
        (None, max, _) => format!("use at most {}", max.unwrap_or_default()),
    };
    let words = format!("': ' + string({value}) + {}", string(&format!(" is out of range; {remedy}")));
    Check::new(bounds.join(" && "), words)
}

/// How many elements or members there are.
fn count(members: &Map<String, Value>, value: &str, what: &str) -> Check {
    let limit = |names: [&str; 2]| names.into_iter().find_map(|name| members.get(name).and_then(Value::as_u64));
    let fewest = limit(["minItems", "minProperties"]).map(|min| {
        let words = members
            .get("x-empty")
            .and_then(Value::as_str)
            .map_or_else(|| format!("{what} with nothing in it: name something, or remove the field"), str::to_owned);
        Check::new(format!("size({value}) >= {min}"), string(&format!(": {words}")))
    });
    let most = limit(["maxItems", "maxProperties"]).map(|max| {
        Check::new(
            format!("size({value}) <= {max}"),
            format!("': there are ' + string(size({value})) + '; use at most {max}'"),
        )
    });
    Check::all(fewest.into_iter().chain(most))
}

/// The check that exactly one of the fields that `schemas` require is present.
fn exactly_one(members: &Map<String, Value>, schemas: &[Value], value: &str) -> Check {
    let names: Vec<&str> = schemas.iter().filter_map(|schema| schema.pointer("/required/0")?.as_str()).collect();
    let what = members.get("x-one").and_then(Value::as_str).unwrap_or("comparison");
    let words = format!(": there must be one {what}; use one of {}", names.join(", "));
    Check::new(format!("{}.exists_one(f, f in {value})", strings(&names)), string(&words))
}

/// The schema without what changes nothing for a check.
fn without_descriptions(schema: &Value) -> Value {
    match schema {
        Value::Object(members) => {
            let kept = members.iter().filter(|(name, value)| {
                !(*name == "description" && value.is_string()) && *name != "title" && *name != "default"
            });
            kept.map(|(name, value)| (name.clone(), without_descriptions(value))).collect()
        }
        Value::Array(elements) => elements.iter().map(without_descriptions).collect(),
        other => other.clone(),
    }
}
