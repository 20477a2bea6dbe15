//! The tables of cases, which both the core alone and the filter in Envoy must decide.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, SocketAddr};

use anyhow::Context;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use crate::attribute::bytes_of_value;
use crate::bootstrap::metadata_header;
use crate::client::{Answer, Client};
use crate::request::TableRequest;
use crate::{project, read};

/// A file of `tests/data/cases`: a policy, and requests with the decisions about them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// The file's name.
    #[serde(skip)]
    pub file: String,
    /// The subject of the cases.
    pub about: String,
    /// The policy.
    pub policy: Value,
    /// The requests.
    pub cases: Vec<Case>,
}

/// A request and the decision about it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// The rule that the case shows.
    pub rule: String,
    /// The method, GET by default.
    #[serde(default = "get")]
    pub method: String,
    /// The path with the query.
    pub path: String,
    /// The headers. In a value each character, up to U+00FF, stands for one byte.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// The client's address, if it matters.
    pub source: Option<IpAddr>,
    /// Metadata in the namespace `test`, as an earlier filter would set it.
    #[serde(default)]
    pub metadata: BTreeMap<String, Value>,
    /// The decision, or `null` if no endpoint matches.
    pub decision: Option<Expected>,
    /// The cluster that gets the request, or `null` for none. If the field is absent, the cluster
    /// has the name of the backend.
    #[serde(default, deserialize_with = "present")]
    pub cluster: Option<Option<String>>,
    /// Why Envoy can't show this case, if so.
    pub only_native: Option<String>,
}

/// An expected decision.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// The endpoint that matches.
    pub endpoint: String,
    /// The cohort that matches.
    pub cohort: Option<String>,
    /// The backend that serves. There are several where chance decides.
    pub backend: OneOf,
    /// The reason for the choice of the backend.
    pub reason: String,
    /// The shadows that get a copy.
    #[serde(default)]
    pub shadows: Vec<String>,
    /// The shadows that have drawn the request and get no copy, and why.
    #[serde(default)]
    pub skipped: Vec<(String, String)>,
}

/// A name, or several, any of which will do.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum OneOf {
    /// Only this name.
    Just(String),
    /// Any of these names.
    Any(Vec<String>),
}

/// A policy that is refused, and the messages.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// The rule that the policy breaks.
    pub rule: String,
    /// The policy, if it can be shown as JSON.
    pub policy: Option<Value>,
    /// The policy as a string, if it can't.
    pub text: Option<String>,
    /// The messages, whole and in order.
    pub errors: Vec<String>,
}

impl Table {
    /// Every cluster that the policy names.
    pub fn clusters(&self) -> BTreeSet<String> {
        let keys =
            |value: &Value| value.as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect::<Vec<_>>();
        let list = |value: Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        let mut clusters = BTreeSet::new();
        clusters.extend(text(self.policy.get("default_cluster")));
        for backend in self.policy.get("backends").and_then(Value::as_object).into_iter().flat_map(|all| all.values()) {
            clusters.extend(text(backend.get("cluster")));
        }
        for endpoint in list(self.policy.get("endpoints")) {
            for plan in list(endpoint.get("cohorts")).iter().chain([&endpoint]) {
                clusters.extend(["traffic", "shadow"].iter().filter_map(|member| plan.get(member)).flat_map(keys));
            }
        }
        clusters
    }
}

impl OneOf {
    /// Whether `name` is one of these.
    pub fn contains(&self, name: &str) -> bool {
        match self {
            Self::Just(only) => only == name,
            Self::Any(names) => names.iter().any(|known| known == name),
        }
    }
}

impl Case {
    /// Sends the request to a proxy: with the name of the case as `x-case`, and with headers that
    /// stand for its address and metadata.
    ///
    /// # Errors
    /// When there is no answer.
    ///
    /// # Panics
    /// When a value has a character above U+00FF.
    pub async fn send(&self, client: &Client, name: &str) -> anyhow::Result<Answer> {
        let mut headers = self.headers();
        headers.push(("x-case".to_owned(), name.as_bytes().to_vec()));
        headers.extend(self.source.map(|ip| ("x-forwarded-for".to_owned(), ip.to_string().into_bytes())));
        headers.extend(self.metadata.iter().map(|(key, value)| metadata_header(key, value)));
        let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
        client.send(&self.method, &self.path, headers, Bytes::new()).await
    }

    /// The shadows that get a copy, in order of their names.
    pub fn copies(&self) -> Vec<String> {
        let mut copies = self.decision.as_ref().map(|decision| decision.shadows.clone()).unwrap_or_default();
        copies.sort();
        copies
    }

    /// The headers as bytes.
    ///
    /// # Panics
    /// When a value has a character above U+00FF.
    pub fn headers(&self) -> Vec<(String, Vec<u8>)> {
        self.headers.iter().map(|(name, value)| (name.clone(), bytes_of(value))).collect()
    }

    /// The request as the core sees it.
    ///
    /// # Panics
    /// When a value of a header has a character above U+00FF.
    pub fn table(&self) -> TableRequest {
        let path = |key: &str| ["metadata", "filter_metadata", "test", key].map(str::to_owned).to_vec();
        let metadata = self.metadata.iter().filter_map(|(key, value)| Some((path(key), bytes_of_value(value)?)));
        TableRequest {
            source: self.source.map(|ip| SocketAddr::new(ip, 50_000).to_string()),
            properties: metadata.collect(),
            ..TableRequest::of_http(&self.method, Some(self.path.clone().into_bytes()), self.headers())
        }
    }
}

impl Refusal {
    /// The policy as a string.
    ///
    /// # Panics
    /// When the table has neither a policy nor a text, or has both.
    pub fn text(&self) -> String {
        match (&self.text, &self.policy) {
            (Some(text), None) => text.clone(),
            (None, Some(policy)) => policy.to_string(),
            _ => panic!("{}: give either a policy or a text", self.rule),
        }
    }
}

/// The bytes that a string of a table stands for, one for each character.
///
/// # Panics
/// When a character is above U+00FF.
pub fn bytes_of(text: &str) -> Vec<u8> {
    let byte = |c| u8::try_from(c).unwrap_or_else(|_| panic!("{c:?} in {text:?} is above U+00FF"));
    text.chars().map(byte).collect()
}

/// All tables of `tests/data/cases`, in order of their file names.
///
/// # Errors
/// When one can't be read. The error names it.
pub fn tables() -> anyhow::Result<Vec<Table>> {
    let mut tables = Vec::new();
    for entry in fs::read_dir(project().join("tests/data/cases"))? {
        let path = entry?.path();
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut table: Table =
            serde_json::from_str(&fs::read_to_string(&path)?).with_context(|| format!("tests/data/cases/{file}"))?;
        table.file = file;
        tables.push(table);
    }
    tables.sort_by(|a, b| a.file.cmp(&b.file));
    anyhow::ensure!(!tables.is_empty(), "tests/data/cases is empty");
    Ok(tables)
}

/// All policies of `tests/data/refusals.json`.
///
/// # Errors
/// When the file can't be read.
pub fn refusals() -> anyhow::Result<Vec<Refusal>> {
    let file = "tests/data/refusals.json";
    serde_json::from_str(&read(file)?).context(file)
}

fn get() -> String {
    "GET".to_owned()
}

fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}
