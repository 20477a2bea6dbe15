//! The headers that the filter writes itself: their names, and what they must not share.

use std::borrow::Cow;

use fnv::FnvHashSet;

use crate::affinity::Affinity;
use crate::config::{PolicyConfig, ShadowConfig, Via};
use crate::finding::{Errors, Fault, Finding, Kind};
use crate::limits::{MIRROR_HEADER, MIRROR_HEADERS};
use crate::named::Named;
use crate::names::{HeaderName, PolicyName};
use crate::place::{At, Place};
use crate::policy::Policy;
use crate::shadow::MARKER;

/// The name of a header that the filter writes itself.
pub(crate) fn own_header(name: &str) -> Result<HeaderName, Fault> {
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
    let header: HeaderName = name.parse()?;
    if RESERVED.contains(&&*header) {
        return Err(Fault::new(format!("{name:?} has another use"), "choose a header of your own"));
    }
    Ok(header)
}

/// The default name of a header in a policy: two policies in one filter chain must not share it.
pub(crate) fn with_name(header: &'static str, policy: Option<&PolicyName>) -> Cow<'static, str> {
    policy.map_or(Cow::Borrowed(header), |name| Cow::Owned([header, "-", &**name].concat()))
}

/// The headers that steer Envoy's mirrors: each once, with its first place.
///
/// A shadow that is switched off has one, too: the route may still mirror by it.
#[derive(Default)]
pub(super) struct Mirrors {
    /// Those that a policy may have. Of more, the places would cost more than the policy.
    listed: Vec<(HeaderName, Place)>,
    count: usize,
}

impl Mirrors {
    pub(super) fn of(config: &PolicyConfig) -> Self {
        let (mut mirrors, mut seen) = (Self::default(), FnvHashSet::default());
        let list = At::Root.member("endpoints");
        for (n, endpoint) in config.endpoints.iter() {
            let at = list.element(n);
            mirrors.add(&at, &endpoint.shadow, &mut seen);
            let list = at.member("cohorts");
            for (n, cohort) in endpoint.cohorts.iter().enumerate() {
                mirrors.add(&list.element(n), &cohort.shadow, &mut seen);
            }
        }
        mirrors
    }

    /// Adds the headers of an endpoint or a cohort. A wrong name has been reported where it stands.
    fn add(&mut self, at: &At<'_>, shadow: &Named<ShadowConfig>, seen: &mut FnvHashSet<String>) {
        let field = at.member("shadow");
        for (backend, ShadowConfig(fields)) in shadow.iter() {
            let header = fields.mirror_header.as_deref().unwrap_or(MIRROR_HEADER);
            if fields.via == Via::Mirror
                && let Ok(header) = own_header(header)
                && seen.insert(header.to_string())
            {
                self.count += 1;
                if self.count <= MIRROR_HEADERS {
                    self.listed.push((header, field.member(backend).member("mirror_header").place()));
                }
            }
        }
    }

    /// Refuses more headers than a request may cost, and one that the filter uses otherwise.
    pub(super) fn check(&self, request_header: Option<&HeaderName>, errors: &mut Errors) {
        if self.count > MIRROR_HEADERS {
            let problem = format!("{} different headers steer mirrors", self.count);
            let remedy = format!("use at most {MIRROR_HEADERS}: shadows of different endpoints can share a header");
            errors.refuse(&At::Root.member("endpoints"), problem, remedy);
        }
        if let Some(header) = request_header
            && let Some((_, place)) = self.listed.iter().find(|(mirror, _)| mirror == header)
        {
            let fault = Fault::new(format!("{header:?} is also {place}"), "choose a header of its own");
            errors.add(&At::Root.member("request_header"), fault.of(Kind::Conflict));
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// The names alone.
    pub(super) fn headers(&self) -> Vec<HeaderName> {
        self.listed.iter().map(|(header, _)| header.clone()).collect()
    }

    /// A warning for each header of the policy that is surely needed for something else.
    pub(super) fn warnings(&self, policy: &Policy) -> Vec<Finding> {
        let field = |name: &str| Place::root().member(name);
        let routing = [(&policy.routing_header, field("routing_header"))];
        let request = policy.request_header.iter().map(|header| (header, field("request_header")));
        let response = policy.response_header.iter().map(|header| (header, field("response_header")));
        let mirrors = self.listed.iter().map(|(header, place)| (header, place.clone()));
        let affinities = policy.endpoints.iter().filter_map(|endpoint| endpoint.affinity.as_ref());
        let keys: FnvHashSet<&str> = affinities.flat_map(Affinity::headers).collect();
        let steers = |header: &str| self.listed.iter().any(|(mirror, _)| *mirror == *header);
        let own = |name: &str| (name == MIRROR_HEADER && !steers(name)).then(|| MIRRORS_ALL.to_owned());
        let key = |name: &str| keys.contains(name).then(|| format!("{name:?} has the shard key, which is replaced"));
        let of_request = |(header, place): (&HeaderName, Place)| {
            let problem = key(header).or_else(|| own(header)).or_else(|| read_by_others(header, &OF_REQUESTS));
            problem.map(|problem| (problem, place))
        };
        let of_response = |(header, place): (&HeaderName, Place)| Some((read_by_others(header, &OF_RESPONSES)?, place));
        let of_requests = routing.into_iter().chain(request).chain(mirrors).filter_map(of_request);
        let warning = |(problem, place)| Finding::warning(Kind::Conflict, place, problem, "choose a header of its own");
        of_requests.chain(response.filter_map(of_response)).map(warning).collect()
    }
}

/// The problem with the default of `mirror_header` for another header.
const MIRRORS_ALL: &str =
    "a route that mirrors by this header, the default of `mirror_header`, would copy every request";

/// Headers with a meaning for upstreams or proxies. A name that ends with `-` is a prefix.
const OF_REQUESTS: [&str; 20] = [
    "accept",
    "accept-encoding",
    "authorization",
    "cache-control",
    "content-encoding",
    "content-type",
    "expect",
    "forwarded",
    "grpc-",
    "if-match",
    "if-none-match",
    "origin",
    "proxy-authorization",
    "range",
    "traceparent",
    "user-agent",
    "via",
    "x-envoy-",
    "x-forwarded-",
    "x-request-id",
];

/// Headers with a meaning for clients or proxies.
const OF_RESPONSES: [&str; 12] = [
    "access-control-",
    "cache-control",
    "content-encoding",
    "content-type",
    "etag",
    "grpc-",
    "location",
    "retry-after",
    "strict-transport-security",
    "vary",
    "www-authenticate",
    "x-envoy-",
];

fn read_by_others(header: &str, known: &[&str]) -> Option<String> {
    let is = |known: &&&str| header == **known || known.ends_with('-') && header.starts_with(**known);
    known.iter().find(is).map(|_| format!("{header:?} has a meaning of its own, and its value is replaced"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shadow_that_is_switched_off_keeps_its_header_under_control() {
        let mirror =
            |fraction: &str, header: &str| format!(r#"{{"s": {{"fraction": {fraction}, "via": "mirror"{header}}}}}"#);
        let (plain, named) = (mirror("0", ""), mirror("0", r#", "mirror_header": "X-Other""#));
        for (of_endpoint, of_cohort, expected) in [
            (&*plain, "{}", vec!["x-traffic-mirror"]),
            (&*mirror("0.5", ""), &*plain, vec!["x-traffic-mirror"]),
            ("{}", &*named, vec!["x-other"]),
            (&*plain, &*named, vec!["x-traffic-mirror", "x-other"]),
            (r#"{"s": 0.5}"#, r#"{"s": 0}"#, vec![]),
        ] {
            let json = format!(
                r#"{{"endpoints": [{{"name": "e", "traffic": {{"a": 1}}, "shadow": {of_endpoint}, "cohorts": [
                    {{"name": "c", "match": {{}}, "traffic": {{"a": 1}}, "shadow": {of_cohort}}}]}}]}}"#
            );
            let policy = Policy::from_json(json.as_bytes()).unwrap().policy;
            assert_eq!(policy.mirror_headers, expected, "{json}");
        }
    }
}
