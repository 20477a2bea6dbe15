//! The reference model in Python, `tests/data/model`: it was written from the contract's words
//! alone.
//!
//! It makes random policies and requests, and decides about them. The core and the filter in Envoy
//! must decide the same.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::attribute::bytes_of_value;
use crate::cases::bytes_of;
use crate::python::json_lines;
use crate::request::TableRequest;

/// A line that the generator prints.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// The policy of the cases that follow.
    Policy(Value),
    /// A request under that policy.
    Case(Box<Case>),
    /// How often each kind of condition held, and how often it did not.
    Tried(BTreeMap<String, u64>),
}

/// A request, and the reference's decision about it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// The request.
    pub request: ModelRequest,
    /// The draw: 64 bits in hexadecimal.
    pub draw: String,
    /// The reference's decision.
    pub expected: Decided,
    /// Why HTTP or Envoy can't carry this request to the filter unchanged, if so.
    pub only_native: Option<String>,
}

/// A request as data. Each character, up to U+00FF, stands for one byte, except in properties.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelRequest {
    /// The method.
    pub method: String,
    /// The path with the query, or `None` for CONNECT.
    pub path: Option<String>,
    /// The headers in order, in any case.
    pub headers: Vec<(String, String)>,
    /// The client's address with its port, or something that is not an address.
    pub source: Option<String>,
    /// Path and value of each property.
    pub properties: Vec<(Vec<String>, Value)>,
    /// The 128 bits of a key that may be generated, in hexadecimal.
    pub new_key: String,
}

/// The decision about a request, in the reference's words.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Decided {
    /// The endpoint that matches.
    pub endpoint: Option<String>,
    /// The cohort that matches.
    pub cohort: Option<String>,
    /// The backend that serves.
    pub backend: Option<String>,
    /// The cluster that gets the request.
    pub cluster: Option<String>,
    /// `key`, `random` or `generated`, or `none` if no endpoint matches.
    pub reason: String,
    /// The backends with a share, and their clusters. One of them serves, whatever the draw.
    pub candidates: BTreeMap<String, String>,
    /// Whether the last bit of a logarithm decides between two backends.
    pub near_tie: bool,
    /// The shadows that get a copy.
    pub shadows: Vec<String>,
    /// The shadows that have drawn the request and get no copy, and why.
    pub skipped: Vec<(String, String)>,
    /// The start of the `Set-Cookie` header that carries a generated key.
    pub set_cookie: Option<String>,
}

/// How many cases had which outcome.
#[derive(Default)]
pub struct Outcomes(BTreeMap<String, u64>);

/// The outcomes that every run must have seen.
pub const OUTCOMES: [&str; 5] = ["reason key", "reason random", "reason generated", "reason none", "in a cohort"];

/// The number in the environment variable `name`, or `default`.
///
/// # Panics
/// When it is not a number.
pub fn cases(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |count| count.parse().unwrap_or_else(|error| panic!("{name}={count}: {error}")))
}

/// Runs the generator and calls `take` with each line as it comes.
///
/// # Errors
/// When the generator fails.
pub fn generate(seed: u64, cases: u64, cases_per_policy: u64, take: impl FnMut(Line)) -> anyhow::Result<()> {
    let arguments = [seed, cases, cases_per_policy].map(|number| number.to_string());
    json_lines("model/generate.py", &arguments, Stdio::null(), take)
}

impl ModelRequest {
    /// The request as the core sees it.
    pub fn table(&self) -> TableRequest {
        let headers = self.headers.iter().map(|(name, value)| (name.clone(), bytes_of(value)));
        let path = self.path.as_deref().map(bytes_of);
        let properties =
            self.properties.iter().filter_map(|(path, value)| Some((path.clone(), bytes_of_value(value)?)));
        TableRequest {
            source: self.source.clone(),
            properties: properties.collect(),
            ..TableRequest::of_http(&self.method, path, headers)
        }
    }
}

impl Outcomes {
    /// Counts one case with this outcome.
    pub fn add(&mut self, outcome: impl Into<String>) {
        *self.0.entry(outcome.into()).or_default() += 1;
    }

    /// Adds counts.
    pub fn extend(&mut self, counts: BTreeMap<String, u64>) {
        for (outcome, count) in counts {
            *self.0.entry(outcome).or_default() += count;
        }
    }

    /// Counts the outcomes of a decision.
    pub fn add_decision(&mut self, decided: &Decided) {
        self.add(format!("reason {}", decided.reason));
        if decided.cohort.is_some() {
            self.add("in a cohort");
        }
        if decided.candidates.len() > 1 {
            self.add("more than one backend has a share");
        }
        decided.shadows.iter().for_each(|_| self.add("copies"));
        decided.skipped.iter().for_each(|(_, reason)| self.add(reason));
    }

    /// Checks that the cases show something: each outcome of `wanted` must have occurred at least
    /// `at_least` times.
    ///
    /// # Panics
    /// When one has not.
    pub fn check(&self, wanted: &[&str], at_least: u64) {
        for outcome in wanted {
            let count = self.0.get(*outcome).copied().unwrap_or_default();
            assert!(count >= at_least, "only {count} of {outcome}; at least {at_least} are needed");
        }
    }

    /// Prints all counts, and how long the cases took.
    pub fn print(&self, time: Duration) {
        let mut table = String::new();
        for (outcome, count) in &self.0 {
            // Writing to a string does not fail.
            let _ = writeln!(table, "{count:>8}  {outcome}");
        }
        println!("{table}in {time:?}");
    }
}
