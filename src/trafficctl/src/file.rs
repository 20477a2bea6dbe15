//! Files that hold a policy: the policy itself, or what carries it to a proxy.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{fs, io};

use anyhow::{Context, bail, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use policy::Policy;
use serde_json::Value;

use crate::check::{self, Finding};
use crate::tree::{self, Step};

/// A file, as it was read.
pub struct PolicyFile {
    /// Its name as it was given; `-` is standard input.
    pub path: PathBuf,
    pub text: String,
    /// Its documents: one of JSON, any number of YAML.
    documents: Vec<Value>,
    /// The policies in it, in its order.
    pub policies: Vec<Embedded>,
    /// The files from which Envoy takes policies that this one leaves out.
    pub follows: Vec<PathBuf>,
    /// The clusters that it defines.
    pub clusters: BTreeSet<String>,
    /// Whether Envoy gets more clusters from elsewhere.
    pub has_dynamic_clusters: bool,
}

/// A policy in a file.
#[derive(Clone, Debug)]
pub struct Embedded {
    /// What holds it, in words; empty for a file that is the policy.
    pub holder: String,
    pub form: Form,
}

/// How a policy is held.
#[derive(Clone, Debug)]
pub enum Form {
    /// The file's text is the policy.
    File,
    /// A value of the document is the policy, as in Kubernetes manifests.
    Value { document: usize, path: Vec<Step> },
    /// A string of the document is the policy's text, as in Envoy's configuration.
    Text { document: usize, path: Vec<Step>, json: String, is_base64: bool },
    /// What reaches the filter is no policy: these bytes.
    Bytes(&'static [u8]),
}

/// What Envoy makes of a `google.protobuf.Struct`, in short.
const STRUCT_IN_BINARY: &[u8] = b"\n\x05\n\x01e\x12\0";

impl PolicyFile {
    /// Reads the file at `path`; `-` is standard input.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = match path.to_str() {
            Some("-") => io::read_to_string(io::stdin()),
            _ => fs::read_to_string(path),
        };
        Self::parse(path, text.with_context(|| format!("cannot read {}", path.display()))?)
    }

    /// Reads `text`, which is that of the file at `path`.
    pub fn parse(path: &Path, text: String) -> anyhow::Result<Self> {
        let mut file = Self {
            path: path.to_owned(),
            text,
            documents: Vec::new(),
            policies: Vec::new(),
            follows: Vec::new(),
            clusters: BTreeSet::new(),
            has_dynamic_clusters: false,
        };
        let is_yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        let json = serde_json::from_str(&file.text);
        let is_json = json.is_ok();
        file.documents = match json {
            Ok(document) => vec![document],
            Err(_) if is_yaml => file.yaml_documents()?,
            // YAML without an extension. What starts as JSON is meant to be JSON.
            Err(_) => match file.yaml_documents() {
                Ok(documents) if documents.iter().any(is_carrier) => documents,
                Ok(documents) if documents.iter().any(is_policy) && !file.text.trim_start().starts_with('{') => {
                    documents
                }
                _ => Vec::new(),
            },
        };
        let documents = std::mem::take(&mut file.documents);
        let mut found = Vec::new();
        for (n, document) in documents.iter().enumerate() {
            find(document, n, &mut Vec::new(), &mut found);
            file.note_clusters(document);
            note_follows(document, &mut file.follows);
        }
        file.documents = documents;
        let is_yaml = !is_json && (is_yaml || file.documents.iter().any(is_policy));
        file.choose(found, is_yaml);
        Ok(file)
    }

    fn yaml_documents(&self) -> anyhow::Result<Vec<Value>> {
        let parse = |document: yaml_edit::Document| {
            serde_saphyr::from_str(&document.to_string())
                .with_context(|| format!("{} is not YAML", self.path.display()))
        };
        tree::parse(&self.text)?.documents().map(parse).collect()
    }

    /// Keeps what is this filter's policy of what was found.
    fn choose(&mut self, mut found: Vec<Found>, is_yaml: bool) {
        if found.iter().any(|found| found.is_ours) {
            found.retain(|found| found.is_ours);
        } else if found.len() > 1 {
            found.clear();
        }
        self.policies.extend(found.into_iter().map(|found| found.embedded));
        if self.policies.is_empty() && !self.documents.iter().any(is_carrier) {
            let form = if is_yaml { Form::Value { document: 0, path: Vec::new() } } else { Form::File };
            self.policies.push(Embedded { holder: String::new(), form });
        }
    }

    /// The one policy of the file.
    pub fn only_policy(&self) -> anyhow::Result<&Embedded> {
        ensure!(!self.policies.is_empty(), "{}", self.no_policy());
        let [only] = self.policies.as_slice() else {
            let holders: Vec<_> = self.policies.iter().map(|policy| policy.holder.as_str()).collect();
            bail!(
                "{} holds several policies ({}): put each into a file of its own",
                self.path.display(),
                holders.join(", ")
            );
        };
        Ok(only)
    }

    /// The one policy of the file, ready; `None` if it is wrong, which has been shown then.
    pub fn policy(&self) -> anyhow::Result<Option<Policy>> {
        let policy = self.only_policy()?;
        match Policy::from_json(&self.json(policy)) {
            Ok(parsed) => Ok(Some(parsed.policy)),
            Err(errors) => {
                check::show(self, policy, &errors.0.iter().map(Finding::from).collect::<Vec<_>>());
                Ok(None)
            }
        }
    }

    /// What to say of a file without a policy.
    pub fn no_policy(&self) -> String {
        let path = self.path.display();
        match self.follows.as_slice() {
            [] => format!(
                "{path} holds no policy: name a policy, an Envoy configuration with the filter, an ECDS file, a WasmPlugin or an EnvoyExtensionPolicy"
            ),
            [elsewhere, ..] => format!("{path} holds no policy: Envoy takes it from {}", elsewhere.display()),
        }
    }

    /// The bytes that the filter gets.
    pub fn json(&self, policy: &Embedded) -> Vec<u8> {
        match &policy.form {
            Form::File => self.text.clone().into_bytes(),
            Form::Value { document, path } => {
                let value = self.documents.get(*document).and_then(|document| value_at(document, path));
                value.map(|value| value.to_string().into_bytes()).unwrap_or_default()
            }
            Form::Text { json, .. } => json.clone().into_bytes(),
            Form::Bytes(bytes) => bytes.to_vec(),
        }
    }

    /// The policy as a document, whether or not it is right.
    pub fn value(&self, policy: &Embedded) -> anyhow::Result<Value> {
        serde_json::from_slice(&self.json(policy)).context("the policy is not JSON")
    }

    fn note_clusters(&mut self, document: &Value) {
        let of_bootstrap = document.pointer("/static_resources/clusters").and_then(Value::as_array);
        let of_discovery = document.get("resources").and_then(Value::as_array);
        let is_cluster = |value: &&Value| type_of(value).ends_with("config.cluster.v3.Cluster");
        let clusters = of_bootstrap.into_iter().flatten().chain(of_discovery.into_iter().flatten().filter(is_cluster));
        self.clusters.extend(clusters.filter_map(|cluster| Some(cluster.get("name")?.as_str()?.to_owned())));
        self.has_dynamic_clusters |= document.pointer("/dynamic_resources/cds_config").is_some();
    }
}

/// A policy that was found, and whether it is surely this filter's.
struct Found {
    embedded: Embedded,
    is_ours: bool,
}

/// The value in `document` to which `path` leads.
pub fn value_at<'a>(document: &'a Value, path: &[Step]) -> Option<&'a Value> {
    path.iter().try_fold(document, |value, step| match step {
        Step::Key(key) => value.get(key),
        Step::Index(n) => value.get(n),
    })
}

/// Whether a document carries policies rather than being one.
fn is_carrier(document: &Value) -> bool {
    const MARKS: [&str; 9] = [
        "kind",
        "apiVersion",
        "static_resources",
        "dynamic_resources",
        "resources",
        "admin",
        "node",
        "filter_chains",
        "http_filters",
    ];
    !is_policy(document) && MARKS.iter().any(|mark| document.get(mark).is_some())
}

/// Whether a document looks like a policy.
fn is_policy(document: &Value) -> bool {
    document.get("endpoints").is_some()
}

/// The type of an `Any`, or of what a `TypedStruct` stands for.
fn type_of(value: &Value) -> &str {
    let of_typed_struct = value.get("type_url").and_then(Value::as_str);
    of_typed_struct.or_else(|| value.get("@type")?.as_str()).unwrap_or_default()
}

/// Finds the policies in `value`, to which `path` leads.
fn find(value: &Value, document: usize, path: &mut Vec<Step>, found: &mut Vec<Found>) {
    match value {
        Value::Object(members) => {
            match value.get("kind").and_then(Value::as_str) {
                Some("WasmPlugin") => return find_plugin(value, document, path, found),
                Some("EnvoyExtensionPolicy") => return find_extensions(value, document, path, found),
                _ => (),
            }
            if type_of(value).ends_with("extensions.filters.http.wasm.v3.Wasm") {
                let is_wrapped = value.get("type_url").is_some();
                let within: &[&str] = if is_wrapped { &["value", "config"] } else { &["config"] };
                let mut path = path.clone();
                path.extend(within.iter().map(|key| Step::from(*key)));
                if let Some(config) = within.iter().try_fold(value, |value, key| value.get(key)) {
                    found.push(envoy_filter(config, document, path));
                }
                return;
            }
            for (key, value) in members {
                path.push(Step::Key(key.clone()));
                find(value, document, path, found);
                path.pop();
            }
        }
        Value::Array(list) => {
            for (n, value) in list.iter().enumerate() {
                path.push(Step::Index(n));
                find(value, document, path, found);
                path.pop();
            }
        }
        _ => (),
    }
}

/// The policy of a Wasm filter of Envoy's, whose `PluginConfig` is `config`.
fn envoy_filter(config: &Value, document: usize, mut path: Vec<Step>) -> Found {
    let name = config.get("name").and_then(Value::as_str).unwrap_or_default();
    path.push("configuration".into());
    let configuration = config.get("configuration");
    let text = configuration.and_then(|configuration| configuration.get("value")).and_then(Value::as_str);
    let form = match (configuration.map(type_of), text) {
        (None, _) => Form::Bytes(b""),
        (Some(kind), Some(text)) if kind.ends_with("protobuf.StringValue") => {
            path.push("value".into());
            Form::Text { document, path, json: text.to_owned(), is_base64: false }
        }
        (Some(kind), Some(text)) if kind.ends_with("protobuf.BytesValue") => {
            path.push("value".into());
            match BASE64_STANDARD.decode(text) {
                Ok(bytes) => {
                    let json = String::from_utf8_lossy(&bytes).into_owned();
                    Form::Text { document, path, json, is_base64: true }
                }
                // Envoy would not even hand it over.
                Err(_) => Form::Bytes(b"not base64"),
            }
        }
        (Some(kind), _) if kind.ends_with("protobuf.StringValue") || kind.ends_with("protobuf.BytesValue") => {
            Form::Bytes(b"")
        }
        (Some(_), _) => Form::Bytes(STRUCT_IN_BINARY),
    };
    Found { embedded: Embedded { holder: format!("the filter {name:?}"), form }, is_ours: names_us(config) }
}

/// The policy of an Istio `WasmPlugin`.
fn find_plugin(manifest: &Value, document: usize, to_manifest: &[Step], found: &mut Vec<Found>) {
    let path = [to_manifest, &["spec".into(), "pluginConfig".into()]].concat();
    let config = manifest.pointer("/spec/pluginConfig");
    let is_ours =
        manifest.get("spec").is_some_and(names_us) || config.is_some_and(|config| config.get("endpoints").is_some());
    let form = if config.is_some() { Form::Value { document, path } } else { Form::Bytes(b"") };
    found.push(Found { embedded: Embedded { holder: holder(manifest), form }, is_ours });
}

/// The policies of an `EnvoyExtensionPolicy` of Envoy Gateway.
fn find_extensions(manifest: &Value, document: usize, to_manifest: &[Step], found: &mut Vec<Found>) {
    let extensions = manifest.pointer("/spec/wasm").and_then(Value::as_array);
    for (n, extension) in extensions.into_iter().flatten().enumerate() {
        let config = extension.get("config");
        let is_ours = names_us(extension) || config.is_some_and(|config| config.get("endpoints").is_some());
        let path = [to_manifest, &["spec".into(), "wasm".into(), n.into(), "config".into()]].concat();
        let form = if config.is_some() { Form::Value { document, path } } else { Form::Bytes(b"") };
        found.push(Found { embedded: Embedded { holder: holder(manifest), form }, is_ours });
    }
}

/// A manifest in words: its kind and its name.
fn holder(manifest: &Value) -> String {
    let word = |pointer| manifest.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    format!("{} {:?}", word("/kind"), word("/metadata/name"))
}

/// Whether what is said of a filter beside its policy names this one: its own name, or that of the module's file or image.
fn names_us(filter: &Value) -> bool {
    match filter {
        Value::String(text) => text.contains("traffic-policy") || text.contains("traffic_policy"),
        Value::Object(members) => {
            let is_policy = |key: &str| key == "configuration" || key == "pluginConfig" || key == "config";
            members.iter().any(|(key, value)| !is_policy(key) && names_us(value))
        }
        Value::Array(list) => list.iter().any(names_us),
        _ => false,
    }
}

/// The files from which Envoy takes Wasm filters.
fn note_follows(value: &Value, follows: &mut Vec<PathBuf>) {
    if let Some(discovery) = value.get("config_discovery") {
        let types = discovery.get("type_urls").and_then(Value::as_array);
        let is_wasm =
            types.into_iter().flatten().any(|kind| kind.as_str().is_some_and(|kind| kind.ends_with(".wasm.v3.Wasm")));
        let path = discovery.pointer("/config_source/path_config_source/path").and_then(Value::as_str);
        follows.extend(path.filter(|_| is_wasm).map(PathBuf::from));
    }
    match value {
        Value::Object(members) => members.values().for_each(|value| note_follows(value, follows)),
        Value::Array(list) => list.iter().for_each(|value| note_follows(value, follows)),
        _ => (),
    }
}
