//! Shadows: their options, checked and made ready.

use std::sync::Arc;
use std::time::Duration;

use super::{Compiler, is_token};
use crate::config::{Fraction, HeadersConfig, Sample, ShadowConfig, ShadowFields, Via as ViaConfig, Whole};
use crate::error::{PolicyError, decimal, member};
use crate::named::Named;
use crate::policy::Endpoint;
use crate::shadow::{Callout, Filter, MARKER, Shadow, Via};

const DEFAULT_MIRROR_HEADER: &str = "x-traffic-mirror";
const DEFAULT_TIMEOUT_MS: u64 = 5000;
const MAX_TIMEOUT_MS: u64 = 3_600_000;
const DEFAULT_MAX_BODY_BYTES: u64 = 1 << 20;
/// Half of what a worker holds for all copies.
const MAX_BODY_BYTES: u64 = 1 << 25;
const DEFAULT_MAX_IN_FLIGHT: u64 = 128;
const MAX_IN_FLIGHT: u64 = 1 << 20;

/// The headers that steer Envoy's mirrors, each once.
pub(super) fn mirror_headers(policy: &[Endpoint]) -> Vec<String> {
    let mut headers: Vec<String> = Vec::new();
    for shadow in policy.iter().flat_map(Endpoint::plans).flat_map(|plan| &plan.shadows) {
        if let Via::Mirror(header) = &*shadow.via
            && !headers.contains(header)
        {
            headers.push(header.clone());
        }
    }
    headers
}

/// What an endpoint or a cohort says of its shadows, by backend.
pub(super) type Entries = Named<Entry>;

/// A shadow, or that there is none.
pub(super) enum Entry {
    Off,
    On(Shadow),
}

impl Compiler<'_> {
    /// The entries of `config`, checked. `served_by` are the backends that may serve the requests.
    pub(super) fn shadow_entries(
        &mut self,
        place: &str,
        endpoint: &Arc<str>,
        config: &Named<ShadowConfig>,
        served_by: &[&str],
    ) -> Entries {
        let mut entries = Entries::default();
        for (backend, ShadowConfig(fields)) in config.iter() {
            let place = member(place, backend);
            self.check_name(&place, "backend", backend);
            let Fraction(fraction) = fields.fraction;
            if !(0.0..=1.0).contains(&fraction) {
                let problem = format!("a fraction of {} is not between 0 and 1", decimal(fraction));
                self.refuse(&place, problem, "0 copies no request, 0.5 every other one, 1 all");
            }
            let (filter, via) = self.shadow_fields(&place, fields, served_by);
            let entry = if fraction > 0.0 {
                let of_cluster = self.backend(backend);
                let shadow = Shadow::new(self.entries, Arc::clone(endpoint), of_cluster, fraction, filter, via);
                self.entries += 1;
                Entry::On(shadow)
            } else {
                Entry::Off
            };
            entries.insert(backend.to_owned(), entry);
        }
        entries
    }

    /// The shadows of a cohort, or of the requests in none: its own entries win over the endpoint's.
    pub(super) fn shadows(
        &mut self,
        place: &str,
        cohort: Option<&Arc<str>>,
        own: &Entries,
        inherited: &Entries,
    ) -> Vec<Arc<Shadow>> {
        let mut shadows: Vec<Arc<Shadow>> = Vec::new();
        // The endpoint's entries, in their order, and then those that only the cohort has.
        let only_own = own.names().filter(|name| inherited.get(name).is_none());
        for name in inherited.names().chain(only_own) {
            if let Some(Entry::On(entry)) = own.get(name).or_else(|| inherited.get(name)) {
                self.check_mirror_header(&member(place, name), &entry.via, &shadows);
                shadows.push(Arc::new(entry.of(self.shadows, cohort)));
                self.shadows += 1;
            }
        }
        shadows
    }

    fn shadow_fields(&mut self, place: &str, fields: &ShadowFields, served_by: &[&str]) -> (Filter, Via) {
        if let Some(methods) = &fields.methods {
            self.check_methods(&member(place, "methods"), methods);
        }
        if let Some(backends) = &fields.only_from {
            self.check_only_from(&member(place, "only_from"), backends, served_by);
        }
        let filter = Filter {
            by_key: fields.sample == Sample::Key,
            methods: fields.methods.clone(),
            only_from: fields.only_from.clone(),
        };
        let via = match fields.via {
            ViaConfig::Callout => Via::Callout(self.callout(place, fields)),
            ViaConfig::Mirror => Via::Mirror(self.mirror(place, fields)),
        };
        (filter, via)
    }

    fn check_only_from(&mut self, place: &str, backends: &[String], served_by: &[&str]) {
        if backends.is_empty() {
            let problem = "the list is empty: no request would be copied";
            self.refuse(place, problem, "name a backend of the endpoint's traffic, or leave it out");
        }
        for (n, backend) in backends.iter().enumerate() {
            if !served_by.contains(&backend.as_str()) {
                let problem = format!("{backend:?} serves none of these requests");
                let remedy = format!("their traffic names {}", served_by.join(", "));
                let error = PolicyError::new(problem, remedy).about(backend, served_by);
                self.errors.push(PolicyError { place: format!("{place}[{n}]"), ..error });
            }
        }
    }

    fn callout(&mut self, place: &str, fields: &ShadowFields) -> Callout {
        let timeout_ms = self.whole(place, "timeout_ms", fields.timeout_ms, DEFAULT_TIMEOUT_MS, 1, MAX_TIMEOUT_MS);
        let max_body_bytes =
            self.whole(place, "max_body_bytes", fields.max_body_bytes, DEFAULT_MAX_BODY_BYTES, 0, MAX_BODY_BYTES);
        let max_in_flight =
            self.whole(place, "max_in_flight", fields.max_in_flight, DEFAULT_MAX_IN_FLIGHT, 1, MAX_IN_FLIGHT);
        let max_per_second = fields.max_per_second.map(|rate| rate.0);
        if let Some(rate) = max_per_second.filter(|rate| *rate <= 0.0) {
            let problem = format!("a rate of {} is not above 0", decimal(rate));
            self.refuse(&member(place, "max_per_second"), problem, "to stop a shadow, give it a fraction of 0");
        }
        if let Some(host) = &fields.host
            && (host.is_empty() || !host.bytes().all(|byte| byte.is_ascii_graphic() && !b"/?#@\\".contains(&byte)))
        {
            let problem = format!("{host:?} is not a host");
            self.refuse(
                &member(place, "host"),
                problem,
                "write a name, with a port if need be: \"shadow.example:8080\"",
            );
        }
        if fields.mirror_header.is_some() {
            let problem = "only a shadow via \"mirror\" has this header";
            self.refuse(&member(place, "mirror_header"), problem, "add \"via\": \"mirror\", or leave it out");
        }
        let (set_headers, remove_headers) = match &fields.headers {
            Some(headers) => self.headers(&member(place, "headers"), headers),
            None => (Vec::new(), Vec::new()),
        };
        Callout {
            timeout: Duration::from_millis(timeout_ms),
            max_body_bytes: usize::try_from(max_body_bytes).unwrap_or(usize::MAX),
            max_in_flight: usize::try_from(max_in_flight).unwrap_or(usize::MAX),
            max_per_second,
            host: fields.host.clone(),
            remove_headers,
            set_headers,
        }
    }

    /// The header that steers the mirror. Envoy makes the copy: what the filter does to its own copies is refused.
    fn mirror(&mut self, place: &str, fields: &ShadowFields) -> String {
        for (name, is_there) in [
            ("timeout_ms", fields.timeout_ms.is_some()),
            ("max_body_bytes", fields.max_body_bytes.is_some()),
            ("max_in_flight", fields.max_in_flight.is_some()),
            ("max_per_second", fields.max_per_second.is_some()),
            ("headers", fields.headers.is_some()),
            ("host", fields.host.is_some()),
        ] {
            if is_there {
                let remedy = "leave it out, and set it in Envoy: on the route's mirror policy or on the cluster";
                self.refuse(&member(place, name), "Envoy makes the copies of a shadow via \"mirror\"", remedy);
            }
        }
        let place = member(place, "mirror_header");
        let header = fields.mirror_header.as_deref().unwrap_or(DEFAULT_MIRROR_HEADER);
        let header = self.header_name(&place, header);
        if header == self.routing_header {
            self.refuse(&place, format!("{header:?} is the routing header"), "choose a header of its own");
        }
        header
    }

    /// One header steers one mirror, so that two shadows of an endpoint need two.
    fn check_mirror_header(&mut self, place: &str, via: &Via, others: &[Arc<Shadow>]) {
        let Via::Mirror(header) = via else { return };
        if let Some(other) = others.iter().find(|other| *other.via == *via) {
            let problem = format!("{header:?} already steers the mirror of {:?}", other.backend.name);
            let remedy = "give each its own header, and the route a mirror policy for each";
            self.refuse(&member(place, "mirror_header"), problem, remedy);
        }
    }

    fn headers(&mut self, place: &str, config: &HeadersConfig) -> (Vec<(String, String)>, Vec<String>) {
        let mut set = Vec::new();
        for (name, value) in config.set.iter() {
            let place = member(&member(place, "set"), name);
            let name = self.header_of_copy(&place, name);
            if set.iter().any(|(other, _)| *other == name) {
                self.refuse(&place, format!("{name:?} is set before, in another case"), "set each header once");
            }
            if value.bytes().any(|byte| byte != b'\t' && byte.is_ascii_control()) || value.trim() != value {
                let remedy = "leave out control characters, and spaces at either end";
                self.refuse(&place, format!("{value:?} is not a header value"), remedy);
            }
            set.push((name, value.clone()));
        }
        let mut remove = Vec::new();
        for (n, name) in config.remove.iter().enumerate() {
            let place = format!("{}[{n}]", member(place, "remove"));
            let name = self.header_of_copy(&place, name);
            if set.iter().any(|(other, _)| *other == name) {
                self.refuse(&place, format!("{name:?} is set, too"), "set a header or remove it");
            }
            remove.push(name);
        }
        (set, remove)
    }

    /// The name of a header of the copy, in lower case.
    fn header_of_copy(&mut self, place: &str, name: &str) -> String {
        const FRAMING: [&str; 6] = ["connection", "content-length", "te", "trailer", "transfer-encoding", "upgrade"];
        let lower = name.to_ascii_lowercase();
        if !is_token(&lower) {
            let remedy = "use letters, digits and -; for the authority, use `host`";
            self.refuse(place, format!("{name:?} is not a header name"), remedy);
        } else if lower == "host" {
            self.refuse(place, "the authority of a copy has an option of its own", "use `host`");
        } else if lower == MARKER || FRAMING.contains(&lower.as_str()) || lower.starts_with("x-envoy-") {
            let problem = format!("{name:?} is the filter's or Envoy's own on a copy");
            self.refuse(place, problem, "leave it out");
        }
        lower
    }

    fn whole(&mut self, place: &str, name: &str, value: Option<Whole>, default: u64, min: u64, max: u64) -> u64 {
        let value = value.map_or(default, |Whole(value)| value);
        if !(min..=max).contains(&value) {
            let place = member(place, name);
            self.refuse(&place, format!("{value} is out of range"), &format!("use {min} to {max}"));
        }
        value
    }
}
