//! A whole Envoy configuration.

use std::net::IpAddr;
use std::path::PathBuf;

use policy::Policy;

use super::address::{Address, Addresses};
use super::clusters::{clusters, fallback};
use super::ecds::{MODULE, with_module};
use super::template::{no_place, replace, replace_comment, scalar, text_at};
use crate::document::file::PolicyFile;
use crate::error::Error;

/// The files that the tests and the demo run, too.
const TEMPLATE: &str = include_str!("../../../../envoy/envoy.yaml");
const MIRROR: &str = include_str!("../../../../envoy/mirror-policy.yaml");

/// The headers in them that a policy may rename.
const ROUTING_HEADER: &str = "x-traffic-cluster";
const MIRROR_HEADER: &str = "x-traffic-mirror";

/// The connection manager in the template.
const MANAGER: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";

/// The options of `render envoy`.
#[derive(clap::Args)]
pub struct Arguments {
    /// The policy, or a file that holds it.
    pub file: PathBuf,
    #[command(flatten)]
    addresses: Addresses,
    /// The path of the module.
    #[arg(long, value_name = "FILE", default_value = MODULE)]
    module: String,
    /// Let Envoy take the policy from this ECDS file, so that it can change live. By default the
    /// configuration has the policy in it.
    #[arg(long, value_name = "FILE")]
    pub ecds: Option<String>,
}

/// Renders the configuration.
///
/// # Errors
/// [`Error::Wrong`] if the policy has nothing to route to, or names that the configuration can't
/// have.
pub fn render(arguments: &Arguments, file: &PolicyFile, policy: &Policy) -> Result<String, Error> {
    arguments.addresses.check(policy)?;
    let fallback = fallback(policy)?;
    let headers = std::iter::once(&policy.routing_header).chain(&policy.mirror_headers);
    if let Some(name) = headers.map(|name| &**name).find(|name| scalar(name) != *name) {
        return Err(Error::Wrong(format!("the header {name:?} would need quotes everywhere: give it another name")));
    }
    // Headers first: the policy, which is written later, may have the same names.
    let mirrors: Vec<&str> = policy.mirror_headers.iter().map(|name| &**name).collect();
    let mut text = with_mirrors(&TEMPLATE.replace(ROUTING_HEADER, &policy.routing_header), &mirrors)?;
    let clusters: String = clusters(policy).into_iter().map(|name| cluster(&arguments.addresses.of(name))).collect();
    text = replace(&text, "/static_resources/clusters", clusters.trim())?;
    let value = "early_header_mutation_extensions/0/typed_config/mutations/0/append/header/value";
    text = replace(&text, &format!("{MANAGER}/{value}"), &scalar(fallback))?;
    let filter = format!("{MANAGER}/http_filters/0");
    match &arguments.ecds {
        Some(path) => {
            replace(&text, &format!("{filter}/config_discovery/config_source/path_config_source/path"), &scalar(path))
        }
        None => {
            let comment = "The filter, with its policy. To change it live, let Envoy take it from a file: --ecds.";
            text = replace_comment(&text, &filter, comment)?;
            let config = filter_config(&with_module(file, &arguments.module)?)?;
            replace(&text, &filter, &format!("name: traffic-policy\n            typed_config:\n{config}"))
        }
    }
}

/// The filter's configuration in an ECDS file, with the indentation that it needs in Envoy's own
/// configuration.
fn filter_config(ecds: &str) -> Result<String, Error> {
    let lines = text_at(ecds, "/resources/0/typed_config")?.lines();
    let unindented = lines.map(|line| line.strip_prefix("    ").unwrap_or(line));
    let lines = unindented.map(|line| if line.is_empty() { String::new() } else { format!("{:14}{line}", "") });
    Ok(lines.collect::<Vec<_>>().join("\n").trim_end().to_owned())
}

/// Adds a mirror policy to the route for each of these headers, and removes the headers that
/// clients send.
fn with_mirrors(text: &str, headers: &[&str]) -> Result<String, Error> {
    const ROUTE: &str = "                  timeout: 15s\n";
    const MUTATION: &str = "                  append_action: OVERWRITE_IF_EXISTS_OR_ADD\n";
    for place in [ROUTE, MUTATION] {
        if !text.contains(place) {
            return Err(no_place(place.trim()));
        }
    }
    let mut lines = MIRROR.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let Some(title) = lines.next().filter(|_| !headers.is_empty()) else { return Ok(text.to_owned()) };
    let policy: Vec<_> = lines.collect();
    let of = |header: &&str| {
        policy.iter().map(|line| format!("{:18}{}\n", "", line.replace(MIRROR_HEADER, header))).collect()
    };
    let policies: String = headers.iter().map(of).collect::<Vec<String>>().concat();
    let removals: String = headers.iter().map(|header| format!("{:14}- remove: {header}\n", "")).collect();
    let text = text.replacen(ROUTE, &format!("{ROUTE}{:18}{title}\n{policies}", ""), 1);
    Ok(text.replacen(MUTATION, &format!("{MUTATION}{removals}"), 1))
}

fn cluster(Address { cluster, host, port }: &Address) -> String {
    let kind = if host.parse::<IpAddr>().is_ok() { "STATIC" } else { "STRICT_DNS" };
    let (name, host) = (scalar(cluster), scalar(host));
    format!(
        "  - name: {name}
    type: {kind}
    connect_timeout: 1s
    load_assignment:
      cluster_name: {name}
      endpoints: [{{ lb_endpoints: [{{ endpoint: {{ address: {{ socket_address: {{ address: {host}, port_value: {port} }} }} }} }}] }}]
"
    )
}
