//! From the policy as written to the policy that is ready: every rule of the reference is checked
//! here.

mod affinity;
mod amount;
mod callout;
mod comparison;
mod conditions;
mod cookie;
mod cost;
mod endpoint;
mod header;
mod matching;
mod never;
mod property;
mod reach;
mod shadow;
mod traffic;

use crate::config::PolicyConfig;
use crate::finding::{Errors, Fault, Finding, Kind, Refused};
use crate::limits;
use crate::names::{BackendName, ClusterName, PolicyName, Variant};
use crate::place::At;
use crate::policy::Policy;

use header::Mirrors;
pub(crate) use header::{own_header, with_name};

/// Checks `config` and makes it ready; also returns warnings. Finds all errors, not just the first,
/// and adds them to those of reading.
///
/// `hash` is that of the document, of 64 bits.
pub(crate) fn compile(config: &PolicyConfig, hash: u64, mut errors: Errors) -> Result<(Policy, Vec<Finding>), Refused> {
    let name: Option<PolicyName> = field("name", config.name.as_deref(), str::parse, &mut errors);
    let default_header = with_name(limits::ROUTING_HEADER, name.as_ref());
    let routing_header = config.routing_header.as_deref().or(Some(&*default_header));
    let routing_header = field("routing_header", routing_header, own_header, &mut errors);
    let response_header = field("response_header", config.response_header.as_deref(), own_header, &mut errors);
    let request_header = field("request_header", config.request_header.as_deref(), own_header, &mut errors);
    if let Some(header) = request_header.as_ref().filter(|header| Some(*header) == routing_header.as_ref()) {
        let fault = Fault::new(format!("{header:?} is the routing header"), "choose a header of its own");
        errors.add(&At::Root.member("request_header"), fault.of(Kind::Conflict));
    }
    let filter_state = field("filter_state", config.filter_state.as_deref(), str::parse, &mut errors);
    let default_cluster = field("default_cluster", config.default_cluster.as_deref(), str::parse, &mut errors);
    check_backends(config, &mut errors);
    let mut endpoints = endpoint::endpoints(config, routing_header.as_ref(), &mut errors);
    let mirrors = Mirrors::of(config);
    mirrors.check(request_header.as_ref(), &mut errors);
    let conditions = conditions::number(&mut endpoints);
    cost::check(&endpoints, conditions.is_some(), mirrors.count(), &mut errors);
    let routing_header = errors.finish(routing_header)?;
    let mut warnings = reach::unreachable(&endpoints);
    warnings.extend(never::warnings(config));
    let policy = Policy {
        name,
        if_invalid: config.if_invalid,
        routing_header,
        response_header,
        request_header,
        filter_state,
        counts_responses: config.metrics.responses.unwrap_or(true),
        hash: hash >> 11,
        default_cluster,
        mirror_headers: mirrors.headers(),
        endpoints,
        conditions,
    };
    warnings.extend(mirrors.warnings(&policy));
    Ok((policy, warnings))
}

/// A name in a field of the document; `None` if it is absent or wrong.
fn field<N>(
    field: &str,
    name: Option<&str>,
    parse: impl FnOnce(&str) -> Result<N, Fault>,
    errors: &mut Errors,
) -> Option<N> {
    errors.accept(&At::Root.member(field), parse(name?))
}

fn check_backends(config: &PolicyConfig, errors: &mut Errors) {
    let field = At::Root.member("backends");
    for (name, backend) in config.backends.iter() {
        let at = field.member(name);
        errors.accept(&at, name.parse::<BackendName>());
        if let Some(cluster) = &backend.cluster {
            errors.accept(&at.member("cluster"), cluster.parse::<ClusterName>());
        }
        if let Some(variant) = &backend.variant {
            errors.accept(&at.member("variant"), variant.parse::<Variant>());
        }
    }
}
