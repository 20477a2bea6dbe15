//! The field tables of the policy's reference: each field of the schema has a row, and no other does.

mod values;

use std::collections::BTreeSet;

use serde_json::Value;

use super::template::Template;
use super::{TRAFFICCTL, assert_none, page};

/// A table of the reference, and the objects of the schema that it is about.
struct Section {
    heading: &'static str,
    /// From the root: a name is a property, `[]` the items of a list, `*` the values of a map.
    objects: &'static [&'static str],
    template: Template,
}

const fn section(heading: &'static str, objects: &'static [&'static str], template: &'static str) -> Section {
    Section { heading, objects, template: Template(template) }
}

const SECTIONS: [Section; 13] = [
    section("Policy", &[""], r#"{"@": 0, "endpoints": []}"#),
    section("metrics", &["metrics"], r#"{"metrics": {"@": 0}, "endpoints": []}"#),
    section("Backend", &["backends *"], r#"{"backends": {"b": {"@": 0}}, "endpoints": []}"#),
    section("Endpoint", &["endpoints []"], r#"{"endpoints": [{"@": 0, "name": "e", "traffic": {"b": 1}}]}"#),
    section(
        "Cohort",
        &["endpoints [] cohorts []"],
        r#"{"endpoints": [{"name": "e", "traffic": {"b": 1}, "shadow": {"s": 1},
            "cohorts": [{"@": 0, "name": "c", "match": {}, "traffic": {"b": 1}}]}]}"#,
    ),
    section(
        "Match",
        &["endpoints [] match"],
        r#"{"endpoints": [{"name": "e", "traffic": {"b": 1}, "match": {"@": 0}}]}"#,
    ),
    section(
        "path",
        &["endpoints [] match path"],
        r#"{"endpoints": [{"name": "e", "traffic": {"b": 1}, "match": {"path": {"@": 0, "exact": "/"}}}]}"#,
    ),
    section(
        "comparison",
        &["endpoints [] match headers []", "endpoints [] match properties []"],
        r#"{"endpoints": [{"name": "e", "traffic": {"b": 1},
            "match": {"headers": [{"@": 0, "name": "h", "exact": "v"}]}}]}"#,
    ),
    section(
        "Affinity",
        &["endpoints [] affinity"],
        r#"{"endpoints": [{"name": "e", "traffic": {"b": 1}, "affinity": {"@": 0}}]}"#,
    ),
    section(
        "sources of the key",
        &["endpoints [] affinity keys []"],
        r#"{"endpoints": [{"name": "e", "traffic": {"b": 1}, "affinity": {"keys": [{"@": 0, "header": "h"}]}}]}"#,
    ),
    section(
        "generated cookie",
        &["endpoints [] affinity cookie"],
        r#"{"endpoints": [{"name": "e", "traffic": {"b": 1},
            "affinity": {"on_missing": "generate_cookie", "cookie": {"@": 0, "name": "c"}}}]}"#,
    ),
    section(
        "Shadow",
        &["endpoints [] shadow *"],
        r#"{"endpoints": [{"name": "e", "traffic": {"b": 1}, "shadow": {"s": {"@": 0, "fraction": 0.5}}}]}"#,
    ),
    section(
        "headers of the copy",
        &["endpoints [] shadow * headers"],
        r#"{"endpoints": [{"name": "e", "traffic": {"b": 1}, "shadow": {"s": {"fraction": 0.5, "headers": {"@": 0}}}}]}"#,
    ),
];

/// Fields that are errors unless another one is there or has a certain value, with their sections.
const DEPENDENT: [(&str, &str, Template); 3] = [
    (
        "Shadow",
        "mirror_header",
        Template(
            r#"{"endpoints": [{"name": "e", "traffic": {"b": 1},
                "shadow": {"s": {"@": 0, "fraction": 0.5, "via": "mirror"}}}]}"#,
        ),
    ),
    (
        "comparison",
        "as",
        Template(
            r#"{"endpoints": [{"name": "e", "traffic": {"b": 1},
                "match": {"properties": [{"@": 0, "path": ["p"], "present": true}]}}]}"#,
        ),
    ),
    (
        "sources of the key",
        "as",
        Template(
            r#"{"endpoints": [{"name": "e", "traffic": {"b": 1},
                "affinity": {"keys": [{"@": 0, "property": ["p"]}]}}]}"#,
        ),
    ),
];

/// A row of a table, with what the schema has for it.
struct Field<'a> {
    section: &'a Section,
    template: &'a Template,
    name: String,
    range: String,
    default: String,
    /// The schema of its values, with references resolved.
    schema: Value,
    /// The schema as the object has it: it may narrow the one that it refers to.
    written: Value,
    is_required: bool,
    /// The fields of which there must be exactly one, if it is one of them.
    one_of: Vec<String>,
}

/// The schema, as `trafficctl schema` prints it.
fn schema() -> Value {
    serde_json::from_str(&TRAFFICCTL.ok(["schema"]).unwrap()).unwrap()
}

/// Follows references, and takes the alternative that is an object with fields.
fn resolve<'a>(schema: &'a Value, mut node: &'a Value) -> &'a Value {
    while let Some(name) = node["$ref"].as_str() {
        node = schema.pointer(name.trim_start_matches('#')).unwrap();
    }
    let alternatives = node["anyOf"].as_array().into_iter().flatten().map(|node| resolve(schema, node));
    alternatives.into_iter().find(|node| node.get("properties").is_some()).unwrap_or(node)
}

fn object<'a>(schema: &'a Value, path: &str) -> &'a Value {
    path.split(' ').filter(|step| !step.is_empty()).fold(schema, |node, step| {
        let next = match step {
            "[]" => &node["items"],
            "*" => &node["additionalProperties"],
            name => &node["properties"][name],
        };
        assert!(!next.is_null(), "the schema has no {path}");
        resolve(schema, next)
    })
}

fn one_of(object: &Value) -> Vec<String> {
    let groups = object["oneOf"].as_array().into_iter().flatten();
    groups.filter_map(|group| Some(group["required"][0].as_str()?.to_owned())).collect()
}

/// All rows of all tables that the schema knows.
fn fields() -> Vec<Field<'static>> {
    let (page, schema) = (page("src/policy/README.md"), schema());
    let mut fields = Vec::new();
    for section in &SECTIONS {
        for row in page.table(section.heading) {
            let name = row[0].trim_matches('`').to_owned();
            let objects = section.objects.iter().map(|path| object(&schema, path));
            let Some(object) = objects.into_iter().find(|object| object["properties"].get(&name).is_some()) else {
                continue;
            };
            let one_of = one_of(object);
            let is_one = one_of.contains(&name);
            let dependent = DEPENDENT.iter().find(|(heading, field, _)| *heading == section.heading && *field == name);
            // The description stands beside the reference.
            let written = object["properties"][&name].clone();
            let mut value = resolve(&schema, &written).clone();
            value["description"] = written["description"].clone();
            fields.push(Field {
                section,
                template: dependent.map_or(&section.template, |(_, _, template)| template),
                written,
                range: row[2].clone(),
                default: row[3].clone(),
                schema: value,
                is_required: object["required"].as_array().into_iter().flatten().any(|required| *required == name),
                one_of: if is_one { one_of } else { Vec::new() },
                name,
            });
        }
    }
    fields
}

impl Field<'_> {
    fn at(&self, words: &str) -> String {
        format!("{}, `{}`: {words}", self.section.heading, self.name)
    }
}

#[test]
fn each_field_of_the_schema_stands_in_the_table_of_its_section_and_no_other() {
    let (page, schema) = (page("src/policy/README.md"), schema());
    for section in &SECTIONS {
        let rows: Vec<_> = page.table(section.heading).iter().map(|row| row[0].trim_matches('`').to_owned()).collect();
        let documented: BTreeSet<_> = rows.iter().cloned().collect();
        assert_eq!(rows.len(), documented.len(), "{}: a field has two rows", section.heading);
        let objects = section.objects.iter().map(|path| object(&schema, path));
        let known: BTreeSet<_> =
            objects.flat_map(|object| object["properties"].as_object().unwrap().keys().cloned()).collect();
        assert_eq!(documented, known, "{}", section.heading);
    }
}

#[test]
fn each_object_of_the_schema_has_a_table() {
    let schema = schema();
    let described: Vec<_> =
        SECTIONS.iter().flat_map(|section| section.objects).map(|path| object(&schema, path)).collect();
    let objects = schema["$defs"].as_object().unwrap().iter().filter(|(_, node)| node.get("properties").is_some());
    let missing = objects.filter(|(_, node)| !described.contains(node));
    assert_none(missing.map(|(name, _)| format!("no table describes {name}")).collect());
}

#[test]
fn a_field_without_a_default_is_required() {
    let wrong = fields().into_iter().filter(|field| field.is_required != (field.default == "required"));
    assert_none(wrong.map(|field| field.at(&format!("the schema says required: {}", field.is_required))).collect());
}
