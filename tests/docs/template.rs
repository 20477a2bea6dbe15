//! Policies in which one field is set: to see how the filter takes a value.

use policy::Policy;
use serde_json::{Map, Value};

/// A valid policy, in which the key `@` marks the object that gets the field.
pub struct Template(pub &'static str);

impl Template {
    /// Whether the filter takes the policy with this field in the marked object, in place of the `others`.
    pub fn takes(&self, field: &str, value: Value, others: &[String]) -> bool {
        self.read(Some((field, value)), others).is_ok()
    }

    /// The policy in force, in words, with this field.
    pub fn with(&self, field: &str, value: Value, others: &[String]) -> Result<String, String> {
        self.read(Some((field, value)), others)
    }

    /// The policy in force, in words, without a further field.
    pub fn without(&self) -> String {
        self.read(None, &[]).unwrap_or_else(|errors| panic!("{}: {errors}", self.0))
    }

    fn read(&self, field: Option<(&str, Value)>, others: &[String]) -> Result<String, String> {
        let mut policy: Value = serde_json::from_str(self.0).unwrap();
        let object = marked(&mut policy).unwrap_or_else(|| panic!("{} has no mark", self.0));
        object.remove("@");
        object.retain(|name, _| !others.contains(name));
        object.extend(field.map(|(name, value)| (name.to_owned(), value)));
        let text = policy.to_string();
        let parsed = Policy::from_json(text.as_bytes()).map_err(|errors| format!("{text}: {errors}"))?;
        // The hash is that of the document, and says nothing of what it does.
        let in_words = format!("{:#?}", parsed.policy);
        Ok(in_words.lines().filter(|line| !line.trim_start().starts_with("hash: ")).collect())
    }
}

fn marked(value: &mut Value) -> Option<&mut Map<String, Value>> {
    let is_marked = value.get("@").is_some();
    match value {
        Value::Object(members) => {
            if is_marked {
                Some(members)
            } else {
                members.values_mut().find_map(marked)
            }
        }
        Value::Array(items) => items.iter_mut().find_map(marked),
        _ => None,
    }
}
