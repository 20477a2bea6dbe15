//! A whole Envoy configuration.

use policy::Policy;
use policy::limits::{MIRROR_HEADER, ROUTING_HEADER};

use super::address::Addresses;
use super::cluster::{TRUSTED, cluster, speaks_tls};
use super::clusters::{clusters, fallback};
use super::ecds::{MODULE, with_module};
use super::mirror;
use super::template::{no_place, replace, replace_comment, scalar, text_at};
use crate::document::file::PolicyFile;
use crate::document::lines::{splice, start_of_line, start_with_comments};
use crate::error::Error;
use crate::verbs::target::Target;

/// The file that the tests and the demo run, too.
const TEMPLATE: &str = include_str!("../../../../envoy/envoy.yaml");

/// The connection manager in the template.
const MANAGER: &str = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";

/// The options of `render envoy`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    pub target: Target,
    #[command(flatten)]
    addresses: Addresses,
    /// The certificates of the authorities that Envoy trusts, for clusters with `https://`. By
    /// default those of the system, where Debian, Ubuntu and Envoy's images have them.
    #[arg(long, value_name = "FILE")]
    trusted_ca: Option<String>,
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
/// have, and [`Error::Usage`] for an option without effect.
pub fn render(arguments: &Arguments, file: &PolicyFile, policy: &Policy) -> Result<String, Error> {
    let document = file.only_policy()?.value.clone().unwrap_or_default();
    let clusters = clusters(policy, &document);
    arguments.addresses.check(&clusters)?;
    let fallback = fallback(policy)?;
    mirror::check(&policy.routing_header)?;
    // The template has the default names. Headers first: the policy, which is written later, may
    // have the same names.
    let mut text = with_mirrors(&TEMPLATE.replace(ROUTING_HEADER, &policy.routing_header), policy)?;
    let trusted = arguments.trusted_ca.as_deref();
    if trusted.is_some() && !arguments.addresses.clusters.iter().any(speaks_tls) {
        return Err(Error::Usage("--trusted-ca has an effect only on clusters with https://".to_owned()));
    }
    let cluster = |name| cluster(&arguments.addresses.of(name), trusted.unwrap_or(TRUSTED));
    let clusters: String = clusters.into_iter().map(cluster).collect();
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

/// Adds a mirror policy to the route for each mirror header, and removes what clients send in them.
/// Without such a header, the default one is removed: a mirror policy may be added by hand.
fn with_mirrors(text: &str, policy: &Policy) -> Result<String, Error> {
    const ROUTE: &str = "                  timeout: 15s\n";
    const REMOVAL: &str = "- remove: x-traffic-mirror\n";
    let headers = mirror::headers(policy)?;
    let removal = text.find(REMOVAL).ok_or_else(|| no_place(REMOVAL.trim()))?;
    let removed = if headers.is_empty() { vec![MIRROR_HEADER] } else { headers.clone() };
    // It would take away the name of the fallback cluster.
    let removed = removed.into_iter().filter(|header| policy.routing_header != *header);
    let lines: String = removed.map(|header| format!("{:14}- remove: {header}\n", "")).collect();
    let start = if lines.is_empty() { start_with_comments(text, removal) } else { start_of_line(text, removal) };
    let text = splice(text, start..removal + REMOVAL.len(), &lines);
    if headers.is_empty() {
        return Ok(text);
    }
    if !text.contains(ROUTE) {
        return Err(no_place(ROUTE.trim()));
    }
    let (title, lines) = mirror::lines(&headers)?;
    let policies: String = lines.iter().map(|line| format!("{:18}{line}\n", "")).collect();
    Ok(text.replacen(ROUTE, &format!("{ROUTE}{:18}{title}\n{policies}", ""), 1))
}
