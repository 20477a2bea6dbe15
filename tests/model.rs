//! The contract's other implementation, in Python and written from its words alone, decides about random requests under
//! random policies: the native core and the real filter in a real Envoy must decide the same.
//!
//! `MODEL_CASES` and `ENVOY_CASES` set how many cases each is given; run with `-- --nocapture` to see what they were.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod table_request;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::StatusCode;
use policy::Policy;
use serde::Deserialize;
use serde_json::{Value, json};
use table_request::TableRequest;
use testbed::backend::Backend;
use testbed::client::{Client, Http, served_by};
use testbed::envoy::{Envoy, Setup, Verdict, connection_manager, one_endpoint, routes};
use testbed::project;

/// A line of the generator's.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    /// The policy of the cases that follow.
    Policy(Value),
    Case(Box<Case>),
    /// How often each kind of condition held and did not.
    Tried(BTreeMap<String, u64>),
}

/// A request, and the reference's decision about it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    request: ModelRequest,
    /// 64 bits in hexadecimal.
    draw: String,
    expected: Decided,
    /// Why HTTP or Envoy does not carry this request to the filter as it is, if so.
    only_native: Option<String>,
}

/// A request as data. Each character, up to U+00FF, stands for one byte, but for those of properties.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ModelRequest {
    method: String,
    path: Option<String>,
    headers: Vec<(String, String)>,
    source: Option<String>,
    properties: Vec<(Vec<String>, String)>,
    /// The 128 bits of a key that may be generated, in hexadecimal.
    new_key: String,
}

/// What becomes of a request, in the reference's words.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Decided {
    endpoint: Option<String>,
    cohort: Option<String>,
    backend: Option<String>,
    cluster: Option<String>,
    /// `key`, `random`, `generated`, or `none` where no endpoint takes the request.
    reason: String,
    /// The backends with a share, and their clusters: one of them serves, whatever the draw.
    candidates: BTreeMap<String, String>,
    /// The last bit of a logarithm decides between two backends.
    near_tie: bool,
    shadows: Vec<String>,
    skipped: Vec<(String, String)>,
    /// What the `Set-Cookie` with a generated key starts with.
    set_cookie: Option<String>,
}

/// How many cases had what outcome.
#[derive(Default)]
struct Outcomes(BTreeMap<String, u64>);

impl Outcomes {
    fn add(&mut self, outcome: impl Into<String>) {
        *self.0.entry(outcome.into()).or_default() += 1;
    }

    /// Counts what the reference decided.
    fn add_decision(&mut self, decided: &Decided) {
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

    /// Fails if there are less than `at_least` of one of `wanted`: the cases would show nothing.
    fn check(&self, wanted: &[&str], at_least: u64) {
        for outcome in wanted {
            let count = self.0.get(*outcome).copied().unwrap_or_default();
            assert!(count >= at_least, "{count} of {outcome}, and not {at_least}");
        }
    }

    /// Shows all counts.
    fn print(&self, time: Duration) {
        let mut table = String::new();
        for (outcome, count) in &self.0 {
            writeln!(table, "{count:>8}  {outcome}").unwrap();
        }
        println!("{table}in {time:?}");
    }
}

/// What every run must have seen.
const OUTCOMES: [&str; 5] = ["reason key", "reason random", "reason generated", "reason none", "in a cohort"];
/// What becomes of shadows.
const SHADOWED: [&str; 6] =
    ["copies", "skipped_marked", "skipped_upgrade", "skipped_method", "only_from: False", "shadow by key: True"];
/// Conditions that held, and sources that had a key.
const HELD: [&str; 22] = [
    "path exact: True",
    "path prefix: True",
    "path regex: True",
    "methods: True",
    "hosts: True",
    "headers: True",
    "cookies: True",
    "query: True",
    "source_ip: True",
    "properties: True",
    "exact: True",
    "prefix: True",
    "suffix: True",
    "contains: True",
    "regex: True",
    "present: True",
    "regex ignore_case: True",
    "key of header",
    "key of cookie",
    "key of query",
    "key of property",
    "key of source_ip",
];

/// The number that the variable `name` holds.
fn cases(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |count| count.parse().unwrap())
}

/// Runs the generator and gives its lines as they come.
fn generated(seed: u64, cases: u64, cases_per_policy: u64, mut take: impl FnMut(Line)) {
    let mut generator = Command::new("python3")
        .arg(project().join("tests/model/generate.py"))
        .args([seed, cases, cases_per_policy].map(|number| number.to_string()))
        // Nothing of the interpreter's in the project's folder.
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    for line in BufReader::new(generator.stdout.take().unwrap()).lines() {
        take(serde_json::from_str(&line.unwrap()).unwrap());
    }
    assert!(generator.wait().unwrap().success());
}

fn bytes(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(c).unwrap()).collect()
}

impl ModelRequest {
    /// The request as the core is asked about it.
    fn table(&self) -> TableRequest {
        let lower_case = |(name, value): &(String, String)| {
            let name = name.to_ascii_lowercase();
            (if name == "host" { ":authority".to_owned() } else { name }, bytes(value))
        };
        let mut headers: Vec<_> = self.headers.iter().map(lower_case).collect();
        headers.push((":method".to_owned(), bytes(&self.method)));
        headers.extend(self.path.iter().map(|path| (":path".to_owned(), bytes(path))));
        let properties = self.properties.iter().cloned().collect();
        TableRequest { headers, source: self.source.clone(), properties }
    }
}

/// The core's decision, in the reference's words.
fn decided(policy: &Policy, case: &Case) -> Decided {
    let draw = u64::from_str_radix(&case.draw, 16).unwrap();
    let new_key = || u128::from_str_radix(&case.request.new_key, 16).unwrap();
    let request = case.request.table();
    // What the core doesn't tell is taken from the reference.
    let near_tie = case.expected.near_tie;
    let candidates = case.expected.candidates.clone();
    let Some(decision) = policy.decide(&request, draw, new_key) else {
        let cluster = policy.default_cluster.clone();
        return Decided { cluster, reason: "none".to_owned(), near_tie, candidates, ..Decided::default() };
    };
    let mut shadows: Vec<_> = decision.shadows.iter().map(|shadow| shadow.backend.name.clone()).collect();
    let skipped = decision.skipped.iter();
    let mut skipped: Vec<_> =
        skipped.map(|(shadow, skip)| (shadow.backend.name.clone(), skip.name().to_owned())).collect();
    shadows.sort();
    skipped.sort();
    let start = |cookie: String| Some(cookie.split_inclusive(';').next()?.to_owned());
    Decided {
        endpoint: Some(decision.endpoint.name.to_string()),
        cohort: decision.cohort.map(|cohort| cohort.name.to_string()),
        backend: Some(decision.backend.name.clone()),
        cluster: Some(decision.backend.cluster.clone()),
        reason: decision.reason.name().to_owned(),
        candidates,
        near_tie,
        shadows,
        skipped,
        set_cookie: decision.set_cookie.and_then(start),
    }
}

#[test]
fn the_core_decides_as_the_reference_does() {
    let start = Instant::now();
    let count = cases("MODEL_CASES", 10_000);
    let mut outcomes = Outcomes::default();
    let mut differences = Vec::new();
    let (mut written, mut policy) = (Value::Null, None);
    generated(1, count, 20, |line| match line {
        Line::Policy(value) => {
            let text = value.to_string();
            let parsed = Policy::from_json(text.as_bytes()).unwrap_or_else(|errors| panic!("{text}\n{errors}"));
            (written, policy) = (value, Some(parsed.policy));
            outcomes.add("policies");
        }
        Line::Case(case) => {
            let found = decided(policy.as_ref().unwrap(), &case);
            outcomes.add("requests");
            outcomes.add_decision(&case.expected);
            if case.expected.near_tie {
                outcomes.add("near ties, not compared");
            } else if found != case.expected {
                differences.push(format!("{written}\n{case:?}\nthe core: {found:?}"));
            }
        }
        Line::Tried(tried) => outcomes.0.extend(tried),
    });
    outcomes.print(start.elapsed());
    let first = differences.iter().take(3).cloned().collect::<Vec<_>>().join("\n\n");
    assert!(differences.is_empty(), "{} cases differ, first these:\n{first}", differences.len());
    outcomes.check(&OUTCOMES, count / 100);
    outcomes.check(&SHADOWED, count / 100);
    outcomes.check(&HELD, count / 2000);
}

/// Takes the client's address from `x-forwarded-for` and metadata from the headers `x-meta-…`, and tells the whole decision
/// in the response.
fn with_decision(bootstrap: &mut Value) {
    let manager = connection_manager(bootstrap);
    manager["xff_num_trusted_hops"] = json!(1);
    let rule = |key: &str| {
        let metadata = json!({ "metadata_namespace": "test", "key": key });
        json!({ "header": format!("x-meta-{key}"), "on_header_present": metadata })
    };
    let filter = json!({ "name": "metadata", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.header_to_metadata.v3.Config",
        "request_rules": [rule("tier"), rule("user")] } });
    manager["http_filters"].as_array_mut().unwrap().insert(0, filter);
    let header = json!({ "key": "x-decision", "value": "%FILTER_STATE(wasm.traffic_policy:PLAIN)%" });
    for route in routes(bootstrap) {
        route["response_headers_to_add"] = json!([{ "header": header.clone() }]);
    }
}

/// What keeps an answer from being what the reference expects; nothing if it is.
async fn difference(client: &Client, policy: &Value, case: &Case) -> Option<String> {
    let (request, expected) = (&case.request, &case.expected);
    let mut headers: Vec<_> = request.headers.iter().map(|(name, value)| (name.clone(), bytes(value))).collect();
    let source = request.source.as_deref().unwrap().rsplit_once(':').unwrap().0.trim_matches(['[', ']']);
    headers.push(("x-forwarded-for".to_owned(), bytes(source)));
    for (path, text) in &request.properties {
        headers.push((format!("x-meta-{}", path.last().unwrap()), text.clone().into_bytes()));
    }
    let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
    let path = request.path.as_deref().unwrap();
    let answer = match client.send(&request.method, path, headers, Bytes::new()).await {
        Ok(answer) => answer,
        Err(error) => return Some(format!("{error:#}")),
    };
    let text = |name: &str| Some(answer.headers().get(name)?.to_str().unwrap().to_owned());
    let (decision, served) = (text("x-decision").filter(|value| value != "-"), served_by(&answer));
    let Some(endpoint) = &expected.endpoint else {
        let is_right = decision.is_none()
            && served == expected.cluster.as_deref()
            && (served.is_some() || answer.status() == StatusCode::NOT_FOUND);
        return (!is_right).then(|| format!("{answer:?}"));
    };
    // Who serves is determined by a key, and else by a draw of the filter's own.
    let backend = match (expected.reason.as_str(), &decision) {
        ("key", _) => expected.backend.clone(),
        (_, decision) => decision.as_ref().and_then(|text| text.split('/').nth(2)).map(str::to_owned),
    };
    let (backend, cohort) = (backend.unwrap_or_default(), expected.cohort.as_deref().unwrap_or("-"));
    let is_right = decision == Some(format!("{endpoint}/{cohort}/{backend}/{}", expected.reason))
        && served.is_some()
        && served == expected.candidates.get(&backend).map(String::as_str)
        && text("set-cookie").is_some() == expected.set_cookie.is_some()
        && policy.get("response_header").is_none_or(|name| text(name.as_str().unwrap()) == Some(backend));
    (!is_right).then(|| format!("{answer:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_filter_decides_as_the_reference_does() {
    let start = Instant::now();
    let mut lines = Vec::new();
    // More than are sent: some can't be.
    let count = cases("ENVOY_CASES", 200);
    generated(2, count * 3, 25, |line| lines.push(line));
    let mut clusters = BTreeSet::from(["main".to_owned()]);
    for line in &lines {
        if let Line::Case(case) = line {
            clusters.extend(case.expected.candidates.values().chain(&case.expected.cluster).cloned());
            // Copies are made, too.
            clusters.extend(case.expected.shadows.iter().cloned());
        }
    }
    let backends = Backend::start_all(clusters).await.unwrap();
    let first = one_endpoint(json!({ "name": "first", "traffic": { "main": 1 } }));
    let envoy = Envoy::start(&Setup { adapt: with_decision, ..Setup::new(first, &backends) }).await.unwrap();
    let client = envoy.client(Http::V1);
    let mut outcomes = Outcomes::default();
    let (mut sent, mut policy) = (0, Value::Null);
    for line in lines {
        match line {
            _ if sent == count => break,
            Line::Policy(mut value) => {
                value["filter_state"] = json!("traffic_policy");
                assert_eq!(envoy.apply(&value.to_string()).await.unwrap(), Verdict::InForce, "{value}");
                policy = value;
                outcomes.add("policies");
            }
            Line::Case(case) => {
                if let Some(reason) = &case.only_native {
                    outcomes.add(format!("not sent: {reason}"));
                } else if case.expected.near_tie {
                    outcomes.add("near ties, not compared");
                } else {
                    let difference = difference(&client, &policy, &case).await;
                    assert!(difference.is_none(), "{policy}\n{case:?}\nEnvoy: {}", difference.unwrap_or_default());
                    outcomes.add("requests");
                    outcomes.add_decision(&case.expected);
                    sent += 1;
                }
            }
            Line::Tried(_) => {}
        }
    }
    outcomes.print(start.elapsed());
    assert_eq!(sent, count);
    outcomes.check(&OUTCOMES, count / 100);
}
