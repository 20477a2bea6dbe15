//! A file that holds policies, read and judged.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::{fs, io};

use policy::{Parsed, Policy, Refused};
use serde_json::Value;
use yaml_edit::YamlFile;

use super::embedded::{self, Form, has_endpoints};
use super::mesh::{self, Object};
use super::not_json::NotJson;
use super::proxy::Proxy;
use super::tree::{find, range, root, walk};
use super::{dialect, yaml};
use crate::error::Error;

/// A file, as it was read. Its policies have been judged, each once.
pub struct PolicyFile {
    /// The path as it was given; `-` is standard input.
    pub path: PathBuf,
    /// The text of the file.
    pub text: String,
    /// The policies in the file, in its order.
    pub policies: Vec<Judged>,
    /// The proxy that the file configures.
    pub proxy: Proxy,
    /// The objects of a mesh in the file.
    pub mesh: Vec<Rc<Object>>,
    /// Why the filter refuses the file itself, if that is a policy in YAML.
    pub not_json: Option<NotJson>,
}

/// A policy in a file, with the filter's verdict.
pub struct Judged {
    /// The enclosing resource, in words; empty for a file that is the policy.
    pub resource: String,
    /// Its form in the file.
    pub form: Form,
    /// The policy as a JSON value, whether or not it is valid; `None` if it is not JSON.
    pub value: Option<Value>,
    /// The policy with its warnings, or its errors.
    pub verdict: Result<Parsed, Refused>,
    /// The object of a mesh that carries it.
    pub object: Option<Rc<Object>>,
}

impl PolicyFile {
    /// Reads the file at `path`; `-` is standard input.
    ///
    /// # Errors
    /// [`Error::Unreadable`] if it can't be read or is not UTF-8; otherwise those of
    /// [`PolicyFile::parse`].
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = match path.to_str() {
            Some("-") => io::read_to_string(io::stdin()),
            _ => fs::read_to_string(path),
        };
        Self::parse(path, text.map_err(|error| Error::cannot_read(path, &error))?)
    }

    /// Parses `text`, the text of the file at `path`.
    ///
    /// # Errors
    /// [`Error::Wrong`] if the file should be YAML by its name, and is not.
    pub fn parse(path: &Path, text: String) -> Result<Self, Error> {
        let is_yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        let (tree, documents) = match serde_json::from_str(&text) {
            Ok(document) => (None, vec![document]),
            // YAML under another name. Text that starts with a brace is meant to be JSON.
            Err(_) => match yaml::read(path, &text) {
                Ok((tree, documents))
                    if is_yaml
                        || documents.iter().any(is_carrier)
                        || (documents.iter().any(has_endpoints) && !text.trim_start().starts_with('{')) =>
                {
                    (Some(tree), documents)
                }
                Err(error) if is_yaml => return Err(error),
                _ => (None, Vec::new()),
            },
        };
        let mut proxy = Proxy::default();
        documents.iter().for_each(|document| proxy.note(document));
        let found = embedded::find(&documents);
        let mut forms: Vec<_> = found.into_iter().map(|policy| (policy.resource, policy.form)).collect();
        let mut not_json = None;
        if forms.is_empty() && !documents.iter().any(is_carrier) {
            if tree.is_some() {
                not_json = Some(NotJson::of(path, &text));
                forms = plain_policies(&documents);
            } else {
                forms.push((String::new(), Form::File));
            }
        }
        let mesh: Vec<_> = mesh::objects(path, &documents).into_iter().map(Rc::new).collect();
        let policies: Vec<_> = forms
            .into_iter()
            .map(|(resource, form)| {
                let object = mesh.iter().find(|object| object.carries(&form)).cloned();
                Judged { object, ..Judged::new(resource, form, &text, &documents, tree.as_ref()) }
            })
            .collect();
        match policies.iter().find_map(|policy| policy.template(path, &text)) {
            Some(error) => Err(error),
            None => Ok(Self { path: path.to_owned(), policies, proxy, mesh, not_json, text }),
        }
    }

    /// The only policy of the file.
    ///
    /// # Errors
    /// [`Error::Wrong`] if there is none, or more than one.
    pub fn only_policy(&self) -> Result<&Judged, Error> {
        match self.policies.as_slice() {
            [only] => Ok(only),
            [] => Err(Error::Wrong(self.no_policy())),
            several => {
                let resources: Vec<_> = several.iter().map(|policy| policy.resource.as_str()).collect();
                Err(Error::Wrong(format!(
                    "{} holds several policies ({}): put each into a file of its own",
                    self.path.display(),
                    resources.join(", ")
                )))
            }
        }
    }

    /// The message about a file without a policy.
    pub fn no_policy(&self) -> String {
        let path = self.path.display();
        match self.proxy.follows.as_slice() {
            [] => format!(
                "{path} holds no policy: name a policy, an Envoy configuration with the filter, an ECDS file, \
                 a WasmPlugin or an EnvoyExtensionPolicy"
            ),
            [elsewhere, ..] => format!("{path} holds no policy: Envoy takes it from {}", elsewhere.display()),
        }
    }
}

impl Judged {
    fn new(resource: String, form: Form, text: &str, documents: &[Value], tree: Option<&YamlFile>) -> Self {
        let value = form.value(documents);
        let mut verdict = Policy::from_json(&form.json(text, value.as_ref()));
        if let (Form::Value { document, steps }, Some(tree), Some(value)) = (&form, tree, &value) {
            let node = tree.documents().nth(*document).and_then(|document| walk(&root(&document)?, steps));
            let errors = node.map(|node| dialect::errors(&node, value)).unwrap_or_default();
            if !errors.is_empty() {
                let others = verdict.err().map(|refused| refused.0).unwrap_or_default();
                verdict = Err(Refused(errors.into_iter().chain(others).collect()));
            }
        }
        Self { resource, form, value, verdict, object: None }
    }

    /// The error about a policy that is a template in JSON.
    fn template(&self, path: &Path, text: &str) -> Option<Error> {
        match &self.form {
            Form::File => yaml::json_template(path, text, 0),
            Form::Text { document, steps, json, .. } if self.verdict.is_err() => {
                let start = find(text, *document, steps).map_or(0, |node| range(&node, text).start);
                let written = text.get(start..)?;
                // A block has its first line below its header.
                let before = text.get(..start)?.matches('\n').count() + usize::from(written.starts_with('|'));
                yaml::json_template(path, json, before)
            }
            _ => None,
        }
    }

    /// The policy, if it is valid.
    pub fn policy(&self) -> Option<&Policy> {
        self.verdict.as_ref().ok().map(|parsed| &parsed.policy)
    }
}

/// The policies of a YAML file whose documents are policies themselves.
fn plain_policies(documents: &[Value]) -> Vec<(String, Form)> {
    let with_endpoints: Vec<_> =
        (0..documents.len()).filter(|n| documents.get(*n).is_some_and(has_endpoints)).collect();
    let form = |document| Form::Value { document, steps: Vec::new() };
    match with_endpoints.as_slice() {
        [] => vec![(String::new(), form(0))],
        [only] => vec![(String::new(), form(*only))],
        several => several.iter().map(|n| (format!("document {}", n + 1), form(*n))).collect(),
    }
}

/// Whether a document carries policies, rather than being one.
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
    !has_endpoints(document) && MARKS.iter().any(|mark| document.get(mark).is_some())
}
