//! The scenarios that are compared.

use std::convert::Infallible;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{Full, StreamBody};
use hyper::body::Frame;
use serde_json::{Value, json};
use testbed::backend::Backend;
use testbed::bootstrap::{connection_manager, http_filters, routes};
use testbed::client::{Answer, Client};
use testbed::envoy::Setup;

/// The backends of all scenarios.
pub const BACKENDS: [&str; 3] = ["v1", "v2", "dark"];

/// A proxy and the requests that it gets.
pub struct Scenario {
    pub name: &'static str,
    /// The plain route with the same requests, or `None` for a plain route.
    pub baseline: Option<&'static str>,
    pub bound: Option<Bound>,
    /// The best count so far, if the bound has not been reached yet.
    pub reached: Option<f64>,
    policy: String,
    module: Option<PathBuf>,
    adapt: fn(&mut Value),
    body: Body,
}

/// The bound of the instructions that a scenario may add.
#[derive(Clone, Copy)]
pub enum Bound {
    /// This many.
    AtMost(f64),
    /// The instructions of another scenario times a factor, plus this many.
    Beside(&'static str, f64, f64),
}

/// The body of a request.
#[derive(Clone, Copy)]
enum Body {
    /// GET.
    None,
    /// POST, with this many bytes in one piece.
    Small(usize),
    /// POST, with this many chunks of this size.
    Chunks(usize, usize),
}

const GET: &str = "plain route";
const POST: &str = "plain route, 1 KB bodies";
const UPLOAD: &str = "plain route, bodies of 4 x 64 KiB";
const SPLIT_BY_KEY: &str = "(b) prefix route, shard key";

/// All scenarios; the plain routes first.
pub fn all(empty: &Path) -> Vec<Scenario> {
    let native = |name, baseline, adapt, body| Scenario {
        name,
        baseline,
        bound: None,
        reached: None,
        policy: json!({ "endpoints": [] }).to_string(),
        module: None,
        adapt,
        body,
    };
    let ours = |name, baseline, policy: Value, body| Scenario {
        policy: policy.to_string(),
        ..native(name, Some(baseline), |_| (), body)
    };
    let split = json!({ "v1": 0.9, "v2": 0.1 });
    let with =
        |responses: bool, endpoint: Value| json!({ "metrics": { "responses": responses }, "endpoints": [endpoint] });
    let ranker = json!({ "name": "ranker", "route": "/rank", "traffic": split });
    // With this salt exactly a tenth of the counted requests are copied.
    let shadowed = |fraction: f64| {
        let mut ranker = ranker.clone();
        ranker["affinity"] = json!({ "salt": "275" });
        ranker["shadow"] = json!({ "dark": { "fraction": fraction, "sample": "key" } });
        ranker
    };
    vec![
        native(GET, None, plain, Body::None),
        native(POST, None, plain, Body::Small(1024)),
        native(UPLOAD, None, plain, Body::Chunks(4, 64 << 10)),
        native("native weighted clusters", Some(GET), weighted, Body::None),
        native("native weighted clusters, 10 % mirror", Some(GET), mirrored, Body::None),
        native("Lua: the routing header by random", Some(GET), lua, Body::None),
        native("the shipped routes without the filter", Some(GET), shipped, Body::None),
        Scenario {
            module: Some(empty.to_owned()),
            ..native("an empty Wasm filter", Some(GET), without_routing, Body::None)
        },
        Scenario {
            bound: Some(Bound::AtMost(30_000.0)),
            reached: Some(34_000.0),
            ..ours(
                "(a) catch-all, split only",
                GET,
                with(false, json!({ "name": "all", "traffic": split, "affinity": null })),
                Body::None,
            )
        },
        Scenario {
            bound: Some(Bound::AtMost(50_000.0)),
            reached: Some(57_000.0),
            ..ours(SPLIT_BY_KEY, GET, with(false, ranker.clone()), Body::None)
        },
        Scenario {
            bound: Some(Bound::AtMost(80_000.0)),
            ..ours("(c) = b, response metrics", GET, with(true, ranker.clone()), Body::None)
        },
        Scenario {
            bound: Some(Bound::Beside(SPLIT_BY_KEY, 1.0, 25_000.0)),
            reached: Some(86_000.0),
            ..ours("(d) = b, 10 % shadow of 1 KB bodies", POST, with(false, shadowed(0.1)), Body::Small(1024))
        },
        Scenario {
            bound: Some(Bound::Beside(SPLIT_BY_KEY, 1.3, 0.0)),
            reached: Some(75_000.0),
            ..ours("(e) = b, 50 endpoints x 10 cohorts", GET, many(&split), Body::None)
        },
        ours("(f) = b, 4 x 64 KiB bodies, all shadowed", UPLOAD, with(false, shadowed(1.0)), Body::Chunks(4, 64 << 10)),
    ]
}

/// Fifty endpoints with ten cohorts each. The requests are in the last cohort of the last endpoint.
fn many(split: &Value) -> Value {
    let cohort = |n: u32| json!({ "name": format!("c{n}"), "match": { "headers": [{ "name": "x-cohort", "exact": n.to_string() }] }, "traffic": split });
    let endpoint = |n: u32| {
        let route = if n == 49 { "/rank".to_owned() } else { format!("/endpoint-{n}") };
        json!({ "name": format!("e{n}"), "route": route, "traffic": split, "cohorts": (0..10).map(cohort).collect::<Vec<_>>() })
    };
    json!({ "metrics": { "responses": false }, "endpoints": (0..50).map(endpoint).collect::<Vec<_>>() })
}

/// Replaces all routes by one that ignores the routing header.
fn route(bootstrap: &mut Value, route: Value) {
    connection_manager(bootstrap)["early_header_mutation_extensions"] = json!([]);
    *routes(bootstrap) = vec![json!({ "match": { "prefix": "/" }, "route": route })];
}

fn without_filter(bootstrap: &mut Value) {
    http_filters(bootstrap).remove(0);
}

fn shipped(bootstrap: &mut Value) {
    without_filter(bootstrap);
    let mutations =
        &mut connection_manager(bootstrap)["early_header_mutation_extensions"][0]["typed_config"]["mutations"];
    mutations[0]["append"]["header"]["value"] = json!("v1");
}

fn plain(bootstrap: &mut Value) {
    without_filter(bootstrap);
    without_routing(bootstrap);
}

fn without_routing(bootstrap: &mut Value) {
    route(bootstrap, json!({ "cluster": "v1" }));
}

fn weighted_route() -> Value {
    json!({ "weighted_clusters": { "clusters": [{ "name": "v1", "weight": 90 }, { "name": "v2", "weight": 10 }] } })
}

fn weighted(bootstrap: &mut Value) {
    without_filter(bootstrap);
    route(bootstrap, weighted_route());
}

fn mirrored(bootstrap: &mut Value) {
    without_filter(bootstrap);
    let mut mirrored = weighted_route();
    let tenth = json!({ "default_value": { "numerator": 10, "denominator": "HUNDRED" } });
    mirrored["request_mirror_policies"] = json!([{ "cluster": "dark", "runtime_fraction": tenth }]);
    route(bootstrap, mirrored);
}

fn lua(bootstrap: &mut Value) {
    const CODE: &str = "function envoy_on_request(handle)
  local cluster = math.random() < 0.9 and 'v1' or 'v2'
  handle:headers():replace('x-traffic-cluster', cluster)
end";
    http_filters(bootstrap)[0] = json!({ "name": "lua", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
        "default_source_code": { "inline_string": CODE } } });
}

impl Scenario {
    /// The proxy of the scenario, with one worker.
    pub fn setup(&self, backends: &[Backend], callgrind: bool) -> Setup {
        let (adapt, module) = (self.adapt, self.module.clone());
        Setup { adapt, module, callgrind, ..Setup::new(self.policy.clone(), backends) }
    }

    /// Sends a request of the user with this number.
    pub async fn send(&self, client: &Client, user: u64) -> anyhow::Result<Answer> {
        let user = format!("user-{user}");
        // About as many headers as browsers and services send.
        let headers = [
            ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
            ("accept", "application/json"),
            ("accept-language", "en-US,en;q=0.5"),
            ("accept-encoding", "gzip, deflate, br"),
            ("x-request-source", "bench"),
            ("x-cohort", "9"),
            ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
            ("x-serve-shard-key", &user),
        ];
        let headers = headers.iter().map(|(name, value)| (*name, value.as_bytes()));
        match self.body {
            Body::None => client.send("GET", "/rank?q=1", headers, Bytes::new()).await,
            Body::Small(size) => client.send_body("POST", "/rank?q=1", headers, Full::from(vec![b'x'; size])).await,
            Body::Chunks(count, size) => {
                let chunk = Bytes::from(vec![b'x'; size]);
                let frames = (0..count).map(move |_| Ok::<_, Infallible>(Frame::data(chunk.clone())));
                client.send_body("POST", "/rank?q=1", headers, StreamBody::new(stream::iter(frames))).await
            }
        }
    }
}
