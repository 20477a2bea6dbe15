//! The policies in a document: where they are, and in which form.

use std::borrow::Cow;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use super::typed::type_of;
use policy::Step;

/// A policy in a file.
#[derive(Clone, Debug)]
pub struct Embedded {
    /// The enclosing resource, in words; empty for a file that is the policy.
    pub resource: String,
    /// Its form.
    pub form: Form,
    /// Whether it surely belongs to this filter.
    pub is_ours: bool,
}

/// The form of a policy in a file.
#[derive(Clone, Debug)]
pub enum Form {
    /// The text of the file is the policy.
    File,
    /// A value of the document is the policy, as in Kubernetes manifests.
    Value { document: usize, steps: Vec<Step> },
    /// A string of the document has the policy's JSON, as in Envoy's configuration.
    Text { document: usize, steps: Vec<Step>, json: String, is_base64: bool },
    /// The filter gets these bytes, which are no policy.
    Bytes(&'static [u8]),
}

/// A short `google.protobuf.Struct`, as Envoy encodes it.
const STRUCT_IN_BINARY: &[u8] = b"\n\x05\n\x01e\x12\0";

impl Form {
    /// The policy as a JSON value, from the documents of the file; `None` if it is not JSON.
    pub fn value(&self, documents: &[Value]) -> Option<Value> {
        match self {
            Self::File => documents.first().cloned(),
            Self::Value { document, steps } => value_at(documents.get(*document)?, steps).cloned(),
            Self::Text { json, .. } => serde_json::from_str(json).ok(),
            Self::Bytes(_) => None,
        }
    }

    /// The bytes that the filter gets, from the text of the file and the policy's value.
    pub fn json<'a>(&'a self, text: &'a str, value: Option<&Value>) -> Cow<'a, [u8]> {
        match self {
            Self::File => Cow::Borrowed(text.as_bytes()),
            Self::Value { .. } => Cow::Owned(value.map(|value| value.to_string().into_bytes()).unwrap_or_default()),
            Self::Text { json, .. } => Cow::Borrowed(json.as_bytes()),
            Self::Bytes(bytes) => Cow::Borrowed(bytes),
        }
    }
}

/// The value in `document` to which `steps` lead.
pub fn value_at<'a>(document: &'a Value, steps: &[Step]) -> Option<&'a Value> {
    steps.iter().try_fold(document, |value, step| match step {
        Step::Member(name) => value.get(name),
        Step::Element(n) => value.get(n),
    })
}

/// Finds the policies in `documents` that belong to this filter.
///
/// A policy that is the only one counts as this filter's, whatever its resource is called.
pub fn find(documents: &[Value]) -> Vec<Embedded> {
    let mut found = Vec::new();
    for (n, document) in documents.iter().enumerate() {
        find_in(document, n, &mut Vec::new(), &mut found);
    }
    if found.iter().any(|policy| policy.is_ours) {
        found.retain(|policy| policy.is_ours);
    } else if found.len() > 1 {
        found.clear();
    }
    found
}

/// Finds the policies in `value`, to which `steps` lead.
fn find_in(value: &Value, document: usize, steps: &mut Vec<Step>, found: &mut Vec<Embedded>) {
    match value {
        Value::Object(members) => {
            match value.get("kind").and_then(Value::as_str) {
                Some("WasmPlugin") => return found.push(of_plugin(value, document, steps)),
                Some("EnvoyExtensionPolicy") => return found.extend(of_extensions(value, document, steps)),
                _ => (),
            }
            if type_of(value).ends_with("extensions.filters.http.wasm.v3.Wasm") {
                let is_wrapped = value.get("type_url").is_some();
                let within: &[&str] = if is_wrapped { &["value", "config"] } else { &["config"] };
                if let Some(config) = within.iter().try_fold(value, |value, name| value.get(name)) {
                    found.push(of_envoy_filter(config, document, below(steps, within)));
                }
                return;
            }
            for (name, value) in members {
                steps.push(Step::Member(name.clone()));
                find_in(value, document, steps, found);
                steps.pop();
            }
        }
        Value::Array(list) => {
            for (n, value) in list.iter().enumerate() {
                steps.push(Step::Element(n));
                find_in(value, document, steps, found);
                steps.pop();
            }
        }
        _ => (),
    }
}

/// The steps to a member of a member of the value to which `steps` lead.
fn below(steps: &[Step], names: &[&str]) -> Vec<Step> {
    steps.iter().cloned().chain(names.iter().map(|name| Step::Member((*name).to_owned()))).collect()
}

/// The policy of one of Envoy's Wasm filters, whose `PluginConfig` is `config`.
fn of_envoy_filter(config: &Value, document: usize, steps: Vec<Step>) -> Embedded {
    let name = config.get("name").and_then(Value::as_str).unwrap_or_default();
    let configuration = config.get("configuration");
    let kind = configuration.map(type_of);
    let has_kind = |name: &str| kind.is_some_and(|kind| kind.ends_with(name));
    let (is_string, is_bytes) = (has_kind("protobuf.StringValue"), has_kind("protobuf.BytesValue"));
    let text = configuration.and_then(|configuration| configuration.get("value")).and_then(Value::as_str);
    let steps = below(&steps, &["configuration", "value"]);
    let form = match text {
        Some(text) if is_string => Form::Text { document, steps, json: text.to_owned(), is_base64: false },
        Some(text) if is_bytes => match BASE64_STANDARD.decode(text) {
            Ok(bytes) => {
                let json = String::from_utf8_lossy(&bytes).into_owned();
                Form::Text { document, steps, json, is_base64: true }
            }
            // Envoy refuses the configuration before the filter gets it.
            Err(_) => Form::Bytes(b"not base64"),
        },
        _ if kind.is_none() || is_string || is_bytes => Form::Bytes(b""),
        _ => Form::Bytes(STRUCT_IN_BINARY),
    };
    Embedded { resource: format!("the filter {name:?}"), form, is_ours: names_us(config) }
}

/// The policy of an Istio `WasmPlugin`.
fn of_plugin(manifest: &Value, document: usize, steps: &[Step]) -> Embedded {
    let config = manifest.pointer("/spec/pluginConfig");
    let is_ours = manifest.get("spec").is_some_and(names_us) || config.is_some_and(has_endpoints);
    let steps = below(steps, &["spec", "pluginConfig"]);
    let form = if config.is_some() { Form::Value { document, steps } } else { Form::Bytes(b"") };
    Embedded { resource: resource(manifest), form, is_ours }
}

/// The policies of an `EnvoyExtensionPolicy` of Envoy Gateway.
fn of_extensions(manifest: &Value, document: usize, steps: &[Step]) -> Vec<Embedded> {
    let extensions = manifest.pointer("/spec/wasm").and_then(Value::as_array).into_iter().flatten();
    let policy = |(n, extension): (usize, &Value)| {
        let config = extension.get("config");
        let is_ours = names_us(extension) || config.is_some_and(has_endpoints);
        let mut steps = below(steps, &["spec", "wasm"]);
        steps.extend([Step::Element(n), Step::Member("config".to_owned())]);
        let form = if config.is_some() { Form::Value { document, steps } } else { Form::Bytes(b"") };
        Embedded { resource: resource(manifest), form, is_ours }
    };
    extensions.enumerate().map(policy).collect()
}

/// Whether a value looks like a policy.
pub fn has_endpoints(value: &Value) -> bool {
    value.get("endpoints").is_some()
}

/// A manifest in words: its kind and its name.
fn resource(manifest: &Value) -> String {
    let word = |pointer| manifest.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    format!("{} {:?}", word("/kind"), word("/metadata/name"))
}

/// Whether the description of a filter, without its policy, has this filter's name: its own, or
/// that of the module or image.
pub fn names_us(filter: &Value) -> bool {
    match filter {
        Value::String(text) => text.contains("traffic-policy") || text.contains("traffic_policy"),
        Value::Object(members) => {
            let is_policy = |name: &str| name == "configuration" || name == "pluginConfig" || name == "config";
            members.iter().any(|(name, value)| !is_policy(name) && names_us(value))
        }
        Value::Array(list) => list.iter().any(names_us),
        _ => false,
    }
}
