//! From the policy as written to the policy that is ready: every rule of the README's reference is checked here.

mod affinity;
mod matching;
mod shadow;

use std::sync::Arc;

use self::shadow::Entries;
use crate::config::{BackendConfig, CohortConfig, EndpointConfig, PolicyConfig, Share};
use crate::error::{PolicyError, PolicyErrors, decimal, member};
use crate::matching::{AllOf, Match, Rule};
use crate::named::{Named, Numbers};
use crate::policy::{Cohort, Endpoint, Parsed, Plan, Policy, Warning};
use crate::shadow::{MARKER, Shadow};
use crate::traffic::{Backend, Traffic};

/// The header that bears the cluster's name unless the policy says otherwise.
const DEFAULT_ROUTING_HEADER: &str = "x-traffic-cluster";

/// How far a sum of shares may be from 1, as part of 1.
const SUM_TOLERANCE: f64 = 1e-5;

/// The longest name of a backend or cluster, in bytes.
const MAX_NAME_BYTES: usize = 255;

/// Checks `config` and makes it ready. Finds all errors, not just the first.
///
/// `hash` is that of the document, of 64 bits.
pub(crate) fn compile(config: &PolicyConfig, hash: u64) -> Result<Parsed, PolicyErrors> {
    let mut compiler = Compiler {
        clusters: &config.backends,
        routing_header: String::new(),
        backends: Vec::new(),
        backend_numbers: Numbers::default(),
        shadows: 0,
        entries: 0,
        choices: 0,
        errors: Vec::new(),
    };
    let routing_header = config.routing_header.as_deref().unwrap_or(DEFAULT_ROUTING_HEADER);
    compiler.routing_header = compiler.header_name("routing_header", routing_header);
    let response_header = config.response_header.as_deref().map(|name| compiler.header_name("response_header", name));
    let request_header = config.request_header.as_deref().map(|name| compiler.request_header(name));
    if let Some(name) = &config.filter_state {
        compiler.check_filter_state(name);
    }
    if let Some(cluster) = &config.default_cluster {
        compiler.check_name("default_cluster", "cluster", cluster);
    }
    for (name, backend) in config.backends.iter() {
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
        .filter_map(|(n, endpoint)| compiler.endpoint(&format!("endpoints[{n}]"), endpoint))
        .collect();
    compiler.check_unique_names("endpoints", config.endpoints.iter().map(|endpoint| endpoint.name.as_str()));
    if !compiler.errors.is_empty() {
        return Err(PolicyErrors(compiler.errors));
    }
    let warnings = unreachable(&endpoints);
    let default_cluster = config.default_cluster.clone();
    let mirror_headers = shadow::mirror_headers(&endpoints);
    let routing_header = compiler.routing_header;
    let policy = Policy {
        routing_header,
        response_header,
        request_header,
        filter_state: config.filter_state.clone(),
        counts_responses: config.metrics.responses.unwrap_or(true),
        hash: hash >> 11,
        default_cluster,
        mirror_headers,
        endpoints,
    };
    Ok(Parsed { policy, warnings })
}

/// Collects errors while it makes the parts.
struct Compiler<'config> {
    clusters: &'config Named<BackendConfig>,
    routing_header: String,
    /// Every backend once, whatever names it.
    backends: Vec<Arc<Backend>>,
    backend_numbers: Numbers,
    /// How many shadows there are so far.
    shadows: usize,
    /// How many entries in the policy they come from.
    entries: usize,
    /// How many backends can be chosen so far.
    choices: usize,
    errors: Vec<PolicyError>,
}

impl Compiler<'_> {
    fn endpoint(&mut self, place: &str, config: &EndpointConfig) -> Option<Endpoint> {
        self.check_name_of(place, "an endpoint", &config.name);
        let name: Arc<str> = config.name.as_str().into();
        let affinity = self.affinity(&member(place, "affinity"), &name, &config.affinity);
        let matching = self.matching_of(place, config);
        let traffic = self.traffic(&member(place, "traffic"), &config.traffic);
        // An entry of the endpoint may speak of what serves a cohort.
        let of_cohorts = config.cohorts.iter().flat_map(|cohort| cohort.traffic.names());
        let mut served_by: Vec<&str> = config.traffic.names().chain(of_cohorts).collect();
        served_by.sort_unstable();
        served_by.dedup();
        let shadow_place = member(place, "shadow");
        let entries = self.shadow_entries(&shadow_place, &name, &config.shadow, &served_by);
        let shadows = self.shadows(&shadow_place, None, &Entries::default(), &entries);
        let cohort_place = member(place, "cohorts");
        let cohorts: Vec<_> = config
            .cohorts
            .iter()
            .enumerate()
            .filter_map(|(n, cohort)| self.cohort(&format!("{cohort_place}[{n}]"), &name, cohort, &entries))
            .collect();
        self.check_unique_names(&cohort_place, config.cohorts.iter().map(|cohort| cohort.name.as_str()));
        Some(Endpoint { name, matching, affinity, plan: self.plan(traffic?, shadows), cohorts })
    }

    fn cohort(
        &mut self,
        place: &str,
        endpoint: &Arc<str>,
        config: &CohortConfig,
        inherited: &Entries,
    ) -> Option<Cohort> {
        self.check_name_of(place, "a cohort", &config.name);
        let name: Arc<str> = config.name.as_str().into();
        let matching = self.matching(&member(place, "match"), &config.matching, &AllOf::default());
        let traffic = self.traffic(&member(place, "traffic"), &config.traffic);
        let served_by: Vec<_> = config.traffic.names().collect();
        let shadow_place = member(place, "shadow");
        let own = self.shadow_entries(&shadow_place, endpoint, &config.shadow, &served_by);
        let shadows = self.shadows(&shadow_place, Some(&name), &own, inherited);
        Some(Cohort { name, matching, plan: self.plan(traffic?, shadows) })
    }

    fn plan(&mut self, traffic: Traffic, shadows: Vec<Arc<Shadow>>) -> Plan {
        let first_backend = self.choices;
        self.choices += traffic.count();
        Plan { traffic, first_backend, shadows }
    }

    /// What `route`, `methods` and `match` of an endpoint say together.
    fn matching_of(&mut self, place: &str, config: &EndpointConfig) -> Match {
        let mut shorthand = AllOf::default();
        if let Some(route) = &config.route {
            shorthand.0.push(Rule::Path(self.prefix(&member(place, "route"), route)));
        }
        if let Some(methods) = &config.methods {
            self.check_methods(&member(place, "methods"), methods);
            shorthand.0.push(Rule::Methods(methods.clone()));
        }
        match &config.matching {
            Some(matching) => self.matching(&member(place, "match"), matching, &shorthand),
            None => Match(vec![shorthand]),
        }
    }

    fn check_name_of(&mut self, place: &str, kind: &str, name: &str) {
        let is_name_char = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if !(1..=64).contains(&name.len()) || !name.bytes().all(is_name_char) {
            let problem = format!("{name:?} is not a name for {kind}");
            self.refuse(&member(place, "name"), problem, "use 1 to 64 characters of A-Z, a-z, 0-9, _ and -");
        }
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

    fn traffic(&mut self, place: &str, shares: &Named<Share>) -> Option<Traffic> {
        let before = self.errors.len();
        if shares.is_empty() {
            self.refuse(place, "there is no backend", "name at least one, as in {\"model-v1\": 1}");
        }
        for (backend, Share(share)) in shares.iter() {
            let place = member(place, backend);
            self.check_name(&place, "backend", backend);
            if *share < 0.0 {
                self.refuse(&place, format!("a share of {} is below 0", decimal(*share)), "shares run from 0 to 1");
            }
        }
        if self.errors.len() > before {
            return None;
        }
        let sum: f64 = shares.iter().map(|(_, share)| share.0).sum();
        if (sum - 1.0).abs() > SUM_TOLERANCE && (sum / 100.0 - 1.0).abs() > SUM_TOLERANCE {
            let problem = format!("the shares add up to {}", decimal(sum));
            self.refuse(place, problem, "make them add up to 1 (or to 100, as percentages)");
            return None;
        }
        Traffic::new(shares.iter().map(|(name, share)| (self.backend(name), share.0)))
    }

    fn backend(&mut self, name: &str) -> Arc<Backend> {
        let known = self.backend_numbers.get(name).and_then(|number| self.backends.get(number));
        if let Some(backend) = known {
            return Arc::clone(backend);
        }
        let cluster = self.clusters.get(name).and_then(|backend| backend.cluster.as_deref()).unwrap_or(name);
        let backend = Arc::new(Backend { name: name.to_owned(), cluster: cluster.to_owned() });
        self.backend_numbers.number(name.to_owned());
        self.backends.push(Arc::clone(&backend));
        backend
    }

    /// Backends and clusters are header values and parts of metric names.
    fn check_name(&mut self, place: &str, kind: &str, name: &str) {
        let is_printable = name.bytes().all(|byte| byte.is_ascii_graphic());
        if !(1..=MAX_NAME_BYTES).contains(&name.len()) || !is_printable || name.contains(';') {
            self.refuse(
                place,
                format!("{name:?} is not a name for a {kind}"),
                "use 1 to 255 printable ASCII characters without spaces and semicolons",
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

    /// The header that names the backend to the upstream.
    fn request_header(&mut self, name: &str) -> String {
        let header = self.header_name("request_header", name);
        if header == self.routing_header {
            let problem = format!("{header:?} is the routing header");
            self.refuse("request_header", problem, "choose a header of its own");
        }
        header
    }

    /// A name that a format string of an access log can hold.
    fn check_filter_state(&mut self, name: &str) {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        if !(1..=64).contains(&name.len()) || !name.bytes().all(is_word) {
            let remedy = "use 1 to 64 characters of A-Z, a-z, 0-9, _, - and ., as in \"traffic_policy\"";
            self.refuse("filter_state", format!("{name:?} is not a name for a filter state"), remedy);
        }
    }

    fn check_unique_names<'a>(&mut self, place: &str, names: impl Iterator<Item = &'a str> + Clone) {
        let mut sorted: Vec<_> = names.clone().collect();
        sorted.sort_unstable();
        let mut repeated: Vec<_> =
            sorted.array_windows().filter(|[name, next]| name == next).map(|[name, _]| name).collect();
        repeated.dedup();
        for name in repeated {
            let mut places = names.clone().enumerate().filter(|(_, other)| other == name).map(|(n, _)| n);
            let Some(first) = places.next() else { continue };
            for other in places {
                let problem = format!("{name:?} is also the name of {place}[{first}]");
                self.refuse(&format!("{place}[{other}].name"), problem, "give each a name of its own");
            }
        }
    }

    fn refuse(&mut self, place: &str, problem: impl Into<String>, remedy: &str) {
        self.errors.push(PolicyError { place: place.to_owned(), ..PolicyError::new(problem, remedy) });
    }
}

/// Whether `text` is a token of HTTP (RFC 9110, section 5.6.2): what header names and methods are made of.
fn is_token(text: &str) -> bool {
    let is_token_char = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_token_char)
}

/// Endpoints and cohorts that an earlier one hides.
fn unreachable(endpoints: &[Endpoint]) -> Vec<Warning> {
    let matches: Vec<_> = endpoints.iter().map(|endpoint| (&*endpoint.name, &endpoint.matching)).collect();
    let mut warnings = hidden("endpoints", &matches);
    for (n, endpoint) in endpoints.iter().enumerate() {
        let matches: Vec<_> = endpoint.cohorts.iter().map(|cohort| (&*cohort.name, &cohort.matching)).collect();
        warnings.extend(hidden(&format!("endpoints[{n}].cohorts"), &matches));
    }
    warnings
}

fn hidden(place: &str, matches: &[(&str, &Match)]) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut earlier = Earlier::default();
    for (n, (name, matching)) in matches.iter().enumerate() {
        let covers = |earlier: usize| matches.get(earlier).is_some_and(|(_, earlier)| earlier.covers(matching));
        if let Some(earlier) = earlier.candidates(matching).into_iter().find(|earlier| covers(*earlier)) {
            let message = format!(
                "no request reaches {name:?}: {place}[{earlier}] takes them all; put the more specific one first"
            );
            warnings.push(Warning { place: format!("{place}[{n}]"), message });
        }
        earlier.push(n, matching);
    }
    warnings
}

/// Matches by what they ask first: to compare each of ten thousand with all others takes seconds.
#[derive(Default)]
struct Earlier {
    rules: Numbers,
    by_rule: Vec<Vec<usize>>,
    /// Those that ask for something of which a part may be asked elsewhere, or for nothing.
    others: Vec<usize>,
}

impl Earlier {
    fn push(&mut self, n: usize, matching: &Match) {
        for alternative in &matching.0 {
            match alternative.0.first() {
                None | Some(Rule::Methods(_)) => self.others.push(n),
                Some(rule) => {
                    let number = self.rules.number(rule.to_string());
                    if self.by_rule.len() <= number {
                        self.by_rule.push(Vec::new());
                    }
                    if let Some(known) = self.by_rule.get_mut(number) {
                        known.push(n);
                    }
                }
            }
        }
    }

    /// All that may cover `matching`, in order: what does, covers the first of its alternatives.
    fn candidates(&self, matching: &Match) -> Vec<usize> {
        let mut candidates = self.others.clone();
        for rule in matching.0.first().into_iter().flat_map(|alternative| &alternative.0) {
            for wider in std::iter::once(rule.to_string()).chain(rule.prefixes().map(|prefix| prefix.to_string())) {
                let number = self.rules.get(&wider);
                candidates.extend(number.and_then(|number| self.by_rule.get(number)).into_iter().flatten());
            }
        }
        candidates.sort_unstable();
        candidates.dedup();
        candidates
    }
}
