//! From the policy as written to the policy that is ready: every rule of the contract is checked here.

mod shadow;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::affinity::Affinity;
use crate::config::{AffinityConfig, BackendConfig, EndpointConfig, Object, PolicyConfig, Share, UniqueMap};
use crate::error::{PolicyError, PolicyErrors, member};
use crate::policy::{Endpoint, Parsed, Policy, Warning};
use crate::route::Route;
use crate::shadow::MARKER;
use crate::traffic::{Backend, Traffic};

/// The header that bears the cluster's name unless the policy says otherwise.
const DEFAULT_ROUTING_HEADER: &str = "x-traffic-cluster";

/// How far a sum of shares may be from 1, as part of 1.
const SUM_TOLERANCE: f64 = 1e-5;

/// The longest name of a backend or cluster, in bytes.
const MAX_NAME_BYTES: usize = 255;

/// Checks `config` and makes it ready. Finds all errors, not just the first.
pub(crate) fn compile(config: &PolicyConfig) -> Result<Parsed, PolicyErrors> {
    let mut compiler = Compiler {
        clusters: &config.backends,
        routing_header: String::new(),
        backends: BTreeMap::new(),
        shadows: 0,
        errors: Vec::new(),
    };
    let routing_header = config.routing_header.as_deref().unwrap_or(DEFAULT_ROUTING_HEADER);
    compiler.routing_header = compiler.header_name("routing_header", routing_header);
    let response_header = config.response_header.as_deref().map(|name| compiler.header_name("response_header", name));
    if let Some(cluster) = &config.default_cluster {
        compiler.check_name("default_cluster", "cluster", cluster);
    }
    for (name, Object(backend)) in &config.backends.0 {
        let place = member("backends", name);
        compiler.check_name(&place, "backend", name);
        if let Some(cluster) = &backend.cluster {
            compiler.check_name(&member(&place, "cluster"), "cluster", cluster);
        }
    }
    let endpoints: Vec<_> = config
        .endpoints
        .iter()
        .enumerate()
        .filter_map(|(n, Object(endpoint))| compiler.endpoint(&format!("endpoints[{n}]"), endpoint))
        .collect();
    compiler.check_unique_names(&config.endpoints);
    if !compiler.errors.is_empty() {
        return Err(PolicyErrors(compiler.errors));
    }
    let warnings = unreachable_endpoints(&endpoints);
    let default_cluster = config.default_cluster.clone();
    let mirror_headers = shadow::mirror_headers(&endpoints);
    let routing_header = compiler.routing_header;
    let policy = Policy { routing_header, response_header, default_cluster, mirror_headers, endpoints };
    Ok(Parsed { policy, warnings })
}

/// Collects errors while it makes the parts.
struct Compiler<'config> {
    clusters: &'config UniqueMap<Object<BackendConfig>>,
    routing_header: String,
    /// Every backend once, whatever names it.
    backends: BTreeMap<String, Arc<Backend>>,
    /// How many shadows there are so far.
    shadows: usize,
    errors: Vec<PolicyError>,
}

impl Compiler<'_> {
    fn endpoint(&mut self, place: &str, config: &EndpointConfig) -> Option<Endpoint> {
        let is_name_char = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if !(1..=64).contains(&config.name.len()) || !config.name.bytes().all(is_name_char) {
            let problem = format!("{:?} is not a name for an endpoint", config.name);
            self.refuse(&member(place, "name"), problem, "use 1 to 64 characters of A-Z, a-z, 0-9, _ and -");
        }
        let name: Arc<str> = config.name.as_str().into();
        let affinity = match &config.affinity {
            AffinityConfig::Default => Some(Affinity::new(&name)),
            AffinityConfig::Off => None,
            AffinityConfig::On(fields) => Some(Affinity::new(fields.salt.as_deref().unwrap_or(&name))),
        };
        let route = self.route(place, config);
        let traffic = self.traffic(&member(place, "traffic"), &config.traffic);
        let shadows = self.shadows(&member(place, "shadow"), &name, config);
        Some(Endpoint { name, route, affinity, traffic: traffic?, shadows })
    }

    fn route(&mut self, place: &str, config: &EndpointConfig) -> Route {
        if let Some(route) = &config.route {
            let is_path_char = |byte: u8| byte.is_ascii_graphic() && byte != b'?' && byte != b'#';
            if !route.starts_with('/') || !route.bytes().all(is_path_char) {
                self.refuse(
                    &member(place, "route"),
                    format!("{route:?} is not a path"),
                    "start it with / and leave out query, fragment, spaces and characters beyond ASCII (write them \
                     percent-encoded, as clients send them)",
                );
            }
        }
        if let Some(methods) = &config.methods {
            self.check_methods(&member(place, "methods"), methods);
        }
        Route::new(config.route.as_deref(), config.methods.clone())
    }

    fn check_methods(&mut self, place: &str, methods: &[String]) {
        if methods.is_empty() {
            self.refuse(place, "the list is empty: no request would match", "name a method, or leave it out");
        }
        for (n, method) in methods.iter().enumerate() {
            if !is_token(method) || method.bytes().any(|byte| byte.is_ascii_lowercase()) {
                let problem = format!("{method:?} is not a method");
                self.refuse(&format!("{place}[{n}]"), problem, "write it in upper case, as in \"GET\"");
            }
        }
    }

    fn traffic(&mut self, place: &str, shares: &UniqueMap<Share>) -> Option<Traffic> {
        let before = self.errors.len();
        if shares.0.is_empty() {
            self.refuse(place, "there is no backend", "name at least one, as in {\"model-v1\": 1}");
        }
        for (backend, Share(share)) in &shares.0 {
            let place = member(place, backend);
            self.check_name(&place, "backend", backend);
            if *share < 0.0 {
                self.refuse(&place, format!("a share of {share} is below 0"), "shares run from 0 to 1");
            }
        }
        if self.errors.len() > before {
            return None;
        }
        let sum: f64 = shares.0.values().map(|share| share.0).sum();
        if (sum - 1.0).abs() > SUM_TOLERANCE && (sum / 100.0 - 1.0).abs() > SUM_TOLERANCE {
            // Rounded, so that 0.1 + 0.2 + 0.8 is not said to be 1.1000000000000001.
            let sum = (sum * 1e9).round() / 1e9;
            let problem = format!("the shares add up to {sum}");
            self.refuse(place, problem, "make them add up to 1 (or to 100, as percentages)");
            return None;
        }
        Traffic::new(shares.0.iter().map(|(name, share)| (self.backend(name), share.0)))
    }

    fn backend(&mut self, name: &str) -> Arc<Backend> {
        let clusters = self.clusters;
        let backend = self.backends.entry(name.to_owned()).or_insert_with(|| {
            let cluster = clusters.0.get(name).and_then(|Object(backend)| backend.cluster.as_deref()).unwrap_or(name);
            Arc::new(Backend { name: name.to_owned(), cluster: cluster.to_owned() })
        });
        Arc::clone(backend)
    }

    /// Backends and clusters are header values and parts of metric names.
    fn check_name(&mut self, place: &str, kind: &str, name: &str) {
        let is_printable = name.bytes().all(|byte| byte.is_ascii_graphic());
        if !(1..=MAX_NAME_BYTES).contains(&name.len()) || !is_printable || name.contains(";.;") {
            self.refuse(
                place,
                format!("{name:?} is not a name for a {kind}"),
                "use 1 to 255 printable ASCII characters without spaces and without \";.;\"",
            );
        }
    }

    /// The name of a header that is the filter's own, in lower case, as Envoy keeps header names.
    fn header_name(&mut self, place: &str, name: &str) -> String {
        // Rewriting these would break the request, or would not reach the route.
        const RESERVED: [&str; 10] = [
            "connection",
            "content-length",
            "cookie",
            "host",
            "set-cookie",
            "te",
            "trailer",
            "transfer-encoding",
            "upgrade",
            MARKER,
        ];
        let lower = name.to_ascii_lowercase();
        if !is_token(&lower) {
            let remedy = "use letters, digits and -, as in \"x-traffic-cluster\"";
            self.refuse(place, format!("{name:?} is not a header name"), remedy);
        } else if RESERVED.contains(&lower.as_str()) {
            self.refuse(place, format!("{name:?} has another use"), "choose a header of your own");
        }
        lower
    }

    fn check_unique_names(&mut self, endpoints: &[Object<EndpointConfig>]) {
        let mut seen = HashMap::new();
        for (n, Object(endpoint)) in endpoints.iter().enumerate() {
            if let Some(first) = seen.insert(&endpoint.name, n) {
                self.refuse(
                    &format!("endpoints[{n}].name"),
                    format!("{:?} is also the name of endpoints[{first}]", endpoint.name),
                    "give each endpoint a name of its own",
                );
            }
        }
    }

    fn refuse(&mut self, place: &str, problem: impl Into<String>, remedy: &str) {
        self.errors.push(PolicyError { place: place.to_owned(), problem: problem.into(), remedy: remedy.to_owned() });
    }
}

/// Whether `text` is a token of HTTP (RFC 9110, section 5.6.2): what header names and methods are made of.
fn is_token(text: &str) -> bool {
    let is_token_char = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_token_char)
}

fn unreachable_endpoints(endpoints: &[Endpoint]) -> Vec<Warning> {
    let hidden_by = |n: usize, endpoint: &Endpoint| {
        endpoints.iter().take(n).position(|earlier| earlier.route.covers(&endpoint.route))
    };
    endpoints
        .iter()
        .enumerate()
        .filter_map(|(n, endpoint)| {
            let earlier = hidden_by(n, endpoint)?;
            let message = format!(
                "no request reaches {:?}: endpoints[{earlier}] takes them all; put the more specific one first",
                endpoint.name
            );
            Some(Warning { place: format!("endpoints[{n}]"), message })
        })
        .collect()
}
