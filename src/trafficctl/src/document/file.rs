//! A file that holds policies, read and judged.

use std::path::{Path, PathBuf};
use std::{fs, io};

use policy::{Parsed, Policy, Refused};
use serde_json::Value;

use super::embedded::{self, Form, has_endpoints};
use super::proxy::Proxy;
use super::tree;
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
        let json = serde_json::from_str(&text);
        let is_json = json.is_ok();
        let documents = match json {
            Ok(document) => vec![document],
            Err(_) if is_yaml => yaml_documents(path, &text)?,
            // YAML under another name. Text that starts with a brace is meant to be JSON.
            Err(_) => match yaml_documents(path, &text) {
                Ok(documents) if documents.iter().any(is_carrier) => documents,
                Ok(documents) if documents.iter().any(has_endpoints) && !text.trim_start().starts_with('{') => {
                    documents
                }
                _ => Vec::new(),
            },
        };
        let mut proxy = Proxy::default();
        documents.iter().for_each(|document| proxy.note(document));
        let found = embedded::find(&documents);
        let mut forms: Vec<_> = found.into_iter().map(|policy| (policy.resource, policy.form)).collect();
        if forms.is_empty() && !documents.iter().any(is_carrier) {
            let is_yaml = !is_json && (is_yaml || documents.iter().any(has_endpoints));
            let form = if is_yaml { Form::Value { document: 0, steps: Vec::new() } } else { Form::File };
            forms.push((String::new(), form));
        }
        let judge = |(resource, form)| Judged::new(resource, form, &text, &documents);
        let policies = forms.into_iter().map(judge).collect();
        Ok(Self { path: path.to_owned(), policies, proxy, text })
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
    fn new(resource: String, form: Form, text: &str, documents: &[Value]) -> Self {
        let value = form.value(documents);
        let verdict = Policy::from_json(&form.json(text, value.as_ref()));
        Self { resource, form, value, verdict }
    }

    /// The policy, if it is valid.
    pub fn policy(&self) -> Option<&Policy> {
        self.verdict.as_ref().ok().map(|parsed| &parsed.policy)
    }
}

fn yaml_documents(path: &Path, text: &str) -> Result<Vec<Value>, Error> {
    let parse = |document: yaml_edit::Document| {
        serde_saphyr::from_str(&document.to_string()).map_err(|error| {
            // The first line has the position and the problem, the others show the text.
            let error = error.to_string();
            let line = error.lines().next().unwrap_or_default();
            let line = line.strip_prefix("error: ").unwrap_or(line);
            Error::Wrong(format!("{} is not YAML: {line}", path.display()))
        })
    };
    tree::parse(text)?.documents().map(parse).collect()
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
