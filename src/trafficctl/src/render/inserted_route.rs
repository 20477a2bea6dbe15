//! The route that takes the requests about which the filter has decided.

use policy::Policy;
use serde_json::{Value, json};

use super::kubernetes::set;
use super::mirror;
use crate::error::Error;

/// The options of the route. Those of the team's routes do not apply to it.
#[derive(clap::Args)]
#[group(skip)]
pub struct RouteOptions {
    /// The time-out of the inserted route. As in Istio, 0 is none, which is the default. The settings
    /// of the host's own routes (timeout, retries, cors, fault, mirror) have no effect on requests that
    /// the filter has decided about.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    timeout: Option<String>,
    /// How often the inserted route retries a request, on the conditions of Istio's default. 0 is
    /// never. The default is 2, as in Istio.
    #[arg(long, value_name = "N")]
    retries: Option<u32>,
}

/// How often the route retries a request by default.
const RETRIES: u32 = 2;

impl RouteOptions {
    /// Whether one of the options is there.
    pub fn are_given(&self) -> bool {
        self.timeout.is_some() || self.retries.is_some()
    }
}

/// A time such as `15s`, `0.5s` or `500ms`, as the JSON of Protocol Buffers writes it.
fn duration(text: &str) -> Result<String, String> {
    const FORM: &str = "write a time such as 15s, 0.5s or 500ms";
    let milliseconds =
        text.strip_suffix("ms").map(|number| number.parse::<u32>().map(|ms| f64::from(ms) / 1000.0).ok());
    let seconds = milliseconds.or_else(|| text.strip_suffix('s').map(|number| number.parse::<f64>().ok()));
    match seconds.flatten() {
        Some(seconds) if (0.0..=86_400.0).contains(&seconds) => Ok(format!("{}s", (seconds * 1000.0).round() / 1000.0)),
        _ => Err(FORM.to_owned()),
    }
}

/// The route, for the beginning of a virtual host.
///
/// # Errors
/// [`Error::Wrong`] for a mirror header that Envoy's configuration can't have.
pub fn route(policy: &Policy, name: &str, options: &RouteOptions) -> Result<Value, Error> {
    let header = &*policy.routing_header;
    let mirrors = mirror::headers(policy)?;
    let timeout = options.timeout.as_deref().unwrap_or("0s");
    // Istio's own routes let `grpc-timeout` shorten the time-out, by this older field.
    let mut action = json!({
        "cluster_header": header,
        "timeout": timeout,
        "max_grpc_timeout": timeout,
    });
    let retries = options.retries.unwrap_or(RETRIES);
    if retries > 0 {
        set(&mut action, "retry_policy", retry_policy(retries));
    }
    if !mirrors.is_empty() {
        set(&mut action, "request_mirror_policies", mirror::policies(&mirrors)?);
    }
    Ok(json!({
        "name": name,
        "match": { "prefix": "/", "headers": [{ "name": header, "present_match": true }] },
        "route": action,
        "request_headers_to_remove": [header],
    }))
}

/// The default of Istio 1.31 (`pilot/pkg/networking/core/route/retry`), with another number.
fn retry_policy(retries: u32) -> Value {
    json!({
        "num_retries": retries,
        "retry_on": "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes",
        "retry_host_predicate": [{
            "name": "envoy.retry_host_predicates.previous_hosts",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
            },
        }],
        "host_selection_retry_max_attempts": 5,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_in_seconds() {
        let form = || Err("write a time such as 15s, 0.5s or 500ms".to_owned());
        for (text, expected) in [
            ("15s", Ok("15s".to_owned())),
            ("0.5s", Ok("0.5s".to_owned())),
            ("500ms", Ok("0.5s".to_owned())),
            ("0s", Ok("0s".to_owned())),
            ("15", form()),
            ("-1s", form()),
            ("infs", form()),
            ("1m", form()),
        ] {
            assert_eq!(duration(text), expected, "{text}");
        }
    }
}
