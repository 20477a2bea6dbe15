//! The tables of cases that the native core and the real filter in a real Envoy both run.

use std::collections::BTreeMap;
use std::fs;

use anyhow::Context;
use serde::Deserialize;
use serde_json::Value;

use crate::project;

/// A file of `tests/cases`: a policy and what it makes of requests.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// The file's name.
    #[serde(skip)]
    pub file: String,
    /// What the cases are about.
    pub about: String,
    pub policy: Value,
    pub cases: Vec<Case>,
}

/// A request and the decision about it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// The rule that the case shows.
    pub rule: String,
    #[serde(default = "get")]
    pub method: String,
    pub path: String,
    /// Each character, up to U+00FF, stands for one byte.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// The client's address, if the case is about it.
    pub source: Option<std::net::IpAddr>,
    /// Metadata in the namespace `test`, as an earlier filter would have left it.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// `null`: no endpoint matches.
    pub decision: Option<Expected>,
    /// The cluster that gets the request; `null`: none. Absent: of the same name as the backend.
    #[serde(default, deserialize_with = "present")]
    pub cluster: Option<Option<String>>,
    /// Why this case can't be shown in Envoy, if so.
    pub only_native: Option<String>,
}

/// An expected decision.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    pub endpoint: String,
    pub cohort: Option<String>,
    /// One of these serves: more than one where chance decides.
    pub backend: OneOf,
    pub reason: String,
    /// The backends that get a copy.
    #[serde(default)]
    pub shadows: Vec<String>,
    /// The backends that would have got one, and why they did not.
    #[serde(default)]
    pub skipped: Vec<(String, String)>,
}

/// A name, or several of which any will do.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum OneOf {
    Just(String),
    Any(Vec<String>),
}

/// A policy that is refused, and the words.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// The rule that the policy breaks.
    pub rule: String,
    /// The policy, as JSON.
    pub policy: Option<Value>,
    /// The policy's text, where it can't be shown as JSON.
    pub text: Option<String>,
    /// The whole messages.
    pub errors: Vec<String>,
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
    /// The headers as bytes.
    pub fn headers(&self) -> Vec<(String, Vec<u8>)> {
        let bytes = |text: &str| text.chars().map(|c| u8::try_from(c).expect("a character up to U+00FF")).collect();
        self.headers.iter().map(|(name, value)| (name.clone(), bytes(value))).collect()
    }
}

impl Refusal {
    /// The policy's text.
    pub fn text(&self) -> String {
        match (&self.text, &self.policy) {
            (Some(text), None) => text.clone(),
            (None, Some(policy)) => policy.to_string(),
            _ => panic!("{}: give either policy or text", self.rule),
        }
    }
}

/// All tables of `tests/cases`, by file name.
///
/// # Errors
/// When one can't be read, with its name.
pub fn tables() -> anyhow::Result<Vec<Table>> {
    let mut tables = Vec::new();
    for entry in fs::read_dir(project().join("tests/cases"))? {
        let path = entry?.path();
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut table: Table =
            serde_json::from_str(&fs::read_to_string(&path)?).with_context(|| format!("tests/cases/{file}"))?;
        table.file = file;
        tables.push(table);
    }
    tables.sort_by(|a, b| a.file.cmp(&b.file));
    anyhow::ensure!(!tables.is_empty(), "tests/cases is empty");
    Ok(tables)
}

/// All policies that are refused.
///
/// # Errors
/// When the file can't be read.
pub fn refusals() -> anyhow::Result<Vec<Refusal>> {
    let file = "tests/refusals.json";
    serde_json::from_str(&fs::read_to_string(project().join(file))?).context(file)
}

fn get() -> String {
    "GET".to_owned()
}

fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}
