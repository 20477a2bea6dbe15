//! Policies that make a request cost as much as they can, and the request that costs most.

use policy::Policy;
use serde_json::{Value, json};

/// Names and values.
pub type Headers = Vec<(String, String)>;

/// A kind of policy that grows in one direction.
pub struct Shape {
    /// What there is more and more of.
    pub name: &'static str,
    /// The policy with this number of them.
    pub policy: fn(usize) -> Value,
    /// The path and the headers of the request, of Envoy's default size at most.
    pub request: fn() -> (String, Headers),
}

/// The room for path and headers in a request of Envoy's default size, 60 KiB, besides what every
/// request has.
const BYTES: usize = 58_000;

/// How many headers there may be beside those that every request has: Envoy allows 100.
const HEADERS: usize = 88;

/// All shapes.
pub const SHAPES: [Shape; 26] = [
    Shape {
        name: "regexes that keep all their states alive",
        policy: |count| {
            cohorts(count, |n| json!({ "headers": [{ "name": "x-a", "regex": format!("(?:.*a){{40}}b{n}") }] }))
        },
        request: || one_header("x-a", "a".repeat(1024)),
    },
    Shape {
        name: "regexes that count",
        policy: |count| {
            cohorts(count, |n| json!({ "headers": [{ "name": "x-a", "regex": format!(".*a.{{200}}b{n}") }] }))
        },
        request: || one_header("x-a", "a".repeat(1024)),
    },
    Shape {
        name: "regexes of classes in any case",
        policy: |count| {
            cohorts(
                count,
                |n| json!({ "headers": [{ "name": "x-a", "ignore_case": true, "regex": format!("(?:[a-c0e2g4i6k8m]*[b-d]*){{10}}!{n}") }] }),
            )
        },
        request: || one_header("x-a", "b".repeat(1024)),
    },
    Shape {
        name: "small regexes",
        policy: |count| cohorts(count, |n| json!({ "headers": [{ "name": "x-a", "regex": format!(".*a{n}") }] })),
        request: || (String::from("/"), (0..16).map(|_| ("x-a".to_owned(), "a".repeat(64))).collect()),
    },
    Shape {
        name: "regexes of the path",
        policy: |count| endpoints(count, |n| json!({ "path": { "regex": format!("/a.*b.*c{n}") } })),
        request: || (format!("/{}", "ab".repeat(511)), Vec::new()),
    },
    Shape {
        name: "searches in any case",
        policy: |count| {
            cohorts(
                count,
                |n| json!({ "headers": [{ "name": "x-a", "ignore_case": true, "contains": format!("{}b{n}", "a".repeat(1000)) }] }),
            )
        },
        request: || one_header("x-a", format!("{}c", "a".repeat(1000)).repeat(57)),
    },
    Shape {
        name: "short searches",
        policy: |count| {
            cohorts(
                count,
                |n| json!({ "headers": [{ "name": "x-a", "ignore_case": true, "contains": format!("{}b{n}", "a".repeat(40)) }] }),
            )
        },
        request: || one_header("x-a", format!("{}c", "a".repeat(40)).repeat(BYTES / 41)),
    },
    Shape {
        name: "few cookies",
        policy: |count| cohorts(count.min(4), |n| json!({ "cookies": [{ "name": format!("a{n}"), "exact": "1" }] })),
        request: || one_header("cookie", "a=;".repeat(BYTES / 3)),
    },
    Shape {
        name: "few parameters",
        policy: |count| cohorts(count.min(4), |n| json!({ "query": [{ "name": format!("a{n}"), "exact": "1" }] })),
        request: || (format!("/?{}", "a&".repeat(BYTES / 2)), Vec::new()),
    },
    Shape {
        name: "searches of many values",
        policy: |count| cohorts(count, |n| json!({ "cookies": [{ "name": "a", "contains": format!("ab{n}") }] })),
        request: || one_header("cookie", "a=aaab;".repeat(BYTES / 7)),
    },
    Shape {
        name: "prefixes of a cookie",
        policy: |count| cohorts(count, |n| json!({ "cookies": [{ "name": "a", "prefix": format!("a{n}") }] })),
        request: || one_header("cookie", "a=aa;".repeat(BYTES / 5)),
    },
    Shape {
        name: "cookies",
        policy: |count| cohorts(count, |n| json!({ "cookies": [{ "name": format!("a{n}"), "exact": "1" }] })),
        request: || one_header("cookie", (0..BYTES / 9).map(|n| format!("a{n}=2;")).collect()),
    },
    Shape {
        name: "parameters",
        policy: |count| cohorts(count, |n| json!({ "query": [{ "name": format!("a{n}"), "suffix": "1" }] })),
        request: || (format!("/?{}", "a1&".repeat(BYTES / 3)), Vec::new()),
    },
    Shape {
        name: "headers",
        policy: |count| cohorts(count, |n| json!({ "headers": [{ "name": format!("x-{n:05}"), "present": true }] })),
        request: || (String::from("/"), (0..HEADERS).map(|n| (format!("x-a{n:04}"), "1".repeat(600))).collect()),
    },
    Shape {
        name: "values of a header in any case",
        policy: |count| {
            cohorts(
                count,
                |n| json!({ "headers": [{ "name": "x-a", "ignore_case": true, "exact": format!("{}{n:08}", "a".repeat(592)) }] }),
            )
        },
        request: || (String::from("/"), (0..HEADERS).map(|_| ("x-a".to_owned(), "a".repeat(600))).collect()),
    },
    Shape {
        name: "values of a header",
        policy: |count| cohorts(count, |n| json!({ "headers": [{ "name": "x-a", "exact": format!("v{n:06}") }] })),
        request: || (String::from("/"), (0..HEADERS).map(|n| ("x-a".to_owned(), format!("w{n:06}"))).collect()),
    },
    Shape {
        name: "endpoints",
        policy: |count| {
            endpoints(
                count,
                |n| json!({ "path": { "prefix": format!("/some/path/of/a/service/{n:06}") }, "methods": ["GET"] }),
            )
        },
        request: || (String::from("/some/path/of/a/service/999999"), Vec::new()),
    },
    Shape {
        name: "methods",
        policy: |count| endpoints(count, |_| json!({ "methods": ["POST", "PUT", "DELETE", "PATCH", "HEAD"] })),
        request: || (String::from("/"), Vec::new()),
    },
    Shape {
        name: "hosts",
        policy: |count| {
            endpoints(
                count / 100 + 1,
                |n| json!({ "hosts": (0..100).map(|m| format!("*.{n}-{m}.example")).collect::<Vec<_>>() }),
            )
        },
        request: || (String::from("/"), vec![("host".to_owned(), format!("{}.9-9.example", "a".repeat(50_000)))]),
    },
    Shape {
        name: "networks",
        policy: |count| {
            endpoints(
                count / 100 + 1,
                |n| json!({ "source_ip": (0..100).map(|m| format!("2001:{n}:{m}::/48")).collect::<Vec<_>>() }),
            )
        },
        request: || (String::from("/"), Vec::new()),
    },
    Shape {
        name: "properties",
        policy: |count| {
            cohorts(count, |n| json!({ "properties": [{ "path": ["metadata", format!("{n}")], "exact": "1" }] }))
        },
        request: || (String::from("/"), Vec::new()),
    },
    Shape {
        name: "keys",
        policy: |count| {
            let keys: Vec<_> = (0..count).map(|n| json!({ "property": ["metadata", format!("{n}")] })).collect();
            json!({ "endpoints": [{ "name": "e", "traffic": { "a": 1 }, "affinity": { "keys": keys } }] })
        },
        request: || (String::from("/"), Vec::new()),
    },
    Shape {
        name: "keys in cookies",
        policy: |count| {
            let keys: Vec<_> = (0..count).map(|n| json!({ "cookie": format!("a{n}") })).collect();
            json!({ "endpoints": [{ "name": "e", "traffic": { "a": 1 }, "affinity": { "keys": keys } }] })
        },
        request: || one_header("cookie", "a1=;".repeat(BYTES / 4)),
    },
    Shape {
        name: "backends",
        policy: |count| {
            let traffic: serde_json::Map<_, _> =
                (0..count).map(|n| (format!("b{n}"), json!(1.0 / count as f64))).collect();
            json!({ "endpoints": [{ "name": "e", "traffic": traffic }] })
        },
        request: || (String::from("/"), Vec::new()),
    },
    Shape {
        name: "shadows",
        policy: |count| {
            let backends: serde_json::Map<_, _> =
                (0..count).map(|n| (format!("s{n}"), json!({ "cluster": "a" }))).collect();
            let shadow: serde_json::Map<_, _> = (0..count).map(|n| (format!("s{n}"), json!(1))).collect();
            json!({ "backends": backends, "endpoints": [{ "name": "e", "traffic": { "a": 1 }, "shadow": shadow }] })
        },
        request: || one_header("x-a", "a".repeat(BYTES)),
    },
    Shape {
        name: "mirrors",
        policy: |count| {
            let shadow: serde_json::Map<_, _> = (0..count)
                .map(|n| {
                    (format!("s{n}"), json!({ "fraction": 1e-9, "via": "mirror", "mirror_header": format!("x-{n}") }))
                })
                .collect();
            json!({ "endpoints": [{ "name": "e", "route": "/e", "traffic": { "a": 1 }, "shadow": shadow }] })
        },
        request: || (String::from("/"), Vec::new()),
    },
];

impl Shape {
    /// The largest policy of this shape that is accepted, of at most `bytes`.
    pub fn largest(&self, bytes: usize) -> (usize, String) {
        let accepted = |count: usize| {
            // Not even making it pays.
            if count >= bytes / 4 {
                return None;
            }
            let policy = (self.policy)(count).to_string();
            (policy.len() <= bytes && Policy::from_json(policy.as_bytes()).is_ok()).then_some(policy)
        };
        let (mut count, mut policy) = (1, accepted(1).unwrap_or_default());
        let mut step = 1;
        while let Some(larger) = accepted(count + step) {
            (count, policy, step) = (count + step, larger, step * 2);
        }
        while step > 0 {
            if let Some(larger) = accepted(count + step) {
                (count, policy) = (count + step, larger);
            }
            step /= 2;
        }
        (count, policy)
    }
}

fn one_header(name: &str, value: String) -> (String, Headers) {
    (String::from("/"), vec![(name.to_owned(), value)])
}

/// A policy of one endpoint with `count` cohorts.
fn cohorts(count: usize, matching: fn(usize) -> Value) -> Value {
    let cohort = |n| json!({ "name": format!("c{n}"), "match": matching(n), "traffic": { "a": 1 } });
    json!({ "endpoints": [{ "name": "e", "traffic": { "a": 1 }, "cohorts": (0..count).map(cohort).collect::<Vec<_>>() }] })
}

/// A policy of `count` endpoints.
fn endpoints(count: usize, matching: fn(usize) -> Value) -> Value {
    let endpoint = |n| json!({ "name": format!("e{n}"), "match": matching(n), "traffic": { "a": 1 } });
    json!({ "endpoints": (0..count).map(endpoint).collect::<Vec<_>>() })
}
