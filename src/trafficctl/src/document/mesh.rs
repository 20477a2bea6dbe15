//! The objects of a mesh: what carries a policy to its proxies, and what routes their requests.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::embedded::Form;
use super::yaml;
use crate::error::Error;
use policy::Step;

/// The kinds of the objects that concern a policy.
const KINDS: [&str; 5] = ["VirtualService", "EnvoyFilter", "HTTPRoute", "WasmPlugin", "EnvoyExtensionPolicy"];

/// An object of a mesh, in a file.
#[derive(Clone, Debug)]
pub struct Object {
    /// The path of the file, as it was given.
    pub file: PathBuf,
    /// The number of the document in the file.
    pub document: usize,
    /// The steps that lead to it in the document.
    pub steps: Vec<Step>,
    /// Its kind.
    pub kind: &'static str,
    /// The object.
    pub value: Value,
}

/// The objects in the documents of a file, in their order.
pub fn objects(file: &Path, documents: &[Value]) -> Vec<Object> {
    let mut found = Vec::new();
    for (document, value) in documents.iter().enumerate() {
        collect(value, document, &[], file, &mut found);
    }
    found
}

fn collect(value: &Value, document: usize, steps: &[Step], file: &Path, found: &mut Vec<Object>) {
    let kind = value.get("kind").and_then(Value::as_str).unwrap_or_default();
    if let Some(kind) = KINDS.iter().find(|known| **known == kind) {
        found.push(Object { file: file.to_owned(), document, steps: steps.to_vec(), kind, value: value.clone() });
    } else if kind.ends_with("List") {
        for (n, item) in value.get("items").and_then(Value::as_array).into_iter().flatten().enumerate() {
            let steps: Vec<_> = steps.iter().cloned().chain([Step::from("items"), Step::Element(n)]).collect();
            collect(item, document, &steps, file, found);
        }
    }
}

/// Reads the text of the file at `path`, and its objects.
///
/// # Errors
/// [`Error::Unreadable`] if it can't be read, [`Error::Wrong`] if it is not YAML or JSON.
pub fn read(path: &Path) -> Result<(String, Vec<Object>), Error> {
    let text = std::fs::read_to_string(path).map_err(|error| Error::cannot_read(path, &error))?;
    let objects = parse(path, &text)?;
    Ok((text, objects))
}

/// The objects in `text`, which the file at `path` has or would have.
///
/// # Errors
/// [`Error::Wrong`] if it is not YAML or JSON.
pub fn parse(path: &Path, text: &str) -> Result<Vec<Object>, Error> {
    Ok(objects(path, &yaml::read(path, text)?.1))
}

impl Object {
    /// The kind and the name, for messages.
    pub fn words(&self) -> String {
        format!("{} {:?}", self.kind, self.name())
    }

    /// The name.
    pub fn name(&self) -> &str {
        self.metadata("name").unwrap_or_default()
    }

    /// The namespace, if the object names it.
    pub fn namespace(&self) -> Option<&str> {
        self.metadata("namespace")
    }

    /// A value of its `spec`.
    pub fn spec(&self, pointer: &str) -> Option<&Value> {
        self.value.get("spec")?.pointer(pointer)
    }

    /// The strings in a list of its `spec`.
    pub fn strings(&self, pointer: &str) -> Vec<&str> {
        let list = self.spec(pointer).and_then(Value::as_array).into_iter().flatten();
        list.filter_map(Value::as_str).collect()
    }

    /// The hosts whose requests it routes; none if they are those of another object.
    pub fn hosts(&self) -> Vec<&str> {
        self.strings(if self.kind == "HTTPRoute" { "/hostnames" } else { "/hosts" })
    }

    /// The patches of an EnvoyFilter.
    pub fn patches(&self) -> impl Iterator<Item = &Value> {
        self.spec("/configPatches").and_then(Value::as_array).into_iter().flatten()
    }

    /// The object in the form of a part of its file.
    pub fn form(&self) -> Form {
        Form::Value { document: self.document, steps: self.steps.clone() }
    }

    /// Whether a policy of the same file is within the object.
    pub fn carries(&self, policy: &Form) -> bool {
        matches!(policy, Form::Value { document, steps } if *document == self.document && steps.starts_with(&self.steps))
    }

    fn metadata(&self, name: &str) -> Option<&str> {
        self.value.get("metadata")?.get(name)?.as_str()
    }
}
