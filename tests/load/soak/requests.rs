//! The policies that take turns, the requests that are sent over and over, and the reference's
//! decisions.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufWriter, Seek, Write};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use testbed::python::json_lines;

/// The number of policies. They take turns, each time with another name of the response header.
pub(super) const POLICIES: u64 = 4;
/// The backends that serve.
pub(super) const BACKENDS: [&str; 3] = ["a", "b", "c"];
/// The backends that get copies.
pub(super) const SHADOWS: [&str; 4] = ["quick", "slow", "users", "limited"];
/// The name of the cookie with a generated key.
pub(super) const COOKIE: &str = "visitor";

/// The policy that comes after `number` others. The name of its response header contains the
/// number.
pub(super) fn policy(number: u64) -> Value {
    let turn = |n: u64| ((number + n) % POLICIES) as usize;
    let split = |n: u64| {
        let shares = [[0.5, 0.3, 0.2], [0.9, 0.09, 0.01], [20.0, 30.0, 50.0], [34.0, 33.0, 33.0]][turn(n)];
        BACKENDS.into_iter().zip(shares).collect::<BTreeMap<_, _>>()
    };
    let sources = [("header", "x-user"), ("cookie", "session"), ("query", "uid")];
    let [header, cookie, query] = sources.map(|(kind, name)| json!({ kind: name }));
    let keys = [vec![&header], vec![&cookie, &header], vec![&query, &header], vec![&header, &query]];
    json!({ "response_header": format!("x-policy-{number}"), "endpoints": [
        { "name": "rank", "route": "/rank", "traffic": split(0),
          "affinity": { "keys": &keys[turn(0)], "salt": "first" },
          "shadow": { "quick": 1, "slow": { "fraction": 0.5, "max_in_flight": 16 },
                      "users": { "fraction": 0.25, "sample": "key", "only_from": ["a"], "max_body_bytes": 200_000 } },
          "cohorts": [
            { "name": "gold", "match": { "headers": [{ "name": "x-tier", "exact": "gold" }] }, "traffic": { "b": 1 },
              "shadow": { "slow": 0 } },
            { "name": "eu", "match": { "hosts": ["*.eu.example"] }, "traffic": split(1) } ] },
        { "name": "ads", "route": "/ads", "traffic": split(2),
          "affinity": { "keys": [cookie], "salt": "second", "on_missing": "generate_cookie",
                        "cookie": { "name": COOKIE } },
          "shadow": { "users": { "fraction": 0.5, "sample": "key" },
                      "limited": { "fraction": 1, "methods": ["GET", "POST"], "max_per_second": 50 } },
          "cohorts": [
            { "name": "beta", "match": { "cookies": [{ "name": "beta", "exact": "on" }] }, "traffic": split(3) },
            { "name": "debug", "match": { "query": [{ "name": "debug", "present": true }] }, "traffic": split(0) } ] },
        { "name": "rest", "affinity": null, "traffic": split(3), "shadow": { "quick": 0.1 } },
    ] })
}

/// The number of the policy that a change puts into force. Changes go through many policies and
/// flap between two, in turn.
pub(super) fn numbered(change: u64) -> u64 {
    const PHASE: u64 = 15;
    let phase = change / PHASE;
    if phase.is_multiple_of(2) { change } else { phase * PHASE + change % 2 }
}

/// A request that is sent over and over.
#[derive(Clone)]
pub(super) struct Request {
    pub(super) method: &'static str,
    pub(super) path: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Bytes,
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {:?} and {} bytes", self.method, self.path, self.headers, self.body.len())
    }
}

/// All combinations of an endpoint and of the values that cohorts and keys depend on. Each request
/// has its own keys, and some have bodies.
pub(super) fn requests() -> Vec<Request> {
    let sizes = [0, 100, 1_000, 10_000, 100_000, 300_000].map(|size| Bytes::from(vec![b'x'; size]));
    (0..6912)
        .map(|number| {
            let mut rest = number;
            let mut pick = |of: usize| {
                let picked = rest % of;
                rest /= of;
                picked
            };
            let path = ["/rank", "/ads", "/other"][pick(3)];
            let tier = ["gold", "silver", ""][pick(3)];
            let parameters = [
                (pick(2) == 0).then(|| format!("uid=parameter-{number}")),
                (pick(2) == 0).then(|| "debug=1".to_owned()),
            ];
            let cookies = [
                (pick(2) == 0).then(|| format!("session=cookie-{number}")),
                (pick(4) == 0).then(|| "beta=on".to_owned()),
                (pick(4) > 0).then(|| format!("{COOKIE}=visitor-{number}")),
            ];
            let mut headers = Vec::new();
            let joined = |parts: &[Option<String>], by| parts.iter().flatten().cloned().collect::<Vec<_>>().join(by);
            headers.push(("cookie", joined(&cookies, "; ")));
            headers.push(("x-tier", tier.to_owned()));
            headers.extend((pick(2) == 0).then(|| ("x-user", format!("header-{number}"))));
            headers.extend((pick(3) == 0).then(|| ("host", "api.eu.example".to_owned())));
            // 47 has no factor in common with what is picked from.
            let (method, size) = match number % 47 {
                0 => ("POST", 5),
                1 => ("PUT", 4),
                2..5 => ("POST", 3),
                5..10 => ("PUT", 2),
                10..20 => ("POST", 1),
                20..23 => ("DELETE", 0),
                _ => ("GET", 0),
            };
            headers.extend((number % 47 == 23).then(|| ("x-traffic-shadow", "elsewhere".to_owned())));
            headers.retain(|(_, value)| !value.is_empty());
            let path = format!("{path}?{}", joined(&parameters, "&"));
            Request { method, path, headers, body: sizes[size].clone() }
        })
        .collect()
}

/// The reference's decision about a request.
#[derive(Debug, Deserialize)]
pub(super) struct Decided {
    pub(super) endpoint: String,
    pub(super) cohort: Option<String>,
    pub(super) reason: String,
    /// The chance of each backend to serve it.
    pub(super) backends: BTreeMap<String, f64>,
    /// The chance of each shadow to draw it, by the backend that serves it.
    pub(super) shadows: BTreeMap<String, BTreeMap<String, f64>>,
    /// Why a shadow that draws it gets no copy.
    pub(super) skips: BTreeMap<String, String>,
}

/// Asks the reference for its decisions about requests, each under the policy with this number, and
/// calls `take` with the answers in order.
pub(super) fn decide<'a>(questions: impl Iterator<Item = (u64, &'a Request)>, take: impl FnMut(Decided)) {
    let mut file = BufWriter::new(tempfile::tempfile().unwrap());
    writeln!(file, "{}", json!((0..POLICIES).map(policy).collect::<Vec<_>>())).unwrap();
    for (number, Request { method, path, headers, .. }) in questions {
        let request = json!({
            "method": method, "path": path, "headers": headers, "source": null, "properties": [], "new_key": 0,
        });
        writeln!(file, "{}", json!({ "policy": number % POLICIES, "request": request })).unwrap();
    }
    let mut file = file.into_inner().unwrap();
    file.rewind().unwrap();
    json_lines("model/decide.py", &[], file.into(), take).unwrap();
}
