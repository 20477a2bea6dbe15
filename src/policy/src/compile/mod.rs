//! From the policy as written to the policy that is ready: every rule of the reference is checked
//! here.

mod affinity;
mod callout;
mod comparison;
mod endpoint;
mod matching;
mod reach;
mod shadow;
mod traffic;

use crate::config::PolicyConfig;
use crate::finding::{Errors, Fault, Finding, Kind, Refused};
use crate::limits;
use crate::names::{BackendName, ClusterName, HeaderName};
use crate::place::At;
use crate::policy::Policy;
use crate::shadow::MARKER;

/// Checks `config` and makes it ready; also returns warnings. Finds all errors, not just the first.
///
/// `hash` is that of the document, of 64 bits.
pub(crate) fn compile(config: &PolicyConfig, hash: u64) -> Result<(Policy, Vec<Finding>), Refused> {
    let (root, mut errors) = (At::Root, Errors::default());
    let routing_header = {
        let name = config.routing_header.as_deref().unwrap_or(limits::ROUTING_HEADER);
        errors.accept(&root.member("routing_header"), own_header(name))
    };
    let mut optional = |field, value: &Option<String>| {
        let name = value.as_deref()?;
        errors.accept(&root.member(field), own_header(name))
    };
    let response_header = optional("response_header", &config.response_header);
    let request_header = optional("request_header", &config.request_header);
    if let Some(header) = request_header.as_ref().filter(|header| Some(*header) == routing_header.as_ref()) {
        let fault = Fault::new(format!("{header:?} is the routing header"), "choose a header of its own");
        errors.add(&root.member("request_header"), fault.of(Kind::Conflict));
    }
    let filter_state = config.filter_state.as_deref();
    let filter_state = filter_state.and_then(|name| errors.accept(&root.member("filter_state"), name.parse()));
    let default_cluster = config.default_cluster.as_deref();
    let default_cluster = default_cluster.and_then(|name| errors.accept(&root.member("default_cluster"), name.parse()));
    check_backends(config, &mut errors);
    let endpoints = endpoint::endpoints(config, routing_header.as_ref(), &mut errors);
    let routing_header = errors.finish(routing_header)?;
    let warnings = reach::unreachable(&endpoints);
    let mirror_headers = shadow::mirror_headers(&endpoints);
    let policy = Policy {
        routing_header,
        response_header,
        request_header,
        filter_state,
        counts_responses: config.metrics.responses.unwrap_or(true),
        hash: hash >> 11,
        default_cluster,
        mirror_headers,
        endpoints,
    };
    Ok((policy, warnings))
}

fn check_backends(config: &PolicyConfig, errors: &mut Errors) {
    let field = At::Root.member("backends");
    for (name, backend) in config.backends.iter() {
        let at = field.member(name);
        errors.accept(&at, name.parse::<BackendName>());
        if let Some(cluster) = &backend.cluster {
            errors.accept(&at.member("cluster"), cluster.parse::<ClusterName>());
        }
    }
}

/// The name of a header that the filter writes itself.
fn own_header(name: &str) -> Result<HeaderName, Fault> {
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
